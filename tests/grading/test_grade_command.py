"""Wrong use of the command: one line that says what to do, before anything runs."""

import pytest
from classroom import small_chapter

import cells
import grade


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["", "OUT.csv"], "Name the folder of submissions"),
        (["nowhere", "OUT.csv"], "There is no folder nowhere"),
        (["EMPTY", "OUT.csv"], "is empty"),
        (["IN", "OUT.xlsx"], "must end in .csv"),
        (["IN", "nowhere/OUT.csv"], "cannot be written"),
        (["IN", "OUT.csv", "--timeout", "0"], "--timeout must be above 0"),
        (["IN", "OUT.csv", "--points", "residual-blocks.1"], "write such as --points"),
        (["IN", "OUT.csv", "--points", "residual-blocks.1=-3"], "write such as --points"),
        (["IN", "OUT.csv", "--points", "blocks.1=2"], "no exercise 'blocks.1'. Choose from"),
        (["IN", "OUT.csv", "--book", "EMPTY"], "no notebook with exercises"),
        (["IN", "OUT.csv", "--assignment", "no.ipynb"], "There is no notebook no.ipynb"),
        (["IN", "OUT.csv", "--checks", "no"], "There is no folder no with checks"),
        (["IN", "OUT.csv", "--map", "blackboard"], "canvas, moodle or a JSON file"),
        (["IN", "OUT.csv", "--map", "canvas", "--roster", "no.csv"], "cannot be read"),
    ],
)
def test_it_teaches(arguments, says, submissions, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    book = tmp_path / "book"
    book.mkdir()
    cells.save_notebook(small_chapter(), book / "residual-blocks.ipynb")
    places = {"IN": submissions, "EMPTY": tmp_path / "empty"}
    given = [str(places.get(a, a)).replace("OUT", f"{tmp_path}/grades") for a in arguments]
    given = [a.replace("nowhere//", f"{tmp_path}/nowhere/") for a in given]
    if "--book" not in given:
        given += ["--book", str(book)]
    assert grade.main(given) == 1
    said = capsys.readouterr().err
    print(said)
    assert says in said and said.startswith("grade.py: ") and "Traceback" not in said
    assert not (tmp_path / "grades.csv").exists()


def test_windows_is_told_what_to_use(monkeypatch, capsys, submissions):
    monkeypatch.setattr(grade, "WINDOWS", True)
    assert grade.main([str(submissions), "grades.csv"]) == 1
    assert "Use WSL" in capsys.readouterr().err
