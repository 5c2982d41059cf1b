"""The generator of StyleGAN and StyleGAN2 (Karras et al. 2019, 2020): a mapping network, and layers with styles.

Simplified: w is as long as z; the filter of an upsampling layer follows its convolution, which is then a quarter of the
work; a resolution's colours take the style of its last layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_lib.gans.stylegan.config import CORE, StyleGANConfig
from course_lib.gans.stylegan.layers import (
    Conv,
    Linear,
    ModulatedConv,
    activated,
    adain,
    on_sphere,
    upsampled,
)

RATE = 0.01  # of the mapping network's learning rate, against the other layers (Karras et al. 2019)


class Mapping(nn.Sequential):
    """Codes z -> styles w, (N, k) each: dense layers after z was put onto a sphere."""

    def __init__(self, cfg: StyleGANConfig) -> None:
        super().__init__(*(Linear(cfg.latent, cfg.latent, rate=RATE) for _ in range(cfg.mapping)))

    def forward(self, z: Tensor) -> Tensor:
        """(N, k) -> (N, k)."""
        w = on_sphere(z)
        for layer in self:
            w = activated(layer(w))
        return w


class StyledLayer(nn.Module):
    """A convolution, perhaps upsampling, then noise and leaky ReLU; the style acts before or after it."""

    def __init__(self, cfg: StyleGANConfig, inputs: int, outputs: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.modulated = cfg.style == "modulation"
        self.conv: nn.Module
        if self.modulated:
            self.conv = ModulatedConv(inputs, outputs)
            self.affine = Linear(
                cfg.latent, inputs, bias=1.0
            )  # A of the papers: a style that changes nothing yet
        else:
            self.conv = Conv(inputs, outputs, bias=False)
            self.affine = Linear(cfg.latent, 2 * outputs)  # scales - 1, and shifts
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.strength = nn.Parameter(torch.zeros(())) if cfg.noise else None  # B of the papers

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Feature maps (N, inputs, r, r), styles (N, k), noise (N, 1, R, R) or None -> (N, outputs, R, R)."""
        style = self.affine(w)
        x = self.conv(x, style) if self.modulated else self.conv(x)
        if self.up:
            x = upsampled(x)
        if self.strength is not None and noise is not None:
            x = x + (self.strength * noise).to(x.dtype)
        x = activated(x + self.bias.to(x.dtype))
        if not self.modulated:
            scale, shift = style.chunk(2, 1)
            x = adain(x, 1 + scale, shift)
        return x


class Colours(nn.Module):
    """Feature maps -> colours, by a 1 x 1 convolution; its weights are modulated, but never demodulated."""

    def __init__(self, cfg: StyleGANConfig, inputs: int) -> None:
        super().__init__()
        self.conv: nn.Module
        if cfg.style == "modulation":
            self.conv = ModulatedConv(inputs, cfg.colours, 1, demodulate=False)
            self.affine: nn.Module | None = Linear(cfg.latent, inputs, bias=1.0)
        else:
            self.conv, self.affine = Conv(inputs, cfg.colours, 1, bias=False), None
        self.bias = nn.Parameter(torch.zeros(cfg.colours, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, inputs, R, R), styles (N, k) -> (N, colours, R, R)."""
        x = self.conv(x, self.affine(w)) if self.affine is not None else self.conv(x)
        return x + self.bias.to(x.dtype)


class StyleGenerator(nn.Module):
    """Codes -> images. While it grows, it works up to `resolution`, which counts for a share `alpha` (see `growing`).

    Attributes:
        mapping: codes z -> styles w.
        w_mean: the mean style, (k,), towards which truncation goes; `StyleGAN.measure` sets it.
    """

    grows = True  # not all layers are always at work
    w_mean: Tensor

    def __init__(self, cfg: StyleGANConfig) -> None:
        super().__init__()
        self.cfg, self.resolution, self.alpha = cfg, cfg.resolution, 1.0
        channels = cfg.channels
        self.mapping = Mapping(cfg)
        self.constant = nn.Parameter(torch.randn(1, channels[CORE], CORE, CORE))
        self.layers, self.colours = nn.ModuleList(), nn.ModuleList()
        before = channels[CORE]
        for number, r in enumerate(cfg.layers):
            self.layers.append(StyledLayer(cfg, before, channels[r], up=r > CORE and number % 2 == 1))
            before = channels[r]
        for r in cfg.resolutions:
            self.colours.append(Colours(cfg, channels[r]))
        self.register_buffer("w_mean", torch.zeros(cfg.latent))

    @property
    def depth(self) -> int:
        """Layers at work, L: all those up to the present resolution."""
        return sum(r <= self.resolution for r in self.cfg.layers)

    @property
    def drawn(self) -> int:
        """Random numbers behind one image: z, and with noise, a number for each pixel of each layer at work."""
        return self.cfg.latent + self.cfg.noise * sum(r**2 for r in self.cfg.layers[: self.depth])

    def styles(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Styles w (N, k) of codes z (N, k), by the factor `psi` nearer to their mean (truncation, Karras et al. 2019).

        Raises:
            ValueError: codes of another length.
        """
        if z.dim() != 2 or z.shape[1] != self.cfg.latent:
            raise ValueError(f"z: expected codes of shape (N, {self.cfg.latent}), got {tuple(z.shape)}")
        w = self.mapping(z)
        return w if psi == 1 else self.w_mean + psi * (w - self.w_mean)

    def forward(self, drawn: Tensor) -> Tensor:
        """Images (N, C, R, R) of codes z (N, k), then without noise, or of all that `StyleGAN.draws` draws for each.

        With ``outputs="pyramid"``, those of all resolutions, packed (see `pyramid`).

        Raises:
            ValueError: numbers of neither length.
        """
        k, rest = self.cfg.latent, drawn.shape[-1] - self.drawn
        if drawn.shape[-1] == k:
            return self.images(self.styles(drawn))
        if drawn.dim() != 2 or rest not in (0, k + 1):
            wanted = f"(N, {k}) for codes alone, (N, {self.drawn}) with noise, (N, {self.drawn + k + 1}) with a second"
            raise ValueError(f"drawn: expected shape {wanted} code too, got {tuple(drawn.shape)}")
        w = self.styles(drawn[:, :k])
        if rest:  # a second code, and where the layers go over to it
            second, cut = self.styles(drawn[:, -k:]), drawn[:, -k - 1]
            w = mixed(w, second, self.cut(cut), self.depth)
        return self.images(w, self.noise_maps(drawn[:, k : self.drawn]))

    def cut(self, u: Tensor) -> Tensor:
        """Uniform numbers u (N,) -> the first layer of the second style, (N,): none, or 1 to L - 1 equally often."""
        share = (u / max(self.cfg.mixing, 1e-6)).clamp(max=1)
        return torch.where(u < self.cfg.mixing, 1 + (share * (self.depth - 1)).floor(), self.depth)

    def noise_maps(self, numbers: Tensor) -> list[Tensor | None]:
        """Numbers (N, …) -> a map (N, 1, R, R) for each layer at work, or none."""
        if not self.cfg.noise:
            return [None] * self.depth
        sizes = self.cfg.layers[: self.depth]
        parts = numbers.split([r**2 for r in sizes], 1)
        return [part.unflatten(1, (1, r, r)) for part, r in zip(parts, sizes, strict=True)]

    def images(self, w: Tensor, noise: Sequence[Tensor | None] | None = None) -> Tensor:
        """Images of styles w, (N, k) for all layers or (N, L, k) for each, and of noise maps, or without noise.

        Raises:
            ValueError: styles of another shape.
        """
        if w.dim() == 2:
            w = w[:, None].expand(-1, self.depth, -1)
        if w.shape[1:] != (self.depth, self.cfg.latent):
            raise ValueError(
                f"w: expected styles of shape (N, {self.cfg.latent}) or (N, {self.depth}, {self.cfg.latent}), "
                f"got {tuple(w.shape)}"
            )
        noise = noise or [None] * self.depth
        x = self.constant.expand(len(w), -1, -1, -1)
        image, scales = None, []
        for number, r in enumerate(self.cfg.layers[: self.depth]):
            x = self.layers[number](x, w[:, number], noise[number])
            if number % 2 == 0:  # the last layer of its resolution
                image = self._coloured(x, w[:, number], r, image)
                scales.append(image)
        assert image is not None
        return packed(scales) if self.cfg.outputs == "pyramid" else image

    def _coloured(self, x: Tensor, w: Tensor, r: int, before: Tensor | None) -> Tensor | None:
        """The image of resolution r from its feature maps and from the image of half of it."""
        growing = r == self.resolution and self.alpha < 1 and before is not None
        if (
            self.cfg.outputs == "last"
            and r < self.resolution
            and not (2 * r == self.resolution and self.alpha < 1)
        ):
            return None  # not looked at
        image = self.colours[self.cfg.resolutions.index(r)](x, w)
        if before is None or (self.cfg.outputs != "skip" and not growing):
            return image
        if self.cfg.outputs == "skip":
            return upsampled(before) + self.alpha * image if growing else upsampled(before) + image
        return torch.lerp(upsampled(before), image, self.alpha)


def mixed(w: Tensor, second: Tensor, cut: Tensor | int, depth: int) -> Tensor:
    """Styles (N, L, k): those of w (N, k) before layer `cut` (N,), those of the second (N, k) from it on."""
    layers = torch.arange(depth, device=w.device)
    first = layers[None] < torch.as_tensor(cut, device=w.device).reshape(-1, 1)  # (N or 1, L)
    return torch.where(first[..., None], w[:, None], second[:, None])


def packed(scales: Sequence[Tensor]) -> Tensor:
    """Images of several resolutions (N, C, r, r), smallest first, as one tensor (N, C, Σ r²), as losses want it."""
    return torch.cat([x.flatten(2) for x in scales], 2)


def unpacked(x: Tensor, resolutions: Sequence[int]) -> list[Tensor]:
    """The way back."""
    parts = x.split([r**2 for r in resolutions], 2)
    return [part.unflatten(2, (r, r)) for part, r in zip(parts, resolutions, strict=True)]
