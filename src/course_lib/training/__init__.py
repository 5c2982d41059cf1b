"""Where and how long a notebook computes, and the loops of the recipes: resumable, guarded, on one device or many."""

from course_lib.evaluation import accuracy, batched
from course_lib.training.divergence import TrainingDiverged, require_finite
from course_lib.training.duelling import DiscriminatorWon, Smoothness, duel, lazily
from course_lib.training.ema import EMA, Averaging
from course_lib.training.fitting import fit
from course_lib.training.guard import Guard
from course_lib.training.resume import Snapshot, Snapshots
from course_lib.training.runtime import Runtime
