"""Test files for otter-grader. otter itself is not installed: its files are run as it runs them."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import answers  # noqa: E402
import cells  # noqa: E402
import export_otter  # noqa: E402

NOTEBOOKS = [
    path
    for path in sorted((ROOT / "book" / "en").glob("*.ipynb"))
    if answers.answer_cells(cells.read_notebook(path))
]


def result(text, names):
    """Run the doctest of a test file, as otter does: in the notebook's names."""
    made = {}
    exec(text, made)
    (suite,) = made["test"]["suites"]
    (case,) = suite["cases"]
    assert made["OK_FORMAT"] and suite["type"] == "doctest"
    example = doctest.DocTestParser().get_doctest(case["code"], dict(names), "case", None, None)
    return doctest.DocTestRunner(verbose=False).run(example, out=lambda said: None)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_a_file_and_a_place_of_its_own(path):
    made, tests = export_otter.export(cells.read_notebook(path))
    names = list(answers.answer_cells(made))
    assert sorted(tests) == sorted(f"{export_otter.label(name)}.py" for name in names)
    for name, cell in answers.answer_cells(made).items():
        after = made.cells[made.cells.index(cell) + 1]
        assert after.source == f'grader.check("{export_otter.label(name)}")'
        assert f"\n{export_otter.variable(name)} = " in cell.source
    assert not [
        c for c in made.cells if c.cell_type == "markdown" and answers.has_solution(c.source)
    ]
    cells.notebook_text(made)  # a valid notebook
    print(f"{path.stem}: {len(tests)} files")


def test_right_wrong_and_open_answers():
    notebook = cells.read_notebook(ROOT / "book" / "en" / "unet-architecture.ipynb")
    _, tests = export_otter.export(notebook)
    text = tests["unet-architecture-2.py"]
    for answer, failed in ((642, 0), (641, 1), (..., 1)):
        got = result(text, {"unet_architecture_2": answer})
        print(answer, got)
        assert (got.attempted, got.failed) == (2, failed)


def test_a_class_seed_is_in_the_files():
    notebook = cells.read_notebook(ROOT / "book" / "en" / "unet-architecture.ipynb")
    _, tests = export_otter.export(notebook, seed=7)
    assert result(tests["unet-architecture-2.py"], {"unet_architecture_2": 642}).failed == 1
    assert "seed=7" in tests["unet-architecture-2.py"]


def test_the_command_writes_a_new_folder_only(tmp_path, capsys):
    notebook = str(ROOT / "book" / "en" / "unet-architecture.ipynb")
    assert export_otter.main([notebook, "--out", str(tmp_path / "otter")]) == 0
    assert len(list((tmp_path / "otter" / "tests").glob("*.py"))) >= 6
    assert export_otter.main([notebook, "--out", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert export_otter.main([str(ROOT / "book/en/index.ipynb"), "--out", str(tmp_path / "x")]) == 1
    assert "no exercise" in capsys.readouterr().err
