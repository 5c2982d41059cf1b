"""Runs in a chapter's kernel before its first cell: an assertion that fails says what was claimed and what came.

A chapter's claims are bare assertions (`assert gap < 1e-5`), whose error has no text. Here every value that a claim
compares is noted while it is evaluated (once, so that chance cannot draw another value for the message), and the error
reads `AssertionError: claimed gap < 1e-05; found gap = 0.00062`. The code that the reader sees stays as it is.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

FORGET, NOTE, CLAIM = "__forget__", "__note__", "__claim__"  # what the rewritten assertions call
LONGEST = 120  # characters of a value


def shown(value: Any) -> str:
    """A value in one short line: numbers with all their digits, arrays by their shape and range."""
    try:
        shape = tuple(getattr(value, "shape", ()))
        if shape and max(shape) > 8:
            return f"{type(value).__name__} of shape {shape}, {float(value.min()):.6g} to {float(value.max()):.6g}"
        if not shape and callable(getattr(value, "item", None)):
            value = value.item()
        text = repr(value)
    except Exception as error:  # a message must not fail for a strange value
        text = f"{type(value).__name__} without a repr ({type(error).__name__})"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    """A call of one of the three functions."""
    return ast.Call(func=ast.Name(name, ast.Load()), args=list(arguments), keywords=[])


def _noted(node: ast.expr) -> ast.expr:
    """An expression with the value of `node`, which also notes it under its source."""
    if isinstance(node, (ast.Constant, ast.GeneratorExp, ast.Starred, ast.NamedExpr)):
        return node
    return _call(NOTE, ast.Constant(ast.unparse(node)), node)


class _Comparisons(ast.NodeTransformer):
    """Note both sides of each comparison; of those in `all(… for …)` the last one stays, and that one failed."""

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        """Its operands, noted."""
        node.left = _noted(node.left)
        node.comparators = [_noted(side) for side in node.comparators]
        return node


class Claims(ast.NodeTransformer):
    """Rewrite `assert test, message` so that its error tells the values which `test` compared."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        """The same assertion between two calls that forget what was noted, so that nothing is kept alive."""
        source = ast.Constant(ast.unparse(node.test))
        for part in node.test.values if isinstance(node.test, ast.BoolOp) else [node.test]:
            if isinstance(part, ast.Call):  # `allclose(a, b)` compares its arguments
                part.args = [_noted(argument) for argument in part.args]
        node.test = _Comparisons().visit(node.test)
        node.msg = _call(CLAIM, source, *([node.msg] if node.msg else []))
        statements = [ast.Expr(_call(FORGET)), node, ast.Expr(_call(FORGET))]
        return [ast.fix_missing_locations(ast.copy_location(statement, node)) for statement in statements]


def reporter() -> dict[str, Callable[..., Any]]:
    """What rewritten assertions call: forget all values; note one; write the message from those noted."""
    values: dict[str, Any] = {}

    def note(source: str, value: Any) -> Any:
        values[source] = value
        return value

    def claim(source: str, *message: Any) -> str:
        found = ", ".join(f"{name} = {shown(value)}" for name, value in values.items())
        values.clear()
        return "; ".join([*map(str, message), f"claimed {source}", *([f"found {found}"] if found else [])])

    return {FORGET: values.clear, NOTE: note, CLAIM: claim}


def install(shell: Any) -> None:
    """Let an IPython shell rewrite the assertions of every cell."""
    shell.user_ns.update(reporter())
    shell.ast_transformers.append(Claims())


if __name__ == "__kernel__":
    from IPython import get_ipython

    install(get_ipython())
