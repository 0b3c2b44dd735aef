"""Measured curves with their spread: a line for every seed, faint, and their mean, strong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

from backbone.anatomy import style

FONT_SIZE = 9  # points, of the names
Curves = Sequence[Sequence[float]]  # one per seed, all of the same length


def show_curves(
    groups: Mapping[str, Curves],
    ylabel: str,
    xlabel: str = "epoch",
    colors: Mapping[str, str] | None = None,
    dashed: Sequence[str] = (),
    log: bool = False,
    axis: Axes | None = None,
) -> Axes:
    """Draw groups of curves; each group's name stands at the end of its mean.

    Args:
        groups: name → one curve per seed.
        ylabel, xlabel: words at the axes.
        colors: name → colour; by default a group whose name starts with "plain" is grey, one that
            starts with "res" is orange (it skips), any other blue; stronger for later groups.
        dashed: names of groups to dash, for a second kind of curve in one figure.
        log: a logarithmic y axis.
        axis: where to draw; a new figure if None.

    Raises:
        ValueError: nothing to draw, curves of one group differ in length, or a number cannot be
            drawn: not finite, or not positive on a logarithmic axis.
    """
    drawn = {name: _values(name, curves, xlabel, log) for name, curves in groups.items()}
    if not drawn:
        raise ValueError("show_curves needs at least one group.")
    axis = axis or plt.subplots(figsize=(6.4, 3.6))[1]
    shades = _shades(list(groups))
    ends = []
    for name, values in drawn.items():
        epochs = np.arange(1, values.shape[1] + 1)
        color = (colors or {}).get(name) or shades[name]
        look = "--" if name in dashed else "-"
        axis.fill_between(
            epochs, values.min(0), values.max(0), color=color, alpha=0.18, linewidth=0
        )
        axis.plot(epochs, values.mean(0), look, color=color)
        ends.append((values[:, -1].mean(), name, color))
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        axis.set_yscale("log")
    axis.margins(x=0.02)
    _name_ends(axis, ends)
    return axis


def _values(name: str, curves: Curves, xlabel: str, log: bool) -> np.ndarray:
    """Return a group's curves as (seeds, epochs), or say why they cannot be drawn."""
    lengths = {len(curve) for curve in curves}
    if not any(lengths):
        raise ValueError(f"{name!r} needs at least one curve with at least one number.")
    if len(lengths) > 1:
        raise ValueError(f"The curves of {name!r} differ in length: one number per {xlabel}.")
    values = np.asarray(curves, dtype=float)
    bad = ~np.isfinite(values) | (log & (values <= 0))
    if bad.any():
        place = "on a logarithmic axis; log=False can show it" if log else "as a point"
        raise ValueError(f"A curve of {name!r} has {values[bad][0]}, which has no place {place}.")
    return values


def _shades(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name: one hue per kind, from light to full within a kind."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        starts = name.lower().startswith
        hue = style.GREY if starts("plain") else style.SKIP if starts("res") else style.MAIN
        kinds.setdefault(hue, []).append(name)
    return {
        name: _mixed(hue, "#ffffff", 0.6 * (1 - (i + 1) / len(members)))
        for hue, members in kinds.items()
        for i, name in enumerate(members)
    }


def _mixed(color: str, other: str, share: float) -> str:
    """Mix a share of another colour into a colour."""
    a, b = np.asarray(to_rgb(color)), np.asarray(to_rgb(other))
    return to_hex((1 - share) * a + share * b)


def _name_ends(axis: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write each name to the right of its curve, moved apart where they would collide."""
    place = axis.transData.transform
    axis.figure.canvas.draw()  # the limits are known only now
    height = FONT_SIZE * 1.3 * axis.figure.dpi / 72  # of a line of text, in pixels
    last = -np.inf
    right = axis.get_xlim()[1]
    for value, name, color in sorted(ends):
        y = max(place((right, value))[1], last + height)
        last = y
        axis.annotate(
            name,
            (1.01, axis.transAxes.inverted().transform((0, y))[1]),
            xycoords="axes fraction",
            color=_mixed(color, style.INK, 0.45),  # text needs more contrast than a line
            va="center",
            fontsize=FONT_SIZE,
        )
