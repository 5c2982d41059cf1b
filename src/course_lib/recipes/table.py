"""Which recipe makes which checkpoint."""

from course_lib.recipes import autoencoders, avatars, digits, gans, vae, vq
from course_lib.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    **digits.RECIPES,
    **avatars.RECIPES,
    **autoencoders.RECIPES,
    **vae.RECIPES,
    **vq.RECIPES,
    **gans.RECIPES,
}
