"""Vector-quantised autoencoders: a codebook, the autoencoder around it, a prior over its tokens, and what a VQGAN adds.

van den Oord, Vinyals & Kavukcuoglu 2017 (chapter 7); Esser, Rombach & Ommer 2021 (chapter 12). Arguments of another
shape, type or range raise TypeError or ValueError.
"""

from course_lib.vq.adversarial import PatchConfig, PatchDiscriminator, adaptive_weight
from course_lib.vq.model import VQVAE, VQTerms, VQVAEConfig
from course_lib.vq.prior import TokenPrior, TokenPriorConfig
from course_lib.vq.quantizer import Quantized, VectorQuantizer, perplexity
