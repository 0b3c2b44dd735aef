"""In the copy of the warm process: run the student's cells, judge the answers.

Nothing that the student's code prints or stores is believed. What `check` was called with is
noted; when the cell is over, what it changed is mended, plain answers are sent out to be judged
elsewhere, and the others are judged here by functions taken before the first cell ran.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import backbone.exercises
from backbone.exercises import core
from grading.plain import pack, without_disguise
from grading.tamper import Seal

LONGEST = 400  # characters of a message that are kept


class Line:
    """Messages between the copy and who watches over it: JSON, one a line."""

    def __init__(self, end: socket.socket) -> None:
        self.end, self._rest = end, b""
        self._dumps, self._loads = json.dumps, json.loads

    @property
    def waiting(self) -> bool:
        """Whether a whole message has come already."""
        return b"\n" in self._rest

    def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self.end.sendall(self._dumps(message).encode() + b"\n")

    def receive(self, most: int = 4_000_000) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            EOFError: the other end is gone, or sent nonsense.
        """
        while b"\n" not in self._rest:
            part = self.end.recv(65536)
            if not part or len(self._rest) > most:
                raise EOFError
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = self._loads(line)
        except ValueError:
            raise EOFError from None
        if not isinstance(message, dict):
            raise EOFError
        return message


def verdict(name: str, answer: object, seed: int) -> dict[str, str]:
    """Judge one answer.

    Returns:
        `state` "right", "wrong", "open" or "broken", what to say in both languages (`en`, `zh`),
        and the name of the `slip`, if there is one.
    """
    try:
        right = core.judge(name, answer, seed)
        if type(right) is not core.Right:
            raise TypeError(f"the check gave {type(right).__name__}")
    except core.Wrong as wrong:
        words = wrong.words
        return _said("wrong", words["en"], words["zh"], wrong.slip)
    except BaseException as error:  # SystemExit, too, is an answer that does not work
        text = f"{type(error).__name__}: {_text(error)}"
        return _said("broken", f"The answer could not be tried: {text}", f"答案无法试运行：{text}")
    return _said("right" if right.answered else "open", right.en, right.zh)


def _said(state: str, en: str, zh: str, slip: str = "") -> dict[str, str]:
    return {
        "state": state,
        "en": str(en)[:LONGEST],
        "zh": str(zh)[:LONGEST],
        "slip": str(slip)[:60],
    }


def _text(error: BaseException) -> str:
    try:
        return str(error).strip().partition("\n")[0][:200]
    except Exception:  # an exception of the student's, with a __str__ that fails
        return "?"


class Recorder:
    """Stands in for `check` and `hand_in` while the student's code runs."""

    def __init__(self) -> None:
        self.handed: dict[str, object] = {}

    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return `check` and `hand_in`."""
        handed, unanswered = self.handed, core.unanswered
        noted = core.Right("Noted for the grader.", "已记下，留给评分程序。")
        open_ = core.Right(**core.OPEN, answered=False)

        def check(name: str, answer: object, **_: object) -> core.Right:
            if unanswered(answer):  # a copy of the empty cell takes back no answer
                handed.setdefault(name, answer)
                return open_
            handed[name] = answer
            return noted

        def hand_in(name: str, answer: object, **_: object) -> core.Right:
            return check(name, answer)

        return check, hand_in


def serve(
    line: Line,
    shell: Any,  # noqa: ANN401 (IPython's)
    steps: list[dict[str, Any]],
    seed: int,
    hidden: dict[str, core.Exercise],
    refused: Callable[[], list[str]],
) -> None:
    """Run steps and judge answers, as told from the other end, until it hangs up.

    Args:
        line: to who watches.
        shell: IPython with the chapter in its namespace.
        steps: see `grading.plan.Step`; each as a dictionary.
        seed: the class's.
        hidden: the teacher's checks; they join the table only while an answer is judged.
        refused: says what the audit hook refused.
    """
    recorder = Recorder()
    check, hand_in = recorder.functions()
    backbone.exercises.check = check
    backbone.exercises.hand_in = hand_in
    for name, value in (("check", check), ("hand_in", hand_in)):
        if name in shell.user_ns:
            shell.user_ns[name] = value
    seal, table = Seal(), core.EXERCISES
    while True:
        order = line.receive()
        if "run" in order:
            done = _run(shell, steps[order["run"]], recorder, seal)
            line.send(done | {"refused": refused(), "nonce": order["nonce"]})
        elif "judge" in order:
            name = order["judge"]
            answer = recorder.handed[name]
            table.update(hidden)
            said = verdict(name, answer, seed)
            for own in hidden:
                table.pop(own, None)
            changed = seal.mend()
            line.send({"verdict": said, "nonce": order["nonce"], "changed": changed})
        else:
            return


def _run(
    shell: Any,  # noqa: ANN401
    step: dict[str, Any],
    recorder: Recorder,
    seal: Seal,
) -> dict[str, Any]:
    """Run one cell; return what went wrong and what was handed in."""
    recorder.handed.clear()
    before = dict(shell.user_ns) if step["keep"] else {}
    result = shell.run_cell(step["code"], silent=True)
    changed = seal.mend()
    shell.user_ns |= {name: value for name, value in before.items() if not name.startswith("_")}
    answers, flags = {}, []
    for name in list(recorder.handed)[:50]:
        answer = recorder.handed[name]
        try:
            answer, disguised = without_disguise(answer)
            packed = pack(answer)
        except Exception:  # its class makes even looking at it fail
            disguised, packed = True, None
        if disguised:
            flags.append("an answer that says itself what it is equal to")
        recorder.handed[name] = answer
        answers[str(name)[:80]] = {"plain": packed}
    return {
        "error": _error(result, step["code"]),
        "answers": answers,
        "changed": changed,
        "flags": flags,
    }


def _error(result: Any, code: str) -> str:  # noqa: ANN401
    """Return one line about what stopped a cell, "" if nothing did."""
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        return ""
    lines, text = [], _text(error)
    if isinstance(error, SyntaxError):
        lines, text = [error.lineno], str(error.msg)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("<ipython-input"):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    where = f" (line {lines[-1]})" if lines and lines[-1] else ""
    return f"{type(error).__name__}: {text}{where}"[:LONGEST]
