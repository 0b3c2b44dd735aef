"""Make an assignment of one's own from the book's exercises, with fresh numbers.

    python tools/assignment.py new midterm --seed 4711 --out ../midterm \\
        --from residual-blocks.3 resnet-architecture.1 unet-architecture.4

It is written outside this repository, which is public:

    student/midterm.ipynb      to hand out: no solutions, no checks, answers are only handed in
    teacher/midterm.ipynb      the same with solutions and instant checks
    teacher/checks/midterm.py  the checks, to be read and added to; the grader's --checks

Where an exercise's numbers vary, its text, its solution and its check get those of the seed; the
explanation is the book's. Other exercises are taken as they are, and the command says so: their
solutions can be read in the book.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import answers
import context
import student
import wordings
from backbone.exercises import question
from backbone.exercises.core import find
from cells import READABLE_ID, house_metadata, read_notebook, save_notebook
from setup_cell import TAGS as SETUP_TAGS
from setup_cell import setup_source

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"

WORDS = {
    "en": {
        "how": (
            "Every exercise is followed by a cell for your answer: put it in place of the three "
            "dots and run the cell. It tells you that your answer was handed in; whether it is "
            "right, your teacher's check will see. Run all cells once more from the top before you "
            "hand in this notebook."
        ),
        "from": 'From the chapter "{chapter}".',
        "uses": "What the next exercises use.",
        "anew": "From here on {names} no longer mean what they meant above.",
        "solution": "Solution",
        "numbers": "With the numbers of this assignment:",
        "book": "The book explains it with its own numbers:",
        "teacher": (
            "**For teachers only.** The cells below use the private checks beside this notebook, "
            "in `checks/`. Students get the notebook in `student/`."
        ),
    },
    "zh": {
        "how": (
            "每道练习后面都有一个填写答案的单元格：把三个点换成你的答案，然后运行它。它只说明答案已交；"
            "对不对，由老师的检查程序判断。交出这本笔记之前，请从头把所有单元格再运行一遍。"
        ),
        "from": "选自“{chapter}”一章。",
        "uses": "下面的练习要用到的内容。",
        "anew": "从这里起，{names} 的含义与上文不同。",
        "solution": "解答",
        "numbers": "用这次作业的数：",
        "book": "书中用它自己的数这样解释：",
        "teacher": (
            "**仅供教师使用。**下面的单元格使用这本笔记旁边 `checks/` 里的私有检查。"
            "学生拿到的是 `student/` 里的笔记。"
        ),
    },
}

CHECKS = '''\
"""Checks of the assignment "<NAME>". For teachers only: students must not get this file.

The grader reads it with  --checks <this folder>,  a notebook with  load_checks("checks").

The book's check judges every answer, with the numbers of this assignment. Tests of your own run
after it: see HIDDEN.
"""

from __future__ import annotations

from collections.abc import Callable

from backbone.exercises import Right, Wrong, check, exercise, question

SEED = <SEED>  # makes the numbers of the questions


def whole(answer: object) -> None:
    """A worked example of a hidden test: raise Wrong(English, Chinese, short name of the slip).

    If the answer is a function or a class, call it here with numbers that no student has seen.
    """
    numbers = answer.values() if isinstance(answer, dict) else [answer]
    if any(isinstance(number, float) for number in numbers):
        raise Wrong(
            "Counts are whole numbers: give 36, not 36.0.",
            "个数是整数：请写 36，不要写 36.0。",
            "not-whole",
        )


# Exercise → your tests, run in order once the book's check is content.
HIDDEN: dict[str, list[Callable[[object], None]]] = {
    # "<FIRST>": [whole],
}


def judge(name: str, book: str, answer: object) -> Right:
    """Check an answer to `name`, which is the book's exercise `book` with our numbers."""
    try:
        right = check(book, answer, seed=SEED)
    except Wrong:
        if question(book, seed=SEED) != question(book) and fits_the_book(book, answer):
            raise Wrong(
                "This answers the book's question. Yours has other numbers.",
                "这是书中那道题的答案。你的题里数不一样。",
                "numbers-of-the-book",
            ) from None
        raise
    if right.answered:
        for test in HIDDEN.get(name, []):
            test(answer)
    return right


def fits_the_book(book: str, answer: object) -> bool:
    """Whether an answer is right for the numbers that stand in the book."""
    try:
        return check(book, answer).answered
    except Exception:
        return False
'''

ONE_CHECK = '''

@exercise("<NAME>")
def <FUNCTION>(answer: object) -> Right:
    """<BOOK>, <NUMBERS>."""
    return judge("<NAME>", "<BOOK>", answer)
'''


@dataclass(frozen=True)
class Source:
    """One exercise where the book has it."""

    name: str  # "residual-blocks.3"
    notebook: NotebookNode
    text: str  # with hint and solution
    answer: str  # code of its answer cell
    id: str  # of the answer cell

    @property
    def chapter(self) -> str:
        """The file name of its chapter."""
        return self.name.rpartition(".")[0]

    @property
    def title(self) -> str:
        """The title of its chapter."""
        first = next(c.source for c in self.notebook.cells if c.cell_type == "markdown")
        return re.search(r"^# (.+)$", first, re.M)[1]

    @property
    def code_before(self) -> list[str]:
        """The code cells of the chapter that stand before this exercise."""
        found = []
        for cell in self.notebook.cells:
            if self.name in answers.checked(cell.source if cell.cell_type == "code" else ""):
                break
            if cell.cell_type == "code" and cell.id != "setup":
                found += [] if answers.checked(cell.source) else [cell.source]
        return found


def sources(names: list[str], language: str) -> list[Source]:
    """Find exercises in the book, those of one chapter together.

    Raises:
        ValueError: an unknown name, one given twice, or an exercise that cannot be handed in.
    """
    if not names:
        raise ValueError("Name the exercises after --from, such as residual-blocks.3.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]} is named twice. Take each exercise once.")
    found = []
    for name in names:
        find(name)
        path = BOOK / language / f"{name.rpartition('.')[0]}.ipynb"
        if not path.exists():
            raise ValueError(f"There is no {path.relative_to(ROOT)}, so {name} cannot be taken.")
        notebook = read_notebook(path)
        cells = answers.exercise_cells(notebook)
        if name not in cells:
            raise ValueError(
                f"{name} has no cell for its answer in {path.relative_to(ROOT)}. Take another."
            )
        answer = answers.answer_cells(notebook)[name]
        found.append(Source(name, notebook, cells[name].source, answer.source, answer.id))
    chapters = list(dict.fromkeys(source.chapter for source in found))
    return sorted(found, key=lambda source: chapters.index(source.chapter))  # stable


def exercise_text(
    source: Source, number: int, name: str, seed: int, language: str, *, hints: bool
) -> str:
    """Return an exercise with its number, the class's numbers, and the solution for teachers."""
    words = WORDS[language]
    asked = answers.without_solution(source.text)
    solution = source.text[len(asked) :].strip()
    asked = wordings.reworded_question(asked, source.name, seed, language)
    if not hints:
        asked = asked.partition("<details>")[0].rstrip()
    heading, _, rest = asked.partition("\n")
    heading = re.sub(r"\d+", str(number), heading, count=1)
    where = words["from"].format(chapter=source.title)
    if source.name in wordings.WORDINGS:
        explained = re.sub(r"```python\n.*?```\n?", "", solution, flags=re.S)
        explained = re.sub(r"</?details>|<summary>.*?</summary>", "", explained).strip()
        explained = re.sub(r"\n{3,}", "\n\n", explained)
        explained = f"\n\n{words['book']}\n\n{explained}" if explained else ""
        code = f"{wordings.answer_code(source.name, seed)}\n{_last_line(source.answer)}"
        solution = (
            f"<details><summary>{words['solution']}</summary>\n\n{words['numbers']}\n\n"
            f"```python\n{code}\n```{explained}\n\n</details>"
        )
    text = f"{heading}\n\n*{where}*\n{rest}\n\n{solution}"
    return text.replace(f'check("{source.name}"', f'check("{name}"')


def _last_line(code: str) -> str:
    """Return the line of an answer cell that hands the answer in."""
    return next(line for line in reversed(code.splitlines()) if answers.checked(line))


def preparations(found: list[Source], seed: int) -> dict[str, list[str]]:
    """Return for each chapter the code that its exercises need."""
    made: dict[str, list[str]] = {}
    for chapter in dict.fromkeys(source.chapter for source in found):
        ours = [source for source in found if source.chapter == chapter]
        needed: set[str] = set()
        for source in ours:
            needed |= context.mentioned(answers.without_solution(source.text))
            needed |= context.free(source.answer) | context.free(_solution(source, seed))
            needed -= context.made(source.answer)  # what the reader is asked for
        made[chapter] = context.preparation(ours[-1].code_before, needed)
    return made


def meanings(prepared: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return for each chapter the variables to which it gives another meaning than one above."""
    owner: dict[str, str] = {}  # variable → the code that made it last
    changed: dict[str, list[str]] = {}
    for chapter, codes in prepared.items():
        now = {name: code for code in codes for name in context.made(code) - {"_"}}
        changed[chapter] = sorted(n for n in now if n in owner and owner[n] != now[n])
        owner |= now
    return changed


def _solution(source: Source, seed: int) -> str:
    if source.name in wordings.WORDINGS:
        return wordings.answer_code(source.name, seed)
    return answers.solution_code(source.text)


def import_lines(found: list[Source], prepared: dict[str, list[str]], seed: int) -> str:
    """Return the imports that the assignment needs, and torch in any case."""
    needed = {"torch", "nn"}
    for source in found:
        needed |= context.mentioned(answers.without_solution(source.text))
        needed |= context.free(source.answer) | context.free(_solution(source, seed))
    for code in (code for codes in prepared.values() for code in codes):
        needed |= context.free(code)
    codes = [code for source in found for code in source.code_before]
    always = ["import torch", "from torch import nn", "from backbone.exercises import check"]
    return "\n".join(context.imports([*always, *codes], needed | {"check"}))


def build(
    name: str, found: list[Source], seed: int, *, language: str, hints: bool, title: str
) -> NotebookNode:
    """Return the teacher's notebook of an assignment."""
    words = WORDS[language]
    new = nbformat.v4
    prepared = preparations(found, seed)
    changed = meanings(prepared)
    imports = import_lines(found, prepared, seed)
    cells = [
        new.new_markdown_cell(f"# {title}\n\n{words['how']}", id="assignment"),
        new.new_code_cell(
            setup_source(language=language), id="setup", metadata={"tags": SETUP_TAGS}
        ),
        new.new_code_cell(imports, id="imports"),
        new.new_markdown_cell(
            words["teacher"], id="for-teachers", metadata={"tags": [student.TEACHER]}
        ),
        new.new_code_cell(
            'from backbone.exercises import load_checks\n\nload_checks("checks")',
            id="load-checks",
            metadata={"tags": [student.TEACHER]},
        ),
    ]
    chapter = ""
    for number, source in enumerate(found, start=1):
        if source.chapter != chapter:
            chapter = source.chapter
            if prepared[chapter]:
                said = words["uses"]
                if changed[chapter]:
                    names = ", ".join(f"`{name}`" for name in changed[chapter])
                    said += " " + words["anew"].format(names=names)
                cells.append(new.new_markdown_cell(said, id=f"used-from-{chapter}"))
            cells += [
                new.new_code_cell(code, id=f"{chapter}-{part}")
                for part, code in enumerate(prepared[chapter], start=1)
            ]
        ours = f"{name}.{number}"
        text = exercise_text(source, number, ours, seed, language, hints=hints)
        code = source.answer.replace(f'check("{source.name}"', f'check("{ours}"')
        if source.name in wordings.WORDINGS:
            code = wordings.reword(code, source.name, seed)  # code is English in every edition
        cells.append(new.new_markdown_cell(text, id=f"exercise-{number}"))
        cells.append(
            new.new_code_cell(code, id=f"answer-{number}", metadata={"tags": [answers.TAG]})
        )
    return new.new_notebook(cells=cells, metadata=house_metadata(None))


def for_students(notebook: NotebookNode) -> NotebookNode:
    """Return an assignment without what only the teacher has: answers are handed in, unjudged."""
    made = student.student(notebook)
    for cell in made.cells:
        if cell.cell_type == "code" and (cell.id == "imports" or answers.checked(cell.source)):
            cell.source = re.sub(r"\bcheck\b(?=\(|$)", "hand_in", cell.source, flags=re.M)
    return made


def checks_text(name: str, found: list[Source], seed: int) -> str:
    """Return the file of the checks."""
    text = CHECKS.replace("<NAME>", name).replace("<SEED>", str(seed))
    text = text.replace("<FIRST>", f"{name}.1")
    for number, source in enumerate(found, start=1):
        numbers = question(source.name, seed=seed)
        said = ", ".join(f"{key} = {value}" for key, value in numbers.items())
        one = ONE_CHECK.replace("<NAME>", f"{name}.{number}").replace("<BOOK>", source.name)
        one = one.replace("<FUNCTION>", re.sub(r"\W", "_", f"{name}_{number}"))
        text += one.replace("<NUMBERS>", said or "the same for everyone")
    return text


def need_folder(out: Path) -> Path:
    """Return a folder to write to.

    Raises:
        ValueError: it is inside the repository, or holds something.
    """
    out = out.resolve()
    if out == ROOT or ROOT in out.parents:
        raise ValueError(
            f"{out} is inside this repository, which is public: the checks would be published with "
            "the next push. Name a folder beside it, such as --out ../midterm."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there and not empty. Name a new folder; nothing was written.")
    return out


def need_name(name: str) -> str:
    """Return the name of an assignment.

    Raises:
        ValueError: it is unreadable, or a chapter's.
    """
    if not READABLE_ID.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for an assignment: take lower-case words, digits and hyphens, "
            "such as midterm or homework-2."
        )
    if (BOOK / "en" / f"{name}.ipynb").exists():
        raise ValueError(f"{name} is a chapter of the book. Give the assignment another name.")
    return name


def new(
    name: str,
    names: list[str],
    out: Path,
    seed: int,
    *,
    language: str = "en",
    hints: bool = False,
    title: str = "",
) -> list[str]:
    """Write an assignment.

    Args:
        name: of the assignment; its exercises are `name.1`, `name.2` …
        names: of the book's exercises.
        out: a new folder outside this repository.
        seed: makes the numbers; not 0, whose numbers are the book's.
        language: of the texts, "en" or "zh".
        hints: whether students get the book's hints.
        title: of the notebook; the name if not given.

    Returns:
        A line about each exercise.

    Raises:
        ValueError: something of this is not possible; nothing is written then.
    """
    need_name(name)
    if seed < 1:
        raise ValueError(f"The seed is a whole number from 1 on, got {seed}. 0 is the book itself.")
    out = need_folder(out)
    found = sources(names, language)
    title = title or name.replace("-", " ").capitalize()
    teacher = build(name, found, seed, language=language, hints=hints, title=title)
    student.solved(teacher)  # every solution fits its cell, or nothing is written
    handed_out, checks = for_students(teacher), checks_text(name, found, seed)

    for folder in ("teacher/checks", "student"):
        (out / folder).mkdir(parents=True)
    save_notebook(teacher, out / "teacher" / f"{name}.ipynb")
    save_notebook(handed_out, out / "student" / f"{name}.ipynb")
    (out / "teacher" / "checks" / f"{name}.py").write_text(checks, encoding="utf-8")
    return [
        f"{name}.{number}  {source.name}  {_said(question(source.name, seed=seed))}"
        for number, source in enumerate(found, start=1)
    ]


def _said(numbers: dict[str, Any]) -> str:
    if not numbers:
        return "the same for everyone: its solution can be read in the book"
    return ", ".join(f"{key} = {value}" for key, value in numbers.items())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("new", help="write an assignment into a new folder")
    make.add_argument("name", help="such as midterm")
    make.add_argument("--from", dest="names", nargs="+", required=True, metavar="EXERCISE")
    make.add_argument("--out", type=Path, required=True, help="a folder outside this repository")
    make.add_argument("--seed", type=int, help="makes the numbers (default: drawn at random)")
    make.add_argument("--hints", action="store_true", help="give students the book's hints")
    make.add_argument("--title", default="", help="of the notebook")
    make.add_argument("--language", choices=("en", "zh"), default="en")
    given = parser.parse_args(arguments)
    seed = secrets.randbelow(10**9) + 1 if given.seed is None else given.seed
    options = {"language": given.language, "hints": given.hints, "title": given.title}
    try:
        lines = new(given.name, given.names, given.out, seed, **options)
    except (ValueError, OSError) as error:
        print(f"assignment.py: {error}", file=sys.stderr)
        return 1
    print(*lines, sep="\n")
    print(f"Written to {given.out}: hand out student/, keep teacher/ (seed {seed}) to yourself.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
