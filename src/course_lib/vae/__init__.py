"""Variational autoencoders (chapters 5-7): the densities, the model, its bounds, and a two-level hierarchy.

Kingma & Welling 2014; Rezende, Mohamed & Wierstra 2014. Everything is per sample, (N,), and in nats. Arguments of
another shape, type or range raise TypeError or ValueError.
"""

from course_lib.vae.bounds import Bounded, active_units, effective_sample_size, elbo, iwae, log_mean_exp
from course_lib.vae.densities import (
    bernoulli_log_likelihood,
    binarize,
    gaussian_log_likelihood,
    normal_kl,
    normal_log_density,
    sample_normal,
)
from course_lib.vae.model import VAE, Terms, VAEConfig
from course_lib.vae.two_level import TwoLevelConfig, TwoLevelVAE
