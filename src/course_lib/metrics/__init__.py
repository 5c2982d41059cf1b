"""Scores for images and for generators: of single images, of distributions, by matching, and from games.

Every score takes images or features and returns a `Result`, which carries the number of samples, the extractor's
name and a 95 % confidence interval.
"""

from course_lib.metrics.class_scores import (
    inception_score,
    mode_score,
    modified_inception_score,
)
from course_lib.metrics.distributions import (
    IdenticalSets,
    Moments,
    PrecisionRecall,
    TooFewSamples,
    frechet,
    frechet_bias,
    frechet_infinity,
    precision_recall,
)
from course_lib.metrics.images import (
    IdenticalImagesWarning,
    RangeWarning,
    SSIMMaps,
    gaussian_window,
    mse,
    perceptual_distance,
    psnr,
    psnr_of_mse,
    ssim,
    ssim_maps,
    uniform_window,
)
from course_lib.metrics.result import (
    Result,
    digits,
    mean,
    proportion,
)
from course_lib.metrics.two_samples import (
    LogLikelihood,
    Test,
    classifier_two_sample,
    kernel_distance,
    kolmogorov_smirnov,
    parzen,
    sliced_wasserstein,
)

__all__ = [
    "IdenticalImagesWarning",
    "IdenticalSets",
    "LogLikelihood",
    "Moments",
    "PrecisionRecall",
    "RangeWarning",
    "Result",
    "SSIMMaps",
    "Test",
    "TooFewSamples",
    "classifier_two_sample",
    "digits",
    "frechet",
    "frechet_bias",
    "frechet_infinity",
    "gaussian_window",
    "inception_score",
    "kernel_distance",
    "kolmogorov_smirnov",
    "mean",
    "mode_score",
    "modified_inception_score",
    "mse",
    "parzen",
    "perceptual_distance",
    "precision_recall",
    "proportion",
    "psnr",
    "psnr_of_mse",
    "sliced_wasserstein",
    "ssim",
    "ssim_maps",
    "uniform_window",
]
