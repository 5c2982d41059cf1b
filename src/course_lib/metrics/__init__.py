"""Scores of single images, of sets of them, by matching, and from games: most return a `Result` with an interval."""

from course_lib.metrics.class_scores import (
    inception_score,
    mode_score,
    modified_inception_score,
    total_variation,
)
from course_lib.metrics.distributions import (
    Moments,
    PrecisionRecall,
    TooFewSamples,
    frechet,
    frechet_bias,
    frechet_infinity,
    precision_recall,
)
from course_lib.metrics.games import (
    Battle,
    DisconnectedGames,
    Games,
    Ratings,
    adversarial_metric,
    bradley_terry,
    glicko2,
    play,
    win_rates,
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
from course_lib.metrics.matching import (
    Matching,
    cost_by_class,
    cost_matrix,
    matching_score,
    neighbours,
    pair_distances,
    real_baseline,
    score_difference,
    sparse_matching_score,
)
from course_lib.metrics.modes import ClassModes, Modes, count_classes, count_modes
from course_lib.metrics.result import IdenticalSets, Result, mean, proportion, with_interval
from course_lib.metrics.two_samples import (
    LogLikelihood,
    Test,
    classifier_two_sample,
    kernel_distance,
    kolmogorov_smirnov,
    parzen,
    sliced_wasserstein,
)
