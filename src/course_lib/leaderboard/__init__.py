"""The leaderboard: every generator by every score, the record behind it and the page that shows it (chapter 15).

``python -m course_lib.leaderboard`` scores what has changed since the last record, writes
``data/records/leaderboard.json``, and from it the page ``book/leaderboard.md``. With ``--all`` every row is scored
anew, as after a change of a metric. The book's build fails where `defects` finds any.
"""

from course_lib.leaderboard.page import COMMAND, best, defects, rows
from course_lib.leaderboard.record import REAL

__all__ = ["COMMAND", "REAL", "best", "defects", "rows"]
