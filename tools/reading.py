"""What keeps a chapter readable, as rules: short sentences, short cells, figures with captions, no name used twice.

``python -m tools.reading [06 errata …]`` names every defect, and prints each notebook's figures of prose and code.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.notebooks import FOLDED, read, tags, text
from tools.project import appendices, every_notebook, notebooks

COLUMNS, LINES = 72, 15  # of a visible cell
MEAN_WORDS, MOST_WORDS = 17, 40  # of a sentence
WORDS = 4000  # of a chapter's text, folded asides not counted
APPENDIX_WORDS = 5000  # of an appendix, where readers look things up

_ASIDE = re.compile(r"^(:{3,})\{dropdown\}.*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
_NOT_PROSE = [
    (re.compile(r"^(`{3,}).*?^\1[ ]*$", re.MULTILINE | re.DOTALL), "\n\n"),
    (re.compile(r"\$\$.+?\$\$(?:[ ]*\([\w-]+\))?", re.DOTALL), " formula "),
    (re.compile(r"\$[^$]+\$"), "formula"),
    (re.compile(r"\{[\w:.-]+\}`[^`]*`"), "formula"),
    (re.compile(r"`[^`]*`"), "formula"),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"^:{3,}.*$|^:[\w-]+:.*$|^\([\w-]+\)=.*$|^#+ .*$|^\|.*$", re.MULTILINE), "\n\n"),
    (re.compile(r"^[ ]*(?:[-*]|\d+\.) ", re.MULTILINE), "\n\n"),
    (re.compile(r"[*_]"), ""),
]
_END = re.compile(
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)(?<!\bal)(?<!\bvs)(?<!\b[A-Z])[.?!:](?=\s|$)[\"”)]*|\n\s*\n"
)
_BOUNDS_OF_A_CHAPTER = re.compile(r"\b[Cc]hapters? (\d+)")


def visible(cell: dict[str, Any]) -> bool:
    """Whether the page shows the cell's code unfolded."""
    return cell["cell_type"] == "code" and not FOLDED & set(tags(cell))


def prose(notebook: dict[str, Any]) -> str:
    """The chapter's text outside its folded asides, as plain words; a formula counts as one."""
    cells = (
        text(cell)
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown" and cell["id"] != "references"
    )
    plain = _ASIDE.sub("\n\n", "\n\n".join(cells))
    for pattern, instead in _NOT_PROSE:
        plain = pattern.sub(instead, plain)
    return plain


def sentences(plain: str) -> list[str]:
    """The sentences of plain text. What a colon introduces counts as a sentence of its own."""
    parts = (" ".join(part.split()) for part in _END.split(plain))
    return [part for part in parts if re.search(r"\w", part)]


def prose_defects(notebook: dict[str, Any], *, words: int = WORDS) -> Iterator[str]:
    """Sentences, and notebooks of more words, that are too long."""
    found = sentences(prose(notebook))
    lengths = [len(sentence.split()) for sentence in found]
    if lengths and sum(lengths) / len(lengths) > MEAN_WORDS:
        yield f"expected sentences of {MEAN_WORDS} words on average, found {sum(lengths) / len(lengths):.1f}"
    if sum(lengths) > words:
        yield f"expected at most {words:,} words outside folded asides, found {sum(lengths):,}"
    for sentence, length in zip(found, lengths, strict=True):
        if length > MOST_WORDS:
            yield f"expected sentences of at most {MOST_WORDS} words, found {length}: {sentence[:80]!r}"


def code_defects(notebook: dict[str, Any]) -> Iterator[str]:
    """Visible cells that are too long or too wide, or that judge instead of teaching; figures without a caption."""
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        lines = text(cell).splitlines()
        if visible(cell):
            if len(lines) > LINES:
                yield f"cell {cell['id']!r}: expected at most {LINES} visible lines, found {len(lines)}"
            for line in (line for line in lines if len(line) > COLUMNS):
                yield f"cell {cell['id']!r}: expected at most {COLUMNS} columns, found {len(line)}: {line[:40]!r}"
            for word in re.findall(r"\bassert\b|\brt\.judged\b|\brt\.budget\b", text(cell)):
                yield f"cell {cell['id']!r}: expected {word} in folded cells only"
        book = cell["metadata"].get("mystnb", {})
        if "image" in book and not book.get("figure", {}).get("caption") and "solution" not in tags(cell):
            yield f"cell {cell['id']!r}: expected a caption for its figure (mystnb.figure.caption)"


class _Names(ast.NodeVisitor):
    """What the top level of a cell assigns, and what it reads before it has assigned it; functions read when called."""

    def __init__(self) -> None:
        self.assigned: set[str] = set()
        self.read: set[str] = set()
        self.scopes: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        local = any(node.id in scope for scope in self.scopes)
        if isinstance(node.ctx, ast.Load):
            if not local and node.id not in self.assigned:
                self.read.add(node.id)
        elif self.scopes:
            self.scopes[-1].add(node.id)
        else:
            self.assigned.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and not self.scopes and node.target.id not in self.assigned:
            self.read.add(node.target.id)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        for part in [*node.body, *node.orelse]:
            self.visit(part)

    def _define(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        (self.scopes[-1] if self.scopes else self.assigned).add(node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._define(node)
        self._function(node.args, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._define(node)
        self.scopes.append(set())
        self.generic_visit(node)
        self.scopes.pop()

    def _function(self, args: ast.arguments, body: list[Any]) -> None:
        for default in [*args.defaults, *filter(None, args.kw_defaults)]:
            self.visit(default)
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, [args.vararg, args.kwarg])]
        inside = {argument.arg for argument in every}
        for part in body:  # a name assigned anywhere in a function is its own throughout
            for node in ast.walk(part):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    inside.add(node.id)
        self.scopes.append(inside)
        for part in body:
            self.visit(part)
        self.scopes.pop()

    def _comprehension(self, node: Any) -> None:
        self.scopes.append(set())
        for generator in node.generators:
            self.visit(generator.iter)
            self.visit(generator.target)
            for test in generator.ifs:
                self.visit(test)
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                self.visit(getattr(node, part))
        self.scopes.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Import(self, node: ast.Import) -> None:
        self.assigned.update((alias.asname or alias.name).split(".")[0] for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.assigned.update(alias.asname or alias.name for alias in node.names)


def name_defects(notebook: dict[str, Any]) -> Iterator[str]:
    """Names that two cells assign and some cell takes over from elsewhere: to run a cell again would change the result.

    A name that every cell assigns before it reads it is the cell's own, and may occur in many.
    """
    writers, readers = defaultdict(list), defaultdict(list)
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        names = _Names()
        names.visit(ast.parse(text(cell)))
        for name in names.assigned:
            writers[name].append(cell["id"])
        for name in names.read:
            readers[name].append(cell["id"])
    for name in sorted(writers):
        if len(writers[name]) > 1 and readers[name]:
            yield (
                f"name {name!r}: expected one cell to assign what {', '.join(readers[name])} reads, "
                f"found {', '.join(writers[name])}"
            )


def mention_defects(notebook: dict[str, Any], chapters: set[int]) -> Iterator[str]:
    """Mentions of chapters that the book does not have, and of slides, which its readers do not have."""
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"):
        for number in _BOUNDS_OF_A_CHAPTER.findall(text(cell)):
            if int(number) not in chapters:
                yield f"cell {cell['id']!r}: expected chapters of the book, found chapter {number}"
        if found := re.search(
            r"\b[Ss]lides?\b(?! (?:the|it|over|along|between))|\bthesis\b|\bseminar\b", text(cell)
        ):
            yield f"cell {cell['id']!r}: expected nothing that readers do not have, found {found[0]!r}"


def defects(path: Path) -> list[str]:
    """All of a notebook's defects. An appendix may name the course's sources: the errata are about them."""
    notebook = read(path)
    chapters = {int(other.name[:2]) for other in notebooks()}
    appendix = path in appendices()
    mentions = mention_defects(notebook, chapters)
    return [
        *prose_defects(notebook, words=APPENDIX_WORDS if appendix else WORDS),
        *code_defects(notebook),
        *name_defects(notebook),
        *(line for line in mentions if not appendix or "found chapter" in line),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Print the defects of the named chapters (two digits) and appendices, of all by default."""
    wanted = sys.argv[1:] if arguments is None else arguments
    wrong = 0
    for path in every_notebook():
        if wanted and not {path.name[:2], path.stem} & set(wanted):
            continue
        notebook = read(path)
        lengths = [len(sentence.split()) for sentence in sentences(prose(notebook))]
        lines = Counter()
        for cell in notebook["cells"]:
            lines[visible(cell)] += len(text(cell).splitlines()) if cell["cell_type"] == "code" else 0
        print(
            f"{path.name}: {sum(lengths):,} words, {sum(lengths) / len(lengths):.1f} a sentence, "
            f"{lines[True]} visible lines of code, {lines[False]} folded"
        )
        for line in (found := defects(path)):
            print(f"  {line}")
        wrong += len(found)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
