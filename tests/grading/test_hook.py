"""The audit hook alone, as on a system whose kernel has no walls: what Python code may not do."""

import json
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
TRIES = """
import json, os, pathlib, shutil, socket, subprocess, sys, tempfile
sys.path.insert(0, {tools!r})
from grading import hook
canary, scratch = {canary!r}, {scratch!r}
os.chdir(scratch)
os.environ["TMPDIR"] = scratch
refused = hook.install(scratch)
bad = [
    lambda: open(canary + "/keep.txt", "w"),
    lambda: open(canary + "/keep.txt", "a"),
    lambda: os.open(canary + "/new.txt", os.O_CREAT),
    lambda: pathlib.Path(canary, "new").mkdir(),
    lambda: os.remove(canary + "/keep.txt"),
    lambda: os.remove("../canary/keep.txt"),
    lambda: os.unlink("keep.txt", dir_fd=os.open(canary, os.O_RDONLY)),
    lambda: os.rename(canary + "/keep.txt", "mine.txt"),
    lambda: os.replace("a.txt", canary + "/keep.txt"),
    lambda: os.link("a.txt", canary + "/link"),
    lambda: os.symlink("a.txt", canary + "/link"),
    lambda: (os.symlink(canary, "door"), open("door/keep.txt", "w")),
    lambda: os.chmod(canary + "/keep.txt", 0o777),
    lambda: os.utime(canary + "/keep.txt"),
    lambda: os.truncate(canary + "/keep.txt", 0),
    lambda: shutil.rmtree(canary),
    lambda: shutil.move(canary, "here"),
    lambda: os.system("true"),
    lambda: os.popen("true"),
    lambda: subprocess.run(["true"]),
    lambda: subprocess.run("true", shell=True),
    lambda: os.fork(),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: os.posix_spawn("/bin/true", ["true"], {{}}),
    lambda: os.kill(os.getppid(), 0),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.socket().bind(("127.0.0.1", 0)),
    lambda: socket.getaddrinfo("localhost", 80),
]
fine = [
    lambda: pathlib.Path("a.txt").write_text("mine"),
    lambda: open(os.devnull, "w").close(),
    lambda: tempfile.TemporaryDirectory(dir=scratch).cleanup(),
    lambda: (os.makedirs("x/y"), shutil.rmtree("x")),
    lambda: os.rename("a.txt", "b.txt"),
    lambda: os.remove("b.txt"),
    lambda: open(canary + "/keep.txt").read(),
    lambda: os.kill(os.getpid(), 0),
]
passed = []
for i, attempt in enumerate(bad):
    try:
        attempt()
    except PermissionError as error:
        if "The grader refused" not in str(error):
            passed.append([i, str(error)])
    except BaseException as error:
        passed.append([i, repr(error)])
    else:
        passed.append([i, "went through"])
for attempt in fine:
    attempt()
print(json.dumps({{"passed": passed, "tried": len(bad), "refused": refused()}}))
"""


def test_what_the_hook_refuses_and_allows(tmp_path):
    canary, scratch = tmp_path / "canary", tmp_path / "scratch"
    canary.mkdir()
    scratch.mkdir()
    (canary / "keep.txt").write_text("as it was")
    (scratch / "a.txt").write_text("mine")
    before = (canary / "keep.txt").stat()
    code = TRIES.format(tools=str(TOOLS), canary=str(canary), scratch=str(scratch))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    print(result.stdout, result.stderr)
    said = json.loads(result.stdout)
    assert said["passed"] == [] and said["tried"] == 28
    after = (canary / "keep.txt").stat()
    assert [p.name for p in canary.iterdir()] == ["keep.txt"]
    assert (after.st_mode, after.st_mtime, after.st_size) == (
        before.st_mode,
        before.st_mtime,
        before.st_size,
    )
