"""What Python itself refuses, on every system: an audit hook.

It sees what Python code does, not what compiled code does behind it. Where the kernel can lock a
process in (see `sandbox`), this is only the friendlier message.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

PROGRAMS = ("dot", "graphviz-pure")  # which draw the book's diagrams

_PATHS = {  # event → which arguments are paths, which is a folder's descriptor
    "os.remove": ((0,), 1),
    "os.rmdir": ((0,), 1),
    "os.mkdir": ((0,), 2),
    "os.truncate": ((0,), None),
    "os.chmod": ((0,), 2),
    "os.chown": ((0,), 3),
    "os.chflags": ((0,), None),
    "os.utime": ((0,), 3),
    "os.setxattr": ((0,), None),
    "os.removexattr": ((0,), None),
    "os.rename": ((0, 1), 2),
    "os.link": ((1,), 3),
    "os.symlink": ((1,), 2),
    "shutil.rmtree": ((0,), None),
    "shutil.move": ((0, 1), None),
    "shutil.copyfile": ((1,), None),
    "sqlite3.connect": ((0,), None),
}
_PROCESSES = {
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn",
    "os.startfile",
}  # fmt: skip
_OTHERS = {"os.kill", "os.killpg", "signal.pthread_kill", "resource.setrlimit", "resource.prlimit"}
_NETWORK = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
    "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo",
}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def install(scratch: str) -> Callable[[], list[str]]:
    """Refuse, from now on, what a notebook has no reason to do outside its scratch folder.

    Returns:
        A function that says what was refused so far, each once, in words.
    """
    home = os.path.realpath(scratch)
    own = os.getpid()
    programs = {os.path.realpath(p) for name in PROGRAMS if (p := shutil.which(name))} | set(
        PROGRAMS
    )
    refused: dict[str, None] = {}
    realpath, fspath, join = os.path.realpath, os.fspath, os.path.join
    readlink, fsdecode = os.readlink, os.fsdecode

    def place_of(folder: int) -> str:
        if sys.platform == "darwin":
            import fcntl

            return fsdecode(fcntl.fcntl(folder, 50, bytes(1024)).rstrip(b"\0"))  # F_GETPATH
        return readlink(f"/proc/self/fd/{folder}")

    def no(what: str) -> None:
        refused[what] = None
        raise PermissionError(f"The grader refused: {what}.")

    def inside(path: object, folder: object) -> bool:
        if isinstance(path, int):
            return True  # a descriptor: the file was opened under these rules
        name = fsdecode(fspath(path))
        if name in {"/dev/null", ":memory:"}:
            return True
        if isinstance(folder, int) and folder >= 0 and not name.startswith("/"):
            name = join(place_of(folder), name)
        real = realpath(name)
        return real == home or real.startswith(home + os.sep)

    def watch(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _mode, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and not isinstance(path, int):
                if str(path).startswith("/dev/pt"):
                    no("starting a process (in a terminal)")
                if not inside(path, None):
                    no(f"writing {str(path)[:80]}")
        elif event in _PATHS:
            which, where = _PATHS[event]
            folder = arguments[where] if where is not None and where < len(arguments) else None
            for place in which:
                if not inside(arguments[place], folder):
                    no(f"{event} of {str(arguments[place])[:80]}")
        elif event == "subprocess.Popen":
            program, parts = arguments[0], arguments[1]
            first = parts if isinstance(parts, str | bytes) else next(iter(parts or ()), "")
            name = fsdecode(program or first)
            if name not in programs and realpath(name) not in programs:
                no(f"starting a program ({str(parts)[:60]})")
        elif event in _PROCESSES:
            no(f"starting a process ({event})")
        elif event in _NETWORK:
            no(f"the network ({event})")
        elif event in _OTHERS and not (event == "os.kill" and arguments[0] == own):
            no(event)

    sys.addaudithook(watch)
    return lambda: list(refused)
