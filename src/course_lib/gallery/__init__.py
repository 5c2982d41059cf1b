"""The model zoo's page: every checkpoint that ships in words, numbers and pictures (the appendix *Model zoo*)."""

from course_lib.gallery.catalogue import CATALOGUE, Item
from course_lib.gallery.page import COMMAND, defects, page_path, write
