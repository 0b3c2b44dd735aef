"""Tables that a learning platform imports.

Canvas imports a table with the columns Student, ID, SIS User ID, SIS Login ID, Section and one
column for each assignment, "Name (id)". Export the gradebook and name that file as the roster:
its columns come back, with the grades in the assignment's column. Students are found by ID, which
Canvas writes into the names of the files.

Moodle imports the grading worksheet of an assignment: Identifier ("Participant 4711"), Grade and
Feedback comments; it wants the column Last modified (grade), too, so download the worksheet and
name it as the roster. Participants are found by the number in the names of their folders. For the
gradebook, a roster with Email address or ID number and Full name gets two more columns.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

from grading.results import Row, number, table

CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
_PARTICIPANT = re.compile(r"(\d+)\s*$")


@dataclass(frozen=True)
class Sheet:
    """A table for a platform: columns, rows, and what the teacher should know about it."""

    columns: list[str]
    rows: list[dict[str, str]]
    remarks: list[str]


def read_roster(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a list of students as a platform exported it.

    Raises:
        ValueError: it is not there or no table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"The roster {path} cannot be read: {error}. Name a CSV file in UTF-8, as Canvas "
            "(Gradebook, Export) or Moodle (Download grading worksheet) writes it."
        ) from None
    lines = [line for line in csv.reader(text.splitlines()) if any(line)]
    if len(lines) < 2:
        raise ValueError(f"The roster {path} has no rows.")
    columns = [column.strip() for column in lines[0]]
    return columns, [dict(zip(columns, line, strict=False)) for line in lines[1:]]


def best(rows: list[Row]) -> list[Row]:
    """Return one row for each student and chapter: the one with the most points."""
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if row.chapter and not row.failed:
            key = (row.submission.id, row.submission.student, row.chapter.name)
            if key not in found or row.score > found[key].score:
                found[key] = row
    return list(found.values())


def canvas(
    rows: list[Row],
    roster: tuple[list[str], list[dict[str, str]]] | None = None,
    column: str = "",
) -> Sheet:
    """Return what Canvas imports.

    Args:
        rows: graded.
        roster: columns and rows of the exported gradebook, if there is one.
        column: of the assignment, as in the export; for a single chapter only.

    Raises:
        ValueError: the roster is none of Canvas's, or has no such column.
    """
    chosen, remarks = best(rows), _left_out(rows)
    chapters = list(dict.fromkeys(row.chapter.name for row in chosen))
    if column and len(chapters) > 1:
        raise ValueError(
            f"--column names one column, but there are {len(chapters)} chapters: "
            f"{', '.join(chapters)}. Grade one chapter at a time."
        )
    names = {chapter: column or chapter for chapter in chapters}
    if roster is None:
        people: dict[tuple[str, str], dict[str, str]] = {}
        for row in chosen:
            key = (row.submission.student, row.submission.id)
            line = people.setdefault(key, {"Student": key[0], "ID": key[1]})
            line[names[row.chapter.name]] = number(row.score)
        return Sheet([*CANVAS, *names.values()], list(people.values()), remarks)

    columns, lines = roster
    _need(columns, CANVAS[:2], "Canvas: Gradebook, Export")
    for chapter, name in names.items():
        if name not in columns:
            alike = [c for c in columns if re.fullmatch(rf"{re.escape(name)} \(\d+\)", c)]
            if not alike and column:
                raise ValueError(
                    f"The roster has no column {column!r}. Choose from: "
                    f"{', '.join(c for c in columns if c not in CANVAS)}"
                )
            names[chapter] = alike[0] if alike else name
    most = next((x for x in lines if x.get("Student", "").strip() == "Points Possible"), {})
    by_id = {(r.submission.id, r.chapter.name): r for r in chosen if r.submission.id}
    used, filled = set(), []
    for line in lines:
        line = {key: line.get(key, "") for key in [*CANVAS, *names.values()]}
        for chapter, name in names.items():
            row = by_id.get((line["ID"].strip(), chapter))
            if row:
                used.add(row.number)
                line[name] = number(_scaled(row, most.get(name, "")))
        filled.append(line)
    kept = [c for c in columns if c in CANVAS]
    remarks += _not_found([row for row in chosen if row.number not in used])
    return Sheet([*kept, *names.values()], filled, remarks)


def moodle(
    rows: list[Row],
    roster: tuple[list[str], list[dict[str, str]]] | None = None,
    feedback: dict[int, str] | None = None,
) -> Sheet:
    """Return what Moodle imports.

    Args:
        rows: graded, of one chapter.
        roster: columns and rows of the grading worksheet, or of a list of participants.
        feedback: row → text.

    Raises:
        ValueError: more than one chapter, or a roster without a column to find students by.
    """
    chosen, remarks, said = best(rows), _left_out(rows), feedback or {}
    if len({row.chapter.name for row in chosen}) > 1:
        raise ValueError("A Moodle assignment is one chapter. Grade one chapter at a time.")
    if roster is None:
        lines = [
            {
                "Identifier": f"Participant {row.submission.id}" if row.submission.id else "",
                "Full name": row.submission.student,
                "Grade": number(row.score),
                "Feedback comments": said.get(row.number, ""),
            }
            for row in chosen
        ]
        remarks.append(
            "Moodle imports its own grading worksheet only: download it and name it with --roster."
        )
        return Sheet(["Identifier", "Full name", "Grade", "Feedback comments"], lines, remarks)

    columns, lines = roster
    by_id = {row.submission.id: row for row in chosen if row.submission.id}
    by_name = {_plain(row.submission.student): row for row in chosen}
    ways = ({"Identifier"}, {"Full name"}, {"First name", "Last name"})
    if not any(way <= set(columns) for way in ways):
        raise ValueError(
            "The roster has neither Identifier nor Full name (or First name and Last name). "
            "In Moodle: the assignment, Grading action, Download grading worksheet."
        )
    used, filled = set(), []
    for line in lines:
        line = dict(line)
        participant = _PARTICIPANT.search(line.get("Identifier", ""))
        name = line.get("Full name") or f"{line.get('First name')} {line.get('Last name')}"
        row = by_id.get(participant[1]) if participant else by_name.get(_plain(name))
        if row:
            used.add(row.number)
            line["Grade"] = number(_scaled(row, line.get("Maximum Grade", "")))
            line["Feedback comments"] = said.get(row.number, "")
        filled.append(line)
    remarks += _not_found([row for row in chosen if row.number not in used])
    return Sheet(list(dict.fromkeys([*columns, "Grade", "Feedback comments"])), filled, remarks)


def own(rows: list[Row], path: Path) -> Sheet:
    """Return a table by a mapping of one's own, a JSON file {column: field}.

    Fields are the columns of the table of grades: "student", "id", "score", "percent",
    "residual-blocks.3" …

    Raises:
        ValueError: there is no such file or field.
    """
    known, lines = table(rows)
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f'--map takes canvas, moodle, or a JSON file such as {{"Name": "student", "Mark": '
            f'"percent"}}; {path} is none: {error}'
        ) from None
    if not isinstance(mapping, dict):
        raise ValueError(f'{path} must hold {{"column": "field", …}}.')
    unknown = [str(x) for x in mapping.values() if x not in known]
    if unknown:
        raise ValueError(f"No field {', '.join(unknown)}. Choose from {', '.join(known)}.")
    shown = [{column: line.get(x, "") for column, x in mapping.items()} for line in lines]
    return Sheet(list(mapping), shown, [])


def _scaled(row: Row, most: str) -> float:
    """Return the points of a row on the platform's scale, if it has one."""
    try:
        return round(row.score / row.out_of * float(most), 2) if row.out_of else 0.0
    except ValueError:
        return row.score


def _need(columns: list[str], wanted: tuple[str, ...], where: str) -> None:
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise ValueError(f"The roster has no column {', '.join(missing)}. Export it in {where}.")


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _left_out(rows: list[Row]) -> list[str]:
    chosen = {row.number for row in best(rows)}
    lost = [row.submission.file for row in rows if not row.chapter or row.failed]
    others = [row for row in rows if row.number not in chosen]
    again = [row.submission.file for row in others if row.submission.file not in lost]
    remarks = []
    if again:
        remarks.append(f"Handed in more than once, the best counts; left out: {', '.join(again)}")
    if lost:
        remarks.append(f"Not graded, and not in the table: {', '.join(lost)}")
    return remarks


def _not_found(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    names = ", ".join(f"{r.submission.student} ({r.submission.id or 'no id'})" for r in rows)
    return [f"Not on the roster, so not in the table: {names}"]
