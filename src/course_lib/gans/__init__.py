"""Adversarial models: generators and discriminators of images and of points, and what they minimise."""

from course_lib.gans.dcgan import GAN, Discriminator, GANConfig, Generator
from course_lib.gans.points import PointGAN, PointGANConfig
from course_lib.gans.r3gan import R3GAN, R3GANConfig
