"""The critic's gap and the quality of the samples along a training (chapter 10)."""

from course_lib.cards import Facts
from course_lib.recipes.gans import train_critic
from course_lib.training import Runtime


def record_critic(rt: Runtime, quiet: bool = False) -> Facts:
    """Gap and Fréchet distance along WGAN-GPs with two and five critic steps at constant rates, and another seed."""
    settings = {"clip": False, "images": 448_000, "decay": 0.0, "half_life": None}
    runs = {}
    for critics in (2, 5):

        def one(critics: int = critics) -> Facts:
            own = rt.with_seed(rt.seed + 1)
            with own.seeded():
                return train_critic(own, quiet, critics=critics, **settings)[1]

        facts = rt.part(f"{critics}-critics", one)
        runs[f"{critics} critic steps"] = facts["progress"]
    return {"data": facts["data"], "images_seen": facts["images_seen"], "seed": rt.seed + 1, "runs": runs}
