"""Landlock: the Linux kernel's way for a process to lock itself out of files and network.

It needs no privilege, holds for everything the process starts, and cannot be undone.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from grading import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_ALL_OF = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


class _Path(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def version() -> int:
    """Return which version the kernel speaks, 0 for none."""
    try:
        return kernel.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def lock(readable: Iterable[str], writable: Iterable[str]) -> list[str]:
    """Refuse this process all files but these from now on, and new connections.

    Args:
        readable: files and folders (with all below) that may be read and executed.
        writable: those in which everything may be done.

    Returns:
        What is refused now, in words.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    speaks = version()
    if not speaks:
        raise OSError("this kernel has no Landlock")
    everything = _ALL_OF.get(speaks, (1 << 16) - 1)
    rules = _Ruleset(everything, 3 if speaks >= 4 else 0, 3 if speaks >= 6 else 0)
    size = 24 if speaks >= 6 else 16 if speaks >= 4 else 8
    ruleset = kernel.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        for path in readable:
            _allow(ruleset, path, _READ)
        for path in writable:
            _allow(ruleset, path, everything)
        kernel.syscall(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)
    return ["files", *(["network"] if speaks >= 4 else []), *(["signals"] if speaks >= 6 else [])]


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    try:
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            rights &= _FOR_FILES
        rule = _Path(rights, folder)
        kernel.syscall(
            _ADD,
            ctypes.c_int(ruleset),
            ctypes.c_int(_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint(0),
        )
    finally:
        os.close(folder)
