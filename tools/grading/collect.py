"""Find submissions in a folder, as Canvas, Moodle or people pack them.

Nothing is unpacked: the members of a zip are read into memory, so that no name in it can lead
anywhere.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grading.read import MOST_BYTES

MOST_ZIP = 2_000_000_000  # bytes of all members of a zip together, unpacked
MOST_DEPTH = 3  # zip in zip in zip

MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+(_.*)?", re.S)
CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_(?P<upload>\d+)_(?P<file>.+)")
LITTER = {"__MACOSX", "desktop.ini", "Thumbs.db"}


@dataclass(frozen=True)
class Submission:
    """One file that was handed in.

    Attributes:
        file: path below the folder; inside a zip the path goes on.
        student: name, as far as the path tells, else the path itself.
        id: of the student (Canvas) or participant (Moodle), or "".
        late: Canvas marked it so.
        data: content; b"" with a problem.
        problem: why there is no content, for the teacher; else "".
    """

    file: str
    student: str
    id: str = ""
    late: bool = False
    data: bytes = b""
    problem: str = ""

    @property
    def is_notebook(self) -> bool:
        """Whether the name says so."""
        return self.file.lower().endswith(".ipynb")


def collect(folder: Path, leave_out: tuple[Path, ...] = ()) -> list[Submission]:
    """Return every submission in a folder, at any depth, sorted by path.

    Hidden files, checkpoints of Jupyter and what macOS adds are ignored. A file that is no
    notebook counts only where its student handed in no notebook at all.

    Args:
        folder: of the submissions.
        leave_out: files and folders that are none, such as the table of grades.

    Raises:
        ValueError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise ValueError(
            f"There is no folder {folder}. Put the notebooks that you collected into one folder "
            "(as downloaded from Canvas or Moodle, zip files included) and name it: "
            "make grade SUBMISSIONS=folder"
        )
    skip = {path.resolve() for path in leave_out}
    found: list[Submission] = []
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            name for name in folders if not _litter(name) and (here / name).resolve() not in skip
        )
        for name in sorted(files):
            path = here / name
            if not _litter(name) and path.resolve() not in skip:
                found += _from_file(path, path.relative_to(folder).as_posix())
    with_notebook = {(s.student, s.id) for s in found if s.is_notebook}
    kept = [s for s in found if s.is_notebook or (s.student, s.id) not in with_notebook]
    if not kept:
        raise ValueError(f"{folder} is empty: there is no notebook and no zip file in it.")
    return kept


def _litter(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def _from_file(path: Path, shown: str) -> Iterator[Submission]:
    if not stat.S_ISREG(path.lstat().st_mode):  # a link or device leads out of the folder
        yield _submission(shown, problem="This is a link or no file at all; it was not followed.")
        return
    if path.stat().st_size > MOST_BYTES and path.suffix.lower() != ".zip":
        size, most = path.stat().st_size / 1e6, MOST_BYTES / 1e6
        yield _submission(
            shown,
            problem=f"{size:.0f} MB are more than the {most:.0f} that are read.",
        )
        return
    try:
        if path.suffix.lower() == ".zip":
            with path.open("rb") as file:
                yield from _from_zip(file, shown, 1)
        else:
            yield _submission(shown, path.read_bytes())
    except OSError as error:
        yield _submission(shown, problem=f"The file cannot be read: {error.strerror}.")


def _from_zip(file: io.BufferedIOBase, shown: str, depth: int) -> Iterator[Submission]:
    try:
        archive = zipfile.ZipFile(file)
        members = [m for m in archive.infolist() if not m.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        yield _submission(shown, problem="The zip file is damaged.")
        return
    members = [m for m in members if not any(map(_litter, _inside(m.filename)))]
    if sum(m.file_size for m in members) > MOST_ZIP:
        yield _submission(shown, problem="Unpacked, the zip file would be more than 2 GB.")
        return
    if not members:
        yield _submission(shown, problem="There is nothing in the zip file.")
    for member in members:
        inside = f"{shown}/{'/'.join(_inside(member.filename)) or 'nameless'}"
        is_zip = inside.lower().endswith(".zip")
        if is_zip and depth >= MOST_DEPTH:
            yield _submission(inside, problem="A zip in a zip in a zip is not opened.")
            continue
        try:
            with archive.open(member) as stream:
                data = stream.read(MOST_BYTES * (5 if is_zip else 1) + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError):
            yield _submission(inside, problem="This part of the zip file is damaged.")
        except RuntimeError:
            yield _submission(inside, problem="The zip file has a password.")
        else:
            if is_zip:
                yield from _from_zip(io.BytesIO(data), inside, depth + 1)
            else:
                yield _submission(inside, data)


def _inside(name: str) -> list[str]:
    return [part for part in PurePosixPath(name).parts if part not in {"..", "/", "."}]


def _submission(shown: str, data: bytes = b"", problem: str = "") -> Submission:
    name, number, late = student_of(shown)
    return Submission(shown, name, number, late, data, problem)


def student_of(path: str) -> tuple[str, str, bool]:
    """Return name, id and lateness of the student, as far as a path tells.

    >>> student_of("doejane_LATE_4711_99812_residual-blocks.ipynb")
    ('doejane', '4711', True)
    >>> student_of("Jane Doe_20815_assignsubmission_file_/work.ipynb")
    ('Jane Doe', '20815', False)
    >>> student_of("week 1/jane.ipynb")
    ('week 1/jane', '', False)
    """
    parts = PurePosixPath(path).parts
    for part in reversed(parts):  # the innermost zip or folder is the student's own
        if moodle := MOODLE.fullmatch(part):
            return moodle["name"], moodle["id"], False
    for part in reversed(parts):
        if canvas := CANVAS.fullmatch(part):
            return canvas["name"], canvas["id"], bool(canvas["late"])
    return re.sub(r"\.(ipynb|zip)(?=/|$)", "", path), "", False
