"""Scores for images and for generators: of single images, of distributions, by matching, and from games.

Every score takes images or features and returns a `Result`, which carries the number of samples, the extractor's
name and a 95 % confidence interval.
"""

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
from course_lib.metrics.result import Result, digits, mean, proportion

__all__ = [
    "IdenticalImagesWarning",
    "RangeWarning",
    "Result",
    "SSIMMaps",
    "digits",
    "gaussian_window",
    "mean",
    "mse",
    "perceptual_distance",
    "proportion",
    "psnr",
    "psnr_of_mse",
    "ssim",
    "ssim_maps",
    "uniform_window",
]
