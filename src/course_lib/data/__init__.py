"""The course's data sets, offline first: every image set is float32 (N, C, H, W) in [-1, 1]."""

from course_lib.data.avatars import avatar_styles, avatars
from course_lib.data.characters import CHARACTERS, EXPRESSION, character
from course_lib.data.cifar10_sample import cifar10_sample
from course_lib.data.files import (
    DataFileError,
    cache_folder,
    data_folder,
    read_verified,
    record_checksum,
    repository_folder,
    require_writable,
    write_atomically,
)
from course_lib.data.images import from_uint8, to_uint8
from course_lib.data.mnist import mnist
from course_lib.data.online import DownloadError, celeba, cifar10, fashion_mnist
from course_lib.data.own_pictures import picture, pictures
from course_lib.data.paintings import painting
from course_lib.data.photos import photo
from course_lib.data.points import grid, grid_centres, ring, ring_centres, two_moons
from course_lib.data.shapes import FACTORS, disc_radii, discs, moving_discs
from course_lib.data.stacked_mnist import stacked_mnist
from course_lib.data.stream import Stream
from course_lib.data.subsets import balanced_subset
