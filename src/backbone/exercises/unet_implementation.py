"""Checks of the exercises in "U-Net: the implementation"."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.exercises import unet_common as common
from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import (
    attempt,
    function,
    kind,
    number,
    numbers,
    output,
    parameters,
)
from backbone.unet import UNetModel, conv_stage, crop_like, join
from backbone.variants import paper_output_size


@exercise("unet-implementation.1", question=lambda seed: common.sizes(seed, features=16, batch=2))
def predict_the_bottom(answer: object, **question: int) -> Right:
    """{layer: (N, C, H, W)} for the bottom and a decoder stage."""
    common.check_shapes(answer, ("encode_decode_layer", "decode_layer2"), question)
    return Right(
        "Right, and nothing was run: constructor and image size fix every shape.",
        "正确，而且什么都没运行：构造参数和图像尺寸决定了所有形状。",
    )


@exercise("unet-implementation.2", question=lambda seed: common.images(seed, out_features=5))
def colour_in(answer: object, in_features: int = 3, out_features: int = 5) -> Right:
    """How many parameters more than `UNetModel()`?"""
    return common.check_price(answer, in_features, out_features)


# --- what the skips cost -------------------------------------------------------------------------


def _width(seed: int) -> dict[str, int]:
    """The book's network first; a class gets another width."""
    return {"features": 32 if seed == 0 else random.Random(seed).choice((16, 20, 24, 40, 48, 64))}


@exercise("unet-implementation.3", question=_width)
def cost_of_skips(answer: object, features: int = 32) -> Right:
    """{"weights": how many read skipped channels only, "share": of all parameters}."""
    said = numbers(answer, ("weights", "share"))
    net = common.network(init_features=features)
    total = parameters(net)
    firsts = [net.get_submodule(f"decode_layer{level}.0") for level in (1, 2, 3, 4)]
    # join puts the skipped channels second, and as many as the stage puts out
    reading = [conv.weight[:, -conv.out_channels :].numel() for conv in firsts]
    real, share = sum(reading), sum(reading) / total
    ups = sum(net.get_submodule(f"upconv{level}").weight.numel() for level in (1, 2, 3, 4))
    forms = {
        "both-halves": sum(conv.weight.numel() for conv in firsts),
        "kernel-forgotten": real / 9,
        "as-many-out-as-in": sum(9 * conv.in_channels**2 for conv in firsts),
        "biases-too": real + sum(conv.out_channels for conv in firsts),
        "upconvs": ups,
        "all-of-it": total,
    }
    hints = {
        "both-halves": (
            "Twice too many. Half of what you counted reads what comes from below.",
            "多了一倍。你数的有一半读的是从下方来的特征图。",
        ),
        "kernel-forgotten": (
            "Pairs of channels, that is. A 3×3 convolution has more than one weight for each.",
            "这是通道对的个数。3×3 卷积对每一对通道不止一个权重。",
        ),
        "as-many-out-as-in": (
            "These convolutions read 2c channels, but put out only c. Then, which half counts?",
            "这些卷积读 2c 个通道，但只输出 c 个。然后：哪一半要算？",
        ),
        "biases-too": (
            "A bias reads nothing at all; count the weights alone.",
            "偏置什么也不读；只数权重。",
        ),
        "upconvs": (
            "Those are the transposed convolutions. They read the path from below, never a skip.",
            "这些是转置卷积。它们读的是从下方来的那条路，从不读跳跃连接。",
        ),
        "all-of-it": (
            "That is the whole network. Only four convolutions read a skip at all.",
            "这是整个网络。读跳跃连接的卷积一共只有四个。",
        ),
    }
    if said["weights"] in reading:
        raise Wrong(
            f"That is level {reading.index(said['weights']) + 1} alone; there are four skips.",
            f"这只是第 {reading.index(said['weights']) + 1} 层；跳跃连接有四个。",
            "one-level",
        )
    for slip, form in forms.items():
        if said["weights"] == form:
            raise Wrong(*hints[slip], slip)
    if said["weights"] != real:
        raise Wrong(
            f"{said['weights']:,.0f} it is not. Look at decode_layer4[0].weight: which part of its "
            "second dimension reads the skip?",
            f"不是 {said['weights']:,.0f}。看看 decode_layer4[0].weight："
            "第二维的哪一部分读跳跃连接？",
        )
    _right_share(said["share"], real, total)
    return Right(
        f"A skip has no weights of its own, and yet {share:.1%} of the network is there for skips.",
        f"跳跃连接自己没有权重，可网络有 {share:.1%} 是为它们准备的。",
    )


def _right_share(said: float, real: int, total: int) -> None:
    if abs(said - real / total) < 0.005:
        return
    if abs(said - 100 * real / total) < 0.5:
        raise Wrong(
            "The weights are right. A share lies between 0 and 1: not in per cent.",
            "权重数对了。占比在 0 到 1 之间：不要用百分数。",
            "per-cent",
        )
    if abs(said - real / (total - real)) < 0.005:
        raise Wrong(
            "The weights are right. The share is of all parameters, these included.",
            "权重数对了。占比是对全部参数而言，这些也包括在内。",
            "share-of-the-rest",
        )
    raise Wrong(
        f"The weights are right. {real:,} of {total:,} is another share than {said:g}.",
        f"权重数对了。{total:,} 个中的 {real:,} 个，占比不是 {said:g}。",
        "share",
    )


# --- a bias that nobody hears --------------------------------------------------------------------


@exercise("unet-implementation.4")
def idle_bias(answer: object) -> Right:
    """`change_by_bias(training)` → how far the output of a stage moves with its first bias."""
    measure = function(answer, "change_by_bias(training)")
    trained, evaluated = (_change(measure, mode) for mode in (True, False))
    if trained < 0 or evaluated < 0:
        raise Wrong(
            "A change below zero? Take absolute values first, then the largest.",
            "变化量小于零？先取绝对值，再取最大。",
            "no-absolute-value",
        )
    small, large = 0.1, 1.0  # rounding, and what a bias of 100 does to values around 1
    if trained == evaluated == 0:
        raise Wrong(
            "Both outputs are the same to the last bit, in both modes: did the bias change "
            "between the two runs?",
            "两种模式下，两次输出一位不差：两次运行之间，偏置变了吗？",
            "bias-unchanged",
        )
    if trained < small and evaluated > large:
        return Right(
            f"{trained:.0e} in training, {evaluated:.0f} in evaluation: the mean of the batch "
            "contains the bias, the stored mean knows nothing of it.",
            f"训练模式下 {trained:.0e}，评估模式下 {evaluated:.0f}：批次均值里含有这个偏置，"
            "存下来的均值对它一无所知。",
        )
    if trained < small and evaluated < small:
        raise Wrong(
            "Nothing moves in either mode. Is the stage really in evaluation mode for "
            "training=False?",
            "两种模式下都不动。training=False 时，这个阶段真的处于评估模式吗？",
            "always-training",
        )
    if evaluated < small:
        raise Wrong(
            "Exactly the other way round: training=True must measure in training mode.",
            "正好反了：training=True 应当在训练模式下测量。",
            "turned-round",
        )
    if evaluated < large or trained < 0.4 * evaluated:
        raise Wrong(
            f"In training mode the output moves by {trained:.2g}, so more than the bias differs. "
            "Is it the same stage both times?",
            f"训练模式下输出变了 {trained:.2g}，所以不只是偏置不同。两次用的是同一个阶段吗？",
            "two-stages",
        )
    raise Wrong(
        f"The output moves by {trained:.0f} for training=True, too. Is the stage in training mode "
        "then, in both runs?",
        f"training=True 时输出也变了 {trained:.0f}。那两次运行时，阶段都处于训练模式吗？",
        "always-evaluation",
    )


def _change(measure: Callable[..., Any], training: bool) -> float:
    call = f"change_by_bias({training})"
    said = attempt(call, lambda: measure(training))
    if said is None:
        raise Wrong(
            f"{call} gives nothing. Is a return missing?",
            f"{call} 什么也没有返回。是不是漏了 return？",
            "no-return",
        )
    return number(said)


# --- slope one -----------------------------------------------------------------------------------


@exercise("unet-implementation.5")
def slope_one(answer: object) -> Right:
    """`distance_from_affine(g, a, b)` → about zero if g is affine, clearly more if it is bent."""
    call = "distance_from_affine(g, a, b)"
    measure = function(answer, call)
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1, 1, 32, 32, generator=generator)
    matrix = torch.randn(32, 32, generator=generator) / 32**0.5

    def far(g: Callable[[Tensor], Tensor]) -> float:
        return _distance(measure, call, g, a, b)

    square = far(lambda x: x * x)  # bent: it shows how large a distance is by this measure
    none = 3e-5 * max(1.0, abs(square))  # rounding in single precision
    some = 10 * none  # what a bend gives at least
    if abs(far(lambda x: x @ matrix)) > none:
        raise Wrong(
            "For g(x) = A·x, with no constant at all, your distance is not zero. Compare g of the "
            "sum with the sum of the g's.",
            "对不带常数的 g(x) = A·x，你的距离也不是零。请把“和的 g”与“g 的和”相比。",
            "linear-is-not-zero",
        )
    if abs(far(lambda x: x @ matrix + 3)) > none:
        raise Wrong(
            "Right for g(x) = A·x, but for A·x + c it is not zero: affine functions may have a "
            "constant. What is g(0)?",
            "对 g(x) = A·x 是对的，但对 A·x + c 就不是零了：仿射函数可以带常数。g(0) 是什么？",
            "constant-forgotten",
        )
    up, down = (far(lambda x, s=s: s * F.leaky_relu(x, 0.25)) for s in (1, -1))
    if max(abs(square), abs(up), abs(down)) < none:
        raise Wrong(
            "Your distance is zero for x², too, which is bent. Does each term use another input?",
            "x² 是弯的，你的距离却也是零。每一项用的输入都不同吗？",
            "always-zero",
        )
    if max(abs(up), abs(down)) < none:
        raise Wrong(
            "It sees the bend of x² and misses that of PReLU: a PReLU, scaled by a positive "
            "factor, just scales. Use two inputs whose signs differ.",
            "它看得见 x² 的弯，却看不见 PReLU 的：输入乘以正数，PReLU 也只是跟着放大。"
            "请用两个符号不同的输入。",
            "scaling-only",
        )
    # As many deviations up as down: a sum of signed values sees nothing.
    stripes = torch.tensor([1.0, -1.0]).repeat(16)
    flat = [x[..., :1].expand(1, 1, 32, 32) for x in (a, b)]
    balanced = _distance(measure, call, lambda x: stripes * x * x, *flat)
    if min(square, up, down, balanced) < some:
        raise Wrong(
            "Deviations up and down are not the same to your number, or cancel in it: take "
            "absolute values (or squares) before you sum up.",
            "在你的数里，向上和向下的偏差不对等，或互相抵消了：汇总之前先取绝对值（或平方）。",
            "signs-left-in",
        )
    one, quarter = far(_stage(1.0)), far(_stage(0.25))
    if not one < none < some < quarter:
        raise Wrong(
            f"For a stage with slope 1 your distance is {one:.1e}, with slope 0.25 {quarter:.1e}: "
            "the first should be near zero, the second clearly larger.",
            f"斜率为 1 的阶段，你的距离是 {one:.1e}；斜率为 0.25 时是 {quarter:.1e}："
            "前者应接近零，后者应明显更大。",
        )
    return Right(
        f"Slope 1: {one:.1g}, slope 0.25: {quarter:.2g}. Without a bend, any stack of layers is "
        "one affine function.",
        f"斜率 1：{one:.1g}，斜率 0.25：{quarter:.2g}。"
        "没有弯折，再多的层叠起来也只是一个仿射函数。",
    )


def _distance(
    measure: Callable[..., Any], call: str, g: Callable[[Tensor], Tensor], a: Tensor, b: Tensor
) -> float:
    def run(x: Tensor) -> Tensor:
        with torch.no_grad():
            return g(x)

    said = attempt(call, lambda: measure(run, a.clone(), b.clone()))
    if said is None:
        raise Wrong(
            f"{call} gives nothing. Is a return missing?",
            f"{call} 什么也没有返回。是不是漏了 return？",
            "no-return",
        )
    if isinstance(said, bool):
        raise Wrong(
            f"{call} must be a number, the distance; compare it with a limit afterwards.",
            f"{call} 应当是一个数，即距离；之后再拿它与界限比较。",
            "verdict-instead-of-distance",
        )
    return number(said)


def _stage(slope: float) -> nn.Module:
    """A stage of the U-Net in evaluation mode, with both slopes set."""
    with torch.random.fork_rng(devices=[]):  # the reader's random numbers stay as they are
        torch.manual_seed(0)
        stage = conv_stage(1, 8).eval()
    for module in stage:
        if isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, slope)
    return stage


# --- the swapped join ----------------------------------------------------------------------------


@exercise("unet-implementation.6")
def swap_the_join(answer: object) -> Right:
    """`mend(weight)` → the weight that does the same work after `join(skipped, upsampled)`."""
    call = "mend(weight)"
    mend = function(answer, call)
    large, small = _error(mend, 256), _error(mend, 16)
    if large is None and small is None:
        return Right(
            "The same scores again. The order of a join is a convention, but weights are married "
            "to it.",
            "分数又一样了。join 的顺序只是约定，但权重与这个约定绑定在一起。",
        )
    if large is None:
        raise Wrong(
            "Right for decode_layer4. The joins higher up have fewer channels: where is the middle "
            "of this weight?",
            "对 decode_layer4 正确。上面几层拼接的通道更少：这个权重的中点在哪里？",
            "fixed-256",
        )
    raise large


def _error(mend: Callable[..., Any], channels: int) -> Wrong | None:
    """Try a first convolution that reads `channels` from each side; say what is wrong."""
    call = "mend(weight)"
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(12, 2 * channels, 3, 3, generator=generator)
    up, skip = torch.randn(2, 1, channels, 8, 8, generator=generator)
    given = weight.clone()
    with torch.no_grad():
        new = attempt(call, lambda: mend(given))
    if not isinstance(new, Tensor):
        return Wrong(
            f"{call} must give a tensor, got {kind(new)}. Is a return missing?",
            f"{call} 应当返回张量，得到的是 {kind(new)}。是不是漏了 return？",
            "no-tensor",
        )
    if not torch.equal(given, weight):
        return Wrong(
            "mend changed the weight that it was given, and halves that trade places in place "
            "overwrite each other. Build a new tensor.",
            "mend 改写了传进来的权重；两半在原地对调会互相覆盖。请建一个新张量。",
            "overwrites",
        )
    if tuple(new.shape) != tuple(weight.shape):
        return Wrong(
            f"The weight had shape {tuple(weight.shape)}, now {tuple(new.shape)}: nothing may be "
            "lost or added, only moved.",
            f"权重的形状原是 {tuple(weight.shape)}，现在是 {tuple(new.shape)}："
            "只能移动，不能增减。",
            "shape",
        )
    half = weight.shape[0] // 2
    slips = {
        "unchanged": (
            weight,
            "That is the weight as it was; the channels come in another order now.",
            "权重还是原样；可通道的顺序已经变了。",
        ),
        "outputs-moved": (
            torch.cat((weight[half:], weight[:half])),
            "The output channels were swapped. What is in another order is the input.",
            "交换的是输出通道。顺序变了的是输入。",
        ),
        "reversed": (
            weight.flip(1),
            "All channels in reverse: inside each half the order must stay.",
            "所有通道都倒过来了：每一半内部的顺序应当不变。",
        ),
        "kernels-turned": (
            weight.flip(2, 3),
            "The 3×3 windows were turned. The pixels lie as before; only channels moved.",
            "翻转的是 3×3 窗口。像素的位置没变，动的只是通道。",
        ),
    }
    for slip, (form, en, zh) in slips.items():
        if torch.equal(new, form):
            return Wrong(en, zh, slip)
    wanted = F.conv2d(join(up, skip), weight, padding=1)
    if torch.allclose(F.conv2d(join(skip, up), new, padding=1), wanted, atol=1e-2, rtol=1e-3):
        return None
    return Wrong(
        "With this weight the swapped join still gives other values. Which dimension of the weight "
        "goes with the joined channels, and which part of it read the skip?",
        "用这个权重，交换后的 join 得到的值还是不同。权重的哪一维对应拼接的通道，"
        "其中哪一部分原来读跳跃连接？",
    )


# --- 7: without padding --------------------------------------------------------------------------


@exercise("unet-implementation.7")
def without_padding(answer: object) -> Right:
    """`Unpadded`, a subclass of UNetModel whose convolutions have no padding."""
    make = function(answer, "Unpadded(in_features, out_features, init_features)")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = attempt("Unpadded(init_features=2)", lambda: make(init_features=2))
        if not isinstance(net, UNetModel):
            raise Wrong(
                f"Unpadded(init_features=2) must be a UNetModel, got {kind(net)[:80]}.",
                f"Unpadded(init_features=2) 应当是 UNetModel，得到的是 {kind(net)[:80]}。",
                "not-a-unet",
            )
        net.eval()
        image = torch.rand(1, 1, 204, 220)
    wide = {
        name: module.padding
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    }
    left = [name for name, padding in wide.items() if padding not in ((0, 0), 0, "valid")]
    if len(left) == len(wide):
        raise Wrong(
            f"All {len(left)} convolutions still pad. Set padding to 0 (each is an nn.Conv2d).",
            f"全部 {len(left)} 个卷积仍有填充。把 padding 设为 0（它们都是 nn.Conv2d）。",
            "still-padded",
        )
    if left:
        raise Wrong(
            f"{left[0]} still pads, with {len(left)} of {len(wide)}: go through all modules.",
            f"{left[0]} 仍有填充（{len(wide)} 个中有 {len(left)} 个）：要遍历所有模块。",
            "some-still-padded",
        )
    call = "Unpadded(init_features=2)(a 204×220 image)"
    y = _run(call, net, image)
    wanted = tuple(paper_output_size(side) for side in image.shape[2:])
    if tuple(y.shape[2:]) != wanted:
        raise Wrong(
            f"The output is {y.shape[2]}×{y.shape[3]}, the paper's arithmetic gives "
            f"{wanted[0]}×{wanted[1]}. Is the decoder's side left as it is, and only the skip cut?",
            f"输出是 {y.shape[2]}×{y.shape[3]}，按论文的算法应为 {wanted[0]}×{wanted[1]}。"
            "是否只裁剪跳跃连接那一侧，解码器一侧保持原样？",
            "another-size",
        )
    for crop, slip in ((_centre, ""), (_corner, "cropped-at-the-corner"), (_far, "far-corner")):
        for turned in (False, True):
            if torch.allclose(y, _unpadded(net, image, crop, turned), atol=1e-4):
                if not slip and not turned:
                    return Right(
                        f"204×220 in, {wanted[0]}×{wanted[1]} out, and each skip is cut at its "
                        "centre: what meets in a join lies at the same place of the image.",
                        f"输入 204×220，输出 {wanted[0]}×{wanted[1]}，每条跳跃连接都从中心裁剪："
                        "拼接在一起的，是图像中同一处的内容。",
                    )
                if turned:
                    raise Wrong(
                        "The skipped maps come first in your join; UNetModel expects the upsampled "
                        "maps first, and its weights rely on it.",
                        "你的拼接把跳跃连接的特征图放在前面；UNetModel 要求上采样的在前，"
                        "权重依赖这个顺序。",
                        "order-of-the-join",
                    )
                raise Wrong(
                    "The size is right, the place is not: cut the skipped maps at their centre, "
                    "not at a corner.",
                    "大小对了，位置不对：应从跳跃连接特征图的中心裁剪，而不是从角上。",
                    slip,
                )
    raise Wrong(
        "The size is right, the values are not those of UNetModel's layers with centred crops. "
        "Does every stage run, and does each skip come from its own level?",
        "大小对了，但数值与“中心裁剪 + UNetModel 各层”的结果不同。每个阶段都运行了吗？"
        "每条跳跃连接都来自自己那一层吗？",
        "other-values",
    )


def _run(call: str, net: nn.Module, x: Tensor) -> Tensor:
    """Run a reader's U-Net; a mismatch in `join` gets its own hint."""
    try:
        return output(call, net, x)
    except Wrong as wrong:
        said = wrong.words["en"]
        if "Sizes of tensors must match" in said:
            raise Wrong(
                "A skip and the maps it joins differ in size: without padding the encoder's are "
                "larger. Cut them before join.",
                "跳跃连接与要拼接的特征图大小不同：没有填充时编码器一侧更大。拼接之前先裁剪。",
                "nothing-cropped",
            ) from None
        if "multiple" in said:
            raise Wrong(
                "UNetModel.forward still asks for multiples of 16. Write a forward of your own.",
                "UNetModel.forward 仍要求 16 的倍数。请自己写 forward。",
                "old-forward",
            ) from None
        raise


Crop = Callable[[Tensor, Tensor], Tensor]


def _centre(x: Tensor, like: Tensor) -> Tensor:
    return crop_like(x, like)


def _corner(x: Tensor, like: Tensor) -> Tensor:
    return x[..., : like.shape[-2], : like.shape[-1]]


def _far(x: Tensor, like: Tensor) -> Tensor:
    return x[..., -like.shape[-2] :, -like.shape[-1] :]


@torch.no_grad()
def _unpadded(net: UNetModel, x: Tensor, crop: Crop, turned: bool) -> Tensor:
    """The forward pass of Fig. 1 with the layers of `net`, and this way to crop."""
    skips = []
    for level in (1, 2, 3, 4):
        x = net.get_submodule(f"encode_layer{level}")(x)
        skips.append(x)
        x = net.get_submodule(f"pool{level}")(x)
    x = net.encode_decode_layer(x)
    for level in (4, 3, 2, 1):
        up = net.get_submodule(f"upconv{level}")(x)
        skip = crop(skips[level - 1], up)
        joined = join(skip, up) if turned else join(up, skip)
        x = net.get_submodule(f"decode_layer{level}")(joined)
    return net.out_layer(x)
