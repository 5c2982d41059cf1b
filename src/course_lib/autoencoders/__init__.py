"""Autoencoders: the linear ones (chapter 3), and the deep, sparse and denoising ones (chapter 4).

One encoder and decoder family, `Encoder` and `Decoder`, serves every chapter of part II: its resolution, colours,
convolutions and dense layers are parameters.
"""

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
