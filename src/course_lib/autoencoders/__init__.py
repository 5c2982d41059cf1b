"""Autoencoders: linear (chapter 3), deep, sparse and denoising (chapter 4), and one with two decoders (chapter 12)."""

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
from course_lib.autoencoders.two_decoders import (
    Informer,
    TwoDecoders,
    TwoDecodersConfig,
    recolour,
    reversed_gradient,
    warp,
)
