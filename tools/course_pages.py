"""Sphinx extension: what the theme and its companions get wrong on a page, put right before the page is written.

- A notebook is read as it was executed, from `_build/executed`; the one in the repository has no outputs.
- The launcher for remote kernels (thebe) stays out: the course offers Colab, and nothing here may ask another host.
- Docstrings that list several returned values, one ``name: meaning`` each, are read as a list; the extension for
  Google-style docstrings knows only one value.
- The Colab button opens the chapter's edition without MyST, on the branch that the publishing workflow writes.
- Equations, figures, tables and exercises are numbered within their chapter, 6.3, as in that edition; Sphinx would
  count through the book. A notebook's figure with the class `table` is a table.
- A folded cell says what it holds, and the quizzes' program, which each brings along, stands once on a page.
- Buttons that lead to the repository, Colab's too, stay out while its address is not set.
- Some extensions register their inline scripts twice; a second ``const`` of the same name is an error in the console.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

from tools.project import address_is_set

# What a folded cell holds, by the first of its tags that stands here.
PROMPTS = {
    "setup": "the setup",
    "solution": "the solution",
    "checks": "the checks",
    "hide-cell": "more code",
    "hide-input": "the code",
}


def _unique(scripts: list[Any]) -> list[Any]:
    """The scripts in order, without repetitions and without thebe's."""
    kept: list[Any] = []
    seen = set()
    for script in scripts:
        name, body = (
            str(getattr(script, "filename", script) or ""),
            getattr(script, "attributes", {}).get("body", ""),
        )
        if "thebe" in name or "THEBE" in body or (name, body) in seen:
            continue
        seen.add((name, body))
        kept.append(script)
    return kept


def open_edition(header_buttons: list[dict[str, Any]]) -> None:
    """Let the Colab button lead to the branch `colab`, where tools/edition.py's notebooks lie side by side."""
    for button in [entry for group in header_buttons for entry in group.get("buttons", [])]:
        if button.get("text") == "Colab":
            button["url"] = re.sub(r"/blob/[^/]+/(?:.*/)?([^/]+)$", r"/blob/colab/\1", button["url"])


def number_by_chapter(figures: dict[str, dict[str, dict[str, tuple[int, ...]]]]) -> None:
    """Number each chapter's equations, figures, … (chapter, 1), (chapter, 2), …; from Sphinx's record by page.

    Figures of other pages, such as the leaderboard, are numbered (1), (2), …; their equations stay as they are.
    """
    for page, kinds in figures.items():
        chapter = re.fullmatch(r"book/(\d\d)_\w+", page)
        for kind, numbers in kinds.items():
            if chapter or kind == "figure":
                first = (int(chapter[1]),) if chapter else ()
                in_order = sorted(numbers, key=numbers.__getitem__)
                kinds[kind] = {name: (*first, k) for k, name in enumerate(in_order, 1)}


def _numbered(app: Any, env: Any) -> list[str]:
    """After Sphinx has numbered everything, before it resolves references; asks for no page to be read again."""
    number_by_chapter(env.toc_fignumbers)
    return []


def _page(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Clean the scripts and the buttons that the page's template will write out."""
    context["script_files"] = _unique(context["script_files"])
    open_edition(context.get("header_buttons", []))


def itemise_returns(lines: list[str]) -> list[str]:
    """Turn a Returns section with two or more ``name: meaning`` entries into a bullet list; leave others alone."""
    try:
        start = lines.index("Returns:") + 1
    except ValueError:
        return lines
    end = next((k for k in range(start, len(lines)) if lines[k] and not lines[k].startswith(" ")), len(lines))
    body = lines[start:end]
    margin = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    named = [bool(re.match(rf" {{{margin}}}\w+: ", line)) for line in body]
    if sum(named) < 2:
        return lines
    pad = " " * margin
    items = [
        f"{pad}- {line.lstrip()}" if name else f"  {line}".rstrip()
        for line, name in zip(body, named, strict=True)
    ]
    return [*lines[:start], f"{pad}In this order", "", *items, *lines[end:]]


def dress(notebook: dict[str, Any]) -> dict[str, Any]:
    """The executed notebook, a word on every folded cell, and the quizzes' program only where it comes first."""
    scripts = importlib.resources.files("jupyterquiz").joinpath("js").iterdir()
    program = "".join(
        path.read_text("utf-8") for path in sorted(scripts, key=lambda p: p.name) if path.name.endswith(".js")
    )
    first = True
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        tags = cell["metadata"].get("tags", [])
        if word := next((PROMPTS[tag] for tag in PROMPTS if tag in tags), None):
            prompts = {"code_prompt_show": f"Show {word}", "code_prompt_hide": f"Hide {word}"}
            cell["metadata"]["mystnb"] = {**cell["metadata"].get("mystnb", {}), **prompts}
        for content in (output["data"] for output in cell.get("outputs", []) if "data" in output):
            script = "".join(content.get("application/javascript", ""))
            if program in script:
                content["application/javascript"] = script if first else script.replace(program, "")
                first = False
            page = "".join(content.get("text/html", ""))
            if (
                "data-shufflequestions" in page
            ):  # jupyterquiz leaves its element open, to swallow what follows
                content["text/html"] = page + "</div>"
    return notebook


class CaptionedTable(nodes.figure):
    """A figure that holds a table: it counts among the tables."""


class FindTables(SphinxTransform):
    """Before captions are numbered, tell tables from figures by their class."""

    default_priority = 150

    def apply(self, **kwargs: Any) -> None:
        """Replace figures in place."""
        for figure in list(self.document.findall(nodes.figure)):
            if "table" in figure["classes"]:
                figure["classes"].remove("table")  # the theme would frame it
                figure.replace_self(CaptionedTable("", *figure.children, **figure.attributes))


def _source(app: Any, docname: str, content: list[str]) -> None:
    """Put the executed notebook in the place of the one without outputs."""
    if not app.env.doc2path(docname).endswith(".ipynb"):
        return
    executed = Path(app.srcdir, "_build", "executed", Path(docname).name + ".ipynb")
    if executed.is_file():
        content[0] = json.dumps(dress(json.loads(executed.read_text(encoding="utf-8"))))
    else:
        logging.getLogger(__name__).warning(
            "%s: expected it executed, found nothing; run `make book`", docname
        )


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite in place, before napoleon reads the sections."""
    lines[:] = itemise_returns(lines)


def hide_buttons(options: dict[str, Any]) -> None:
    """Drop the buttons for repository, issues and Colab where the address is the placeholder: they lead nowhere."""
    if not address_is_set(options.get("repository_url", "")):
        options.update(use_repository_button=False, use_issues_button=False, launch_buttons={})


def _config(app: Any, config: Any) -> None:
    """Before the theme reads its options."""
    hide_buttons(config.html_theme_options)


def setup(app: Any) -> dict[str, Any]:
    """Connect late, after every extension has added its scripts."""
    draw = (HTML5Translator.visit_figure, HTML5Translator.depart_figure)
    app.add_enumerable_node(CaptionedTable, "table", html=draw)
    app.add_transform(FindTables)
    app.connect("config-inited", _config)
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("env-get-updated", _numbered, priority=900)
    app.connect("source-read", _source)
    app.connect("html-page-context", _page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
