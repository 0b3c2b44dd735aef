"""The book's own notebooks: what a submission is judged against."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from answers import exercise_cells
from cells import read_notebook
from grading.read import Code, code_cells

_TITLE = re.compile(r"^#+\s*(.+)$", re.M)


@dataclass(frozen=True)
class Chapter:
    """A notebook with exercises.

    Attributes:
        name: of the file, such as "residual-blocks".
        path: of the file.
        cells: its code cells.
        titles: exercise → its heading, in order.
        seconds: that its last run took, as `tools/run_notebooks.py` noted; 0 if it did not.
    """

    name: str
    path: Path
    cells: tuple[Code, ...] = field(repr=False)
    titles: dict[str, str]
    seconds: float = 0.0

    @property
    def before(self) -> tuple[Code, ...]:
        """The code that every submission shares: all before the first answer."""
        first = next(i for i, cell in enumerate(self.cells) if cell.exercises)
        return self.cells[:first]


def read_chapter(path: Path) -> Chapter | None:
    """Read a notebook of the book; None if there are no exercises in it.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        cells = tuple(code_cells(path.read_bytes()))
        notebook = read_notebook(path)
        prose = exercise_cells(notebook)
    except Exception as error:  # nbformat has many
        raise ValueError(f"The book's notebook {path} cannot be read: {error}") from error
    names = dict.fromkeys(name for cell in cells for name in cell.exercises)
    if not names:
        return None
    titles = {}
    for name in names:
        heading = _TITLE.search(prose[name].source) if name in prose else None
        titles[name] = heading[1].strip() if heading else name
    seconds = notebook.metadata.get("backbone", {}).get("seconds", 0)
    return Chapter(path.stem, path, cells, titles, seconds)


def read_book(place: Path) -> list[Chapter]:
    """Return the chapters with exercises of a folder, or the one of a file.

    Raises:
        ValueError: there is none.
    """
    paths = [place] if place.is_file() else sorted(place.glob("*.ipynb"))
    chapters = [chapter for path in paths if (chapter := read_chapter(path))]
    if not chapters:
        raise ValueError(
            f"{place} has no notebook with exercises. An exercise is a code cell that calls "
            'check("chapter.1", …) or hand_in("assignment.1", …).'
        )
    return chapters


def chapter_of(names: Iterable[str], chapters: list[Chapter]) -> Chapter | None:
    """Return the chapter whose exercises a submission hands in; the one with most, None for none.

    The name of the file does not count: students rename files.
    """
    names = list(names)
    known = Counter(c.name for c in chapters for name in names if name in c.titles)
    if not known:
        return None
    best = known.most_common(1)[0][0]
    return next(chapter for chapter in chapters if chapter.name == best)
