"""Checks of the bug museum, rooms 1 and 2: shortcuts, and stages and checkpoints.

Most repairs are blocks. Their convolutions are found by kernel size, so a block may name its layers
as it likes; what it computes is compared with formulas, one of them right and each other one a
mistake that is often made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.museum import silence
from backbone.exercises.probes import attempt, function, kind, output, parameters, same_shape
from backbone.resnet import BasicBlock, Bottleneck, ResNet, ResNet18

Hint = tuple[str, str]
Map = Callable[[Tensor], Tensor]


@contextmanager
def _seeded() -> Iterator[None]:
    """Draw the same numbers every time; the reader's own go on as if nothing had been."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _maker(answer: object, signature: str) -> Callable[..., Any]:
    """Return a class of modules, or a function that builds one; a module itself is neither."""
    name = signature.partition("(")[0]
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"Hand in {name} itself, not a module that it has built already.",
            f"请交 {name} 本身，而不是它已经建好的模块。",
            "called-too-early",
        )
    return function(answer, signature)


def _built(answer: object, signature: str, *sizes: int) -> tuple[str, nn.Module]:
    """Build the answer; return how it was called, and the module in training mode."""
    make = _maker(answer, signature)
    call = f"{signature.partition('(')[0]}({', '.join(map(str, sizes))})"
    with _seeded():
        module = attempt(call, lambda: make(*sizes))
    if not isinstance(module, nn.Module):
        raise Wrong(
            f"{call} must be an nn.Module, got {kind(module)}.",
            f"{call} 应当是 nn.Module，得到的是 {kind(module)}。",
            "not-a-module",
        )
    return call, module.train()


def _convolutions(module: nn.Module, kernel: int) -> list[nn.Conv2d]:
    return [
        m
        for m in module.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size == (kernel, kernel)
    ]


def _norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]


def _compare(y: Tensor, formulas: Mapping[str, Tensor]) -> str | None:
    """Which formula is this? None if it is no known one."""
    near = (slip for slip, z in formulas.items() if z.shape == y.shape and _close(y, z))
    return next(near, None)


def _close(y: Tensor, z: Tensor) -> bool:
    return torch.allclose(y, z, atol=1e-4, rtol=1e-4)


def _norm(x: Tensor) -> Tensor:
    """Batch norm as it is before any training, with the statistics of this batch."""
    return F.batch_norm(x, None, None, training=True)


# --- 1: a ReLU in place -------------------------------------------------------------------------

IN_PLACE: dict[str, Hint] = {
    "still-in-place": (
        "The sum still takes relu(x). The first ReLU writes into x itself, before the addition "
        "reads it.",
        "相加时用的仍是 relu(x)。第一个 ReLU 直接写进了 x，而相加在它之后才读 x。",
    ),
    "shortcut-rectified": (
        "What was handed in is safe now, but the shortcut still carries relu(x): it must carry x.",
        "传入的张量安全了，但捷径连接上走的仍是 relu(x)：应当是 x。",
    ),
    "caller-overwritten": (
        "The sum is right, but the tensor that was handed in is still overwritten. Whoever else "
        "holds it, another skip for instance, now holds relu(x).",
        "和是对的，但传入的张量仍被改写了。别处若也拿着它（例如另一条跳跃连接），拿到的就是 "
        "relu(x)。",
    ),
    "first-relu-gone": (
        "The shortcut is right, but F has lost its first ReLU. It may stay if it writes elsewhere.",
        "捷径连接对了，但 F 丢了第一个 ReLU。它可以留下，只要写到别处去。",
    ),
    "second-relu-gone": (
        "F has lost the ReLU between its convolutions. That one was harmless.",
        "F 丢了两个卷积之间的 ReLU。那一个本来无害。",
    ),
    "both-relus-gone": (
        "Without any ReLU, F is two convolutions in a row, which can do no more than one.",
        "一个 ReLU 都没有，F 就是两个相连的卷积，能做的不比一个卷积多。",
    ),
    "relu-at-the-end": (
        "A ReLU after the addition takes the negative values away again.",
        "相加之后的 ReLU 又把负值去掉了。",
    ),
    "no-addition": (
        "Only F comes out: x is not added any more.",
        "输出的只有 F：x 没有加上去。",
    ),
}


@exercise("bug-museum.1")
def block_that_saves_memory(answer: object) -> Right:
    """`Fixed(planes)`: y = x + conv(relu(conv(relu(x)))), signs and all."""
    call, block = _built(answer, "Fixed(planes)", 4)
    found = _convolutions(block, 3)
    if len(found) != 2:
        raise Wrong(
            f"{call} should keep its two 3×3 convolutions, found {len(found)}.",
            f"{call} 应当保留两个 3×3 卷积，找到 {len(found)} 个。",
            "other-layers",
        )
    with _seeded():
        x = torch.randn(2, 4, 8, 8)
    given = x.clone()
    with torch.no_grad():
        y = attempt(f"{call}(x)", lambda: block(given))
        if not isinstance(y, Tensor):
            raise Wrong(
                f"{call}(x) must give a tensor, got {kind(y)}. Is a return missing?",
                f"{call}(x) 应当返回张量，得到的是 {kind(y)}。是不是漏了 return？",
                "no-tensor",
            )
        y, (one, two) = y.clone(), found
        inner = two(one(x.relu()).relu())
        slip = _compare(
            y,
            {
                "right": x + inner,
                "shortcut-rectified": x.relu() + inner,
                "first-relu-gone": x + two(one(x).relu()),
                "second-relu-gone": x + two(one(x.relu())),
                "both-relus-gone": x + two(one(x)),
                "relu-at-the-end": (x + inner).relu(),
                "no-addition": inner,
            },
        )
    overwritten = not torch.equal(given, x)
    if slip == "shortcut-rectified" and overwritten:
        slip = "still-in-place"
    if slip == "right" and overwritten:
        slip = "caller-overwritten"
    if slip in IN_PLACE:
        raise Wrong(*IN_PLACE[slip], slip)
    if slip is None:
        raise Wrong(
            "That computes something else. Wanted: x, plus ReLU, convolution, ReLU, convolution.",
            "算出来的是别的东西。要的是：x，加上 ReLU、卷积、ReLU、卷积。",
        )
    start = x.clone().requires_grad_()
    attempt(f"{call}(x)", lambda: silence(block)(start).sum().backward())
    if start.grad is None or not torch.allclose(start.grad, torch.ones_like(x)):
        raise Wrong(
            "The values are right, but with F silent the gradient does not come back through the "
            "shortcut unchanged. Was x detached?",
            "数值对了，但让 F 静默时，梯度没有沿捷径连接原样传回。是不是对 x 用了 detach？",
            "gradient-cut",
        )
    return Right(
        "Repaired. Remember: in place only on what you made yourself, not on what you were given.",
        "修好了。记住：原地操作只用在自己算出来的张量上，绝不用在别人给的张量上。",
    )


# --- 2 to 4: a basic block whose addition is wrong -----------------------------------------------


@dataclass(frozen=True)
class Parts:
    """What a basic block computed on its way, made again from its own convolutions.

    Attributes:
        x: what went in.
        raw: F before its last batch norm.
        f: F(x).
        plain: the 1×1 convolution of x without anything; None without such a convolution.
        early: the 1×1 convolution of the batch norm of x.
        s: what the shortcut should bring to the addition.
    """

    x: Tensor
    raw: Tensor
    f: Tensor
    plain: Tensor | None
    early: Tensor | None
    s: Tensor


Formulas = Callable[[Parts], dict[str, Tensor]]

OTHER_SUM: Hint = (
    "{call} computes something else. Wanted: batch norm after each convolution, one ReLU inside F, "
    "the addition, one ReLU.",
    "{call} 算出来的是别的东西。要的是：每个卷积后做批量归一化，F 内部一个 ReLU，相加，再一个 "
    "ReLU。",
)


def _basic(answer: object, *sizes: int) -> tuple[str, nn.Module, Parts, Tensor]:
    """Run a repaired basic block once: how it was called, its parts, and what it gave."""
    call, block = _built(answer, "Fixed(in_planes, planes, stride)", *sizes)
    three, one = _convolutions(block, 3), _convolutions(block, 1)
    projects = sizes[0] != sizes[1] or sizes[2] != 1
    if len(three) != 2:
        raise Wrong(
            f"{call} should have two 3×3 convolutions, found {len(three)}.",
            f"{call} 应当有两个 3×3 卷积，找到 {len(three)} 个。",
            "other-layers",
        )
    if one and not projects:
        raise Wrong(
            f"{call} keeps the shape, so its shortcut needs no convolution; the mistake is "
            "somewhere else.",
            f"{call} 不改变形状，捷径连接不需要卷积；错误在别处。",
            "projection-everywhere",
        )
    if len(one) > 1:
        raise Wrong(
            f"{call} has {len(one)} 1×1 convolutions; one is enough to change the shape.",
            f"{call} 有 {len(one)} 个 1×1 卷积；改变形状用一个就够。",
            "other-layers",
        )
    if projects and not one:
        raise Wrong(
            f"{call} changes the shape: its shortcut needs a 1×1 convolution to follow.",
            f"{call} 改变了形状：捷径连接需要一个 1×1 卷积。",
            "projection-gone",
        )
    for layer in _norms(block):  # as fresh as the formulas take them to be
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    with _seeded():
        x = torch.randn(4, sizes[0], 8, 8)  # signed, so that no ReLU goes unnoticed
    with torch.no_grad():
        raw = three[1](_norm(three[0](x)).relu())
        plain = one[0](x) if one else None
        parts = Parts(
            x=x,
            raw=raw,
            f=_norm(raw),
            plain=plain,
            early=one[0](_norm(x)) if one else None,
            s=x if plain is None else _norm(plain),
        )
    y = _summed(call, block, x)
    same_shape(
        f"{call}(x)",
        y,
        tuple(raw.shape),
        ("The block should put out planes channels.", "这个块应当输出 planes 个通道。"),
    )
    return call, block, parts, y


def _summed(call: str, block: nn.Module, x: Tensor) -> Tensor:
    """Run a block; two summands of different shapes get a hint of their own."""
    try:
        return output(f"{call}(x)", block, x)
    except Wrong as wrong:
        if wrong.slip == "raises" and "must match the size" in wrong.words["en"]:
            raise Wrong(
                f"In {call} F(x) and what is added to it no longer have the same shape.",
                f"在 {call} 里，F(x) 与加上去的东西形状不同了。",
                "shapes-part",
            ) from None
        raise


def _check_sum(
    answer: object, sizes: tuple[int, ...], formulas: Formulas, hints: Mapping[str, Hint]
) -> nn.Module:
    """Compare a block with relu(F + s) and with the formulas of known mistakes; return it."""
    call, block, parts, y = _basic(answer, *sizes)
    with torch.no_grad():
        slip = _compare(y, {"right": (parts.f + parts.s).relu(), **formulas(parts)})
    if slip == "right":
        return block
    hint = hints.get(slip or "", OTHER_SUM)
    raise Wrong(*(text.replace("{call}", call) for text in hint), slip or "other")


ORDER: dict[str, Hint] = {
    "relu-before": (
        "{call} still puts a ReLU on F before the addition: F can only add, never take away.",
        "{call} 仍在相加之前对 F 做 ReLU：F 只能加，不能减。",
    ),
    "relu-twice": (
        "There is a ReLU after the addition now, but the one before it is still there, too.",
        "相加之后有 ReLU 了，但相加之前的那个也还在。",
    ),
    "no-relu": (
        "The ReLU before the addition is gone. It was not to be dropped but to be moved.",
        "相加之前的 ReLU 去掉了。但它不该删掉，而该挪个位置。",
    ),
    "relu-on-shortcut": (
        "Now the shortcut goes through the ReLU. It belongs around the sum, not around x.",
        "现在捷径连接经过了 ReLU。它应当作用在和上，而不是 x 上。",
    ),
    "norm-after": (
        "The batch norm has moved behind the addition, too. It belongs to F alone.",
        "批量归一化也挪到相加之后了。它只属于 F。",
    ),
    "no-addition": (
        "Nothing is added any more: that is F alone.",
        "没有相加了：只剩下 F。",
    ),
}


def _orders(p: Parts) -> dict[str, Tensor]:
    return {
        "relu-before": p.f.relu() + p.s,
        "relu-twice": (p.f.relu() + p.s).relu(),
        "no-relu": p.f + p.s,
        "relu-on-shortcut": p.f + p.s.relu(),
        "norm-after": _norm(p.raw + p.s).relu(),
        "no-addition": p.f.relu(),
    }


@exercise("bug-museum.2")
def always_a_little_more(answer: object) -> Right:
    """`Fixed(in_planes, planes, stride)`: the last ReLU comes after the addition."""
    for sizes in ((16, 16, 1), (16, 32, 2)):
        _check_sum(answer, sizes, _orders, ORDER)
    return Right(
        "Repaired. Remember: the last ReLU comes after the addition, so that F may also subtract.",
        "修好了。记住：最后一个 ReLU 在相加之后，这样 F 也能做减法。",
    )


LOUD: dict[str, Hint] = {
    "still-loud": (
        "The projection is still a bare convolution: its values are as large as x makes them.",
        "投影仍是光秃秃的卷积：x 有多大，它的值就有多大。",
    ),
    "norm-before": (
        "The batch norm stands before the 1×1 convolution; it normalises what a convolution puts "
        "out.",
        "批量归一化放在了 1×1 卷积之前；它该归一化的是卷积的输出。",
    ),
    "norm-on-the-sum": (
        "That normalises the sum: F is as faint in it as before. Each summand needs its own.",
        "这样归一化的是和：F 在其中仍和从前一样微弱。每个加数都要各自归一化。",
    ),
    "norm-on-the-raw-sum": (
        "One batch norm for the sum cannot balance its summands: the louder one stays the louder.",
        "对和做一次批量归一化，平衡不了两个加数：响的那个仍然响。",
    ),
    "relu-on-shortcut": (
        "Convolution and batch norm are right; the ReLU behind them keeps the shortcut from ever "
        "being negative.",
        "卷积和批量归一化都对；但后面的 ReLU 让捷径连接永远不会是负的。",
    ),
    "identity-normalised": (
        "In {call} x fits as it is: an identity shortcut is not normalised.",
        "在 {call} 里 x 本来就合适：恒等捷径不做归一化。",
    ),
    "no-addition": ORDER["no-addition"],
}


def _projections(p: Parts) -> dict[str, Tensor]:
    if p.plain is None or p.early is None:
        return {"identity-normalised": (p.f + _norm(p.x)).relu(), "no-addition": p.f.relu()}
    return {
        "still-loud": (p.f + p.plain).relu(),
        "norm-before": (p.f + p.early).relu(),
        "norm-on-the-sum": _norm(p.f + p.plain).relu(),
        "norm-on-the-raw-sum": _norm(p.raw + p.plain).relu(),
        "relu-on-shortcut": (p.f + p.s.relu()).relu(),
        "no-addition": p.f.relu(),
    }


@exercise("bug-museum.3")
def louder_and_louder(answer: object) -> Right:
    """`Fixed(in_planes, planes, stride)`: a projection with a batch norm of its own."""
    block = _check_sum(answer, (16, 32, 2), _projections, LOUD)
    if len(_norms(block)) < 3:
        raise Wrong(
            "The values of one step are right, but one batch norm serves two convolutions: its "
            "running statistics mix both, and evaluation mode will be wrong.",
            "单步的数值对了，但一个批量归一化同时管两个卷积：它的滑动统计量把两者混在一起，"
            "评估模式下会出错。",
            "shared-norm",
        )
    _check_sum(answer, (16, 16, 1), _projections, LOUD)
    return Right(
        "Repaired. Remember: a projection is a convolution, and batch norm follows each one.",
        "修好了。记住：投影也是卷积，每个卷积后面都跟着批量归一化。",
    )


SOMETIMES: dict[str, Hint] = {
    "still-missing": (
        "With F silent, nothing of x comes out of {call}. What is added where no projection is "
        "needed?",
        "让 F 静默时，{call} 里没有 x 的任何东西出来。不需要投影的地方，加的是什么？",
    ),
    "added-twice": (
        "{call} adds its shortcut twice: once and for all is enough.",
        "{call} 把捷径连接加了两次：一次就够。",
    ),
    "after-the-relu": (
        "{call} adds only after the ReLU, so F can no longer subtract.",
        "{call} 在 ReLU 之后才相加，F 就不能做减法了。",
    ),
    "no-relu": (
        "{call} has lost the ReLU after the addition.",
        "{call} 丢了相加之后的 ReLU。",
    ),
    "halved": (
        "{call} takes the mean of F(x) and the shortcut; wanted is their sum.",
        "{call} 取了 F(x) 与捷径连接的平均；要的是和。",
    ),
    "projection-missing": (
        "Now {call}, which changes the shape, has no shortcut: both kinds of block need one.",
        "现在改变形状的 {call} 没有捷径连接了：两种块都需要。",
    ),
}


def _sometimes(p: Parts) -> dict[str, Tensor]:
    return {
        "still-missing" if p.plain is None else "projection-missing": p.f.relu(),
        "added-twice": (p.f + 2 * p.s).relu(),
        "after-the-relu": p.f.relu() + p.s,
        "no-relu": p.f + p.s,
        "halved": ((p.f + p.s) / 2).relu(),
    }


@exercise("bug-museum.4")
def trains_like_a_plain_one(answer: object) -> Right:
    """`Fixed(in_planes, planes, stride)`: a shortcut in every block."""
    for sizes in ((16, 16, 1), (16, 32, 2)):
        _check_sum(answer, sizes, _sometimes, SOMETIMES)
    return Right(
        "Repaired. Remember: no projection does not mean no shortcut; it means x as it is.",
        "修好了。记住：没有投影不等于没有捷径连接，而是 x 原样通过。",
    )


# --- 5: where the maps shrink --------------------------------------------------------------------


def _steps(call: str, net: nn.Module, x: Tensor) -> list[tuple[int, int]]:
    """(channels, side) of what goes through the network, wherever one of them changes."""
    seen: list[tuple[int, int]] = [(x.shape[1], x.shape[3])]

    def note(_: nn.Module, __: object, y: Tensor) -> None:
        step = (y.shape[1], y.shape[3])
        if step != seen[-1]:
            seen.append(step)

    blocks = list(net) if isinstance(net, nn.Sequential) else []
    hooks = [block.register_forward_hook(note) for block in blocks]
    try:
        output(f"{call}(x)", net, x)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


SHRINKING: dict[str, Hint] = {
    "only-once": (
        "One halving in the whole network, at its very first block. Each later stage begins with "
        "one.",
        "整个网络只减半一次，在最前面的块里。后面的每个阶段都应以一次减半开始。",
    ),
    "never": (
        "Nothing halves any more: all stages work at full size.",
        "现在完全不减半了：每个阶段都在原尺寸上计算。",
    ),
    "every-block": (
        "Now more than one block of a stage halves: the map is used up after a few of them.",
        "现在一个阶段里不止一个块在减半：没几个块，特征图就用完了。",
    ),
    "first-stage-too": (
        "Every stage halves now, the first one as well. It keeps the size that it is given.",
        "现在每个阶段都减半，连第一个也是。第一个阶段应保持给它的尺寸。",
    ),
    "at-the-end": (
        "The halvings come in the last block of a stage. They belong to the first block of the "
        "next one, where the channels double.",
        "减半放在了每个阶段的最后一个块。它应在下一阶段的第一个块，也就是通道数加倍的地方。",
    ),
    "channels": (
        "The sizes are right, but the channels are not: width, then twice, four and eight times.",
        "尺寸对了，但通道数不对：先是 width，然后是它的 2、4、8 倍。",
    ),
}


@exercise("bug-museum.5")
def expensive_resnet(answer: object) -> Right:
    """`fixed(num_blocks, width)`: each stage but the first begins with one halving."""
    for counts in ([2, 2, 2, 2], [3, 1, 4, 2]):
        build, width, side = _maker(answer, "fixed(num_blocks, width)"), 4, 64
        call = f"fixed({counts}, {width})"
        with _seeded():
            net = attempt(call, lambda build=build, counts=counts: build(list(counts), 4))
            x = torch.rand(2, width, side, side)
        if not isinstance(net, nn.Sequential):
            raise Wrong(
                f"{call} must be an nn.Sequential of blocks, got {kind(net)}.",
                f"{call} 应当是由块组成的 nn.Sequential，得到的是 {kind(net)}。",
                "not-a-sequential",
            )
        if len(net) != sum(counts):
            raise Wrong(
                f"{call} must have {sum(counts)} blocks, one behind the other; found {len(net)}.",
                f"{call} 应当有 {sum(counts)} 个块，依次排列；找到 {len(net)} 个。",
                "how-many",
            )
        steps = _steps(call, net, x)
        wanted = [(width * 2**stage, side // 2**stage) for stage in range(4)]
        if steps != wanted:
            _say_where_it_shrinks(call, steps, wanted)
    return Right(
        "Repaired. Remember: halve the size where you double the channels, once in every stage but "
        "the first. Then all stages cost about the same.",
        "修好了。记住：通道数加倍之处尺寸减半，除第一个阶段外每个阶段各一次。这样各阶段的计算量"
        "大致相同。",
    )


def _say_where_it_shrinks(
    call: str, steps: list[tuple[int, int]], wanted: list[tuple[int, int]]
) -> None:
    full = wanted[0][1]
    sides = list(dict.fromkeys(side for _, side in steps))
    at = {c: [side for d, side in steps if d == c] for c in dict.fromkeys(c for c, _ in steps)}
    right_channels = list(at) == [c for c, _ in wanted]
    begins = [seen[0] for seen in at.values()]  # with which size each number of channels begins
    rules = {
        "never": sides == [full],
        "only-once": sides == [full, full // 2] and steps[1] == (wanted[0][0], full // 2),
        "first-stage-too": steps == [wanted[0], *((c, side // 2) for c, side in wanted)],
        "channels": sides == [side for _, side in wanted] and not right_channels,
        "at-the-end": sides == [side for _, side in wanted] and begins == [full, *sides[1:]],
        "every-block": len(sides) > len(wanted),
    }
    slip = next((slip for slip, met in rules.items() if met), None)
    if slip:
        raise Wrong(*SHRINKING[slip], slip)
    shown = " → ".join(f"{c}×{side}×{side}" for c, side in steps)
    raise Wrong(
        f"{call} goes {shown}; look where it halves and where its channels double.",
        f"{call} 的变化是 {shown}；看看它在哪里减半，又在哪里通道加倍。",
    )


# --- 6: pixels that nobody reads -----------------------------------------------------------------


@exercise("bug-museum.6")
def stars_that_go_out(answer: object) -> Right:
    """`Fixed(in_planes, planes, stride)`, a bottleneck that reads every pixel."""
    signature = "Fixed(in_planes, planes, stride)"
    call, block = _built(answer, signature, 16, 8, 2)
    middle = _convolutions(block, 3)
    if len(middle) != 1:
        raise Wrong(
            f"A bottleneck has one 3×3 convolution, in the middle; found {len(middle)}. A larger "
            "kernel elsewhere would read all pixels, at a price.",
            f"瓶颈块只有一个 3×3 卷积，在中间；找到 {len(middle)} 个。别处换成更大的核也能读到所有"
            "像素，但要付出代价。",
            "other-kernels",
        )
    with _seeded():
        x = torch.rand(2, 16, 12, 12)
    made: list[Tensor] = []
    hook = middle[0].register_forward_hook(lambda _, __, out: made.append(out))
    y = _summed(call, block, x)
    hook.remove()
    same_shape(
        f"{call}(x)",
        y,
        (2, 32, 6, 6),
        ("With stride 2 the block halves 12×12.", "步幅为 2 时，这个块把 12×12 减半。"),
    )
    with _seeded():
        extra = parameters(block) - parameters(Bottleneck(16, 8, 2))
    if extra:
        raise Wrong(
            f"{call} has {abs(extra):,} parameters {'more' if extra > 0 else 'less'} than the "
            "exhibit. Moving the stride costs none.",
            f"{call} 比展品{'多' if extra > 0 else '少'}了 {abs(extra):,} 个参数。挪动步幅不需要"
            "增减参数。",
            "parameters",
        )
    of_f, of_y = _unread(block, x, middle[0]), _unread(block, x, None)
    if of_f > 0 and of_y == 0:
        raise Wrong(
            f"The shortcut reads every pixel now, but F still misses {of_f:.0%} of them.",
            f"捷径连接读到所有像素了，但 F 仍漏掉 {of_f:.0%}。",
            "only-the-shortcut",
        )
    if of_f > 0:
        raise Wrong(
            f"{of_f:.0%} of the pixels are still never read by F. Which convolution steps over "
            "pixels, and how far does it look around?",
            f"F 仍有 {of_f:.0%} 的像素从不读取。是哪个卷积跳过了像素？它能看到多大范围？",
            "still-unread",
        )
    if made[0].shape[-1] == 12:
        raise Wrong(
            "Every pixel is read, but the halving comes after the 3×3 convolution: three quarters "
            "of what it computes are thrown away.",
            "每个像素都读到了，但减半放在 3×3 卷积之后：它算出的东西有四分之三被扔掉。",
            "stride-on-the-last",
        )
    _, same = _built(answer, signature, 16, 8, 1)
    same_shape(
        "Fixed(16, 8, 1)(x)",
        _summed("Fixed(16, 8, 1)", same, x),
        (2, 32, 12, 12),
        ("With stride 1 the size stays.", "步幅为 1 时尺寸不变。"),
    )
    _shortcut_remains(call, block, x)
    return Right(
        "Repaired. Remember: a 1×1 convolution with a stride throws pixels away unread; let the "
        "stride sit on a kernel that looks around.",
        "修好了。记住：带步幅的 1×1 卷积会不读就丢掉像素；步幅应放在能看到周围的卷积核上。",
    )


def _unread(block: nn.Module, x: Tensor, layer: nn.Module | None) -> float:
    """Share of the pixels without influence on a layer (None: on what comes out)."""
    made: list[Tensor] = []
    hook = (layer or block).register_forward_hook(lambda _, __, out: made.append(out))
    start = x.clone().requires_grad_()
    block(start)
    hook.remove()
    (slope,) = torch.autograd.grad(made[0].relu().square().sum(), start)
    return float((slope.abs().sum((0, 1)) == 0).float().mean())


def _shortcut_remains(call: str, block: nn.Module, x: Tensor) -> None:
    """Silence F; what comes out is then the projection's."""
    by_size = {(m.in_channels, m.out_channels): m for m in _convolutions(block, 1)}
    last, projection = by_size.get((8, 32)), by_size.get((16, 32))
    if last is not None and projection is not None:
        nn.init.zeros_(last.weight)
        y = output(f"{call}(x)", block, x)
        with torch.no_grad():
            s = _norm(projection(x))
        if s.shape == y.shape and _close(y, s.relu()):
            return
    raise Wrong(
        "Every pixel is read, but with F silent the projection should come out. Leave the shortcut "
        "as it was.",
        "每个像素都读到了，但让 F 静默时，出来的应当是投影。捷径连接请保持原样。",
        "shortcut-changed",
    )


# --- 7: one module, many names -------------------------------------------------------------------


@exercise("bug-museum.7")
def stage_that_never_grew(answer: object) -> Right:
    """`fixed(planes, n)`: n blocks, each with weights of its own."""
    build = _maker(answer, "fixed(planes, n)")
    with _seeded():
        one = parameters(BasicBlock(8, 8))
    for n in (1, 3, 5):
        call = f"fixed(8, {n})"
        with _seeded():
            net = attempt(call, lambda n=n: build(8, n))
            x = torch.rand(2, 8, 8, 8)
        if not isinstance(net, nn.Module):
            raise Wrong(
                f"{call} must be a module, got {kind(net)}. A plain list hides its blocks from "
                "parameters() and from the optimizer.",
                f"{call} 应当是模块，得到的是 {kind(net)}。普通列表会让 parameters() 和优化器看不见"
                "里面的块。",
                "not-a-module",
            )
        total, ran = parameters(net), _convolutions_run(call, net, x)
        if total == 0:
            raise Wrong(
                f"{call} has no parameters that an optimizer could find: blocks in a plain list "
                "are not registered.",
                f"优化器在 {call} 里找不到任何参数：普通列表里的块没有注册。",
                "not-registered",
            )
        if ran != 2 * n:
            raise Wrong(
                f"{call} ran {ran} convolutions; {n} blocks have {2 * n}.",
                f"{call} 运行了 {ran} 个卷积；{n} 个块应有 {2 * n} 个。",
                "how-many",
            )
        if total == one and n > 1:
            raise Wrong(
                f"{call} still learns {total:,} numbers, those of a single block: it is one block, "
                f"listed {n} times.",
                f"{call} 仍只学 {total:,} 个数，正是一个块的：同一个块被列了 {n} 次。",
                "shared",
            )
        if total < n * one:
            raise Wrong(
                f"{call} learns {total:,} numbers, {n} blocks should have {n * one:,}: some of "
                "them are still one and the same.",
                f"{call} 学 {total:,} 个数，而 {n} 个块应有 {n * one:,} 个：其中一些仍是同一个。",
                "partly-shared",
            )
        starts = [m.weight for m in _convolutions(net, 3)]
        if any(torch.equal(a, b) for i, a in enumerate(starts) for b in starts[:i]):
            raise Wrong(
                "The blocks are apart now, but they are copies: all start with the same numbers. "
                "Build each of them anew.",
                "这些块分开了，但都是副本：全都从相同的数字开始。请把每个块重新建一遍。",
                "same-start",
            )
    return Right(
        "Repaired. Remember: [block] * n is one block with n names; a loop builds n blocks.",
        "修好了。记住：[block] * n 是一个块的 n 个名字；用循环才能建出 n 个块。",
    )


def _convolutions_run(call: str, net: nn.Module, x: Tensor) -> int:
    """Count how often a convolution is called, whether it is registered or hidden."""
    count = 0

    def note(module: nn.Module, _: object, __: object) -> None:
        nonlocal count
        count += isinstance(module, nn.Conv2d)

    hook = nn.modules.module.register_module_forward_hook(note)
    try:
        y = output(f"{call}(x)", net, x)
    finally:
        hook.remove()
    same_shape(
        f"{call}(x)",
        y,
        tuple(x.shape),
        ("These blocks keep channels and size.", "这些块不改变通道数和尺寸。"),
    )
    return count


# --- 8: a checkpoint that is not loaded ----------------------------------------------------------


def disguise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a ResNet the names of another common code, trained on several cards."""
    renamed = {}
    for name, value in state.items():
        name = name.replace("downsample", "shortcut").replace("fc.", "linear.")
        renamed[f"module.{name}"] = value.clone()
    return renamed


LOADING: dict[str, Hint] = {
    "nothing-loaded": (
        "Not one tensor of the checkpoint has arrived. Compare two names: "
        "next(iter(checkpoint)) and next(iter(net.state_dict())).",
        "检查点里的张量一个也没有装进去。请比较两个名字：next(iter(checkpoint)) 和 "
        "next(iter(net.state_dict()))。",
    ),
    "projections-and-classifier": (
        "Most tensors have arrived. The projections and the classifier keep their random weights: "
        "they have other names, too.",
        "大多数张量装进去了。投影和分类器仍是随机权重：它们的名字也不同。",
    ),
    "projections": (
        "The three projections still have random weights.",
        "三个投影仍是随机权重。",
    ),
    "classifier": (
        "Everything has arrived but the classifier: it guesses at random from good features.",
        "除了分类器都装进去了：特征是好的，它却在随机猜。",
    ),
    "statistics": (
        "All weights have arrived, but the running means and variances of batch norm have not: "
        "they are buffers, not parameters.",
        "权重都装进去了，但批量归一化的滑动均值和方差没有：它们是缓冲区，不是参数。",
    ),
}


@exercise("bug-museum.8")
def loaded_without_a_word(answer: object) -> Right:
    """`fixed(net, checkpoint)`: every tensor arrives, or there is an error."""
    load = function(answer, "fixed(net, checkpoint)")
    call = "fixed(net, checkpoint)"
    source = _with_a_past()
    checkpoint = disguise(source.state_dict())
    net = attempt(call, lambda: load(_fresh(), dict(checkpoint)))
    if not isinstance(net, nn.Module):
        raise Wrong(
            f"{call} must return the network, got {kind(net)}. Is a return missing?",
            f"{call} 应当返回网络，得到的是 {kind(net)}。是不是漏了 return？",
            "no-network",
        )
    wanted, got = source.state_dict(), net.state_dict()
    missing = {name for name in wanted if not _arrived(wanted[name], got.get(name))}
    slip = _what_is_missing(missing, source)
    if slip in LOADING:
        raise Wrong(*LOADING[slip], slip)
    if slip:
        first = sorted(missing)[0]
        raise Wrong(
            f"{len(missing)} of {len(wanted)} tensors did not arrive, {first} for one.",
            f"{len(wanted)} 个张量中有 {len(missing)} 个没有装进去，例如 {first}。",
        )
    if net.training:
        raise Wrong(
            "Everything has arrived, but the network is left in training mode.",
            "都装进去了，但网络还处于训练模式。",
            "train-mode",
        )
    without = {k: v for k, v in checkpoint.items() if not k.endswith("layer3.0.conv1.weight")}
    beyond = {**checkpoint, "module.layer5.0.conv1.weight": torch.zeros(1)}
    for odd, english, chinese in (
        (without, "lacks a convolution", "缺了一个卷积"),
        (beyond, "has one tensor too many", "多了一个张量"),
    ):
        if _accepts(load, odd):
            raise Wrong(
                f"This checkpoint is loaded, but one that {english} would be taken without a word, "
                "too. Let PyTorch compare the names.",
                f"这个检查点装好了，但一个{chinese}的检查点也会被默默接受。让 PyTorch 去核对名字。",
                "still-silent",
            )
    return Right(
        "Repaired. Remember: translate the names, then load strictly. If only a part fits, "
        "read the missing and unexpected keys that load_state_dict returns.",
        "修好了。记住：先翻译名字，再严格载入。若只能载入一部分，就看 load_state_dict 返回的缺失键"
        "和多余键。",
    )


def _fresh() -> ResNet:
    with _seeded():
        return ResNet18(in_channels=1, width=4)


def _with_a_past() -> ResNet:
    """A network all of whose tensors differ from those of a fresh one."""
    net = _fresh()
    with _seeded(), torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
            else:
                value.fill_(7)
    return net


def _arrived(wanted: Tensor, got: Tensor | None) -> bool:
    return got is not None and torch.equal(wanted, got)


def _what_is_missing(missing: set[str], source: nn.Module) -> str | None:
    everything = set(source.state_dict())
    weights = {name for name, _ in source.named_parameters()}
    projections = {name for name in everything if "downsample" in name}
    classifier = {name for name in everything if name.startswith("fc.")}
    counters = {name for name in everything if name.endswith("num_batches_tracked")}
    kinds = {
        "nothing-loaded": everything,
        "projections-and-classifier": projections | classifier,
        "projections": projections,
        "classifier": classifier,
        "statistics": everything - weights,
    }
    for slip, names in kinds.items():
        if missing and missing - counters == names - counters:
            return slip
    return "other" if missing - counters else None


def _accepts(load: Callable[..., Any], checkpoint: dict[str, Tensor]) -> bool:
    """Does it load a checkpoint that does not fit?"""
    try:
        load(_fresh(), dict(checkpoint))
    except Exception:
        return False
    return True
