"""How each shipped checkpoint was trained, one function per recipe, run by ``python -m course_lib.zoo train NAME``.

A record is an experiment too long for a page, run by ``python -m course_lib.zoo record NAME``.
"""

from collections.abc import Callable

from course_lib.cards import mean, proportion
from course_lib.recipes import autoencoders, avatars, digits, gans, leaderboard, matching, toys, vae, vq
from course_lib.recipes.digits import balanced_subset, random_affine, train_small_cnn
from course_lib.recipes.duelling import DiscriminatorWon, duel
from course_lib.recipes.fitting import fit
from course_lib.recipes.recipe import Facts, Recipe
from course_lib.training import Runtime

RECIPES: dict[str, Recipe] = {
    **digits.RECIPES,
    **avatars.RECIPES,
    **autoencoders.RECIPES,
    **vae.RECIPES,
    **vq.RECIPES,
    **gans.RECIPES,
}
RECORDS: dict[str, Callable[[Runtime, bool], Facts]] = {
    **digits.RECORDS,
    **vae.RECORDS,
    **toys.RECORDS,
    **gans.RECORDS,
    **matching.RECORDS,
    **leaderboard.RECORDS,
}

__all__ = [
    "RECIPES",
    "RECORDS",
    "DiscriminatorWon",
    "Facts",
    "Recipe",
    "balanced_subset",
    "duel",
    "fit",
    "mean",
    "proportion",
    "random_affine",
    "train_small_cnn",
]
