"""A process that has run a chapter once, and forks a copy of itself for each submission.

Started by `grading.pool` with a description of the work on standard input; answers on standard
output, one JSON line for each submission. Torch uses one thread before and after the fork: a
forked process does not inherit the others.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Warm:
    """What a copy needs to know.

    Attributes:
        shell: IPython, the chapter's names in it.
        folder: for the scratch folders.
        timeout: seconds for an exercise.
        seed: the class's.
        shield: the walls that can be had here.
        readable: places that student code may read.
        hidden: the teacher's own checks.
        private: descriptors that a copy closes.
    """

    shell: Any
    folder: Path
    timeout: float
    seed: int
    shield: Any
    readable: list[str]
    hidden: dict[str, Any] = field(default_factory=dict)
    private: list[int] = field(default_factory=list)


def main() -> None:
    """Read the work, warm up, grade, say each result as soon as it is there."""
    out = os.dup(1)
    work = json.loads(sys.stdin.readline())
    with Path(os.devnull).open("r+b") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)

    def say(message: dict[str, Any]) -> None:
        os.write(out, json.dumps(message).encode() + b"\n")

    began = time.monotonic()
    try:
        warm = warm_up(work)
    except Failed as failed:
        say({"failed": str(failed)})
        return
    took = time.monotonic() - began
    warm.private = [out]
    words = try_out(warm)
    if work["expected"]:  # a slow or busy machine is slow for the students, too
        slower = min(10.0, max(1.0, took / work["expected"]))
        warm.timeout *= slower
        warm.shield.seconds = int(warm.shield.seconds * slower)
    say({"ready": round(took, 1), "words": words})
    _grade(warm, work["submissions"], work["names"], work["jobs"], say)


class Failed(Exception):
    """The chapter itself, or the teacher's checks, did not run."""


def warm_up(work: dict[str, Any]) -> Warm:
    """Run the chapter's cells.

    Raises:
        Failed: one of them stopped.
    """
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    with suppress(Exception):  # an optimiser would import it in each copy, and it replaces names
        import torch._dynamo
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from grading import sandbox

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.xmode = "Minimal"
    shell = InteractiveShell.instance(config=config)
    shell.display_pub.publish = lambda *a, **k: None
    shell.display_formatter.active_types = ["text/plain"]
    warnings.filterwarnings("ignore", message=".*non-interactive.*")
    for cell in work["chapter"]:
        result = shell.run_cell(cell["code"], silent=True)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise Failed(f"Cell {cell['cell']} of the book's own notebook stopped: {reason}")
    hidden = _hidden_checks(work.get("checks"))
    unknown = [n for n in work["names"] if n not in _table() and n not in hidden]
    if unknown:
        raise Failed(
            f"There is no check for {', '.join(unknown)}. Is it one of your own? Name the folder "
            "that it is in: --checks folder"
        )
    _come_to_rest()
    shield = sandbox.Shield(memory=work["memory"], seconds=work["seconds"])
    source = Path(sys.modules["backbone"].__file__).parent.parent
    warm = Warm(shell, Path(work["folder"]), work["timeout"], work["seed"], shield,
                sandbox.readable_places([source]), hidden)  # fmt: skip
    return warm


def _table() -> dict[str, Any]:
    from backbone.exercises.core import EXERCISES

    return EXERCISES


def _hidden_checks(folder: str | None) -> dict[str, Any]:
    """Load the teacher's checks, and take them out of sight again."""
    if not folder:
        return {}
    from backbone import exercises

    table, before, modules = _table(), dict(_table()), set(sys.modules)
    try:
        exercises.load_checks(folder)
    except Exception as error:
        raise Failed(f"The checks in {folder} cannot be used: {error}") from error
    hidden = {name: table.pop(name) for name in list(table) if name not in before}
    exercises.private.PRIVATE.clear()
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(
            str(Path(folder).resolve())
        ):
            del sys.modules[name]
    return hidden


def _come_to_rest() -> None:
    """Free what the chapter drew, and leave the rest out of the garbage collector's lists.

    Its pages then stay shared between all copies, and the checks are not found by listing objects.
    """
    import gc

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    gc.collect()
    gc.freeze()


def try_out(warm: Warm) -> list[str]:
    """Find out which walls stand here, and settle on them for every copy."""
    from grading.supervise import Copy, Lost

    for drop, isolate in ((True, True), (False, True), (True, False), (False, False)):
        if drop and (os.getuid() != 0 or not _nobody_can_read(warm.readable)):
            continue
        warm.shield.drop, warm.shield.isolate = drop, isolate
        try:
            copy = Copy(warm, [{"code": "import colorsys, this_is_missing", "exercises": [],
                                "keep": False, "cell": 0}])  # fmt: skip
        except Lost:
            continue
        try:
            reply = copy.ask({"run": 0}, 30)
            if reply["error"].startswith("ModuleNotFoundError: No module named 'this_is_missing'"):
                return copy.words
        except Lost:
            continue
        finally:
            copy.close()
    raise SystemExit("No copy of the warm process could be started.")


def _nobody_can_read(places: list[str]) -> bool:
    """Whether the account nobody can read Python and the packages (not so below /root)."""
    from grading.sandbox import NOBODY

    files = [sys.modules[name].__file__ for name in ("os", "json", "torch", "backbone", "IPython")]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            for file in files:
                Path(file).read_bytes()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _grade(
    warm: Warm,
    submissions: list[dict[str, Any]],
    names: list[str],
    jobs: int,
    say: Any,  # noqa: ANN401
) -> None:
    """Grade each submission in a copy of this process, a few at a time."""
    from grading.supervise import attend

    waiting, running = list(reversed(submissions)), {}
    with selectors.DefaultSelector() as ends:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                read, write = os.pipe()
                child = os.fork()
                if child == 0:
                    os.close(read)
                    warm.private += [write, ends.fileno() if hasattr(ends, "fileno") else write]
                    _attend_and_exit(warm, task, names, write, attend)
                os.close(write)
                running[read] = (child, task["row"], b"")
                ends.register(read, selectors.EVENT_READ)
            for key, _ in ends.select():
                child, row, text = running[key.fd]
                part = os.read(key.fd, 1 << 20)
                if part:
                    running[key.fd] = (child, row, text + part)
                    continue
                ends.unregister(key.fd)
                os.close(key.fd)
                os.waitpid(child, 0)
                del running[key.fd]
                try:
                    say({"row": row, "report": json.loads(text)})
                except ValueError:
                    say({"row": row, "report": None})


def _attend_and_exit(warm: Warm, task: dict, names: list[str], write: int, attend: Any) -> None:  # noqa: ANN401
    try:
        from grading.sandbox import die_with_parent

        die_with_parent()
        report = attend(warm, task["steps"], names)
        with os.fdopen(write, "wb") as end:
            end.write(json.dumps(report).encode())
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(0)
