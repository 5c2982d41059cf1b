"""Sphinx extension: what the theme and its companions get wrong on a page, put right before the page is written.

- The launcher for remote kernels (thebe) stays out: the course offers Colab, and nothing here may ask another host.
- Docstrings that list several returned values, one ``name: meaning`` each, are read as a list; the extension for
  Google-style docstrings knows only one value.
- Buttons that lead to the repository, Colab's too, stay out while its address is not set.
- Some extensions register their inline scripts twice; a second ``const`` of the same name is an error in the console.
"""

from __future__ import annotations

import re
from typing import Any

from tools.project import address_is_set


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


def _page(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Clean the list of scripts that the page's template will write out."""
    context["script_files"] = _unique(context["script_files"])


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


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite in place, before napoleon reads the sections."""
    lines[:] = itemise_returns(lines)


def hide_buttons(options: dict[str, Any]) -> None:
    """Drop the buttons for repository, issues and Colab where the address is the placeholder: they lead nowhere."""
    if not address_is_set(options["repository_url"]):
        options.update(use_repository_button=False, use_issues_button=False, launch_buttons={})


def _config(app: Any, config: Any) -> None:
    """Before the theme reads its options."""
    hide_buttons(config.html_theme_options)


def setup(app: Any) -> dict[str, Any]:
    """Connect late, after every extension has added its scripts."""
    app.connect("config-inited", _config)
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("html-page-context", _page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
