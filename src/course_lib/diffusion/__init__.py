"""Diffusion and flow matching (chapter 17): paths from noise to data, networks that learn them, and samplers."""

from course_lib.diffusion.mixture import Mixture
from course_lib.diffusion.model import CodeDiffusion, Diffusion, DiffusionConfig
from course_lib.diffusion.networks import PointNet, PointNetConfig, UNet, UNetConfig
from course_lib.diffusion.paths import PATHS, Path
from course_lib.diffusion.samplers import ancestral, euler, guided, heun, times
