"""The students' edition: the book without its solutions, and nothing else."""

import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import answers  # noqa: E402
import cells  # noqa: E402
import run_notebooks  # noqa: E402
import student  # noqa: E402
from backbone.exercises import EXERCISES, question  # noqa: E402

NOTEBOOKS = sorted(
    path for path in (ROOT / "book").glob("[ez][nh]/*.ipynb") if path.stem != "teaching"
)
ENGLISH_BOOK = ROOT / "book" / "en"
ENGLISH = [path for path in NOTEBOOKS if path.parent.name == "en"]
every_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
every_english = pytest.mark.parametrize("path", ENGLISH, ids=lambda path: path.stem)

EXERCISE = """\
# %% [markdown] id="exercise-sum"
# ### Exercise 1: A sum
#
# *Easy · 5 minutes.* How much is it?
#
# <details><summary>Hint</summary>
#
# Use your fingers.
#
# </details>
#
# <details><summary>Solution</summary>
#
# A secret.
#
# ```python
# total = 20 - 2
# check("resnet-architecture.1", total)
# ```
#
# </details>

# %% id="answer-sum" tags=["answer", "remove-cell"]
total = ...

check("resnet-architecture.1", total)  # 残差 "a)"

# %% id="for-teachers" tags=["teacher"]
print("ask them first")

# %% [markdown] id="key-points"
# ## Key points
"""


def text_of(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(f"{cell.source}\n{cell.get('outputs', '')}" for cell in notebook.cells)


@every_notebook
def test_nothing_of_a_solution_is_left(path: Path) -> None:
    """No line of a solution, prose or code, stands in the edition, unless the chapter says it."""
    notebook = cells.read_notebook(path)
    made = text_of(student.student(notebook))
    kept = [answers.without_solution(c.source) for c in notebook.cells if c.cell_type == "markdown"]
    shown = [
        f"{c.source}\n{[] if answers.checked(c.source) else c.outputs}"
        for c in notebook.cells
        if c.cell_type == "code"
    ]
    chapter = "\n".join(kept + shown)
    secrets = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and answers.has_solution(cell.source):
            left = answers.without_solution(cell.source)
            secrets |= {
                line.strip() for line in cell.source.splitlines() if line.strip() not in left
            }
    secrets = {line for line in secrets if len(line) > 15 and line not in chapter}
    leaked = sorted(line for line in secrets if line in made)
    print(f"{len(secrets)} lines of solutions looked for")
    assert not leaked
    assert not re.search("(Solution|解答)</summary>", made)
    assert len(re.findall("(Hint|提示)</summary>", made)) == len(answers.answer_cells(notebook))
    assert '"teacher"' not in made


@every_notebook
def test_all_else_is_the_same(path: Path) -> None:
    notebook = cells.read_notebook(path)
    made = student.student(notebook)
    assert [c.id for c in made.cells] == [c.id for c in notebook.cells]
    same = 0
    for before, after in zip(notebook.cells, made.cells, strict=True):
        if before.cell_type == "markdown":
            left = answers.without_solution(before.source).rstrip("\n").split("\n")
            assert after.source.split("\n") == [line for line in left if "](teaching." not in line]
            same += after.source == before.source
        elif answers.checked(before.source):
            assert after.source == before.source
            assert (after.outputs, after.execution_count) == ([], None)
        else:
            assert after == before
            same += 1
    assert made.metadata == {k: v for k, v in notebook.metadata.items() if k != "backbone"}
    print(f"{same} of {len(made.cells)} cells are untouched")


@every_notebook
def test_every_exercise_can_be_handed_in(path: Path) -> None:
    notebook = cells.read_notebook(path)
    with_answer = answers.answer_cells(notebook)
    numbers = sorted(int(name.rpartition(".")[2]) for name in with_answer)
    print(f"{len(with_answer)} answer cells")
    assert numbers == list(range(1, len(numbers) + 1))
    assert set(with_answer) == {n for n in EXERCISES if n.rpartition(".")[0] == path.stem}
    assert set(with_answer) == set(answers.exercise_cells(notebook))
    for name, cell in with_answer.items():
        assert cell.metadata.tags == answers.TAGS, f"{cell.id}: the site would show its dots"
        assert cell.id.startswith("answer-") and "..." in cell.source
        assert cell.source.splitlines()[-1].startswith(f'check("{name}", ')


@every_english
def test_each_solution_is_for_its_own_exercise(path: Path) -> None:
    notebook = cells.read_notebook(path)
    made = student.solved(notebook)  # `make test` runs it, so that solutions stay right
    own = {cell.id for cell in answers.answer_cells(notebook).values()}
    pairs = zip(notebook.cells, made.cells, strict=True)
    assert all(before == after for before, after in pairs if before.id not in own)
    for name, cell in answers.answer_cells(made).items():
        assert answers.checked(cell.source) == [name]
        assert re.search(r"^\s*assert ", cell.source, re.M), f"{name}: its solution proves nothing"


def test_run_as_it_is_handed_out(tmp_path: Path) -> None:
    """Before anything is solved every cell runs, and answer cells say what to do."""
    path = tmp_path / "unet-architecture.ipynb"
    made = student.student(cells.read_notebook(ROOT / "book" / "en" / path.name))
    ran = run_notebooks.execute(made, path)
    said = [str(cell.outputs) for cell in answers.answer_cells(ran).values()]
    assert len(said) >= 5 and all("No answer yet" in text for text in said)
    assert not [c.id for c in ran.cells for o in c.get("outputs", []) if o.output_type == "error"]
    print(f"{len(ran.cells)} cells ran, {len(said)} answers wait")


def test_a_small_one_cell_by_cell() -> None:
    notebook = cells.from_text(EXERCISE)
    made = student.student(notebook)
    assert [cell.id for cell in made.cells] == ["exercise-sum", "answer-sum", "key-points"]
    assert "fingers" in made.cells[0].source and made.cells[0].source.endswith("</details>")
    assert "secret" not in text_of(made) and "20 - 2" not in text_of(made)
    assert "secret" in text_of(notebook), "the book itself stays as it is"
    solved = student.solved(notebook)
    assert solved.cells[1].source == 'total = 20 - 2\ncheck("resnet-architecture.1", total)'


def test_a_class_has_its_own_numbers() -> None:
    made = student.student(cells.from_text(EXERCISE), seed=7)
    line = made.cells[1].source.splitlines()[-1]
    assert line == 'check("resnet-architecture.1", total, seed=7)  # 残差 "a)"'
    blocks = question("resnet-architecture.1", seed=7)["blocks"]
    assert blocks != question("resnet-architecture.1")["blocks"]
    asked = student.student(cells.read_notebook(ENGLISH_BOOK / "resnet-architecture.ipynb"), seed=7)
    text = answers.exercise_cells(cells.read_notebook(ENGLISH_BOOK / "resnet-architecture.ipynb"))
    cell = next(c for c in asked.cells if c.id == text["resnet-architecture.1"].id)
    assert all(f"{number}" in cell.source for number in blocks)
    assert cell.source != answers.without_solution(text["resnet-architecture.1"].source)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('check("resnet-architecture.1", total)  # 残差 "a)"', "total", "no answer cell"),
        ('# check("resnet-architecture.1", total)\n', "", "must end with check"),
    ],
)
def test_what_could_not_be_handed_in_is_refused(old: str, new: str, says: str) -> None:
    notebook = cells.from_text(EXERCISE.replace(old, new, 1))
    with pytest.raises(ValueError, match=says):
        student.student(notebook)
        student.solved(notebook)


def test_the_folder(tmp_path: Path) -> None:
    """Written twice, nothing old stays; a folder with other files is left alone."""
    out = tmp_path / "student"
    files = student.make(out)
    assert {path.suffix for path in files} == {".ipynb", ".md"}
    assert not (out / "teaching.ipynb").exists()
    assert not [path for path in files if "](teaching." in path.read_text("utf-8")]
    first = {path: path.read_bytes() for path in files}
    (out / "old.ipynb").touch()
    assert student.make(out) == files
    assert not (out / "old.ipynb").exists()
    assert first == {path: path.read_bytes() for path in files}
    shutil.copy(files[0], tmp_path / "mine.ipynb")
    with pytest.raises(ValueError, match="holds other files"):
        student.make(tmp_path)
    assert (tmp_path / "mine.ipynb").exists()


@pytest.mark.parametrize(
    "chapter", [p for p in ENGLISH if p.stem not in {"index", "about-the-source", "bug-museum"}],
    ids=lambda path: path.stem,
)  # fmt: skip
def test_help_fades(chapter: Path) -> None:
    """Some answers of a chapter begin with a function to be completed, others with nothing."""
    sources = [c.source for c in answers.answer_cells(cells.read_notebook(chapter)).values()]
    gaps = [source for source in sources if re.search(r"^(def|class) ", source, re.M)]
    print(f"{len(gaps)} of {len(sources)} answers are gaps")
    assert 1 <= len(gaps) < len(sources) / 2
