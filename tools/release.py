"""Prepare a release: check everything, stamp the version, date the changelog, say what is left.

    make release VERSION=0.2.0
    make release VERSION=0.2.0 ARGS=--checked     CI has passed this very commit

Refuses a version that is no step forward, a tree with changes, a tag that exists, places that
disagree about the version, an empty list of changes, and failed checks. Nothing is changed then.
Nothing is committed, tagged or pushed in any case: those steps are printed.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

import rebrand

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
CHECKS = ("make", "lint", "test", "test-colab")
PENDING = "Not yet published."


def git(*words: str) -> str:
    """Return what git says."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def need_ready(version: str) -> None:
    """Look at all that can be looked at in a moment.

    Raises:
        ValueError: something stands against this release; the message says what to do.
    """
    if not VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version. Write: make release VERSION=0.2.0")
    now = rebrand.settings()["tag"][1:]
    before, after = (tuple(map(int, re.findall(r"\d+", text)[:3])) for text in (now, version))
    if after < before:
        raise ValueError(f"{version} is behind {now}, the version in pyproject.toml.")
    if changed := git("status", "--porcelain"):
        raise ValueError(f"There are changes that no commit holds:\n{changed}\nCommit them first.")
    if git("tag", "--list", f"v{version}"):
        raise ValueError(f"The tag v{version} exists already. A published version never changes.")
    if found := rebrand.disagreements():
        raise ValueError("These places disagree: " + "; ".join(found))
    dated(CHANGELOG.read_text("utf-8"), version, "2000-01-01")


def dated(text: str, version: str, day: str) -> str:
    """Return the changelog with this version's section, dated.

    Args:
        text: the changelog.
        version: what is released. Its section may be there, marked as not yet published;
            otherwise it takes over what stands under "Unreleased".
        day: as 2027-01-31.

    Raises:
        ValueError: there is nothing to release.
    """
    waiting = f"## [{version}]\n\n{PENDING}\n"
    if waiting in text:
        return text.replace(waiting, f"## [{version}] - {day}\n")
    if f"## [{version}]" in text:
        raise ValueError(f"CHANGELOG.md has a dated section for {version} already.")
    head, _, rest = text.partition("## [Unreleased]\n")
    news = re.split(r"^## ", rest, maxsplit=1, flags=re.M)[0].strip()
    if not news:
        raise ValueError("CHANGELOG.md says nothing under Unreleased. Write what has changed.")
    return f"{head}## [Unreleased]\n\n## [{version}] - {day}\n{rest}"


def release(version: str, *, checked: bool) -> list[str]:
    """Prepare the release; return the files that changed.

    Raises:
        ValueError: it must not be released; see `need_ready`.
    """
    need_ready(version)
    if not checked and subprocess.run(CHECKS, cwd=ROOT, check=False).returncode:
        raise ValueError(f"`{' '.join(CHECKS)}` failed; what it said is above.")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    news = dated(CHANGELOG.read_text("utf-8"), version, today)
    changed = rebrand.rebrand({"tag": f"v{version}"})
    CHANGELOG.write_text(news, "utf-8", newline="\n")
    return sorted({*changed, "CHANGELOG.md"})


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument("--checked", action="store_true", help="CI has passed this very commit")
    given = parser.parse_args(arguments)
    try:
        changed = release(given.version, checked=given.checked)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 1
    print(*[f"changed {path}" for path in changed], sep="\n")
    print(
        f"""
Left to do by hand:
  1. git diff                     the version, the setup cells, the changelog, nothing else
  2. git commit -am "Release {given.version}"
  3. git tag v{given.version}     notebooks in Colab fetch this tag
  4. git push --follow-tags origin {rebrand.settings()["branch"]} v{given.version}
  5. when pages.yml is green: open the site, and one notebook from its Colab button
  6. make offline                 and add the zip to the release on GitHub
"""
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
