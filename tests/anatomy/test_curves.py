"""Curves with their spread: what is drawn is the data, and every name can be read."""

from __future__ import annotations

import itertools

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection
from matplotlib.colors import rgb_to_hsv, to_hex, to_rgb

from backbone.anatomy import show_curves, style, use_style
from properties import fewer

CURVES = {
    "plain-20": [[2.0, 1.5, 1.0], [2.2, 1.1, 0.9]],
    "plain-56": [[2.3, 2.2, 2.0], [2.4, 2.3, 2.1], [2.2, 2.2, 2.2]],
    "ResNet-20": [[1.9, 0.8, 0.2], [1.8, 0.9, 0.3]],
    "ResNet-56": [[2.1, 1.0, 0.1], [2.5, 0.7, 0.2]],
    "U-Net": [[1.0, 0.9, 0.8]],
}


@pytest.fixture(autouse=True)
def own_figures():
    with mpl.rc_context():
        yield
    plt.close("all")


def bands(axis):
    return [c for c in axis.collections if isinstance(c, PolyCollection)]


def names(axis):
    return {text.get_text(): text for text in axis.texts}


def edges(band):
    """Lowest and highest point of a band over each epoch."""
    points = np.concatenate([path.vertices for path in band.get_paths()])
    places = np.unique(points[:, 0])
    return [(x, *(f(points[points[:, 0] == x, 1]) for f in (np.min, np.max))) for x in places]


def boxes(axis):
    axis.figure.canvas.draw()
    return {name: text.get_window_extent() for name, text in names(axis).items()}


def overlaps(axis):
    pairs = itertools.combinations(boxes(axis).items(), 2)
    return [(a, b) for (a, box), (b, other) in pairs if box.overlaps(other)]


# --- the data -----------------------------------------------------------------------------------


def test_means_and_bands_are_the_data():
    axis = show_curves(CURVES, "loss")
    assert len(axis.lines) == len(bands(axis)) == len(CURVES)
    for (name, curves), line, band in zip(CURVES.items(), axis.lines, bands(axis), strict=True):
        x, y = line.get_data()
        assert list(x) == [1, 2, 3]
        assert list(y) == pytest.approx(
            [sum(column) / len(column) for column in zip(*curves, strict=True)]
        )
        expected = [(i, min(c), max(c)) for i, c in enumerate(zip(*curves, strict=True), start=1)]
        print(name, edges(band))
        assert np.allclose(edges(band), expected)
        assert to_hex(band.get_facecolor()[0]) == to_hex(line.get_color())
        assert band.get_alpha() < 0.5
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "loss")


@fewer
@given(data=st.data(), seeds=st.integers(1, 4), epochs=st.integers(1, 6))
def test_any_curves(data, seeds, epochs):
    curve = st.lists(st.floats(-1e6, 1e6), min_size=epochs, max_size=epochs)
    curves = data.draw(st.lists(curve, min_size=seeds, max_size=seeds))
    figure, axis = plt.subplots()
    show_curves({"a": curves, "b": np.asarray(curves) + 1}, "y", axis=axis)
    assert np.allclose(axis.lines[0].get_ydata(), np.mean(curves, axis=0))
    assert np.allclose(axis.lines[1].get_ydata(), np.mean(curves, axis=0) + 1)
    plt.close(figure)


def test_it_draws_where_it_is_told():
    figure, (left, right) = plt.subplots(1, 2)
    assert show_curves(CURVES, "loss", "step", axis=right) is right
    assert not left.lines
    assert right.get_xlabel() == "step"
    assert plt.get_fignums() == [figure.number]


def test_dashes_and_a_logarithm():
    axis = show_curves(CURVES, "loss", dashed=["U-Net", "plain-20"], log=True)
    looks = dict(zip(CURVES, [line.get_linestyle() for line in axis.lines], strict=True))
    assert looks == {name: "--" if name in ("U-Net", "plain-20") else "-" for name in CURVES}
    assert axis.get_yscale() == "log"
    assert show_curves(CURVES, "loss").get_yscale() == "linear"


# --- colours ------------------------------------------------------------------------------------


def hue(color):
    return rgb_to_hsv(to_rgb(color))[0]


def test_a_kind_has_a_hue_and_the_last_of_it_the_full_colour():
    axis = show_curves(CURVES, "loss")
    colors = dict(zip(CURVES, [to_hex(line.get_color()) for line in axis.lines], strict=True))
    print(colors)
    assert colors["plain-56"] == style.GREY
    assert colors["ResNet-56"] == style.SKIP
    assert colors["U-Net"] == style.MAIN
    for light, full in (("plain-20", "plain-56"), ("ResNet-20", "ResNet-56")):
        assert abs(hue(colors[light]) - hue(colors[full])) < 0.02
        assert sum(to_rgb(colors[light])) > sum(to_rgb(colors[full])) + 0.1  # lighter
    assert len(set(colors.values())) == len(colors)


@pytest.mark.parametrize(
    ("name", "color"),
    [
        *(("plain", style.GREY), ("Plain net", style.GREY), ("residual", style.SKIP)),
        *(("ResNet", style.SKIP), ("unet", style.MAIN), ("all skips", style.MAIN)),
    ],
)
def test_the_colour_follows_the_name(name, color):
    assert to_hex(show_curves({name: [[1, 2]]}, "y").lines[0].get_color()) == color


def test_own_colours():
    axis = show_curves(CURVES, "loss", colors={"U-Net": "#123456"})
    assert axis.lines[4].get_color() == "#123456"
    assert axis.lines[3].get_color() == style.SKIP


def luminance(color):
    """As in the guidelines for accessible pages (WCAG 2)."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_names_can_be_read_on_paper():
    for name, text in names(show_curves(CURVES, "loss")).items():
        contrast = 1.05 / (luminance(text.get_color()) + 0.05)
        print(f"{name}: {contrast:.1f}")
        assert contrast > 3.5


# --- names --------------------------------------------------------------------------------------


def test_names_stand_right_of_the_ends_in_their_order():
    axis = show_curves(CURVES, "loss")
    places = boxes(axis)
    ends = {name: np.mean(curves, axis=0)[-1] for name, curves in CURVES.items()}
    assert set(places) == set(CURVES)
    right = axis.get_window_extent().x1
    assert all(box.x0 >= right for box in places.values())
    middle = {name: (box.y0 + box.y1) / 2 for name, box in places.items()}
    assert sorted(ends, key=ends.get) == sorted(middle, key=middle.get)
    for name in ("plain-56", "U-Net", "ResNet-56"):  # nobody near: at the height of the end
        y = axis.transData.transform((3, ends[name]))[1]
        print(f"{name}: end at {y:.0f}, name at {middle[name]:.0f} pixels")
        assert abs(middle[name] - y) < 8


@pytest.mark.parametrize("dpi", [72, 100, 110, 220])
@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("styled", [True, False])
def test_names_do_not_overlap(dpi, log, styled):
    if styled:
        use_style()
    axis = plt.subplots(figsize=(6.4, 3.6), dpi=dpi)[1]
    groups = {f"plain-{i} (gy)": [[1.0, 0.5 + 0.001 * i]] for i in range(6)}
    show_curves({**groups, "up": [[1, 3]], "low": [[1, 0.01]]}, "loss", log=log, axis=axis)
    axis.set_title("a title, set later")
    found = overlaps(axis)
    print(dpi, found)
    assert len(names(axis)) == 8
    assert not found
    axis.texts[0].set_y(axis.texts[1].xy[1])  # the check itself would see it
    axis.texts[0].xy = axis.texts[1].xy
    assert overlaps(axis)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [{}, {"a": []}, {"a": [[1]], "b": []}, {"a": [[]]}])
def test_nothing_to_draw_is_refused(groups):
    with pytest.raises(ValueError, match="at least one"):
        show_curves(groups, "loss")
    assert not plt.get_fignums()


def test_curves_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="'b' differ in length: one number per step"):
        show_curves({"a": [[1, 2]], "b": [[1, 2], [1]]}, "loss", "step")


@pytest.mark.parametrize(
    ("bad", "log"),
    [(float("nan"), False), (float("inf"), False), (0.0, True), (-0.5, True), (float("nan"), True)],
)
def test_what_has_no_place_is_refused(bad, log):
    with pytest.raises(ValueError, match=rf"'b' has {bad}") as caught:
        show_curves({"a": [[1, 2]], "b": [[1, 2], [1, bad]]}, "loss", log=log)
    print(caught.value)
    assert not plt.get_fignums()  # refused before a figure was made
    show_curves({"a": [[0.0, -2.0]]}, "loss")  # these have one on a plain axis
