"""Receptive field: which pixels of the input can change one value of a feature map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from torch import nn

from backbone.anatomy.graph import Op, trace
from backbone.anatomy.hooks import find_module

Span = tuple[int, int]  # first and last index, both included
EVERYTHING = {"adaptive_avg_pool2d", "flatten", "linear", "mean"}
WINDOWS = {"conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"}
PIXELWISE = {
    "batch_norm",
    "relu",
    "prelu",
    "leaky_relu",
    "gelu",
    "silu",
    "sigmoid",
    "add",
    "cat",
    "mul",
}


@dataclass(frozen=True)
class ReceptiveField:
    """Rows and columns of the input that one value of a layer depends on.

    `rows` and `columns` are (first, last), both included, and may reach over the border into the
    padding; `clipped` is what remains inside an image of `image` = (H, W) pixels.
    """

    layer: str
    at: tuple[int, int]
    rows: Span
    columns: Span
    image: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, padding included."""
        return self.rows[1] - self.rows[0] + 1, self.columns[1] - self.columns[0] + 1

    @property
    def clipped(self) -> tuple[Span, Span]:
        """The rows and columns that lie inside the image."""
        (h, w), (r, c) = self.image, (self.rows, self.columns)
        return (max(r[0], 0), min(r[1], h - 1)), (max(c[0], 0), min(c[1], w - 1))

    def __str__(self) -> str:
        height, width = self.size
        return f"{self.layer or 'output'} sees {height}×{width} pixels"


def receptive_field(
    model: nn.Module,
    layer: str,
    input_size: Sequence[int] = (1, 3, 224, 224),
    at: tuple[int, int] | None = None,
) -> ReceptiveField:
    """Follow one value of a layer back to the pixels of the input it depends on.

    Exact for networks of convolutions, transposed convolutions, pooling, additions and
    concatenations: the value's index range is carried backwards through every operation, and
    where two paths part the larger range is kept.

    Args:
        model: any such network.
        layer: dotted name of the layer; its last operation counts. "" is the model's output.
        input_size: (N, C, H, W).
        at: row and column of the value in the layer's map; the centre if None.

    Raises:
        ValueError: the layer does not exist or makes no map, or `at` lies outside the map.
    """
    find_module(model, layer)
    ops = trace(model, input_size)
    inside = [op for op in ops if not layer or (op.module + ".").startswith(layer + ".")]
    if not inside or len(inside[-1].shape) != 4:
        raise ValueError(
            f"{layer!r} makes no feature map (N, C, H, W), so it has no place to ask for."
        )
    target = inside[-1]
    place = at or (target.shape[2] // 2, target.shape[3] // 2)
    if not all(0 <= i < n for i, n in zip(place, target.shape[2:], strict=True)):
        raise ValueError(
            f"at={place} lies outside the {target.shape[2]}×{target.shape[3]} map of {layer}."
        )
    rows, columns = (_reach(model, ops, target, place[axis], axis) for axis in (0, 1))
    return ReceptiveField(layer, place, rows, columns, tuple(ops[0].shape[2:]))


def _reach(model: nn.Module, ops: Sequence[Op], target: Op, index: int, axis: int) -> Span:
    """Carry an index range of `target` back to the input, along one axis."""
    need: dict[str, Span] = {target.name: (index, index)}
    shapes = {op.name: op.shape for op in ops}
    for op in reversed(ops):
        if op.name not in need:
            continue
        for parent in op.inputs:
            side = shapes[parent][2 + axis]
            low, high = _back(model, op, need[op.name], axis, side)
            old = need.get(parent, (low, high))
            need[parent] = (min(low, old[0]), max(high, old[1]))
    return need[ops[0].name]


def _back(model: nn.Module, op: Op, span: Span, axis: int, side: int) -> Span:
    """Which indices of its input does an operation read for `span` of its output?"""
    low, high = span
    if op.kind in EVERYTHING:
        return 0, side - 1
    if op.kind in PIXELWISE:
        return span
    if op.kind not in WINDOWS:
        raise ValueError(f"receptive_field cannot follow the operation {op.kind!r} backwards.")
    module = find_module(model, op.module)
    kernel, stride, padding, dilation = (
        value[axis] if isinstance(value, tuple) else value
        for value in (
            module.kernel_size,
            module.stride,
            module.padding,
            getattr(module, "dilation", 1),
        )
    )
    reach = dilation * (kernel - 1)
    if isinstance(padding, str):  # an odd reach puts the larger half behind
        padding = reach // 2 if padding == "same" else 0
    if op.kind == "conv_transpose2d":
        return ceil((low + padding - reach) / stride), floor((high + padding) / stride)
    return low * stride - padding, high * stride - padding + reach
