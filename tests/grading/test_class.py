"""A class of forty is graded: every file has its row, and none does any harm."""

import re

import pytest
from classroom import rows

NAMES = [f"residual-blocks.{n}" for n in range(1, 6)]


def points(graded, student):
    row = graded.rows[student]
    return [int(row[name]) for name in NAMES]


def test_every_file_has_one_row(graded):
    files = sorted(row["file"] for row in graded.all)
    print(f"{len(files)} rows in {graded.seconds:.0f} s; {graded.said.splitlines()[-2]}")
    files = [file.removeprefix("'") for file in files]  # put there against formulas
    assert len(set(files)) == len(files) >= 40
    ignored = [f for f in files if "checkpoint" in f or "MACOSX" in f]
    assert not ignored
    on_disk = {k for k in graded.before if k.startswith("submissions/") and k.endswith(".ipynb")}
    missing = {k.removeprefix("submissions/") for k in on_disk} - set(files)
    assert missing == {".ipynb_checkpoints/right-checkpoint.ipynb", "__MACOSX/._right.ipynb"}


@pytest.mark.parametrize("student", ["right", "stripped", "version-3", "helper", "scratch"])
def test_right_answers_count_however_the_file_looks(graded, student):
    assert points(graded, student) == [1, 1, 1, 1, 1]
    assert graded.rows[student]["percent"] == "100" and not graded.rows[student]["flags"]


def test_partial_credit_with_the_slip(graded):
    row = graded.rows["half"]
    print(row)
    assert points(graded, "half") == [1, 0, 0, 1, 0]
    assert row["slips"] == "3: round-number" and "no answer to 2" in row["note"]
    assert (row["score"], row["out of"], row["percent"]) == ("2", "5", "40")


def test_no_answers_and_no_cell(graded):
    assert points(graded, "empty") == [0] * 5
    assert "no answer to 1, 2, 3, 4, 5" in graded.rows["empty"]["note"]
    assert points(graded, "missing") == [1, 1, 0, 1, 1]
    assert "no cell for 3" in graded.rows["missing"]["note"]


@pytest.mark.parametrize(
    ("student", "lost"),
    [
        ("typing", {3}),
        ("endless", {3}),
        ("sleepy", {4}),
        ("exits", {2, 3}),
        ("memory", {3}),
        ("hard-exit", {3}),
        ("segfault", {3}),
        ("kills", {3, 5}),
        ("network", {3}),
        ("spy", {3}),
        ("forges", {3}),
        ("thread", {3}),
        ("patches-late", {4}),
    ],
)
def test_what_stops_one_answer_stops_no_other(graded, student, lost):
    print(graded.rows[student])
    assert points(graded, student) == [int(n not in lost) for n in range(1, 6)]


def test_time_is_up_and_the_row_says_so(graded):
    assert "stopped for time in 3" in graded.rows["endless"]["note"]
    assert "stopped for time in 4" in graded.rows["sleepy"]["note"]
    assert "ended Python in 3" in graded.rows["segfault"]["note"]
    assert "never ends" in graded.feedback("endless")


@pytest.mark.parametrize(
    ("student", "reason"),
    [
        ("cut-off", "cut off or damaged"),
        ("nothing", "empty"),
        ("a-picture", "not a notebook"),
        ("a-list", "no cells"),
        ("deep", "not a notebook"),
        ("huge", "50 MB are more"),
        ("essay.pdf", "not a notebook"),
        ("broken", "zip file is damaged"),
        ("link", "not followed"),
        ("other", "known are: residual-blocks"),
    ],
)
def test_what_cannot_be_graded_says_why(graded, student, reason):
    row = graded.rows[student]
    print(row["note"])
    assert reason in row["note"] and row["score"] == "0" and row["chapter"] == ""
    assert graded.feedback(student)


def test_names_from_canvas_and_moodle(graded):
    jane = graded.rows["doejane"]
    assert (jane["id"], jane["score"]) == ("4711", "5") and "late" in jane["note"]
    assert graded.rows["roejohn"]["id"] == "4712"
    assert graded.rows["Alan Turing"]["id"] == "20816" and points(graded, "Alan Turing") == [1] * 5
    ada = [row for row in graded.all if row["student"] == "Ada Lovelace"]
    assert sorted(row["score"] for row in ada) == ["4", "5"]
    assert all("one of 2 submissions under this name" in row["note"] for row in ada)


def test_another_class_seed_is_noted_and_does_not_count(graded):
    assert points(graded, "seeded") == [1] * 5  # 62 is right for the book, not for seed 7
    assert "made for class seed 7, graded with 0" in graded.rows["seeded"]["note"]
    assert "use --seed" in graded.said


def test_a_fake_grade_on_the_screen_is_none(graded):
    assert points(graded, "prints") == [0] * 5
    assert "check was not called" in graded.feedback("prints")


def test_patched_checks_are_put_back_and_flagged(graded):
    row = graded.rows["patches"]
    print(row["flags"])
    assert points(graded, "patches") == [0] * 5
    for what in (
        "core.judge",
        "core.EXERCISES",
        "residual_blocks.numbers",
        "torch.equal",
        "builtins.isinstance",
        "Module.__call__",
        "Wrong.__init__",
        "Right.__post_init__",
        "an answer that says itself what it is equal to",
    ):
        assert what in row["flags"], what
    assert "changed the checks while it was judged" in graded.feedback("patches-late")
    assert "a thread that runs on" in graded.rows["thread"]["flags"]
    honest = [r["student"] for r in graded.all if r["flags"] and r["score"] == "5"]
    assert honest in ([], ["by-c"])


def test_nothing_outside_the_scratch_folder_changed(graded):
    assert graded.before == graded.after
    print(f"{len(graded.before)} files as before; {graded.rows['deletes']['flags'][:300]}")
    assert graded.rows["deletes"]["flags"].count("the grader refused") >= 5
    assert "keep.txt" in graded.after


def test_compiled_code_is_locked_in_too(graded):
    if "by-c" not in graded.rows:
        pytest.skip("this kernel has no namespaces or no Landlock: nothing holds compiled code")
    assert "ctypes" in graded.rows["by-c"]["flags"]
    assert "keep.txt" in graded.after and len(graded.all) >= 40


def test_no_connection_reached_the_server(graded):
    assert graded.calls == []
    assert "the network" in graded.rows["network"]["flags"]


def test_other_files_cannot_be_read(graded):
    if "Landlock" not in graded.said:
        pytest.skip("this kernel has no Landlock: reading is not refused")
    page = graded.feedback("spy")
    print(page[-200:])
    assert "secret" not in page and "PermissionError" in page


def test_the_first_line_says_what_protects(graded):
    line = next(line for line in graded.said.splitlines() if "Protected by" in line)
    print(line)
    assert "limits" in line and "audit hook" in line


def test_feedback_has_the_hint_and_no_flags(graded):
    page = graded.feedback("half")
    print(page)
    assert "**2 of 5 points**" in page and "## ✓ Exercise 1" in page and "## … Exercise 2" in page
    assert "64 is the round number" in page and "No answer yet." in page
    assert "never closed" in page or "SyntaxError" in page
    assert "__eq__" not in graded.feedback("patches").replace("\\", "")
    assert len(list((graded.folder / "feedback").iterdir())) == len(graded.all)


def test_no_cell_is_a_formula(graded):
    text = (graded.folder / "grades.csv").read_text(encoding="utf-8-sig")
    assert "'=cmd|' /C calc'!A0" in graded.rows
    assert not re.search(r'(^|,)"?[=+@]', text, re.M)
    table = rows(graded.folder / "grades.csv")
    assert all(None not in row and None not in row.values() for row in table)


def test_time_for_the_class(graded):
    print(
        f"{len(graded.all)} files in {graded.seconds:.0f} s, three of them until their time was up"
    )
    assert graded.seconds < 240  # some 30 s on two cores that do nothing else
