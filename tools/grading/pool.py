"""Start a warm process for a chapter and let it grade the chapter's submissions."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grading.book import Chapter
from grading.plan import Step

TOOLS = Path(__file__).resolve().parent.parent
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Settings:
    """How to grade.

    Attributes:
        timeout: seconds of processor time for an exercise; more on a slow machine.
        memory: bytes that a submission may take on top of the chapter.
        jobs: submissions at a time.
        seed: of the class.
        checks: folder of the teacher's own checks, if any.
        language: of messages that code prints, "en" or "zh".
    """

    timeout: float = 30
    memory: int = 2 * 2**30
    jobs: int = 2
    seed: int = 0
    checks: Path | None = None
    language: str = "en"


class ChapterFailed(Exception):
    """The book's own chapter did not run, or its grader ended; the text says why."""


def grade_chapter(
    chapter: Chapter,
    submissions: dict[int, list[Step]],
    settings: Settings,
    ready: Callable[[float, list[str]], None],
    done: Callable[[int, dict[str, Any] | None], None],
) -> None:
    """Grade the submissions of one chapter.

    Args:
        chapter: of the book.
        submissions: row → steps.
        settings: how.
        ready: is called with the seconds that the chapter took, and the walls that stand.
        done: is called with each row and its report (see `grading.supervise.Report`), or None
            where the grader itself failed.

    Raises:
        ChapterFailed: there can be no report for the rows not yet done.
    """
    folder = Path(tempfile.mkdtemp(prefix="grading-"))
    folder.chmod(0o711)
    home = folder / "home"
    home.mkdir()
    work = {
        "chapter": [{"code": c.source, "cell": c.number} for c in chapter.before],
        "names": list(chapter.titles),
        "submissions": [
            {"row": row, "steps": [asdict(step) for step in steps]}
            for row, steps in submissions.items()
        ],
        "folder": str(folder),
        "timeout": settings.timeout,
        "expected": chapter.seconds,
        "memory": settings.memory,
        "seconds": int(4 * settings.timeout * (len(chapter.titles) + 2)),
        "jobs": settings.jobs,
        "seed": settings.seed,
        "checks": str(settings.checks.resolve()) if settings.checks else None,
    }
    log = folder / "log.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-s", "-c", "import sys; sys.path.remove(''); "
             "from grading.warm import main; main()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            cwd=home, env=_environment(home, settings.language), start_new_session=True,
        )  # fmt: skip
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(work).encode() + b"\n")
            process.stdin.close()
        left = set(submissions)
        for line in process.stdout:
            message = json.loads(line)
            if "failed" in message:
                raise ChapterFailed(message["failed"])
            if "ready" in message:
                ready(message["ready"], message["words"])
            else:
                left.discard(message["row"])
                done(message["row"], message["report"])
        process.wait()
        if left:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise ChapterFailed(f"The grader's own process ended early. {last}")
    finally:
        if process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(home: Path, language: str) -> dict[str, str]:
    """Return an environment without anything of the teacher's: no keys, no tokens."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(TOOLS),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "MPLBACKEND": "agg",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "BACKBONE_LANGUAGE": language,
    }
