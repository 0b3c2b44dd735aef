"""What others made is named with its licence: data in the repository, files in the site."""

import fnmatch
import re

from visiting import ROOT

NOTICES = (ROOT / "THIRD-PARTY.md").read_text("utf-8")
OURS = {"book.css", "page.js", "favicon.svg", "logo.svg", "card-en.png", "card-zh.png"}


def test_every_datasheet_is_named_with_its_licence():
    found = 0
    for sheet in (ROOT / "src/backbone/data").glob("*/README.md"):
        for title, body in re.findall(
            r"^## ([^`\n]+?) \(`.*?\n(.*?)(?=^## |\Z)", sheet.read_text("utf-8"), re.M | re.S
        ):
            licence = re.search(r"^\| Licence \| ([^,(|]+)", body, re.M)[1].strip()
            (row,) = [line for line in NOTICES.splitlines() if title.partition(":")[0] in line]
            print(f"{title}: {licence}")
            assert licence in row and str(sheet.parent.relative_to(ROOT)) in row
            found += 1
    assert found >= 6


def test_every_file_that_sphinx_copies_is_named(site):
    patterns = set(re.findall(r"`([^`]+)`", NOTICES.partition("## In the built site")[2]))
    static = site / "_static"
    unnamed = []
    for path in static.rglob("*"):
        name = path.relative_to(static).as_posix()
        if not path.is_file() or name in OURS or name.startswith("explorables/"):
            continue
        if not any(
            fnmatch.fnmatch(name, p) or (p.endswith("/") and name.startswith(p)) for p in patterns
        ):
            unnamed.append(name)
    print(f"{len(patterns)} names and patterns; unnamed: {unnamed}")
    assert unnamed == []
