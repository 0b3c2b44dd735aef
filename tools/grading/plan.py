"""Which cells of a submission run, and in what order.

The chapter's own cells up to the first exercise were run once for everyone. What remains: the
student's answers, the student's own cells around them, and the chapter's cells in between. Of
own cells further up only those run that the answers need, and what they change in the chapter's
names is put back: in the student's notebook the chapter's later cells did that.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field

from grading.book import Chapter
from grading.read import Code, same


@dataclass
class Step:
    """A cell to run.

    Attributes:
        code: its source.
        cell: number in the submission, from 1; 0 for a cell of the chapter.
        exercises: what it hands in.
        keep: names of the chapter that it may not change for the cells after it.
    """

    code: str
    cell: int = 0
    exercises: list[str] = field(default_factory=list)
    keep: bool = False


def plan(chapter: Chapter, cells: list[Code]) -> list[Step]:
    """Return the steps for a submission."""
    book = {same(cell.source): place for place, cell in enumerate(chapter.cells)}
    homes = {name: place for place, cell in enumerate(chapter.cells) for name in cell.exercises}
    start = len(chapter.before)
    placed: list[tuple[int, int, int, Step]] = []
    place, seen = -1, set()
    for cell in cells:
        known = [homes[name] for name in cell.exercises if name in homes]
        original = book.get(same(cell.source))
        if known:
            place = max(place, min(known))
            step = Step(cell.source, cell.number, [n for n in cell.exercises if n in homes])
            placed.append((place, 1, cell.number, step))
        elif original is not None:
            place = max(place, original)
            seen.add(original)
        else:
            placed.append((place, 1, cell.number, Step(cell.source, cell.number)))
    # What the chapter does between exercises runs, whether the student kept the cell or not.
    placed += [
        (i, 0, 0, Step(cell.source))
        for i, cell in enumerate(chapter.cells)
        if i >= start and not cell.exercises
    ]
    placed.sort(key=lambda item: item[:3])
    early = [s for where, _, _, s in placed if where < start - 1 and not s.exercises]
    late = [s for where, _, _, s in placed if where >= start - 1 or s.exercises]
    known = set(dir(builtins)).union(*(_names(cell.source)[0] for cell in chapter.before))
    return needed(early, late, known) + late


def needed(early: list[Step], late: list[Step], known: set[str]) -> list[Step]:
    """Return those of the early steps that bind a name the late ones read and nothing else binds.

    Args:
        early: own cells in the chapter proper.
        late: answers and what stands around them.
        known: names that are there anyway.
    """
    bound, read = set(known), set()
    for step in late:
        binds, reads = _names(step.code)
        bound |= binds
        read |= reads
    wanted, chosen = read - bound, []
    for step in reversed(early):
        binds, reads = _names(step.code)
        if binds & wanted:
            wanted |= reads - known
            step.keep = True
            chosen.insert(0, step)
    return chosen


def _names(code: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell binds and those that it reads, roughly."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in code.splitlines()]
    try:
        nodes = list(ast.walk(ast.parse("\n".join(lines))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()
    binds, reads = set(), set()
    for node in nodes:
        if isinstance(node, ast.Name):
            (reads if isinstance(node.ctx, ast.Load) else binds).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            binds.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            binds |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    return binds, reads
