"""Show the source of what is really imported, so that the code on the page cannot drift."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import ModuleType


class Source:
    """Source code that shows itself highlighted in a notebook, and prints as plain text."""

    def __init__(self, code: str, where: str) -> None:
        self.code, self.where = code, where

    def __repr__(self) -> str:
        return f"# {self.where}\n{self.code}"

    def _repr_markdown_(self) -> str:
        return f"```python\n{self!r}\n```"


def show_source(thing: object, docstring: bool = False) -> Source:
    """Return the source of a class, function or module as Python has it loaded.

    Args:
        thing: what to show, such as `BasicBlock` or `BasicBlock.forward`.
        docstring: keep the docstrings; by default the code stands alone.

    Raises:
        TypeError: it has no Python source (an instance, a number, something compiled).
    """
    try:
        code = textwrap.dedent(inspect.getsource(thing))
        module = thing if isinstance(thing, ModuleType) else inspect.getmodule(thing)
    except (TypeError, OSError) as error:
        hint = f" Did you mean {type(thing).__name__}?" if not inspect.isroutine(thing) else ""
        raise TypeError(
            f"show_source needs a class, function or module written in Python, got {thing!r:.80}."
            + hint
        ) from error
    name = module.__name__ if module else "?"
    where = f"{name.replace('.', '/')}.py" if name != "__main__" else "this notebook"
    return Source((code if docstring else _without_docstrings(code)).rstrip(), where)


def _without_docstrings(code: str) -> str:
    """Remove docstrings, and nothing else: comments and layout stay."""
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            continue
        if ast.get_docstring(node, clean=False) is None or len(node.body) < 2:
            continue
        first = node.body[0]
        for number in range(first.lineno - 1, first.end_lineno):
            lines[number] = None
        after = first.end_lineno  # one empty line after the docstring goes with it
        if after < len(lines) and lines[after] == "" and isinstance(node, ast.ClassDef):
            lines[after] = None
    return "\n".join(line for line in lines if line is not None)
