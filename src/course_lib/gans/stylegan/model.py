"""A generator and a discriminator side by side, and how both grow (Karras et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.draws import rows
from course_lib.evaluation import evaluating
from course_lib.gans.stylegan.config import CORE, StyleGANConfig
from course_lib.gans.stylegan.discriminator import StyleDiscriminator
from course_lib.gans.stylegan.generator import StyleGenerator, packed, unpacked
from course_lib.gans.stylegan.layers import upsampled
from course_lib.precision import course_defaults


class StyleGAN(nn.Module):
    """A generator `G` and a discriminator `D`."""

    def __init__(self, cfg: StyleGANConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or StyleGANConfig()
        self.G, self.D = StyleGenerator(cfg), StyleDiscriminator(cfg)

    @course_defaults()
    def codes(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` codes z ~ N(0, I), (n, k), where the weights are; TypeError or ValueError: n below 1, or no generator."""
        checks.generator("generator", generator)
        return rows(torch.randn, checks.whole("n", n), self.cfg.latent, generator=generator).to(self.G.w_mean)

    @course_defaults()
    def draws(self, n: int, generator: torch.Generator, *, mixing: bool = True) -> Tensor:
        """All that is random about `n` images, one row each, which makes `G` a plain function.

        A code z; with noise in the model, a number N(0, 1) for each pixel of each layer; with `mixing`, a uniform
        number that says where the layers go over to a second style, and its code. As `codes`.
        """
        drawn = rows(
            torch.randn,
            checks.whole("n", n),
            self.G.drawn,
            generator=checks.generator("generator", generator),
        )
        if mixing and self.cfg.mapping and self.cfg.mixing:
            cut = rows(torch.rand, n, 1, generator=generator)
            drawn = torch.cat([drawn, cut, rows(torch.randn, n, self.cfg.latent, generator=generator)], 1)
        return drawn.to(self.G.w_mean)

    @course_defaults()
    def sample(self, n: int, generator: torch.Generator, *, psi: float = 1.0, batch: int = 100) -> Tensor:
        """Images (n, C, R, R) in about [-1, 1], clipped to it, with fresh noise; no gradients.

        `psi` below 1 draws styles towards their mean: better images, of fewer kinds. As `codes`.
        """
        drawn = self.draws(n, generator, mixing=False)
        with evaluating(self.G):
            return torch.cat([self._one(part, psi) for part in drawn.split(checks.whole("batch", batch))])

    def _one(self, drawn: Tensor, psi: float) -> Tensor:
        k = self.cfg.latent
        x = self.G.images(self.G.styles(drawn[:, :k], psi), self.G.noise_maps(drawn[:, k:]))
        if self.cfg.outputs == "pyramid":
            x = unpacked(x, self._sizes)[-1]
        return x.clamp(-1, 1)

    @property
    def _sizes(self) -> list[int]:
        return [r for r in self.cfg.resolutions if r <= self.G.resolution]

    def grow(self, resolution: int, alpha: float = 1.0) -> None:
        """Let both networks work at `resolution`, the new layers with a share `alpha`; ValueError if there is none."""
        if resolution not in self.cfg.resolutions[1:]:
            known = ", ".join(map(str, self.cfg.resolutions[1:]))
            raise ValueError(f"resolution: expected one of {known}, got {resolution}")
        for network in (self.G, self.D):
            network.resolution, network.alpha = resolution, alpha

    def seen(self, x: Tensor) -> Tensor:
        """Images x (N, C, R, R) of full resolution, as `D` sees real ones now: smaller, faded as the fakes, packed."""
        factor = self.cfg.resolution // self.G.resolution
        x = F.avg_pool2d(x, factor) if factor > 1 else x
        if self.G.alpha < 1:
            x = torch.lerp(upsampled(F.avg_pool2d(x, 2)), x, self.G.alpha)
        if self.cfg.outputs == "pyramid":
            x = packed([F.adaptive_avg_pool2d(x, r) if r < x.shape[-1] else x for r in self._sizes])
        return x

    @torch.no_grad()
    def measure(self, generator: torch.Generator, n: int = 10_000) -> None:
        """Set the mean style of `G` to that of `n` codes."""
        self.G.w_mean.copy_(self.G.mapping(self.codes(n, generator)).mean(0))


class Growing(Iterator[Tensor]):
    """Real images at the resolution of the moment, which it tells the model, from a stream of full-sized ones.

    Args:
        stream: minibatches (N, C, R, R), a `data.Stream`.
        gan: grows as the stream goes on.
        stages: pairs of a resolution and how many images are seen at it, rising to the full one, which stays.
        fade: in this first share of a stage (but the first) its layers are faded in.

    Raises:
        ValueError: resolutions that do not double from one stage to the next, up to the model's.
    """

    def __init__(
        self, stream: Any, gan: StyleGAN, stages: Sequence[tuple[int, int]], *, fade: float = 0.5
    ) -> None:
        sizes = [r for r, _ in stages]
        wanted = [gan.cfg.resolution // 2**i for i in reversed(range(len(sizes)))]
        if not sizes or sizes != wanted or sizes[0] <= CORE:
            raise ValueError(
                f"stages: expected resolutions that double up to {gan.cfg.resolution}, got {sizes}"
            )
        self.stream, self.gan, self.stages, self.fade = stream, gan, list(stages), fade

    def stage(self, images_seen: int) -> tuple[int, float]:
        """Resolution and share of the new layers after so many images."""
        start = 0
        for number, (resolution, images) in enumerate(self.stages):
            if images_seen < start + images or number == len(self.stages) - 1:
                faded = self.fade * images if number else 0
                return resolution, min(1.0, (images_seen - start) / faded) if faded else 1.0
            start += images
        raise AssertionError("unreachable: the last stage has no end")

    def __next__(self) -> Tensor:
        """The next minibatch, (N, C, r, r)."""
        self.gan.grow(*self.stage(self.stream.images_seen))
        return self.gan.seen(next(self.stream))

    def state_dict(self) -> dict[str, Any]:
        """That of the stream, from which the stage follows."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.stream.load_state_dict(state)
