"""From the architecture's name on a card to an empty model; a class is imported when a model of it is wanted."""

import importlib
from typing import Any

from torch import nn

ARCHITECTURES = {  # class -> its module, and the class of its config there
    "AdaINTransfer": ("course_lib.style", "AdaINTransferConfig"),
    "Autoencoder": ("course_lib.autoencoders", "AutoencoderConfig"),
    "AvatarCNN": ("course_lib.classifiers", "AvatarCNNConfig"),
    "CodeDiffusion": ("course_lib.diffusion", "DiffusionConfig"),
    "Diffusion": ("course_lib.diffusion", "DiffusionConfig"),
    "DigitCNN": ("course_lib.classifiers", "DigitCNNConfig"),
    "GAN": ("course_lib.gans", "GANConfig"),
    "R3GAN": ("course_lib.gans", "R3GANConfig"),
    "StyleGAN": ("course_lib.gans.stylegan", "StyleGANConfig"),
    "TokenPrior": ("course_lib.vq", "TokenPriorConfig"),
    "TwoDecoders": ("course_lib.autoencoders", "TwoDecodersConfig"),
    "TwoLevelVAE": ("course_lib.vae", "TwoLevelConfig"),
    "VAE": ("course_lib.vae", "VAEConfig"),
    "VQVAE": ("course_lib.vq", "VQVAEConfig"),
}


def build(architecture: str, config: dict[str, Any]) -> nn.Module:
    """An untrained model of this architecture and config (JSON's lists become tuples); else ValueError or TypeError."""
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"architecture: expected one of {known}, got {architecture!r}")
    path, of_config = ARCHITECTURES[architecture]
    module = importlib.import_module(path)
    return getattr(module, architecture)(getattr(module, of_config)(**_tuples(config)))


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
