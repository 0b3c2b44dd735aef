"""Checks that a teacher keeps to herself: an assignment of one's own, beside the book's exercises.

load_checks    the teacher's side: read the checks from a folder
hand_in        the student's side: note that there is an answer, without judging it
variant_note   which numbers of a question a class has in place of the book's
"""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from backbone.exercises.core import EXERCISES, OPEN, Right, find, unanswered

PRIVATE: dict[str, Path] = {}  # name of an exercise → the folder that its check came from

_NAME = re.compile(r"[\w-]+\.\d+")  # what a grader looks for in a notebook

HANDED_IN = {
    "en": "Handed in: your teacher's check will look at it.",
    "zh": "已交：老师的检查程序会看它。",
}


def load_checks(folder: str | Path) -> list[str]:
    """Read a teacher's checks, so that `check` knows their exercises too.

    Every `*.py` of the folder is run; it registers its checks with `@exercise("midterm.1")`, as
    the book's own modules do. Loading a folder again replaces what it registered before. If
    anything is wrong, nothing of it is kept.

    Args:
        folder: with the files; never part of what students get.

    Returns:
        The names of its exercises, in order.

    Raises:
        ValueError: there is no such folder, no check in it, an error in a file, a name that the
            book or another folder has taken, or one that no grader would find.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}. Name the one that holds your checks.")
    known = dict(EXERCISES)
    for name in [name for name, home in PRIVATE.items() if home == folder]:
        del EXERCISES[name]
    kept = set(EXERCISES)
    try:
        for path in sorted(folder.glob("*.py")):
            _run(path)
        names = [name for name in EXERCISES if name not in kept]
        strange = [name for name in names if not _NAME.fullmatch(str(name))]
        if strange:
            raise ValueError(
                f"{strange[0]!r} is no name for an exercise. Write a word, a dot and a number, "
                'such as "midterm.1": by that a grader finds the answers.'
            )
        if not names:
            raise ValueError(
                f"No check was found in {folder}. It needs a file such as midterm.py, with "
                'functions under @exercise("midterm.1").'
            )
    except BaseException:
        EXERCISES.clear()
        EXERCISES.update(known)
        raise
    for name in [name for name, home in PRIVATE.items() if home == folder]:
        del PRIVATE[name]
    PRIVATE.update(dict.fromkeys(names, folder))
    return names


def _run(path: Path) -> None:
    """Run a file of checks; an error says in which line of it.

    Raises:
        ValueError: it raised one.
    """
    module = ModuleType(f"checks_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where a dataclass in the file looks for its own names
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        where = f"{Path(error.filename or path).name}, line {error.lineno}"
        raise ValueError(f"{where}: this is not Python: {error.msg}.") from None
    except Exception as error:
        steps = traceback.extract_tb(error.__traceback__)
        line = next((step.lineno for step in steps if Path(step.filename) == path), "?")
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path.name}, line {line}: {type(error).__name__}: {reason} Mend it and load again."
        ) from error


def hand_in(name: str, answer: object) -> Right:
    """Note that there is an answer to a question whose check is not here.

    It judges nothing: a right and a wrong answer look the same. The teacher's grader finds this
    call and runs the check that belongs to the name.

    Args:
        name: of the question, such as "midterm.1".
        answer: whatever the question asks for; `...` while there is none.

    Returns:
        A note for the student, as the last line of a cell it is displayed.

    Raises:
        ValueError: the name is an exercise of the book, which can be checked at once.
    """
    if name in EXERCISES and name not in PRIVATE:
        raise ValueError(
            f"{name!r} is an exercise of the book, and its check is here: "
            f'write check("{name}", …) instead of hand_in.'
        )
    if unanswered(answer):
        return Right(**OPEN, answered=False)
    return Right(**HANDED_IN)


def variant_note(name: str, *, seed: int, language: str = "en") -> str:
    """Say in one line which numbers of a question a class has in place of the book's.

    Args:
        name: of an exercise, such as "residual-blocks.3".
        seed: of the class; 0 is the book.
        language: "en" or "zh".

    Returns:
        A line of Markdown; "" where the numbers are the book's.

    Raises:
        ValueError: there is no such exercise, or no such language.
    """
    if language not in ("en", "zh"):
        raise ValueError(f'The language is "en" or "zh", got {language!r}.')
    make = find(name).question
    if make is None:
        return ""
    book, ours = make(0), make(seed)
    other = {key: (ours[key], book[key]) for key in ours if ours[key] != book[key]}
    if not other:
        return ""
    if language == "zh":
        parts = [
            f"`{key}` = {_plain(new)}（书中是 {_plain(old)}）" for key, (new, old) in other.items()
        ]
        return f"**你们班的数：** {'，'.join(parts)}。"
    parts = [
        f"`{key}` = {_plain(new)} in place of {_plain(old)}" for key, (new, old) in other.items()
    ]
    return f"**Your class's numbers:** {', '.join(parts)}."


def _plain(value: Any) -> str:  # noqa: ANN401 (a number, or several)
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
