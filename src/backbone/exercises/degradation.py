"""Checks of the exercises in "Degradation"."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import cache
from itertools import combinations
from math import log
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from backbone.anatomy import cut
from backbone.cifar_resnet import CifarResNet
from backbone.data import digits
from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import attempt, function, number, numbers, parameters
from backbone.experiments import Results, load_results
from backbone.training import evaluate

BOOK = {"data": "digits", "epochs": 10, "lr": 0.1}  # the recipe of the chapter
DEPTHS = (8, 20, 32, 44, 56)  # those with committed results


@cache
def _final(name: str, depth: int, shortcut: str | None) -> tuple[Any, ...]:
    """What was measured at the end of the committed runs, one value per seed."""
    return tuple(_results().values(name, depth=depth, shortcut=shortcut, **BOOK))


@cache
def _results() -> Results:
    return load_results("degradation")


# --- 1: what an option costs ---------------------------------------------------------------------


def _network(seed: int) -> dict[str, int]:
    if seed == 0:
        return {"depth": 56, "width": 8}
    draw = random.Random(seed)
    return {"depth": draw.choice((26, 32, 38, 44, 50)), "width": draw.choice((4, 6, 10, 12, 20))}


@exercise("degradation.1", question=_network)
def what_an_option_costs(answer: object, depth: int, width: int) -> Right:
    """{"B": more than option A, "C": more than option B}, in parameters."""
    said = numbers(answer, ("B", "C"))
    with torch.device("meta"):
        total = {s: parameters(CifarResNet(depth, s, in_channels=1, width=width)) for s in "ABC"}
    real = {"B": total["B"] - total["A"], "C": total["C"] - total["B"]}
    if said == real:
        return Right(
            "Both right. B pays where shapes change, twice at any depth; C pays in every block.",
            "两个都对。B 只在形状改变处付费，深浅都是两次；C 在每个块里都付费。",
        )
    if said == {"B": real["B"], "C": real["B"] + real["C"]}:
        raise Wrong(
            "B is right. Your C is counted from option A; the question is how many more than B.",
            "B 对了。你的 C 是与 A 相比的；问的是比 B 多多少。",
            "c-counted-from-a",
        )
    hints = {
        "batch-norm-forgotten": (
            "Those are the 1×1 kernels alone. What else does a projection contain?",
            "这只是 1×1 卷积核。一个投影里还有什么？",
        ),
        "one-parameter-per-map": (
            "Nearly: batch norm learns two numbers for every channel, a factor and a shift.",
            "差一点：批量归一化对每个通道学两个数，一个因子和一个偏移。",
        ),
        "kernel-of-nine": (
            "A projection looks at one pixel: 1 weight for each pair of channels, not 9.",
            "投影只看一个像素：每对通道有 1 个权重，不是 9 个。",
        ),
        "bias-counted": (
            "The convolution has no bias of its own: the batch norm behind it brings a shift.",
            "这个卷积没有自己的偏置：后面的批量归一化已经带来了偏移。",
        ),
        "projections-counted-again": (
            "In C, the blocks that change the shape had their projection in B already.",
            "C 里改变形状的那些块，在 B 里就已经有投影了。",
        ),
        "first-stage-projected": (
            "Does the first stage change the shape? What goes into it has its width already.",
            "第一个阶段改变形状吗？进入它的特征图已经是这个宽度了。",
        ),
        "widths-of-the-paper": (
            f"Those are the widths of the paper. Here the first stage has {width} channels.",
            f"这是论文的宽度。这里第一个阶段有 {width} 个通道。",
        ),
    }
    forms = _forms(depth, width)
    for slip, form in forms.items():
        if said == form:
            raise Wrong(*hints[slip], slip)
    for name in "BC":  # one of the two may be right
        for slip, form in forms.items():
            if said[name] == form[name] != real[name]:
                raise Wrong(*hints[slip], slip)
    name = "B" if said["B"] != real["B"] else "C"
    raise Wrong(
        f"{name} does not cost {said[name]:,.0f}. List the blocks that get a projection, with the "
        "channels that go in and out of each.",
        f"{name} 的代价不是 {said[name]:,.0f}。列出有投影的块，以及每个投影的输入和输出通道数。",
    )


def _forms(depth: int, width: int) -> dict[str, dict[str, int]]:
    """What the typical slips lead to."""
    n = (depth - 2) // 6

    def cost(
        price: Callable[[int, int], int], w: int = width, again: int = 0, first: int = 0
    ) -> dict[str, int]:
        b = first * price(w, w) + price(w, 2 * w) + price(2 * w, 4 * w)
        rest = [(n - first, w), (n - 1 + again, 2 * w), (n - 1 + again, 4 * w)]
        return {"B": b, "C": sum(k * price(c, c) for k, c in rest)}

    def true(c: int, d: int) -> int:
        return c * d + 2 * d

    return {
        "batch-norm-forgotten": cost(lambda c, d: c * d),
        "one-parameter-per-map": cost(lambda c, d: c * d + d),
        "kernel-of-nine": cost(lambda c, d: 9 * c * d + 2 * d),
        "bias-counted": cost(lambda c, d: c * d + 3 * d),
        "projections-counted-again": cost(true, again=1),
        "first-stage-projected": cost(true, first=1),
        "widths-of-the-paper": cost(true, w=16),
    }


# --- 2: a depth that is not in the file ----------------------------------------------------------


def _new_depth(seed: int) -> dict[str, int]:
    if seed == 0:
        return {"depth": 26, "training_seed": 7}
    draw = random.Random(seed)
    # Not deeper: a class of thirty is graded in minutes, and a reader waits for one network.
    return {"depth": draw.choice((14, 26)), "training_seed": draw.randrange(10, 100)}


@exercise("degradation.2", question=_new_depth)
def another_depth(answer: object, depth: int, training_seed: int) -> Right:
    """Training error of a plain network in %, measured after training.

    A run of one's own may scatter, so it is compared with the range of the committed seeds at the
    next smaller and the next larger depth, widened by half.
    """
    del training_seed  # for the reader; every seed is judged alike
    plain = number(answer)
    if not 0 <= plain <= 100:
        raise Wrong(
            f"An error is between 0 and 100 %, got {plain:g}.",
            f"误差在 0 到 100 % 之间，得到的是 {plain:g}。",
            "not-a-percentage",
        )
    below = max(d for d in DEPTHS if d < depth)
    above = min(d for d in DEPTHS if d > depth)
    low = 100 * min(_final("train_error", below, None)) / 1.5
    high = 100 * max(_final("train_error", above, None)) * 1.5
    n = len(digits("train").images)
    as_share = low <= 100 * plain <= high and _whole(plain * n) and not _whole(plain * n / 100)
    if as_share:
        raise Wrong(
            "That looks like a share between 0 and 1; give the error in percent.",
            "这像是 0 到 1 之间的比例；请用百分数给出误差。",
            "share-for-percent",
        )
    if low <= plain <= high:
        return Right(
            "As the five depths let expect: it lies between its neighbours.",
            "正如五种深度所预示的：它介于相邻深度之间。",
        )
    if plain > max(100 - high, 75):
        raise Wrong(
            "That is the share named correctly. The error is what is missing to 100 %.",
            "这是正确率。误差是它与 100 % 的差。",
            "score-for-error",
        )
    if plain > high:
        raise Wrong(
            f"{plain:.1f} % is more than even {above} layers got wrong. Is the depth "
            f"{depth}, and the recipe complete?",
            f"{plain:.1f} % 比 {above} 层的网络错得还多。深度是 {depth} 吗？训练方案完整吗？",
            "plain-too-bad",
        )
    raise Wrong(
        f"{plain:.1f} % would be better than nearly every run with {below} layers. Was the "
        "shortcut None?",
        f"{plain:.1f} % 几乎比 {below} 层的所有运行都好。捷径连接取的是 None 吗？",
        "plain-too-good",
    )


def _whole(pictures: float) -> bool:
    return abs(pictures - round(pictures)) < 1e-3


# --- 3: more than chance? ------------------------------------------------------------------------


def _as_far(
    first: list[float],
    second: list[float],
    count: Callable[[float, float], bool] = lambda far, seen: abs(far) >= abs(seen) - 1e-9,
) -> int:
    ten, half = first + second, sum(first + second) / 2
    seen = sum(first) - half
    return sum(count(sum(deal) - half, seen) for deal in combinations(ten, 5))


@exercise("degradation.3")
def more_than_chance(answer: object) -> Right:
    """`as_far(first, second)`: number of deals whose means lie at least as far apart."""
    count = function(answer, "as_far(first, second)")
    apart = [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]
    mixed = [[1.0, 9.0, 3.0, 4.0, 7.0], [6.0, 2.0, 8.0, 5.0, 10.0]]
    pairs = [
        apart,
        apart[::-1],
        mixed,
        [list(_final("test_error", 20, None)), list(_final("test_error", 20, "A"))],
        [list(_final("test_error", 20, "A")), list(_final("test_error", 20, "B"))],
        [list(_final("train_error", 20, None)), list(_final("train_error", 20, "A"))],
    ]
    said = []
    for one, other in pairs:
        call = "as_far(first, second)"
        got = attempt(call, lambda a=one, b=other: count(list(a), list(b)))
        said.append(number(got))
    real = [_as_far(*pair) for pair in pairs]
    if said == real:
        return Right(
            f"{real[3]} of 252 for plain against residual, {real[4]} for A against B: five seeds "
            "show large differences and hide small ones.",
            f"普通对残差是 252 种中的 {real[3]} 种，A 对 B 是 {real[4]} 种：五个种子能显出大差别，"
            "却藏起小差别。",
        )
    if all(
        abs(s - r / 252) < 1e-3 or abs(s - r / 2.52) < 0.1 for s, r in zip(said, real, strict=True)
    ):
        raise Wrong(
            "That is a share; give the number of ways, out of 252.",
            "这是比例；请给出 252 种分法中的种数。",
            "share-for-count",
        )
    if said[:3] == real[:3]:
        raise Wrong(
            "Right for whole numbers. For the measured ones rounding makes equal sums differ in "
            "the last digit: allow for a little.",
            "整数都对。对测得的数，舍入会让相等的和在最后一位上不同：留一点余地。",
            "rounding",
        )
    if said[:2] == [0, 0]:
        raise Wrong(
            "At least as far: the deal that was measured counts, too. Yours leaves it out.",
            "是“至少一样远”：测得的那种分法本身也算。你没有把它算进去。",
            "strictly-farther",
        )
    if 1 in said[:2]:
        raise Wrong(
            "Two groups apart give 2, the deal itself and its mirror image. Far apart means in "
            "either direction.",
            "两组完全分开时应为 2，即这种分法本身和它的镜像。相距远，两个方向都算。",
            "one-direction",
        )
    nearer = [_as_far(*pair, lambda far, seen: abs(far) <= abs(seen) + 1e-9) for pair in pairs]
    if said == nearer:
        raise Wrong(
            "Turned round: those are the deals whose means lie nearer together, or as near.",
            "正好反了：这些是均值更近或一样近的分法。",
            "nearer-counted",
        )
    if max(said) > 252:
        raise Wrong(
            f"There are 252 ways to deal, yours finds {max(said):,.0f}: in which order five "
            "numbers are dealt does not matter.",
            f"一共只有 252 种分法，你的却找到 {max(said):,.0f} 种：五个数按什么次序发出并不重要。",
            "order-counted",
        )
    raise Wrong(
        f"For 1 to 5 against 6 to 10 it must be {real[0]}, yours gives {said[0]:g}. Go through "
        "every way to choose five of the ten.",
        f"1 到 5 对 6 到 10 应为 {real[0]}，你的给出 {said[0]:g}。"
        "请遍历十个数中取五个的每一种方式。",
    )


# --- 4: compound interest ------------------------------------------------------------------------


@exercise("degradation.4")
def compound_interest(answer: object) -> Right:
    """`factors(depth, shortcut)`: one factor per seed, or their mean."""
    factors = function(answer, "factors(depth, shortcut)")
    cases = [(depth, s) for depth in DEPTHS for s in (None, "A")]
    said = {}
    for case in cases:
        call = f"factors{case!r}"
        said[case] = _values(call, attempt(call, lambda c=case: factors(*c)))

    def fits(form: Callable[[list[float], int], float], when: str = "before") -> bool:
        return all(
            _near(said[d, s], [form(norms, d) for norms in _final(f"gradient_{when}", d, s)])
            for d, s in cases
        )

    def real(norms: list[float], depth: int) -> float:
        return (norms[1] / norms[-1]) ** (1 / (depth - 3))

    if fits(real):
        low, high = (
            f([real(n, d) for d in DEPTHS[1:] for n in _final("gradient_before", d, None)])
            for f in (min, max)
        )
        return Right(
            f"From 20 layers on {100 * (low - 1):.0f} to {100 * (high - 1):.0f} % a convolution, "
            "whatever the depth: a steady rate, and that is why the ratio explodes.",
            f"从 20 层起，每个卷积增长 {100 * (low - 1):.0f} 到 {100 * (high - 1):.0f} %，"
            "与深度无关：增长率不变，所以总的比值才会爆炸。",
        )
    if fits(lambda n, d: n[1] / n[-1]) or fits(lambda n, d: n[0] / n[-1]):
        raise Wrong(
            "That is the growth over the whole way. Per convolution: which number, multiplied by "
            "itself that often, gives it?",
            "这是整段路上的增长。每个卷积是多少：哪个数自乘这么多次会得到它？",
            "whole-way",
        )
    if fits(lambda n, d: n[1] / n[-1] / (d - 3)):
        raise Wrong(
            "Factors multiply, so dividing by their number is not the way back: take a root.",
            "因子是相乘的，所以不能除以个数：要开方。",
            "divided-for-root",
        )
    if fits(lambda n, d: 1 / real(n, d)):
        raise Wrong(
            "Upside down: on the way back the gradient arrives at the second convolution last.",
            "上下颠倒了：反向时，梯度最后才到达第二个卷积。",
            "upside-down",
        )
    if fits(real, "after"):
        raise Wrong(
            "Those are the gradients after training; the question is about before.",
            "这是训练之后的梯度；问的是训练之前。",
            "after-training",
        )
    if fits(lambda n, d: (n[0] / n[-1]) ** (1 / (d - 2))):
        raise Wrong(
            "You begin at the first convolution, whose shape is special: it sees the picture. "
            "Begin at the second.",
            "你从第一个卷积开始，它的形状特殊：它看的是图片。请从第二个开始。",
            "first-convolution",
        )
    if fits(lambda n, d: log(real(n, d))) or fits(lambda n, d: real(n, d) - 1):
        raise Wrong(
            "That is the growth; give the factor, which is 1 where nothing grows.",
            "这是增长率；请给出因子，不增长时它等于 1。",
            "rate-for-factor",
        )
    counts = {d: len(_final("gradient_before", d, None)[0]) for d in DEPTHS}
    for off in (-1, 1, 2, 3):  # depth - 4, depth - 2, depth - 1, depth
        if fits(lambda n, d, k=off: (n[1] / n[-1]) ** (1 / (d - 3 + k))):
            raise Wrong(
                f"The root is off by {abs(off)}: with 20 layers there are {counts[20]} "
                "convolutions. How many steps lead from the second to the last?",
                f"开方的次数差了 {abs(off)}：20 层时有 {counts[20]} 个卷积。"
                "从第二个到最后一个有几步？",
                "miscounted",
            )
    depth, shortcut = next(c for c in cases if not _near(said[c], _reals(real, *c)))
    raise Wrong(
        f"factors({depth}, {shortcut!r}) differs. Norm at the second convolution, divided by that "
        "at the last, and then the root.",
        f"factors({depth}, {shortcut!r}) 不符。第二个卷积处的范数除以最后一个处的，然后开方。",
    )


def _reals(
    form: Callable[[list[float], int], float], depth: int, shortcut: str | None
) -> list[float]:
    return [form(norms, depth) for norms in _final("gradient_before", depth, shortcut)]


def _values(call: str, got: Any) -> list[float]:  # noqa: ANN401 (a reader's answer)
    if isinstance(got, Tensor):
        got = got.tolist()
    if isinstance(got, dict):
        got = list(got.values())
    return [number(v) for v in got] if isinstance(got, list | tuple) else [number(got)]


def _near(said: list[float], real: list[float]) -> bool:
    """Compare one value per seed in any order, or their mean."""
    if len(said) == 1:
        said, real = said, [mean(real)]
    if len(said) != len(real):
        return False
    return all(abs(a - b) <= 2e-3 * abs(b) for a, b in zip(sorted(said), sorted(real), strict=True))


# --- 5: whose fault is it? -----------------------------------------------------------------------


def _measure_anew(net: nn.Module, momentum: float | None = None) -> None:
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.reset_running_stats()
            m.momentum = momentum
    net.train()
    with torch.no_grad():
        for images in digits("train").images.split(52):
            net(images)
    net.eval()


@cache
def _readable() -> CifarResNet:
    """A ResNet-14 with random kernels and the best linear layer on top: quick, and the same always.

    Its last layer is the solution of a system of linear equations, so nothing is trained.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = CifarResNet(14, "A", in_channels=1, width=8)
    _measure_anew(net)
    train, top = digits("train"), net.fc
    net.fc = nn.Identity()
    with torch.no_grad():
        found = net(train.images)
    ones = torch.ones(len(found), 1)
    a = torch.cat([found, ones], dim=1).double()  # (M, 33)
    wanted = nn.functional.one_hot(train.labels, 10).double()
    ridge = 1e-3 * torch.eye(a.shape[1], dtype=a.dtype)
    solved = torch.linalg.solve(a.T @ a + ridge, a.T @ wanted).float()  # (33, 10)
    with torch.no_grad():
        top.weight.copy_(solved[:-1].T)
        top.bias.copy_(solved[-1])
    net.fc = top
    return net


def _error(net: nn.Module) -> float:
    return 100 * (1 - evaluate(net, *digits("test"))["score"])


@cache
def _cut_error(name: str, how: str) -> float:
    """Test error in %; how: "as it was", "anew", "anew, whole" (the cut came later), "no cut"."""
    net = copy.deepcopy(_readable())
    if how == "no cut":
        return _error(net)
    if how == "anew, whole":
        _measure_anew(net)
    with cut(net, name):
        if how == "anew":
            _measure_anew(net)
        return _error(net)


CUT_BLOCKS = ("layer1.1", "layer2.1", "layer3.1")  # the last one has no batch norm behind it


@exercise("degradation.5")
def whose_fault(answer: object) -> Right:
    """`cut_error(net, name, anew)`: test error in % with a shortcut cut."""
    measure = function(answer, "cut_error(net, name, anew)")
    net = copy.deepcopy(_readable())
    before = copy.deepcopy(net.state_dict())
    said = {}
    for name in CUT_BLOCKS:
        for anew in (False, True):
            call = f'cut_error(net, "{name}", {anew})'
            said[name, anew] = number(attempt(call, lambda n=name, a=anew: measure(net, n, a)))
            if any(not torch.equal(old, net.state_dict()[k]) for k, old in before.items()):
                raise Wrong(
                    f"{call} changed the network it was given. Work on a copy.",
                    f"{call} 改动了交给它的网络。请在副本上做。",
                    "changes-the-network",
                )

    def fits(form: Callable[[str, bool], float]) -> bool:
        return all(abs(value - form(*case)) < 3.0 for case, value in said.items())

    def real(name: str, anew: bool) -> float:
        return _cut_error(name, "anew" if anew else "as it was")

    if fits(real):
        old, new = (sum(real(n, a) for n in CUT_BLOCKS[:2]) / 2 for a in (False, True))
        return Right(
            f"In our small network {old:.0f} % become {new:.0f} %, and behind the last block "
            "nothing changes: part of the damage is only a matter of scale.",
            f"在我们的小网络里 {old:.0f} % 变成 {new:.0f} %，而最后一个块之后毫无变化："
            "一部分损害只是尺度问题。",
        )
    if all(abs(value - real(*case) / 100) < 0.03 for case, value in said.items()):
        raise Wrong(
            "That is a share between 0 and 1; give the error in percent.",
            "这是 0 到 1 之间的比例；请用百分数给出误差。",
            "share-for-percent",
        )
    if fits(lambda n, a: 100 - real(n, a)):
        raise Wrong(
            "That is the share named correctly; the error is what is missing to 100 %.",
            "这是正确率；误差是它与 100 % 的差。",
            "score-for-error",
        )
    if fits(lambda n, a: _cut_error(n, "no cut")):
        raise Wrong(
            "That is the error of the whole network: test inside the `with cut(…)`.",
            "这是完整网络的误差：请在 `with cut(…)` 里面测试。",
            "not-cut",
        )
    if fits(lambda n, a: _cut_error(n, "no cut") if a else real(n, False)):
        raise Wrong(
            "With the statistics taken anew you test without the cut: it must still be in place.",
            "重新统计之后，你测试时没有切断：切断必须仍然有效。",
            "tested-whole",
        )
    if fits(lambda n, a: real(n, not a)):
        raise Wrong(
            "Turned round: `anew=True` takes the statistics anew, `anew=False` leaves them.",
            "正好反了：`anew=True` 重新统计，`anew=False` 保留原来的。",
            "turned-round",
        )
    if fits(lambda n, a: real(n, True)):
        raise Wrong(
            "With `anew=False` the statistics must stay those of the whole network.",
            "`anew=False` 时，统计量必须保持完整网络的那些。",
            "always-anew",
        )
    if fits(lambda n, a: real(n, False)) or fits(
        lambda n, a: _cut_error(n, "anew, whole" if a else "as it was")
    ):
        raise Wrong(
            "`anew=True` mends nothing. Did the pictures run in training mode, and with the cut "
            "in place?",
            "`anew=True` 什么也没有修好。图片是在训练模式下、并且在切断有效时通过的吗？",
            "same-statistics",
        )
    name, anew = next(c for c in said if abs(said[c] - real(*c)) >= 3.0)
    raise Wrong(
        f'cut_error(net, "{name}", {anew}) gives {said[name, anew]:.0f} %, expected about '
        f"{real(name, anew):.0f} %. Is it the test error, and in evaluation mode?",
        f'cut_error(net, "{name}", {anew}) 得到 {said[name, anew]:.0f} %，应为约 '
        f"{real(name, anew):.0f} %。这是测试误差吗？是在评估模式下吗？",
    )


# --- 6: one line against the batch of two --------------------------------------------------------


@exercise("degradation.6")
def whole_batches(answer: object) -> Right:
    """`NoLeftOvers(images, targets, batch_size=…)`: batches none of which is smaller."""
    make = function(answer, "NoLeftOvers(images, targets, batch_size=50)")
    right = ""
    for pictures, size in ((len(digits("train").images), 50), (10, 4), (12, 4), (9, 4)):
        call = f"NoLeftOvers of {pictures} pictures, batch_size={size}"
        images = torch.arange(pictures).float().view(-1, 1, 1, 1)
        targets = torch.arange(pictures)
        batches = attempt(call, lambda i=images, t=targets, s=size: make(i, t, batch_size=s))
        orders = []
        for seed in (0, 0, 1):
            chance = torch.Generator().manual_seed(seed)
            orders.append(attempt(call, lambda b=batches, g=chance: list(b.epoch(g))))
        _judge_batches(call, batches, orders, pictures, size)
        right = right or f"{len(orders[0])}"
    return Right(
        f"{right} batches, none too small, no picture lost. So it was the batch of two, not the "
        "number 50.",
        f"{right} 个批次，没有一个太小，也没有丢图片。所以问题出在两张图的批次，而不是 50 这个数。",
    )


def _judge_batches(
    call: str,
    batches: Any,  # noqa: ANN401 (a reader's class)
    orders: list[list[Any]],
    pictures: int,
    size: int,
) -> None:
    """Look at three epochs: two from one seed, the third from another."""
    epoch = orders[0]
    sizes = attempt(call, lambda: [len(x) for x, _ in epoch])
    names = attempt(call, lambda: [[int(v) for x, _ in one for v in x.flatten()] for one in orders])
    if any(not torch.equal(x.flatten().long(), y) for x, y in epoch):
        raise Wrong(
            f"{call}: pictures and labels of a batch do not belong together.",
            f"{call}：一个批次里的图片和标签对不上。",
            "pairs-torn",
        )
    if len(set(names[0])) < len(names[0]):
        raise Wrong(
            f"{call}: some pictures come twice in one epoch.",
            f"{call}：有的图片在一轮里出现了两次。",
            "pictures-twice",
        )
    lost = pictures - len(names[0])
    if lost:
        raise Wrong(
            f"{call}: {lost} of the pictures are never seen in this epoch. They should join the "
            "batch before.",
            f"{call}：有 {lost} 张图片这一轮根本没有出现。它们应当并入前一个批次。",
            "left-overs-dropped",
        )
    if min(sizes) < size:
        raise Wrong(
            f"{call}: there is still a batch of {min(sizes)}. Which method decides how many "
            "batches there are?",
            f"{call}：仍有一个只有 {min(sizes)} 张的批次。哪个方法决定有多少个批次？",
            "still-a-small-batch",
        )
    if sizes[:-1] != [size] * (pictures // size - 1):
        raise Wrong(
            f"{call}: all batches but the last must keep {size} pictures.",
            f"{call}：除最后一个批次外，每批都必须是 {size} 张。",
            "other-sizes",
        )
    said = attempt(f"len of {call}", lambda: len(batches))
    if said != len(sizes):
        raise Wrong(
            f"{call}: len says {said} batches, an epoch has {len(sizes)}. `fit` plans the learning "
            "rate by len.",
            f"{call}：len 说有 {said} 个批次，一轮里却有 {len(sizes)} 个。"
            "`fit` 按 len 安排学习率。",
            "len-disagrees",
        )
    if names[0] != names[1] or names[0] == names[2] or names[0] == sorted(names[0]):
        raise Wrong(
            f"{call}: the order must come from the generator: equal seeds, equal order; other "
            "seeds, another.",
            f"{call}：次序必须来自 generator：种子相同，次序相同；种子不同，次序不同。",
            "order-not-drawn",
        )
