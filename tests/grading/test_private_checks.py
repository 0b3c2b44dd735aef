"""A teacher's own assignment: hidden checks, points, Chinese feedback."""

import csv
import json

import nbformat
from classroom import grade, rows

import cells

CHECKS = """
from backbone.exercises import Right, Wrong, exercise

@exercise("midterm.1", question=lambda seed: {"wanted": 1000 + seed})
def magic(answer, wanted):
    if answer() != wanted:
        raise Wrong("Not that one.", "不是这个。", "guessed")
    return Right("Found.", "找到了。")

@exercise("midterm.2")
def word(answer):
    if answer != "swordfish":
        raise Wrong("Another word.", "换一个词。", "other-word")
    return Right("That is the word.", "就是这个词。")
"""
SETUP = "import backbone\nfrom backbone.exercises import hand_in"
SNOOP = """
import gc
from backbone.exercises import EXERCISES
known = [n for n in EXERCISES if "midterm" in n]
seen = [o for o in gc.get_objects() if getattr(o, "name", "") == "midterm.2"]
words = [o for o in gc.get_objects() if "swordfish" in (getattr(o, "co_consts", None) or ())]
hand_in("midterm.2", "swordfish" if known or seen or words else "nothing found")"""


def notebook(*code):
    book = nbformat.v4.new_notebook()
    for number, source in enumerate(code):
        if "hand_in(" in source:
            book.cells.append(nbformat.v4.new_markdown_cell(f"### Exercise {number}: Guess"))
        book.cells.append(nbformat.v4.new_code_cell(source))
    return book


def test_hidden_checks_seed_points_and_language(tmp_path):
    checks, room = tmp_path / "checks", tmp_path / "in"
    checks.mkdir()
    room.mkdir()
    (checks / "midterm.py").write_text(CHECKS)
    one = 'hand_in("midterm.1", ...)'
    two = 'hand_in("midterm.2", ...)'
    cells.save_notebook(notebook(SETUP, one, two), tmp_path / "midterm.ipynb")
    given = 'hand_in("midterm.1", lambda: 1042)'
    ada = notebook(SETUP, given, 'hand_in("midterm.2", "swordfish")')
    alan = notebook(SETUP, 'hand_in("midterm.1", lambda: 1000)', SNOOP)
    for name, made in (("ada", ada), ("alan", alan)):
        (room / f"{name}.ipynb").write_text(json.dumps(made))
    (tmp_path / "mine.json").write_text(
        '{"Name": "student", "Mark": "percent", "One": "midterm.1"}'
    )
    result = grade(
        room, tmp_path / "out.csv", "--assignment", tmp_path / "midterm.ipynb", "--checks", checks,
        "--seed", 42, "--points", "midterm.2=3", "--language", "zh", "--map",
        tmp_path / "mine.json", "--jobs", 1,
    )  # fmt: skip
    print(result.stdout, result.stderr)
    assert result.returncode == 0
    ada, alan = rows(tmp_path / "out.csv")
    print(ada, alan)
    assert (ada["score"], ada["out of"], ada["midterm.2"]) == ("4", "4", "3")
    assert (alan["score"], alan["slips"]) == ("0", "1: guessed; 2: other-word")
    assert "gc finds" in alan["flags"] and "table of checks" in alan["flags"]
    assert "4 分中得 4 分" in next((tmp_path / "feedback").glob("*ada*")).read_text()
    assert "不是这个" in next((tmp_path / "feedback").glob("*alan*")).read_text()
    with (tmp_path / "out.mapped.csv").open(encoding="utf-8-sig") as file:
        assert list(csv.reader(file)) == [["Name", "Mark", "One"], ["ada", "100", "1"],
                                          ["alan", "0", "0"]]  # fmt: skip


def test_a_chapter_that_does_not_run_still_gives_rows(tmp_path):
    room = tmp_path / "in"
    room.mkdir()
    cells.save_notebook(notebook(SETUP, "1 / 0", 'hand_in("quiz.1", ...)'), tmp_path / "quiz.ipynb")
    (room / "ada.ipynb").write_text(json.dumps(notebook(SETUP, 'hand_in("quiz.1", 1)')))
    result = grade(room, tmp_path / "out.csv", "--assignment", tmp_path / "quiz.ipynb")
    (row,) = rows(tmp_path / "out.csv")
    print(row["note"])
    assert result.returncode == 1 and "ZeroDivisionError" in result.stderr
    assert "Cell 2 of the book's own notebook stopped" in row["note"] and row["score"] == ""
