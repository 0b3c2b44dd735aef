"""A small chapter, cut from the book's own, and a class that hands in all sorts of notebooks."""

from __future__ import annotations

import copy
import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import answers
import cells
import student

ROOT = Path(__file__).resolve().parent.parent.parent
CHAPTER = ROOT / "book" / "en" / "residual-blocks.ipynb"
KEPT = 5  # exercises of the small chapter


def small_chapter() -> NotebookNode:
    """The book's chapter with its first cells and first exercises, so that it runs in seconds."""
    book = cells.read_notebook(CHAPTER)
    code = [c for c in book.cells if c.cell_type == "code" and not answers.checked(c.source)]
    small = copy.deepcopy(book)
    defines = [c for c in code[2:] if "def parameters" in c.source]
    small.cells = code[:2] + defines
    owners, answered = answers.exercise_cells(book), answers.answer_cells(book)
    for name in list(answered)[:KEPT]:
        small.cells += [owners[name], answered[name]]
    return small


class Class:
    """Writes submissions into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.chapter = small_chapter()
        self.right = student.solved(self.chapter)
        self.empty = student.student(self.chapter)

    def hands_in(self, name: str, changes: dict[int, str] | None = None, **how: object) -> None:
        """Write a submission: all solutions, but for some answer cells {exercise: code}."""
        self.write(name, json.dumps(self.notebook(changes, **how)).encode())

    def notebook(
        self, changes: dict[int, str] | None = None, extra: str = "", empty: bool = False
    ) -> NotebookNode:
        """The notebook of `hands_in`; `extra` is a cell of the student's own before the answers."""
        made = copy.deepcopy(self.empty if empty else self.right)
        for number, code in (changes or {}).items():
            answers.answer_cells(made)[f"residual-blocks.{number}"].source = code
        if extra:
            made.cells.insert(2, nbformat.v4.new_code_cell(extra))
        return made

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def grade(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``tools/grade.py``."""
    command = [sys.executable, str(ROOT / "tools" / "grade.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
