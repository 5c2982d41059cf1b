import sys

from course_lib.commands.zoo import main

if __name__ == "__main__":
    sys.exit(main())
