"""Where and how long a notebook computes, and the loops of the recipes: resumable, guarded, for one device or several.

`Runtime` has the device, the budget and the seed; `fit` and `duel` are the two loops, `EMA` averages weights;
`accuracy` and `batched` look at a model without changing it; `require_finite` stops a loop that has diverged.
"""

from course_lib.evaluation import accuracy, batched
from course_lib.training.divergence import TrainingDiverged, require_finite
from course_lib.training.duelling import DiscriminatorWon, duel
from course_lib.training.ema import EMA
from course_lib.training.fitting import fit
from course_lib.training.guard import Guard
from course_lib.training.resume import Snapshot, Snapshots
from course_lib.training.runtime import Runtime
