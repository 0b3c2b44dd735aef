"""Make the edition for a class: the book's notebooks without solutions (``make student``).

    python tools/student.py                      dist/student/: every notebook and page
    python tools/student.py --seed 42            with the numbers of a class in the questions
    python tools/student.py --solved _build/solved   solutions in the answer cells: tests, teachers

There is one source. A student's notebook is the book's own, without the solutions, without cells
tagged ``teacher``, and without outputs of answer cells; everything else is the same, to the byte.
An answer cell starts with three dots in place of the answer. Run as it is, it says that there is
no answer yet and stops nothing, so "run all" works before the first exercise is solved, in Colab
too, which knows no cells that may fail.
"""

from __future__ import annotations

import argparse
import ast
import copy
import shutil
import sys
from pathlib import Path

from nbformat import NotebookNode
from tqdm import tqdm

from answers import (
    answer_cells,
    checked,
    exercise_cells,
    has_solution,
    solution_code,
    without_solution,
)
from build_book import pages_of
from cells import read_notebook, save_notebook

ROOT = Path(__file__).resolve().parent.parent
EDITIONS = {"en": "", "zh": "zh"}  # folder in book/ → folder in dist/student/
TEACHER = "teacher"  # tag of cells, and name of the page, that students do not get
NOT_FOR_STUDENTS = {"teaching"}


def student(notebook: NotebookNode, seed: int = 0, language: str = "en") -> NotebookNode:
    """Return a notebook for students.

    Args:
        notebook: of the book; it stays as it is.
        seed: of the class. Questions whose numbers vary are asked with this class's numbers.
        language: "en" or "zh".

    Raises:
        ValueError: an exercise has no answer cell, so that nobody could hand it in.
    """
    made = copy.deepcopy(notebook)
    exercises = exercise_cells(made)
    owners = {id(cell) for cell in exercises.values()}
    orphans = [c.id for c in made.cells if _has_solution(c) and id(c) not in owners]
    if orphans:
        raise ValueError(f"These exercises have a solution but no answer cell: {orphans}.")
    made.cells = [c for c in made.cells if TEACHER not in c.metadata.get("tags", [])]
    if seed:
        from wordings import reworded_question  # it needs the package, and torch

        for name, cell in exercises.items():
            cell.source = reworded_question(cell.source, name, seed, language)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = without_solution(_for_students(cell.source))
        elif checked(cell.source):
            cell.outputs, cell.execution_count = [], None
            if seed:
                cell.source = with_seed(cell.source, seed)
    made.metadata.pop("backbone", None)  # the stamp vouches for the book's own cells
    return made


def _has_solution(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown" and has_solution(cell.source)


def _for_students(text: str) -> str:
    """Leave out lines that lead to pages which students do not get."""
    links = tuple(f"]({page}." for page in NOT_FOR_STUDENTS)
    return "\n".join(line for line in text.split("\n") if not any(link in line for link in links))


def with_seed(code: str, seed: int) -> str:
    """Return an answer cell whose `check` names the class seed."""
    calls = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check"
    ]
    lines = code.split("\n")
    for call in sorted(calls, key=lambda node: -node.end_lineno):
        line = lines[call.end_lineno - 1]
        end = len(line.encode()[: call.end_col_offset].decode()) - 1  # offsets count bytes
        lines[call.end_lineno - 1] = f"{line[:end]}, seed={seed}{line[end:]}"
    return "\n".join(lines)


def solved(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook with each solution's code in its answer cell.

    Raises:
        ValueError: a solution has no code, or its code does not hand in its own exercise.
    """
    made = copy.deepcopy(notebook)
    exercises = exercise_cells(made)
    for name, cell in answer_cells(made).items():
        code = solution_code(exercises[name].source) if name in exercises else ""
        if name not in checked(code):
            raise ValueError(
                f'The solution of {name} must end with check("{name}", …), so that it is checked.'
            )
        cell.source, cell.outputs = code.rstrip("\n"), []
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), "nbval-ignore-output"]
    return made


def make(out: Path, seed: int = 0, *, with_solutions: bool = False) -> list[Path]:
    """Write an edition of every notebook and page.

    Args:
        out: folder; it is emptied first, if it is one that this command wrote.
        seed: of the class.
        with_solutions: the solved edition instead of the students'; English notebooks only.

    Returns:
        The files written.

    Raises:
        ValueError: the folder holds something else.
    """
    mark = out / ".made-by-student-py"  # what we delete must be ours
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise ValueError(f"{out} holds other files. Name a folder that is empty or new.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    mark.touch()
    english, chinese = (pages_of(ROOT / "book" / language) for language in EDITIONS)
    whole = {p.name for p in english} == {p.name for p in chinese}
    sources = [
        (path, out / folder, language)
        for language, folder in EDITIONS.items()
        # Half an edition would lead to nowhere; and the cells of both editions are the same.
        if language == "en" or (whole and not with_solutions)
        for path in pages_of(ROOT / "book" / language)
        if path.stem not in NOT_FOR_STUDENTS
    ]
    written = []
    for path, folder, language in tqdm(sources, unit="page", desc="editions"):
        folder.mkdir(exist_ok=True)
        target = folder / path.name
        if path.suffix == ".md":
            if with_solutions:
                continue
            shutil.copyfile(path, target)
        elif with_solutions:
            save_notebook(solved(read_notebook(path)), target)
        else:
            save_notebook(student(read_notebook(path), seed, language), target)
        written.append(target)
    return written


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "student")
    parser.add_argument("--seed", type=int, default=0, help="of the class (0: the book's numbers)")
    parser.add_argument("--solved", type=Path, help="write the solved edition here instead")
    given = parser.parse_args()
    try:
        if given.solved:
            files = make(given.solved, with_solutions=True)
        else:
            files = make(given.out, given.seed)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(files)} pages in {given.solved or given.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
