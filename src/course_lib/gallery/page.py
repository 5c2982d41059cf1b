"""The model zoo's page, made from the cards of the checkpoints that ship, and whether it is up to date."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from course_lib import data, zoo
from course_lib.data.files import checksums
from course_lib.gallery.catalogue import CATALOGUE, SCORES, explained
from course_lib.gallery.pictures import STRIPS, file_name
from course_lib.metrics.result import with_interval

COMMAND = f"{zoo.COMMAND} page"
LONGEST = 60  # letters of a setting's value; longer lists are counted
# What of a card has a place of its own on the page, or none.
_ELSEWHERE = {
    "name",
    "architecture",
    "config",
    "settings",
    "data",
    "images_seen",
    "hardware",
    "minutes",
    "scores",
}
_ELSEWHERE |= {"progress", "recipe"}

_OPENING = """(zoo)=
# Model zoo

Every trained network that comes with the course: what it is, what it saw, how long its training took, and how good it
is. Loading one takes a line, and so does training it again.

```python
from course_lib import zoo

model = zoo.load("{example}")
card = zoo.info("{example}")
```

The model is in eval mode and frozen. The card holds all that this page says of it.

**How to read it.**

- A *picture seen* is one picture in one minibatch. The same picture counts each time it comes up.
- *Minutes* are those of the one training whose weights ship. Other programs ran beside some of them.
- *Scores* have a 95 % interval where there is one, and the number n of pictures or samples behind it. They are about
  these weights: another training with another seed would give others. [What the scores say](zoo-scores) explains each.
- All models that generate stand side by side on the {{ref}}`leaderboard`.
- Weights are in half precision, under the MIT licence like the code. `data/README.md` lists the checksum (sha256) of
  each file, and loading compares it.

To train one with other settings, or without a GPU, see [how long it takes](how-long).
"""

_CLOSING = """
This page is written from the cards, `data/checkpoints/NAME.json`, by

```text
{command}
```

The book is not built while it says something else than they do.
"""


def page_path() -> Path:
    """Where the page lies: ``book/appendix/zoo.md``."""
    return data.repository_folder() / "book" / "appendix" / "zoo.md"


def write() -> Path:
    """Write the page; returns `page_path`. PermissionError if that is not possible, else as `page`."""
    data.require_writable(page_path().parent, "the page")
    data.write_atomically(page_path(), page().encode())
    return page_path()


def defects() -> list[str]:
    """Why the page is out of date, one line each; nothing if it is not."""
    found = [
        f"{name} is not in CATALOGUE of course_lib/gallery/catalogue.py"
        for name in zoo.names()
        if name not in CATALOGUE
    ]
    for name in zoo.names():
        unknown = [score for score in zoo.info(name)["scores"] if explained(score) is None]
        found += [f"{score!r}, a score of {name}, is not in SCORES of the same file" for score in unknown]
    if not found and (not page_path().is_file() or page_path().read_text(encoding="utf-8") != page()):
        found.append(f"{page_path().name} is not what the cards say")
    return found


def page() -> str:
    """The page, in MyST; KeyError for a checkpoint or a score that nobody has described."""
    shipped = [name for name in CATALOGUE if name in set(zoo.names())]
    if absent := set(zoo.names()) - set(CATALOGUE):
        raise KeyError(
            f"CATALOGUE: expected every checkpoint that ships, {', '.join(sorted(absent))} missing"
        )
    cards = {name: zoo.info(name) for name in shipped}
    parts = [_OPENING.format(example=next(n for n in shipped if CATALOGUE[n].strip == "samples"))]
    parts.append(_overview(cards))
    for chapter in sorted({CATALOGUE[name].chapter for name in shipped}):
        number, title = _chapter(chapter)
        parts.append(f"## {number}. {title}\n")
        parts += [_section(name, card) for name, card in cards.items() if CATALOGUE[name].chapter == chapter]
    parts.append(_scores(cards))
    return "\n".join(parts) + _CLOSING.format(command=COMMAND)


def _section(name: str, card: Mapping[str, Any]) -> str:
    item = CATALOGUE[name]
    parts = [f"(zoo-{_anchor(name)})=\n### {item.title}\n", f"`{name}`, {_link(item.chapter)}. {item.text}\n"]
    if item.strip:
        strip = STRIPS[item.strip]
        alt = f"{item.title}. {strip.alt.format(what=item.shows)}"
        parts.append(f"```{{figure}} ../_generated/{file_name(name)}\n:alt: {alt}\n\n{strip.caption}\n```\n")
    size = _file(name).stat().st_size
    weights = sum(w.numel() for w in zoo.load(name).parameters())
    digest = checksums()[f"{zoo.FOLDER}/{name}.safetensors"]
    parts.append(
        f"- **Data:** {_times(card['data'])}\n"
        f"- **Training:** {card['images_seen']:,} pictures seen, {_minutes(card['minutes'])}, "
        f"{_hardware(card['hardware'])}\n"
        f"- **Size:** {weights:,} parameters, {size / 1e6:.2f} MB, sha256 `{digest[:12]}…`\n"
        f'- **Load:** `zoo.load("{name}")`\n'
        f"- **Train:** `{zoo.COMMAND} train {name}`\n"
    )
    rows = [["score", "value", "n"]]
    for score, found in card["scores"].items():
        value = with_interval(found["value"], math.nan if found["ci95"] is None else found["ci95"])
        rows.append([_minus(score), _minus(value), f"{found['n']:,}"])
    parts.append(_table(rows, "lrr"))
    parts.append(f":::{{dropdown}} All settings of {name}\n{_settings(card)}:::\n")
    return "\n".join(parts)


def _overview(cards: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [["checkpoint", "chapter", "minutes", "MB"]]
    for name, card in cards.items():
        megabytes = f"{_file(name).stat().st_size / 1e6:.1f}"
        link = f"[{CATALOGUE[name].title}](zoo-{_anchor(name)})"
        rows.append([link, str(CATALOGUE[name].chapter), f"{card['minutes']:.0f}", megabytes])
    total = sum(card["minutes"] for card in cards.values()) / 60
    said = f"{len(cards)} networks, whose trainings took {total:.0f} hours in all.\n\n"
    return f":::{{dropdown}} All of them in one table\n{said}{_table(rows, 'lrrr')}:::\n"


def _settings(card: Mapping[str, Any]) -> str:
    """A table of the recipe, what it was given, the architecture and its numbers."""
    rows = [["setting", "value"], ["recipe", f"`{card['recipe']}`"]]
    rows += [[key, _value(value)] for key, value in card["settings"].items()]
    rows += [
        [key, _value(value)] for key, value in card.items() if key not in _ELSEWHERE | set(card["settings"])
    ]
    rows.append(["architecture", f"`{card['architecture']}`"])
    rows += [[key, _value(value)] for key, value in card["config"].items()]
    return _table(rows, "ll")


def _scores(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """The entries of `SCORES` that occur."""
    used = {str(explained(score)) for card in cards.values() for score in card["scores"]}
    rows = [["score", "what it says", "chapter"]]
    for score, (chapter, text) in SCORES.items():
        if score in used:
            rows.append([_minus(score), text, f"[{chapter}](../{_file_of(chapter)})"])
    return f"(zoo-scores)=\n## What the scores say\n\n{_table(rows, 'llr')}"


def _file(name: str) -> Path:
    return data.data_folder() / zoo.FOLDER / f"{name}.safetensors"


def _file_of(chapter: int) -> str:
    """The notebook of a chapter; ValueError if there is none."""
    folder = data.repository_folder() / "book"
    found = sorted(path.name for path in folder.glob(f"{chapter:02d}_*.ipynb"))
    if len(found) != 1:
        raise ValueError(
            f"chapter: expected one notebook of chapter {chapter} in {folder}, found {len(found)}"
        )
    return found[0]


def _chapter(chapter: int) -> tuple[int, str]:
    """Number and title of a chapter, as its notebook says them."""
    path = data.repository_folder() / "book" / _file_of(chapter)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join(cells[0]["source"])
    found = re.match(r"# (\d+)\. (.+)", text)
    if not found or int(found[1]) != chapter:
        raise ValueError(f"{path.name}: expected a title '# {chapter}. …', found {text[:40]!r}")
    return chapter, found[2].strip()


def _link(chapter: int) -> str:
    return f"[chapter {chapter}](../{_file_of(chapter)})"


def _anchor(name: str) -> str:
    return name.replace("_", "-")


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes >= 10 else f"{minutes:.1f} minutes"


def _hardware(text: str) -> str:
    """What a card says of a processor, in words; of anything else, as it stands."""
    found = re.fullmatch(r"cpu \((\S+), (\d+) threads\)", text)
    if not found:
        return text
    return f"{'one thread' if found[2] == '1' else found[2] + ' threads'} of a processor ({found[1]})"


def _value(value: Any) -> str:
    """A setting: a number as it is, anything else in code; a long list is counted, or each of several."""
    if isinstance(value, Mapping):
        return "<br>".join(f"{key}: {_value(part)}" for key, part in value.items())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > LONGEST and isinstance(value, Sequence):
        return f"{len(value)} of them"
    return f"`{text}`"


def _minus(text: str) -> str:
    """Minus signs in the place of hyphens that stand before a number or a score's name."""
    return re.sub(r"(?<![\w])-(?=[\w.])", "−", text)


def _times(text: str) -> str:
    return re.sub(r"(?<=\d) x (?=\d)", " × ", text)


def _table(lines: Sequence[Sequence[str]], align: str) -> str:
    head, *body = lines
    ruler = [{"l": "---", "r": "---:"}[a] for a in align]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ruler, *body))
