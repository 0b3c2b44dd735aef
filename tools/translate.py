"""Keep the Chinese edition true to the English one, cell by cell.

    python tools/translate.py todo [page …] > work.md   what is to be translated, as text
    python tools/translate.py put work.md               take the translations from that text
    python tools/translate.py sync                      copy code, outputs and order from English
    python tools/translate.py check                     list stale cells; exit status 1 if any

English is the one source of code and outputs. A Chinese cell remembers the hash of the English
prose it translates; when that changes, `check` names file and cell, and `todo` prints the new
English beside the old Chinese. Python inside ``<details>`` is code: it is copied, not translated.

The text of `todo` and `put` has one part per cell, opened by ``<!-- page cell -->``; the alt text
of a figure is the part ``<!-- page cell alt -->``. Write the Chinese in place of the English.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from myst_parser.mdit_to_docutils.base import compute_unique_slug
from nbformat import NotebookNode

from answers import checked
from cells import read_notebook, save_notebook, save_text
from setup_cell import CELL_ID, setup_source

ROOT = Path(__file__).resolve().parent.parent
KEY = "translates"  # in a cell's metadata: hash of the English it translates
PART = re.compile(r"^<!-- (?P<page>[\w-]+) (?P<cell>[\w-]+)(?P<alt> alt)? -->\n", re.M)
SECTION = re.compile(r"^<!-- translates (?P<cell>[\w-]+) (?P<hash>\w*) -->\n", re.M)
FENCE = re.compile(r"^```python\n.*?^```$", re.M | re.S)
WAS = re.compile(r"^<!-- was:\n.*?^-->$", re.M | re.S)  # the old Chinese, shown by `todo`
HEADING = re.compile(r"^(#{1,4}) (.+)$", re.M)
LINK = re.compile(r"\]\((?P<file>[\w-]+\.(?:ipynb|md))?#(?P<anchor>[^)\s]+)\)")


def fingerprint(english: str) -> str:
    """Return a hash of English prose; Python blocks do not count, they are copied."""
    prose = FENCE.sub("```python```", english).strip()
    return hashlib.sha256(prose.encode()).hexdigest()[:12]


# --- pages as parts: {cell id: text}; alt texts under "cell alt" ---------------------------------


@dataclass
class Part:
    """One piece of prose: its English, its Chinese ("" if there is none), and whether it is true.

    Attributes:
        page, cell: where it stands; for an alt text the cell ends in " alt".
        english, chinese: the texts.
        fresh: the Chinese translates this very English.
    """

    page: str
    cell: str
    english: str
    chinese: str
    fresh: bool


def slug(heading: str) -> str:
    """Return the anchor that the site gives a heading: "计数到 18" → "计数到-18"."""
    tree = SyntaxTreeNode(MarkdownIt("commonmark").parse(f"# {heading}"))
    return compute_unique_slug(tree.children[0], [])


def sections(text: str) -> dict[str, str]:
    """Split an English Markdown page at its headings: {anchor: text}."""
    starts = list(HEADING.finditer(FENCE.sub(lambda m: " " * len(m[0]), text)))
    ends = [m.start() for m in starts[1:]] + [len(text)]
    if not starts or text[: starts[0].start()].strip():
        raise ValueError("A page must begin with its title.")
    parts: dict[str, str] = {}
    for start, end in zip(starts, ends, strict=True):
        name = re.sub(r"[^\w-]", "", slug(start[2])) or "part"
        while name in parts:
            name += "-again"
        parts[name] = text[start.start() : end].strip("\n")
    return parts


def english_prose(path: Path) -> dict[str, str]:
    """Return all prose of an English page: {cell: text}."""
    if path.suffix == ".md":
        return sections(path.read_text("utf-8"))
    prose = {}
    for cell in read_notebook(path).cells:
        if cell.cell_type == "markdown":
            prose[cell.id] = cell.source
        elif alt := alt_of(cell):
            prose[f"{cell.id} alt"] = alt
    return prose


def chinese_prose(path: Path) -> dict[str, tuple[str, str]]:
    """Return the prose of a Chinese page: {cell: (text, hash of the English it translates)}."""
    if not path.exists():
        return {}
    if path.suffix == ".md":
        pieces = SECTION.split(path.read_text("utf-8"))
        triples = zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)
        return {cell: (text.strip("\n"), known) for cell, known, text in triples}
    prose = {}
    for cell in read_notebook(path).cells:
        if cell.cell_type == "markdown":
            prose[cell.id] = (cell.source, cell.metadata.get(KEY, ""))
        elif alt := alt_of(cell):
            prose[f"{cell.id} alt"] = (alt, cell.metadata.get(KEY, ""))
    return prose


def alt_of(cell: NotebookNode) -> str:
    """Return the alt text in a cell's metadata, "" if there is none."""
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")


class Edition:
    """The Chinese pages in a folder beside the English ones.

    Args:
        english, chinese: the two folders.
    """

    def __init__(
        self, english: Path = ROOT / "book" / "en", chinese: Path = ROOT / "book" / "zh"
    ) -> None:
        self.english, self.chinese = english, chinese

    @property
    def pages(self) -> list[Path]:
        """The English pages."""
        return sorted(p for p in self.english.iterdir() if p.suffix in {".ipynb", ".md"})

    def parts(self, pages: list[str] | None = None) -> Iterator[Part]:
        """Return every part of these pages (all, if none is named).

        Raises:
            ValueError: there is no such page.
        """
        names = {path.stem for path in self.pages}
        if unknown := set(pages or ()) - names:
            missing, there = (", ".join(sorted(group)) for group in (unknown, names))
            raise ValueError(f"No page is called {missing}. There are: {there}.")
        for path in self.pages:
            if pages and path.stem not in pages:
                continue
            known = chinese_prose(self.chinese / path.name)
            for cell, english in english_prose(path).items():
                chinese, of = known.get(cell, ("", ""))
                if of == "missing":  # English stands there until somebody translates it
                    chinese = ""
                yield Part(path.stem, cell, english, chinese, of == fingerprint(english))

    def put(self, text: str) -> list[Part]:
        """Take translations from a text; return the parts that were taken.

        Raises:
            ValueError: a part names no cell of the book, or is still English.
        """
        pieces = PART.split(WAS.sub("", text))
        given = {}
        for page, cell, alt, body in zip(*[iter(pieces[1:])] * 4, strict=True):
            given[page, cell + (alt or "")] = body.strip("\n").strip()
        if not given:
            raise ValueError("No part begins with <!-- page cell -->.")
        known = {(p.page, p.cell): p for p in self.parts()}
        if lost := [" ".join(key) for key in given if key not in known]:
            raise ValueError(f"The English edition has no such cells: {', '.join(lost)}.")
        taken = []
        for key, body in given.items():
            part = known[key]
            if body == part.english.strip() and re.search(r"[a-z] [a-z]+ [a-z]+ ", body):
                raise ValueError(f"{' '.join(key)} is still English.")
            part.chinese, part.fresh = body, True
            taken.append(part)
        self._write([known[key] for key in known], {page for page, _ in given})
        return taken

    def sync(self) -> list[str]:
        """Copy code, outputs, order and links from English; return the pages that changed."""
        pages = {path.stem for path in self.pages if (self.chinese / path.name).exists()}
        return self._write(list(self.parts()), pages)

    def _write(self, parts: list[Part], pages: set[str]) -> list[str]:
        anchors = self._anchors(parts)
        changed = []
        for path in self.pages:
            if path.stem not in pages:
                continue
            own = {p.cell: p for p in parts if p.page == path.stem}
            target = self.chinese / path.name
            before = target.read_bytes() if target.exists() else b""
            if path.suffix == ".md":
                marks = [fingerprint(p.english) if p.fresh else "stale" for p in own.values()]
                texts = [
                    f"<!-- translates {p.cell} {mark} -->\n{self._linked(path, p, anchors)}"
                    for p, mark in zip(own.values(), marks, strict=True)
                ]
                save_text("\n\n".join(texts) + "\n", target)
            else:
                known = chinese_prose(target)
                save_notebook(self._notebook(path, own, known, anchors), target)
            if target.read_bytes() != before:
                changed.append(path.name)
        return changed

    def _notebook(
        self,
        path: Path,
        own: dict[str, Part],
        known: dict[str, tuple[str, str]],
        anchors: dict[tuple[str, str], str],
    ) -> NotebookNode:
        """Return the Chinese notebook: code and outputs of the English one, prose of the parts."""
        made = copy.deepcopy(read_notebook(path))
        for cell in made.cells:
            key = cell.id if cell.cell_type == "markdown" else f"{cell.id} alt"
            if key in own:
                part = own[key]
                mark = fingerprint(part.english) if part.fresh else known.get(key, ("", ""))[1]
                cell.metadata[KEY] = mark or "missing"
                if cell.cell_type == "markdown":
                    cell.source = self._linked(path, part, anchors)
                else:
                    cell.metadata["mystnb"]["image"]["alt"] = part.chinese or part.english
            if cell.id == CELL_ID:
                cell.source = setup_source(language="zh")
            elif cell.cell_type == "code" and checked(cell.source):
                cell.outputs, cell.execution_count = [], None  # "No answer yet" is English
        made.metadata.pop("backbone", None)  # English cells were run; these are their copies
        stamp = read_notebook(path).metadata.get("backbone")
        if stamp:
            made.metadata["backbone"] = stamp
        return nbformat.from_dict(made)

    def _linked(self, path: Path, part: Part, anchors: dict[tuple[str, str], str]) -> str:
        """Return a part's Chinese, with today's Python, its links leading to Chinese headings."""
        text = part.chinese or part.english
        blocks = FENCE.findall(part.english)
        if len(blocks) == len(FENCE.findall(text)):
            new = iter(blocks)
            text = FENCE.sub(lambda _: next(new), text)

        def lead(link: re.Match[str]) -> str:
            page = (link["file"] or path.name).partition(".")[0]
            anchor = anchors.get((page, link["anchor"]), link["anchor"])
            return f"]({link['file'] or ''}#{anchor})"

        return LINK.sub(lead, text)

    def _anchors(self, parts: list[Part]) -> dict[tuple[str, str], str]:
        """Return (page, anchor of an English heading) → anchor of its translation."""
        found = {}
        for part in parts:
            pair = [HEADING.findall(FENCE.sub("", t)) for t in (part.english, part.chinese)]
            if len(pair[0]) == len(pair[1]):
                for (_, english), (_, chinese) in zip(*pair, strict=True):
                    found[part.page, slug(english)] = slug(chinese)
        return found


# --- the command line ----------------------------------------------------------------------------


def todo(parts: list[Part]) -> str:
    """Return the parts to translate, as text; a stale one shows its old Chinese in a comment."""
    texts = []
    for part in parts:
        if not part.fresh:
            old = f"\n\n<!-- was:\n{part.chinese}\n-->" if part.chinese else ""
            texts.append(f"<!-- {part.page} {part.cell} -->\n{part.english}{old}\n")
    return "\n".join(texts)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["todo", "put", "sync", "check"])
    parser.add_argument("names", nargs="*", help="pages (todo, check) or text files (put)")
    given = parser.parse_args(arguments)
    edition = Edition()
    try:
        if given.what == "todo":
            print(todo(list(edition.parts(given.names))))
        elif given.what == "put":
            for name in given.names:
                taken = edition.put(Path(name).read_text("utf-8"))
                print(f"{name}: {len(taken)} parts taken")
        elif given.what == "sync":
            print("\n".join(edition.sync()) or "Nothing to do.")
        else:
            stale = [p for p in edition.parts(given.names) if not p.fresh]
            for part in stale:
                state = "stale" if part.chinese else "missing"
                print(f"book/zh/{part.page}: {part.cell} is {state}")
            return int(bool(stale))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
