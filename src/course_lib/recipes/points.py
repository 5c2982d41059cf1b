"""The games of points in the plane that chapters 8 and 10 play."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from course_lib import checks, data
from course_lib.gans import PointGAN, PointGANConfig
from course_lib.gans.losses import Verdict
from course_lib.training import Runtime, duel


def train_points(
    rt: Runtime,
    points: Tensor,
    cfg: PointGANConfig | None = None,
    *,
    seed: int = 0,
    steps: int,
    batch: int = 256,
    quiet: bool = True,
    what: str = "points",
    watch: Callable[[int, PointGAN, Verdict], None] | None = None,
    **settings: Any,
) -> PointGAN:
    """A `PointGAN` trained on points (N, D) by `duel`, which gets `settings`, and whose errors it raises.

    `seed`, with ``rt.seed``, is that of weights, minibatches and codes; `steps` are the generator's, of `batch` points;
    `watch` is called after each with the points seen, the model and the last verdict, detached. TypeError or ValueError
    for points that do not fit `cfg`.
    """
    cfg = cfg or PointGANConfig()
    x = checks.tensor("points", points, f"(N, {cfg.dimensions})")
    own = rt.with_seed(rt.seed + checks.seed_number("seed", seed))
    with own.seeded():
        gan = own.place(PointGAN(cfg))
    batches = data.Stream(own.place(x), batch=batch, generator=own.generator(1))
    images = checks.whole("steps", steps) * batch * settings.get("critics", 1)
    tell = None if watch is None else (lambda seen, verdict: watch(seen, gan, verdict))
    duel(own, gan, batches, images=images, batch=batch, what=what, quiet=quiet, watch=tell, **settings)
    return gan
