"""What a StyleGAN is made of: each idea of the papers is one switch."""

from __future__ import annotations

from dataclasses import dataclass

from course_lib import checks

CORE = 4  # resolution of the learned constant


@dataclass(frozen=True)
class StyleGANConfig:
    """Architecture of `StyleGAN`: StyleGAN2's by default; `style`, `outputs` and `residual` lead back to the first."""

    resolution: int = 64  # rows and columns of an image: a power of two from 8
    colours: int = 3
    latent: int = 64  # k, length of z and of w
    mapping: int = 4  # dense layers from z to w; 0: w is z itself, of mean square 1
    width: int = 16  # channels at the full resolution; twice as many at half of it, and so on
    widest: int = 64  # but never more than this
    style: str = "modulation"  # how w acts: "modulation" of the weights, or "adain" on the feature maps
    outputs: str = (
        "skip"  # "skip": a sum over resolutions; "last": the last one's; "pyramid": one image for each
    )
    residual: bool = True  # shortcuts in the discriminator
    noise: bool = True  # a fresh random map for every layer
    mixing: float = 0.9  # share of the images in training whose layers take two styles

    def __post_init__(self) -> None:
        for name in ("colours", "latent", "width", "widest"):
            checks.whole(name, getattr(self, name))
        checks.whole("mapping", self.mapping, at_least=0)
        checks.whole("resolution", self.resolution, at_least=2 * CORE)
        if self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution: expected a power of two, such as 32 or 64, got {self.resolution}")
        checks.choice("style", self.style, ("modulation", "adain"))
        checks.choice("outputs", self.outputs, ("skip", "last", "pyramid"))
        if checks.real("mixing", self.mapping and self.mixing) > 1:
            raise ValueError(f"mixing: expected a share of the images, from 0 to 1, got {self.mixing}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, R, R)."""
        return self.colours, self.resolution, self.resolution

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, …, up to that of the images."""
        return tuple(2**i for i in range(CORE.bit_length() - 1, self.resolution.bit_length()))

    @property
    def channels(self) -> dict[int, int]:
        """Resolution -> channels of the feature maps."""
        return {r: min(self.widest, self.width * self.resolution // r) for r in self.resolutions}

    @property
    def layers(self) -> tuple[int, ...]:
        """The resolution of each layer that takes a style: one of 4 x 4, then two of each."""
        return (CORE, *(r for r in self.resolutions[1:] for _ in range(2)))
