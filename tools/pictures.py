"""Pictures of the site as lossless WebP: they weigh half to two thirds of their PNG files, pixel for pixel the same."""

from __future__ import annotations

import io
import re
from pathlib import Path

FROM = 10_000  # bytes: lighter pictures would gain little


def lighten(site: Path) -> int:
    """Put WebP in the place of PNG files of at least `FROM` bytes in ``_images`` that it makes lighter; bytes saved.

    All pages refer to the new files.
    """
    names, saved = {}, 0
    for path in sorted((site / "_images").glob("*.png")):
        if path.stat().st_size < FROM:
            continue
        lighter = webp(path)
        if len(lighter) < path.stat().st_size:
            saved += path.stat().st_size - len(lighter)
            path.with_suffix(".webp").write_bytes(lighter)
            path.unlink()
            names[path.name] = path.with_suffix(".webp").name
    if names:
        known = re.compile("_images/(" + "|".join(map(re.escape, names)) + ")")
        for page in site.rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            changed = known.sub(lambda found: "_images/" + names[found[1]], text)
            if changed != text:
                page.write_text(changed, encoding="utf-8")
    return saved


def webp(path: Path) -> bytes:
    """The picture of a PNG file as WebP, with every pixel as it is."""
    from PIL import Image

    content = io.BytesIO()
    with Image.open(path) as picture:
        picture.save(content, "WEBP", lossless=True, exact=True, method=3)
    return content.getvalue()
