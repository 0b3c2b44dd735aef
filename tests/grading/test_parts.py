"""The grader's parts, one at a time."""

import json
import math

import nbformat
import pytest
import torch
from classroom import Class, small_chapter, zipped
from hypothesis import given
from hypothesis import strategies as st

import cells
from grading import feedback, lms, plain, results
from grading.book import Chapter, chapter_of, read_book
from grading.collect import Submission, collect, student_of
from grading.plan import plan
from grading.read import Code, Unreadable, code_cells, exercises_in, seeds_in
from grading.suspicious import suspicions
from properties import few


def test_exercises_are_found_in_code_that_does_not_parse():
    assert exercises_in('check("a-b.1", x)\nhand_in("mid.2", y)') == ["a-b.1", "mid.2"]
    assert exercises_in('x = (1\ncheck("a.1", x)') == ["a.1"]
    assert exercises_in('%time check("a.1", x)') == ["a.1"]
    assert exercises_in('%%time\nx = 1\ncheck("a.1", x)') == ["a.1"]
    assert exercises_in("-" * 100_000 + '1\ncheck("a.1", x)') == ["a.1"]
    assert exercises_in('print("check")') == []
    assert seeds_in('check("a.1", x, seed=7)\ncheck("a.2", x)') == {0, 7}


@given(st.binary(max_size=300))
@few
def test_no_bytes_break_the_reader(data):
    try:
        cells = code_cells(data)
    except Unreadable as error:
        assert str(error)
    else:
        assert isinstance(cells, list)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5),
                    lambda x: st.lists(x, max_size=4) | st.dictionaries(
                        st.sampled_from(["cells", "cell_type", "source", "worksheets", "input"]),
                        x | st.just("code"), max_size=4), max_leaves=12))  # fmt: skip
@few
def test_no_json_breaks_the_reader(value):
    try:
        cells = code_cells(json.dumps(value).encode())
    except Unreadable:
        return
    assert all(isinstance(cell.source, str) for cell in cells)


def test_students_by_path():
    assert student_of("doejane_4711_99812_a_b.ipynb") == ("doejane", "4711", False)
    assert student_of("doejane_LATE_4711_99812_a.ipynb") == ("doejane", "4711", True)
    ada = ("Ada King, Countess", "9", False)
    assert student_of("w1/Ada King, Countess_9_assignsubmission_file/a.ipynb") == ada
    assert student_of("Ada King, Countess_9_assignsubmission_file_a.ipynb") == ada
    assert student_of("jane_doe.ipynb") == ("jane_doe", "", False)


def test_zip_in_zip_and_what_is_left_out(tmp_path):
    inner = zipped({"a.ipynb": b"1", "__MACOSX/._a.ipynb": b"", "notes.txt": b""})
    (tmp_path / "all.zip").write_bytes(zipped({"doe_1_2_x.zip": inner, "doe_1_2_y.png": b""}))
    (tmp_path / "roe.txt").write_text("I had no time.")
    (tmp_path / "grades.csv").write_text("")
    found = collect(tmp_path, (tmp_path / "grades.csv",))
    print([s.file for s in found])
    assert [s.file for s in found] == ["all.zip/doe_1_2_x.zip/a.ipynb", "roe.txt"]
    assert found[0].student == "doe" and found[0].data == b"1"


def test_a_zip_with_a_password_and_a_bomb(tmp_path, monkeypatch):
    locked = bytearray(zipped({"a.ipynb": b"text"}))
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.index(mark) + flags] |= 1  # the bit for "encrypted"
    (tmp_path / "locked.zip").write_bytes(locked)
    monkeypatch.setattr("grading.collect.MOST_ZIP", 1000)
    (tmp_path / "bomb.zip").write_bytes(zipped({"a.ipynb": bytes(2000)}))
    problems = {s.file: s.problem for s in collect(tmp_path)}
    print(problems)
    assert "password" in problems["locked.zip/a.ipynb"] and "more than 2 GB" in problems["bomb.zip"]


def chapter(*code):
    cells = tuple(Code(n, source) for n, source in enumerate(code, 1))
    titles = {name: name for cell in cells for name in cell.exercises}
    return Chapter("a", None, cells, titles)


def steps(book, *code):
    return [s.code for s in plan(book, [Code(n, x) for n, x in enumerate(code, 1)])]


def test_only_what_differs_runs_and_in_order():
    book = chapter("import x", "y = 1", 'check("a.1", ...)', "z = 2", 'check("a.2", ...)')
    one, two = 'check("a.1", y)', 'check("a.2", z)'
    assert steps(book, "import x", "y = 1", one, "z = 2", two) == [one, "z = 2", two]
    assert steps(book, one, two) == [one, "z = 2", two]  # the chapter's own cells were deleted
    assert steps(book, "import x", "y = 1  ", one, "w = 3", two) == [one, "w = 3", "z = 2", two]
    split = "class A:\n    pass"
    assert steps(book, "y = 1", split, 'check("a.1", A)', two)[:2] == [split, 'check("a.1", A)']


def test_of_early_own_cells_only_the_needed_run():
    book = chapter("import x", "y = 1", "heavy()", 'check("a.1", ...)')
    answer = 'check("a.1", helper(y))'
    slow, helper = "y = train_for_hours()", "def helper(n):\n    return deep(n)"
    deep = "def deep(n):\n    return n"
    handed_in = ["import x", slow, deep, helper, "y = 1", "heavy()", answer]
    made = plan(book, [Code(n, c) for n, c in enumerate(handed_in, 1)])
    assert [s.code for s in made] == [deep, helper, answer]
    assert [s.keep for s in made] == [True, True, False]


def test_the_chapter_is_known_by_its_exercises(tmp_path):
    cells.save_notebook(small_chapter(), tmp_path / "renamed.ipynb")
    (book,) = read_book(tmp_path)
    assert chapter_of(["residual-blocks.2", "other.1"], [book]) is book
    assert chapter_of(["other.1"], [book]) is None
    assert book.titles["residual-blocks.1"].startswith("Exercise 1: ")
    with pytest.raises(ValueError, match="no notebook with exercises"):
        read_book(tmp_path / "nowhere")


def test_suspicions():
    assert suspicions("import torch\nx = torch.ones(3)\nmodel.eval()") == []
    assert suspicions("import os\nprint(os.path.join('a', 'b'))") == []
    for code in ("import ctypes", "from ctypes import CDLL", "import sys; sys._getframe(1)",
                 "eval('1')", "import os; os._exit(0)", "from backbone.exercises.core import judge",
                 "import grading", "class A:\n    def __eq__(self, o): return True",
                 "x = (\nimport ctypes"):  # fmt: skip
        print(suspicions(code))
        assert suspicions(code)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.just(...),
    lambda x: st.lists(x, max_size=4) | st.tuples(x, x) | st.sets(st.integers(), max_size=4)
    | st.dictionaries(st.text(max_size=3) | st.integers(), x, max_size=4),
)  # fmt: skip


@given(PLAIN)
@few
def test_plain_answers_travel_unchanged(answer):
    packed = json.loads(json.dumps(plain.pack(answer)))
    back = plain.unpack(packed)
    assert back == answer and type(back) is type(answer)


def test_tensors_travel_and_the_rest_stays():
    for x in (torch.rand(2, 3), torch.arange(4), torch.tensor(True), torch.empty(0, 3)):
        assert torch.equal(plain.unpack(json.loads(json.dumps(plain.pack(x)))), x)
    assert math.isnan(plain.unpack(plain.pack(float("nan"))))
    for x in (lambda: 1, torch.nn.ReLU(), torch.ones(2, requires_grad=True), object(), [print]):
        assert plain.pack(x) is None
    assert plain.pack(list(range(plain.MOST + 1))) is None and plain.pack(2**9999) is None


def test_an_answer_cannot_say_what_it_is_equal_to():
    class Any(int):
        __hash__ = int.__hash__

        def __eq__(self, other):
            return True

    value, disguised = plain.without_disguise(Any(3))
    assert type(value) is int and value == 3 and value != 4 and disguised
    assert plain.without_disguise(True) == (True, False)
    import numpy as np

    value, disguised = plain.without_disguise(np.float64(0.5))
    assert type(value) is float and not disguised


def graded_rows():
    book = chapter('check("a.1", ...)', 'check("a.2", ...)')

    def row(number, name, id_, *states):
        verdicts = {
            f"a.{n}": {"state": state, "en": "So.", "zh": "是。", "slip": ""}
            for n, state in enumerate(states, 1)
        }
        return results.Row(number, Submission(f"{name}.ipynb", name, id_), book, verdicts)

    lost = results.Row(4, Submission("x.ipynb", "x"), notes=["The file is empty."])
    return [row(1, "Doe, Jane", "11", "right", "wrong"), row(2, "Roe", "12", "right", "right"),
            row(3, "Roe", "12", "wrong", "wrong"), lost]  # fmt: skip


ROSTER = """\
Student,ID,SIS User ID,SIS Login ID,Section,Blocks (77),Other (78)
    Points Possible,,,,,10,5
"Doe, Jane",11,s1,jane@x.edu,One,,
"Roe, Rick",12,s2,rick@x.edu,One,1,
"Poe, Edna",13,s3,edna@x.edu,One,,
"""


def test_canvas_columns(tmp_path):
    (tmp_path / "export.csv").write_text(ROSTER)
    roster = lms.read_roster(tmp_path / "export.csv")
    sheet = lms.canvas(graded_rows(), roster, "Blocks (77)")
    print(sheet)
    assert sheet.columns == [*lms.CANVAS, "Blocks (77)"]
    assert [line["Blocks (77)"] for line in sheet.rows] == ["10", "5", "10", ""]
    assert any("the best counts" in remark for remark in sheet.remarks)
    results.write_csv(tmp_path / "c.csv", sheet.columns, sheet.rows)
    assert lms.read_roster(tmp_path / "c.csv")[0] == sheet.columns
    with pytest.raises(ValueError, match=r"no column 'Block'. Choose from: Blocks \(77\)"):
        lms.canvas(graded_rows(), roster, "Block")
    bare = lms.canvas(graded_rows())
    assert bare.columns == [*lms.CANVAS, "a"] and bare.rows[0]["ID"] == "11"


WORKSHEET = """\
Identifier,Full name,Status,Grade,Maximum Grade,Last modified (grade),Feedback comments
Participant 11,Jane Doe,Submitted,,100.00,-,
Participant 13,Edna Poe,No submission,,100.00,-,
"""


def test_moodle_worksheet(tmp_path):
    (tmp_path / "w.csv").write_text("\ufeff" + WORKSHEET)
    roster = lms.read_roster(tmp_path / "w.csv")
    sheet = lms.moodle(graded_rows(), roster, {1: "Good.\nMore."})
    print(sheet)
    assert sheet.columns == roster[0]
    assert [line["Grade"] for line in sheet.rows] == ["50", ""]
    assert sheet.rows[0]["Feedback comments"] == "Good.\nMore."
    assert any("Not on the roster" in remark and "Roe (12)" in remark for remark in sheet.remarks)
    people = (["Full name", "Email address"], [{"Full name": "doe,  jane", "Email address": "j"}])
    assert lms.moodle(graded_rows(), people).rows[0]["Grade"] == "1"
    with pytest.raises(ValueError, match="neither Identifier nor Full name"):
        lms.moodle(graded_rows(), (["Mail"], [{"Mail": "j"}]))
    bare = lms.moodle(graded_rows())
    assert bare.rows[0]["Identifier"] == "Participant 11" and "--roster" in bare.remarks[-1]


def test_own_columns(tmp_path):
    (tmp_path / "m.json").write_text('{"Who": "student", "Points": "score"}')
    sheet = lms.own(graded_rows(), tmp_path / "m.json")
    assert sheet.rows[0] == {"Who": "Doe, Jane", "Points": "1"}
    (tmp_path / "m.json").write_text('{"Who": "name"}')
    with pytest.raises(ValueError, match=r"No field name. Choose from student"):
        lms.own(graded_rows(), tmp_path / "m.json")


@given(st.lists(st.text(max_size=8), min_size=2, max_size=2))
@few
def test_a_table_comes_back_and_holds_no_formula(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    columns = ["a", "b"]
    results.write_csv(path, columns, [dict(zip(columns, cells, strict=True))])
    import csv

    with path.open(encoding="utf-8-sig", newline="") as file:
        (line,) = list(csv.DictReader(file))
    assert [line[c] for c in columns] == [results.harmless(c) for c in cells]
    for cell in line.values():
        assert cell[:1] not in "=+-@\t\r" or not cell or float(cell) is not None


def test_a_table_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("before")
    monkeypatch.setattr("pathlib.Path.replace", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        results.write_csv(path, ["a"], [{"a": "1"}])
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_pages_of_an_earlier_run_go_and_others_stay(tmp_path):
    rows = graded_rows()
    feedback.write_pages(tmp_path, rows)
    (tmp_path / "001-mine.md").write_text("My own notes.")
    written = feedback.write_pages(tmp_path, rows[:1], "zh")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["001-Doe-Jane.md", "001-mine.md"]
    text = written[0].read_text(encoding="utf-8")
    print(text)
    assert "2 分中得 1 分" in text and "是。" in text


def test_feedback_quotes_no_markup():
    row = graded_rows()[0]
    row.verdicts["a.2"]["en"] = "got str '<script>x</script> **bold** [a](b)'"
    text = feedback.page(row)
    assert "<script>" not in text and "\\*\\*bold" in text and "\\[a\\]" in text


def test_points():
    row = graded_rows()[0]
    row.worth = {"a.1": 2.5, "a.2": 0}
    assert (row.score, row.out_of, row.percent) == (2.5, 2.5, 100)


def test_the_builder_builds_what_it_says(tmp_path):
    room = Class(tmp_path / "in")
    room.hands_in("a.ipynb", {3: "x"}, extra="y")
    made = nbformat.read(tmp_path / "in" / "a.ipynb", as_version=4)
    assert [c.source for c in made.cells if c.cell_type == "code"].count("x") == 1
