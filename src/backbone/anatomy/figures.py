"""Figures for feature maps, kernels and masks: one look, one honest colour scale.

Maps that cannot be negative get a dark-to-light scale from 0; signed maps a purple-to-green scale
centred on 0. Every figure says which range it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor, nn

from backbone.anatomy import style


def feature_grid(
    maps: Tensor, count: int = 16, columns: int = 8, title: str = "", each: bool = False
) -> Figure:
    """Show the first channels of one image's feature maps.

    Args:
        maps: (1, C, H, W) or (C, H, W); of a larger batch, pick one image first.
        count: how many channels at most.
        columns: how many in a row.
        title: words above the grid; the range is added.
        each: scale every map on its own, for maps whose strengths differ widely; by default all
            share one scale and can be compared.

    Raises:
        ValueError: the maps have another shape.
    """
    maps = _one_image(maps)
    shown = maps[:count]
    columns = min(columns, len(shown))
    rows = ceil(len(shown) / columns)
    size = 1.15
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size, rows * size + 0.35), squeeze=False
    )
    signed = bool(shown.min() < 0)
    for axis in axes.flat:
        axis.axis("off")
    for i, (axis, one) in enumerate(zip(axes.flat, shown, strict=False)):
        show_map(axis, one, None if each else shown, signed=signed)
        axis.text(
            0.03, 0.97, str(i), transform=axis.transAxes, va="top", fontsize=7, color=style.INK,
            bbox={"facecolor": style.PAPER, "alpha": 0.75, "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    scale = "each on its own scale" if each else _range(shown, signed)
    figure.suptitle(f"{title}  {len(shown)}/{len(maps)} · {scale}".strip(), fontsize=9)
    return figure


def show_map(
    axis: Axes, one: Tensor, shared: Tensor | None = None, signed: bool | None = None
) -> AxesImage:
    """Draw one map (H, W) on an axis, on the scale of `shared` maps or on its own.

    Non-negative maps run from 0 to the maximum; signed maps from −m to +m, m the largest magnitude.
    """
    reference = one if shared is None else shared
    signed = bool(reference.min() < 0) if signed is None else signed
    top = float(reference.abs().max()) or 1.0
    axis.axis("off")
    return axis.imshow(
        one.detach().cpu().numpy(),
        cmap=style.DIVERGING if signed else style.SEQUENTIAL,
        vmin=-top if signed else 0,
        vmax=top,
    )


def stage_strip(features: Mapping[str, Tensor], image: Tensor | None = None) -> Figure:
    """Show each layer's strongest channel side by side, each on a scale of its own.

    Args:
        features: name → maps (1, C, H, W), as `record_features` returns them.
        image: the input (1, C, H, W) or (C, H, W) in [0, 1], drawn first.

    Raises:
        ValueError: maps of another shape, or no maps at all.
    """
    panels = {name: _one_image(maps) for name, maps in features.items() if maps.dim() == 4}
    if not panels:
        raise ValueError("There are no feature maps (1, C, H, W) to show.")
    count = len(panels) + (image is not None)
    figure, axes = plt.subplots(1, count, figsize=(1.45 * count, 2.05), squeeze=False)
    axes = list(axes.flat)
    if image is not None:
        show_image(axes[0], image)
        axes[0].set_title("x", fontsize=8)
    for axis, (name, maps) in zip(axes[count - len(panels) :], panels.items(), strict=True):
        best = int(maps.abs().mean(dim=(1, 2)).argmax())
        show_map(axis, maps[best])
        channels, height, width = maps.shape
        signed = bool(maps[best].min() < 0)
        shown = f"{channels}×{height}×{width}\n{_range(maps[best], signed)}"
        axis.set_title(f"{name} #{best}\n{shown}", fontsize=7.5)
    return figure


def show_kernels(convolution: nn.Conv2d, count: int = 32, columns: int = 8) -> Figure:
    """Show the kernels of a convolution: in colour for a first layer on RGB, else channel 0.

    Raises:
        TypeError: it is no Conv2d.
    """
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"show_kernels needs a Conv2d, got {type(convolution).__name__}.")
    weight = convolution.weight.detach().cpu()  # (out, in, k, k)
    shown = weight[:count]
    columns = min(columns, len(shown))
    rows = ceil(len(shown) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns, rows + 0.35), squeeze=False)
    top = float(shown.abs().max()) or 1.0
    for axis in axes.flat:
        axis.axis("off")
    for axis, kernel in zip(axes.flat, shown, strict=False):
        if weight.shape[1] == 3:  # grey is zero
            axis.imshow((kernel / top * 0.5 + 0.5).permute(1, 2, 0).numpy())
        else:
            axis.imshow(kernel[0].numpy(), cmap=style.DIVERGING, vmin=-top, vmax=top)
    figure.suptitle(f"{len(shown)}/{len(weight)} · −{top:.2g} … {top:.2g}", fontsize=9)
    return figure


def show_image(axis: Axes, image: Tensor) -> AxesImage:
    """Draw an image in [0, 1], (1, C, H, W), (C, H, W) or (H, W), grey or colour, on an axis."""
    axis.axis("off")
    one = image.detach().cpu()
    one = one[0] if one.dim() == 4 else one
    if one.dim() == 3 and one.shape[0] == 3:
        return axis.imshow(one.permute(1, 2, 0).clamp(0, 1).numpy())
    return axis.imshow(
        one.squeeze(0).numpy(), cmap="gray", vmin=0, vmax=max(float(one.max()), 1e-6)
    )


def overlay(
    image: Tensor, mask: Tensor, truth: Tensor | None = None, axis: Axes | None = None
) -> Axes:
    """Draw a predicted mask over its image: filled where it says yes, the truth as an outline.

    Args:
        image: (H, W), (1, H, W) or (3, H, W) in [0, 1].
        mask: (H, W), 0 or 1.
        truth: (H, W), 0 or 1, drawn as an outline.
        axis: where to draw; a new figure if None.

    Raises:
        ValueError: image and mask differ in size.
    """
    if tuple(mask.shape[-2:]) != tuple(image.shape[-2:]):
        raise ValueError(
            f"overlay needs a mask of the image's size: image {tuple(image.shape[-2:])}, "
            f"mask {tuple(mask.shape[-2:])}."
        )
    axis = axis or plt.subplots(figsize=(4, 4))[1]
    show_image(axis, image)
    filled = np.zeros((*mask.shape[-2:], 4))
    filled[...] = (*_rgb(style.MASK), 0.5)
    filled[..., 3] *= mask.squeeze().cpu().numpy() > 0
    axis.imshow(filled)
    if truth is not None:
        axis.contour(truth.squeeze().cpu().numpy(), levels=[0.5], colors="white", linewidths=0.8)
    return axis


def bars(values: Mapping[str, float], label: str, highlight: Sequence[str] = ()) -> Figure:
    """Draw one horizontal bar per name; the highlighted ones in the colour of what skips."""
    figure, axis = plt.subplots(figsize=(6.4, 0.28 * len(values) + 0.7))
    names = list(values)
    colors = [style.SKIP if name in highlight else style.MAIN for name in names]
    axis.barh(names, [values[name] for name in names], color=colors)
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.grid(axis="y", visible=False)
    axis.set_axisbelow(True)
    return figure


def _one_image(maps: Tensor) -> Tensor:
    if maps.dim() == 4 and len(maps) == 1:
        maps = maps[0]
    if maps.dim() != 3:
        raise ValueError(
            f"Needs the maps of one image, (1, C, H, W) or (C, H, W), got {tuple(maps.shape)}. "
            "Pick one image of a batch with maps[:1]."
        )
    return maps.detach().cpu().to(torch.float32)


def _range(maps: Tensor, signed: bool) -> str:
    top = float(maps.abs().max())
    return f"−{top:.2g} … {top:.2g}" if signed else f"0 … {top:.2g}"


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
