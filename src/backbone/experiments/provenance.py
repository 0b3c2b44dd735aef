"""Which code made these numbers? A fingerprint that follows code, not prose."""

from __future__ import annotations

import ast
import hashlib
import io
import platform
import re
import tokenize
from importlib import metadata
from pathlib import Path

import numpy
import torch

PACKAGE = Path(__file__).parent.parent


def fingerprint(modules: tuple[str, ...]) -> str:
    """Return the sha256 of some modules' code, without comments, docstrings and blank lines.

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
    """Return source code without comments, docstrings and blank lines: code that still runs."""
    lines = _lines(source)
    gaps = [*_docstrings(source), *((start, end, "") for start, end in _comments(source))]
    for (row, start), (end_row, end), instead in sorted(gaps, reverse=True):
        tail = lines[end_row - 1][end:]
        tail = re.sub(r"^[ \t]*;[ \t]*", "", tail)  # code may follow a docstring on its line
        lines[row - 1 : end_row] = [lines[row - 1][:start] + instead + tail]
    code = "".join(lines)
    kept = _inside_strings(code)  # blanks in there are no spacing
    return "".join(
        line if row in kept else line.rstrip() + "\n"
        for row, line in enumerate(_lines(code), start=1)
        if row in kept or line.strip()
    )


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


def _lines(source: str) -> list[str]:
    """Split as Python does, at line feeds only; `str.splitlines` knows further ends of a line."""
    return io.StringIO(source).readlines()


def _docstrings(source: str) -> list[tuple[Place, Place, str]]:
    """Return where each docstring stands, and what is needed in its place."""
    lines, found = _lines(source), []

    def place(row: int, column: int) -> Place:  # ast counts bytes
        return row, len(lines[row - 1].encode()[:column].decode())

    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if ast.get_docstring(node, clean=False) is None:
            continue
        first = node.body[0]
        start = place(first.lineno, first.col_offset)
        end = place(first.end_lineno, first.end_col_offset)
        found.append((start, end, "pass" if len(node.body) == 1 else ""))
    return found


def _comments(source: str) -> list[tuple[Place, Place]]:
    return [(t.start, t.end) for t in _tokens(source) if t.type == tokenize.COMMENT]


def _inside_strings(source: str) -> set[int]:
    """Return the rows that end inside a string."""
    return {row for t in _tokens(source) for row in range(t.start[0], t.end[0])}


def _tokens(source: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(source).readline))
