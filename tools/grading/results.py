"""Rows of the table of grades: points, totals, notes."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from grading.book import Chapter
from grading.collect import Submission

MARKS = {"right": "✓", "wrong": "✗", "broken": "✗", "timeout": "✗", "died": "✗", "open": "…",
         "missing": "…"}  # fmt: skip
FIXED = ("student", "id", "file", "chapter")
TOTALS = ("score", "out of", "percent", "slips", "flags", "note")


@dataclass
class Row:
    """What came of one submission.

    Attributes:
        number: of the row, from 1.
        submission: what was handed in.
        chapter: of the book; None if none was recognised.
        verdicts: exercise → see `grading.runner.verdict`, state also "timeout", "died", "missing".
        flags: what a person should look at.
        notes: what else there is to know.
        worth: exercise → points.
        failed: the grader did, not the student; there are no points, not even none.
    """

    number: int
    submission: Submission
    chapter: Chapter | None = None
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worth: dict[str, float] = field(default_factory=dict)
    failed: bool = False

    def points(self, exercise: str) -> float:
        """Return the points for an exercise."""
        right = self.verdicts.get(exercise, {}).get("state") == "right"
        return self.worth.get(exercise, 1.0) if right else 0.0

    @property
    def score(self) -> float:
        """All points together."""
        return sum(self.points(name) for name in self.titles)

    @property
    def out_of(self) -> float:
        """The points that could be had; 0 where the chapter is not known."""
        return sum(self.worth.get(name, 1.0) for name in self.titles)

    @property
    def percent(self) -> float:
        """Score in percent."""
        return 100 * self.score / self.out_of if self.out_of else 0.0

    @property
    def titles(self) -> dict[str, str]:
        """The chapter's exercises and their headings."""
        return self.chapter.titles if self.chapter else {}

    @property
    def slips(self) -> list[str]:
        """Names of the mistakes that the checks recognised, such as "3: round-number"."""
        return [
            f"{name.rpartition('.')[2]}: {self.verdicts[name]['slip']}"
            for name in self.titles
            if self.verdicts.get(name, {}).get("slip")
        ]

    def fields(self) -> dict[str, str]:
        """Return everything that a table can show, by name."""
        points = {
            **{name: number(self.points(name)) for name in self.titles},
            "score": number(self.score),
            "percent": f"{self.percent:.0f}",
        }
        if self.failed:
            points = dict.fromkeys(points, "")
        return {
            "student": self.submission.student,
            "id": self.submission.id,
            "file": self.submission.file,
            "chapter": self.chapter.name if self.chapter else "",
            **points,
            "out of": number(self.out_of),
            "slips": "; ".join(self.slips),
            "flags": "; ".join(self.flags),
            "note": "; ".join(self.notes),
        }


def number(value: float) -> str:
    """Write points: 2, 2.5."""
    return f"{value:.10g}"


def note_duplicates(rows: list[Row]) -> None:
    """Say in each row whether its student handed in the chapter again, or files are equal."""
    students = Counter((r.submission.student, r.submission.id, r.chapter and r.chapter.name)
                       for r in rows)  # fmt: skip
    first: dict[bytes, Row] = {}
    for row in rows:
        key = (row.submission.student, row.submission.id, row.chapter and row.chapter.name)
        if students[key] > 1 and row.chapter:
            row.notes.append(f"one of {students[key]} submissions under this name")
        if any(said["state"] not in ("open", "missing") for said in row.verdicts.values()):
            twin = first.setdefault(row.submission.data, row)
            if twin is not row:
                row.notes.append(f"the same file, byte for byte, as {twin.submission.file}")


def table(rows: list[Row]) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of the table of grades and its rows."""
    exercises = dict.fromkeys(name for row in rows for name in row.titles)
    return [*FIXED, *exercises, *TOTALS], [row.fields() for row in rows]


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[dict[str, str]]) -> None:
    """Write a table in one step: after an interruption the old file is whole.

    It starts with the mark by which spreadsheets recognise UTF-8; names have accents.
    """
    columns = list(columns)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\r\n")
    writer.writerow({column: harmless(column) for column in columns})
    writer.writerows({key: harmless(value) for key, value in row.items()} for row in rows)
    write(path, "\ufeff" + text.getvalue())


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stay as they are."""
    cell = "".join(c if c.isprintable() or c == "\n" else " " for c in str(cell))
    if cell[:1] in ("=", "+", "-", "@"):
        try:
            float(cell)
        except ValueError:
            return "'" + cell
    return cell


def write(path: Path, text: str) -> None:
    """Write a file in one step."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
