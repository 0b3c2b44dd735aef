"""Close every chapter with the date, torch version and seconds of its last run.

The line comes from the notebook's own metadata, written by the tool that ran it:
`{"backbone": {"ran": "2026-11-22", "torch": "2.13.0", "seconds": 12}}`.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

TEXT = {
    "en": "Last run {date} · torch {torch} · {seconds} s",
    "zh": "上次运行 {date} · torch {torch} · {seconds} 秒",
}


def last_run_line(record: dict[str, Any], language: str) -> str:
    """Return the footer line as HTML."""
    day = html.escape(str(record["ran"]))
    return '<p class="last-run">{}</p>\n'.format(
        TEXT[language[:2]].format(
            date=f'<time datetime="{day}">{day}</time>',
            torch=html.escape(str(record["torch"])),
            seconds=html.escape(str(record["seconds"])),
        )
    )


def add_line(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Append the line to the page of a notebook."""
    if doctree is None:
        return
    source = Path(app.env.doc2path(page))
    if source.suffix != ".ipynb":
        return
    record = json.loads(source.read_text("utf-8"))["metadata"].get("backbone", {})
    if not {"ran", "torch", "seconds"} <= record.keys():
        logger.warning(
            "%s was never run: use `make notebooks`", source.name, type="backbone"
        )
        return
    context["body"] += last_run_line(record, app.config.language or "en")


def setup(app: Sphinx) -> None:
    """Connect to the writing of pages."""
    app.connect("html-page-context", add_line)
