"""A sheet to draw on: boxes, arrows and words at given places, rendered by Graphviz.

The layout is ours (inches, y upwards); Graphviz measures the text and writes the picture.
"""

from __future__ import annotations

import shutil
import sys
from html import escape
from itertools import pairwise
from pathlib import Path

import graphviz

from backbone.anatomy import style
from backbone.saving import write_whole

# Graphviz knows the width of ASCII characters only. It lays out with these of the same width, and
# the right ones are put back in the finished picture.
STAND_INS = str.maketrans({"×": "~", "→": "@", "∥": "`", "≠": "^", "…": "}"})
PUT_BACK = {value: chr(key) for key, value in STAND_INS.items()}


class Drawing:
    """A Graphviz drawing that shows itself as SVG in a notebook.

    `source` is the text Graphviz reads, `svg()` the picture, `save(path)` writes it to a file.
    """

    def __init__(self) -> None:
        self.places: dict[str, tuple[float, float]] = {}
        self.edges = 0
        self.graph = graphviz.Digraph(
            engine="neato",  # keeps our positions
            graph_attr={
                "bgcolor": style.PAPER,
                "splines": "line",
                "pad": "0.15",
                "outputorder": "edgesfirst",
            },
            node_attr={
                "fontname": style.FONT,
                "fontsize": "11",
                "fontcolor": style.INK,
                "penwidth": "1.3",
                "margin": "0.09,0.04",
            },
            edge_attr={"color": style.MAIN, "penwidth": "1.5", "arrowsize": "0.65"},
        )

    @property
    def source(self) -> str:
        """The drawing in Graphviz's language."""
        return self.graph.source

    def svg(self) -> str:
        """Return the drawing as SVG text.

        Raises:
            RuntimeError: there is no Graphviz on this machine.
        """
        svg = _run(self.graph)
        pieces = []
        for piece in svg.split("<text"):  # only what is written, never the shapes
            end = piece.find("</text>")
            text = piece[:end] if end > 0 and pieces else ""
            for stand_in, character in PUT_BACK.items():
                text = text.replace(stand_in, character)
            pieces.append(text + piece[len(text) :])
        return "<text".join(pieces)

    def save(self, path: str | Path) -> Path:
        """Write the drawing to an .svg file and return its path."""
        path = Path(path)
        if path.suffix != ".svg":
            raise ValueError(f"A drawing is saved as .svg, got {path.name!r}.")
        return write_whole(path, self.svg())

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:  # noqa: ANN001
        boxes = sum("shape=box" in line for line in self.graph.body)
        return {"image/svg+xml": self.svg(), "text/plain": f"<drawing of {boxes} boxes>"}

    def box(
        self,
        name: str,
        title: str,
        text: str,
        place: tuple[float, float],
        size: tuple[float, float] = (0, 0),
        skips: bool = False,
    ) -> None:
        """Draw an operation: a bold title over a line of text, orange if it is on a skip."""
        label = f"<b>{escape(title)}</b>" if title else ""
        if text:
            label += ("<br/>" if title else "") + f'<font point-size="9.5">{escape(text)}</font>'
        width = max(size[0], 0.092 * len(title) + 0.18)  # bold is wider than Graphviz believes
        self.node(
            name,
            f"<{label}>",
            place,
            shape="box",
            style="rounded,filled",
            color=style.SKIP if skips else style.MAIN,
            fillcolor=style.SKIP_SOFT if skips else style.MAIN_SOFT,
            width=f"{width:.2f}",
            height=f"{max(size[1], 0.3):.2f}",
        )

    def node(self, name: str, label: str, place: tuple[float, float], **look: str) -> None:
        """Put a Graphviz node at a place."""
        self.places[name] = place
        pos = f"{place[0]:.3f},{place[1]:.3f}!"
        self.graph.node(name, label.translate(STAND_INS), pos=pos, **look)

    def meet(self, name: str, symbol: str, place: tuple[float, float]) -> None:
        """Draw the circle where two paths meet."""
        self.node(
            name,
            symbol,
            place,
            shape="circle",
            style="filled",
            width="0.27",
            fixedsize="true",
            fontsize="13",
            color=style.SKIP,
            fillcolor=style.SKIP_SOFT,
        )

    def words(
        self, name: str, text: str, place: tuple[float, float], color: str = style.INK
    ) -> None:
        """Write words, centred on a place."""
        self.node(
            name,
            text,
            place,
            shape="plaintext",
            fontcolor=color,
            width="0.1",
            height="0.2",
            margin="0.05,0.02",
        )

    def note(
        self, text: str, place: tuple[float, float], side: str = "right", color: str = style.INK
    ) -> None:
        """Write small words beside a place: "left", "right" or "above" it."""
        half = 0.036 * len(text) + 0.07
        x, y = place
        x, y = {"left": (x - half, y), "right": (x + half, y), "above": (x, y + 0.11)}[side]
        self.node(
            f"note{len(self.places)}",
            text,
            (x, y),
            shape="plaintext",
            fontsize="9.5",
            fontcolor=color,
            width="0.1",
            height="0.1",
            margin="0",
        )

    def arrow(
        self, *stops: str | tuple[float, float], color: str = style.MAIN, **look: str
    ) -> None:
        """Draw a line through names and places, with an arrow head at its end."""
        names = [stop if isinstance(stop, str) else self._corner(stop, color) for stop in stops]
        for a, b in pairwise(names):
            head = "normal" if b == names[-1] else "none"
            self.edges += 1
            self.graph.edge(a, b, arrowhead=head, color=color, **look)

    def skip(self, *stops: str | tuple[float, float]) -> None:
        """Draw a skip: an orange, heavier arrow."""
        self.arrow(*stops, color=style.SKIP, penwidth="2.2")

    def _corner(self, place: tuple[float, float], color: str) -> str:
        name = f"corner{len(self.places)}"
        self.node(name, "", place, shape="point", width="0.02", color=color)
        return name


def _run(graph: graphviz.Digraph) -> str:
    """Call Graphviz: `graphviz-pure` beside this Python if it is there, else the system's `dot`."""
    beside = shutil.which("graphviz-pure", path=str(Path(sys.executable).parent))
    binary = beside or shutil.which("graphviz-pure") or shutil.which("dot")
    if binary is None:
        raise RuntimeError(
            "Drawings need Graphviz, and there is no `dot` here. Install it with "
            "`pip install graphviz-pure`, or as your system does (e.g. apt install graphviz)."
        )
    usual = graphviz.backend.dot_command.DOT_BINARY
    graphviz.backend.dot_command.DOT_BINARY = Path(binary)
    try:
        return graph.pipe("svg", encoding="utf-8", quiet=True)
    finally:
        graphviz.backend.dot_command.DOT_BINARY = usual
