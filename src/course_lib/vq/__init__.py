"""Vector-quantised autoencoders (chapter 7): a codebook, the autoencoder around it, and a prior over its tokens.

van den Oord, Vinyals & Kavukcuoglu 2017. Arguments of another shape, type or range raise TypeError or ValueError.
"""

from course_lib.vq.model import VQVAE, VQTerms, VQVAEConfig
from course_lib.vq.prior import TokenPrior, TokenPriorConfig
from course_lib.vq.quantizer import Quantized, VectorQuantizer, perplexity
