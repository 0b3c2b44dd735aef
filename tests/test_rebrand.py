"""A fork sets its own address everywhere, and can take it back to the byte."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import cells  # noqa: E402
import rebrand  # noqa: E402
import run_notebooks  # noqa: E402

NEW = {
    "repository": "https://github.com/lin-school/deep-nets",
    "branch": "spring",
    "title": "Deep nets: a course",
    "author": "Lin, after The Backbones authors",
    "tag": "v1.2.0rc1",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The repository's text files, without git, with links that a README may have later."""
    home = tmp_path_factory.mktemp("book") / "copy"
    for name in rebrand._paths():
        source = ROOT / name
        if source.is_file() and not name.startswith(("src/backbone/data", "src/backbone/weights")):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, home / name)
    said = rebrand.settings()
    slug, branch = said["repository"].removeprefix("https://github.com/"), said["branch"]
    (home / "LINKS.md").write_text(
        f"[Colab](https://colab.research.google.com/github/{slug}/blob/{branch}/book/en/x.ipynb)\r\n"
        f"[Binder](https://mybinder.org/v2/gh/{slug}/{branch}?urlpath=lab)\n"
        f"[file]({said['repository']}/blob/{branch}/README.md), <{said['repository']}.git>\n"
        f"[another]({said['repository']}-2/blob/{branch}/README.md)\n",
        encoding="utf-8",
        newline="",
    )
    return home


@pytest.fixture
def copy(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "copy"))


@pytest.fixture
def command(copy, monkeypatch, capsys):
    """Run the command line on the copy: exit status, output, errors."""
    monkeypatch.setattr(rebrand, "ROOT", copy)

    def call(*arguments):
        status = rebrand.main(list(arguments))
        said = capsys.readouterr()
        print(said.out[-800:], said.err)
        return status, said.out, said.err

    return call


def other_tool(home, tool, *arguments):
    """What another tool of the copy says."""
    line = [sys.executable, "-B", str(home / "tools" / tool), *arguments]
    return subprocess.run(line, cwd=home, capture_output=True, text=True, check=False).stdout


def options(values):
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def contents(home):
    files = (path for path in home.rglob("*") if path.is_file())
    return {str(p.relative_to(home)): hashlib.sha256(p.read_bytes()).digest() for p in files}


def test_here_all_places_agree():
    assert rebrand.disagreements() == []
    print(rebrand.settings())


def test_there_and_back_again(copy, command):
    """Everything new everywhere, nothing left of the old, and back the same bytes."""
    old = {name: rebrand.settings()[name] for name in NEW}
    stale = other_tool(copy, "translate.py", "check")
    first = contents(copy)

    status, said, _ = command(*options(NEW))
    assert status == 0
    changed = re.findall(r"^changed (.+)$", said, re.M)
    now = contents(copy)
    assert sorted(changed) == sorted(path for path in first if first[path] != now[path])
    slug = old["repository"].removeprefix("https://github.com/")
    left = []
    for path in first:
        if not path.endswith((".png", ".webp")):
            text = (copy / path).read_bytes().decode("utf-8", errors="replace")
            left += [path] if re.search(rf"{re.escape(slug)}(?![\w-])", text) else []
    print(f"{len(changed)} files changed of {len(first)}; the old address is left in {left}")
    assert left == []
    for path in ("README.md", "CITATION.cff", "_config.yml", "pyproject.toml"):
        assert path in changed
    assert "LICENSE" not in changed and "LICENSE-text" not in changed

    assert command("--check")[0] == 0
    assert other_tool(copy, "translate.py", "check") == stale
    english = [str(path) for path in sorted((copy / "book" / "en").glob("*.ipynb"))]
    assert other_tool(copy, "setup_cell.py", "--write", *english) == ""
    links = (copy / "LINKS.md").read_bytes().decode()
    assert "github/lin-school/deep-nets/blob/spring/book" in links and "\r\n" in links
    assert "gh/lin-school/deep-nets/spring?urlpath" in links
    assert f"{old['repository']}-2/blob/{old['branch']}/" in links, "another repository"

    status, said, _ = command(*options(NEW))
    assert status == 0 and "nothing to change" in said
    assert contents(copy) == now

    assert command(*options(old))[0] == 0
    assert contents(copy) == first


def test_notebooks_keep_outputs_and_stamps(copy, command):
    assert command(*options(NEW))[0] == 0
    for path in sorted((copy / "book").glob("*/*.ipynb")):
        ours = cells.read_notebook(ROOT / path.relative_to(copy))
        theirs = cells.read_notebook(path)
        assert [c.get("outputs") for c in theirs.cells] == [c.get("outputs") for c in ours.cells]
        assert theirs.metadata == ours.metadata
        assert run_notebooks.code_hash(theirs) == run_notebooks.code_hash(ours)
        setup = next(cell.source for cell in theirs.cells if cell.id == "setup")
        assert NEW["repository"] in setup and f"-b {NEW['tag']} " in setup
        assert path.read_text("utf-8") == cells.notebook_text(theirs)


@pytest.mark.parametrize(
    ("path", "old", "new", "says"),
    [
        (
            "_config.yml",
            "  url: https://github.com/",
            "  url: https://github.com/x",
            "repository.url",
        ),
        ("CITATION.cff", "\nversion: ", "\nversion: 9.", "CITATION.cff, version"),
        ("README.md", "# ", "# My ", "README.md, heading"),
        ("book/en/index.ipynb", "git clone -q", "git clone", "its setup cell"),
        ("LINKS.md", "github/", "github/someone-", "not to this repository"),
    ],
)
def test_check_names_the_place_that_disagrees(copy, command, path, old, new, says):
    text = (copy / path).read_bytes().decode("utf-8")
    assert old in text
    (copy / path).write_bytes(text.replace(old, new, 1).encode("utf-8"))
    before = contents(copy)
    status, _, errors = command("--check")
    assert status == 1 and says in errors and path in errors
    assert contents(copy) == before


def test_a_short_title_is_not_replaced_in_the_prose(copy, command):
    assert command("--title", "ResNet")[0] == 0
    chapters = contents(copy / "book" / "en")
    assert command("--title", "Networks")[0] == 0
    assert [p for p, h in contents(copy / "book" / "en").items() if h != chapters[p]] == [
        "index.ipynb"
    ]
    assert command("--check")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--repository", "git@github.com:you/fork.git"], "https://github.com/you/fork"),
        (["--repository", "http://github.com/you/fork"], "no address to clone from"),
        (["--repository", "https://github.com/you"], "no address to clone from"),
        (["--repository", "https://github.com/you/fork.git"], "no .git"),
        (["--repository", "https://github.com/you/fork/"], "nothing after it"),
        (["--repository", "https://git.school.example/you/fork"], "reads from GitHub"),
        (["--tag", "0.2"], "Write it as v0.2.0"),
        (["--branch", "a branch"], "no name of a branch"),
        (["--title", 'Say "deep"'], "Leave out quotes"),
        (["--author", "Lin: a teacher"], "colons in names"),
        (["--author", " "], "cannot be written"),
        (["--check", "--tag", "v1.0.0"], "--check changes nothing"),
        ([], "Say what to set"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(copy, command, arguments, says):
    before = contents(copy)
    status, _, errors = command(*arguments)
    assert status == 1 and says in errors
    assert contents(copy) == before


def test_the_public_address_follows_the_repository_or_is_set_by_itself(copy, command):
    def said():
        files = (copy / "_config.yml", copy / "book" / "zh" / "_config.yml")
        return {re.search(r"^  baseurl: (.+)$", f.read_text("utf-8"), re.M)[1] for f in files}

    assert command("--repository", "https://github.com/lin-school/deep-nets")[0] == 0
    assert said() == {"https://lin-school.github.io/deep-nets/"}
    assert command("--site", "https://nets.example.edu/book/")[0] == 0
    assert said() == {"https://nets.example.edu/book/"}
    assert "https://nets.example.edu/book/" in (copy / "README.md").read_text("utf-8")
    assert command("--repository", "https://github.com/lin-school/nets")[0] == 0
    assert said() == {"https://nets.example.edu/book/"}, "an address of one's own stays"
    for bad in ("nets.example.edu", "https://nets.example.edu/book"):
        status, _, error = command("--site", bad)
        assert status == 1 and "slash at the end" in error
    config = copy / "book" / "zh" / "_config.yml"
    config.write_text(config.read_text("utf-8").replace("nets.example.edu", "other.example.edu"))
    status, _, error = command("--check")
    assert status == 1 and "html.baseurl" in error
