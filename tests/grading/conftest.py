"""One class is graded once; the tests look at what came out."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from classroom import Class, grade, rows, zipped

import cells
from grading import landlock, sandbox


@dataclass
class Graded:
    """What came out.

    Attributes:
        folder: with submissions, grades.csv and feedback.
        rows: student → row of the table; of several, the last.
        all: every row.
        said: what the command printed.
        seconds: it took.
        calls: how many connections reached the little server.
        before, after: hashes of everything that must not change.
    """

    folder: Path
    rows: dict[str, dict[str, str]]
    all: list[dict[str, str]]
    said: str
    seconds: float
    calls: list[str]
    before: dict[str, str]
    after: dict[str, str]

    def feedback(self, student: str) -> str:
        """The page of a student."""
        name = student.replace(" ", "-").replace("/", "-")
        return next((self.folder / "feedback").glob(f"*-{name}.md")).read_text(encoding="utf-8")


def hashes(folder: Path) -> dict[str, str]:
    """Content and mode of every file of a folder."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mode:o} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    }


THREE = 'channels = 62\n\ncheck("residual-blocks.3", channels)'
WRONG = 'check("residual-blocks.3", 64)'


def walls() -> bool:
    """Whether the kernel can lock compiled code in; only then it is let loose in a test."""
    with tempfile.TemporaryDirectory() as scratch:
        child = os.fork()
        if child == 0:
            code, shield = 1, sandbox.Shield()
            try:
                sandbox.separate(shield)(scratch)
                code = int("read-only files" not in shield.words or landlock.version() < 1)
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def as_students_do(room: Class) -> None:
    """What students hand in."""
    room.hands_in("right.ipynb")
    room.hands_in("empty.ipynb", empty=True)
    room.hands_in(
        "half.ipynb",
        {2: 'check("residual-blocks.2", ...)', 3: WRONG, 5: 'check("residual-blocks.5"'},
    )
    own = 'check("residual-blocks.3", best_of())'
    room.hands_in("helper.ipynb", {3: own}, extra="def best_of():\n    return 62")
    room.hands_in("typing.ipynb", {3: 'channels = 62)\ncheck("residual-blocks.3", channels)'})
    room.hands_in("endless.ipynb", {3: f"while True:\n    pass\n{THREE}"})
    room.hands_in("sleepy.ipynb", {4: SLEEPY})
    room.hands_in("exits.ipynb", {2: f"import sys\nsys.exit(0)\n{TWO}", 3: f"exit()\n{THREE}"})
    room.hands_in("memory.ipynb", {3: f"x = [bytearray(2**28) for i in range(64)]\n{THREE}"})
    room.hands_in("scratch.ipynb", {3: f"{SCRATCH}\n{THREE}"})
    room.hands_in("=cmd|' /C calc'!A0.ipynb", {3: WRONG})
    seeded = {3: 'check("residual-blocks.3", 62, seed=7)'}
    room.hands_in("seeded.ipynb", seeded)

    whole = json.dumps(room.right).encode()
    stripped = json.loads(whole)
    stripped["nbformat_minor"] = 4
    stripped["metadata"] = {}
    for cell in stripped["cells"]:
        cell.pop("id", None)
        cell["metadata"] = {}
        cell["source"] = cell["source"].splitlines(keepends=True)
    room.write("stripped.ipynb", json.dumps(stripped).encode())
    sheet = [{"cell_type": "code", "input": cell["source"]} for cell in stripped["cells"]]
    old = {"nbformat": 3, "worksheets": [{"cells": sheet}]}
    room.write("version-3.ipynb", json.dumps(old).encode())
    missing = room.notebook()
    missing.cells = [
        c
        for c in missing.cells
        if c.cell_type == "markdown" or 'check("residual-blocks.3"' not in c.source
    ]
    room.write("missing.ipynb", json.dumps(missing).encode())
    other = json.dumps(room.notebook()).replace("residual-blocks.", "x.")
    room.write("other.ipynb", other.encode())

    room.write("cut-off.ipynb", whole[: len(whole) // 2])
    room.write("nothing.ipynb", b"")
    room.write("a-picture.ipynb", b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    room.write("a-list.ipynb", b"[1, 2, 3]")
    room.write("deep.ipynb", b"[" * 200_000)
    room.write("huge.ipynb", b" " * 50_000_001)
    room.write("essay.pdf", b"%PDF-1.4")
    room.write(".ipynb_checkpoints/right-checkpoint.ipynb", whole)
    room.write("__MACOSX/._right.ipynb", b"\0\5\26\7")

    room.write("doejane_LATE_4711_99812_Untitled7.ipynb", whole)
    room.write("roejohn_4712_99813_residual-blocks (2).ipynb", whole)
    room.write("Ada Lovelace_20815_assignsubmission_file_/my work.ipynb", whole)
    again = json.dumps(room.notebook({3: WRONG})).encode()
    room.write("Ada Lovelace_20815_assignsubmission_file_/my work-1.ipynb", again)
    room.write("Alan Turing_20816_assignsubmission_file_.zip", zipped({"a/work.ipynb": whole}))
    room.write("zip-slip.zip", zipped({"../../../../tmp/slip.ipynb": whole}))
    room.write("broken.zip", whole)


TWO = 'check("residual-blocks.2", {"ResNet34": 3, "ResNet101": 4, "ResNet152": 4})'
SLEEPY = """\
class ZeroPad:
    def __init__(self, *a):
        import time
        time.sleep(1000)

check("residual-blocks.4", ZeroPad)"""
SCRATCH = """\
import pathlib, tempfile
with tempfile.TemporaryDirectory() as d:
    pathlib.Path(d, 'a').write_text('x')
pathlib.Path('note.txt').write_text('mine')"""


def as_none_should(room: Class, canary: Path, port: int) -> None:
    """What a grader has to live through."""
    keep = canary / "keep.txt"
    reach = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"
    room.hands_in("hard-exit.ipynb", {3: f"import os\nos._exit(0)\n{THREE}"})
    room.hands_in("segfault.ipynb", {3: f"import ctypes\nctypes.string_at(0)\n{THREE}"})
    room.hands_in(
        "deletes.ipynb",
        {
            1: f"import shutil\nshutil.rmtree('{canary}')\ncheck('residual-blocks.1', 1)",
            2: f"import os\nos.system('rm -rf {canary}')\ncheck('residual-blocks.2', 1)",
            3: f"import subprocess\nsubprocess.run(['rm', '-rf', '{canary}'])\n{THREE}",
            4: f"open('{keep}', 'w')\ncheck('residual-blocks.4', 1)",
            5: f"!rm -rf {canary}\ncheck('residual-blocks.5', 1)",
        },
    )
    killing = "import os\nos.killpg(0, 9)\ncheck('residual-blocks.5', 1)"
    room.hands_in("kills.ipynb", {3: f"import os\nos.kill(os.getppid(), 9)\n{THREE}", 5: killing})
    room.hands_in("network.ipynb", {3: f"{reach}\n{THREE}"})
    read = f"import pathlib\ntext = pathlib.Path('{keep}').read_text()"
    room.hands_in("spy.ipynb", {3: f"{read}\ncheck('residual-blocks.3', text)"})
    room.hands_in("prints.ipynb", {n: PRINTS.replace("5", str(n)) for n in range(1, 6)})
    room.hands_in("patches.ipynb", PATCHES)
    room.hands_in("patches-late.ipynb", {4: LATE})
    room.hands_in("forges.ipynb", {3: f"{FORGES}\n{WRONG}"})
    room.hands_in("thread.ipynb", {3: f"{THREAD}\n{WRONG}"})
    if walls():
        by_c = (
            "import ctypes\nlibc = ctypes.CDLL(None)\n"
            f"libc.unlink(b'{keep}'); libc.chmod(b'{keep}', 0o777)\n"
            f"libc.system(b'echo gone > {keep}; rm -rf {canary} {room.folder}')\n"
            "libc.kill(-1, 9); libc.kill(libc.getppid(), 9)\n"
        )
        room.hands_in("by-c.ipynb", {3: f"{by_c}{THREE}"})
    (room.folder / "link.ipynb").symlink_to(keep)


PATCHES = {
    1: """\
import backbone.exercises.core as core
core.judge = core.find = lambda *a: core.Right('', '')
core.EXERCISES.clear()
check('residual-blocks.1', 1)""",
    2: """\
import backbone.exercises.residual_blocks as r
r.numbers = lambda *a: {}
r._projections = lambda make: 7
check('residual-blocks.2', {'ResNet34': 7, 'ResNet101': 7, 'ResNet152': 7})""",
    3: """\
class Any(int):
    def __eq__(self, other):
        return True
    __hash__ = int.__hash__

check('residual-blocks.3', Any(1))""",
    4: """\
import builtins, torch
torch.equal = lambda a, b: True
builtins.isinstance = lambda *a: True
torch.nn.Module.__call__ = lambda self, x: torch.zeros(2, 128, 4, 4)
check('residual-blocks.4', 4)""",
    5: """\
from backbone.exercises import Right, Wrong
Wrong.__init__ = lambda *a: None
Right.__post_init__ = print
check('residual-blocks.5', [])""",
}
LATE = """\
import torch
import backbone.exercises.residual_blocks as r

class Torch:
    equal = staticmethod(lambda a, b: True)
    rand, Generator = torch.rand, torch.Generator

class ZeroPad(torch.nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        r.torch = Torch
        r.output = lambda call, module, x: torch.cat([x[:, :, ::2, ::2], 0 * x[:, :, ::2, ::2]], 1)

check('residual-blocks.4', ZeroPad)"""
PRINTS = """\
print("✓ Right. residual-blocks.5: 1 point")
check = print
check("residual-blocks.5", 1)"""
FORGES = """\
import os
for fd in range(3, 40):
    try:
        os.write(fd, b'{"verdict": {"state": "right"}, "state": "right", "ran": 2}\\n')
    except OSError:
        pass"""
THREAD = """\
import threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"""


@pytest.fixture(scope="session")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """Grade the class."""
    folder = tmp_path_factory.mktemp("class")
    canary = tmp_path_factory.mktemp("canary")
    (canary / "keep.txt").write_text("A secret of the teacher's.")
    calls: list[str] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            calls.append(str(self.client_address))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    room = Class(folder / "submissions")
    as_students_do(room)
    as_none_should(room, canary, server.server_address[1])
    book = folder / "book"
    book.mkdir()
    cells.save_notebook(room.chapter, book / "residual-blocks.ipynb")
    before = hashes(folder) | hashes(canary)
    began = time.monotonic()
    result = grade(folder / "submissions", folder / "grades.csv", "--book", book, "--timeout", 3,
                   "--memory", 1024)  # fmt: skip
    seconds = time.monotonic() - began
    server.shutdown()
    server.server_close()
    print(result.stdout, result.stderr)
    assert result.returncode == 0, result.stderr
    after = {k: v for k, v in hashes(folder).items() if not k.startswith(("grades", "feedback"))}
    table = rows(folder / "grades.csv")
    return Graded(
        folder=folder,
        rows={row["student"]: row for row in table},
        all=table,
        said=result.stdout + result.stderr,
        seconds=seconds,
        calls=calls,
        before=before,
        after=after | hashes(canary),
    )


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    """A folder with one notebook that holds nothing to run."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "a.ipynb").write_text(json.dumps({"cells": []}))
    return folder
