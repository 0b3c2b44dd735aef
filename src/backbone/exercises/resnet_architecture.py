"""Checks of the exercises in "ResNet: the architecture"."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from math import ceil
from typing import Any

import torch
from torch import nn

from backbone.anatomy import receptive_field, record_features
from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import (
    attempt,
    first_slip,
    function,
    kind,
    number,
    numbers,
    parameters,
)
from backbone.exercises.resnet_common import (
    SIDE,
    for_small_images,
    layers_of,
    still_open,
    without_memory,
    work,
)
from backbone.resnet import BasicBlock, ResNet, ResNet18

Blocks = tuple[int, int, int, int]


# --- 1 -------------------------------------------------------------------------------------------


def _blocks(seed: int) -> dict[str, Blocks]:
    """The book's ResNet-34 first; a class gets other numbers of blocks."""
    draw = random.Random(seed)
    other = (draw.randint(2, 4), draw.randint(3, 6), draw.randint(5, 12), draw.randint(2, 5))
    return {"blocks": (3, 4, 6, 3) if seed == 0 else other}


@exercise("resnet-architecture.1", question=_blocks)
def count_to_34(answer: object, blocks: Blocks = (3, 4, 6, 3)) -> Right:
    """{"modules": …, "main path": …} → numbers of `Conv2d` in `ResNet(BasicBlock, blocks)`."""
    if waiting := still_open(answer):
        return waiting
    said = numbers(answer, ("modules", "main path"))
    held, main = said["modules"], said["main path"]
    net = without_memory(lambda: ResNet(BasicBlock, list(blocks), width=8))
    names = layers_of(net, nn.Conv2d)
    total, path = len(names), sum("downsample" not in name for name in names)
    if (held, main) == (total, path):
        return Right(
            f"{path} on the main path, and with fc a ResNet-{path + 1}; the other {total - path} "
            "sit on shortcuts.",
            f"主路径上 {path} 个，加上 fc 就是 ResNet-{path + 1}；另外 {total - path} 个在"
            "捷径连接上。",
        )
    raise _miscounted(held, main, total, path, sum(blocks))


def _miscounted(held: float, main: float, total: int, path: int, blocks: int) -> Wrong:
    cases: list[tuple[bool, str, str, str]] = [
        (
            (held, main) == (path, total),
            "The other way round: the main path is a part of what the network holds.",
            "正好反了：主路径上的只是网络所含的一部分。",
            "swapped",
        ),
        (
            main == path + 1,
            "You counted fc among them. It has weights, but it is a Linear, not a Conv2d.",
            "你把 fc 也算进去了。它有权重，但它是 Linear，不是 Conv2d。",
            "linear-counted",
        ),
        (
            main == path - 1,
            "One convolution comes before the first block.",
            "在第一个块之前，还有一个卷积。",
            "stem-forgotten",
        ),
        (
            main in (blocks, blocks + 1),
            "How many convolutions has each block on its main path? Not one.",
            "每个块的主路径上有几个卷积？不止一个。",
            "blocks-for-convolutions",
        ),
        (
            (held, main) == (path, path),
            "The main path is right. But the network holds more: some shortcuts need a module.",
            "主路径数对了。但网络里还有别的卷积：有些捷径连接需要模块。",
            "projections-forgotten",
        ),
        (
            (held, main) == (total, total),
            "All convolutions found. Some of them are not on the main path: which?",
            "卷积总数对了。其中有几个不在主路径上，是哪几个？",
            "all-on-main-path",
        ),
        (
            (held, main) == (total + 1, path),
            "One too many: what shape comes into layer1, and what shape leaves it?",
            "多了一个：进入 layer1 的是什么形状，出来的又是什么形状？",
            "first-stage-projects",
        ),
        (
            (held, main) == (path + blocks, path),
            "Not every shortcut holds a convolution, only those where the shape changes.",
            "不是每条捷径连接都有卷积，只有形状改变的地方才有。",
            "every-shortcut",
        ),
    ]
    if slip := first_slip(cases):
        return slip
    if main == path:
        return Wrong(
            "The main path is right. Now count the blocks that change the channels or the size.",
            "主路径数对了。再数数有几个块改变了通道数或尺寸。",
            "projections-miscounted",
        )
    return Wrong(
        f"{main:g} is not what the main path has: one in the stem, two in each of {blocks} blocks.",
        f"主路径上不是 {main:g} 个：起始部分一个，{blocks} 个块各两个。",
    )


# --- 2 -------------------------------------------------------------------------------------------


def _photograph(seed: int) -> dict[str, int]:
    """The book's 200×300 first; a class gets another size, whose halves are not all whole."""
    if seed == 0:
        return {"height": 200, "width": 300}
    draw = random.Random(seed)
    sides = [side for side in range(110, 400, 10) if side % 32 and ceil(side / 32) != 7]
    height = draw.choice(sides)
    width = draw.choice([side for side in sides if ceil(side / 32) != ceil(height / 32)])
    return {"height": height, "width": width}


@exercise("resnet-architecture.2", question=_photograph)
def not_square(answer: object, height: int = 200, width: int = 300) -> Right:
    """(C, H, W) of what leaves `layer4`."""
    if not isinstance(answer, list | tuple):
        raise Wrong(
            f"Give the shape as (C, H, W), got {kind(answer)}.",
            f"请把形状写成 (C, H, W)，得到的是 {kind(answer)}。",
            "not-a-shape",
        )
    if waiting := still_open(answer):
        return waiting
    said = tuple(number(side) for side in answer)
    image = torch.zeros(1, 3, height, width, device="meta")
    maps = record_features(without_memory(ResNet18), image, ["layer4"])["layer4"]
    real = tuple(maps.shape[1:])
    if said in (real, (1, *real)):
        return Right(
            f"{real[0]}×{real[1]}×{real[2]}: five halvings each way, rounded up where a side is "
            "odd; the channels do not depend on the image.",
            f"{real[0]}×{real[1]}×{real[2]}：高和宽各减半五次，遇到奇数向上取整；"
            "通道数与图像无关。",
        )
    raise _misshaped(said[1:] if len(said) == 4 else said, real, (height, width))


def _misshaped(said: tuple[float, ...], real: tuple[int, ...], image: tuple[int, int]) -> Wrong:
    c, *sides = real
    if said == tuple(sides) or len(said) != 3:
        return Wrong(
            f"Three numbers are wanted: channels, height, width. Got {len(said)}.",
            f"需要三个数：通道、高、宽。得到的是 {len(said)} 个。",
            "channels-missing",
        )
    if said == (*sides, c):
        return Wrong(
            "The numbers are right; PyTorch puts the channels first.",
            "数都对了；PyTorch 把通道放在最前面。",
            "channels-last",
        )
    got = list(said[1:])
    if got == sides:
        return Wrong(
            f"Height and width are right. How many channels has each map of layer4? Not {said[0]:g}"
            ", and the size of the image does not matter.",
            f"高和宽都对。layer4 输出多少个通道？不是 {said[0]:g}，而且与图像大小无关。",
            "channels",
        )
    if got == sides[::-1]:
        return Wrong(
            f"Turned round: the image is {image[0]} high and {image[1]} wide.",
            f"高和宽反了：图像高 {image[0]}、宽 {image[1]}。",
            "turned-round",
        )
    if got == [side // 32 for side in image]:
        return Wrong(
            "Rounded down. Put an odd side into the formula, with k = 3 and p = 1: which way?",
            "你向下取整了。把一个奇数边长代入公式，k = 3、p = 1：结果偏向哪边？",
            "rounded-down",
        )
    for times in (3, 4, 6):
        if got == [ceil(side / 2**times) for side in image]:
            return Wrong(
                f"That is the size after {times} halvings. Count the layers with stride 2.",
                f"那是减半 {times} 次之后的尺寸。数一数有几层的步幅是 2。",
                "number-of-halvings",
            )
    if got == [7, 7]:
        return Wrong(
            "7×7 belongs to a square photograph of 224 pixels; start from this one.",
            "7×7 属于边长 224 的方形照片；请从这一张开始算。",
            "as-if-224",
        )
    if got == [1, 1]:
        return Wrong(
            "That is what leaves avgpool; layer4 comes before it.",
            "那是 avgpool 的输出；layer4 在它前面。",
            "after-pooling",
        )
    off = next(i for i in (0, 1) if got[i] != sides[i])
    return Wrong(
        f"{('Height', 'Width')[off]}: write down every size from {image[off]} on, five steps, with "
        "the formula of this chapter.",
        f"{('高', '宽')[off]}不对：从 {image[off]} 开始，用本章的公式把五步的尺寸逐一写出来。",
    )


# --- 3 -------------------------------------------------------------------------------------------


def _planes(seed: int) -> dict[str, int]:
    """The book's layer3.0 first; a class gets a block with other channels."""
    draw = random.Random(seed)
    narrow = 128 if seed == 0 else draw.choice((20, 24, 48, 80, 96, 160, 192, 320))
    return {"in_planes": narrow, "planes": 2 * narrow}


@exercise("resnet-architecture.3", question=_planes)
def parameters_by_hand(answer: object, in_planes: int = 128, planes: int = 256) -> Right:
    """{"main path": …, "shortcut": …} → parameters in `BasicBlock(in_planes, planes, 2)`."""
    if waiting := still_open(answer):
        return waiting
    said = numbers(answer, ("main path", "shortcut"))
    block = without_memory(lambda: BasicBlock(in_planes, planes, stride=2))
    shortcut = parameters(block.downsample)
    main = parameters(block) - shortcut
    if said == {"main path": main, "shortcut": shortcut}:
        part = shortcut / (main + shortcut)
        return Right(
            f"{main:,} + {shortcut:,}: only {part:.1%} are on the shortcut, a 1×1 kernel is small.",
            f"{main:,} + {shortcut:,}：捷径连接只占 {part:.1%}，因为 1×1 的卷积核很小。",
        )
    m, s, i, p = said["main path"], said["shortcut"], in_planes, planes
    cases: list[tuple[bool, str, str, str]] = [
        (
            (m, s) == (shortcut, main),
            "The other way round: the two 3×3 convolutions are on the main path.",
            "正好反了：两个 3×3 卷积在主路径上。",
            "swapped",
        ),
        (
            m == main + shortcut,
            "The main path has the number of the whole block; take away what is on the shortcut.",
            "主路径给成了整个块的数目；请减去捷径连接上的部分。",
            "shortcut-in-main-path",
        ),
        (
            m in (main - 4 * p, main - 2 * p, main - p) or s in (shortcut - 2 * p, shortcut - p),
            "A small part is missing: every batch norm has two numbers for each channel, and "
            "there is one after every convolution.",
            "少了一小部分：每个批量归一化对每个通道有两个数，而每个卷积后面都有一个批量归一化。",
            "batch-norm",
        ),
        (
            m - main in (4 * p, 4 * p + 2) or s - shortcut in (2 * p, 2 * p + 1),
            "A batch norm's running mean and variance are measured, not learned: no parameters.",
            "批量归一化的滑动均值和方差是测出来的，不是学出来的，不算参数。",
            "statistics-counted",
        ),
        (
            m == main + 2 * p or s == shortcut + p,
            "The convolutions have no bias: the listing says bias=False.",
            "这些卷积没有偏置：清单里写着 bias=False。",
            "bias",
        ),
        (
            m in (18 * i * p + 4 * p, 18 * p * p + 4 * p),
            "The two convolutions differ: what the first one writes, the second one reads.",
            "两个卷积并不相同：第一个输出多少通道，第二个就读入多少。",
            "same-convolution-twice",
        ),
        (
            m in (k * (i * p + p * p) + 4 * p for k in (1, 3)),
            "A kernel of the main path has 3 · 3 weights for every pair of channels.",
            "主路径上的卷积核，对每一对通道有 3 · 3 个权重。",
            "kernel",
        ),
        (
            s == shortcut + 8 * i * p,
            "The convolution on the shortcut is 1×1, not 3×3.",
            "捷径连接上的卷积是 1×1，不是 3×3。",
            "kernel-on-shortcut",
        ),
        (
            s == 0,
            "Here x cannot be added as it is: channels and size change. What does downsample hold?",
            "这里 x 不能原样相加：通道数和尺寸都变了。downsample 里有什么？",
            "empty-shortcut",
        ),
        (
            0 < s < 1,
            "That is a share. Give the number of parameters on the shortcut.",
            "那是一个比例。请给出捷径连接上的参数个数。",
            "share",
        ),
    ]
    if slip := first_slip(cases):
        raise slip
    en, zh = ("The main path", "主路径") if m != main else ("The shortcut", "捷径连接")
    raise Wrong(
        f"{en} has another number. Write one product for each convolution, in × out × kernel area, "
        "and add two for each channel of each batch norm.",
        f"{zh}的数目不对。每个卷积写一个乘积：输入 × 输出 × 卷积核面积；"
        "再为每个批量归一化的每个通道加二。",
    )


# --- 4 -------------------------------------------------------------------------------------------

Stack = list[tuple[int, int]]  # (kernel, stride) of each layer

STEM: Stack = [(7, 2), (3, 2)]
STACKS: list[Stack] = [
    [(3, 1)],
    [(3, 1), (3, 1)],
    [(5, 1), (1, 1), (3, 1)],
    [(3, 2), (3, 1), (3, 1)],
    [(7, 2), (3, 2)],
    [(3, 2), (5, 2), (3, 2), (3, 1)],
    [*STEM, *[(3, 1)] * 4, (3, 2), *[(3, 1)] * 3],
]


@cache
def _reach() -> list[int]:
    """What a value of each stack of convolutions depends on, followed back by `anatomy`."""
    found = []
    for stack in STACKS:
        net = nn.Sequential(*[nn.Conv2d(1, 1, k, s, padding=k // 2) for k, s in stack])
        last = str(len(stack) - 1)
        found.append(receptive_field(net, last, (1, 1, 128, 128)).size[0])
    return found


def _walk(stack: Stack, how: Callable[[int, int, int, int], tuple[int, int]], r: int = 1) -> int:
    j = 1
    for k, s in stack:
        r, j = how(r, j, k, s)
    return r


SLIPS_OF_REACH: dict[str, tuple[Callable[[Stack], int], str, str]] = {
    "multiplied-first": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r + (k - 1) * j * s, j * s)),
        "A layer's own stride counts only for the layers after it: add first, then multiply.",
        "一层自己的步幅只影响它后面的层：先加，再乘。",
    ),
    "stride-forgotten": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r + k - 1, 1)),
        "Right while every stride is 1. After a stride of 2 each step covers two pixels.",
        "步幅都是 1 时是对的。步幅为 2 的层之后，每一步跨过两个像素。",
    ),
    "jump-not-kept": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r + (k - 1) * j, s)),
        "The jump forgets: after two strides of 2 it is 4, not 2.",
        "间距 j 没有累积：经过两个步幅 2 之后，它是 4 而不是 2。",
    ),
    "strides-added": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r + (k - 1) * j, j + s - 1)),
        "Jumps multiply: after three strides of 2 it is 8.",
        "间距要相乘：经过三个步幅 2 之后，它是 8。",
    ),
    "whole-kernel": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r + k * j, j * s)),
        "A kernel of k adds k − 1 steps to the place it stands on, not k.",
        "边长为 k 的卷积核，在原来的位置之外只多出 k − 1 步，不是 k 步。",
    ),
    "starts-at-zero": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r + (k - 1) * j, j * s), r=0),
        "One too few everywhere: before any layer, a value sees itself, one pixel.",
        "处处少 1：还没经过任何层时，一个值看到的是它自己，一个像素。",
    ),
    "jump-returned": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r * s, j)),
        "That is the jump at the end; the side r is wanted.",
        "那是最后的间距 j；要的是边长 r。",
    ),
    "kernels-multiplied": (
        lambda stack: _walk(stack, lambda r, j, k, s: (r * k, j)),
        "Windows stack, they do not multiply: two 3×3 convolutions see 5 pixels, not 9.",
        "窗口是叠加，不是相乘：两个 3×3 卷积看到 5 个像素，不是 9 个。",
    ),
}


@exercise("resnet-architecture.4")
def receptive_field_by_hand(answer: object) -> Right:
    """`field(layers)`: [(kernel, stride), …] → side of the receptive field."""
    field = function(answer, "field(layers)")
    said = []
    for stack in STACKS:
        got = attempt(f"field({stack})", lambda stack=stack: field(list(stack)))
        if isinstance(got, tuple):
            raise Wrong(
                f"field({stack}) gave {got!r}. Return the side alone; the jump is only a helper.",
                f"field({stack}) 返回了 {got!r}。只返回边长；间距 j 只是中间量。",
                "tuple",
            )
        if got is None:
            raise Wrong(
                f"field({stack}) gave nothing. Is a return missing?",
                f"field({stack}) 什么也没返回。是不是漏了 return？",
                "no-return",
            )
        said.append(number(got))
    real = _reach()
    if said == real:
        short = attempt("field(stem + layer2)", lambda: field([*STEM, (3, 2), *[(3, 1)] * 3]))
        return Right(
            f"As a run through the network says: layer2 sees {real[-1]} pixels. Without the four "
            f"convolutions of layer1 it would be {short}, 2 · 4 fewer for each of them.",
            f"与逐层追踪网络的结果一致：layer2 看到 {real[-1]} 个像素。没有 layer1 的四个卷积，"
            f"就是 {short}，每个卷积少 2 · 4。",
        )
    for slip, (form, en, zh) in SLIPS_OF_REACH.items():
        if said == [form(stack) for stack in STACKS]:
            raise Wrong(en, zh, slip)
    off = next(i for i in range(len(STACKS)) if said[i] != real[i])
    raise Wrong(
        f"field({STACKS[off]}) gave {said[off]:g}. Draw these layers as windows over a row of "
        "pixels and count.",
        f"field({STACKS[off]}) 得到 {said[off]:g}。把这几层画成一排像素上的窗口，再数一数。",
    )


# --- 5 -------------------------------------------------------------------------------------------

HELD_BACK = "held back by"
SCALE = 8  # how much narrower


@cache
def _sizes(width: int, num_classes: int) -> dict[str, int]:
    """Parameters of every row of the layer table that has any."""
    net = without_memory(lambda: ResNet18(num_classes=num_classes, width=width))
    rows = {name: parameters(child) for name, child in net.named_children()}
    return {name: count for name, count in rows.items() if count}


def _factors(num_classes: int = 1000) -> dict[str, float]:
    wide, narrow = (_sizes(width, num_classes) for width in (64, 64 // SCALE))
    factor = {name: wide[name] / narrow[name] for name in wide}
    return {**factor, "total": sum(wide.values()) / sum(narrow.values())}


def _culprit() -> str:
    """The row without which the total factor changes most."""
    wide, narrow = (_sizes(width, 1000) for width in (64, 64 // SCALE))

    def total_without(gone: str) -> float:
        return sum(n for name, n in wide.items() if name != gone) / sum(
            n for name, n in narrow.items() if name != gone
        )

    return max(wide, key=total_without)


@cache
def _work_factor() -> float:
    wide, narrow = (
        work(without_memory(lambda w=w: ResNet18(1000, width=w)), (1, 3, 224, 224))
        for w in (64, 64 // SCALE)
    )
    return sum(wide.values()) / sum(narrow.values())


def _close(said: float, real: float) -> bool:
    """Whether a number is right to 1 %, so that rounding it is no mistake."""
    return abs(said - real) <= 0.01 * real


@exercise("resnet-architecture.5")
def an_eighth_of_the_width(answer: object) -> Right:
    """{row: factor, …, "total": factor, "held back by": row}, measured."""
    real, culprit = _factors(), _culprit()
    keys = (*real, HELD_BACK)
    if not isinstance(answer, Mapping) or any(key not in answer for key in keys):
        missing = [k for k in keys if k not in answer] if isinstance(answer, Mapping) else keys
        raise Wrong(
            f"Give a dictionary with a factor for every row, the total and {HELD_BACK!r}; "
            f"missing: {', '.join(missing)}.",
            f"请给出一个字典，含每一行的倍数、total 和 {HELD_BACK!r}；还缺：{', '.join(missing)}。",
            "not-these-names",
        )
    if waiting := still_open({key: answer[key] for key in keys}):
        return waiting
    said = {key: number(answer[key]) for key in real}
    off = [key for key in real if not _close(said[key], real[key])]
    if off:
        raise _mismeasured(said, real, off)
    rows = [key for key in real if key != "total"]
    if answer[HELD_BACK] not in rows:
        raise Wrong(
            f"The factors are right. {HELD_BACK!r} must name one row: {', '.join(rows)}.",
            f"倍数都对了。{HELD_BACK!r} 应是某一行的名字：{', '.join(rows)}。",
            "not-a-row",
        )
    if answer[HELD_BACK] != culprit:
        row, narrow = answer[HELD_BACK], _sizes(64 // SCALE, 1000)
        share = narrow[row] / sum(narrow.values())
        if said[row] > real["total"]:
            raise Wrong(
                f"The factors are right. But {row} falls by more than the total does: it does not "
                "hold back.",
                f"倍数都对了。但 {row} 的倍数比总倍数还大：拖后腿的不是它。",
                "falls-enough",
            )
        raise Wrong(
            f"The factors are right. {row} falls little, but it is only {share:.2%} of the narrow "
            "network: which row with a small factor is large there?",
            f"倍数都对了。{row} 降得少，但它只占窄网络的 {share:.2%}：哪一行倍数小，份量却大？",
            "too-small-to-matter",
        )
    narrow = _sizes(64 // SCALE, 1000)
    return Right(
        f"Most rows fall about {real['layer3']:.0f} times, the total only {real['total']:.0f}: "
        f"{culprit} still writes 1,000 scores and is {narrow[culprit] / sum(narrow.values()):.0%} "
        "of the narrow network.",
        f"多数行约降到 1/{real['layer3']:.0f}，总数只降到 1/{real['total']:.0f}：{culprit} "
        f"仍要输出 1,000 个得分，占窄网络的 {narrow[culprit] / sum(narrow.values()):.0%}。",
    )


def _mismeasured(said: dict[str, float], real: dict[str, float], off: list[str]) -> Wrong:
    rows = [key for key in real if key != "total"]
    if all(_close(said[key] * real[key], 1) for key in rows):
        return Wrong(
            "Upside down: divide the wide network's number by the narrow one's.",
            "上下颠倒了：用宽网络的数除以窄网络的数。",
            "upside-down",
        )
    ten = _factors(num_classes=10)
    if all(_close(said[key], ten[key]) for key in real):
        return Wrong(
            "Measured with 10 classes, the default. The question has 1,000, and it matters.",
            "这是默认的 10 个类别时的结果。题目是 1,000 个类别，差别很大。",
            "ten-classes",
        )
    if len(set(said.values())) == 1:
        return Wrong(
            f"Not every row falls by {said['total']:g}. Do both sides of each row become narrower?",
            f"不是每一行都降到 1/{said['total']:g}。每一行的输入和输出两边都变窄了吗？",
            "same-everywhere",
        )
    if off == ["total"]:
        if _close(said["total"], sum(real[key] for key in rows) / len(rows)):
            return Wrong(
                "The total is no mean of the rows: add up the parameters first, then divide.",
                "总倍数不是各行的平均：先把参数加起来，再相除。",
                "mean-of-factors",
            )
        if _close(said["total"], _work_factor()):
            return Wrong(
                "That is the factor of the work; parameters are asked for.",
                "那是计算量的倍数；题目问的是参数。",
                "multiply-adds",
            )
        return Wrong(
            "The rows are right. For the total, divide the sum of all rows by the other sum.",
            "各行都对了。总倍数要用一个网络各行之和除以另一个的。",
            "total",
        )
    if "conv1" in off and _close(said["conv1"], SCALE**2):
        return Wrong(
            "conv1 reads three colours in both networks: only one of its two sides shrinks.",
            "两个网络的 conv1 都读入三种颜色：它只有一边缩小。",
            "conv1-both-sides",
        )
    if "fc" in off and said["fc"] in (SCALE, SCALE**2):
        return Wrong(
            "fc writes 1,000 scores in both networks, and has a bias for each of them: measure it.",
            "两个网络的 fc 都输出 1,000 个得分，而且每个得分有一个偏置：请量一量。",
            "fc",
        )
    return Wrong(
        f"{off[0]} falls by another factor than {said[off[0]]:g}: compare the two layer tables.",
        f"{off[0]} 的倍数不是 {said[off[0]]:g}：请比较两张逐层表。",
    )


# --- 6 -------------------------------------------------------------------------------------------


@exercise("resnet-architecture.6")
def for_thirty_two_pixels(answer: object) -> Right:
    """A `ResNet18` with a 3×3 `conv1` of stride 1 and without max pooling."""
    net, _ = for_small_images(answer, channels=3)
    conv: Any = net.conv1
    if tuple(getattr(conv, "kernel_size", (3, 3))) != (3, 3):
        raise Wrong(
            f"4×4 it is. But conv1 still has a kernel of {conv.kernel_size[0]}×"
            f"{conv.kernel_size[1]}; 3×3 is asked for.",
            f"确实是 4×4。但 conv1 的卷积核仍是 {conv.kernel_size[0]}×{conv.kernel_size[1]}；"
            "题目要的是 3×3。",
            "kernel-kept",
        )
    x = torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(0)) - 0.5
    if not torch.equal(attempt("maxpool", lambda: net.maxpool(x.clone())), x):
        raise Wrong(
            "maxpool keeps the size now, but it still changes values. Put nothing in its place: "
            "there is a module for that.",
            "maxpool 现在保持尺寸了，但它仍会改变数值。要换成什么也不做的东西：有这样的模块。",
            "still-pools",
        )
    conv.padding = (1, 1)  # this copy's; "same" says it in a word
    counted = (_work_before(), sum(work(net, (1, 3, SIDE, SIDE)).values()))
    reach = receptive_field(net, "layer4", (1, 3, SIDE, SIDE)).size
    return Right(
        f"layer4 puts out 4×4 now, for {counted[1] / counted[0]:.1f} times the work, and still "
        f"sees {reach[0]} pixels. The halvings left are at layer2, layer3 and layer4.",
        f"layer4 现在输出 4×4，计算量是原来的 {counted[1] / counted[0]:.1f} 倍，"
        f"仍能看到 {reach[0]} 个像素。剩下的减半在 layer2、layer3 和 layer4。",
    )


@cache
def _work_before() -> int:
    return sum(work(without_memory(ResNet18), (1, 3, SIDE, SIDE)).values())
