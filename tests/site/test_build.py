"""The build itself: strict, complete, repeatable, and possible without our own command."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from visiting import PAGES

from build_book import ROOT, strip_prefix


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """What the build reads, English only, in a path with a space and Chinese characters.

    Both editions were built before any test of the site; the Chinese one must not be needed.
    """
    folder = tmp_path_factory.mktemp("a book 书") / "tree"
    for name in ("book", "tools", "src"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "zh")
        )
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


def test_faults_fail_the_build_are_all_named_and_keep_the_old_site(tree):
    faults = {
        "glossary.md": ("\n[nowhere](no-such-chapter.ipynb)\n", "no-such-chapter"),
        "references.md": ("\n![](missing.png)\n", "missing.png"),
    }
    index = tree / "_build" / "html" / "index.html"
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_text("the old site")
    sources = [tree / "book" / "en" / page for page in faults]
    good = [source.read_text(encoding="utf-8") for source in sources]
    try:
        for source, text, (damage, _) in zip(sources, good, faults.values(), strict=True):
            source.write_text(text + damage, encoding="utf-8")
        result = run(sys.executable, tree / "tools" / "build_book.py")
    finally:
        for source, text in zip(sources, good, strict=True):
            source.write_text(text, encoding="utf-8")
    assert result.returncode != 0
    said = re.sub(r"\s+", " ", result.stderr)
    assert all(complaint in said for _, complaint in faults.values()), said
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
