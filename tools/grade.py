"""Check a class's notebooks: a table of grades, and a page of feedback for each (``make grade``).

    python tools/grade.py submissions grades.csv
    python tools/grade.py submissions grades.csv --seed 42 --points residual-blocks.6=2
    python tools/grade.py submissions grades.csv --map canvas --roster export.csv
    python tools/grade.py submissions grades.csv --assignment midterm.ipynb --checks checks

Grading runs the students' code. It runs in processes that are locked in as far as this system can
(the first line says how far); for strangers' code use a throw-away machine or container.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from grading import feedback, lms
from grading.book import Chapter, chapter_of, read_book
from grading.collect import Submission, collect
from grading.plan import Step, plan
from grading.pool import ChapterFailed, Settings, grade_chapter
from grading.read import Unreadable, code_cells, same, seeds_in
from grading.results import Row, note_duplicates, table, write_csv
from grading.suspicious import suspicions

WINDOWS = os.name == "nt"
ROOT = Path(__file__).resolve().parent.parent
MIDDLE = {"missing": "no cell for", "open": "no answer to"}


def prepare(
    number: int, submission: Submission, chapters: list[Chapter], seed: int = 0
) -> tuple[Row, list[Step]]:
    """Read a submission and plan what of it will run.

    Returns:
        Its row, so far without verdicts, and the steps; none where nothing can be graded.
    """
    row = Row(number, submission)
    if submission.late:
        row.notes.append("late")
    try:
        if submission.problem:
            raise Unreadable(submission.problem)
        cells = code_cells(submission.data)
    except Unreadable as unreadable:
        row.notes.append(str(unreadable))
        return row, []
    names = [name for cell in cells for name in cell.exercises]
    row.chapter = chapter_of(names, chapters)
    if row.chapter is None:
        known = ", ".join(chapter.name for chapter in chapters)
        row.notes.append(
            f"Hands in other exercises ({', '.join(dict.fromkeys(names))}); known are: {known}"
            if names
            else "No cell calls check or hand_in: the answer cells are missing."
        )
        return row, []
    if elsewhere := [name for name in dict.fromkeys(names) if name not in row.chapter.titles]:
        row.notes.append(f"also hands in {', '.join(elsewhere)}, not of {row.chapter.name}")
    seeds = {s for c in cells if "check(" in c.source for s in seeds_in(c.source)} - {0}
    if seeds - {seed}:
        row.notes.append(f"made for class seed {sorted(seeds)[0]}, graded with {seed}")
    book = {same(cell.source) for cell in row.chapter.cells}
    own = [cell.source for cell in cells if same(cell.source) not in book]
    row.flags += dict.fromkeys(found for source in own for found in suspicions(source))
    return row, plan(row.chapter, cells)


def enter(row: Row, report: dict[str, Any] | None, steps: list[Step]) -> None:
    """Put what was found out about a submission into its row."""
    if report is None:
        row.failed = True
        row.notes.append("The grader itself failed on this one; grade it by hand.")
        report = {"exercises": {}, "flags": [], "notes": []}
    there = {name for step in steps for name in step.exercises}
    for name in row.titles:
        state = "broken" if name in there else "missing"
        said = {"state": state, "en": "It was not reached.", "zh": "没有运行到这里。", "slip": ""}
        row.verdicts[name] = report["exercises"].get(name, said)
    row.flags = list(dict.fromkeys([*row.flags, *report["flags"]]))
    row.notes += report["notes"]
    for state, words in MIDDLE.items():
        if names := [n.rpartition(".")[2] for n in row.titles if row.verdicts[n]["state"] == state]:
            row.notes.append(f"{words} {', '.join(names)}")
    for state, words in {"timeout": "stopped for time", "died": "ended Python"}.items():
        if names := [n.rpartition(".")[2] for n in row.titles if row.verdicts[n]["state"] == state]:
            row.notes.append(f"{words} in {', '.join(names)}")


def grade(
    submissions: list[Submission],
    chapters: list[Chapter],
    settings: Settings,
    worth: dict[str, float] | None = None,
) -> list[Row]:
    """Grade submissions; every one gets a row.

    Args:
        submissions: of any of the chapters.
        chapters: of the book.
        settings: how.
        worth: exercise → points, where it is not one.
    """
    rows, plans = [], {}
    for number, submission in enumerate(submissions, start=1):
        row, steps = prepare(number, submission, chapters, settings.seed)
        row.worth = worth or {}
        rows.append(row)
        if row.chapter:
            plans[number] = steps
    with tqdm(total=len(rows), unit="notebook", desc="grading") as bar:
        bar.update(len(rows) - len(plans))
        for chapter in chapters:
            mine = {n: steps for n, steps in plans.items() if rows[n - 1].chapter is chapter}
            if mine:
                _grade_chapter(chapter, mine, rows, settings, bar)
    note_duplicates(rows)
    return rows


def _grade_chapter(
    chapter: Chapter, plans: dict[int, list[Step]], rows: list[Row], settings: Settings, bar: tqdm
) -> None:
    left = dict(plans)

    def ready(seconds: float, words: list[str]) -> None:
        bar.write(f"{chapter.name} ran in {seconds:.0f} s. Protected by: {', '.join(words)}.")

    def done(number: int, report: dict[str, Any] | None) -> None:
        enter(rows[number - 1], report, left.pop(number))
        bar.update()

    bar.set_description(chapter.name)
    try:
        grade_chapter(chapter, plans, settings, ready, done)
    except ChapterFailed as failed:
        bar.write(f"{chapter.name}: {failed}", file=sys.stderr)
        for number, steps in left.items():
            enter(rows[number - 1], None, steps)
            rows[number - 1].notes.append(str(failed))
            bar.update()


def read_points(texts: list[str], chapters: list[Chapter]) -> dict[str, float]:
    """Read ``residual-blocks.6=2``.

    Raises:
        ValueError: it is written otherwise, or there is no such exercise.
    """
    worth = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            points = float(value)
        except ValueError:
            points = -1.0
        if not 0 <= points < 1e6:
            raise ValueError(f"--points {text}: write such as --points residual-blocks.6=2.")
        if not any(name in chapter.titles for chapter in chapters):
            known = ", ".join(name for chapter in chapters for name in chapter.titles)
            raise ValueError(f"--points: there is no exercise {name!r}. Choose from {known}.")
        worth[name] = points
    return worth


def export(rows: list[Row], given: argparse.Namespace, out: Path) -> Path:
    """Write the table for a platform beside the table of grades and return its path.

    Raises:
        ValueError: the roster, the column or the mapping does not fit.
    """
    roster = lms.read_roster(given.roster) if given.roster else None
    if given.map == "canvas":
        sheet, kind = lms.canvas(rows, roster, given.column), "canvas"
    elif given.map == "moodle":
        texts = {row.number: _short_feedback(row, given.language) for row in rows}
        sheet, kind = lms.moodle(rows, roster, texts), "moodle"
    else:
        sheet, kind = lms.own(rows, Path(given.map)), "mapped"
    path = out.with_name(f"{out.stem}.{kind}.csv")
    write_csv(path, sheet.columns, sheet.rows)
    for remark in sheet.remarks:
        print(remark, file=sys.stderr)
    return path


def _short_feedback(row: Row, language: str) -> str:
    lines = []
    for name, heading in row.titles.items():
        said = row.verdicts[name]
        text = said.get(language) if said["state"] != "missing" else ""
        lines.append(f"{feedback.MARKS[said['state']]} {heading}: {text}".rstrip(": "))
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("submissions", type=Path, help="folder with the collected notebooks")
    parser.add_argument("out", type=Path, nargs="?", default=Path("grades.csv"))
    parser.add_argument("--seed", type=int, default=0, help="of the class, as in make student")
    parser.add_argument("--points", action="append", default=[], metavar="EXERCISE=POINTS")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for an exercise (30)")
    parser.add_argument("--memory", type=int, default=2048, help="MB for a notebook (2048)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--book", type=Path, default=ROOT / "book" / "en")
    parser.add_argument("--assignment", type=Path, help="a notebook of your own, not the book's")
    parser.add_argument("--checks", type=Path, help="folder with your own checks")
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="of the feedback")
    parser.add_argument("--map", help="canvas, moodle, or a JSON file {column: field}")
    parser.add_argument("--roster", type=Path, help="list of students, as the platform exports it")
    parser.add_argument("--column", default="", help="Canvas's column, such as 'Blocks (1234)'")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except ValueError as error:
        print(f"grade.py: {error}", file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    if WINDOWS:
        raise ValueError(
            "Windows cannot lock in a process of another's code the way this needs. Use WSL: open "
            "Ubuntu, go to the same folder, and run the same command."
        )
    out = given.out
    pages = out.parent / "feedback"
    if str(given.submissions) in ("", "."):  # make passes on what is missing as ""
        raise ValueError("Name the folder of submissions: make grade SUBMISSIONS=folder")
    if out.suffix.lower() != ".csv":
        raise ValueError(f"The table of grades is a CSV file, so OUT must end in .csv; got {out}.")
    if out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise ValueError(f"{out} cannot be written. Name a file in a folder that exists.")
    if given.timeout <= 0 or given.memory < 64 or given.jobs < 1:
        raise ValueError("--timeout must be above 0, --memory at least 64, --jobs at least 1.")
    if given.checks and not given.checks.is_dir():
        raise ValueError(f"There is no folder {given.checks} with checks.")
    if given.assignment and not given.assignment.is_file():
        raise ValueError(f"There is no notebook {given.assignment}.")
    chapters = read_book(given.assignment or given.book)
    worth = read_points(given.points, chapters)
    if given.map not in (None, "canvas", "moodle") and not Path(given.map).is_file():
        raise ValueError(f"--map takes canvas, moodle or a JSON file; no file {given.map}.")
    if given.roster:
        lms.read_roster(given.roster)  # now, not after an hour of grading
    leave_out = (out, pages, *out.parent.glob(f"{out.stem}.*.csv"), *filter(None, [given.roster]))
    found = collect(given.submissions, leave_out)
    settings = Settings(given.timeout, given.memory * 2**20, given.jobs, given.seed, given.checks,
                        given.language)  # fmt: skip
    print("Grading runs the code of other people; do not grade strangers' code unprotected.")
    rows = grade(found, chapters, settings, worth)
    write_csv(out, *table(rows))
    feedback.write_pages(pages, rows, given.language)
    written = [str(out), f"{pages}/"]
    if given.map:
        written.append(str(export(rows, given, out)))
    flagged = sum(bool(row.flags) for row in rows)
    ungraded = sum(row.chapter is None for row in rows)
    print(f"{len(rows)} submissions, {ungraded} not gradable, {flagged} flagged for a look.")
    if any("made for class seed" in note for row in rows for note in row.notes):
        print("Some notebooks name another class seed; see their notes, and use --seed.")
    print(f"Written: {', '.join(written)}")
    failed = [row.submission.file for row in rows if row.failed]
    if failed:
        print(f"grade.py: no points for {', '.join(failed)}; see the notes.", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
