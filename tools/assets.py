"""Copy what the pages need from node_modules into book/_static/vendor, so that no page asks another host for anything.

npm has checked every package against the integrity hashes in package-lock.json; this only selects files. Nothing
third-party is committed: the folder is made anew at install time, licences included.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tools.project import ROOT, VENDOR, CourseError

# MathJax: the TeX → CHTML component with all TeX extensions built in, and its fonts. An extension fetched on demand
# (`\boldsymbol` is one) comes too late for a formula that is typeset while a quiz asks for its own, and is set in red.
# The speech engine (sre/) and the other outputs stay out: 20 MB that no page uses.
FILES = {
    "mathjax/es5/tex-chtml-full.js": "mathjax/tex-chtml-full.js",
    "mathjax/es5/output/chtml/fonts/woff-v2": "mathjax/output/chtml/fonts/woff-v2",
    "mathjax/LICENSE": "mathjax/LICENSE",
    "@jupyter-widgets/html-manager/dist/embed.js": "html-manager/embed.js",
    "@jupyter-widgets/html-manager/dist/embed.js.LICENSE.txt": "html-manager/embed.js.LICENSE.txt",
    "@jupyter-widgets/base7/LICENSE": "html-manager/LICENSE",  # the same project's; html-manager ships none
}
# embed.js finds its icon fonts beside itself, under hashed names.
FONTS = "@jupyter-widgets/html-manager/dist/*.woff2"


def copy_assets(modules: Path, target: Path) -> int:
    """Fill `target` from `modules` (a node_modules folder) and return the number of bytes copied."""
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for source, name in FILES.items():
        origin, place = modules / source, fresh / name
        if not origin.exists():
            raise CourseError(
                f"{origin}: expected a file of an npm package, found nothing; run `make install`"
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, place)
        else:
            shutil.copyfile(origin, place)
    for font in modules.glob(FONTS):
        shutil.copyfile(font, fresh / "html-manager" / font.name)
    # Complete or absent, never half: the folder takes its final name in the last step.
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def main() -> int:
    """Copy, report the size, return an exit status."""
    try:
        size = copy_assets(ROOT / "node_modules", VENDOR)
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"front-end assets: {size / 1e6:.1f} MB in {VENDOR.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
