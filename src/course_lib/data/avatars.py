"""Drawn faces with an attribute table, by DiceBear and resvg: a CelebA without a download or anyone's likeness."""

import functools
import hashlib
import importlib.metadata
import importlib.resources
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib.checks import choice, flag, memory, seed_number, whole
from course_lib.data.files import cache_folder
from course_lib.data.images import decoded, from_uint8
from course_lib.data.sealed import load_sealed, save_sealed
from course_lib.precision import course_defaults
from course_lib.progress import progress as progress_bar

# Face styles whose licence allows what a course does with images: style -> (licence, creator).
_STYLES = {
    "open-peeps": ("CC0 1.0", "Pablo Stanley"),
    "lorelei": ("CC0 1.0", "Lisa Wischofsky"),
    "notionists": ("CC0 1.0", "Zoish"),
    "pixel-art": ("CC0 1.0", "DiceBear"),
    "voxel-art": ("CC0 1.0", "DiceBear"),
    "cutouts": ("CC0 1.0", "DiceBear"),
    "personas": ("CC BY 4.0", "Draftbit - draftbit.com"),
    "toon-head": ("CC BY 4.0", "Johan Melin"),
    "micah": ("CC BY 4.0", "Micah Lanier"),
    "adventurer": ("CC BY 4.0", "Lisa Wischofsky"),
    "big-smile": ("CC BY 4.0", "Ashley Seo"),
}
_CHUNK = 1000  # faces per cache file: what an interrupt costs at most, about five seconds of rendering


def avatar_styles() -> dict[str, str]:
    """The styles that `avatars` accepts -> licence and creator, whom CC BY wants named beside published images."""
    return {style: f"{licence}, {creator}" for style, (licence, creator) in _STYLES.items()}


@course_defaults()
def avatars(
    n: int, size: int = 64, seed: int = 0, style: str = "open-peeps", *, progress: bool = True
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """The first n faces of a fixed, endless sequence: face i depends on (style, size, seed, i) alone.

    The first request renders (about 5 ms a face, with a bar if `progress`); later ones read the cache folder. `size` is
    from 8 to 1024 pixels, `style` one of `avatar_styles()`. Returns x, float32 (n, 3, size, size) in [-1, 1], and
    attributes: column -> array of n strings, a variant's name or a colour like "e78276"; "none" if this face lacks it.
    Raises TypeError or ValueError for a wrong argument, ImportError if the rendering libraries are not installed.
    """
    n, seed = whole("n", n), seed_number("seed", seed)
    size = whole("size", size, at_least=8, at_most=1024)
    style = choice("style", style, _STYLES)
    return faces(n, style, size, seed, {}, progress)


def faces(
    n: int, style: str, size: int, seed: int, fixed: dict[str, Any], progress: bool
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """As `avatars`, of faces whose options are partly `fixed`, in DiceBear's own names and values."""
    flag("progress", progress)
    # 3 bytes, then 3 floats, for each pixel
    memory(f"{n:,} faces of {size} x {size}", 15 * n * size**2, "take fewer, or smaller ones")
    renderer = _Renderer(style, size, seed, fixed)
    folder = cache_folder() / "avatars" / f"{style}-{size}-{seed}-{renderer.fingerprint()}"
    files = [folder / f"{start:07d}.sealed" for start in range(0, n, _CHUNK)]
    wanted = [min(_CHUNK, n - number * _CHUNK) for number in range(len(files))]
    chunks = [_load(file, renderer) for file in files]
    missing = [range(len(chunk["images"]), want) for chunk, want in zip(chunks, wanted, strict=True)]
    total = sum(map(len, missing))
    if total:
        quiet = not progress or total < _CHUNK // 4  # about a second: no bar for that
        with progress_bar(total, f"rendering {style}", unit=" faces", quiet=quiet) as bar:
            for number, file in enumerate(files):
                drawn = []
                for i in missing[number]:
                    drawn.append(renderer(number * _CHUNK + i))
                    bar.update()
                if drawn:
                    chunks[number] = _append(chunks[number], drawn)
                    _save(file, chunks[number])
    merged = {
        key: np.concatenate([chunk[key][:want] for chunk, want in zip(chunks, wanted, strict=True)])
        for key in ("images", *renderer.columns)
    }
    return from_uint8(merged.pop("images")), merged


class _Renderer:
    """Draws face i of one sequence: called with i, gives its "images", uint8 (size, size, 3), and its attributes."""

    def __init__(self, style: str, size: int, seed: int, fixed: dict[str, Any]) -> None:
        try:
            from dicebear import Avatar, Style
            from resvg_py import svg_to_bytes

            source = importlib.resources.files("dicebear_styles").joinpath(f"{style}.json")
            self.definition: bytes = source.read_bytes()
        except ImportError as error:
            raise ImportError(
                f"avatars() renders with dicebear-core, dicebear-styles and resvg-py, and {error.name or error} "
                'is not installed; install all three with: pip install "course_lib[avatars]"  '
                '(in a clone: pip install -e ".[avatars]")'
            ) from error
        parsed = json.loads(self.definition)
        # Built when the first face is drawn: it validates the whole definition, which a cached set need not wait for.
        self._make_style = functools.cache(lambda: Style(parsed))
        self._avatar, self._rasterise = Avatar, svg_to_bytes
        self._size, self._seed, self._fixed = size, seed, fixed
        self._options, self._derives_glasses = _varying(parsed)
        self.columns = [*self._options, *(["glasses"] if self._derives_glasses else [])]

    def fingerprint(self) -> str:
        """Changes whenever another version of a library or style could draw other pixels."""
        libraries = ("dicebear-core", "dicebear-styles", "resvg-py")
        versions = [importlib.metadata.version(name) for name in libraries]
        text = json.dumps([*versions, hashlib.sha256(self.definition).hexdigest()])
        text += json.dumps(self._fixed) if self._fixed else ""
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __call__(self, i: int) -> dict[str, Any]:
        avatar = self._avatar(self._make_style(), {"seed": f"{self._seed}-{i}", **self._fixed})
        # Without system fonts and with a fixed background the pixels depend on nothing outside.
        square = {"width": self._size, "height": self._size, "background": "white"}
        png = self._rasterise(svg_string=avatar.to_string(), skip_system_fonts=True, **square)
        options = avatar.to_json()["options"]
        row = {column: _text(options.get(key)) for column, key in self._options.items()}
        if self._derives_glasses:
            worn = [value for value in row.values() if "glasses" in value.lower()]
            row["glasses"] = worn[0].rstrip("0123456789") if worn else "none"
        return {"images": decoded(png), **row}

    def empty(self) -> dict[str, np.ndarray]:
        """A chunk of no faces."""
        images = np.empty((0, self._size, self._size, 3), np.uint8)
        return {"images": images, **{column: np.empty(0, "U1") for column in self.columns}}


def _varying(definition: dict[str, Any]) -> tuple[dict[str, str], bool]:
    """Column -> option, for all that differs between faces of a style, and whether to derive a column of glasses."""
    columns: dict[str, str] = {}
    glasses = False
    for name, part in definition["components"].items():
        variants = list(part["variants"])
        if len(variants) > 1 or part.get("probability", 100) < 100:
            columns[_snake(name)] = f"{name}Variant"
        glasses |= any("glasses" in variant.lower() for variant in variants)
    for name, colour in definition.get("colors", {}).items():
        if len(colour["values"]) > 1:
            columns[f"{_snake(name)}_color"] = f"{name}Color"
    return columns, glasses and "glasses" not in columns


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _text(value: object) -> str:
    """An option as one word: a variant's name, the colour of a one-element list, "none" if absent."""
    if isinstance(value, list):
        return "+".join(str(item) for item in value) or "none"
    return "none" if value is None else str(value)


def _append(chunk: dict[str, np.ndarray], faces: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([column, [face[key] for face in faces]]) for key, column in chunk.items()}


def _load(file: Path, renderer: _Renderer) -> dict[str, np.ndarray]:
    """A chunk from the cache, or an empty one if the file is absent, damaged or of another make."""
    chunk, empty = load_sealed(file), renderer.empty()
    if chunk is None or set(chunk) != set(empty):
        return empty
    images = chunk["images"]
    fits = images.dtype == np.uint8 and images.shape[1:] == empty["images"].shape[1:]
    return chunk if fits and all(len(column) == len(images) for column in chunk.values()) else empty


def _save(file: Path, chunk: dict[str, np.ndarray]) -> None:
    try:
        save_sealed(file, chunk)
    except OSError as error:  # a full disk: the faces are there all the same
        warnings.warn(f"rendered faces could not be cached in {file}: {error}", stacklevel=4)
