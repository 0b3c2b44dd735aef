"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_whole(path: str | Path, content: bytes | str) -> Path:
    """Write a file so that whatever happens leaves the earlier one or the new one, whole.

    It is written beside its place and then moved there in one step: a process killed at any
    moment, or a disk that is full, costs what was about to be saved and nothing else.

    Args:
        path: the file; its folder is made if needed.
        content: bytes, or text to be stored as UTF-8 with line feeds.

    Raises:
        OSError: it cannot be written; the message says what to do.
    """
    path = Path(path)
    beside = None
    try:
        beside, file = _beside(path)
        with file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())  # on the disk, before the name says so
        beside.chmod(0o644)  # a temporary file is kept to its owner
        beside.replace(path)
    except BaseException as error:
        if beside is not None:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _told(error, path) from error
        raise
    return path


def need_place(path: str | Path) -> None:
    """Refuse a path where nothing can be written: better now than after an hour of training.

    Raises:
        OSError: the folder cannot be made or written to; the message says what to do.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        beside, file = _beside(path)
        file.close()
        beside.unlink()
    except OSError as error:
        raise _told(error, path) from error


def _beside(path: Path) -> tuple[Path, BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    return Path(name), os.fdopen(handle, "wb")


def _told(error: OSError, path: Path) -> OSError:
    """The same error with a message that helps; its number makes it of the same kind."""
    if error.errno in FULL:
        advice = "Free some space, or name a file on another disk"
    elif isinstance(error, IsADirectoryError):
        advice = "Name a file in it"
    else:
        advice = "Name a file in a folder where you may write, such as your home folder"
    kept = "; the file that is there already stays as it is" if path.is_file() else ""
    why = error.strerror or str(error)
    return OSError(error.errno, f"{path} cannot be written: {why}. {advice}{kept}.")
