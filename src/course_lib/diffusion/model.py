"""A network on a path: its loss is a squared error, its field is what samplers follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.diffusion.networks import PointNet, PointNetConfig, UNet, UNetConfig
from course_lib.diffusion.paths import PATHS, PREDICTED, Path
from course_lib.diffusion.samplers import Field, ancestral, euler, guided, heun, times
from course_lib.draws import rows
from course_lib.evaluation import device_of, evaluating

AT_ONCE = 200  # samples in one batch
SAMPLERS: dict[str, Callable[..., Tensor]] = {
    "euler": euler,
    "heun": heun,
    "ddim": ancestral,
    "ddpm": ancestral,
}


@dataclass(frozen=True)
class DiffusionConfig:
    """Architecture and path of `Diffusion`."""

    network: UNetConfig | PointNetConfig = field(default_factory=UNetConfig)
    path: str = "straight"  # of PATHS
    predicts: str = "velocity"  # of PREDICTED
    drop: float = 0.1  # share of the labels left out in training, so that there is a field without them

    def __post_init__(self) -> None:
        if isinstance(self.network, dict):  # from a card
            of_points = "dimensions" in self.network
            object.__setattr__(self, "network", (PointNetConfig if of_points else UNetConfig)(**self.network))
        checks.choice("path", self.path, PATHS)
        checks.choice("predicts", self.predicts, PREDICTED)
        if not 0 <= checks.real("drop", self.drop) < 1:
            raise ValueError(f"drop: expected a share from 0 to below 1, got {self.drop}")

    @property
    def classes(self) -> int:
        """Of the labels; 0 if there are none."""
        return self.network.classes


class Diffusion(nn.Module):
    """A network (x_t, t, y) -> data, noise or velocity, trained on points of the path between data and noise."""

    def __init__(self, cfg: DiffusionConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or DiffusionConfig()
        self.network: Any = (UNet if isinstance(cfg.network, UNetConfig) else PointNet)(cfg.network)

    @property
    def path(self) -> Path:
        """α and σ."""
        return PATHS[self.cfg.path]

    def losses(
        self, x: Tensor, generator: torch.Generator, y: Tensor | None = None, *, t: Tensor | None = None
    ) -> Tensor:
        """Squared errors of the prediction, averaged over the numbers of a picture: (N,).

        Flow matching's loss if "velocity" is predicted (Lipman et al. 2023, Eq. (9)), DDPM's simple one if "noise" is
        (Ho et al. 2020, Eq. (14)).

        Args:
            x: data (N, …).
            generator: draws the times, the noise, and which labels are left out.
            y: labels (N,), int64, if the network has classes.
            t: times (N,) in place of random ones.
        """
        n = len(x)
        if t is None:
            t = rows(torch.rand, n, generator=generator).to(x.device)
        noise = rows(torch.randn, *x.shape, generator=generator).to(x)
        if y is not None and self.cfg.drop:
            left_out = rows(torch.rand, n, generator=generator).to(x.device) < self.cfg.drop
            y = torch.where(left_out, self.cfg.classes, y)
        found = self.network(self.path.noisy(x, noise, t), t, y)
        return (found - self.path.target(self.cfg.predicts, x, noise, t)).square().flatten(1).mean(1)

    def parts(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x̂ and ε̂, each (N, …), at points x_t (N, …) at times t (N,), with labels y or without."""
        return self.path.parts(self.cfg.predicts, self.network(x_t, t, y), x_t, t)

    def score(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """∇ log p_t at points x_t (N, …) at times t (N,) below 1: -ε̂ / σ."""
        _, s, _, _ = self.path.at(t, x_t)
        return -self.parts(x_t, t, y)[1] / s

    def field(self, y: Tensor | None = None, guidance: float = 1.0) -> Field:
        """What samplers follow: `parts` with labels y, exaggerated if `guidance` is not 1."""
        if y is None:
            return self.parts
        if guidance == 1:
            return lambda x, t: self.parts(x, t, y)
        return guided(lambda x, t: self.parts(x, t, y), self.parts, guidance)

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        y: Tensor | None = None,
        *,
        steps: int = 25,
        sampler: str = "heun",
        guidance: float = 1.0,
        power: float = 1.0,
    ) -> Tensor:
        """n samples (n, …), clipped to [-1, 1] if they are images, without gradients.

        Args:
            generator: draws the noise at the start, and that of "ddpm".
            y: labels (n,), or None.
            steps: of the sampler; "heun" looks at the network twice in each.
            sampler: "euler", "heun", "ddim" or "ddpm".
            guidance: strength of `samplers.guided`; needs labels.
            power: as in `samplers.times`.

        TypeError or ValueError: numbers out of range, no generator, an unknown sampler.
        """
        follow = SAMPLERS[checks.choice("sampler", sampler, SAMPLERS)]
        grid = times(steps, power)
        checks.generator("generator", generator)
        noise = torch.randn(checks.whole("n", n), *self.cfg.network.shape, generator=generator)
        classes = self.cfg.classes
        if y is None:
            y = torch.full((n,), classes)
        else:
            checks.labels("y", y, n, classes)

        settings: dict[str, Any] = {}
        if follow is ancestral:
            settings = {"generator": generator, "eta": float(sampler == "ddpm")}
        device, made = device_of(self), []
        with evaluating(self):
            for part, label in zip(noise.split(AT_ONCE), y.split(AT_ONCE), strict=True):
                toward = self.field(label.to(device), guidance)
                made.append(follow(toward, self.path, part.to(device), grid, **settings).cpu())
        x = torch.cat(made)
        return x.clamp(-1, 1) if x.dim() == 4 else x


class CodeDiffusion(Diffusion):
    """`Diffusion` of an autoencoder's codes (N, k), which are brought to mean 0 and covariance I on the path.

    `normal` and `code` go there and back; `measure` sets what they need, as the weights do. Decoding the samples is
    the autoencoder's business.
    """

    def __init__(self, cfg: DiffusionConfig | None = None) -> None:
        super().__init__(cfg or DiffusionConfig(network=PointNetConfig(dimensions=32)))
        if not isinstance(self.cfg.network, PointNetConfig):
            raise ValueError("network: expected a PointNetConfig, because codes are vectors")
        k = self.cfg.network.dimensions
        self.register_buffer("mean", torch.zeros(k))
        self.register_buffer("root", torch.eye(k))  # symmetric, root @ root = covariance

    def measure(self, codes: Tensor) -> None:
        """Take mean and covariance from codes (N, k). ValueError: another shape, or codes of too few directions."""
        k = len(self.mean)
        checks.of_shape("codes", codes, f"(N, {k})")
        exact = codes.detach().cpu().to(torch.float64)
        values, vectors = torch.linalg.eigh(torch.cov(exact.T).reshape(k, k))
        if len(codes) <= k or float(values[0]) <= 1e-9 * float(values[-1]):
            raise ValueError(
                f"codes: expected codes that vary in all {k} directions, got {len(codes)} that do not"
            )
        root = (vectors * values.sqrt()) @ vectors.T
        self.mean.copy_(exact.mean(0).to(self.mean))
        self.root.copy_(root.to(self.root))

    def normal(self, codes: Tensor) -> Tensor:
        """Codes (N, k) as they are on the path, at time 1: mean 0, covariance I."""
        return torch.linalg.solve(self.root, (codes - self.mean).T).T

    def code(self, x: Tensor) -> Tensor:
        """Codes (N, k) of points x (N, k) at time 1: the inverse of `normal`."""
        return x @ self.root + self.mean

    def sample(self, n: int, generator: torch.Generator, y: Tensor | None = None, **settings: Any) -> Tensor:
        """n codes (n, k), to be decoded. Arguments and errors as those of `Diffusion.sample`."""
        x = super().sample(n, generator, y, **settings)
        return self.code(x.to(self.mean)).cpu()
