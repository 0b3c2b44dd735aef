"""Give a fork its own address, branch, title, author and version, everywhere at once.

    python tools/rebrand.py --repository https://github.com/you/fork
    python tools/rebrand.py --site https://nets.example.edu/book/
    python tools/rebrand.py --title "My course" --author "You, after The Backbones authors"
    python tools/rebrand.py --tag v0.2.0
    python tools/rebrand.py --check        do all places agree? Exit status 1 if not

What is asked for replaces what `pyproject.toml` (address, version) and `_config.yml` (site, branch,
title, author) say now: there, in the Chinese settings, the citation, the README, links, workflows,
and the setup cells of the notebooks, whose outputs stay. Translations remember a hash of the
English; those hashes follow. Nothing else changes, so setting the old values brings back every
byte. The licences keep their first authors' names, as both licences ask.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from cells import read_notebook
from setup_cell import CELL_ID, setup_source, tomllib
from translate import english_prose, fingerprint

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".git", ".venv", ".venv-colab", "_build", "dist", "node_modules", "__pycache__"}

_END = r"(?![\w-])"  # .../backbones is not the beginning of .../backbones-2
_URL = re.compile(r"https://[\w-]+(\.[\w-]+)+(/[\w.-]+){2,}")
_TAG = re.compile(r"v\d+\.\d+(\.\d+)?((a|b|rc)\d+)?")
# Sites that take `owner/name` from the address on GitHub, and then, some of them, the branch.
_MIRRORS = (
    r"colab\.research\.google\.com/github/",
    r"mybinder\.org/v2/gh/",
    r"nbviewer\.org/github/",
    r"raw\.githubusercontent\.com/",
)

Change = Callable[[str, str], str]  # path in the repository, text → text


def settings() -> dict[str, str]:
    """Return what the book says about itself now."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    found = {
        "repository": project["urls"]["Repository"],
        "tag": f"v{project['version']}",
        "branch": config["repository"]["branch"],
        "site": config["html"]["baseurl"],
        "title": config["title"],
        "author": config["author"],
    }
    chinese = ROOT / "book" / "zh" / "_config.yml"
    if chinese.exists():
        config = yaml.safe_load(chinese.read_text("utf-8"))
        found |= {"title-zh": config["title"], "author-zh": config["author"]}
    return found


def need(name: str, value: str) -> str:
    """Return a value that can be written.

    Raises:
        ValueError: it cannot.
    """
    if name == "repository" and (not _URL.fullmatch(value) or value.endswith(".git")):
        raise ValueError(
            f"{value!r} is no address to clone from. Write it as https://github.com/you/fork: "
            "https, your name and the repository's, nothing after it, no .git."
        )
    if name == "site" and not re.fullmatch(r"https?://[\w.:-]+/([\w.-]+/)*", value):
        raise ValueError(
            f"{value!r} is no place for a site. Write it as https://you.github.io/fork/: with "
            "https and a slash at the end."
        )
    if name == "tag" and not _TAG.fullmatch(value):
        raise ValueError(f"{value!r} is no tag of a version. Write it as v0.2.0 or v0.2.0rc1.")
    if name == "branch" and not re.fullmatch(r"[\w./-]+", value):
        raise ValueError(f"{value!r} is no name of a branch, such as main.")
    unquoted = name.startswith("author") and re.search(r": | #|^\W", value)
    if unquoted or value != value.strip() or not value or re.search(r'["\\\n]', value):
        raise ValueError(
            f"The {name} {value!r} cannot be written into every file. Leave out quotes, "
            "backslashes, line breaks and spaces around it, and colons in names."
        )
    return value


def changes(old: dict[str, str], new: dict[str, str]) -> list[Change]:
    """Return what is to be done to every file, in order."""
    made: list[Change] = []
    if old["repository"] != new["repository"]:
        made.append(_repository(old["repository"], new["repository"]))
    if old["site"] != new["site"]:
        made.append(_site(old["site"], new["site"]))
    if old["branch"] != new["branch"]:
        made.append(_branch(new["repository"], old["branch"], new["branch"]))
    if old["tag"] != new["tag"]:
        made.append(_version(old["tag"][1:], new["tag"][1:]))
    for name in ("title", "title-zh"):
        if name in old and old[name] != new[name]:
            made.append(_title(old[name], new[name]))
    for name in ("author", "author-zh"):
        if name in old and old[name] != new[name]:
            made.append(_author(old[name], new[name]))
    return made


def _title(old: str, new: str) -> Change:
    opens = r'^title: "|^# |^description = "|^"""|^ *"# '
    place = re.compile(rf'({opens}){re.escape(old)}(?=$|["\\.])', re.M)
    homes = re.compile(
        r"(book/zh/)?_config\.yml|CITATION\.cff|README\.md|pyproject\.toml"
        r"|book/\w+/index\.ipynb|src/backbone/__init__\.py"
    )

    def change(path: str, text: str) -> str:
        return place.sub(lambda m: m[1] + new, text) if homes.fullmatch(path) else text

    return change


def _slug(repository: str) -> str:
    return repository.partition("github.com/")[2]


def _repository(old: str, new: str) -> Change:
    def change(path: str, text: str) -> str:
        if _slug(old):
            mirrors = re.compile(rf"({'|'.join(_MIRRORS)}){re.escape(_slug(old))}{_END}")
            if mirrors.search(text) and not _slug(new):
                raise ValueError(
                    f"{path} links to a service that reads from GitHub, and {new} is elsewhere. "
                    "Take that link out first."
                )
            text = mirrors.sub(lambda match: match[1] + _slug(new), text)
        return re.sub(re.escape(old) + _END, lambda match: new, text)

    return change


def _branch(repository: str, old: str, new: str) -> Change:
    slug = re.escape(_slug(repository))
    before = [re.escape(repository) + r"/(?:blob|tree|raw|edit)/"]
    if slug:
        before += [mirror + slug + r"/(?:blob/|tree/)?" for mirror in _MIRRORS]
    link = re.compile(rf"({'|'.join(before)}){re.escape(old)}(?=[/?#)\s\"'\\]|$)", re.M)
    setting = re.compile(rf"^(  branch: ){re.escape(old)}$", re.M)
    trigger = re.compile(rf"(branches: \[){re.escape(old)}(?=[\],])")

    def change(path: str, text: str) -> str:
        text = link.sub(lambda match: match[1] + new, text)
        if path.endswith("_config.yml"):
            text = setting.sub(lambda match: match[1] + new, text)
        if path.startswith(".github/workflows/"):
            text = trigger.sub(lambda match: match[1] + new, text)
        return text

    return change


def _pages(repository: str) -> str:
    """Return where GitHub publishes the pages of a repository; "" for one that is elsewhere."""
    owner, _, name = _slug(repository).partition("/")
    return f"https://{owner}.github.io/{name}/" if name else ""


def _site(old: str, new: str) -> Change:
    place = re.compile(rf"{re.escape(old.rstrip('/'))}(?![\w-])/?")

    def change(path: str, text: str) -> str:
        return place.sub(lambda match: new if match[0].endswith("/") else new.rstrip("/"), text)

    return change


def _version(old: str, new: str) -> Change:
    places = {
        "pyproject.toml": rf'^(version = "){re.escape(old)}(?=")',
        "CITATION.cff": rf"^(version: \"?){re.escape(old)}(?=\"?$)",
        ".ipynb": rf"(git clone -q --depth 1 -b v){re.escape(old)}(?= )",
    }

    def change(path: str, text: str) -> str:
        for end, pattern in places.items():
            if path.endswith(end) and (end == ".ipynb" or path == end):
                text = re.sub(pattern, lambda match: match[1] + new, text, flags=re.M)
        return text

    return change


def _author(old: str, new: str) -> Change:
    name = re.compile(rf'(^author: |name: "|© \d{{4}} ){re.escape(old)}(?=$|"|[.。])', re.M)

    def change(path: str, text: str) -> str:
        if path.endswith("_config.yml") or path == "CITATION.cff":
            return name.sub(lambda match: match[1] + new, text)
        return text

    return change


def texts() -> dict[str, str]:
    """Return every text file that may name the book: {path: content}, line ends as they are.

    Not the tools, nor the tests, which read the settings; their examples are of other places.
    """
    found = {}
    for path in (path for path in _paths() if not path.startswith(("tools/", "tests/"))):
        try:
            text = (ROOT / path).read_bytes().decode("utf-8")
        except (UnicodeDecodeError, OSError):
            continue  # a picture, or a link that leads nowhere
        if "\0" not in text:
            found[path] = text
    return found


def _paths() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0 and (ROOT / ".git").exists():
        return sorted({name for name in done.stdout.decode("utf-8").split("\0") if name})
    return sorted(  # an archive without git
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if path.is_file() and not SKIPPED & set(path.relative_to(ROOT).parts)
    )


def fingerprints() -> dict[tuple[str, str], str]:
    """Return the hash of each piece of English prose: {(page, cell): hash}."""
    pages = [*ROOT.glob("book/en/*.ipynb"), *ROOT.glob("book/en/*.md")]
    return {
        (page.name, cell): fingerprint(text)
        for page in pages
        for cell, text in english_prose(page).items()
    }


def rebrand(wanted: dict[str, str]) -> list[str]:
    """Write new values everywhere.

    Args:
        wanted: name of a setting → its new value; see `settings`.

    Returns:
        The files that changed.

    Raises:
        ValueError: a value cannot be written; nothing is changed then.
    """
    old = settings()
    for name, value in wanted.items():
        need(name, value)
        if name not in old:
            raise ValueError(f"There is no Chinese edition here, so no {name} to set.")
    new = old | wanted
    if "site" not in wanted and old["site"] == _pages(old["repository"]):
        new["site"] = _pages(new["repository"]) or old["site"]  # as GitHub will publish it
    before = texts()
    after = dict(before)
    for change in changes(old, new):
        after = {path: change(path, text) for path, text in after.items()}
    known = fingerprints()
    changed = _write(before, after)

    renewed = {known[key]: now for key, now in fingerprints().items() if now != known[key]}
    if renewed:
        hashes = re.compile("|".join(renewed))
        chinese = {path: text for path, text in after.items() if path.startswith("book/zh/")}
        mended = {
            path: hashes.sub(lambda match: renewed[match[0]], text)
            for path, text in chinese.items()
        }
        changed += _write(chinese, mended)
    return sorted(set(changed))


def _write(before: dict[str, str], after: dict[str, str]) -> list[str]:
    changed = [path for path in before if after[path] != before[path]]
    for path in changed:
        (ROOT / path).write_bytes(after[path].encode("utf-8"))
    return changed


def disagreements() -> list[str]:
    """Return a line for every place that says something else than the settings."""
    said = settings()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    readme = (ROOT / "README.md").read_text("utf-8")
    places = [
        ("_config.yml, repository.url", config["repository"]["url"], said["repository"]),
        ("CITATION.cff, repository-code", citation["repository-code"], said["repository"]),
        ("CITATION.cff, version", f"v{citation['version']}", said["tag"]),
        ("CITATION.cff, title", citation["title"], said["title"]),
        ("CITATION.cff, author", citation["authors"][0].get("name"), said["author"]),
        ("README.md, heading", readme.partition("\n")[0].removeprefix("# "), said["title"]),
    ]
    chinese = ROOT / "book" / "zh" / "_config.yml"
    if chinese.exists():
        settings_there = yaml.safe_load(chinese.read_text("utf-8"))
        theirs, chinese_site = settings_there["repository"], settings_there["html"]["baseurl"]
        places += [
            ("book/zh/_config.yml, repository.url", theirs["url"], said["repository"]),
            ("book/zh/_config.yml, repository.branch", theirs["branch"], said["branch"]),
            ("book/zh/_config.yml, html.baseurl", chinese_site, said["site"]),
        ]
    found = [f"{place}: {is_!r}, not {should!r}" for place, is_, should in places if is_ != should]
    if said["author"] not in config["html"].get("extra_footer", said["author"]):
        found.append(f"_config.yml: the footer does not name {said['author']!r}")
    for path in sorted(ROOT.glob("book/*/*.ipynb")):
        setup = next((c for c in read_notebook(path).cells if c.get("id") == CELL_ID), None)
        if setup is None or setup.source != setup_source(ROOT / "pyproject.toml", path.parent.name):
            found.append(f"{path.relative_to(ROOT)}: its setup cell is not that of setup_cell.py")
    into_book = re.compile(rf"(?:{'|'.join(_MIRRORS)})([\w.-]+/[\w.-]+)/\S*book/")
    for path, text in texts().items():
        if path.endswith((".md", ".yml", ".cff")) or path.startswith("book/"):
            others = sorted(
                {slug for slug in into_book.findall(text) if slug != _slug(said["repository"])}
            )
            found += [f"{path}: a link to {slug}, not to this repository" for slug in others]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repository", help="https://github.com/you/fork")
    parser.add_argument(
        "--site", help="https://you.github.io/fork/: where it is published; follows --repository"
    )
    parser.add_argument("--branch", help="that links and Colab read from")
    parser.add_argument("--title")
    parser.add_argument("--title-zh", help="of the Chinese edition")
    parser.add_argument("--author")
    parser.add_argument("--author-zh", help="as the Chinese edition names them")
    parser.add_argument("--tag", help="v0.2.0: the version, which notebooks fetch in Colab")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if in two minds"
    )
    given = vars(parser.parse_args(arguments))
    only_check = given.pop("check")
    wanted = {name.replace("_", "-"): value for name, value in given.items() if value is not None}
    try:
        if only_check and wanted:
            raise ValueError("--check changes nothing: call it without new values.")
        if not only_check and not wanted:
            raise ValueError("Say what to set, such as --repository https://github.com/you/fork.")
        changed = rebrand(wanted)
        found = disagreements()
    except (ValueError, OSError) as error:
        print(f"rebrand.py: {error}", file=sys.stderr)
        return 1
    if wanted:
        print(*[f"changed {path}" for path in changed] or ["nothing to change"], sep="\n")
    print(*[f"{name}: {value}" for name, value in settings().items()], sep="\n")
    if found:
        print("These places disagree:", *found, sep="\n  ", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
