"""A table that reads well as text in a terminal and as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Line = Sequence[str]


class Sheet:
    """Rows under a heading; numbers stand to the right.

    Args:
        head: names of the columns.
        rows: one entry per column; what is not text is turned into text by `str`.
        foot: a last row set apart, e.g. a total.
        words: how many columns on the left hold words rather than numbers.

    Raises:
        ValueError: a row has another number of entries than the heading.
    """

    def __init__(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[object]],
        foot: Sequence[object] | None = None,
        words: int = 1,
    ) -> None:
        self.head, self.words = list(head), words
        self.rows = [[str(cell) for cell in row] for row in rows]
        self.foot = None if foot is None else [str(cell) for cell in foot]
        for row in [*self.rows, *([] if foot is None else [self.foot])]:
            if len(row) != len(self.head):
                raise ValueError(
                    f"Every row needs {len(self.head)} entries, one under each of "
                    f"{', '.join(self.head)}; got {row}."
                )

    def __repr__(self) -> str:
        lines = [self.head, *self.rows, *([self.foot] if self.foot else [])]
        wide = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        text = [
            "  ".join(
                c.ljust(w) if i < self.words else c.rjust(w)
                for i, (c, w) in enumerate(zip(line, wide, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "─" * max(map(len, text))
        end = len(text) - (self.foot is not None)
        return "\n".join([text[0], rule, *text[1:end], *([rule, text[-1]] if self.foot else [])])

    def _repr_html_(self) -> str:
        body = "".join(f"<tr>{self._tr(row, 'td')}</tr>" for row in self.rows)
        foot = f"<tfoot><tr>{self._tr(self.foot, 'td')}</tr></tfoot>" if self.foot else ""
        return (
            f'<table class="layer-table"><thead><tr>{self._tr(self.head, "th")}</tr></thead>'
            f"<tbody>{body}</tbody>{foot}</table>"
        )

    def _tr(self, cells: Line, tag: str) -> str:
        # Jupyter's own style sheet would centre or right-align all.
        return "".join(
            f'<{tag} style="text-align:{"left" if i < self.words else "right"}"'
            f"{' scope=col' if tag == 'th' else ''}>{escape(c)}</{tag}>"
            for i, c in enumerate(cells)
        )
