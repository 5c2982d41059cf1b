"""The leaderboard: every generator by every score, the record behind it and the page that shows it (chapter 15)."""

from course_lib.leaderboard.page import COMMAND, best, defects, rows
from course_lib.leaderboard.record import REAL
