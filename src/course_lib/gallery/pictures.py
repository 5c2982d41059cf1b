"""The pictures of the model zoo's page and of the timeline: a strip for each checkpoint, drawn from its weights.

The book's build draws them (`draw`), next to the pages; they are not committed.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from course_lib import checks, data, features, show, style, zoo
from course_lib.data.paintings import PAINTINGS
from course_lib.gallery.catalogue import CATALOGUE
from course_lib.leaderboard.entries import ENTRIES, sampler, seeded
from course_lib.recipes.transfer import PHOTOS
from course_lib.training import batched

FOLDER = "book/_generated"
TIMELINE = "history_faces.png"
COLUMNS = 10
STYLE_SIDE, STYLE_COLUMNS = 96, 5
# The course's models of drawn faces, by the year of their idea; the timeline shows those that ship.
FACES = {
    "dcgan_avatars": "2015\nDCGAN",
    "stylegan_avatars": "2018\nStyleGAN",
    "stylegan2_avatars": "2019\nStyleGAN2",
    "r3gan_avatars": "2024\nR3GAN",
}
FACES_EACH = 5


class Strip(NamedTuple):
    """How a kind of checkpoint is shown."""

    draw: Callable[[str], Tensor]  # its name -> pictures (N, C, H, W) in [-1, 1], row by row
    columns: int
    caption: str
    alt: str  # of what it `shows`


def _samples(name: str) -> Tensor:
    draw = sampler(ENTRIES[name]) if name in ENTRIES else zoo.load(name).sample
    with torch.no_grad():
        return draw(COLUMNS, seeded(0))


def _classes(name: str) -> Tensor:
    with torch.no_grad():
        return zoo.load(name).sample(COLUMNS, seeded(0), torch.arange(10))


def _reconstructions(name: str) -> Tensor:
    x, model = _test_pictures(CATALOGUE[name].shows), zoo.load(name)
    return torch.cat([x, batched(lambda part: model.decode(model.encode(part)), x)])


def _test_pictures(what: str) -> Tensor:
    if what == "photographs":
        return data.cifar10_sample()[0][:COLUMNS]
    if what == "drawn faces":
        return data.avatars(COLUMNS, 64, seed=1, progress=False)[0]
    return data.mnist("test")[0][:COLUMNS]


def _swaps(name: str) -> Tensor:
    model = zoo.load(name)
    first, second = model.cfg.people
    x, _ = data.character(first, COLUMNS, seed=2, progress=False)
    with torch.no_grad():
        return torch.cat([x, model(x, first), model(x, first, second)])


def _styles(name: str) -> Tensor:
    model, network, rows = zoo.load(name), features.imagenet(), []
    for k, manner in enumerate(sorted(PAINTINGS)[:STYLE_COLUMNS]):
        photo, painting = data.photo(PHOTOS[k % len(PHOTOS)]), data.painting(manner, seed=0)
        rows.append(torch.cat([photo, painting, style.transfer(photo, painting, model, network)]))
    small = F.interpolate(torch.stack(rows, 1).flatten(0, 1), STYLE_SIDE, mode="bicubic", antialias=True)
    return small


STRIPS: dict[str, Strip] = {
    "samples": Strip(
        _samples, COLUMNS, "The first ten samples of seed 0.", "Ten generated pictures in a row: {what}."
    ),
    "classes": Strip(
        _classes,
        COLUMNS,
        "One sample of each digit from 0 to 9, of seed 0.",
        "Ten generated pictures in a row, {what} from 0 to 9.",
    ),
    "reconstructions": Strip(
        _reconstructions,
        COLUMNS,
        "Ten pictures that it was not trained on, and below them their reconstructions.",
        "Two rows of ten pictures, {what} above and their reconstructions below.",
    ),
    "swaps": Strip(
        _swaps,
        COLUMNS,
        "Moments of one person that it was not trained on; the same, reconstructed; the same, as the other person.",
        "Three rows of ten {what}: one person, the same reconstructed, and the other person in the same moments.",
    ),
    "styles": Strip(
        _styles,
        STYLE_COLUMNS,
        "Photographs; drawn paintings; the photographs in the paintings' manners.",
        "Three rows of five pictures: photographs, paintings, and each photograph in the manner of the painting.",
    ),
}


def file_name(name: str) -> str:
    """The strip of a checkpoint."""
    return f"zoo_{name}.png"


def drawn(name: str) -> bytes:
    """The strip of a checkpoint that has one, as a PNG file; ValueError if there is none of this name."""
    kind = CATALOGUE[checks.choice("name", name, [n for n, item in CATALOGUE.items() if item.strip])].strip
    return png(STRIPS[str(kind)].draw(name), STRIPS[str(kind)].columns)


def png(x: Tensor, columns: int) -> bytes:
    """Images x (N, 1 or 3, H, W), clamped to [-1, 1], as a PNG file: row by row, 255 colours, gaps transparent.

    Images below 48 pixels are shown at twice their size, pixel for pixel.
    """
    pixels = data.to_uint8(x).reshape(len(x), *x.shape[2:], -1)
    if x.shape[-1] < 48:
        pixels = pixels.repeat(2, 1).repeat(2, 2)
    _, height, width, _ = pixels.shape
    gap, rows = width // 16, -(-len(x) // columns)
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    filled = np.zeros(canvas.shape[:2], bool)
    for k, picture in enumerate(pixels):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        canvas[top : top + height, left : left + width] = picture
        filled[top : top + height, left : left + width] = True
    few = Image.fromarray(canvas).quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    numbers = np.where(filled, np.asarray(few), 255).astype(np.uint8)
    image = Image.fromarray(numbers, "P")
    image.putpalette([*(few.getpalette() or []), *[0] * 768][:768])
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True, transparency=255)
    return content.getvalue()


def faces() -> Figure:
    """`FACES_EACH` samples of every model in `FACES` that ships, of seed 0, in the order of their years."""
    shipped = [name for name in FACES if name in zoo.names()]
    _, axis = plt.subplots(figsize=(6.4, 1.0 * len(shipped)))
    x = torch.cat([_samples(name)[:FACES_EACH] for name in shipped])
    figure = show.images(x, columns=FACES_EACH, rows=[FACES[name] for name in shipped], clip=True, ax=axis)
    axis.tick_params(labelsize=16)
    return figure


def draw(folder: Path | None = None) -> None:
    """Write the strips of all checkpoints that have one into `folder`, by default where the book looks for them."""
    folder = folder or data.repository_folder() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in zoo.names():
        if name in CATALOGUE and CATALOGUE[name].strip:
            (folder / file_name(name)).write_bytes(drawn(name))
    show.style()
    settings: dict[str, Any] = {"dpi": 170, "bbox_inches": "tight"}
    figure = faces()
    figure.savefig(folder / TIMELINE, **settings)
    plt.close(figure)
