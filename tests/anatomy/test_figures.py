"""Figures show what they are given, on a scale they name."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from backbone.anatomy import (
    bars,
    feature_grid,
    overlay,
    show_kernels,
    stage_strip,
    style,
    use_style,
)


@pytest.fixture(autouse=True)
def close_figures():
    mpl.use("Agg")
    yield
    plt.close("all")


def test_maps_share_one_scale_that_the_title_names():
    maps = torch.rand(1, 20, 8, 8) * torch.linspace(0.1, 1, 20)[:, None, None]
    figure = feature_grid(maps, count=20, title="layer1")
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 20
    top = maps.max().item()
    assert all(image.get_clim() == (0, pytest.approx(top)) for image in images)
    assert figure.get_suptitle() == f"layer1  20/20 · 0 … {top:.2g}"
    assert np.allclose(images[7].get_array(), maps[0, 7])


def test_signed_maps_are_centred_on_zero():
    figure = feature_grid(torch.tensor([[[[-1.0, 3.0]]]]))
    assert figure.axes[0].images[0].get_clim() == (-3, 3)
    assert figure.axes[0].images[0].get_cmap().name == style.DIVERGING.name


def test_a_dead_map_is_black_not_an_error():
    assert feature_grid(torch.zeros(1, 2, 4, 4)).axes[0].images[0].get_clim() == (0, 1)


def test_a_batch_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"maps\[:1\]"):
        feature_grid(torch.zeros(2, 3, 4, 4))


def test_strip_shows_the_strongest_channel_and_true_shapes():
    maps = torch.zeros(1, 5, 4, 6)
    maps[0, 3] = 1
    figure = stage_strip({"layer1": maps, "fc": torch.zeros(1, 10)}, torch.rand(3, 8, 8))
    assert [axis.get_title() for axis in figure.axes] == ["x", "layer1 #3\n5×4×6\n0 … 1"]
    with pytest.raises(ValueError, match="no feature maps"):
        stage_strip({"fc": torch.zeros(1, 10)})


def test_overlay_colours_the_mask_and_nothing_else():
    mask = torch.zeros(6, 6)
    mask[2, 3] = 1
    axis = overlay(torch.rand(1, 6, 6), mask, truth=mask)
    painted = axis.images[1].get_array()[..., 3] > 0
    assert painted.sum() == 1 and painted[2, 3]
    with pytest.raises(ValueError, match="image's size"):
        overlay(torch.rand(1, 6, 6), torch.zeros(5, 5))


def test_kernels_and_bars():
    assert len(show_kernels(nn.Conv2d(3, 10, 7)).axes[0].images) == 1
    with pytest.raises(TypeError, match="Conv2d"):
        show_kernels(nn.Linear(2, 2))
    figure = bars({"a": 1, "b": 2}, "value", highlight=["b"])
    colors = [mpl.colors.to_hex(patch.get_facecolor()) for patch in figure.axes[0].patches]
    assert colors == [style.MAIN, style.SKIP]


def luminance(color):
    channel = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(color)
    ]
    return 0.2126 * channel[0] + 0.7152 * channel[1] + 0.0722 * channel[2]


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# Viénot, Brettel & Mollon 1999: what a dichromat sees, in linear RGB.
DEFICIENCIES = {
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    "tritanopia": [[1, 0.1461, -0.1461], [0, 0.8597, 0.1403], [0, 0.8597, 0.1403]],
}


@pytest.mark.parametrize("name", DEFICIENCIES)
def test_orange_and_blue_stay_apart(name):
    def seen(color):
        linear = np.array(mpl.colors.to_rgb(color)) ** 2.2
        return np.clip(np.array(DEFICIENCIES[name]) @ linear, 0, 1) ** (1 / 2.2)

    distance = float(np.linalg.norm(seen(style.SKIP) - seen(style.MAIN)))
    print(f"{name}: distance of orange and blue in sRGB {distance:.2f}")
    assert distance > 0.35


def test_words_are_readable_on_their_boxes():
    for paper in (style.PAPER, style.MAIN_SOFT, style.SKIP_SOFT, style.GREY_SOFT):
        assert contrast(style.INK, paper) > 7
    use_style()
    assert plt.rcParams["figure.facecolor"] == style.PAPER
