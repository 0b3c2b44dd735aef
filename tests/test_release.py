"""A release is prepared whole or not at all, and never goes out by itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import release

ROOT = Path(__file__).resolve().parent.parent
NEWS = "## [Unreleased]\n\n### Added\n\n- A chapter.\n"


@pytest.fixture
def copy(tmp_path):
    """A committed copy of what a release touches."""
    for name in ("book", "tools", "src", ".github"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "files", "sets", "results")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in {".md", ".toml", ".yml", ".cff", ".txt"}:
            shutil.copy(path, tmp_path)
    text = (tmp_path / "CHANGELOG.md").read_text("utf-8")
    (tmp_path / "CHANGELOG.md").write_text(text.replace("## [Unreleased]\n", NEWS), "utf-8")
    (tmp_path / "Makefile").write_text("lint test test-colab:\n\t@test ! -e broken\n")
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "book")
    return tmp_path


def git(folder, *words):
    who = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    command = ["git", *who, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def run(folder, *words):
    command = [sys.executable, folder / "tools" / "release.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_stamps_the_version_everywhere_and_pushes_nothing(copy):
    done = run(copy, "9.8.7")
    assert done.returncode == 0, done.stderr
    changed = git(copy, "diff", "--name-only").split()
    print(done.stdout)
    assert {"pyproject.toml", "CITATION.cff", "CHANGELOG.md", "book/zh/index.ipynb"} <= set(changed)
    assert 'version = "9.8.7"' in (copy / "pyproject.toml").read_text("utf-8")
    assert "-b v9.8.7 " in (copy / "book/en/index.ipynb").read_text("utf-8")
    news = (copy / "CHANGELOG.md").read_text("utf-8")
    assert "## [Unreleased]\n\n## [9.8.7] - 20" in news and "- A chapter." in news
    assert git(copy, "tag") == "" and git(copy, "log", "--oneline").count("\n") == 1
    assert "git tag v9.8.7" in done.stdout and "git push" in done.stdout


@pytest.mark.parametrize(
    ("prepare", "version", "says"),
    [
        (lambda folder: None, "v1", "is no version"),
        (lambda folder: None, "0.0.1", "is behind"),
        (lambda folder: (folder / "new.txt").write_text("x"), "9.8.7", "no commit holds"),
        (lambda folder: git(folder, "tag", "v9.8.7"), "9.8.7", "exists already"),
        (
            lambda folder: (
                (folder / "CHANGELOG.md").write_text(
                    (folder / "CHANGELOG.md").read_text("utf-8").replace("- A chapter.\n", "")
                    .replace("### Added\n\n\n", ""), "utf-8"
                ),
                git(folder, "commit", "-qam", "silence"),
            ),
            "9.8.7",
            "says nothing under Unreleased",
        ),
        (
            lambda folder: (
                (folder / "broken").touch(), git(folder, "add", "-A"),
                git(folder, "commit", "-qm", "break"),
            ),
            "9.8.7",
            "failed; what it said is above",
        ),
    ],
    ids=["word", "behind", "dirty", "tagged", "silent", "failing"],
)  # fmt: skip
def test_what_must_not_go_out_is_refused_and_nothing_changes(copy, prepare, version, says):
    prepare(copy)
    before = git(copy, "status", "--porcelain")
    done = run(copy, version)
    print(done.stderr)
    assert done.returncode == 1 and says in done.stderr
    assert git(copy, "status", "--porcelain") == before


def test_the_first_release_takes_its_waiting_section():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = "0.1.0"
    if release.PENDING in text:
        mended = release.dated(text, version, "2027-01-31")
        assert f"## [{version}] - 2027-01-31\n" in mended and release.PENDING not in mended
    with pytest.raises(ValueError, match="already"):
        release.dated(f"## [Unreleased]\n\n## [{version}] - 2026-01-01\n", version, "2027-01-31")
