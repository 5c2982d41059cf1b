"""The library of the course: each module holds one idea, and each chapter imports at most three of them.

`data` every data set, `training` the runtime, `classifiers` and `autoencoders` (and, as the course
grows, further families) the models, `features` frozen extractors, `zoo` the shipped checkpoints,
`show` figures, `quiz` questions to the reader. Images are float32 tensors (N, C, H, W) in [-1, 1].

Importing the package loads nothing else: each module is imported by name where it is used.
"""

__version__ = "0.1.0"
