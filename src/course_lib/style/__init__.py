"""Neural style transfer: what it minimises, what it moves, and the optimisation (chapter 16)."""

from course_lib.style.losses import content_loss, gram, style_loss, total_variation
from course_lib.style.stylize import LAYERS, Stylized, stylize
