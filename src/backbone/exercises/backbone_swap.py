"""Checks of the exercises in "Backbone swap"."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from functools import cache
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from backbone.anatomy import record_features
from backbone.data import nuclei_split
from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import attempt, function, kind, number
from backbone.exercises.segmentation import baseline
from backbone.experiments import Results, load_results
from backbone.experiments.backbone_swap import TILE, tiles
from backbone.resnet import ResNet, ResNet18, ResNet34, ResNet50, ResNet101
from backbone.resnet_unet import ResNetUNet
from backbone.training import iou
from backbone.weights import load_trained

STAGES = (*(f"encode_layer{i}" for i in (1, 2, 3, 4)), "encode_decode_layer")


@cache
def _moved() -> ResNetUNet:
    """A ResNetUNet whose encoder holds the weights from clothes, its decoder always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ResNetUNet(ResNet18(in_channels=1, width=8))
    net.load_encoder(load_trained("resnet18-fashion"))
    return net.eval()


def _segment(net: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        return net.eval()(image[None]).argmax(dim=1)[0]


# --- 1: shapes of a deeper one -------------------------------------------------------------------

RESNETS: dict[int, Callable[..., ResNet]] = {
    18: ResNet18,
    34: ResNet34,
    50: ResNet50,
    101: ResNet101,
}


def _encoder(seed: int) -> dict[str, int]:
    if seed == 0:
        return {"depth": 50, "planes": 16, "height": 96, "width": 160}
    draw = random.Random(seed)
    height, width = draw.sample((64, 128, 192, 224, 256, 288), 2)
    planes = draw.choice((4, 8, 12, 24, 32))
    return {"depth": draw.choice((34, 50, 101)), "planes": planes, "height": height, "width": width}


@exercise("backbone-swap.1", question=_encoder)
def shapes_of_a_deeper_one(
    answer: object, depth: int, planes: int, height: int, width: int
) -> Right:
    """Five shapes (C, H, W): the four skips from the largest maps down, then the bottom."""
    said = _five_shapes(answer)
    with torch.device("meta"):
        net = ResNetUNet(RESNETS[depth](width=planes)).eval()
        maps = record_features(net, torch.zeros(1, 3, height, width), list(STAGES))
    real = [tuple(maps[stage].shape[1:]) for stage in STAGES]
    if said == real:
        return Right(
            f"The first skip leaves the stem, before any block: {planes} channels at any depth.",
            f"第一个跳跃连接从起始部分出发，前面没有任何块：无论多深都是 {planes} 个通道。",
        )
    e = real[1][0] // planes
    h, w = height, width

    def at(channels: tuple[int, ...], halvings: tuple[int, ...] = (1, 2, 3, 4, 5)) -> list[Any]:
        return [(planes * c, h // 2**k, w // 2**k) for c, k in zip(channels, halvings, strict=True)]

    true = (1, e, 2 * e, 4 * e, 8 * e)
    forms: dict[str, list[Any]] = {"sides-swapped": [(c, w, h) for c, h, w in real]}
    if e > 1:
        forms["expansion-forgotten"] = at((1, 1, 2, 4, 8))
        forms["stem-widened"] = at((e, e, 2 * e, 4 * e, 8 * e))
    else:
        forms["expansion-of-a-bottleneck"] = at((1, 4, 8, 16, 32))
        forms["first-doubled"] = at((1, 2, 4, 8, 16))
    forms |= {
        "first-at-full-size": at(true, (0, 1, 2, 3, 4)),
        "pool-forgotten": at(true, (1, 1, 2, 3, 4)),
        "skip-behind-the-pool": at(true, (2, 2, 3, 4, 5)),
        "bottom-halved-again": at(true, (1, 2, 3, 4, 6)),
    }
    hints = {
        "sides-swapped": (
            f"Height comes before width, and {h}×{w} is height × width.",
            f"高在前，宽在后；{h}×{w} 就是高 × 宽。",
        ),
        "expansion-forgotten": (
            "The sizes are right. A bottleneck puts out expansion · planes channels.",
            "尺寸都对。瓶颈块输出 expansion · planes 个通道。",
        ),
        "stem-widened": (
            "Nearly: which blocks has the first skip passed through?",
            "差一点：第一个跳跃连接经过了哪些块？",
        ),
        "expansion-of-a-bottleneck": (
            f"The sizes are right. ResNet-{depth} has basic blocks, which do not widen their maps.",
            f"尺寸都对。ResNet-{depth} 用的是基本块，它不会把通道数扩大四倍。",
        ),
        "first-doubled": (
            "The sizes are right. The first stage of blocks keeps the channels of the stem.",
            "尺寸都对。第一个由块组成的阶段保持起始部分的通道数。",
        ),
        "first-at-full-size": (
            "So it is in a U-Net with its own encoder. A ResNet's first convolution has stride 2.",
            "那是自带编码器的 U-Net。ResNet 的第一个卷积步幅为 2。",
        ),
        "pool-forgotten": (
            "The first is right. Between the stem and the first stage stands a pool.",
            "第一个对了。起始部分与第一个阶段之间有一个池化。",
        ),
        "skip-behind-the-pool": (
            "The first skip leaves before the pool, where the maps are larger.",
            "第一个跳跃连接在池化之前出发，那里的特征图更大。",
        ),
        "bottom-halved-again": (
            "All four skips are right. layer4 halves the maps once.",
            "四个跳跃连接都对。layer4 只减半一次。",
        ),
    }
    for slip, form in forms.items():
        if said == form:
            raise Wrong(*hints[slip], slip)
    i = next(i for i in range(5) if said[i] != real[i])
    if said[i][1:] == real[i][1:]:
        raise Wrong(
            f"{STAGES[i]}: the size is right, {said[i][0]} channels are not.",
            f"{STAGES[i]}：尺寸对了，{said[i][0]} 个通道不对。",
            "channels",
        )
    if said[i][0] == real[i][0]:
        raise Wrong(
            f"{STAGES[i]}: the channels are right, {said[i][1]}×{said[i][2]} is not. How often have"
            " the maps been halved by then?",
            f"{STAGES[i]}：通道数对了，{said[i][1]}×{said[i][2]} 不对。到这里减半了几次？",
            "size",
        )
    raise Wrong(
        f"{STAGES[i]}: count the halvings before it for the size, and look at its blocks for the "
        "channels.",
        f"{STAGES[i]}：尺寸看它之前减半了几次，通道数看它的块。",
    )


def _five_shapes(answer: object) -> list[tuple[float, ...]]:
    if isinstance(answer, dict):
        answer = list(answer.values())
    if not isinstance(answer, list | tuple) or len(answer) != 5:
        raise Wrong(
            f"Give a list of five shapes (C, H, W), the bottom last; got {kind(answer)}.",
            f"请给出五个形状 (C, H, W) 的列表，底部放在最后；得到的是 {kind(answer)}。",
            "not-five",
        )
    shapes = []
    for one in answer:
        numbers = tuple(number(n) for n in one) if isinstance(one, list | tuple) else ()
        if len(numbers) == 4 and numbers[0] == 1:  # with the batch in front
            numbers = numbers[1:]
        if len(numbers) != 3:
            raise Wrong(
                f"A shape here has three numbers, (C, H, W); got {kind(one)}.",
                f"这里的形状有三个数 (C, H, W)；得到的是 {kind(one)}。",
                "not-three-numbers",
            )
        shapes.append(numbers)
    return shapes


# --- 2: from colour to grey ----------------------------------------------------------------------

GREY_WEIGHTS = torch.tensor([0.299, 0.587, 0.114])  # how bright the eye finds red, green and blue


@exercise("backbone-swap.2")
def from_colour_to_grey(answer: object) -> Right:
    """`to_grey(state)`: state_dict of a colour ResNet → the same for grey images."""
    to_grey = function(answer, "to_grey(state)")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        colour = ResNet18(width=8).eval()
        unet = ResNetUNet(ResNet18(in_channels=1, width=8)).eval()
    three = colour.conv1.weight.detach().clone()  # (8, 3, 7, 7)
    got = attempt("to_grey(state)", lambda: to_grey(colour.state_dict()))
    if not torch.equal(colour.conv1.weight, three):
        raise Wrong(
            "to_grey changed the colour network: a state_dict shares its numbers. No operations in "
            "place.",
            "to_grey 改动了彩色网络：state_dict 与它共享数值。不要用原地操作。",
            "changes-the-source",
        )
    state = got.state_dict() if isinstance(got, nn.Module) else got
    if not isinstance(state, Mapping) or "conv1.weight" not in state:
        raise Wrong(
            f"to_grey must return a whole state_dict, with conv1.weight in it; got "
            f"{type(got).__name__}.",
            f"to_grey 应当返回完整的 state_dict，其中有 conv1.weight；得到的是 "
            f"{type(got).__name__}。",
            "not-a-state",
        )
    _judge_kernel(state["conv1.weight"], three)
    if lost := [name for name in colour.state_dict() if name not in state and name[:2] != "fc"]:
        raise Wrong(
            f"{len(lost)} entries are missing, {lost[0]} for one: all but conv1 stay as they are.",
            f"少了 {len(lost)} 项，例如 {lost[0]}：除 conv1 外都原样保留。",
            "others-lost",
        )
    attempt("load_encoder(to_grey(state))", lambda: unet.load_encoder(state))
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    wanted = record_features(colour, x.expand(-1, 3, -1, -1), ["layer4"])["layer4"]
    found = record_features(unet, x, [STAGES[-1]])[STAGES[-1]]
    if not torch.allclose(found, wanted, atol=1e-4):
        raise Wrong(
            "The first kernel is right, the maps of layer4 are not: something behind it changed.",
            "第一个卷积核对了，但 layer4 的特征图不同：后面有东西变了。",
            "others-changed",
        )
    return Right(
        "Equal maps at the bottom, and a third of the work in conv1.",
        "底部的特征图相同，而 conv1 的计算量只有三分之一。",
    )


def _judge_kernel(one: Any, three: Tensor) -> None:  # noqa: ANN401 (a reader's answer)
    wanted = three.sum(dim=1, keepdim=True)  # (8, 1, 7, 7)
    shape = tuple(one.shape) if isinstance(one, Tensor) else None
    if shape == tuple(three.shape):
        raise Wrong(
            "conv1.weight still has three input channels.",
            "conv1.weight 仍有三个输入通道。",
            "still-colour",
        )
    if shape == (8, 7, 7):
        raise Wrong(
            "A dimension is lost: (8, 7, 7). A convolution needs the channel, also if it is only "
            "one.",
            "丢了一个维度：(8, 7, 7)。卷积需要通道这一维，哪怕只有一个通道。",
            "dimension-lost",
        )
    if shape != tuple(wanted.shape):
        raise Wrong(
            f"conv1.weight must have shape {tuple(wanted.shape)}: out, in, height, width; got "
            f"{shape or kind(one)}.",
            f"conv1.weight 的形状应为 {tuple(wanted.shape)}：输出、输入、高、宽；得到的是 "
            f"{shape or kind(one)}。",
            "kernel-shape",
        )
    if torch.allclose(one, wanted, atol=1e-5):
        return
    hints = {
        "mean-for-sum": (
            "With the mean, everything is a third as strong: a convolution adds up its channels.",
            "取均值的话，一切只有三分之一强：卷积是把各通道加起来。",
        ),
        "one-channel": (
            "You kept one colour; the other two kernels also see the grey image.",
            "你只留了一种颜色；另外两个卷积核也看到灰度图像。",
        ),
        "luminance": (
            "Those weights turn a colour image into grey. Here the image is grey and all three "
            "channels hold it.",
            "这些权重用来把彩色图像变成灰度。这里图像本来就是灰度，三个通道都是它。",
        ),
    }
    forms = {
        "mean-for-sum": [wanted / 3],
        "one-channel": [three[:, i : i + 1] for i in range(3)],
        "luminance": [(three * GREY_WEIGHTS.view(1, 3, 1, 1)).sum(1, keepdim=True)],
    }
    for slip, kernels in forms.items():
        if any(torch.allclose(one, k, atol=1e-5) for k in kernels):
            raise Wrong(*hints[slip], slip)
    raise Wrong(
        "conv1 gives something else for a grey image than the colour one for its triple. Write the "
        "sum over the three channels, with equal values in each.",
        "对灰度图像，conv1 的输出与彩色网络对三份同样图像的输出不同。"
        "写出对三个通道的求和，令三个通道的值相等。",
    )


# --- 3: two ways to score ------------------------------------------------------------------------


class _Echo(nn.Module):
    """Finds every bright pixel, and notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []
        self.in_training = False

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 2, H, W)."""
        self.seen.append(tuple(x.shape[-2:]))
        self.in_training |= self.training
        return torch.cat([0.5 - x, x - 0.5], dim=1)


@cache
def _tiled() -> Tensor:
    """The shipped network's mask of the unseen side, tile by tile."""
    net, image = load_trained("resnet-unet-nuclei"), nuclei_split().test.image
    found = torch.zeros(image.shape[-2:], dtype=torch.long)
    for top in range(0, found.shape[0], TILE):
        for left in range(0, found.shape[1], TILE):
            rows, columns = slice(top, top + TILE), slice(left, left + TILE)
            found[rows, columns] = _segment(net, image[:, rows, columns])
    return found


@exercise("backbone-swap.3")
def two_ways_to_score(answer: object) -> Right:
    """`tile_by_tile(net, image)`: the mask, put together from tiles of 64×64."""
    cut_up = function(answer, "tile_by_tile(net, image)")
    call = "tile_by_tile(net, image)"
    side = nuclei_split().test
    image = torch.rand(side.image.shape, generator=torch.Generator().manual_seed(0))
    echo, (_, height, width) = _Echo(), image.shape
    got = attempt(call, lambda: cut_up(echo, image.clone()))
    if not isinstance(got, Tensor):
        raise Wrong(
            f"{call} must give the mask, a tensor; got {kind(got)}.",
            f"{call} 应当给出掩码，即一个张量；得到的是 {kind(got)}。",
            "no-tensor",
        )
    if (height, width) in echo.seen:
        raise Wrong(
            "The network was shown the whole image at once. It should get 64×64 at a time.",
            "网络一次看到了整幅图像。它每次应当只看 64×64。",
            "whole-at-once",
        )
    if not echo.seen or set(echo.seen) != {(TILE, TILE)}:
        odd = next((size for size in echo.seen if size != (TILE, TILE)), None)
        raise Wrong(
            f"The network must see tiles of 64×64, and saw {odd}."
            if odd
            else f"{call} never asked the network that is handed in.",
            f"网络应当看到 64×64 的图块，却看到了 {odd}。"
            if odd
            else f"{call} 根本没有用传进来的网络。",
            "other-tiles" if odd else "net-ignored",
        )
    if echo.in_training:
        raise Wrong(
            "The network was in training mode: batch norm then looks at the tile alone.",
            "网络处于训练模式：批量归一化这时只看这一块图块。",
            "training-mode",
        )
    mask = (image[0] > 0.5).long()
    _judge_mask(call, got, mask)
    net = load_trained("resnet-unet-nuclei").eval()
    tiled = _tiled()
    real = attempt(call, lambda: cut_up(net, side.image.clone()))
    if not isinstance(real, Tensor) or (real.long() != tiled).float().mean() > 1e-3:
        raise Wrong(
            "The tiles are in place, and a pixel does not always get the class with the larger "
            "score. Is it the argmax over the two classes?",
            "图块都放对了，但像素得到的并不总是分数较大的类别。是对两个类别取 argmax 吗？",
            "not-the-argmax",
        )
    whole = _segment(net, side.image)
    differ = (tiled != whole).float().mean()
    return Right(
        f"In the book's network {differ:.1%} of the pixels differ: IoU {iou(whole, side.mask):.3f} "
        f"at once, {iou(tiled, side.mask):.3f} in tiles. A tile has zeros where the image goes on.",
        f"随书的网络有 {differ:.1%} 的像素不同：整幅 IoU {iou(whole, side.mask):.3f}，"
        f"分块 {iou(tiled, side.mask):.3f}。图像延续的地方，图块那里是零。",
    )


def _judge_mask(call: str, got: Tensor, mask: Tensor) -> None:
    high, wide = mask.shape
    if tuple(got.shape) != (high, wide):
        if got.dim() == 3 and got.shape[0] == 2:
            raise Wrong(
                f"{call} gives scores of both classes; the mask is the class of each pixel.",
                f"{call} 给出了两个类别的分数；掩码是每个像素的类别。",
                "scores-for-mask",
            )
        raise Wrong(
            f"{call} has shape {tuple(got.shape)}; put together, the mask is {high}×{wide}.",
            f"{call} 的形状是 {tuple(got.shape)}；拼起来的掩码应为 {high}×{wide}。",
            "not-put-together",
        )
    if torch.equal(got.long(), mask):
        return
    pieces = mask.unfold(0, TILE, TILE).unfold(1, TILE, TILE)  # (rows, columns, 64, 64)
    grid = got.long().unfold(0, TILE, TILE).unfold(1, TILE, TILE)
    true, found = pieces.reshape(-1, TILE, TILE), grid.reshape(-1, TILE, TILE)
    if all(any(torch.equal(tile, one) for one in true) for tile in found):
        raise Wrong(
            "Every tile is right, and they lie in the wrong places: rows first, then columns.",
            "每块图块都对，但放错了位置：先行后列。",
            "tiles-misplaced",
        )
    if sorted(got.long().flatten().tolist()) == sorted(mask.flatten().tolist()):
        raise Wrong(
            "The pixels are shuffled. Before a reshape the rows of tiles and the rows in a tile "
            "must stand side by side: permute.",
            "像素被打乱了。reshape 之前，图块的行与图块内的行必须相邻：用 permute。",
            "reshape-without-permute",
        )
    raise Wrong(
        f"{(got.long() != mask).float().mean():.0%} of the mask is not what the network said. Is "
        "every tile filled in once?",
        f"掩码中有 {(got.long() != mask).float().mean():.0%} 不是网络给出的答案。"
        "每块图块都正好填了一次吗？",
    )


# --- 4: doubt a claim ----------------------------------------------------------------------------

SCRATCH, CONTROL, CLOTHES = "resnet-unet", "resnet-unet, frozen", "resnet-unet, clothes"
WANTED = ("threshold", "scratch", "random, frozen", "worst seed")
MENU = (*WANTED, "accuracy on A", "training tiles", "all tiles", "parameters")


def _case(seed: int) -> dict[str, int]:
    return {"tiles": 4 if seed == 0 else random.Random(seed).choice((2, 8, 16))}


@cache
def _results() -> Results:
    return load_results("backbone")


def _scores(model: str, tiles: int) -> list[float]:
    return _results().values("iou", model=model, tiles=tiles, lr=None)


@exercise("backbone-swap.4", question=_case)
def doubt_a_claim(answer: object, tiles: int) -> Right:
    """{name from MENU: number}: the four that let a reader judge the claim."""
    if not isinstance(answer, dict) or not answer or set(answer) - set(MENU):
        menu = ", ".join(f'"{name}"' for name in sorted(MENU))
        raise Wrong(
            f"Give a dictionary with four of these names: {menu}; got {kind(answer)}.",
            f"请给出字典，从这些名字里选四个：{menu}；得到的是 {kind(answer)}。",
            "not-these-names",
        )
    idle = {
        "accuracy on A": (
            "How well A was learned says nothing about B: a backbone may know clothes and be of no "
            "use.",
            "A 学得好不好，与 B 无关：一个骨干网络可能精通服装，却毫无用处。",
            "accuracy-on-a",
        ),
        "training tiles": (
            "Every network fits its few training tiles; that tells nobody where the credit goes.",
            "每个网络都能拟合那几块训练图块；这说明不了功劳归谁。",
            "training-score",
        ),
        "all tiles": (
            "More tiles is another question; the claim is about few. Compare at the same number.",
            "图块更多是另一个问题；这个说法讲的是图块很少的情形。请在数量相同时比较。",
            "more-data",
        ),
        "parameters": (
            "The number of parameters is the same with and without A, so it decides nothing.",
            "参数个数有没有 A 都一样，所以决定不了什么。",
            "parameters",
        ),
    }
    for name, hint in idle.items():
        if name in answer:
            raise Wrong(*hint)
    if len(answer) < len(WANTED):
        raise Wrong(
            f"{len(answer)} of the four, and good ones. What else could explain 0.87, if not A?",
            f"四个里有了 {len(answer)} 个，选得对。如果不是 A，还有什么能解释 0.87？",
            "too-few",
        )
    said = {name: number(answer[name]) for name in WANTED}
    real = {
        "threshold": baseline(0),
        "scratch": mean(_scores(SCRATCH, tiles)),
        "random, frozen": mean(_scores(CONTROL, tiles)),
        "worst seed": min(_scores(CLOTHES, tiles)),
    }
    off = [name for name in WANTED if abs(said[name] - real[name]) > 0.0055]
    if not off:
        return Right(
            f"With {tiles} tiles: {real['threshold']:.2f} without learning, {real['scratch']:.2f} "
            f"without A, {real['random, frozen']:.2f} from noise, and A itself as low as "
            f"{real['worst seed']:.2f}. The claim does not stand.",
            f"{tiles} 块图块：不学习 {real['threshold']:.2f}，不用 A {real['scratch']:.2f}，"
            f"随机编码器 {real['random, frozen']:.2f}，而用了 A 最低 {real['worst seed']:.2f}。"
            "这个说法站不住。",
        )
    name = off[0]
    slips = _value_slips(name, tiles)
    slip = min(slips, key=lambda s: abs(said[name] - slips[s][0]))
    value, en, zh = slips[slip]
    if abs(said[name] - value) <= 0.0055:
        raise Wrong(en, zh, slip)
    raise Wrong(
        f"The right four. But {name!r} is not {said[name]:.2f} with {tiles} tiles: look it up in "
        "the tables of the chapter.",
        f"四个选对了。但 {tiles} 块图块时 {name!r} 不是 {said[name]:.2f}：请查本章的表格。",
        "value",
    )


def _value_slips(name: str, tiles: int) -> dict[str, tuple[float, str, str]]:
    """Typical wrong numbers under one of the four names: {slip: (number, English, Chinese)}."""
    if name == "threshold":
        return {
            "threshold-on-the-left": (
                baseline(0, judged_on="train"),
                "That is the threshold's score on the side it was chosen on.",
                "这是阈值在选它的那一侧的分数。",
            )
        }
    if name == "worst seed":
        return {
            "mean-for-worst": (
                mean(_scores(CLOTHES, tiles)),
                "That is the mean of the five seeds, which hides the spread.",
                "这是五个种子的平均，把差异掩盖了。",
            ),
            "best-for-worst": (
                max(_scores(CLOTHES, tiles)),
                "That is the best of the five seeds; which one would nobody report?",
                "这是五个种子里最好的；没人愿意报告的是哪个？",
            ),
            "worst-of-another": (
                min(_scores(f"{CLOTHES}, frozen", tiles)),
                "That is the worst run with the encoder frozen; the claim is about fine-tuning.",
                "这是冻结编码器时最差的一次；这个说法讲的是微调。",
            ),
        }
    own = SCRATCH if name == "scratch" else CONTROL
    slips = {
        "worst-for-mean": (
            min(_scores(own, tiles)),
            "That is the worst of five seeds; give the mean.",
            "这是五个种子里最差的；请给平均值。",
        )
    }
    if name == "scratch":
        return slips | {
            "clothes-for-scratch": (
                mean(_scores(CLOTHES, tiles)),
                "That network started from clothes. Which one did without?",
                "那个网络是从服装开始的。哪个没有用服装？",
            ),
            "unet-for-scratch": (
                mean(_scores("unet", tiles)),
                "That is another network, the U-Net. Change one thing only: the start.",
                "那是另一个网络 U-Net。只改一样东西：起点。",
            ),
        }
    return slips | {
        "clothes-for-control": (
            mean(_scores(f"{CLOTHES}, frozen", tiles)),
            "That encoder is frozen and knows clothes. The control knows nothing.",
            "那个冻结的编码器认识服装。对照组什么都不认识。",
        )
    }


# --- 5: freeze -----------------------------------------------------------------------------------


@exercise("backbone-swap.5")
def freeze_a_backbone(answer: object) -> Right:
    """`freeze(model)`: its encoder learns nothing more, statistics included; the decoder does."""
    freeze = function(answer, "freeze(model)")
    net = copy.deepcopy(_moved())
    got = attempt("freeze(model)", lambda: freeze(net))
    net = got if isinstance(got, ResNetUNet) else net
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()  # what every training loop does first
    trainable = [p for p in net.parameters() if p.requires_grad]
    inside = {id(p) for stage in net.encoder() for p in stage.parameters()}
    if not trainable:
        raise Wrong(
            "Nothing is left to learn: the decoder has to stay trainable.",
            "没有可学的参数了：解码器要保持可训练。",
            "all-frozen",
        )
    optimizer = torch.optim.SGD(trainable, lr=0.1, momentum=0.9)
    x = nuclei_split().train.image[None, :, :64, :64]
    target = nuclei_split().train.mask[None, :64, :64].long()
    usual = _bottom(copy.deepcopy(_moved()).eval(), lambda model: model(x))
    maps = []
    for _ in range(2):  # two steps, in train mode
        optimizer.zero_grad()
        maps.append(_bottom(net, lambda model: _learn(model, x, target)))
        optimizer.step()
    after = net.state_dict()
    moved = {
        name
        for name in before
        if not name.endswith("num_batches_tracked") and not torch.equal(before[name], after[name])
    }
    encoder = tuple(f"{stage}." for stage in STAGES)
    weights = {name for name, _ in net.named_parameters()}
    learned = {name for name in moved if name.startswith(encoder)}
    idle = {name for name in weights - moved if not name.startswith(encoder)}
    if not learned and not all(torch.allclose(m, usual, atol=1e-4) for m in maps):
        raise Wrong(
            "Its numbers stay, and yet in train mode the encoder gives other maps than before: its "
            "batch norms still divide by the spread of each batch instead of the stored one.",
            "编码器的数没有变，可在训练模式下它给出的特征图与之前不同："
            "批量归一化用的仍是每个批次自己的统计量，而不是存下的那一份。",
            "other-maps",
        )
    slip = _slip_of_freezing(net, learned, weights, idle, inside)
    if slip is not None:
        raise slip
    return Right(
        "Two steps in train mode, and every number of the encoder is what it was, running "
        "statistics included; the decoder learned.",
        "在训练模式下走了两步，编码器的每个数都没有变，滑动统计量也没变；解码器学到了东西。",
    )


def _slip_of_freezing(
    net: ResNetUNet, learned: set[str], weights: set[str], idle: set[str], inside: set[int]
) -> Wrong | None:
    if idle:
        name = sorted(idle)[0]
        return Wrong(
            f"{name} did not learn, but it belongs to the decoder: freeze the encoder only.",
            f"{name} 没有学习，可它属于解码器：只冻结编码器。",
            "decoder-frozen",
        )
    parameters_moved = learned & weights
    if parameters_moved and all(p.requires_grad for p in net.parameters() if id(p) in inside):
        return Wrong(
            "The encoder still learns: none of its parameters was told that it needs no gradient.",
            "编码器还在学习：它的参数都没有设成不需要梯度。",
            "nothing-frozen",
        )
    if parameters_moved:
        name = sorted(parameters_moved)[0]
        return Wrong(
            f"{name} still learns. The encoder has five stages, encoder() lists them.",
            f"{name} 还在学习。编码器有五个阶段，encoder() 会列出它们。",
            "partly-frozen",
        )
    if learned:
        name = sorted(learned)[0]
        return Wrong(
            f"No weight moved, but {name} did: in train mode batch norm updates its running "
            "statistics, gradient or not, and model.train() undoes an earlier eval().",
            f"权重都没动，可 {name} 变了：训练模式下，批量归一化不管有没有梯度都会更新滑动统计量，"
            "而 model.train() 会撤销之前的 eval()。",
            "statistics-move",
        )
    return None


def _learn(net: ResNetUNet, x: Tensor, target: Tensor) -> None:
    nn.functional.cross_entropy(net(x), target).backward()


def _bottom(net: ResNetUNet, work: Callable[[ResNetUNet], object]) -> Tensor:
    """Return the maps that the encoder hands to the decoder's first step while `work` runs."""
    seen: list[Tensor] = []
    hook = net.encoder()[-1].register_forward_hook(lambda _, __, maps: seen.append(maps.detach()))
    work(net)
    hook.remove()
    return seen[-1]


# --- 6: new statistics for a frozen encoder ------------------------------------------------------


def _norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for s in net.encoder() for m in s.modules() if isinstance(m, nn.BatchNorm2d)]


@cache
def _calibrated() -> ResNetUNet:
    net = copy.deepcopy(_moved()).train()
    for norm in _norms(net):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        net(tiles(0)[0][:4])
    return net.eval()


@exercise("backbone-swap.6")
def new_statistics(answer: object) -> Right:
    """`calibrate(net, batch)`: the encoder's batch norms measure anew; no weight changes."""
    calibrate = function(answer, "calibrate(net, batch)")
    call = "calibrate(net, batch)"
    net, batch = copy.deepcopy(_moved()), tiles(0)[0][:4]
    got = attempt(call, lambda: calibrate(net, batch.clone()))
    net = got if isinstance(got, ResNetUNet) else net  # in place, or a copy that is returned
    start, wanted = _moved(), _calibrated()
    for (name, p), q in zip(start.named_parameters(), net.parameters(), strict=True):
        if not torch.equal(p, q):
            raise Wrong(
                f"{name} changed. Weights stay; only running means and variances are measured.",
                f"{name} 变了。权重不动；只测量滑动均值和方差。",
                "weights-changed",
            )

    def off(one: nn.BatchNorm2d, other: nn.BatchNorm2d) -> bool:
        pairs = zip(
            (one.running_mean, one.running_var),
            (other.running_mean, other.running_var),
            strict=True,
        )
        return any(not torch.allclose(a, b, rtol=0.05, atol=0.01) for a, b in pairs)

    old, new, said = _norms(start), _norms(wanted), _norms(net)
    wrong = [i for i in range(len(new)) if off(said[i], new[i])]
    if not wrong:
        spread = [
            record_features(n, batch, STAGES[:1])[STAGES[0]].std().item() for n in (start, wanted)
        ]
        return Right(
            f"Behind the first stage the maps spread {spread[1]:.2f} instead of {spread[0]:.2f}, "
            "and no weight has moved.",
            f"第一个阶段之后，特征图的标准差从 {spread[0]:.2f} 变为 {spread[1]:.2f}，"
            "而权重一个也没动。",
        )
    if not any(off(a, b) for a, b in zip(said, old, strict=True)):
        raise Wrong(
            "The statistics are still those of clothes. In evaluation mode batch norm measures "
            "nothing, and only a pass through the network does.",
            "统计量仍是服装的。评估模式下批量归一化不测量；要让数据通过一遍网络才行。",
            "nothing-measured",
        )
    fresh = [n.running_mean.abs().max() == 0 and (n.running_var == 1).all() for n in said]
    if all(fresh):
        raise Wrong(
            "The statistics are reset to 0 and 1, and nothing was measured after that.",
            "统计量重置成了 0 和 1，之后什么也没有测量。",
            "only-reset",
        )
    for slip, base, hint in (
        (
            "a-tenth-of-the-way",
            [(n.running_mean, n.running_var) for n in old],
            (
                "The statistics moved a tenth of the way from clothes to nuclei. By default one "
                "batch counts a tenth: momentum.",
                "统计量只从服装向细胞核走了十分之一。默认一个批次只占十分之一：看 momentum。",
            ),
        ),
        (
            "a-tenth-from-zero",
            [(torch.zeros_like(n.running_mean), torch.ones_like(n.running_var)) for n in old],
            (
                "After the reset one batch counted a tenth only, and nine tenths are the 0 and 1 "
                "of the reset: momentum.",
                "重置之后，一个批次只占十分之一，其余十分之九是重置的 0 和 1：看 momentum。",
            ),
        ),
    ):
        first = said[0]
        way = [0.9 * b + 0.1 * n for b, n in zip(base[0], _statistics(new[0]), strict=True)]
        if all(
            torch.allclose(a, b, rtol=0.02, atol=0.003)
            for a, b in zip(_statistics(first), way, strict=True)
        ):
            raise Wrong(*hint, slip)
    if 0 not in wrong:
        raise Wrong(
            f"{len(wrong)} of {len(new)} batch norms are not measured anew: look inside the stages,"
            " with modules().",
            f"{len(new)} 个批量归一化中有 {len(wrong)} 个没有重新测量：用 modules() 看阶段内部。",
            "some-left-out",
        )
    raise Wrong(
        "The first batch norm holds other statistics than those of this batch. One pass in training"
        " mode, and a plain average.",
        "第一个批量归一化的统计量与这个批次的不同。在训练模式下通过一遍，取普通平均。",
    )


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    return norm.running_mean, norm.running_var


# --- 7: a gentler hand ---------------------------------------------------------------------------


def _kernels(stage: nn.Module) -> Tensor:
    layers = [m for m in stage.modules() if isinstance(m, nn.Conv2d)]
    return torch.cat([m.weight.detach().flatten() for m in layers])


def _distance(net: nn.Module, stage: str) -> float:
    """How far the kernels of a stage are from the clothes, in lengths of where they began."""
    start, end = (_kernels(getattr(n, stage)) for n in (_moved(), net))
    return ((end - start).norm() / start.norm()).item()


def _cka(one: Tensor, other: Tensor) -> float:
    a, b = (maps[0].flatten(1).T for maps in (one, other))  # (pixels, channels)
    a, b = a - a.mean(0), b - b.mean(0)
    return ((a.T @ b).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm())).item()


@cache
def _usual_distance() -> float:
    """How far the bottom of the shipped network moved, which had one rate for all."""
    return _distance(load_trained("resnet-unet-nuclei"), STAGES[-1])


@exercise("backbone-swap.7")
def a_gentler_hand(answer: object) -> Right:
    """The network, trained with a small rate for its encoder; judged by what it became."""
    if not isinstance(answer, ResNetUNet):
        raise Wrong(
            f"Hand in the trained ResNetUNet itself; got {type(answer).__name__}.",
            f"请交训练好的 ResNetUNet 本身；得到的是 {type(answer).__name__}。",
            "not-the-network",
        )
    net = copy.deepcopy(answer).cpu().eval()
    if any(_kernels(getattr(net, s)).shape != _kernels(getattr(_moved(), s)).shape for s in STAGES):
        raise Wrong(
            "This encoder is not the chapter's ResNet-18 of width 8: begin with a copy of `moved`.",
            "这个编码器不是本章宽度为 8 的 ResNet-18：请从 `moved` 的副本开始。",
            "other-encoder",
        )
    far = [_distance(net, stage) for stage in STAGES]
    side = nuclei_split().test
    score = iou(_segment(net, side.image), side.mask)
    usual = _usual_distance()
    if max(far) < 1e-6:
        raise Wrong(
            "The encoder has not moved at all: it is frozen, or got no group in the optimiser.",
            "编码器完全没有动：它被冻结了，或者优化器里没有它的组。",
            "encoder-frozen",
        )
    likely = torch.cosine_similarity(
        _kernels(getattr(net, STAGES[-1])), _kernels(getattr(_moved(), STAGES[-1])), dim=0
    )
    if likely < 0.05 and far[-1] < usual / 2:
        raise Wrong(
            "Its bottom has nothing in common with the clothes: did it start from `moved`?",
            "它的底部与服装毫无共同之处：是从 `moved` 开始的吗？",
            "not-from-clothes",
        )
    if far[-1] > usual / 2:
        raise Wrong(
            f"The bottom moved by {far[-1]:.1f} times its length, with one rate for all it was "
            f"{usual:.1f}. Does the encoder's group have a hundredth of the rate, and the schedule,"
            " too?",
            f"底部移动了自身长度的 {far[-1]:.1f} 倍；统一学习率时是 {usual:.1f} 倍。"
            "编码器那一组的学习率是百分之一吗？学习率的安排里也是吗？",
            "not-gentle",
        )
    if score < 0.3:
        raise Wrong(
            f"The encoder was treated gently, but the network finds no nuclei (IoU {score:.2f}). "
            "The decoder needs the full rate, and all 60 steps.",
            f"编码器得到了温和对待，但网络找不到细胞核（IoU {score:.2f}）。"
            "解码器需要完整的学习率和全部 60 步。",
            "decoder-unlearned",
        )
    x = side.image[None]
    first, second = (record_features(n, x, list(STAGES)) for n in (_moved(), net))
    alike = _cka(first[STAGES[-1]], second[STAGES[-1]])
    return Right(
        f"The bottom moved by {far[-1]:.2f} of its length, its CKA with the start is {alike:.2f}, "
        f"IoU {score:.2f}. Whether that is better takes several seeds.",
        f"底部移动了自身长度的 {far[-1]:.2f} 倍，与起点的 CKA 是 {alike:.2f}，IoU {score:.2f}。"
        "是否更好，要几个种子才知道。",
    )
