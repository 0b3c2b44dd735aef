"""A teacher's own checks, and what a student sees of them: nothing but "handed in"."""

import re

import pytest

from backbone.exercises import (
    EXERCISES,
    Wrong,
    check,
    hand_in,
    load_checks,
    question,
    variant_note,
)
from backbone.exercises.core import LANGUAGE
from backbone.exercises.private import PRIVATE

GOOD = """\
from __future__ import annotations

from dataclasses import dataclass

from backbone.exercises import Right, Wrong, exercise


@dataclass
class Goal:
    value: int


@exercise("midterm.1")
def seventeen(answer):
    if answer != Goal(17).value:
        raise Wrong("Count the stem, too.", "别忘了主干。", "stem-forgotten")
    return Right("Yes.", "对。")


@exercise("midterm.2", question=lambda seed: {"wanted": seed})
def the_seed(answer, wanted):
    return Right(f"{answer} of {wanted}", "对。")
"""


@pytest.fixture(autouse=True)
def _only_the_book():
    before = dict(EXERCISES)
    yield
    EXERCISES.clear()
    EXERCISES.update(before)
    PRIVATE.clear()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "midterm.py").write_text(GOOD, encoding="utf-8")
    return tmp_path


def test_check_knows_them_once_they_are_loaded(folder):
    with pytest.raises(ValueError, match=r"no exercise 'midterm.1'"):
        check("midterm.1", 17)
    assert load_checks(folder) == ["midterm.1", "midterm.2"]
    assert check("midterm.1", 17).answered
    assert not check("midterm.1", ...).answered
    with pytest.raises(Wrong, match="stem") as caught:
        check("midterm.1", 16)
    assert caught.value.slip == "stem-forgotten"
    assert question("midterm.2", seed=5) == {"wanted": 5}
    assert str(check("midterm.2", 3, seed=5)) == "✓ 3 of 5"
    assert check("residual-blocks.3", ...) is not None, "the book's own are still there"


def test_loading_again_takes_the_file_as_it_is_now(folder):
    load_checks(folder)
    (folder / "midterm.py").write_text(
        GOOD.replace("17", "18").split('\n\n\n@exercise("midterm.2')[0]
    )
    assert load_checks(str(folder)) == ["midterm.1"]
    assert check("midterm.1", 18).answered
    assert "midterm.2" not in EXERCISES and set(PRIVATE) == {"midterm.1"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"There is no folder .*checks"),
        ("x = 1\n", r'No check was found in .*@exercise\("midterm.1"\)'),
        (GOOD.replace("midterm.2", "residual-blocks.3"), r"line 20: .*named 'residual-blocks.3'"),
        (GOOD.replace("midterm.2", "midterm"), r"'midterm' is no name .*a dot and a number"),
        (GOOD.replace("midterm.2", "midterm.1"), r"midterm.py, line 20: .*named 'midterm.1'"),
        (GOOD + "\n\ndef half(:\n", r"midterm.py, line 25: this is not Python: invalid syntax"),
        (GOOD + "\nlen(5)\n", r"midterm.py, line 24: TypeError: object of type 'int' has no len"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_and_nothing_is_kept(tmp_path, text, says):
    folder = tmp_path / "checks"
    if text is not None:
        folder.mkdir()
        (folder / "midterm.py").write_text(text, encoding="utf-8")
    before = dict(EXERCISES)
    with pytest.raises(ValueError, match=says) as caught:
        load_checks(folder)
    print(caught.value)
    assert before == EXERCISES and not PRIVATE


def test_a_mistake_leaves_what_was_loaded_before(folder):
    load_checks(folder)
    (folder / "midterm.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match=r"midterm.py, line 1: ZeroDivisionError"):
        load_checks(folder)
    assert check("midterm.1", 17).answered and set(PRIVATE) == {"midterm.1", "midterm.2"}


def test_two_folders_cannot_share_a_name(folder, tmp_path_factory):
    load_checks(folder)
    other = tmp_path_factory.mktemp("other")
    (other / "again.py").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ValueError, match=r"named 'midterm.1'"):
        load_checks(other)
    assert set(PRIVATE.values()) == {folder}


def test_a_student_is_told_only_that_it_arrived():
    right, wrong = hand_in("midterm.1", 17), hand_in("midterm.1", "no idea")
    assert right == wrong and right.answered
    assert str(right) == "✓ Handed in: your teacher's check will look at it."
    for still_open in (..., {"a": 1, "b": ...}, [1, ...]):
        seen = hand_in("midterm.1", still_open)
        assert not seen.answered and "No answer yet" in str(seen)
    print(right, "|", seen)


def test_in_chinese(monkeypatch):
    monkeypatch.setenv(LANGUAGE, "zh")
    assert str(hand_in("midterm.1", 17)) == "✓ 已交：老师的检查程序会看它。"
    assert "还没有答案" in str(hand_in("midterm.1", ...))


def test_exercises_of_the_book_are_checked_not_handed_in(folder):
    with pytest.raises(ValueError, match=r'write check\("residual-blocks.3"') as caught:
        hand_in("residual-blocks.3", 17)
    print(caught.value)
    load_checks(folder)  # on the teacher's machine, with the checks at hand, it stays a note
    assert hand_in("midterm.1", 16).answered


def test_a_note_names_every_number_that_differs():
    varying = [name for name, found in EXERCISES.items() if found.question]
    noted = 0
    for name in varying:
        assert variant_note(name, seed=0) == ""
        for seed in range(1, 30):
            book, ours = question(name), question(name, seed=seed)
            en, zh = (variant_note(name, seed=seed, language=x) for x in ("en", "zh"))
            assert "\n" not in en + zh
            for key, value in ours.items():
                numbers = value if isinstance(value, tuple) else (value,)
                if value != book[key]:
                    assert all(str(n) in text for n in numbers for text in (en, zh))
                    noted += 1
                assert (f"`{key}`" in en) == (f"`{key}`" in zh) == (value != book[key])
    print(f"{len(varying)} questions vary; {noted} numbers noted. {en} {zh}")
    assert noted > 100
    assert variant_note("residual-blocks.1", seed=7) == ""
    with pytest.raises(ValueError, match="language"):
        variant_note("residual-blocks.3", seed=7, language="fr")
    with pytest.raises(ValueError, match="no exercise"):
        variant_note("residual-blocks.77", seed=7)


def test_each_seed_asks_something_else_than_the_book():
    """A class that gets the book's own numbers could look the answer up."""
    same = {
        name: [seed for seed in range(1, 200) if question(name, seed=seed) == question(name)]
        for name, found in EXERCISES.items()
        if found.question
    }
    print({name: len(seeds) for name, seeds in same.items() if seeds} or "never the book's")
    assert all(len(seeds) < 10 for seeds in same.values())
    assert not re.search("_", variant_note("residual-blocks.3", seed=1))
