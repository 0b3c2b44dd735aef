"""The few Linux calls that Python has no name for. Each raises OSError if the system refuses."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWIPC = 0x00020000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 0x1000, 0x4000, 1 << 18, 2, 4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
_SYS_MOUNT_SETATTR = 442  # the same on every architecture, as all calls since 2019
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1


def syscall(number: int, *arguments: object) -> int:
    """Call the kernel by number."""
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    return _checked(result)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, value: int) -> None:
    """Set a property of this process."""
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def unshare(flags: int) -> None:
    """Leave the namespaces of the others."""
    _checked(_libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount a file system."""
    _checked(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            options.encode() if options else None,
        )
    )


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clr", "propagation", "userns")]


def read_only(path: str, *, below: bool) -> None:
    """Make a mount read-only, and every mount below it."""
    attr = _MountAttr(set=_MOUNT_ATTR_RDONLY)
    flags = ctypes.c_uint(_AT_RECURSIVE if below else 0)
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    folder = ctypes.c_int(_AT_FDCWD)
    syscall(_SYS_MOUNT_SETATTR, folder, path.encode(), flags, ctypes.byref(attr), size)


def writable(path: str) -> None:
    """Undo `read_only` for one mount."""
    attr = _MountAttr(clr=_MOUNT_ATTR_RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    folder = ctypes.c_int(_AT_FDCWD)
    syscall(_SYS_MOUNT_SETATTR, folder, path.encode(), ctypes.c_uint(0), ctypes.byref(attr), size)


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def drop_capabilities() -> None:
    """Give up every power that goes beyond an ordinary account's."""
    header = _CapHeader(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref(nothing)))
