"""Checkpoints: one question each, whose wrong answers name the mistake behind them.

They are kept as data, `checkpoints/<chapter>.json`, in English and Chinese. A wrong option has the
short name of its misconception; a teacher can list them all with `misconceptions`.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from backbone.explorables.figure import Explorable

FOLDER = Path(__file__).parent / "checkpoints"
LETTERS = "ABCD"


class Checkpoint(Explorable):
    """One question with three or four answers, to try as often as you like.

    Traits:
        checkpoint: its name, such as "residual-blocks.1".
        quiz: question and options, in both languages.
        tries: the options chosen so far, from 0, in the order they were first chosen.

    `answer` is the last of them, `solved` whether the right one is among them.
    """

    view: ClassVar[str] = "checkpoint"

    checkpoint = traitlets.Unicode(read_only=True).tag(sync=True)
    quiz = traitlets.Dict(read_only=True).tag(sync=True)
    tries = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, checkpoint: str, **traits: Any) -> None:  # noqa: ANN401
        """Take a checkpoint by its name.

        Raises:
            ValueError: there is no such checkpoint.
            TraitError: `tries` names an option twice, or one that does not exist.
        """
        if checkpoint not in list(_all()):  # a list: anything at all may be asked for
            raise ValueError(
                f"There is no checkpoint {checkpoint!r}. Choose from {', '.join(_all())}."
            )
        quiz = _all()[checkpoint]
        self.set_trait("checkpoint", checkpoint)
        self.set_trait("quiz", {"question": quiz["question"], "options": quiz["options"]})
        super().__init__(**traits)

    @traitlets.validate("tries")
    def _known_options(self, proposal: dict[str, Any]) -> list[int]:
        tries, count = proposal["value"], len(self.quiz["options"])
        if len(set(tries)) < len(tries) or not all(0 <= i < count for i in tries):
            raise traitlets.TraitError(
                f"tries names options by number, each at most once: 0 … {count - 1}; got {tries}. "
                "Set it to [] to begin again."
            )
        return tries

    @property
    def answer(self) -> int | None:
        """The option chosen last, from 0; None before the first."""
        return self.tries[-1] if self.tries else None

    @property
    def solved(self) -> bool:
        """Whether the right option has been chosen."""
        return any(self.quiz["options"][i].get("right", False) for i in self.tries)

    def __repr__(self) -> str:
        language = self.language or "en"
        options = zip(LETTERS, self.quiz["options"], strict=False)
        lines = (f"  {letter}  {option['text'][language]}" for letter, option in options)
        return "\n".join([self.quiz["question"][language], *lines])


def checkpoint_names(chapter: str | None = None) -> list[str]:
    """Return the names of all checkpoints, or of one chapter's.

    Raises:
        ValueError: the chapter has none.
    """
    names = [name for name in _all() if chapter in (None, name.rpartition(".")[0])]
    if not names:
        chapters = dict.fromkeys(name.rpartition(".")[0] for name in _all())
        raise ValueError(f"{chapter!r} has no checkpoints. Choose from {', '.join(chapters)}.")
    return names


def misconceptions(language: str = "") -> list[dict[str, str]]:
    """Return what each wrong answer of the book stands for, for a teacher to read.

    The language is "en" or "zh"; "" follows the notebook, as the checks of exercises do.

    Each entry has `checkpoint`, `misconception` (a short name), `question`, `answer` (the wrong
    one) and `reply` (what the reader is told).

    Raises:
        ValueError: the language is neither "en" nor "zh".
    """
    language = language or ("zh" if os.environ.get("BACKBONE_LANGUAGE") == "zh" else "en")
    if language not in ("en", "zh"):
        raise ValueError(f'language must be "en" or "zh", got {language!r}.')
    return [
        {
            "checkpoint": name,
            "misconception": option["misconception"],
            "question": quiz["question"][language],
            "answer": option["text"][language],
            "reply": option["why"][language],
        }
        for name, quiz in _all().items()
        for option in quiz["options"]
        if "misconception" in option
    ]


@cache
def _all() -> dict[str, dict[str, Any]]:
    """Every checkpoint by name."""
    return {quiz["id"]: quiz for file in sorted(FOLDER.glob("*.json")) for quiz in _read(file)}


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"The questions in {file} cannot be read ({error}). To restore them: `git checkout -- "
            f"src/backbone/explorables/checkpoints/{file.name}` in a clone, or reinstall the "
            "package."
        ) from error
