import sys

from course_lib.commands.leaderboard import main

if __name__ == "__main__":
    sys.exit(main())
