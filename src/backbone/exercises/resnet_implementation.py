"""Checks of the exercises in "ResNet: the implementation"."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from backbone.anatomy import record_features
from backbone.data import normalize, photo, photo_names
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
    STAGES,
    for_small_images,
    layers_of,
    still_open,
    without_memory,
    work,
)
from backbone.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet152,
)
from backbone.variants import BottleneckV1, PlainBottleneck

Counts = list[int]

# --- 1 -------------------------------------------------------------------------------------------

PUBLISHED: list[tuple[type[nn.Module], Counts]] = [
    (BasicBlock, [2, 2, 2, 2]),
    (BasicBlock, [3, 4, 6, 3]),
    (Bottleneck, [3, 4, 6, 3]),
    (Bottleneck, [3, 4, 23, 3]),
    (Bottleneck, [3, 8, 36, 3]),
]
OTHERS: list[tuple[type[nn.Module], Counts]] = [
    (Bottleneck, [2, 2, 2, 2]),
    (BasicBlock, [1, 2, 3, 4]),
    (Bottleneck, [1, 1, 5, 1]),
]


@cache
def _depths() -> dict[str, int]:
    """Convolutions and linear layers on the main path, counted in the networks themselves."""
    found = {}
    for block, blocks in PUBLISHED + OTHERS:
        net = without_memory(lambda block=block, blocks=blocks: ResNet(block, blocks, width=4))
        names = layers_of(net, nn.Conv2d, nn.Linear)
        found[_depth_call(block, blocks)] = sum("downsample" not in name for name in names)
    return found


def _depth_call(block: type[nn.Module], blocks: Counts) -> str:
    return f"depth({block.__name__}, {blocks})"


SLIPS_OF_DEPTH: dict[str, tuple[Callable[[bool, Counts], int], str, str]] = {
    "ends-forgotten": (
        lambda deep, blocks: (2 + deep) * sum(blocks),
        "Two layers with weights are in no block: where does the image come in, and what goes out?",
        "有两个带权重的层不在任何块里：图像从哪里进来，最后又输出什么？",
    ),
    "one-end-forgotten": (
        lambda deep, blocks: (2 + deep) * sum(blocks) + 1,
        "One too few everywhere: the blocks have a layer with weights before and one behind them.",
        "处处少 1：所有块之前和之后各有一个带权重的层。",
    ),
    "always-two": (
        lambda deep, blocks: 2 * sum(blocks) + 2,
        "Right for basic blocks. How many convolutions does a bottleneck line up?",
        "基本块都对了。一个瓶颈块里依次排着几个卷积？",
    ),
    "always-three": (
        lambda deep, blocks: 3 * sum(blocks) + 2,
        "Right for bottlenecks. A basic block has fewer convolutions.",
        "瓶颈块都对了。基本块的卷积要少一些。",
    ),
    "kinds-swapped": (
        lambda deep, blocks: (3 - deep) * sum(blocks) + 2,
        "The two kinds are swapped: which of them goes down to few channels and up again?",
        "两种块弄反了：哪一种要先压缩通道再恢复？",
    ),
    "expansion": (
        lambda deep, blocks: (1 + 3 * deep) * sum(blocks) + 2,
        "expansion says how many channels come out, not how many layers a block has.",
        "expansion 说的是输出多少通道，不是一个块有几层。",
    ),
    "blocks-counted": (
        lambda deep, blocks: sum(blocks) + 2,
        "Those are blocks. The name counts layers with weights, and every block holds several.",
        "你数的是块。名字里数的是带权重的层，而每个块里有好几层。",
    ),
    "projections-counted": (
        lambda deep, blocks: (2 + deep) * sum(blocks) + 2 + 3 + deep,
        "The convolutions on the shortcuts are not counted: the depth is the longest way.",
        "捷径连接上的卷积不算：深度是最长的那条路。",
    ),
    "stages-counted": (
        lambda deep, blocks: (2 + deep) * len(blocks) + 2,
        "There are four stages in all of them; what differs is how many blocks each holds.",
        "它们都有四个阶段；不同的是每个阶段里有几个块。",
    ),
}


@exercise("resnet-implementation.1")
def depth_on_the_label(answer: object) -> Right:
    """`depth(block, num_blocks)` → the number in the name."""
    depth = function(answer, "depth(block, num_blocks)")
    real = _depths()

    def ask(block: type[nn.Module], blocks: Counts) -> float:
        call = _depth_call(block, blocks)
        got = attempt(call, lambda: depth(block, list(blocks)))
        if got is None:
            raise Wrong(
                f"{call} gave nothing. Is a return missing?",
                f"{call} 什么也没返回。是不是漏了 return？",
                "no-return",
            )
        return number(got)

    said = {_depth_call(*case): ask(*case) for case in PUBLISHED}
    if all(said[call] == real[call] for call in said):
        try:
            said |= {_depth_call(*case): ask(*case) for case in OTHERS}
        except Wrong:
            said[_depth_call(*OTHERS[0])] = float("nan")
        off = [call for call in said if said[call] != real[call]]
        if off:
            raise Wrong(
                f"Right for the five published networks, but not for {off[0]}. Compute it instead "
                "of looking it up.",
                f"五个已发表的网络都对了，{off[0]} 却不对。请计算，不要查表。",
                "published-only",
            )
        first = _depth_call(*OTHERS[0])
        return Right(
            f"Right for five published networks and {len(OTHERS)} others. {first} is "
            f"{real[first]}: the counts of ResNet-18 with bottlenecks give a ResNet-{real[first]}.",
            f"五个已发表的网络和另外 {len(OTHERS)} 个都对了。{first} 是 {real[first]}："
            f"ResNet-18 的块数配上瓶颈块，就是 ResNet-{real[first]}。",
        )
    for slip, (form, en, zh) in SLIPS_OF_DEPTH.items():
        if all(
            said[_depth_call(block, blocks)] == form(block is Bottleneck, blocks)
            for block, blocks in PUBLISHED
        ):
            raise Wrong(en, zh, slip)
    call = next(call for call in said if said[call] != real[call])
    raise Wrong(
        f"{call} gave {said[call]:g}. Count the layers with weights on the way through one block, "
        "then what comes before and after all blocks.",
        f"{call} 得到 {said[call]:g}。先数穿过一个块要经过几个带权重的层，再数所有块之前和之后的。",
    )


# --- 2 -------------------------------------------------------------------------------------------


@cache
def _shares(num_classes: int = 10) -> dict[str, dict[str, float]]:
    """Of ResNet-50 and ResNet-152: what is on the shortcuts, counted in several ways."""
    found = {}
    for make in (ResNet50, ResNet152):
        net = without_memory(lambda make=make: make(num_classes=num_classes))
        inside = sum(p.numel() for name, p in net.named_parameters() if "downsample" in name)
        convolutions = layers_of(net, nn.Conv2d)
        on_shortcuts = sum("downsample" in name for name in convolutions)
        found[make.__name__] = {
            "projections": sum(name.endswith("downsample") for name, _ in net.named_modules()),
            "blocks": sum(len(getattr(net, stage)) for stage in STAGES),
            "share": inside / parameters(net),
            "of the rest": inside / (parameters(net) - inside),
            "of layers": on_shortcuts / len(convolutions),
            "of blocks": on_shortcuts / sum(len(getattr(net, stage)) for stage in STAGES),
            "count": inside,
        }
    return found


def _near(said: float, real: float) -> bool:
    """Right to 1 %, or to the third decimal."""
    return abs(said - real) <= max(0.01 * real, 0.0005001)


@exercise("resnet-implementation.2")
def price_of_the_shortcuts(answer: object) -> Right:
    """{"projections": of ResNet-152, "ResNet50": share, "ResNet152": share}."""
    if waiting := still_open(answer):
        return waiting
    said = numbers(answer, ("projections", "ResNet50", "ResNet152"))
    nets = ("ResNet50", "ResNet152")
    few = _shares()
    projections = few["ResNet152"]["projections"]
    if said["projections"] != projections:
        raise _not_the_projections(said["projections"], few["ResNet152"])

    def like(what: str, scale: float = 1, num_classes: int = 10) -> bool:
        found = _shares(num_classes)
        return all(_near(said[net] / scale, found[net][what]) for net in nets)

    if like("share") or like("share", num_classes=1000):
        return Right(
            f"{projections} in both; {few['ResNet50']['share']:.1%} of ResNet-50, "
            f"{few['ResNet152']['share']:.1%} of ResNet-152: what depth adds are identities, and "
            "they cost nothing.",
            f"两个网络都是 {projections} 个；占 ResNet-50 的 {few['ResNet50']['share']:.1%}，"
            f"ResNet-152 的 {few['ResNet152']['share']:.1%}：加深时添的都是恒等映射，没有代价。",
        )
    raise _not_the_share(said, like)


def _not_the_projections(said: float, real: dict[str, float]) -> Wrong:
    if said == real["blocks"]:
        return Wrong(
            "Every block has a shortcut, but few shortcuts need a projection: where do shapes "
            "change?",
            "每个块都有捷径连接，但需要投影的很少：形状在哪里改变？",
            "every-block",
        )
    if said == real["projections"] - 1:
        return Wrong(
            "True for basic blocks. With bottlenecks layer1.0, too, changes the channels.",
            "对基本块成立。换成瓶颈块，layer1.0 也会改变通道数。",
            "first-stage-forgotten",
        )
    if said == 2 * real["projections"]:
        return Wrong(
            "That counts the modules inside. One projection is a convolution and its batch norm.",
            "你数的是里面的模块。一个投影由一个卷积和它的批量归一化组成。",
            "modules-inside",
        )
    return Wrong(
        f"ResNet-152 has no {said:g} projections. Only the first block of a stage can need one.",
        f"ResNet-152 的投影不是 {said:g} 个。每个阶段只有第一个块可能需要投影。",
        "projections",
    )


def _not_the_share(said: dict[str, float], like: Callable[..., bool]) -> Wrong:
    fifty, deep = said["ResNet50"], said["ResNet152"]
    turned = {**said, "ResNet50": deep, "ResNet152": fifty}
    real = _shares()
    cases: list[tuple[bool, str, str, str]] = [
        (
            like("share", scale=100),
            "In per cent that is right. Give shares, between 0 and 1.",
            "按百分数算是对的。请给出 0 到 1 之间的比例。",
            "percent",
        ),
        (
            all(_near(turned[net], real[net]["share"]) for net in real),
            "The two networks are swapped: both have the same projections; which one is larger?",
            "两个网络弄反了：它们的投影相同，哪个网络更大？",
            "swapped",
        ),
        (
            like("of layers"),
            "That is a share of the convolutions, by number. How many parameters does each have?",
            "那是按个数算的卷积的比例。每个卷积有多少参数？",
            "layers-counted",
        ),
        (
            like("of blocks"),
            "That is the share of the blocks. Count parameters: p.numel().",
            "那是块的比例。请数参数：p.numel()。",
            "blocks-counted",
        ),
        (
            like("of the rest"),
            "Divide by all parameters, not by those off the shortcuts.",
            "要除以全部参数，而不是捷径连接以外的参数。",
            "of-the-rest",
        ),
        (
            like("count"),
            "Those are the parameters on the shortcuts; divide by all parameters of the network.",
            "那是捷径连接上的参数个数；再除以整个网络的参数。",
            "not-divided",
        ),
        (
            fifty == deep or _near(fifty, deep),
            "The projections are the same in both networks, but the rest of them is not.",
            "两个网络的投影相同，但其余部分并不相同。",
            "same-share",
        ),
    ]
    if slip := first_slip(cases):
        return slip
    off = next(net for net in real if not _near(said[net], real[net]["share"]))
    return Wrong(
        f"Another share for {off}: add up p.numel() where 'downsample' is in the name, and divide "
        "by the sum over all names.",
        f"{off} 的比例不对：把名字里有 'downsample' 的 p.numel() 加起来，再除以全部之和。",
    )


# --- 3 -------------------------------------------------------------------------------------------


def _images(seed: int) -> dict[str, int]:
    """The book's grey images first; a class gets other channels, classes and width."""
    if seed == 0:
        return {"channels": 1, "classes": 3, "width": 16}
    draw = random.Random(seed)
    return {
        "channels": draw.choice((1, 2, 4, 5)),
        "classes": draw.choice((2, 4, 5, 6, 7, 8, 9)),
        "width": draw.choice((8, 12, 20, 24, 32)),
    }


@exercise("resnet-implementation.3", question=_images)
def small_grey_images(
    answer: object, channels: int = 1, classes: int = 3, width: int = 16
) -> Right:
    """A `ResNet18` for `channels`×32×32 in `classes` classes, with `layer4` at 4×4."""
    net, scores = for_small_images(answer, channels)
    if scores.shape[-1] != classes:
        raise Wrong(
            f"The network gives {scores.shape[-1]} scores for an image; there are {classes} "
            "classes.",
            f"网络对每幅图像给出 {scores.shape[-1]} 个得分；类别有 {classes} 个。",
            "classes",
        )
    made: Any = net
    first = made.layer1[0].conv1.out_channels
    if first != width:
        raise Wrong(
            f"The first stage has {first} channels; a width of {width} is asked for.",
            f"第一阶段有 {first} 个通道；题目要求 width 为 {width}。",
            "width",
        )
    return Right(
        "4×4 instead of 1×1. At 1×1 a 3×3 kernel has no neighbours to look at: from the second "
        "convolution of layer4 on, eight of its nine weights only ever meet padding.",
        "从 1×1 变成了 4×4。在 1×1 的图上，3×3 的卷积核没有邻居可看："
        "从 layer4 的第二个卷积起，九个权重中有八个只碰得到填充的零。",
    )


# --- 4 -------------------------------------------------------------------------------------------


@cache
def _more_work() -> dict[str, int]:
    """Layers of our ResNet-50 → multiply-adds more than in the paper's version, where any."""
    size = (1, 3, 224, 224)
    ours = work(without_memory(ResNet50), size)
    paper = work(without_memory(lambda: ResNet(BottleneckV1, [3, 4, 6, 3])), size)
    return {name: ours[name] - paper[name] for name in ours if ours[name] != paper[name]}


@exercise("resnet-implementation.4")
def where_the_work_differs(answer: object) -> Right:
    """The names of the convolutions that do more work in our ResNet-50 than in the paper's."""
    if isinstance(answer, str) or not isinstance(answer, set | list | tuple | frozenset):
        raise Wrong(
            f"Give a set of names, such as {{'conv1', …}}, got {kind(answer)}.",
            f"请给出名字的集合，例如 {{'conv1', …}}，得到的是 {kind(answer)}。",
            "not-names",
        )
    said, real = {str(name) for name in answer}, set(_more_work())
    net = without_memory(ResNet50)
    known = set(layers_of(net, nn.Conv2d))
    if said == real:
        saved = _more_work()
        return Right(
            f"{len(real)} convolutions of 1×1 that run before the size is halved: "
            f"{sum(saved.values()) / 1e9:.2f} billion multiply-adds. The three networks have the "
            "same three, so the difference is the same for all depths.",
            f"{len(real)} 个在尺寸减半之前运行的 1×1 卷积："
            f"共 {sum(saved.values()) / 1e9:.2f} × 10⁹ 次乘加。"
            "三个网络都有这三个卷积，所以差值与深度无关。",
        )
    modules = {name for name, _ in net.named_modules()}
    second = {name.replace("conv1", "conv2") for name in real}
    blocks = {name.rpartition(".")[0] for name in real}
    stray = sorted(said - known)
    cases: list[tuple[bool, str, str, str]] = [
        (
            not said,
            "The totals differ, so some layer's row must: compare the two tables with depth=3.",
            "总数不同，就必有某一行不同：用 depth=3 比较两张逐层表。",
            "nothing-differs",
        ),
        (
            said in (blocks, {block.partition(".")[0] for block in blocks}),
            "That is where. Now look inside: which of the convolutions there runs at another size?",
            "地方找对了。再往里看：其中哪个卷积在不同的尺寸上运行？",
            "not-inside",
        ),
        (
            bool(stray) and stray[0] in modules,
            f"{stray[0] if stray else ''} is no convolution; name the convolutions.",
            f"{stray[0] if stray else ''} 不是卷积；请写卷积的名字。",
            "no-convolution",
        ),
        (
            bool(stray),
            f"There is no {stray[0] if stray else ''} in ResNet-50; look at named_modules().",
            f"ResNet-50 里没有 {stray[0] if stray else ''}；看看 named_modules()。",
            "unknown-name",
        ),
        (
            any("downsample" in name for name in said),
            "The projections on the shortcuts are the same in both versions.",
            "捷径连接上的投影在两个版本里完全一样。",
            "projections",
        ),
        (
            bool(said & second),
            "conv2 has another stride, but it puts out the same size in both: the same work.",
            "conv2 的步幅不同，但两个版本里它的输出尺寸相同：计算量一样。",
            "where-the-stride-is",
        ),
        (
            "layer1.0.conv1" in said,
            "layer1.0 has stride 1, so there is nothing to move from one convolution to another.",
            "layer1.0 的步幅是 1，没有什么可以从一个卷积移到另一个。",
            "first-stage",
        ),
        (
            any(name.split(".")[1:2] not in ([], ["0"]) for name in said),
            "Only the first block of a stage has a stride of 2; the others are the same.",
            "每个阶段只有第一个块的步幅是 2；其余的块没有差别。",
            "later-blocks",
        ),
        (
            said < real,
            f"{len(said)} found, and it is not the only place: which stages halve the size?",
            f"找到了 {len(said)} 个，但不止这一处：哪些阶段会把尺寸减半？",
            "some-missing",
        ),
    ]
    if slip := first_slip(cases):
        raise slip
    extra = sorted(said - real)[0]
    raise Wrong(
        f"{extra} does the same work in both versions: same weights, same size of its maps.",
        f"{extra} 在两个版本里计算量一样：权重相同，输出尺寸也相同。",
    )


# --- 5 -------------------------------------------------------------------------------------------

State = dict[str, Tensor]


@cache
def _donors() -> tuple[nn.Module, ...]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ResNet18(num_classes=5, width=4).eval(), ResNet50(num_classes=5, width=4).eval()


def _old_names(state: Mapping[str, Tensor]) -> State:
    words = {"downsample": "shortcut", "fc": "linear"}
    return {
        ".".join(words.get(part, part) for part in name.split(".")): value
        for name, value in state.items()
    }


@exercise("resnet-implementation.5")
def convert_a_checkpoint(answer: object) -> Right:
    """`convert(state)`: the same tensors under the names `downsample` and `fc`."""
    convert = function(answer, "convert(state)")
    for donor in _donors():
        wanted = donor.state_dict()
        received = _old_names(wanted)
        given = dict(received)
        got = attempt("convert(state)", lambda given=given: convert(given))
        if not isinstance(got, Mapping):
            missing = (" Is a return missing?", "是不是漏了 return？") if got is None else ("", "")
            raise Wrong(
                f"convert(state) must give a dictionary, got {kind(got)}.{missing[0]}",
                f"convert(state) 应当返回字典，得到的是 {kind(got)}。{missing[1]}",
                "not-a-dictionary",
            )
        if list(given) != list(received):
            raise Wrong(
                "convert changed the dictionary it was given. Make a new one; whoever called may "
                "still need the old.",
                "convert 改动了传给它的字典。请新建一个；调用者可能还要用原来的。",
                "changes-its-input",
            )
        _same_names(got, wanted)
        if not all(isinstance(v, Tensor) and torch.equal(v, wanted[k]) for k, v in got.items()):
            raise Wrong(
                "The names fit, but numbers have changed or moved. Each tensor keeps its place.",
                "名字对上了，但数值变了或换了位置。每个张量都应留在原处。",
                "numbers-changed",
            )
    tensors = len(_donors()[0].state_dict())
    return Right(
        f"All {tensors} tensors of a ResNet-18, and a ResNet-50's, arrive unchanged. Identities "
        "leave no trace in a checkpoint, so nothing is missing for them.",
        f"ResNet-18 的 {tensors} 个张量和 ResNet-50 的全部张量都原样到位。"
        "恒等映射在检查点里不留痕迹，所以不缺什么。",
    )


def _same_names(got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Compare the names of a converted checkpoint with those of the network.

    Raises:
        Wrong: they differ.
    """
    if set(got) == set(wanted):
        return
    parts = {part for name in got for part in str(name).split(".")}
    left = [word for word in ("shortcut", "linear") if word in parts]
    if len(left) == 2:
        raise Wrong(
            "The old names are still there, shortcut and linear. Is what you changed returned?",
            "旧名字 shortcut 和 linear 都还在。你改过的结果返回了吗？",
            "unchanged",
        )
    if left:
        raise Wrong(
            f"{left[0]!r} is still in a name: two words must be translated, in every block and "
            "stage.",
            f"名字里还有 {left[0]!r}：要翻译两个词，而且是在每个块、每个阶段里。",
            f"{left[0]}-left",
        )
    if len(got) < len(wanted):
        raise Wrong(
            f"{len(wanted) - len(got)} of {len(wanted)} tensors are lost. Do two of them get the "
            "same name, or were some left out?",
            f"{len(wanted)} 个张量丢了 {len(wanted) - len(got)} 个。"
            "是两个张量用了同一个名字，还是漏掉了一些？",
            "tensors-lost",
        )
    if len(got) > len(wanted):
        raise Wrong(
            f"{len(got)} tensors instead of {len(wanted)}: some have more than one name.",
            f"有 {len(got)} 个张量，应为 {len(wanted)} 个：有些以不止一个名字出现。",
            "tensors-doubled",
        )
    stray = str(min(set(got) - set(wanted), key=str))
    if all(len(str(name).split(".")) < 2 for name in got):
        raise Wrong(
            f"{stray!r} has lost its dots: they say which module is inside which.",
            f"{stray!r} 里的点丢了：点表示哪个模块在哪个模块里。",
            "dots-lost",
        )
    raise Wrong(
        f"{stray!r} is no name in our network: compare with list(model.state_dict()).",
        f"{stray!r} 不是我们网络里的名字：与 list(model.state_dict()) 比较一下。",
    )


# --- 6 -------------------------------------------------------------------------------------------

BECAUSE = ("additions", "convolutions", "channels")
Builder = Callable[..., nn.Module]


@cache
def _photos(side: int = 64) -> Tensor:
    """The book's three photographs, small enough to be quick."""
    batch = torch.stack([normalize(photo(name)) for name in photo_names()])
    return nn.functional.interpolate(batch, size=side, mode="area")  # (3, 3, side, side)


def _fresh(build: Builder) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(width=16).eval()


def _plain_50(width: int) -> nn.Module:
    return ResNet(PlainBottleneck, [3, 4, 6, 3], width=width)


def _growth(net: nn.Module) -> float:
    """By what factor the largest value grows from layer1 to layer4, in evaluation mode."""
    found = record_features(net, _photos(), ["layer1", "layer4"])
    return (found["layer4"].max() / found["layer1"].max()).item()


@cache
def _growths() -> dict[str, float]:
    nets: dict[str, Builder] = {"18": ResNet18, "34": ResNet34, "50": ResNet50, "plain": _plain_50}
    return {name: _growth(_fresh(build)) for name, build in nets.items()}


def _norms(net: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)}


def _statistics(net: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.{what}": getattr(m, what)
        for name, m in _norms(net).items()
        for what in ("running_mean", "running_var")
        if getattr(m, what) is not None
    }


@cache
def _calibrated(one_by_one: bool = False) -> nn.Module:
    """A fresh ResNet-50 whose batch norms have measured the photographs."""
    net = _fresh(ResNet50)
    for norm in _norms(net).values():
        norm.momentum = None
    net.train()
    with torch.no_grad():
        for images in _photos().split(1 if one_by_one else len(_photos())):
            net(images)
    return net.eval()


@exercise("resnet-implementation.6")
def give_batch_norm_its_statistics(answer: object) -> Right:
    """{"calibrate": calibrate(net, images), "because": one of BECAUSE}."""
    keys = ("calibrate", "because")
    if not isinstance(answer, Mapping) or set(answer) != set(keys):
        raise Wrong(
            f"Give a dictionary {{'calibrate': …, 'because': …}}, got {kind(answer)}.",
            f"请给出字典 {{'calibrate': …, 'because': …}}，得到的是 {kind(answer)}。",
            "not-these-names",
        )
    if waiting := still_open(answer):
        return waiting
    calibrate = function(answer["calibrate"], "calibrate(net, images)")
    net = _fresh(ResNet50)
    back = attempt("calibrate(net, images)", lambda: calibrate(net, _photos().clone()))
    _is_calibrated(back if isinstance(back, nn.Module) else net)
    growths, because = _growths(), answer["because"]
    if because == "additions":
        return Right(
            f"Tried on a narrow ResNet-50: from layer1 to layer4 the largest value grew "
            f"{growths['50']:.0f} times; calibrated, "
            f"{_growth(_calibrated()):.1f} times. Without the additions: {growths['plain']:.2f}.",
            "在一个窄的 ResNet-50 上试过：从 layer1 到 layer4，最大值原先变为 "
            f"{growths['50']:.0f} 倍；校准之后是 {_growth(_calibrated()):.1f} 倍。"
            f"若没有相加：{growths['plain']:.2f} 倍。",
        )
    if because == "convolutions":
        raise Wrong(
            "calibrate is right. But the same convolutions without shortcuts (PlainBottleneck) "
            f"give {growths['plain']:.2f} times in place of {growths['50']:.0f}.",
            "calibrate 对了。但同样的卷积去掉捷径连接（PlainBottleneck）之后，"
            f"是 {growths['plain']:.2f} 倍而不是 {growths['50']:.0f} 倍。",
            "convolutions-blamed",
        )
    if because == "channels":
        raise Wrong(
            "calibrate is right. But ResNet-34 has the channels of ResNet-18, and yet grows "
            f"{growths['34']:.0f} times in place of {growths['18']:.1f}. What has it more of?",
            "calibrate 对了。但 ResNet-34 的通道数与 ResNet-18 相同，"
            f"却增长到 {growths['34']:.0f} 倍，而不是 {growths['18']:.1f} 倍。它多了什么？",
            "channels-blamed",
        )
    raise Wrong(
        f"calibrate is right. 'because' must be one of {', '.join(BECAUSE)}; got {kind(because)}.",
        f"calibrate 对了。'because' 应是 {'、'.join(BECAUSE)} 之一；得到的是 {kind(because)}。",
        "not-a-reason",
    )


def _is_calibrated(net: nn.Module) -> None:
    """Compare what batch norm has stored with what a network that measured the batch stores.

    Raises:
        Wrong: it differs.
    """
    fresh, wanted = _fresh(ResNet50), _calibrated()
    changed = [
        name
        for name, value in fresh.named_parameters()
        if not torch.equal(value, dict(net.named_parameters()).get(name, torch.empty(0)))
    ]
    if changed:
        raise Wrong(
            f"{changed[0]} has changed. The network is to be calibrated, not trained: only what "
            "batch norm has measured may be new.",
            f"{changed[0]} 变了。网络要的是校准，不是训练：只有批量归一化测得的量可以更新。",
            "weights-changed",
        )
    got, goal, start = _statistics(net), _statistics(wanted), _statistics(fresh)
    if set(got) != set(goal):
        raise Wrong(
            "A batch norm has no stored mean and variance any more; in evaluation mode it needs "
            "them.",
            "有的批量归一化不再保存均值和方差；在评估模式下却用得着它们。",
            "statistics-gone",
        )
    right = [name for name in goal if _alike(got[name], goal[name])]
    if len(right) == len(goal):
        return
    still = [name for name in goal if torch.equal(got[name], start[name])]
    if len(still) == len(goal):
        raise Wrong(
            "Every stored mean is still 0, every variance 1. Batch norm measures in training mode "
            "only; and does calibrate run its own net on its own images?",
            "存下的均值仍全是 0，方差仍全是 1。批量归一化只在训练模式下测量；另外，"
            "calibrate 用的是传给它的 net 和 images 吗？",
            "nothing-measured",
        )
    if still:
        raise Wrong(
            f"{len(still) // 2} of {len(goal) // 2} batch norms have measured nothing, "
            f"{still[0].rpartition('.')[0]} for one.",
            f"{len(goal) // 2} 个批量归一化中有 {len(still) // 2} 个什么也没测，例如 "
            f"{still[0].rpartition('.')[0]}。",
            "some-forgotten",
        )
    _partly(got, goal)
    single = _statistics(_calibrated(one_by_one=True))
    if all(_alike(got[name], single[name]) for name in goal):
        raise Wrong(
            "One image at a time: each is then normalised by itself. Run the batch as a whole.",
            "一次一幅图像：每幅都只用自己的统计量归一化。请把整批一起送进去。",
            "one-by-one",
        )
    off = next(name for name in goal if name not in right)
    raise Wrong(
        f"{off} is not what this batch has. Only these images should count, once each, unscaled.",
        f"{off} 与这批图像的不符。只应计入这些图像，每幅一次，不要缩放。",
    )


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-2, atol=1e-3)


def _partly(got: dict[str, Tensor], goal: dict[str, Tensor]) -> None:
    """Find out whether the stored means went only a part of the way from 0.

    Raises:
        Wrong: they did.
    """
    means = [name for name in goal if name.endswith("running_mean")]
    a, b = (torch.cat([values[name].flatten() for name in means]) for values in (got, goal))
    part = (torch.dot(a, b) / torch.dot(b, b)).item()
    if 0 < part < 0.995 and all(_alike(got[name], part * goal[name]) for name in means):
        raise Wrong(
            f"The stored means went only {part:.0%} of the way to the measured ones: look at "
            "momentum.",
            f"存下的均值只朝测得的值走了 {part:.0%}：看看 momentum。",
            "momentum-left",
        )


# --- 7: write `_make_layer` ----------------------------------------------------------------------

BUILDS: list[tuple[type[nn.Module], int, int, int, int]] = [
    (BasicBlock, 8, 8, 2, 1),
    (BasicBlock, 8, 16, 3, 2),
    (Bottleneck, 12, 8, 3, 1),
    (Bottleneck, 32, 16, 2, 2),
]


@exercise("resnet-implementation.7")
def write_make_layer(answer: object) -> Right:
    """`make_layer(block, in_planes, planes, num_blocks, stride)` → a stage."""
    make = function(answer, "make_layer(block, in_planes, planes, num_blocks, stride)")
    for case in BUILDS:
        block, in_planes, planes, num_blocks, stride = case
        call = f"make_layer({block.__name__}, {', '.join(map(str, case[1:]))})"
        got = attempt(call, lambda case=case: make(*case))
        wanted = [(in_planes, planes, stride)]
        wanted += [(planes * block.expansion, planes, 1)] * (num_blocks - 1)
        slip = _slip_of_a_stage(call, got, wanted, block)
        if slip is not None:
            raise slip
    return Right(
        "Each stage as the book builds it: only its first block may change size and channels.",
        "四个阶段都与书中的一致：只有第一个块可以改变尺寸和通道数。",
    )


def _slip_of_a_stage(
    call: str, got: object, wanted: list[tuple[int, int, int]], block: type[nn.Module]
) -> Wrong | None:
    """Return what is wrong with a stage, read off its blocks; None if nothing is."""
    num_blocks, (in_planes, planes, stride) = len(wanted), wanted[0]
    is_stage = isinstance(got, nn.Sequential)
    parts = list(got) if is_stage else []
    made = [_asked_for(part) for part in parts if isinstance(part, block)]
    strides, inputs = [s for _, _, s in made], [i for i, _, _ in made]
    return first_slip(
        [
            (
                got is None,
                f"{call} gives None. Is a return missing?",
                f"{call} 返回的是 None。是不是漏了 return？",
                "nothing-returned",
            ),
            (
                not is_stage,
                f"{call} gives {kind(got)}. A stage is an nn.Sequential: it runs its blocks in "
                "turn, and PyTorch finds their parameters, as it does not in a plain list.",
                f"{call} 返回的是 {kind(got)}。阶段应当是 nn.Sequential：它依次运行各个块，"
                "PyTorch 也能找到它们的参数；在普通列表里就找不到。",
                "a-list",
            ),
            (
                len(made) != len(parts),
                f"{call}: {kind(next((p for p in parts if not isinstance(p, block)), None))} is no "
                f"{block.__name__}; a stage holds nothing but its blocks.",
                f"{call}：{kind(next((p for p in parts if not isinstance(p, block)), None))} 不是 "
                f"{block.__name__}；一个阶段里只有块，别无其他。",
                "other-parts",
            ),
            (
                len(set(map(id, parts))) < len(parts),
                f"{call}: the same block stands there more than once, so its places share one set "
                "of weights. Build a new one each time.",
                f"{call}：同一个块出现了不止一次，这几处共用一组权重。每次都要新建一个块。",
                "one-block-repeated",
            ),
            (
                len(made) != num_blocks,
                f"{call} holds {len(made)} blocks; {num_blocks} are wanted.",
                f"{call} 里有 {len(made)} 个块，应为 {num_blocks} 个。",
                "number-of-blocks",
            ),
            (
                stride != 1 and strides == [stride] * num_blocks,
                f"{call}: every block has stride {stride}, so the maps are halved {num_blocks} "
                "times. How often does a stage halve them?",
                f"{call}：每个块的步幅都是 {stride}，特征图会缩小 {num_blocks} 次。"
                "一个阶段该缩小几次？",
                "stride-in-every-block",
            ),
            (
                stride != 1 and strides == [1] * num_blocks,
                f"{call}: no block has stride {stride}; the maps stay as large as they were.",
                f"{call}：没有一个块的步幅是 {stride}，特征图没有变小。",
                "stride-nowhere",
            ),
            (
                strides != [s for _, _, s in wanted],
                f"{call}: the strides are {strides}. Only the first block takes the stage's own.",
                f"{call}：步幅依次是 {strides}。只有第一个块使用这一阶段的步幅。",
                "strides",
            ),
            (
                inputs == [in_planes] * num_blocks != [i for i, _, _ in wanted],
                f"{call}: every block expects {in_planes} channels, but after the first there are "
                "others. in_planes has to move on.",
                f"{call}：每个块都以为输入有 {in_planes} 个通道，可第一个块之后就变了。"
                "in_planes 要随之更新。",
                "in-planes-not-updated",
            ),
            (
                block.expansion != 1 and inputs[1:] == [planes] * (num_blocks - 1),
                f"{call}: after a block there are planes · expansion channels, not planes.",
                f"{call}：一个块之后的通道数是 planes · expansion，而不是 planes。",
                "expansion-forgotten",
            ),
            (
                made != wanted,
                f"{call} builds (in_planes, planes, stride) {made}. Follow one image through.",
                f"{call} 建的块 (in_planes, planes, stride) 是 {made}。请跟着一张图像走一遍。",
                "other-blocks",
            ),
        ]
    )


def _asked_for(block: nn.Module) -> tuple[int, int, int]:
    """Return (in_planes, planes, stride) of a block, read off its convolutions."""
    first, second = block.conv1, block.conv2  # a bottleneck has its stride on the second
    return first.in_channels, first.out_channels, first.stride[0] * second.stride[0]
