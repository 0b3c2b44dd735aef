"""An instant check for every exercise of the book.

check          is this answer right? If not, one line says where to look
question       the numbers of a question for a class
variant_note   the same in one line of text
load_checks    a teacher's own checks, kept outside the book
hand_in        an answer to one of those questions, on a student's machine
"""

from __future__ import annotations

from typing import Any

from backbone.exercises import (  # noqa: F401 (each registers its checks)
    about_the_source,
    backbone_swap,
    degradation,
    museum_networks,
    museum_practice,
    residual_blocks,
    resnet_architecture,
    resnet_implementation,
    segmentation,
    unet_architecture,
    unet_implementation,
)
from backbone.exercises.core import EXERCISES, Right, Wrong, exercise, find, judge
from backbone.exercises.private import hand_in, load_checks, variant_note

__all__ = [
    "EXERCISES",
    "Right",
    "Wrong",
    "check",
    "exercise",
    "hand_in",
    "load_checks",
    "question",
    "variant_note",
]


def check(name: str, answer: object, *, seed: int = 0) -> Right:
    """Check an answer by what it does.

    Args:
        name: chapter and number of the exercise, such as "residual-blocks.3".
        answer: a number, a function, a class …, as the exercise asks; `...` while there is none.
        seed: of the class, if the teacher gave one: some questions then have other numbers.

    Returns:
        What the right answer shows; as the last line of a cell it is displayed.

    Raises:
        Wrong: the answer is not right yet. Jupyter shows its one line and no traceback.
        ValueError: there is no such exercise.
    """
    return judge(name, answer, seed)


def question(name: str, *, seed: int = 0) -> dict[str, Any]:
    """Return the numbers of a question; empty where they are the same for everyone.

    Raises:
        ValueError: there is no such exercise.
    """
    found = find(name)
    return found.question(seed) if found.question else {}
