"""Watch over the copy in which a student's code runs: time, memory, crashes.

This process is a copy of the warm one, too, but none of the student's code ever runs in it. A
cell that does not come back is killed together with its process; the next copy goes on with the
next exercise.
"""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from backbone.exercises import core
from grading import runner, sandbox
from grading.plain import unpack
from grading.runner import Line

UNTOUCHABLE = ("backbone.", "builtins.")  # no answer has a reason to change these
TICK = 0.1  # seconds between two looks


class Lost(Exception):
    """The copy is gone or was killed; the two texts say why, for the student."""

    def __init__(self, state: str, en: str, zh: str) -> None:
        super().__init__(en)
        self.verdict = {"state": state, "en": en, "zh": zh, "slip": ""}


class Copy:
    """One copy of this process, in a sandbox or (`locked` False) for judging only."""

    def __init__(self, warm: Any, steps: list[dict], *, locked: bool = True) -> None:  # noqa: ANN401
        self.warm, self.steps, self.locked = warm, steps, locked
        self.shield = replace(warm.shield, words=[])
        self.scratch = warm.folder / f"run-{secrets.token_hex(4)}"
        self.scratch.mkdir(mode=0o700)
        if self.shield.drop and os.getuid() == 0:
            os.chown(self.scratch, sandbox.NOBODY, sandbox.NOBODY)
        ours, theirs = socket.socketpair()
        self.process = os.fork()
        if self.process == 0:
            ours.close()
            self._be_the_copy(theirs)
        theirs.close()
        self.line, self.worker = Line(ours), self.process
        try:
            self.worker = int(self._receive(60)["worker"])
            self.words = self.ask({"go": 1}, 60).get("words", [])
        except Lost:
            self.close()
            raise
        with suppress(psutil.Error):
            self.base = psutil.Process(self.worker).memory_info().rss

    base = 0

    def _be_the_copy(self, end: socket.socket) -> None:
        """Run in the copy; never return."""
        try:
            sandbox.die_with_parent()
            os.setsid()
            for descriptor in self.warm.private:
                with suppress(OSError):
                    os.close(descriptor)
            line = Line(end)
            readable = [*self.warm.readable]
            own = sandbox.separate(self.shield) if self.locked else None
            worker = os.fork() if own is not None else 0
            if worker:  # only waits: the new process space begins with the next process
                line.send({"worker": worker})
                end.close()
                os.waitpid(worker, 0)
                os._exit(0)
            if own is None:
                line.send({"worker": os.getpid()})
            hello = line.receive()
            refused = (
                sandbox.enter(self.shield, str(self.scratch), readable, own)
                if self.locked
                else lambda: []
            )
            line.send({"words": self.shield.words, "nonce": hello["nonce"]})
            runner.serve(
                line, self.warm.shell, self.steps, self.warm.seed, self.warm.hidden, refused
            )
        except BaseException as error:
            with suppress(Exception):
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(0)

    def ask(self, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send an order and return the reply.

        Raises:
            Lost: there was none in time, or the copy died.
        """
        nonce = secrets.token_hex(16)
        try:
            self.line.send(order | {"nonce": nonce})
        except OSError:
            raise self._died() from None
        reply = self._receive(seconds)
        if reply.get("nonce") != nonce:  # written by the student's code, not by ours
            raise Lost("died", "This cell disturbed the grading.", "这个单元格干扰了评分。")
        return reply

    def _receive(self, seconds: float) -> dict[str, Any]:
        """Wait for a reply as long as processor time, or twice as long by the clock."""
        began, spent = time.monotonic(), self._spent()
        while not self.line.waiting and not select.select([self.line.end], [], [], TICK)[0]:
            clock = time.monotonic() - began
            if clock > 2 * seconds or (clock > seconds and self._spent() - spent > 0.9 * seconds):
                raise Lost(
                    "timeout",
                    f"Stopped after {clock:.0f} seconds. Is there a loop that never ends?",
                    f"{clock:.0f} 秒后被终止。是不是有一个永远不会结束的循环？",
                )
            self._weigh()
        # From here on it is only as slow as it sends.
        self.line.end.settimeout(max(1.0, seconds))
        try:
            return self.line.receive()
        except (EOFError, OSError):
            raise self._died() from None

    def _spent(self) -> float:
        try:
            times = psutil.Process(self.worker).cpu_times()
        except (psutil.Error, AttributeError):
            return 0.0
        return times.user + times.system

    def _weigh(self) -> None:
        """Refuse more memory or files than agreed, where the system does not."""
        with suppress(psutil.Error):
            if psutil.Process(self.worker).memory_info().rss - self.base > self.shield.memory:
                raise _too_much("memory", "内存")
        size = 0
        for root, _, files in os.walk(self.scratch):
            for name in files:
                with suppress(OSError):
                    size += (Path(root) / name).lstat().st_size
        if size > sandbox.FOLDER_BYTES:
            raise _too_much("disk space", "磁盘空间")

    def _died(self) -> Lost:
        return Lost(
            "died",
            "The whole notebook stopped here: this cell ended Python itself.",
            "整个 notebook 在这里中断：这个单元格结束了 Python 进程本身。",
        )

    def close(self) -> None:
        """End the copy and everything that it started."""
        family = []
        with suppress(psutil.Error):
            family = psutil.Process(self.process).children(recursive=True)
        for end in (self.worker, self.process):
            with suppress(OSError):
                os.kill(end, signal.SIGKILL)
        with suppress(OSError):
            os.killpg(self.process, signal.SIGKILL)
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        with suppress(OSError):
            os.waitpid(self.process, 0)
        self.line.end.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def _too_much(en: str, zh: str) -> Lost:
    return Lost("died", f"Stopped: too much {en}.", f"被终止：占用的{zh}太多。")


class Report:
    """What is found out about one submission."""

    def __init__(self) -> None:
        self.exercises: dict[str, dict[str, str]] = {}
        self.flags: dict[str, None] = {}
        self.notes: dict[str, None] = {}
        self.plain: dict[str, Any] = {}

    def say(self, name: str, said: dict[str, str]) -> None:
        """Keep a verdict; one on an answer is not replaced by one on no answer."""
        old = self.exercises.get(name, {}).get("state")
        if old in ("right", "wrong") and said["state"] not in ("right", "wrong"):
            return
        self.exercises[name] = said

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "exercises": self.exercises,
            "flags": list(self.flags),
            "notes": list(self.notes),
        }


def attend(warm: Any, steps: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:  # noqa: ANN401
    """Run the steps of one submission and judge what it hands in.

    Args:
        warm: the process this one is a copy of.
        steps: see `grading.plan.Step`.
        names: exercises of the chapter, whose answers count.
    """
    report, skip, done = Report(), set(), -1
    while True:
        copy = Copy(warm, steps)
        try:
            lost = _go_through(copy, steps, names, skip, done, report)
        finally:
            copy.close()
        if lost is None:
            break
        skip.add(lost)
        done = max(done, lost)
        if done >= len(steps) - 1:
            break
    _judge_outside(warm, report)
    return report.as_dict()


def _go_through(
    copy: Copy, steps: list[dict], names: list[str], skip: set[int], done: int, report: Report
) -> int | None:
    """Run what is not skipped, judge what comes after `done`. Return the step that was lost."""
    for place, step in enumerate(steps):
        if place in skip:
            continue
        seconds = copy.warm.timeout * max(1, len(step["exercises"]))
        judged: list[str] = []
        try:
            reply = copy.ask({"run": place}, seconds)
            if place <= done:
                continue
            judged = _take(reply, step, names, report)
            for name in judged:
                reply = copy.ask({"judge": name}, seconds)
                _changed(reply, report)
                if any(what.startswith(UNTOUCHABLE) for what in _texts(reply, "changed")):
                    raise Lost(
                        "died",
                        "The answer changed the checks while it was judged.",
                        "答案在评判过程中改动了检查程序。",
                    )
                report.say(name, _clean(reply["verdict"]))
        except Lost as lost:
            for name in step["exercises"] or []:
                if name in names and name not in report.plain:
                    report.say(name, lost.verdict)
            for name in judged:
                report.exercises.setdefault(name, lost.verdict)
            if not step["exercises"]:
                where = f"cell {step['cell']}" if step["cell"] else "a cell of the chapter"
                report.notes[f"{where}: {lost}"] = None
            return place
    return None


def _take(reply: dict, step: dict, names: list[str], report: Report) -> list[str]:
    """Note what a cell did. Return the exercises whose answers have to be judged in the copy."""
    _changed(reply, report)
    for what in _texts(reply, "refused")[:8]:
        report.flags[f"the grader refused {_line(what)}"] = None
    report.flags |= {_line(what): None for what in _texts(reply, "flags")}
    error = _line(reply.get("error") or "")
    answers = reply.get("answers") if isinstance(reply.get("answers"), dict) else {}
    here = []
    for name, answer in answers.items():
        if name not in names or not isinstance(answer, dict):
            if name not in names:
                report.notes[f"unknown exercise {_line(name)}"] = None
            continue
        if answer.get("plain") is None:
            here.append(name)
            report.plain.pop(name, None)
        else:
            if _is_open(answer["plain"]) and (name in report.plain or name in report.exercises):
                continue
            report.plain[name] = answer["plain"]
    if error:
        where = f"cell {step['cell']}" if step["cell"] else "a cell of the chapter"
        missing = [name for name in step["exercises"] if name not in answers]
        for name in missing:
            en = f"The cell stopped before its answer was checked. {error}"
            zh = f"单元格在检查之前就中断了。{error}"
            report.say(name, {"state": "broken", "en": en, "zh": zh, "slip": ""})
        if not missing:
            report.notes[f"{where}: {error}"] = None
    else:
        for name in step["exercises"]:
            if name not in answers:
                en, zh = (
                    "The cell ran, but check was not called.",
                    "单元格运行了，但没有调用 check。",
                )
                report.say(name, {"state": "broken", "en": en, "zh": zh, "slip": ""})
    return here


def _is_open(packed: Any) -> bool:  # noqa: ANN401
    try:
        return core.unanswered(unpack(packed))
    except (ValueError, TypeError, KeyError):
        return False


def _changed(reply: dict, report: Report) -> None:
    for what in _texts(reply, "changed"):
        report.flags[f"changed {_line(what)}"] = None


def _texts(reply: dict, key: str) -> list[str]:
    value = reply.get(key)
    return [x for x in value if isinstance(x, str)][:20] if isinstance(value, list) else []


def _line(text: object) -> str:
    return " ".join(str(text).split())[:300]


def _clean(said: dict[str, Any]) -> dict[str, str]:
    state = said.get("state")
    if state not in ("right", "wrong", "open", "broken"):
        state = "broken"
    return {"state": state} | {key: _line(said.get(key, "")) for key in ("en", "zh", "slip")}


def _judge_outside(warm: Any, report: Report) -> None:  # noqa: ANN401
    """Judge plain answers in a copy in which none of the student's code ran."""
    waiting = dict(report.plain)
    while waiting:
        copy = Judge(warm, waiting)
        try:
            for name in list(waiting):
                del waiting[name]
                report.say(name, _clean(copy.ask({"judge": name}, warm.timeout)))
        except Lost as lost:
            report.say(name, lost.verdict)
        finally:
            copy.close()


class Judge(Copy):
    """A copy that judges plain answers and runs nothing."""

    def __init__(self, warm: Any, answers: dict[str, Any]) -> None:  # noqa: ANN401
        self.answers = answers.copy()
        super().__init__(warm, [], locked=False)

    def _be_the_copy(self, end: socket.socket) -> None:
        try:
            os.setsid()
            line = Line(end)
            core.EXERCISES.update(self.warm.hidden)
            line.send({"worker": os.getpid()})
            line.send({"words": [], "nonce": line.receive()["nonce"]})
            while True:
                order = line.receive()
                try:
                    answer = unpack(self.answers[order["judge"]])
                except Exception:  # forged by hand: what is no answer is not right
                    said = {"state": "broken", "en": "unreadable answer", "zh": "答案无法读取"}
                else:
                    said = runner.verdict(order["judge"], answer, self.warm.seed)
                line.send(said | {"nonce": order["nonce"]})
        except EOFError:
            pass
        finally:
            os._exit(0)
