"""One visual language: the colours and type of every drawing, figure and widget in the book.

Whatever skips is orange, the main path is blue, a cut is a grey dashed gap. The pair stays apart
for the common colour-vision deficiencies (orange is also the lighter of the two), and no figure
relies on colour alone.
"""

from __future__ import annotations

import matplotlib as mpl

INK = "#1f2933"  # text and outlines
PAPER = "#ffffff"  # opaque, so that a figure reads on a dark page too
MAIN = "#2f6db3"  # the main path
MAIN_SOFT = "#e8f0f9"
SKIP = "#e07b00"  # whatever skips
SKIP_SOFT = "#fdf1e0"
GREY = "#8a94a0"  # the control group, and what was cut
GREY_SOFT = "#f1f3f5"
MASK = "#0f9d8a"  # a predicted mask over its image
FONT = "Helvetica"  # Graphviz knows its widths; Arial and Liberation Sans have the same

# Maps that cannot be negative (after a ReLU): dark to light, perceptually even.
SEQUENTIAL = mpl.colormaps["magma"]
# Signed maps: centred on zero. Not orange against blue: those two mean skip and main path.
DIVERGING = mpl.colormaps["PRGn"]


def use_style() -> None:
    """Give every matplotlib figure that follows the look of the book."""
    mpl.rcParams.update(
        {
            "figure.facecolor": PAPER,
            "axes.facecolor": PAPER,
            "savefig.facecolor": PAPER,
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same everywhere
            "font.size": 10,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": GREY,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=[MAIN, SKIP, GREY, "#3c8d5a", "#7d5ba6"]),
            "axes.grid": True,
            "grid.color": "#e4e7eb",
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 2,
            "image.cmap": "magma",
            "image.interpolation": "nearest",
        }
    )
