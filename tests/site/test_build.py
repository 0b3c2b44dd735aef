"""The build itself: strict, complete, repeatable, and possible without our own command."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from build_book import ROOT, strip_prefix
from conftest import PAGES


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what the build reads, in a path with a space and Chinese characters."""
    folder = tmp_path_factory.mktemp("a book 书") / "tree"
    for name in ("book", "tools", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_make_book_builds_every_page_and_leaves_nothing_stale(tree):
    site = tree / "_build" / "html"
    site.mkdir(parents=True)
    (site / "stale.html").write_text("old")
    result = run(sys.executable, tree / "tools" / "build_book.py")
    print(result.stdout)
    assert result.returncode == 0, result.stderr
    assert "Built" in result.stdout and str(site / "index.html") in result.stdout
    assert {f"{name}.html" for name in PAGES} <= {f.name for f in site.glob("*.html")}
    assert not (site / "stale.html").exists()


def test_plain_jupyter_book_works_too(tree, tmp_path):
    main = "from jupyter_book.cli.main import main; main()"
    result = run(
        sys.executable, "-c", main, "build", tree, "--path-output", tmp_path, "-W", "--keep-going",
        env=os.environ | {"NO_COLOR": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    for name in PAGES:
        assert (tmp_path / "_build" / "html" / "book" / "en" / f"{name}.html").exists()
    assert (tmp_path / "_build" / "html" / "index.html").exists()


@pytest.mark.parametrize(
    ("page", "damage", "complaint"),
    [
        ("glossary.md", "\n[nowhere](no-such-chapter.ipynb)\n", "no-such-chapter"),
        ("references.md", "\n![](missing.png)\n", "missing.png"),
    ],
)
def test_a_fault_fails_the_build_and_keeps_the_old_site(tree, page, damage, complaint):
    source = tree / "book" / "en" / page
    good = source.read_text(encoding="utf-8")
    index = tree / "_build" / "html" / "index.html"
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_text("the old site")
    try:
        source.write_text(good + damage, encoding="utf-8")
        result = run(sys.executable, tree / "tools" / "build_book.py")
    finally:
        source.write_text(good, encoding="utf-8")
    assert result.returncode != 0
    assert complaint in re.sub(r"\s+", " ", result.stderr)
    assert index.read_text() == "the old site"


def test_the_contents_lose_only_their_prefix():
    toc = {
        "root": "book/en/index",
        "parts": [{"caption": "A", "chapters": [{"file": "book/en/x"}]}],
    }
    assert strip_prefix(toc) == {
        "root": "index",
        "parts": [{"caption": "A", "chapters": [{"file": "x"}]}],
    }
