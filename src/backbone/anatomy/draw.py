"""Drawings of blocks and networks, read from the live module.

Boxes are operations; the words beside the arrows are shapes (channels × height × width). A box is
as wide as its maps have channels and as high as they are large, both on a log scale. The main path
is blue, whatever skips is orange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from torch import nn

from backbone.anatomy import style
from backbone.anatomy.canvas import Drawing
from backbone.anatomy.describe import describe, shape_text
from backbone.anatomy.graph import Op, Skip, skips, steps, trace
from backbone.anatomy.hooks import find_module

SYMBOL = {"add": "+", "cat": "∥"}  # where two paths meet


def draw_block(block: nn.Module, input_size: Sequence[int]) -> Drawing:
    """Draw a block operation by operation: the main path, the shortcut, and what decides it.

    The diamond compares the shape of x with that of F(x): equal, and the shortcut is the identity;
    different, and a 1×1 convolution must fit it. The branch not taken is grey and dashed.

    Args:
        block: a `BasicBlock`, a `Bottleneck`, a stage of a U-Net, or a small module of your own.
        input_size: (N, C, H, W) of its input.

    Raises:
        TypeError, ValueError: the block refuses an input of this size.
    """
    ops = {op.name: op for op in trace(block, input_size)}
    found = next(iter(skips(list(ops.values()))), None)
    side = _side_path(ops, found) if found else []
    main = [op for op in ops.values() if op not in side]
    drawing = Drawing()
    for i, op in enumerate(main):
        _draw_op(drawing, block, op, (0.0, -0.78 * i))
    drawing.words("y", "y", (0, -0.78 * len(main) + 0.12))
    for before, after in zip(main, [*main[1:], None], strict=True):
        drawing.arrow(before.name, after.name if after else "y")
        drawing.note(shape_text(before.shape), (0, drawing.places[before.name][1] - 0.39), "left")
    if found:
        _draw_shortcut(drawing, block, ops, found, side)
    return drawing


def _draw_shortcut(
    drawing: Drawing, block: nn.Module, ops: dict[str, Op], found: Skip, side: Sequence[Op]
) -> None:
    """Draw the diamond that decides, the branch taken, and a hint of the other."""
    x, top, bottom = 2.6, drawing.places[found.source][1], drawing.places[found.at][1]
    arrives, leaves = ops[found.source].shape, ops[found.main].shape
    same = arrives == leaves
    y = top - 0.78
    drawing.node(
        "decision",
        f"{shape_text(arrives)}\n{'=' if same else '≠'} {shape_text(leaves)} ?",
        (x, y),
        shape="diamond",
        style="filled",
        color=style.SKIP,
        fillcolor=style.SKIP_SOFT,
        fontsize="9.5",
        margin="0",
        width="2.1",
        height="0.86",
    )
    drawing.skip(found.source, (x, top), "decision")
    room = (y - bottom) / (len(side) + 1)
    chain = ["decision"]
    for i, op in enumerate(side, start=1):
        _draw_op(drawing, block, op, (x, y - i * room), skips=True)
        drawing.skip(chain[-1], op.name)
        chain.append(op.name)
    drawing.skip(chain[-1], (x, bottom), found.at)
    drawing.note("=" if same else "≠", (x + 0.02, y - 0.58), color=style.SKIP)
    drawing.words("other", "1×1" if same else "x", (x + 1.75, y), color=style.GREY)
    drawing.arrow("decision", "other", color=style.GREY, style="dashed")
    drawing.note("≠" if same else "=", (x + 1.32, y), "above", color=style.GREY)


def draw_network(model: nn.Module, input_size: Sequence[int]) -> Drawing:
    """Draw a whole network: a column for a ResNet, a U for a network with skips across.

    In a column, four or more equal blocks in a row are drawn as one.

    Args:
        model: a ResNet, a U-Net, or a model of your own made of named stages.
        input_size: (N, C, H, W) of its input.

    Raises:
        TypeError, ValueError: the model refuses an input of this size.
    """
    ops = trace(model, input_size)
    across = [skip for skip in skips(ops) if skip.kind == "cat"]
    return _draw_u(ops, across) if across else _draw_column(model, ops)


@dataclass
class _Stop:
    """One box of a column: where its name and text come from, and what leaves it."""

    name: str
    title: str
    text: str
    shape: tuple[int, ...]


def _draw_column(model: nn.Module, ops: Sequence[Op]) -> Drawing:
    """Draw stages from top to bottom; every block has its shortcut as an orange bracket."""
    drawing = Drawing()
    shortcuts = {skip.name: skip for skip in skips(ops) if skip.kind == "add"}
    drawing.words("x", "x", (0, 0))
    y, last, shape = -0.1, "x", ops[0].shape
    for stop in _fold(model, ops, shortcuts):
        width, height = _size(stop.shape)
        fork, y = y - 0.22, y - 0.46 - height / 2
        key = stop.title
        drawing.box(key, stop.title, stop.text, (0, y), (width, height))
        drawing.arrow(last, key)
        drawing.note(shape_text(shape), (0, fork), "left")
        y, last, shape = y - height / 2, key, stop.shape
        if stop.name in shortcuts:
            side = max(width, 2.3) / 2 + 0.25
            y -= 0.3
            plus = f"+{key}"
            drawing.meet(plus, SYMBOL["add"], (0, y))
            drawing.arrow(key, plus)
            drawing.skip((0, fork), (side, fork), (side, y), plus)
            if shortcuts[stop.name].entry != shortcuts[stop.name].source:
                drawing.note("1×1", (side, (fork + y) / 2), color=style.SKIP)
            y, last = y - 0.13, plus
    drawing.words("y", "y", (0, y - 0.5))
    drawing.arrow(last, "y")
    drawing.note(shape_text(shape), (0, y - 0.22), "left")
    return drawing


def _fold(model: nn.Module, ops: Sequence[Op], shortcuts: dict[str, Skip]) -> list[_Stop]:
    """Turn steps into stops, and four or more equal blocks of a stage into one."""
    runs: list[list[_Stop]] = []
    # Deep enough to see the blocks: "layer1.0" in a network, "0" in a stage on its own.
    depth = max((name.count(".") + 1 for name in shortcuts), default=2)
    for name, group in steps(ops[1:], depth):
        module = find_module(model, name) if name else None
        text = f"{type(module).__name__} {describe(module)}".strip() if module else ""
        stop = _Stop(name, name or group[-1].kind, text, group[-1].shape)
        before = runs[-1][-1] if runs else None
        stage = name.rpartition(".")[0]
        alike = before and name in shortcuts and before.text == text
        if alike and before.name.rpartition(".")[0] == stage:
            runs[-1].append(stop)
        else:
            runs.append([stop])
    stops: list[_Stop] = []
    for run in runs:
        if len(run) > 3:
            first, last = run[0], run[-1]
            title, text = f"{first.name} … {last.name}", f"{len(run)} × {first.text}"
            stops.append(_Stop(first.name, title, text, last.shape))
        else:
            stops.extend(run)
    return stops


def _draw_u(ops: Sequence[Op], across: Sequence[Skip]) -> Drawing:
    """Draw encoder stages down the left, decoder stages up the right, and the skips across."""
    drawing, by_name = Drawing(), {op.name: op for op in ops}
    meet = {skip.at: skip for skip in across}
    groups = [(name, group) for name, group in steps(ops[1:], 1) if group[-1].kind != "slice"]
    bottom = min(range(len(groups)), key=lambda i: (groups[i][1][-1].shape[2], -i))
    left, right, pitch = -2.0, 2.0, 2.1

    drawing.words("x", "x", (left, 0.85))
    last, level, decoded = "x", 0, 0.0
    boxes = {ops[0].name: "x"}  # operation → the box it was drawn in
    for i, (name, group) in enumerate(groups):
        out, key = group[-1], f"{name or group[-1].kind} {i}"
        boxes.update({op.name: key for op in group})
        arrives = by_name[meet[out.name].main if out.name in meet else group[0].inputs[0]].shape
        scale = round(log2(arrives[2] / out.shape[2]))  # 1: halved, −1: doubled
        if out.name in meet:
            drawing.meet(key, SYMBOL["cat"], (right, -pitch * level))
            source = boxes[meet[out.name].source]
            drawing.skip(source, key)
            sent = by_name[meet[out.name].entry].shape
            drawing.note(shape_text(sent), (0, -pitch * level), "above", color=style.SKIP)
            decoded = -pitch * level
        elif scale > 0 and all("pool" in op.kind for op in group):  # between two levels
            drawing.box(key, name, "", (left, -pitch * (level + 0.5)))
        elif scale < 0:  # upsampling: just below the place where the skip arrives
            decoded = -pitch * (level - 1) - 0.62
            drawing.box(key, name, "", (right, decoded))
        elif i <= bottom:  # a ResNet's stages halve the size themselves: one level further down
            x = 0 if i == bottom else left
            drawing.box(key, name, "", (x, -pitch * (level + scale)), _size(out.shape))
        else:
            decoded += 0.75
            drawing.box(key, name, "", (right, decoded), _size(out.shape, flat=0.8))
        level += scale
        _lead(drawing, last, key, shape_text(arrives), right)
        last = key
    drawing.words("y", "y", (right, decoded + 0.78))
    _lead(drawing, last, "y", shape_text(ops[-1].shape), right)
    return drawing


def _lead(drawing: Drawing, start: str, end: str, shape: str, right: float) -> None:
    """Draw the main path from one box to the next, turning corners at the bottom of the U."""
    (x0, y0), (x1, y1) = drawing.places[start], drawing.places[end]
    side = "right" if max(x0, x1) >= right else "left"
    if x0 == x1:
        drawing.arrow(start, end)
        drawing.note(shape, (x0, (y0 + y1) / 2), side)
    else:
        corner = (x1, y0) if x1 >= right else (x0, y1)
        drawing.arrow(start, corner, end)
        drawing.note(shape, (corner[0], (y0 + y1) / 2), side)


def _draw_op(
    drawing: Drawing, block: nn.Module, op: Op, place: tuple[float, float], skips: bool = False
) -> None:
    if op.kind == "input":
        drawing.words(op.name, "x", place)
    elif op.kind in SYMBOL:
        drawing.meet(op.name, SYMBOL[op.kind], place)
    else:
        module = find_module(block, op.module) if op.module else None
        text = f"{type(module).__name__} {describe(module)}".strip() if module else ""
        drawing.box(op.name, op.module or op.kind, text, place, skips=skips)


def _side_path(ops: dict[str, Op], found: Skip) -> list[Op]:
    """List the operations on the shortcut, first to last: none for an identity."""
    path, name = [], found.entry
    while name != found.source:
        path.append(ops[name])
        name = path[-1].inputs[0]
    return path[::-1]


def _size(shape: tuple[int, ...], flat: float = 1.0) -> tuple[float, float]:
    """Width of a box from channels, height from the size of its maps, in inches."""
    height = 0.34 + 0.04 * log2(shape[2]) if len(shape) == 4 else 0.34
    return 0.6 + 0.17 * log2(shape[1]), height * flat
