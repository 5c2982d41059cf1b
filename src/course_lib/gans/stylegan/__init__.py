"""StyleGAN and StyleGAN2 (Karras et al. 2019, 2020), their parts shared, each idea a switch."""

from course_lib.gans.stylegan.config import StyleGANConfig
from course_lib.gans.stylegan.model import Growing, StyleGAN
from course_lib.gans.stylegan.path_length import PathLength

__all__ = ["Growing", "PathLength", "StyleGAN", "StyleGANConfig"]
