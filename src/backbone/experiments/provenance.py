"""Which code made these numbers? A fingerprint that follows code, not prose."""

from __future__ import annotations

import ast
import hashlib
import io
import platform
import tokenize
from importlib import metadata
from pathlib import Path

import numpy
import torch

PACKAGE = Path(__file__).parent.parent


def fingerprint(modules: tuple[str, ...]) -> str:
    """Return the sha256 of some modules' code, without comments, docstrings and spacing.

    Args:
        modules: dotted names below `backbone`, such as "training.loop".

    Raises:
        FileNotFoundError: there is no such module.
    """
    digest = hashlib.sha256()
    for module in sorted(modules):
        path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        digest.update(f"{module}\n{bare_code(path.read_text('utf-8'))}\n".encode())
    return digest.hexdigest()


def bare_code(source: str) -> str:
    """Return source code with comments and docstrings taken out, and single spaces."""
    lines = source.splitlines(keepends=True)
    gaps = [*_docstrings(ast.parse(source)), *_comments(source)]
    for (row, start), (end_row, end) in sorted(gaps, reverse=True):
        # ast counts bytes and tokenize characters; both callers hand over characters.
        tail = lines[end_row - 1][end:]
        lines[row - 1 : end_row] = [lines[row - 1][:start] + tail]
    return " ".join("".join(lines).split())


def versions() -> dict[str, str]:
    """Return the versions of everything that may move a number."""
    return {
        "backbone": _own_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _own_version() -> str:
    try:
        return metadata.version("backbones-inside-out")
    except metadata.PackageNotFoundError:  # read from a clone, not installed
        return "unknown"


Place = tuple[int, int]  # row counted from 1, column in characters counted from 0


def _docstrings(tree: ast.Module) -> list[tuple[Place, Place]]:
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            # A docstring starts after blanks only and ends its line, so no other character that
            # takes several bytes stands on the line before it; its end is the end of the line.
            found.append(((first.lineno, first.col_offset), (first.end_lineno, 10**6)))
    return found


def _comments(source: str) -> list[tuple[Place, Place]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(t.start, t.end) for t in tokens if t.type == tokenize.COMMENT]
