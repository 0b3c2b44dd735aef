"""Lock the process in which a student's code runs.

Several walls, each as far as the system has it: a process, network and file system of its own
(Linux namespaces), Landlock, another account where the grader runs as root, limits on memory,
processor time, files and processes, and an audit hook in Python everywhere. `Shield.words` says
which of them stand.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from grading import hook

if sys.platform == "linux":
    from grading import kernel, landlock

NOBODY = 65534
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc", "/opt", "/proc", "/sys",
          "/dev", "/nix", "/snap")  # fmt: skip
FILE_BYTES, FOLDER_BYTES = 256 * 2**20, 512 * 2**20
FILES, PROCESSES = 512, 64


@dataclass
class Shield:
    """What is tried, and, after `enter`, what stands.

    Attributes:
        memory: bytes that the student's code may take on top of what is there.
        seconds: processor time in all.
        drop: become nobody, if root.
        isolate: use namespaces.
        words: what stands, in words.
    """

    memory: int = 2 * 2**30
    seconds: int = 600
    drop: bool = True
    isolate: bool = True
    words: list[str] = field(default_factory=list)


def readable_places(extra: Iterable[str | Path] = ()) -> list[str]:
    """Return what Python needs to read: itself, its packages, the system's libraries.

    The teacher's home, the other submissions and the hidden checks are not among them.
    """
    places = [
        *SYSTEM,
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *sysconfig.get_paths().values(),
    ]
    places += [path for path in sys.path if path and Path(path).is_absolute()]
    real = {str(Path(place).resolve()) for place in (*places, *map(str, extra)) if place}
    return sorted(place for place in real if place != "/" and Path(place).exists())


def separate(shield: Shield) -> Callable[[int], None] | None:
    """Leave the others' namespaces; call before the fork that shall run the student's code.

    Returns:
        What that process has to call with its scratch folder, or None if nothing was possible.
    """
    if sys.platform != "linux" or not shield.isolate:
        return None
    spaces = kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNS
    user, group = os.getuid(), os.getgid()
    try:
        if user == 0:
            kernel.unshare(spaces)
        else:
            kernel.unshare(spaces | kernel.CLONE_NEWUSER)
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return None
    shield.words += ["processes of its own", "no network"]
    return lambda scratch: _own_files(shield, scratch)


def _own_files(shield: Shield, scratch: str) -> None:
    """Make the whole file system read-only, but for a scratch folder in memory."""
    try:
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        owner = f"uid={NOBODY},gid={NOBODY}," if _drops(shield) else ""
        kernel.mount("scratch", scratch, "tmpfs", flags, f"{owner}mode=700,size={FOLDER_BYTES}")
        with suppress(OSError):  # sockets of services
            kernel.mount("nothing", "/run", "tmpfs", flags, "size=4k,mode=755")
        with suppress(OSError):  # the others' processes
            kernel.mount("proc", "/proc", "proc", flags)
        kernel.read_only("/", below=True)
        kernel.writable(scratch)
    except OSError:
        return
    shield.words.append("read-only files")


def _drops(shield: Shield) -> bool:
    return shield.drop and hasattr(os, "getuid") and os.getuid() == 0


def enter(
    shield: Shield, scratch: str, readable: Iterable[str], own_files: Callable[[str], None] | None
) -> Callable[[], list[str]]:
    """Lock this process in, for good.

    Args:
        shield: what to try; what stands is noted in it.
        scratch: empty folder, the only place where it may write.
        readable: see `readable_places`.
        own_files: what `separate` returned.

    Returns:
        A function that says what the audit hook refused.
    """
    separated = own_files is not None
    if own_files:
        own_files(scratch)
    os.chdir(scratch)
    os.environ |= {"HOME": scratch, "TMPDIR": scratch, "PWD": scratch, "MPLCONFIGDIR": scratch}
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch
    tempfile.tempdir = None
    _limit(shield, separated)
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        with suppress(OSError):
            landlock.lock(readable, [scratch, "/dev/null"])
            shield.words.append(f"Landlock {landlock.version()}")
    if _drops(shield):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        shield.words.append("account nobody")
    if sys.platform == "linux":
        with suppress(OSError):
            kernel.drop_capabilities()
    die_with_parent()  # again: changing the account undid it
    shield.words.append("audit hook")
    return hook.install(scratch)


def die_with_parent() -> None:
    """Let no process outlive the grader, where the system can do that."""
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(shield: Shield, separated: bool) -> None:
    """Set the limits that the kernel counts for us."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: shield.seconds,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: FILES,
    }
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + shield.memory
        if separated or _drops(
            shield
        ):  # counted by account: elsewhere it would count the teacher's
            limits[resource.RLIMIT_NPROC] = PROCESSES
    for what, limit in limits.items():
        hard = resource.getrlimit(what)[1]
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
    shield.words.append("limits")
