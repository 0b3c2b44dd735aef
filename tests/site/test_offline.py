"""The pack for a room without a network: unpacked in an awkward place, opened, used, run."""

import os
import subprocess
import sys
import zipfile

import pytest
from visiting import ROOT, wake_figures

import offline


@pytest.fixture(scope="module")
def unpacked(site, tmp_path_factory):
    """The folder of the pack, on a stick whose name has a space and 汉字."""
    folder = tmp_path_factory.mktemp("U 盘 stick")
    size = offline.pack(site, folder / "book.zip")
    print(f"{size / 1e6:.1f} MB")
    assert size <= offline.LARGEST
    with zipfile.ZipFile(folder / "book.zip") as pack:
        names = pack.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in pack.infolist()} == {offline.NO_DATE}
        pack.extractall(folder)
    (top,) = {name.partition("/")[0] for name in names}
    return folder / top


def test_it_holds_both_editions_the_notebooks_and_the_package(unpacked):
    for edition in ("en", "zh"):
        theirs = {path.name for path in (ROOT / "book" / edition).glob("*.ipynb")}
        assert theirs == {path.name for path in (unpacked / "book" / edition).glob("*.ipynb")}
    ours = {p.relative_to(ROOT) for p in (ROOT / "src/backbone").rglob("*.py")}
    assert ours == {p.relative_to(unpacked) for p in (unpacked / "src/backbone").rglob("*.py")}
    assert not list(unpacked.rglob("__pycache__")) and not list(unpacked.rglob("*.egg-info"))
    assert f"version {offline.version()}" in (unpacked / "README.txt").read_text("utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_double_click_leads_to_living_figures(browser, unpacked, language):
    context = browser.new_context()
    page, errors, requests = context.new_page(), [], []
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((unpacked / "start-here.html").as_uri())
    page.get_by_role("link", name="English" if language == "en" else "中文").click()
    page.wait_for_load_state("load")
    assert page.evaluate("document.documentElement.lang")[:2] == language
    wake_figures(page)
    score = page.locator("[data-value=score]").first
    before = score.inner_text()
    page.get_by_role("switch").first.click()
    page.wait_for_function(
        "(before) => document.querySelector('[data-value=score]').textContent !== before",
        arg=before,
    )
    print(f"{language}: {len(requests)} requests, IoU {before} → {score.inner_text()}")
    context.close()
    inside = unpacked.as_uri()
    assert [u for u in requests if not u.startswith((inside, "data:", "blob:"))] == []
    assert errors == []


# As in Colab the book is not installed; unlike there, nothing can be fetched.
ALONE = """
import importlib.util, os, sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
sys.path = [p for p in sys.path if os.path.realpath(p or ".") != os.environ["BOOK_SRC"]]
assert importlib.util.find_spec("backbone") is None, "the test cannot hide the installed package"
import nbformat
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in nbformat.read("teaching.ipynb", as_version=4).cells:
    if cell.cell_type == "code":
        shell.run_cell(cell.source).raise_error()
import backbone
print(os.path.realpath(backbone.__file__))
"""


def test_a_notebook_runs_in_the_pack_with_the_code_of_the_pack(unpacked):
    environment = os.environ | {
        "BOOK_SRC": str(ROOT / "src"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "url.file:///nowhere/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://",
        "PIP_NO_INDEX": "1",
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=unpacked / "book" / "en", env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()[-1]
    print(said)
    assert said == str((unpacked / "src" / "backbone" / "__init__.py").resolve())


def test_without_a_site_it_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="make book"):
        offline.pack(tmp_path, tmp_path / "book.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_pack_that_is_too_large_leaves_nothing_behind(site, tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "LARGEST", 1000)
    monkeypatch.setattr(offline, "PARTS", ("book/zh/_toc.yml",))
    small = tmp_path / "site"
    for name in ("index.html", "zh/index.html"):
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_bytes(os.urandom(2000))
    with pytest.raises(ValueError, match="more than"):
        offline.pack(small, tmp_path / "out" / "book.zip")
    assert list((tmp_path / "out").iterdir()) == []
