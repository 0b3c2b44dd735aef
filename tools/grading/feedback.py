"""A page of feedback for each student: what is right, and the hint where it is not."""

from __future__ import annotations

import html
import re
from pathlib import Path

from grading.results import MARKS, Row, number, write

SIGN = "<!-- written by tools/grade.py -->"  # pages with this line are ours to replace

WORDS = {
    "en": {
        "score": "{score} of {out_of} points",
        "open": "No answer yet.",
        "missing": "There is no cell that hands in an answer to this exercise.",
        "none": "No exercise could be graded.",
        "right": "Right.",
        "how": "✓ right · ✗ not right yet · … no answer",
    },
    "zh": {
        "score": "{out_of} 分中得 {score} 分",
        "open": "还没有答案。",
        "missing": "没有找到交这道练习答案的单元格。",
        "none": "没有可以评分的练习。",
        "right": "正确。",
        "how": "✓ 正确 · ✗ 还不对 · … 没有答案",
    },
}


def page(row: Row, language: str = "en") -> str:
    """Return the feedback on one submission as Markdown.

    Flags are for the teacher and do not appear.
    """
    words = WORDS[language]
    title = row.chapter.name if row.chapter else Path(row.submission.file).name
    lines = [SIGN, "", f"# {_safe(title)}", "", f"{_safe(row.submission.student)}", ""]
    if not row.titles or row.failed:
        problem = row.submission.problem or "; ".join(row.notes)
        return "\n".join([*lines, words["none"], "", _safe(problem), ""])
    total = words["score"].format(score=number(row.score), out_of=number(row.out_of))
    lines += [f"**{total}**", "", words["how"], ""]
    for name, heading in row.titles.items():
        said = row.verdicts.get(name, {"state": "missing"})
        state = said["state"]
        text = words.get(state) if state in ("open", "missing") else said.get(language)
        lines += [f"## {MARKS[state]} {heading}", "", _safe(text or words["right"]), ""]
    return "\n".join(lines)


def write_pages(folder: Path, rows: list[Row], language: str = "en") -> list[Path]:
    """Write a page for each row into a folder; pages of an earlier run go.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9][0-9][0-9]*-*.md"):
        with old.open(encoding="utf-8", errors="replace") as file:
            if file.readline().strip() == SIGN:
                old.unlink()
    written = []
    for row in rows:
        name = re.sub(r"[^\w.-]+", "-", row.submission.student).strip("-.")[-60:] or "nameless"
        path = folder / f"{row.number:03d}-{name}.md"
        write(path, page(row, language))
        written.append(path)
    return written


def _safe(text: str) -> str:
    """Return text that Markdown shows as it is: it may quote what a student wrote."""
    text = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_\[\]])", r"\\\1", text)
