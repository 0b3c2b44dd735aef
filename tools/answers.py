"""Exercises, their answer cells and their solutions in a notebook.

An exercise is a Markdown cell with a solution under ``<details>``; the answer cell is a code cell
that ends in ``check("residual-blocks.3", …)``. The call is what tells it apart: tags and ids are
lost where notebooks travel, the call stays.
"""

from __future__ import annotations

import ast
import re

from nbformat import NotebookNode

TAG = "answer"
TAGS = [TAG, "remove-cell"]  # the site shows exercise, hint and solution; the notebook all four
CALLS = ("check", "hand_in")

_DETAILS = re.compile(
    r"\n*^<details><summary>(?P<summary>[^<]+)</summary>\n(?P<body>.*?)^</details>$", re.M | re.S
)
_PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```$", re.M | re.S)
_CALL = re.compile(rf"\b(?:{'|'.join(CALLS)})\(\s*[\"']([\w-]+\.\d+)[\"']")
SOLUTION = ("Solution", "答案", "解答")


def checked(code: str) -> list[str]:
    """Return the names of the exercises that a piece of code hands in, in order.

    Code that does not parse is searched as text: an answer with a typing error is an answer.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return _CALL.findall(code)
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in CALLS
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return [call.args[0].value for call in calls]


def answer_cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the name of each exercise with the cell for its answer.

    Where two cells hand in the same exercise the last one counts.
    """
    return {
        name: cell
        for cell in notebook.cells
        if cell.cell_type == "code"
        for name in checked(cell.source)
    }


def exercise_cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the name of each exercise with the Markdown cell of its solution.

    It is the nearest cell before the answer cell that holds a solution.
    """
    found: dict[str, NotebookNode] = {}
    latest = None
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and has_solution(cell.source):
            latest = cell
        elif cell.cell_type == "code" and latest is not None:
            found |= {name: latest for name in checked(cell.source) if name not in found}
    return found


def has_solution(text: str) -> bool:
    """Whether a Markdown text holds a solution under ``<details>``."""
    return any(part["summary"].startswith(SOLUTION) for part in _DETAILS.finditer(text))


def without_solution(text: str) -> str:
    """Return a Markdown text without its solutions; hints stay."""

    def keep(part: re.Match[str]) -> str:
        return "" if part["summary"].startswith(SOLUTION) else part[0]

    return _DETAILS.sub(keep, text).rstrip("\n")


def solution_code(text: str) -> str:
    """Return the Python of the solutions in a Markdown text, "" if there is none."""
    blocks = [
        block["code"]
        for part in _DETAILS.finditer(text)
        if part["summary"].startswith(SOLUTION)
        for block in _PYTHON.finditer(part["body"])
    ]
    return "\n".join(blocks)
