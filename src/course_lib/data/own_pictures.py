"""The reader's own pictures: a folder of files of any size and kind becomes a data set; or one picture, whole."""

import http.client
import io
import os
import unicodedata
import urllib.request
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib.checks import flag, real, whole
from course_lib.data.images import from_uint8
from course_lib.data.online import DownloadError
from course_lib.precision import course_defaults
from course_lib.progress import progress as progress_bar

_SUFFIXES = {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# Fixed, though other versions of Pillow read more: the set must not depend on them, and some formats run programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_LARGEST = 50_000_000  # bytes, of a picture that is fetched
_LITTER = {"desktop.ini", "thumbs.db"}  # written by file managers; hidden files, names with a dot, are too


@course_defaults()
def pictures(
    folder: str | os.PathLike[str],
    size: int = 64,
    *,
    colour: bool = True,
    crop: bool = True,
    skip_broken: bool = False,
    limit_gb: float = 4.0,
    progress: bool = True,
) -> tuple[torch.Tensor, list[str]]:
    """All pictures in a folder and its sub-folders, as one set of squares of one size.

    Reads JPEG, PNG, WebP, BMP, GIF and TIFF in the order of their names, the first picture where a file has several.
    They are turned as the camera was held, transparent parts become white, and resizing is antialiased (Lanczos). A
    warning names what is left out, other kinds of files and links to folders; hidden files are passed over.

    Args:
        folder: where the pictures are; "~" stands for the home folder.
        size: width and height wanted, in pixels.
        colour: False turns them into grey images.
        crop: True keeps the square in the middle; False keeps the whole picture and fills up with white.
        skip_broken: True leaves out files that cannot be read, with a warning, instead of raising ValueError.
        limit_gb: refuse what would take more memory than this (10^9 bytes), the set or a picture while it is decoded.
        progress: show a bar while reading 100 files or more.

    Returns:
        x: float32 (N, 3, size, size), or (N, 1, size, size) if not `colour`, in [-1, 1], red first.
        files: the N paths below `folder`, with forward slashes: row i of x shows files[i].

    Raises:
        TypeError, ValueError, OSError: a wrong argument or folder, no pictures, some that cannot be read, or too many.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder must be a string or a Path; received {type(folder).__name__}")
    size, limit = whole("size", size), real("limit_gb", limit_gb, positive=True)
    flags = {"colour": colour, "crop": crop, "skip_broken": skip_broken, "progress": progress}
    for name, value in flags.items():
        flag(name, value)
    root = Path(folder).expanduser().absolute()
    files, others = _listed(root)
    for names, advice in others.items():
        left_out = f"{_count(len(names), 'file')} in {root} left out"
        warnings.warn(f"{left_out}: {_some(names)}. {advice}", stacklevel=3)
    need = 4 * len(files) * (3 if colour else 1) * size**2 / 1e9
    if need > limit:
        raise ValueError(
            f"{len(files):,} pictures with size {size} need {need:.3g} GB of memory, more than limit_gb = {limit:g}; "
            "use a smaller size or fewer pictures, or raise limit_gb if your computer has that much to spare"
        )

    pixels = np.empty((len(files), size, size, *([3] if colour else [])), np.uint8)
    kept, broken, small = [], [], []
    with progress_bar(len(files), "reading pictures", quiet=not progress or len(files) < 100) as bar:
        for file in files:
            try:
                pixels[len(kept)], (width, height) = _square(root / file, size, colour, crop, limit - need)
            except Exception as error:  # Pillow raises whatever a damaged file leads it to
                broken.append(f"{file} ({_reason(error)})")
            else:
                kept.append(file)
                if (min if crop else max)(width, height) < size:
                    small.append(f"{file} ({width} x {height})")
            bar.update()
    if broken:
        report = f"{len(broken):,} of {_count(len(files), 'picture')} in {root} cannot be read:\n  "
        report += "\n  ".join(broken) + "\n"
        if not kept:
            raise ValueError(report + "No other is left")
        if not skip_broken:
            advice = "move these out of the folder or save them anew, or pass skip_broken=True to go on without them"
            raise ValueError(f"{report}The other {len(kept):,} can; {advice}")
        warnings.warn(f"{report}Going on with the other {len(kept):,}", stacklevel=3)
    if small:
        warnings.warn(
            f"{len(small):,} of {_count(len(kept), 'picture')} enlarged to {size} pixels, and so blurred: "
            f"{_some(small)}; a smaller size avoids it",
            stacklevel=3,
        )
    # As a tensor, which from_uint8 need not copy first: the bytes are a quarter of what it returns.
    return from_uint8(torch.from_numpy(pixels[: len(kept)])), kept


@course_defaults()
def picture(source: Any, side: int = 256, *, limit_gb: float = 4.0) -> torch.Tensor:
    """One picture of the reader's, whole and in colour: float32 (1, 3, H, W) in [-1, 1], as `pictures` reads them.

    Args:
        source: a file's path, its address on the web, its bytes (as an upload gives them), or an open binary file.
        side: of a larger picture, the longer side is made so long, and a warning says so; smaller ones stay.
        limit_gb: refuse a picture that takes more memory than this (10^9 bytes) while it is decoded.

    TypeError, ValueError, OSError: a wrong argument, no such file, or one that cannot be read or fetched.
    """
    from PIL import Image

    side, limit = whole("side", side), real("limit_gb", limit_gb, positive=True)
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        name, source = source, io.BytesIO(_fetched(source))
    elif isinstance(source, (str, os.PathLike)):
        name = str(source)
        source = Path(source).expanduser()
        if not source.is_file():
            what = (
                "is a folder; data.pictures reads these" if source.is_dir() else "is no file; check the name"
            )
            raise FileNotFoundError(f"source: {name} {what}")
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name, source = "the picture", io.BytesIO(bytes(source))
    elif hasattr(source, "read"):
        name = str(getattr(source, "name", "the picture"))
    else:
        raise TypeError(f"source: expected a path, bytes or an open file, got {type(source).__name__}")
    try:
        flat, (w, h), turn, (width, height) = _flat(source, side, True, limit)
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise ValueError(
            f"source: {name} cannot be read ({_reason(error)}); save it anew as JPEG or PNG"
        ) from error
    if max(width, height) > side:
        flat = flat.resize(_fitting(w, h, side), Image.Resampling.LANCZOS, box=(0, 0, w, h))
    upright = np.asarray(flat if turn is None else flat.transpose(turn))
    if max(width, height) > side:
        made = f"{upright.shape[1]} x {upright.shape[0]}"
        text = f"{name} made smaller: its longer side of {max(width, height)} pixels is {side} now, {made}"
        warnings.warn(f"{text}; a larger `side` keeps more, and takes longer", stacklevel=3)
    return from_uint8(upright[None])


def _fetched(url: str) -> bytes:
    """The file at an address; DownloadError if it cannot be had, or is larger than `_LARGEST`."""
    # Some servers, as that of Wikimedia, refuse a program that does not say what it is.
    request = urllib.request.Request(url, headers={"User-Agent": "generative-modelling-course/1.0"})
    advice = "check the address and the network, or download it with a browser and give its path"
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read(_LARGEST + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DownloadError(
            f"source: expected a picture at {url}, got: {_reason(error)}; {advice}"
        ) from error
    if len(content) > _LARGEST:
        raise DownloadError(f"source: {url} is larger than {_LARGEST / 1e6:.0f} MB; {advice}")
    return content


def _listed(root: Path) -> tuple[list[str], dict[tuple[str, ...], str]]:
    """Paths below `root` with forward slashes, sorted: the pictures by their suffix; the rest, with what to do."""
    if not root.exists():
        raise FileNotFoundError(f"folder: there is no {root}; check the name, or give the whole path")
    if not root.is_dir():
        advice = "give the folder that holds the pictures (unpack an archive first)"
        raise NotADirectoryError(f"folder: {root} is a file; {advice}")

    def stop(error: OSError) -> None:
        raise error  # os.walk would pass over a folder that cannot be read

    found: dict[str, list[str]] = {"picture": [], "kind": [], "link": [], "special": []}
    for place, folders, names in os.walk(root, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = {name for name in folders if (Path(place) / name).is_symlink()}  # walking them may never end
        for name in [*names, *links]:
            if name.startswith(".") or name.lower() in _LITTER:
                continue
            path = Path(place) / name
            known = path.suffix.lower() in _SUFFIXES
            special = path.exists() and not path.is_file()  # but a link to nothing cannot be read
            which = "link" if name in links else "special" if special else "picture" if known else "kind"
            found[which].append(path.relative_to(root).as_posix())
    for names in found.values():
        # By code points, not by locale; composed, since some file systems store "é" as "e" and an accent.
        names.sort(key=lambda file: (unicodedata.normalize("NFC", file), file))
    suffixes = ", ".join(sorted(_SUFFIXES))
    advice = {
        "kind": f"Pictures are read from {suffixes}; save others, such as a telephone's .heic, as one of these",
        "link": "Links to folders are not followed; give the folder that one leads to",
        "special": "These are no files",
    }
    others = {tuple(found[which]): text for which, text in advice.items() if found[which]}
    if not found["picture"]:
        there = "; ".join(f"only {_some(names)}. {text}" for names, text in others.items()) or "nothing"
        where = f"in {root} or its sub-folders"
        raise ValueError(f"folder: expected pictures ({suffixes}) {where}, found {there}")
    return found["picture"], others


def _square(path: Path, size: int, colour: bool, crop: bool, limit: float) -> tuple[Any, tuple[int, int]]:
    """One picture, uint8 (size, size, 3) or (size, size), and its original width and height; at most `limit` GB."""
    from PIL import Image

    flat, (w, h), turn, original = _flat(path, size, colour, limit)
    # Resized before it is turned, since the box is measured from the corner where decoding began.
    lanczos = Image.Resampling.LANCZOS
    if crop:
        side = min(w, h)
        left, top = (w - side) / 2, (h - side) / 2
        shape, box = (size, size), (left, top, left + side, top + side)
    else:
        shape, box = _fitting(w, h, size), (0, 0, w, h)
    resized = flat.resize(shape, lanczos, box=box)
    upright = resized if turn is None else resized.transpose(turn)
    if crop:
        return np.asarray(upright), original
    canvas = Image.new(flat.mode, (size, size), "white")
    canvas.paste(upright, ((size - upright.width) // 2, (size - upright.height) // 2))
    return np.asarray(canvas), original


def _fitting(w: float, h: float, side: int) -> tuple[int, int]:
    """Width and height in proportion to w and h, the longer of them `side`."""
    return max(1, round(w * side / max(w, h))), max(1, round(h * side / max(w, h)))


def _flat(
    source: Any, size: int, colour: bool, limit: float
) -> tuple[Any, tuple[float, float], Any, tuple[int, int]]:
    """What a file shows, on white, at least `size` pixels each way if it has them, and as the file has it.

    Besides, how much of its width and height counts, what turns it upright, and the original width and height.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # It comes at half the number of pixels that Pillow refuses, and some telephones reach that.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        opened = Image.open(source, formats=_FORMATS)
    with opened as image:
        original = image.size
        # A JPEG file decoded at a half, a quarter or an eighth: six times faster and, with four pixels to one, as good.
        drafted = image.draft(None, (4 * size, 4 * size))
        if (need := 8 * image.width * image.height / 1e9) > limit:  # as it is, and as RGB or RGBA beside it
            raise ValueError(
                f"{image.width} x {image.height} pixels need {need:.3g} GB to be decoded, and limit_gb leaves "
                f"{limit:.3g}; make it smaller, or raise limit_gb"
            )
        image.load()
        # Not whole numbers where the last pixels decoded lie beyond the picture.
        counted = drafted[1][2:] if drafted else image.size
        turn = _turn(image)
        return _on_white(image).convert("RGB" if colour else "L"), counted, turn, original


def _turn(image: Any) -> Any:
    """What sets a loaded image upright by its EXIF orientation, None if it is; TIFF files were turned by Pillow."""
    from PIL import Image

    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # Pillow again: the note on how the camera was held is damaged, the picture is not
        return None
    to = Image.Transpose
    turns = (to.FLIP_LEFT_RIGHT, to.ROTATE_180, to.FLIP_TOP_BOTTOM, to.TRANSPOSE)  # orientations 2, 3, 4, 5
    turns += (to.ROTATE_270, to.TRANSVERSE, to.ROTATE_90)  # 6, 7, 8
    return turns[orientation - 2] if orientation in range(2, 9) else None


def _on_white(image: Any) -> Any:
    """The image with 8 bits per channel and without transparency."""
    from PIL import Image

    # 16-bit grey values: convert() would clip them at 255. Some versions of Pillow call PNG's "I", others "I;16".
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        values = np.asarray(image)
        grey = np.rint(values / 257).astype(np.uint8)  # 65535 / 257 = 255
        if "transparency" in image.info:
            grey[values == image.info["transparency"]] = 255
        return Image.fromarray(grey)
    if image.mode in ("I", "F"):
        raise ValueError("32-bit grey values, of which black and white are unknown; save it with 8 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "its content is not a picture of these formats"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller first"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _count(n: int, what: str) -> str:
    """As in "1 file" and "1,200 files"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first few of `names`, and how many more there are."""
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
