"""Neural style transfer: what it minimises, the optimisation, and the way in one pass (chapter 16)."""

from course_lib.style.losses import content_loss, gram, style_loss, total_variation
from course_lib.style.one_pass import (
    AdaINTransfer,
    AdaINTransferConfig,
    blended,
    moment_loss,
    restyled,
    transfer,
)
from course_lib.style.stylize import LAYERS, Stylized, stylize
