"""Write a chapter's exercises for otter-grader, for schools whose grading runs on it.

    python tools/export_otter.py book/en/residual-blocks.ipynb --out ../otter

It writes the students' notebook, with a `grader.check(…)` after every answer, and one test file
for each exercise in `tests/`. The judgement is the book's own `check`: the test files only call
it, so `backbone` must be installed where otter grades. otter itself is not needed here.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import answers
import student
from cells import read_notebook, save_notebook

TEST = '''\
OK_FORMAT = True

test = {{
    "name": "{label}",
    "points": {points},
    "suites": [
        {{
            "cases": [
                {{
                    "code": r"""
                        >>> from backbone.exercises import check
                        >>> check("{name}", {variable}{seed}).answered
                        True
                    """,
                    "hidden": False,
                    "locked": False,
                }}
            ],
            "scored": True,
            "setup": "",
            "teardown": "",
            "type": "doctest",
        }}
    ],
}}
'''

START = """\
import otter

grader = otter.Notebook(tests_dir="tests")"""


def variable(name: str) -> str:
    """Return the variable that holds an answer: names like `counted` serve several exercises."""
    return name.replace("-", "_").replace(".", "_")


def label(name: str) -> str:
    """Return the name of an exercise as a file name."""
    return name.replace(".", "-")


def with_variables(code: str) -> str:
    """Return an answer cell that also keeps its answer in a variable of its own.

    Raises:
        ValueError: it does not end with `check("…", answer)`.
    """
    last = ast.parse(code).body[-1]
    if not answers.checked(ast.unparse(last)) or not isinstance(last.value, ast.Call):
        raise ValueError(f"An answer cell must end with its check:\n{code}")
    name, answer = last.value.args[0].value, ast.unparse(last.value.args[1])
    lines = code.split("\n")
    lines.insert(last.lineno - 1, f"{variable(name)} = {answer}")
    return "\n".join(lines)


def export(notebook: NotebookNode, seed: int = 0) -> tuple[NotebookNode, dict[str, str]]:
    """Return the notebook for students and the test files {file name: content}.

    Args:
        notebook: of the book.
        seed: of the class; see tools/student.py.

    Raises:
        ValueError: there is no exercise in it.
    """
    made = student.student(notebook, seed)
    names = {id(cell): name for name, cell in answers.answer_cells(made).items()}
    if not names:
        raise ValueError("There is no exercise with an answer cell in this notebook.")
    new = nbformat.v4.new_code_cell
    listed = []
    for cell in made.cells:
        listed.append(cell)
        if cell.get("id") == "setup":
            listed.append(new(START, id="otter"))
        if id(cell) in names:
            name = label(names[id(cell)])
            cell.source = with_variables(cell.source)
            listed.append(new(f'grader.check("{name}")', id=f"grade-{name}"))
    made.cells = listed
    seeded = f", seed={seed}" if seed else ""
    tests = {
        f"{label(name)}.py": TEST.format(
            label=label(name), name=name, variable=variable(name), seed=seeded, points=1
        )
        for name in names.values()
    }
    return made, tests


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebook", type=Path, help="such as book/en/residual-blocks.ipynb")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=0, help="of the class")
    given = parser.parse_args(arguments)
    try:
        if given.out.exists() and any(given.out.iterdir()):
            raise ValueError(f"{given.out} is not empty. Name a new folder; nothing was written.")
        made, tests = export(read_notebook(given.notebook), given.seed)
        (given.out / "tests").mkdir(parents=True)
        save_notebook(made, given.out / given.notebook.name)
        for file, text in tests.items():
            (given.out / "tests" / file).write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"export_otter.py: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: {given.notebook.name} and {len(tests)} tests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
