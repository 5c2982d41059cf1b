"""The library of the course: each module holds one idea, and each chapter imports at most three of them.

Images are float32 tensors (N, C, H, W) in [-1, 1]. Importing the package loads nothing else.
"""

__version__ = "0.1.0"
