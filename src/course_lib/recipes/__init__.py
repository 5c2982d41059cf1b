"""How each shipped checkpoint was trained and is scored, one function each; how it is made and verified."""

from course_lib.recipes.digits import random_affine
from course_lib.recipes.making import RECIPES, export, make, verify
from course_lib.recipes.points import train_points
from course_lib.recipes.recipe import Recipe
