"""The colours that carry a meaning, as readers with deficient colour vision see them.

No meaning hangs on colour alone: a pair that comes close for somebody has a second sign, named
here, and its floor is lower. CIEDE2000: 1 is about what an eye can tell side by side; 10 is plain.
"""

import re
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import backbone
from backbone.anatomy import style
from backbone.data import nuclei_split
from colour import SIGHTS, contrast, difference, lab, mixed, rgb, seen, variables

SRC = Path(backbone.__file__).parent
FIGURES = (SRC / "explorables/js/explorables.css").read_text("utf-8")
BOOK = (Path(__file__).parents[1] / "book/assets/book.css").read_text("utf-8")
LIGHT = variables(FIGURES, ".explorable", "html:not([data-theme]) .explorable")
DARK = variables(FIGURES, 'html[data-theme="dark"] .explorable', 'html[theme="dark"] .explorable')
THEMES = {
    "light": LIGHT | variables(BOOK, 'html[data-theme="light"]'),
    "dark": LIGHT | DARK | variables(BOOK, 'html[data-theme="dark"]'),
}
PLAIN = 10


def table(name, a, b):
    """The difference for each sight; printed."""
    found = {sight: float(difference(a, b, sight)) for sight in SIGHTS}
    print(f"{name:24}" + "".join(f"{sight} {d:5.1f}  " for sight, d in found.items()))
    return found


def test_the_simulation_knows_a_pair_that_fails():
    found = table("red/green", "#d00000", "#008a00")
    assert found["full"] > 50 and found["deutan"] < 5


def test_grey_stays_grey_for_everybody():
    for sight in SIGHTS:
        assert np.abs(rgb("#808080") - seen("#808080", sight)).max() < 0.01, sight


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("pair", ["main skip", "main grey", "skip grey"])
def test_what_skips_the_main_path_and_a_cut_are_told_apart(theme, pair):
    a, b = (THEMES[theme][f"--fig-{name}"] for name in pair.split())
    assert min(table(f"{theme} {pair}", a, b).values()) > PLAIN


def test_drawings_have_the_figures_colours():
    for name in ("main", "skip", "grey", "mask", "ink", "paper"):
        assert getattr(style, name.upper()) == LIGHT[f"--fig-{name}"], name


def test_curves_of_one_chart():
    """Five colours; a chart that needs more than two adds markers, and each curve has its name."""
    style.use_style()
    colours = [entry["color"] for entry in mpl.rcParams["axes.prop_cycle"]]
    worst = {}
    for (i, a), (j, b) in combinations(enumerate(colours), 2):
        worst[i, j] = min(table(f"curves {i} and {j}", a, b).values())
    assert len(colours) == 5
    assert min(worst[pair] for pair in combinations(range(3), 2)) > PLAIN  # main, skip, grey
    assert min(worst.values()) > 3  # violet beside blue, for those who see no red


def opacities():
    """How strongly Python's figures and the page's lay the mask over its image."""
    drawn = (SRC / "anatomy/figures.py").read_text("utf-8")
    on_page = (SRC / "explorables/js/parts/masks.js").read_text("utf-8")
    (python,) = re.findall(r"_rgb\(style\.MASK\), ([\d.]+)\)", drawn)
    colour = ", ".join(str(round(255 * part)) for part in rgb(style.MASK))
    (page,) = re.findall(rf"\[{colour}, ([\d.]+)\]", on_page)
    return float(python), float(page)


@pytest.mark.parametrize("stretched", [False, True])  # on the page, and in Python's figures
def test_a_mask_over_the_image_it_was_made_for(stretched):
    """The mask's colour over real nuclei; its edge is the second sign where it comes close."""
    held_out = nuclei_split().test
    grey, inside = held_out.image[0].numpy(), held_out.mask.numpy() == 1
    grey = grey / grey.max() if stretched else grey
    for opacity in opacities():
        under = grey[inside][:, None] * np.ones(3)
        over = mixed(style.MASK, opacity, under)
        for sight in SIGHTS:
            found = difference(over, under, sight)
            print(
                f"mask {opacity} {sight:7} median {np.median(found):5.1f}, "
                f"below 5 in {np.mean(found < 5):6.1%} of {inside.sum()} pixels"
            )
            assert np.median(found) > PLAIN and np.mean(found < 5) < 0.1


@pytest.mark.parametrize("theme", THEMES)
def test_right_and_wrong_do_not_hang_on_colour(theme):
    """Red and green are near each other for many: so there are ✓ and ✗, words, a dashed border."""
    found = table(f"{theme} good/bad", THEMES[theme]["--fig-good"], THEMES[theme]["--fig-bad"])
    views = "".join(path.read_text("utf-8") for path in SRC.glob("explorables/js/**/*.js"))
    assert found["full"] > PLAIN
    if min(found.values()) < PLAIN:
        assert "✓" in views and "✗" in views
        assert '[data-verdict="wrong"] { border-color: var(--fig-bad); border-style: dashed; }' in (
            FIGURES
        )


TEXTS = ["--ink", "--ink-soft", "--link", "--fig-ink", "--fig-skip-text"]
TEXTS += [f"--code-{kind}" for kind in ("keyword", "string", "number", "comment", "name")]
TEXTS += [f"--kind-{kind}" for kind in ("key", "predict", "try", "watch")]


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read(theme):
    found = {}
    for name in TEXTS:
        for ground in ("--paper", "--card"):
            found[name, ground] = contrast(THEMES[theme][name], THEMES[theme][ground])
    least = min(found, key=found.get)
    print(f"{theme}: {len(found)} pairs, the least {found[least]:.2f} for {least}")
    assert found[least] >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["main", "skip", "grey", "mask", "good", "bad"])
def test_lines_and_shapes_stand_out(theme, name):
    """WCAG asks for 3:1. Orange on white is a hair below: its lines are thick and have words."""
    ratio = contrast(THEMES[theme][f"--fig-{name}"], THEMES[theme]["--fig-paper"])
    print(f"{theme} {name}: {ratio:.3f}")
    assert ratio > (2.99 if name == "skip" else 3)


@pytest.mark.parametrize("sight", SIGHTS)
def test_maps_keep_their_order(sight):
    light = lab(style.SEQUENTIAL(np.linspace(0, 1, 64)), sight)[:, 0]
    print(f"{sight}: each of 64 steps lighter by {np.diff(light).min():.2f} or more")
    assert np.diff(light).min() > 0


@pytest.mark.parametrize("sight", SIGHTS)
def test_plus_and_minus_are_told_apart(sight):
    away = np.array([1.0, 0.75, 0.5, 0.25])
    low, high = style.DIVERGING(0.5 - away / 2), style.DIVERGING(0.5 + away / 2)
    found = difference(low, high, sight)
    print(sight, dict(zip(away.tolist(), found.round(1).tolist(), strict=True)))
    assert found.min() > PLAIN
