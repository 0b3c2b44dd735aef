"""The robustness drill: what goes wrong on other people's machines ends in advice, and costs
nothing.

What is tried, and where:

    half-written checkpoint      here; killed while saving, cut files: test_training, test_weights
    truncated data file          test_data, test_data_training; the lists beside them: test_hashes
    wrong hash                   test_hashes (one changed byte in every kind of file), test_weights
    disk full while saving       here, at every kind of file, at random bytes and on a real disk
    interrupted download         here (closed in the middle); none at all, wrong file: test_weights
    read-only install            here, as an account that may write nowhere but in one folder
    no permission in the folder  here, in the same run; tables of grades: test_grade_command
    spaces and 汉字 in paths      here: the package itself, checkpoints, weights, pages, notebooks
    notebooks with CRLF          here, for every tool that reads notebooks
    1 thread and 2 threads       here; the stored outputs with all threads: nbval over the chapters
"""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import nbformat
import pytest
import torch

import backbone
from backbone.data import digits, fashion, nuclei_split
from backbone.experiments.results import save_json
from backbone.explorables import Checkpoint
from backbone.resnet import ResNet18
from backbone.saving import need_place, write_whole
from backbone.training import evaluate, fit, load_checkpoint, save_checkpoint
from backbone.weights import load_torchvision, load_trained
from backbone.weights.reading import CHECKPOINTS

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import answers  # noqa: E402
import cells  # noqa: E402
import run_notebooks  # noqa: E402
import student  # noqa: E402
from grade import prepare  # noqa: E402
from grading.book import read_chapter  # noqa: E402
from grading.collect import collect  # noqa: E402
from grading.results import write_csv  # noqa: E402
from translate import Edition  # noqa: E402

CHAPTER = ROOT / "book" / "en" / "residual-blocks.ipynb"
ODD = "Meine Übung 1 数据"  # what a folder may be called

# --- a disk that is full --------------------------------------------------------------------------


def notebook(words: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(words, id="a")])


# Every kind of file that somebody would miss: (name, save, read back).
KEPT = {
    "checkpoint": (
        "run.pt",
        lambda path, i: save_checkpoint(path, {"i": i, "weights": torch.rand(500)}),
        lambda path: load_checkpoint(path)["i"],
    ),
    "results": (
        "own.json",
        lambda path, i: save_json(path, {"noise": list(range(2000)), "i": i}),
        lambda path: json.loads(path.read_text("utf-8"))["i"],
    ),
    "network": (
        "net.safetensors",  # as the runner of experiments keeps it
        lambda path, i: write_whole(path, bytes([i]) * 3000),
        lambda path: path.read_bytes()[0] if len(path.read_bytes()) == 3000 else None,
    ),
    "figure": (
        "figure.html",
        lambda path, i: Checkpoint("index.1").save_page(path, title=f"title {i}"),
        lambda path: int(
            re.search(r"<title>title (\d)</title>.*</html>", path.read_text(), re.S)[1]
        ),
    ),
    "notebook": (
        "x.ipynb",
        lambda path, i: cells.save_notebook(notebook(f"{i} " + "words " * 500), path),
        lambda path: int(cells.read_notebook(path).cells[0].source[0]),
    ),
    "grades": (
        "grades.csv",
        lambda path, i: write_csv(
            path, ["i", "student"], [{"i": str(i), "student": "x" * 900}] * 4
        ),
        lambda path: int(path.read_text("utf-8-sig").splitlines()[4][0]),
    ),
}


@contextlib.contextmanager
def room_for(size: int):
    """Let no file grow beyond a size: the system itself fails the write that would (EFBIG)."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of a file")
@pytest.mark.parametrize("kind", list(KEPT))
def test_no_room_at_any_byte(tmp_path, kind):
    name, save, read = KEPT[kind]
    path, chance = tmp_path / name, random.Random(kind)
    save(path, 1)
    size = path.stat().st_size
    places = [0, 1, size - 1, *(chance.randrange(size) for _ in range(5))]
    for place in places:
        with pytest.raises(OSError) as caught, room_for(place):
            save(path, 2)
        assert read(path) == 1  # the earlier one, whole
        assert [p.name for p in tmp_path.iterdir()] == [name]  # and nothing half beside it
    print(f"{kind}: {size:,} bytes, stopped at {sorted(places)}: {caught.value}")
    if kind not in ("notebook", "grades"):  # written by the package, for readers
        assert str(path) in str(caught.value)
        assert "Free some space" in str(caught.value)
        assert "stays as it is" in str(caught.value)
    with pytest.raises(OSError), room_for(place):
        save(tmp_path / f"new-{name}", 2)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    save(path, 2)
    assert read(path) == 2


REAL = """
set -e
mount -t tmpfs -o size=256k none "$1"
cd "$1"
"$2" -c '
import errno
from pathlib import Path
from backbone.saving import write_whole
write_whole("a.txt", b"1" * 150_000)
try:
    write_whole("a.txt", b"2" * 150_000)
except OSError as error:
    assert error.errno == errno.ENOSPC
    print(error)
assert Path("a.txt").read_bytes() == b"1" * 150_000
print(*[p.name for p in Path(".").iterdir()])
'
"""


def test_a_disk_that_is_really_full(tmp_path):
    """A disk of 256 kB in memory, seen by one process alone."""
    alone = (
        ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    )
    try:
        may = subprocess.run(
            [*alone, "mount", "-t", "tmpfs", "none", tmp_path], check=False
        ).returncode
    except (FileNotFoundError, AttributeError):
        may = 1
    if may != 0:
        pytest.skip("no file system can be mounted here; the limit on sizes above stands for it")
    done = subprocess.run(
        [*alone, "sh", "-c", REAL, "sh", tmp_path, sys.executable],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    said, there = done.stdout.splitlines()
    assert "No space left on device. Free some space" in said
    assert there == "a.txt"


def test_training_survives_a_disk_that_fills_up(tmp_path, monkeypatch):
    """It stops at the save that fails; the epoch before it is kept, and a second call goes on."""
    images, labels = digits("test")
    how = {"epochs": 3, "lr": 0.01, "device": "cpu", "progress": False}
    how |= {"checkpoint": tmp_path / "run.pt"}

    def model():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    straight = fit(model(), (images, labels), **(how | {"checkpoint": None}))
    saves, real = [], os.fsync

    def second_fails(file):
        saves.append(1)
        if len(saves) == 2:
            raise OSError(28, "No space left on device")
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", second_fails)
        with pytest.raises(OSError, match="Free some space"):
            fit(model(), (images, labels), **how)
    assert len(load_checkpoint(tmp_path / "run.pt")["history"]["lr"]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    assert fit(model(), (images, labels), **how)["train_loss"] == straight["train_loss"]


# --- a connection that closes in the middle -------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
def test_a_download_that_stops_in_the_middle(tmp_path, monkeypatch, announced):
    """The server closes halfway, whether it said how much would come or not; then it works."""
    torch.manual_seed(0)
    model = ResNet18(num_classes=1000)
    torch.save(model.state_dict(), tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    name = f"resnet18-{sha256(content).hexdigest()[:8]}.pth"
    sent = [len(content) // 2, len(content)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            if announced:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: sent.pop(0)])

        def log_message(self, *_):
            pass

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        monkeypatch.setitem(CHECKPOINTS, "resnet18", url)
        other = ResNet18(num_classes=1000)
        before = other.conv1.weight.detach().clone()
        with pytest.raises((ValueError, ConnectionError)) as caught:
            load_torchvision(other, "resnet18", progress=False)
        print(type(caught.value).__name__, caught.value)
        assert url in str(caught.value)
        assert not list((tmp_path / "hub" / "checkpoints").iterdir())
        assert torch.equal(other.conv1.weight, before)
        load_torchvision(other, "resnet18", progress=False)
        server.shutdown()
        thread.join()
    assert torch.equal(other.conv1.weight, model.conv1.weight)
    assert [p.name for p in (tmp_path / "hub" / "checkpoints").iterdir()] == [name]


def test_no_room_for_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    (tmp_path / "resnet18-00000000.pth").write_bytes(b"x" * 5000)
    url = (tmp_path / "resnet18-00000000.pth").as_uri()
    monkeypatch.setitem(CHECKPOINTS, "resnet18", url)
    with pytest.raises(OSError, match="TORCH_HOME") as caught, room_for(1000):
        load_torchvision(ResNet18(num_classes=1000), "resnet18", progress=False)
    print(caught.value)
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())


# --- somebody else's machine ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def foreign():
    """What `on_a_foreign_machine.py` says: installed read-only, in a folder with an odd name.

    Permissions do not bind root, so root becomes the account nobody for this (setpriv); everybody
    else takes the permission to write away from the copy.
    """
    home = Path(tempfile.mkdtemp(prefix="drill "))  # not tmp_path: nobody cannot reach that
    try:
        home.chmod(0o755)
        packages, own, empty = home / f"{ODD} src", home / f"{ODD} own", home / "empty"
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(backbone.__file__).parent, packages / "backbone", ignore=hidden)
        script = shutil.copy(Path(__file__).parent / "on_a_foreign_machine.py", packages)
        own.mkdir()
        empty.mkdir()
        command = [sys.executable, script, str(own)]
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                pytest.skip("root, and no setpriv to become somebody else")
            as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            if subprocess.run([*as_nobody, "test", "-r", torch.__file__], check=False).returncode:
                pytest.skip(f"root, and nobody else can read the packages in {sys.prefix}")
            os.chown(own, 65534, 65534)
            command = [*as_nobody, *command]
        else:
            for path in (packages, *packages.rglob("*"), empty):
                path.chmod(path.stat().st_mode & 0o555)
        done = subprocess.run(
            command,
            cwd=empty,
            env=os.environ | {"PYTHONPATH": str(packages), "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
        )
        print(" ".join(command[:2]), done.stderr)
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout), packages, own
    finally:
        for path in (home, *home.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(home)


def test_a_package_that_may_not_be_written(foreign):
    said, packages, _ = foreign
    print(json.dumps(said, indent=1, ensure_ascii=False))
    assert said["package"] == str(packages / "backbone")
    assert said["user"] != 0
    assert said["no file in the package"].startswith(("PermissionError", "OSError"))
    assert said["read"] == [2000, 445, 12, [1, 512, 512], [3, 224, 224], 112]


def test_no_permission_in_the_working_folder(foreign):
    """Said before the first step of training, not after the first epoch."""
    said = foreign[0]
    for what in ("no file here", "no checkpoint here", "no figure here"):
        assert said[what].startswith("PermissionError"), what
    assert "run.pt cannot be written: Permission denied." in said["no checkpoint here"]
    assert "where you may write" in said["no checkpoint here"]
    assert said["steps before it said so"] == 0


def test_folders_with_spaces_and_characters(foreign):
    said, packages, own = foreign
    assert " " in str(packages) and "数据" in str(packages)
    assert said["files"] == sorted(["run 一.pt", "权重 a.pth", "图 1.html"])
    assert said["checkpoint"] == 1 and said["weights"] > 60 and said["page"] > 500_000
    assert str(own / "图 1.html") in said["not weights"]


def test_a_folder_where_a_file_should_be(tmp_path):
    for call in (need_place, lambda path: save_checkpoint(path, {"a": 1})):
        with pytest.raises(OSError, match="cannot be written: Is a directory") as caught:
            call(tmp_path)
        print(caught.value)
    assert not list(tmp_path.iterdir())
    assert not [p for p in tmp_path.parent.iterdir() if p.suffix == ".part"]


# --- line ends of Windows -------------------------------------------------------------------------


def with_crlf(path: Path, how: str) -> bytes:
    """A notebook as Windows may leave it: in the file's own lines, or inside the cells."""
    if how == "file":
        return path.read_bytes().replace(b"\n", b"\r\n")
    whole = json.loads(path.read_text("utf-8"))
    for cell in whole["cells"]:
        cell["source"] = [line.replace("\n", "\r\n") for line in cell["source"]]
    text = json.dumps(whole, ensure_ascii=False, indent=1)
    assert "\\r\\n" in text
    return text.encode()


@pytest.fixture(params=["file", "cells"])
def windows(request, tmp_path):
    """The chapter in a folder with an odd name, with such line ends; and how."""
    folder = tmp_path / ODD / "en"
    folder.mkdir(parents=True)
    path = folder / CHAPTER.name
    path.write_bytes(with_crlf(CHAPTER, request.param))
    return path


def test_cells_reads_windows_lines(windows):
    assert cells.to_text(cells.read_notebook(windows)) == cells.to_text(
        cells.read_notebook(CHAPTER)
    )


def test_student_reads_windows_lines(windows):
    for edition in (student.student, student.solved, lambda n: student.student(n, seed=42)):
        ours, theirs = (edition(cells.read_notebook(path)) for path in (CHAPTER, windows))
        assert cells.notebook_text(ours) == cells.notebook_text(theirs)


def test_grading_reads_windows_lines(windows):
    """The chapter and what is handed in, each with its own line ends."""
    home = windows.parent
    inbox = home.parent / "abgabe 作业"
    inbox.mkdir()
    made = home / "solved.ipynb"
    cells.save_notebook(student.solved(cells.read_notebook(CHAPTER)), made)
    (inbox / "li 李.ipynb").write_bytes(with_crlf(made, "file"))
    (inbox / "wang.ipynb").write_bytes(with_crlf(made, "cells"))
    (inbox / "zhao.ipynb").write_bytes(made.read_bytes())
    made.unlink()
    plans = []
    for path in (CHAPTER, windows):
        for number, submission in enumerate(collect(inbox, ())):
            row, steps = prepare(number, submission, [read_chapter(path)])
            assert not row.notes
            plans.append([(step.code, step.exercises) for step in steps])
    names = list(answers.answer_cells(cells.read_notebook(CHAPTER)))
    print(len(plans), "plans of", len(plans[0]), "steps")
    assert len(plans) == 6 and all(plan == plans[0] for plan in plans)
    assert [name for _, done in plans[0] for name in done] == names


def test_translating_reads_windows_lines(windows, tmp_path):
    """Nothing is stale, and the Chinese page comes out as it is in the book."""
    english, chinese = windows.parent, tmp_path / "zh"
    chinese.mkdir()
    stored = ROOT / "book" / "zh" / CHAPTER.name
    (chinese / stored.name).write_bytes(with_crlf(stored, "file"))
    page = "# A page\n\nWords.\n"
    (english / "page.md").write_bytes(page.replace("\n", "\r\n").encode())
    (chinese / "page.md").write_bytes(b"")
    ours = Edition(ROOT / "book" / "en", ROOT / "book" / "zh").parts([CHAPTER.stem])
    states = {part.cell: (part.english, part.chinese, part.fresh) for part in ours}
    edition = Edition(english, chinese)
    theirs = {p.cell: (p.english, p.chinese, p.fresh) for p in edition.parts([CHAPTER.stem])}
    assert theirs == states and len(states) > 30
    edition.put("<!-- page a-page -->\n# 一页\n\n文字。\n")
    edition.sync()
    assert b"\r" not in (chinese / "page.md").read_bytes()
    made, kept = (cells.read_notebook(folder / stored.name) for folder in (chinese, stored.parent))
    assert [c.get("outputs") for c in made.cells] == [c.get("outputs") for c in kept.cells]
    assert [c.source for c in made.cells if c.cell_type == "code"] == [
        c.source for c in kept.cells if c.cell_type == "code"
    ]


def test_running_reads_windows_lines_and_odd_folders(tmp_path):
    folder = tmp_path / ODD
    folder.mkdir()
    path = folder / "笔记 1.ipynb"
    code = nbformat.v4.new_code_cell("if True:\r\n    x = 1\r\n\r\nprint(x + 1)", id="a")
    made = nbformat.v4.new_notebook(cells=[code], metadata=cells.house_metadata(None))
    path.write_bytes(nbformat.writes(made).replace("\n", "\r\n").encode())
    assert run_notebooks.main([str(path)]) == 0
    ran = cells.read_notebook(path)
    assert ran.cells[0].outputs[0].text == "2\n"
    assert b"\r" not in path.read_bytes()
    before = path.read_bytes()
    path.write_bytes(before.replace(b"\n", b"\r\n"))
    assert cells.read_notebook(path) == ran


# --- threads --------------------------------------------------------------------------------------


@pytest.fixture
def with_threads():
    """Call something with so many threads."""

    def call(count, function):
        torch.set_num_threads(count)
        return function()

    yield call
    torch.set_num_threads(1)


def test_one_thread_and_two_say_the_same(with_threads):
    """The book's networks on unseen pictures: the same answers, and scores to four digits."""
    clothes, test = fashion("test"), nuclei_split().test
    pictures = torch.nn.functional.interpolate(clothes.images[:300], size=64, mode="bilinear")
    classifier, unet = load_trained("resnet18-fashion"), load_trained("unet-nuclei")

    def measure():
        with torch.no_grad():
            scores, mask = classifier(pictures), unet(test.image[None])
        iou = evaluate(unet, test.image[None], test.mask[None], metric="iou")["score"]
        return scores, mask, iou

    (one, mask_1, iou_1), (two, mask_2, iou_2) = (with_threads(n, measure) for n in (1, 2))
    apart = [(a - b).abs().max().item() for a, b in ((one, two), (mask_1, mask_2))]
    print("scores and masks differ by", apart)
    assert torch.allclose(one, two, atol=1e-4)
    assert torch.allclose(mask_1, mask_2, atol=1e-3)
    assert torch.equal(one.argmax(1), two.argmax(1))
    assert abs(iou_1 - iou_2) < 1e-4


def test_one_thread_and_two_learn_the_same(with_threads):
    """Within the tolerance of `python -m backbone.experiments … --confirm`, for one epoch."""
    from backbone.experiments.confirm import TOLERANCE

    clothes = fashion("train")
    pictures = torch.nn.functional.interpolate(clothes.images[:400], size=32, mode="bilinear")

    def train():
        torch.manual_seed(0)
        model = ResNet18(in_channels=1, width=8)
        history = fit(
            model, (pictures, clothes.labels[:400]), epochs=1, lr=0.05, device="cpu", progress=False
        )
        return history["train_loss"]

    one, two = (with_threads(n, train) for n in (1, 2))
    print(one, two)
    assert one == pytest.approx(two, abs=TOLERANCE)
