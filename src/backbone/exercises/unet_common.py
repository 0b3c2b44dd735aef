"""What the two chapters on the U-Net both ask: shapes inside it, and the price of other images."""

from __future__ import annotations

import random

import torch
from torch import nn

from backbone.anatomy import record_features
from backbone.exercises.core import Right, Wrong
from backbone.exercises.probes import kind, number, parameters
from backbone.unet import UNetModel

FIRST = 32  # init_features of UNetModel()


def network(**settings: int) -> nn.Module:
    """Build a UNetModel without memory for its weights: shapes and counts need none."""
    with torch.device("meta"):
        return UNetModel(**settings).eval()


# --- shapes --------------------------------------------------------------------------------------


def sizes(seed: int, features: int, batch: int) -> dict[str, int]:
    """The book's 96×160 first; a class gets another width and another image."""
    if seed == 0:
        return {"features": features, "batch": batch, "height": 96, "width": 160}
    draw = random.Random(seed)
    height, width = draw.sample((64, 80, 112, 144, 176, 208), 2)
    features = draw.choice([f for f in (4, 6, 8, 12, 16, 20) if f != features])
    return {"features": features, "batch": batch, "height": height, "width": width}


def check_shapes(answer: object, layers: tuple[str, ...], question: dict[str, int]) -> None:
    """Compare {layer: (N, C, H, W)} with the maps of a real run.

    Raises:
        Wrong: the answer is no such dictionary, or a shape differs.
    """
    said = _shapes(answer, layers)
    f, n = question["features"], question["batch"]
    h, w = question["height"], question["width"]
    net = network(init_features=f)
    made = record_features(net, torch.zeros(n, 1, h, w, device="meta"), list(layers))
    for layer in layers:
        if said[layer] != tuple(made[layer].shape):
            raise _why(layer, said[layer], f, n, h, w)


def _shapes(answer: object, layers: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    if not isinstance(answer, dict) or set(answer) != set(layers):
        wanted = "{" + ", ".join(f'"{layer}": (…)' for layer in layers) + "}"
        raise Wrong(
            f"Give a dictionary {wanted}, got {kind(answer)}.",
            f"请给出字典 {wanted}，得到的是 {kind(answer)}。",
            "not-these-names",
        )
    said = {}
    for layer in layers:
        shape = answer[layer]
        if not isinstance(shape, tuple | list) or len(shape) != 4:
            raise Wrong(
                f"{layer}: a shape here has four numbers, (N, C, H, W); got {kind(shape)}.",
                f"{layer}：这里的形状有四个数 (N, C, H, W)；得到的是 {kind(shape)}。",
                "not-four-numbers",
            )
        said[layer] = tuple(number(n) for n in shape)
    return said


def _why(layer: str, said: tuple[int, ...], f: int, n: int, h: int, w: int) -> Wrong:
    """Find the slip that leads to this shape."""
    bottom = layer == "encode_decode_layer"
    k = 4 if bottom else int(layer[-1]) - 1
    channels, high, wide = f * 2**k, h // 2**k, w // 2**k
    if said == (n, channels, wide, high):
        return Wrong(
            f"{layer}: height comes before width, and {h}×{w} is height × width.",
            f"{layer}：高在前，宽在后；{h}×{w} 就是高 × 宽。",
            "sides-swapped",
        )
    if said[0] != n and said[1:] == (channels, high, wide):
        return Wrong(
            f"{layer}: the batch has {n} {'image' if n == 1 else 'images'}; no layer changes that.",
            f"{layer}：这一批有 {n} 幅图像；没有哪一层会改变这个数。",
            "batch",
        )
    if said == (n, 2 * channels, h // (2 * 2**k), w // (2 * 2**k)):
        if layer.startswith("decode"):
            return Wrong(
                f"{layer} lies higher up: decoder stages count backwards, level 1 is full size.",
                f"{layer} 的位置更高：解码器的阶段倒着编号，第 1 层是完整尺寸。",
                "counted-from-the-bottom",
            )
        return Wrong(
            f"{layer}: one halving too many. A pool stands between two stages, none before the "
            "first.",
            f"{layer}：多减半了一次。池化在两个阶段之间，第一个阶段之前没有。",
            "one-level-too-deep",
        )
    if said[1] == 2 * channels and said[2:] == (high, wide) and layer.startswith("decode"):
        return Wrong(
            f"{layer} takes that many channels, upsampled and skipped. How many does it put out?",
            f"{layer} 接收这么多通道：上采样的加上跳跃连接送来的。它输出多少？",
            "joined-channels",
        )
    if said[2:] == (h, w) and k:
        return Wrong(
            f"{layer} does not work at full size: how many pools lie between it and the image?",
            f"{layer} 不在完整尺寸上工作：它与图像之间隔着几次池化？",
            "never-halved",
        )
    if said[2:] == (high, wide):
        return Wrong(
            f"{layer}: the size is right, the channels are not. They double with every level, "
            f"starting at {f}.",
            f"{layer}：尺寸对了，通道数不对。从 {f} 开始，每往下一层翻一倍。",
            "channels",
        )
    if said[1] == channels:
        return Wrong(
            f"{layer}: the channels are right, the size is not. Halve both sides once per pool.",
            f"{layer}：通道数对了，尺寸不对。每次池化两条边各减半。",
            "size",
        )
    return Wrong(
        f"{layer}: which level is it on? Each level down halves both sides and doubles the "
        "channels.",
        f"{layer}：它在第几层？每往下一层，两条边减半，通道数翻倍。",
    )


# --- the price of other images -------------------------------------------------------------------


def images(seed: int, out_features: int) -> dict[str, int]:
    """The book's colour images first; a class gets other channels and classes."""
    if seed == 0:
        return {"in_features": 3, "out_features": out_features}
    draw = random.Random(seed)
    return {"in_features": draw.choice((2, 4, 5, 6)), "out_features": draw.choice((3, 6, 7, 8, 9))}


def check_price(answer: object, in_features: int, out_features: int) -> Right:
    """How many parameters more than `UNetModel()`?

    Raises:
        Wrong: another number.
    """
    said = number(answer)
    other = network(in_features=in_features, out_features=out_features)
    total, plain = parameters(other), parameters(network())
    if said == total - plain:
        return Right(
            f"{said:,.0f} of {total:,}: only the two ends know what the images are.",
            f"{total:,} 个中只多了 {said:,.0f} 个：只有两端知道图像是什么样的。",
        )
    f, i, o = FIRST, in_features - 1, out_features - 2  # i, o: what is new
    first, last = 9 * f * i, (f + 1) * o
    forms = {
        "bias-forgotten": first + f * o,
        "kernel-forgotten": f * i + last,
        "last-is-not-3x3": first + (9 * f + 1) * o,
        "bias-per-input": (9 * f + 1) * i + last,
        "bias-of-the-first": first + f + last,
        "first-only": first,
        "last-only": last,
        "whole-layers": 9 * f * in_features + f + (f + 1) * out_features,
        "one-too-many": 9 * f * in_features + (f + 1) * out_features,
        "all-of-it": total,
        "turned-round": plain - total,
    }
    hints = {
        "bias-forgotten": (
            "Nearly. Each new class needs one number more, beside its weights.",
            "差一点。每个新类别除了权重，还需要一个数。",
        ),
        "kernel-forgotten": (
            "The first convolution is 3×3: how many weights for every pair of channels?",
            "第一个卷积是 3×3：每一对通道有多少个权重？",
        ),
        "last-is-not-3x3": (
            "The last convolution looks at one pixel alone: print the out_layer.",
            "最后一个卷积只看一个像素：打印 out_layer 看看。",
        ),
        "bias-per-input": (
            "A bias belongs to an output channel. Does the first convolution have more of those?",
            "偏置属于输出通道。第一个卷积的输出通道变多了吗？",
        ),
        "bias-of-the-first": (
            "The biases of the first convolution were there before; only what is new counts.",
            "第一个卷积的偏置原来就有；只算新增的。",
        ),
        "first-only": (
            "That is the way in. The way out has more classes to score, too.",
            "这只是入口。出口也要多给几个类别打分。",
        ),
        "last-only": (
            "That is the way out. The way in has more channels to read, too.",
            "这只是出口。入口也要多读几个通道。",
        ),
        "whole-layers": (
            "That is all the two layers have. How much of it did UNetModel() have already?",
            "这是那两层的全部参数。其中有多少 UNetModel() 原来就有？",
        ),
        "one-too-many": (
            "UNetModel() reads one channel and scores two classes already: count what is new.",
            "UNetModel() 原来就读一个通道、给两个类别打分：只数新增的。",
        ),
        "all-of-it": (
            "That is the whole network; the question is how many more than UNetModel() has.",
            "这是整个网络；问题是比 UNetModel() 多多少。",
        ),
        "turned-round": (
            "The larger network has more, so the difference is positive.",
            "大网络的参数更多，所以差是正数。",
        ),
    }
    for slip, form in forms.items():
        if said == form:
            raise Wrong(*hints[slip], slip)
    raise Wrong(
        f"{said:,.0f} it is not. Two convolutions change: which one reads the image, which one "
        "makes the scores?",
        f"不是 {said:,.0f}。有两个卷积会变：哪个读图像，哪个给出分数？",
    )
