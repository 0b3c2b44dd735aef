"""A record for people: headings with text, as plain text and as a table in a notebook.

Datasheets of data and model cards of weights are such records.
"""

from __future__ import annotations

import html
import textwrap


class Record:
    """Shows `title` and what `rows()` returns; subclasses have both."""

    title: str

    def rows(self) -> list[tuple[str, str]]:
        """Return the record as (heading, text) pairs, in reading order."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Return the record as text, headings on the left."""
        width = max(len(heading) for heading, _ in self.rows())
        lines = [
            textwrap.fill(
                f"{heading:<{width}}  {text}",
                width=96,
                subsequent_indent=" " * (width + 2),
                break_long_words=False,
                break_on_hyphens=False,
            )
            for heading, text in self.rows()
        ]
        return "\n".join([self.title, "─" * len(self.title), *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(
            '<tr><th scope="row" style="text-align:left;white-space:nowrap">'
            f"{html.escape(heading)}</th>"
            f'<td style="text-align:left;overflow-wrap:anywhere">{html.escape(text)}</td></tr>'
            for heading, text in self.rows()
        )
        return f"<table><caption>{html.escape(self.title)}</caption>{cells}</table>"
