"""Autoencoders: the linear ones (chapter 3), and the deep, sparse and denoising ones (chapter 4)."""

from course_lib.autoencoders.deep import (
    Autoencoder,
    AutoencoderConfig,
    Decoder,
    Encoder,
    Layout,
    corrupt,
    sparsity_kl,
)
from course_lib.autoencoders.linear import PCA, LinearAutoencoder, ProbabilisticPCA, principal_angles
