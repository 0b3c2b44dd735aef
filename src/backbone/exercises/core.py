"""How answers are checked: by what they do, never by how they are written.

A check is a function that takes an answer. It returns what the right answer shows, or raises
`Wrong` with a hint aimed at the mistake that was made. Every text is there in both languages.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LANGUAGE = "BACKBONE_LANGUAGE"  # environment variable: "zh" for Chinese messages

OPEN = {
    "en": "No answer yet. Put yours in place of the three dots and run the cell again.",
    "zh": "还没有答案。把三个点换成你的答案，再运行一次这个单元格。",
}


class Wrong(Exception):  # not an error of the program: an answer that is not right yet
    """An answer that is not right, with the hint for this very mistake.

    Args:
        en: the hint, one line.
        zh: the same in Chinese.
        slip: a short name of the mistake, such as "stride-forgotten", for teachers' lists.
    """

    def __init__(self, en: str, zh: str, slip: str = "other") -> None:
        self.words, self.slip = {"en": en, "zh": zh}, slip
        super().__init__(self.words[language()])

    def _render_traceback_(self) -> list[str]:
        """Show Jupyter the hint alone, without a traceback."""
        return [f"✗ {self.words[language()]}"]


class Unanswered(Exception):
    """An answer that is there, but holds a gap: a function that returns the three dots."""


@dataclass(frozen=True)
class Right:
    """What a right answer shows, or (`answered` False) that there is none yet."""

    en: str
    zh: str
    answered: bool = True

    def __str__(self) -> str:
        mark = "✓" if self.answered else "…"
        return f"{mark} {self.zh if language() == 'zh' else self.en}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = "#22754a" if self.answered else "inherit"
        return f'<p style="color: {colour}; margin: 0">{html.escape(str(self))}</p>'


Check = Callable[..., Right]


@dataclass(frozen=True)
class Exercise:
    """One exercise that can be checked.

    Attributes:
        name: chapter and number, such as "residual-blocks.3".
        check: takes the answer, and the numbers of the question where they vary.
        question: class seed → the numbers of the question; None where they are always the same.
    """

    name: str
    check: Check
    question: Callable[[int], dict[str, Any]] | None = None


EXERCISES: dict[str, Exercise] = {}


def exercise(
    name: str, question: Callable[[int], dict[str, Any]] | None = None
) -> Callable[[Check], Check]:
    """Register the check of an exercise.

    Args:
        name: chapter and number, such as "residual-blocks.3".
        question: makes the numbers of the question from a class seed; seed 0 gives the book's own.

    Raises:
        ValueError: another exercise has this name.
    """

    def register(check: Check) -> Check:
        if name in EXERCISES:
            raise ValueError(f"There are two exercises named {name!r}.")
        EXERCISES[name] = Exercise(name, check, question)
        return check

    return register


def find(name: str) -> Exercise:
    """Return the exercise of this name.

    Raises:
        ValueError: there is none; the message lists those of the chapter.
    """
    if name in EXERCISES:
        return EXERCISES[name]
    chapter = str(name).partition(".")[0]
    near = sorted(key for key in EXERCISES if key.partition(".")[0] == chapter)
    choice = near or sorted({key.partition(".")[0] for key in EXERCISES})
    raise ValueError(f"There is no exercise {name!r}. Choose from {', '.join(choice)}.")


def unanswered(answer: object) -> bool:
    """Whether an answer, or a part of one with several parts, is still the three dots."""
    if isinstance(answer, Mapping):
        answer = tuple(answer.values())
    parts = answer if isinstance(answer, list | tuple) else (answer,)
    return any(part is ... for part in parts)


def judge(name: str, answer: object, seed: int = 0) -> Right:
    """Check an answer; see `backbone.exercises.check`."""
    found = find(name)
    if unanswered(answer):
        return Right(**OPEN, answered=False)
    numbers = found.question(seed) if found.question else {}
    try:
        return found.check(answer, **numbers)
    except Unanswered:
        return Right(**OPEN, answered=False)


def language() -> str:
    """Return "zh" if Chinese messages are wanted, otherwise "en"."""
    return "zh" if os.environ.get(LANGUAGE, "").startswith("zh") else "en"
