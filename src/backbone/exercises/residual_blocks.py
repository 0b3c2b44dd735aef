"""Checks of the exercises in "Residual blocks"."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn

from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import (
    attempt,
    function,
    number,
    numbers,
    output,
    parameters,
    same_shape,
)
from backbone.resnet import BasicBlock, Bottleneck, ResNet34, ResNet101, ResNet152


@exercise("residual-blocks.1")
def decide_without_building(answer: object) -> Right:
    """`needs_projection(kind, in_planes, planes, stride)` → bool."""
    decide = function(answer, "needs_projection(kind, in_planes, planes, stride)")
    said: dict[tuple[Any, ...], bool] = {}
    for kind in (BasicBlock, Bottleneck):
        for in_planes in (16, 32, 64):
            for planes in (8, 16, 32, 64):
                for stride in (1, 2):
                    case = (kind, in_planes, planes, stride)
                    call = f"needs_projection({kind.__name__}, {in_planes}, {planes}, {stride})"
                    got = attempt(call, lambda case=case: decide(*case))
                    if got not in (True, False):
                        raise Wrong(
                            f"{call} must be True or False, got {got!r}.",
                            f"{call} 应当返回 True 或 False，得到的是 {got!r}。",
                            "not-a-bool",
                        )
                    said[case] = bool(got)
    real = {case: case[0](*case[1:]).downsample is not None for case in said}
    wrong = [case for case in real if said[case] != real[case]]
    if not wrong:
        return Right(
            "Right in all 48 cases. Shapes alone decide: the size must stay, and channels too.",
            "48 种情形全部正确。只看形状就能决定：尺寸不变，通道数也不变。",
        )
    forms = {
        "stride-forgotten": lambda k, i, p, s: i != k.expansion * p,
        "channels-forgotten": lambda k, i, p, s: s != 1,
        "expansion-forgotten": lambda k, i, p, s: s != 1 or i != p,
        "both-wanted": lambda k, i, p, s: s != 1 and i != k.expansion * p,
        "turned-round": lambda k, i, p, s: not (s != 1 or i != k.expansion * p),
    }
    hints = {
        "stride-forgotten": (
            "Channels alone do not decide: with stride 2, F(x) is half as high and wide as x.",
            "只看通道数还不够：步幅为 2 时，F(x) 的高和宽只有 x 的一半。",
        ),
        "channels-forgotten": (
            "The stride alone does not decide: 16 channels cannot be added to 32.",
            "只看步幅还不够：16 个通道不能与 32 个通道相加。",
        ),
        "expansion-forgotten": (
            "Right for BasicBlock. A Bottleneck puts out kind.expansion * planes channels.",
            "BasicBlock 都对了。Bottleneck 输出的是 kind.expansion * planes 个通道。",
        ),
        "both-wanted": (
            "One mismatch is enough: size or channels, not size and channels.",
            "有一处不符就够了：是“尺寸或通道”，不是“尺寸且通道”。",
        ),
        "turned-round": (
            "Exactly the other way round: True means that the block needs a projection.",
            "正好反了：True 表示这个块需要投影。",
        ),
    }
    for slip, form in forms.items():
        if all(said[case] == form(*case) for case in real):
            raise Wrong(*hints[slip], slip)
    kind, *rest = wrong[0]
    call = f"{kind.__name__}({', '.join(map(str, rest))})"
    need = real[wrong[0]]
    raise Wrong(
        f"{call} {'needs a' if need else 'needs no'} projection; {len(wrong)} of 48 cases differ. "
        "Compare the shapes of x and F(x).",
        f"{call} {'需要' if need else '不需要'}投影；48 种情形中有 {len(wrong)} 种不符。"
        "请比较 x 与 F(x) 的形状。",
    )


def _projections(make: Any) -> int:  # noqa: ANN401 (one of the five ResNets)
    names = (name for name, _ in make(width=8).named_modules())
    return sum(name.endswith("downsample") for name in names)


@exercise("residual-blocks.2")
def count_before_you_look(answer: object) -> Right:
    """{"ResNet34": …, "ResNet101": …, "ResNet152": …} → number of projections."""
    nets = {make.__name__: make for make in (ResNet34, ResNet101, ResNet152)}
    said = numbers(answer, tuple(nets))
    real = {name: _projections(make) for name, make in nets.items()}
    if said == real:
        return Right(
            "Three, four, four. Depth adds blocks inside the stages, and those keep their shape.",
            "三个、四个、四个。加深只是在各阶段内部增加块，而这些块的形状不变。",
        )
    if said == {name: sum(_blocks(make)) for name, make in nets.items()}:
        raise Wrong(
            "Those are all the blocks. How many of them change the shape of what they get?",
            "那是块的总数。其中有几个会改变输入的形状？",
            "every-block",
        )
    if all(value == 4 for value in said.values()):
        raise Wrong(
            "Does layer1.0 of ResNet-34 change the shape? 64 channels come in, and go out.",
            "ResNet-34 的 layer1.0 会改变形状吗？进来 64 个通道，出去多少？",
            "first-stage-always",
        )
    if all(value == 3 for value in said.values()):
        raise Wrong(
            "True for basic blocks. In a bottleneck network layer1.0 turns 64 channels into 256.",
            "对基本块成立。但在瓶颈网络里，layer1.0 要把 64 个通道变成 256 个。",
            "first-stage-never",
        )
    off = next(name for name in nets if said[name] != real[name])
    raise Wrong(
        f"Not the number for {off}. Only the first block of a stage can need a projection.",
        f"{off} 的数目不对。每个阶段只有第一个块可能需要投影。",
    )


def _blocks(make: Any) -> list[int]:  # noqa: ANN401
    net = make(width=8)
    return [len(getattr(net, f"layer{i}")) for i in (1, 2, 3, 4)]


def _wide(seed: int) -> dict[str, int]:
    """The book's question first; a class gets another width."""
    return {"wide": 256 if seed == 0 else random.Random(seed).choice((128, 192, 320, 384, 512))}


def _conv_weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


@exercise("residual-blocks.3", question=_wide)
def same_price(answer: object, wide: int = 256) -> Right:
    """Channels of the basic block that costs as much as `Bottleneck(wide, wide // 4)`."""
    said = number(answer)
    goal = _conv_weights(Bottleneck(wide, wide // 4))
    best = min(range(1, wide + 1), key=lambda c: abs(18 * c * c - goal))
    if said == best:
        return Right(
            f"{best}: the price of one basic block buys maps {wide / best:.1f} times as wide.",
            f"{best}：用一个基本块的价钱，特征图可以宽到 {wide / best:.1f} 倍。",
        )
    one_layer = min(range(1, wide + 1), key=lambda c: abs(9 * c * c - goal))
    no_kernel = min(range(1, 4 * wide), key=lambda c: abs(2 * c * c - goal))
    if said in (one_layer, one_layer - 1, one_layer + 1):
        raise Wrong(
            "A basic block has two 3×3 convolutions, not one.",
            "一个基本块有两个 3×3 卷积，不是一个。",
            "one-convolution",
        )
    if said == no_kernel:
        raise Wrong(
            "Each convolution has 9 weights for every pair of channels, not one.",
            "每个卷积对每一对通道有 9 个权重，不是一个。",
            "kernel-forgotten",
        )
    if said == wide // 4:
        raise Wrong(
            f"{wide // 4} is the round number the authors chose. Which one is closest?",
            f"{wide // 4} 是作者取的整数。最接近的是哪个？",
            "round-number",
        )
    raise Wrong(
        f"2 · 9 · C² with C = {said:g} gives {18 * said * said:,.0f} weights; "
        f"the bottleneck has {goal:,}.",
        f"C = {said:g} 时 2 · 9 · C² = {18 * said * said:,.0f} 个权重；瓶颈块有 {goal:,} 个。",
    )


@exercise("residual-blocks.4")
def shortcut_without_parameters(answer: object) -> Right:
    """`ZeroPad(channels, stride)`, a module."""
    make = function(answer, "ZeroPad(channels, stride)")
    call = "ZeroPad(128, 2)"
    module = attempt(call, lambda: make(128, 2))
    if not isinstance(module, nn.Module):
        raise Wrong(
            f"{call} must be an nn.Module, got {type(module).__name__}.",
            f"{call} 应当是 nn.Module，得到的是 {type(module).__name__}。",
            "not-a-module",
        )
    if parameters(module):
        raise Wrong(
            f"Option A has no parameters; yours has {parameters(module):,}.",
            f"A 方案没有参数；你的有 {parameters(module):,} 个。",
            "has-parameters",
        )
    x = torch.rand(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    y = output(f"{call}(x)", module, x)
    if tuple(y.shape) == (2, 64, 4, 68) or y.shape[-1] > 8:
        raise Wrong(
            "The zeros went to the width: pad takes the last dimension first. Two zeros for the "
            "width, two for the height, then the channels.",
            "零补到了宽度上：pad 从最后一维开始。先给宽度两个 0，再给高度两个 0，然后才是通道。",
            "padded-the-width",
        )
    same_shape(
        f"{call}(x)",
        y,
        (2, 128, 4, 4),
        ("64 channels come in at 8×8.", "输入是 64 个通道，8×8。"),
    )
    if torch.equal(y[:, 64:], x[:, :, ::2, ::2]) and y[:, 64:].any():
        if torch.equal(y[:, :64], x[:, :, ::2, ::2]):
            raise Wrong(
                "The new channels repeat the old ones; option A fills them with zeros.",
                "新增的通道重复了原来的通道；A 方案要用零来填。",
                "repeated-channels",
            )
        raise Wrong(
            "The zeros stand in front of the channels; append them behind.",
            "零放在了原通道前面；应当接在后面。",
            "zeros-in-front",
        )
    if y[:, 64:].any():
        raise Wrong(
            "The channels after the 64th must be zero.",
            "第 64 个之后的通道必须全为零。",
            "not-zero",
        )
    if not torch.equal(y[:, :64], x[:, :, ::2, ::2]):
        raise Wrong(
            "The first 64 channels must be every second pixel of x as it is: no mean, no maximum.",
            "前 64 个通道应当是 x 每隔一个像素原样取出：不取平均，也不取最大值。",
            "pooled",
        )
    kept = output("ZeroPad(16, 1)(x)", attempt("ZeroPad(16, 1)", lambda: make(16, 1)), x[:, :16])
    if not torch.equal(kept, x[:, :16]):
        raise Wrong(
            "With stride 1 and the same channels nothing may change.",
            "步幅为 1、通道数不变时，什么都不该变。",
            "stride-fixed",
        )
    return Right(
        "It fits, and costs nothing: BasicBlock(64, 128, stride=2) saves 8,448 parameters.",
        "形状吻合，而且没有代价：BasicBlock(64, 128, stride=2) 省下 8,448 个参数。",
    )


@exercise("residual-blocks.5")
def first_step_of_a_silent_block(answer: object) -> Right:
    """The names of the parameters that receive a gradient."""
    if isinstance(answer, str) or not isinstance(answer, set | list | tuple | frozenset):
        raise Wrong(
            "Give a set of names, such as {'conv1.weight', …}.",
            "请给出名字的集合，例如 {'conv1.weight', …}。",
            "not-names",
        )
    said = set(answer)
    block = BasicBlock(16, 16)
    known = {name for name, _ in block.named_parameters()}
    if said - known:
        stray = sorted(map(str, said - known))[0]
        raise Wrong(
            f"{stray!r} is no parameter of the block; look at named_parameters().",
            f"{stray!r} 不是这个块的参数；看看 named_parameters()。",
            "unknown-name",
        )
    nn.init.zeros_(block.bn2.weight)
    generator = torch.Generator().manual_seed(0)
    x, target = (torch.rand(4, 16, 8, 8, generator=generator) for _ in range(2))
    (block(x) - target).square().mean().backward()
    awake = {name for name, p in block.named_parameters() if p.grad.abs().max() > 0}
    if said == awake:
        return Right(
            "Only these two. After one step γ is no longer zero, and the whole block wakes up.",
            "只有这两个。走一步之后 γ 不再是零，整个块就醒了。",
        )
    if said == known:
        raise Wrong(
            "On its way to conv2 the gradient is multiplied by γ, and γ is zero.",
            "梯度通往 conv2 的路上要乘以 γ，而 γ 是零。",
            "all-learn",
        )
    if not said:
        raise Wrong(
            "Something does learn: the shift of bn2, for one, is added without any factor.",
            "总有东西在学：比如 bn2 的偏移，它是直接加上去的，前面没有因子。",
            "none-learns",
        )
    if said == {"bn2.bias"}:
        raise Wrong(
            "γ itself learns, too: its gradient is the sum of gradient times normalised input.",
            "γ 自己也在学：它的梯度是上游梯度与归一化输入之积的和。",
            "gamma-forgotten",
        )
    extra = sorted(said - awake) or sorted(awake - said)
    raise Wrong(
        f"Measure {extra[0]}: is p.grad.abs().max() zero or not?",
        f"测一测 {extra[0]}：p.grad.abs().max() 是零吗？",
    )


@exercise("residual-blocks.6")
def nothing_after_the_addition(answer: object) -> Right:
    """`PreActivation(in_planes, planes)`, a block with batch norm and ReLU in front."""
    make = function(answer, "PreActivation(in_planes, planes)")
    block = attempt("PreActivation(16, 16)", lambda: make(16, 16))
    convolutions = [m for m in _modules(block) if isinstance(m, nn.Conv2d)]
    if len(convolutions) != 2:
        raise Wrong(
            f"Two convolutions are wanted, found {len(convolutions)}.",
            f"应当有两个卷积，找到 {len(convolutions)} 个。",
            "convolutions",
        )
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    block.train()
    nn.init.zeros_(block.conv2.weight if hasattr(block, "conv2") else convolutions[-1].weight)
    y = output("PreActivation(16, 16)(x)", block, x)
    same_shape(
        "PreActivation(16, 16)(x)",
        y,
        (2, 16, 8, 8),
        ("The block keeps channels and size.", "这个块不改变通道数和尺寸。"),
    )
    if torch.equal(y, x.relu()):
        raise Wrong(
            "There is still a ReLU after the addition: the negative values of x are gone.",
            "相加之后还有一个 ReLU：x 的负值没有了。",
            "relu-after-addition",
        )
    if not y.any():
        raise Wrong(
            "With conv2 silent nothing comes out: was x added?",
            "conv2 一旦静默，什么也出不来：加上 x 了吗？",
            "no-addition",
        )
    if not torch.equal(y, x):
        raise Wrong(
            "With conv2 silent x must come out unchanged. What else touches it on the shortcut, or "
            "after the addition?",
            "conv2 静默时，x 必须原样出来。捷径连接上或相加之后，还有什么动了它？",
            "shortcut-touched",
        )
    twin = _reference(block, x)
    if twin is not None:
        raise twin
    return Right(
        "The shortcut is now a clean line: what goes in, signs and all, comes out.",
        "捷径连接现在是一条干净的直线：进去什么，连同正负号，就出来什么。",
    )


def _modules(block: Any) -> list[nn.Module]:  # noqa: ANN401
    if not isinstance(block, nn.Module):
        raise Wrong(
            f"PreActivation(16, 16) must be an nn.Module, got {type(block).__name__}.",
            f"PreActivation(16, 16) 应当是 nn.Module，得到的是 {type(block).__name__}。",
            "not-a-module",
        )
    return list(block.modules())


def _reference(block: Any, x: torch.Tensor) -> Wrong | None:  # noqa: ANN401
    """Compare with batch norm, ReLU, convolution, twice, if the names are BasicBlock's."""
    if not all(hasattr(block, name) for name in ("conv1", "bn1", "conv2", "bn2")):
        return None
    nn.init.normal_(block.conv2.weight, generator=torch.Generator().manual_seed(1))
    got = output("PreActivation(16, 16)(x)", block, x)
    with torch.no_grad():
        inner = block.conv1(block.bn1(x).relu())
        wanted = block.conv2(block.bn2(inner).relu()) + x
    if torch.allclose(got, wanted, atol=1e-4):
        return None
    return Wrong(
        "The order inside differs: batch norm, ReLU, convolution; then the same again.",
        "块内的顺序不对：批量归一化、ReLU、卷积；然后再来一遍。",
        "order",
    )


# --- 7: many narrow paths ------------------------------------------------------------------------


@exercise("residual-blocks.7")
def many_narrow_paths(answer: object) -> Right:
    """`ResNeXtBlock(in_planes, width, planes, groups)`, identity shortcut only."""
    make = function(answer, "ResNeXtBlock(in_planes, width, planes, groups)")
    call = "ResNeXtBlock(64, 32, 64, 8)"
    block = attempt(call, lambda: make(64, 32, 64, 8))
    if not isinstance(block, nn.Module):
        raise Wrong(
            f"{call} must be an nn.Module, got {type(block).__name__}.",
            f"{call} 应当是 nn.Module，得到的是 {type(block).__name__}。",
            "not-a-module",
        )
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    middle = [m for m in convolutions if m.kernel_size == (3, 3)]
    sizes = [m.kernel_size for m in convolutions]
    if sizes != [(1, 1), (3, 3), (1, 1)]:
        raise Wrong(
            f"The kernels are {sizes}; a ResNeXt block has a 1×1, a grouped 3×3 and a 1×1.",
            f"卷积核依次是 {sizes}；ResNeXt 的块是 1×1、分组的 3×3、1×1。",
            "kernels",
        )
    if middle[0].groups == 1:
        raise Wrong(
            "The 3×3 convolution reads all channels for each output: look up groups in nn.Conv2d.",
            "3×3 卷积的每个输出通道都读了全部输入通道：查查 nn.Conv2d 的 groups 参数。",
            "no-groups",
        )
    grouped = [m.groups for m in convolutions]
    if grouped != [1, 8, 1]:
        raise Wrong(
            f"groups are {grouped}. Only the 3×3 is split, into 8; the 1×1 before and after it mix "
            "the groups.",
            f"groups 依次是 {grouped}。只有 3×3 分成 8 组；前后的 1×1 负责把各组混合起来。",
            "groups-elsewhere",
        )
    if (middle[0].in_channels, middle[0].out_channels) != (32, 32):
        raise Wrong(
            f"The 3×3 works on {middle[0].in_channels} channels. `width` is the number for all "
            "groups together.",
            f"3×3 处理的是 {middle[0].in_channels} 个通道。`width` 是各组合起来的总数。",
            "width-per-group",
        )
    x = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(0)).relu()
    block.train()
    y = output(f"{call}(x)", block, x)
    keeps = ("The block keeps channels and size.", "这个块不改变通道数和尺寸。")
    same_shape(f"{call}(x)", y, (2, 64, 8, 8), keeps)
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    if len(norms) != 3:
        raise Wrong(
            f"Each of the three convolutions has its batch norm; found {len(norms)}.",
            f"三个卷积各有一个批量归一化；找到 {len(norms)} 个。",
            "norms",
        )
    idle = _without_gradient(call, block, x)
    if idle is not None:
        raise Wrong(
            f"{idle} gets no gradient: forward does not use it, or something cuts the way back.",
            f"{idle} 得不到梯度：forward 没有用到它，或者回传的路被切断了。",
            "idle-parameter",
        )
    nn.init.zeros_(norms[-1].weight)
    silent = output(f"{call}(x)", block, x)
    if not torch.equal(silent, x):
        raise Wrong(
            "With the last batch norm silent (its weight zero) a non-negative x must come out as "
            "it went in. Was x added, and only once, before the last ReLU?",
            "最后一个批量归一化静默（权重为零）时，非负的 x 应当原样出来。x 加上了吗？"
            "是不是只加一次，而且在最后的 ReLU 之前？",
            "no-identity",
        )
    nn.init.ones_(norms[-1].weight)
    if (output(f"{call}(−x)", block, -x) < 0).any():
        raise Wrong(
            "Negative values come out: the last ReLU after the addition is missing.",
            "输出里有负值：相加之后少了最后的 ReLU。",
            "no-last-relu",
        )
    with torch.no_grad():
        inner = norms[0](convolutions[0](x)).relu()
        wanted = norms[2](convolutions[2](norms[1](convolutions[1](inner)).relu())) + x
    if not torch.allclose(output(f"{call}(x)", block, x), wanted.relu(), atol=1e-4):
        raise Wrong(
            "Ends are right, the inside is not: convolution, batch norm, ReLU; the same again; "
            "then convolution and batch norm.",
            "两端都对，中间不对：卷积、批量归一化、ReLU；再来一遍；然后是卷积和批量归一化。",
            "order",
        )
    real = Bottleneck(256, 64)
    wide = attempt("ResNeXtBlock(256, 128, 256, 32)", lambda: make(256, 128, 256, 32))
    ratio = parameters(wide) / parameters(real)
    return Right(
        f"32 narrow paths, and with {parameters(wide):,} parameters "
        f"{ratio:.2f} times as expensive as the bottleneck's {parameters(real):,}.",
        f"32 条窄路，一共 {parameters(wide):,} 个参数，"
        f"是瓶颈块 {parameters(real):,} 个参数的 {ratio:.2f} 倍。",
    )


def _without_gradient(call: str, block: nn.Module, x: torch.Tensor) -> str | None:
    """Return the name of a parameter that one step back does not reach; None if there is none."""
    target = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    attempt(call, lambda: (block(x.clone()) - target).square().mean().backward())
    reached = {name for name, p in block.named_parameters() if p.grad is not None}
    # A bias in front of a batch norm may be there: its gradient is zero by nature.
    silent = {n for n, p in block.named_parameters() if n in reached and not p.grad.any()}
    lost = {name for name, _ in block.named_parameters()} - reached
    lost |= {name for name in silent if name.endswith("weight")}
    return min(lost, default=None)
