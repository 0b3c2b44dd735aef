"""Checks of the exercises in "Segmentation"."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from skimage.filters import gaussian
from torch import Tensor, nn

from backbone.anatomy import cut, cuttable
from backbone.data import nuclei_split
from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import attempt, function, kind, number, numbers
from backbone.training import dice, iou
from backbone.unet import join
from backbone.weights import load_trained

# --- what several exercises share ----------------------------------------------------------------

Hint = tuple[str, str]
WITH_SKIPS, WITHOUT_SKIPS = "unet-nuclei", "unet-nuclei-no-skips"
NET_IGNORED: Hint = (
    "Two different networks get the same answer: use the one that is handed in, not a global one.",
    "两个不同的网络得到同样的答案：要用传进来的那个，而不是全局的那个。",
)


@cache
def _shipped(name: str) -> nn.Module:
    return load_trained(name).eval()


def _lent(name: str) -> nn.Module:
    """A copy of a shipped network, for a reader to do with as they like."""
    return copy.deepcopy(_shipped(name))


def _segment(net: nn.Module, image: Tensor | None = None) -> Tensor:
    image = nuclei_split().test.image if image is None else image
    with torch.no_grad():
        return net.eval()(image[None]).argmax(dim=1)[0]


def _score(net: nn.Module) -> float:
    return iou(_segment(net), nuclei_split().test.mask)


def _alike(said: Mapping[Any, float], form: Mapping[Any, float], within: float = 1.5e-3) -> bool:
    return all(abs(said[key] - form[key]) <= within for key in said)


def _nearest_slip(
    said: Mapping[Any, float],
    forms: Mapping[str, Mapping[Any, float]],
    hints: Mapping[str, Hint],
    within: float = 1.5e-3,
) -> None:
    """Raise the hint of the slip that leads to these numbers, or nearest to them."""
    off = {s: max(abs(said[key] - form[key]) for key in said) for s, form in forms.items()}
    slip = min(off, key=lambda s: off[s])
    if off[slip] <= within:
        raise Wrong(*hints[slip], slip)


def _as_before(call: str, net: nn.Module, name: str) -> None:
    """Refuse an answer that leaves its traces in the network."""
    if not torch.equal(_segment(net), _found(name)):
        raise Wrong(
            f"After {call} the network answers otherwise than before: undo it, remove the hooks.",
            f"运行 {call} 之后，网络的回答与之前不同：请恢复原状，移除钩子。",
            "not-undone",
        )


@cache
def _found(name: str) -> Tensor:
    return _segment(_shipped(name))


# --- 1: two scores, one table --------------------------------------------------------------------


@exercise("segmentation.1")
def two_scores(answer: object) -> Right:
    """`to_iou(d)`: Dice → IoU."""
    to_iou = function(answer, "to_iou(d)")
    given = (0.95, 0.5, 0.2, 0.75, 1.0, 0.0)
    said = {}
    for d in given:
        said[d] = number(attempt(f"to_iou({d})", lambda d=d: to_iou(d)))
    real = {d: d / (2 - d) for d in given}
    if _alike(said, real, 1e-6):
        return Right(
            f"Dice 0.95 is IoU {real[0.95]:.3f}, so 0.91 is a little better, on the same images.",
            f"Dice 0.95 就是 IoU {real[0.95]:.3f}，所以在同样的图像上，0.91 略好一点。",
        )
    if _alike(said, {d: 100 * v for d, v in real.items()}, 1e-4):
        raise Wrong(
            "Scores go from 0 to 1 here, without percent.",
            "这里的分数从 0 到 1，不用百分数。",
            "percent",
        )
    forms = {
        "other-way-round": {d: 2 * d / (1 + d) for d in given},
        "wrong-sign": {d: d / (2 + d) for d in given},
        "two-forgotten": {d: d / (1 + d) for d in given},
        "halved": {d: d / 2 for d in given},
        "unchanged": dict(zip(given, given, strict=True)),
    }
    hints = {
        "other-way-round": (
            "That turns IoU into Dice. The larger of the two is Dice; to_iou must make it smaller.",
            "这是把 IoU 变成 Dice。两者中 Dice 较大；to_iou 应当使它变小。",
        ),
        "wrong-sign": (
            "A perfect mask has Dice 1 and IoU 1; yours gives a third. Look at a sign.",
            "完美的掩码 Dice 为 1，IoU 也为 1；你的给出三分之一。检查一个正负号。",
        ),
        "two-forgotten": (
            "A perfect mask has Dice 1 and IoU 1; yours gives a half. Solve for IoU once more.",
            "完美的掩码 Dice 为 1，IoU 也为 1；你的给出二分之一。请再解一次 IoU。",
        ),
        "halved": (
            "The two is only a part of it: the sizes |A| + |B| count the overlap twice.",
            "那个 2 只是一部分：|A| + |B| 把交集算了两次。",
        ),
        "unchanged": (
            "The two scores agree at 0 and 1 only; in between Dice is larger.",
            "两个分数只在 0 和 1 处相等；中间 Dice 更大。",
        ),
    }
    _nearest_slip(said, forms, hints)
    raise Wrong(
        f"to_iou(0.5) gives {said[0.5]:.3f}. Put it back into 2·IoU / (1 + IoU): is that 0.5?",
        f"to_iou(0.5) 给出 {said[0.5]:.3f}。代回 2·IoU / (1 + IoU)：得到 0.5 吗？",
    )


# --- 2: the price of a tile ----------------------------------------------------------------------


def _price(seed: int) -> dict[str, float]:
    if seed == 0:
        return {"margin": 112, "times": 2}
    draw = random.Random(seed)
    return {"margin": 16 * draw.choice((4, 5, 6, 8, 9, 10)), "times": draw.choice((1.5, 2, 3, 4))}


def _smallest(margin: float, times: float, *, step: int = 16, power: int = 2) -> int:
    t = step
    while (t + margin) ** power > times * t**power:
        t += step
    return t


@exercise("segmentation.2", question=_price)
def price_of_a_tile(answer: object, margin: int, times: float) -> Right:
    """The smallest tile, a multiple of 16, whose window has at most `times` its pixels."""
    said = number(answer)
    real = _smallest(2 * margin, times)
    if said == real:
        return Right(
            f"{real}: the window has {(real + 2 * margin) ** 2 / real**2:.2f} times its pixels. "
            "Large tiles waste little; memory sets the limit.",
            f"{real}：窗口的像素是它的 {(real + 2 * margin) ** 2 / real**2:.2f} 倍。"
            "图块越大浪费越少；界限由内存决定。",
        )
    if said == _smallest(2 * margin, times, step=1):
        raise Wrong(
            "That is the smallest whole number. The pools divide by 16, so it must be a multiple.",
            "这是最小的整数。池化要除以 16，所以必须是 16 的倍数。",
            "not-a-multiple",
        )
    if said == real - 16:
        raise Wrong(
            f"Rounded down: with {said:g} the window has "
            f"{(said + 2 * margin) ** 2 / said**2:.3f} times the pixels.",
            f"舍得太小了：{said:g} 时窗口的像素是 {(said + 2 * margin) ** 2 / said**2:.3f} 倍。",
            "rounded-down",
        )
    if said in (_smallest(margin, times), _smallest(margin, times, step=1)):
        raise Wrong(
            "The margin is there on both sides.",
            "边缘余量在两侧都有。",
            "margin-once",
        )
    if said in (
        _smallest(2 * margin, times, power=1),
        _smallest(2 * margin, times, step=1, power=1),
    ):
        raise Wrong(
            f"That makes the side {times:g} times as long. Pixels are an area.",
            f"那是边长的 {times:g} 倍。像素数是面积。",
            "side-for-area",
        )
    if said > 0 and (said + 2 * margin) ** 2 <= times * said**2:
        raise Wrong(
            f"{said:g} is enough, and not the smallest multiple of 16 that is.",
            f"{said:g} 够了，但不是够用的 16 的倍数里最小的。",
            "not-the-smallest",
        )
    ratio = (said + 2 * margin) ** 2 / said**2 if said > 0 else float("inf")
    raise Wrong(
        f"{said:g} makes a window of {said + 2 * margin:g}: {ratio:.2f} times the pixels.",
        f"边长 {said:g} 的图块对应边长 {said + 2 * margin:g} 的窗口：像素是 {ratio:.2f} 倍。",
    )


# --- 3: a stronger baseline ----------------------------------------------------------------------


def _two_blurs(seed: int) -> dict[str, tuple[float, float]]:
    if seed == 0:
        return {"sigmas": (1, 3)}
    draw = random.Random(seed)
    return {"sigmas": (draw.choice((0.6, 0.8, 1.2, 1.5)), draw.choice((2.5, 3.5, 4, 5)))}


@cache
def _blurred(side: str, sigma: float) -> Tensor:
    image = getattr(nuclei_split(), side).image[0]
    return torch.from_numpy(gaussian(image.numpy(), sigma=sigma)) if sigma else image


@cache
def _at_every_level(side: str, sigma: float) -> dict[str, Tensor]:
    """Scores of all thresholds at once, from two sorted lists: pixels inside and outside."""
    levels, mask = torch.arange(1, 236) / 255, getattr(nuclei_split(), side).mask.bool()
    image = _blurred(side, sigma)
    hits, alarms = (
        len(p) - torch.searchsorted(p.sort().values, levels, right=True)
        for p in (image[mask], image[~mask])
    )
    inside, outside = int(mask.sum()), int((~mask).sum())
    return {
        "iou": hits / (inside + alarms),
        "dice": 2 * hits / (inside + hits + alarms),
        "accuracy": (hits + outside - alarms) / (inside + outside),
    }


def baseline(
    sigma: float,
    *,
    chosen_on: str = "train",
    left: float | None = None,
    judged_on: str = "test",
    right: float | None = None,
    score: str = "iou",
) -> float:
    """Choose a threshold on one side, judge it on one; `left`, `right`: other blurs."""
    left, right = (sigma if blur is None else blur for blur in (left, right))
    best = _at_every_level(chosen_on, left)["iou"].argmax()
    return _at_every_level(judged_on, right)[score][best].item()


@exercise("segmentation.3", question=_two_blurs)
def a_stronger_baseline(answer: object, sigmas: tuple[float, float]) -> Right:
    """{sigma: IoU on the unseen side} for the best threshold after a blur."""
    if not isinstance(answer, dict) or set(answer) != set(sigmas):
        wanted = "{" + ", ".join(f"{sigma}: …" for sigma in sigmas) + "}"
        raise Wrong(
            f"Give the two IoUs as a dictionary {wanted}, got {kind(answer)}.",
            f"请把两个 IoU 写成字典 {wanted}，得到的是 {kind(answer)}。",
            "not-these-names",
        )
    said = {sigma: number(answer[sigma]) for sigma in sigmas}
    weak, strong = sigmas
    real = {sigma: baseline(sigma) for sigma in sigmas}
    plain = baseline(0)
    if _alike(said, real, 6e-4):
        return Right(
            f"From {plain:.3f} to {real[weak]:.3f} with a little blur, {real[strong]:.3f} with "
            "much: noise goes first, then the outlines.",
            f"稍微模糊，从 {plain:.3f} 升到 {real[weak]:.3f}；模糊过头，只有 {real[strong]:.3f}："
            "先消失的是噪声，然后是轮廓。",
        )
    forms = {
        "turned-round": {weak: real[strong], strong: real[weak]},
        "not-blurred": dict.fromkeys(sigmas, plain),
        "judged-on-the-left": {s: baseline(s, judged_on="train") for s in sigmas},
        "threshold-of-the-sharp-image": {s: baseline(s, left=0) for s in sigmas},
        "only-the-left-blurred": {s: baseline(s, right=0) for s in sigmas},
        "dice-for-iou": {s: baseline(s, score="dice") for s in sigmas},
        "accuracy-for-iou": {s: baseline(s, score="accuracy") for s in sigmas},
        "chosen-on-the-right": {s: baseline(s, chosen_on="test") for s in sigmas},
    }
    hints = {
        "turned-round": ("The two are exchanged.", "两个数写反了。"),
        "not-blurred": (
            "That is the threshold without any blur: is the blurred image really used?",
            "这是没有模糊时的阈值：真的用了模糊后的图像吗？",
        ),
        "judged-on-the-left": (
            "That is the score on the left, where the threshold was chosen. Judge on the other.",
            "这是左侧的分数，阈值就是在那里选的。请在另一侧评判。",
        ),
        "threshold-of-the-sharp-image": (
            "That threshold was chosen on the sharp left side. A blur makes nuclei paler: choose "
            "anew on the blurred one.",
            "这个阈值是在清晰的左侧选的。模糊使细胞核变暗：请在模糊后的左侧重新选。",
        ),
        "only-the-left-blurred": (
            "The unseen side is still sharp: blur it, too.",
            "没见过的那一侧还是清晰的：它也要模糊。",
        ),
        "dice-for-iou": ("That is Dice; IoU is asked for.", "这是 Dice；问的是 IoU。"),
        "accuracy-for-iou": (
            "That is the accuracy, which counts background as well; IoU is asked for.",
            "这是准确率，它把背景也算进去了；问的是 IoU。",
        ),
        "chosen-on-the-right": (
            "Almost: that threshold was chosen on the unseen side, so it is no longer unseen.",
            "差一点：这个阈值是在没见过的一侧选的，那它就不再是没见过的了。",
        ),
    }
    _nearest_slip(said, forms, hints, 6e-4)
    off = next(sigma for sigma in sigmas if abs(said[sigma] - real[sigma]) > 6e-4)
    raise Wrong(
        f"Sigma {off}: not {said[off]:.3f}. Blur both sides, choose among `levels` on the left by "
        "IoU, judge on the unseen side.",
        f"sigma 为 {off} 时不是 {said[off]:.3f}。两侧都模糊，在左侧按 IoU 从 `levels` 里选，"
        "在没见过的一侧评判。",
    )


# --- 4: Dice -------------------------------------------------------------------------------------


def _masks() -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs of masks: any, half right, none right, both empty, one empty, one full."""
    draw = torch.Generator().manual_seed(0)
    some = [torch.rand(24, 32, generator=draw) < share for share in (0.2, 0.3)]
    left = torch.zeros(24, 32, dtype=torch.bool)
    left[:, :16] = True
    empty = torch.zeros(24, 32, dtype=torch.bool)
    return {
        "two random masks": (some[0], some[1]),
        "a mask and itself": (left, left),
        "left half and right half": (left, ~left),
        "left half and everything": (left, ~empty),
        "an empty mask and another": (empty, left),
        "two empty masks": (empty, empty),
    }


@exercise("segmentation.4")
def dice_from_two_masks(answer: object) -> Right:
    """`dice_score(a, b)` of two boolean masks → number."""
    score = function(answer, "dice_score(a, b)")
    said: dict[str, float] = {}
    for name, (a, b) in _masks().items():
        got = attempt(f"dice_score of {name}", lambda a=a, b=b: score(a.clone(), b.clone()))
        said[name] = float(number(got))
    real = {name: dice(a.long(), b.long()) for name, (a, b) in _masks().items()}

    def agrees(other: Mapping[str, float], without: tuple[str, ...] = ()) -> bool:
        return all(abs(said[k] - other[k]) < 1e-4 for k in other if k not in without)

    if agrees(real):
        return Right(
            "Right for six pairs, empty ones too: twice what both hold, over the sum of sizes.",
            "六对掩码都对，包括空掩码：两者共有的像素数乘以二，除以两者像素数之和。",
        )
    empty = said["two empty masks"]
    if agrees(real, without=("two empty masks",)):
        what = "nan" if empty != empty else f"{empty:g}"
        raise Wrong(
            f"Right, except for two empty masks: there it gives {what}. Nothing was missed and "
            "nothing invented there; what should a score say?",
            f"别的都对，只有两个空掩码时得到 {what}。那里没有漏掉什么，也没有多出什么；"
            "得分应是多少？",
            "empty-masks",
        )
    smooth, double = _near_dice()
    others = {
        "smoothing-too-strong": smooth,
        "or-for-plus": double,
        "iou-instead": {k: iou(a.long(), b.long()) for k, (a, b) in _masks().items()},
        "factor-two": {k: v / 2 for k, v in real.items()},
        "accuracy-instead": {k: float((a == b).float().mean()) for k, (a, b) in _masks().items()},
        "a-loss": {k: 1 - v for k, v in real.items()},
        "recall-instead": {
            k: float((a & b).sum() / b.sum().clamp(min=1)) for k, (a, b) in _masks().items()
        },
        "precision-instead": {
            k: float((a & b).sum() / a.sum().clamp(min=1)) for k, (a, b) in _masks().items()
        },
    }
    hints = {
        "smoothing-too-strong": (
            "A 1 added above and below shifts every score, most of all for small masks. Make it "
            "tiny, or treat two empty masks apart.",
            "分子、分母各加 1 会改变每一个得分，掩码越小偏得越多。取一个极小的数，"
            "或者把两个空掩码单独处理。",
        ),
        "or-for-plus": (
            "Below stands the union: boolean a + b is a | b, a pixel in both counts once. Add the "
            "two sizes.",
            "分母成了并集：布尔值的 a + b 就是 a | b，两者共有的像素只数了一次。"
            "应当把两个大小相加。",
        ),
        "iou-instead": (
            "That is the IoU, intersection over union. Dice divides by the sum of the two sizes.",
            "这是交并比：交集除以并集。Dice 除以的是两个掩码大小之和。",
        ),
        "factor-two": (
            "Half of it: a perfect prediction must score 1, and a mask with itself gets 0.5.",
            "只有一半：完美的预测应得 1，而掩码与它自己只得到 0.5。",
        ),
        "accuracy-instead": (
            "That is the share of pixels that agree, background included. Dice has none.",
            "这是相同像素的比例，把背景也算上了。Dice 不看背景。",
        ),
        "a-loss": (
            "That is a loss: it falls as the masks agree. A score rises.",
            "这是损失：掩码越一致，它越小。得分应当越大。",
        ),
        "recall-instead": (
            "That is recall: it never asks how much too much the first mask holds.",
            "这是召回率：它不管第一个掩码多出了多少。",
        ),
        "precision-instead": (
            "That is precision: it never asks how much the first mask missed.",
            "这是精确率：它不管第一个掩码漏掉了多少。",
        ),
    }
    for slip, other in others.items():
        if agrees(other, without=("two empty masks", "an empty mask and another")):
            raise Wrong(*hints[slip], slip)
    name = next(k for k in real if not abs(said[k] - real[k]) < 1e-4)
    raise Wrong(
        f"For {name} it gives {said[name]:.3f}, which is not Dice. Try two masks of three pixels "
        "by hand.",
        f"对 {name}，得到 {said[name]:.3f}，这不是 Dice。先用两个三像素的掩码手算一遍。",
        "another-number",
    )


def _near_dice() -> tuple[dict[str, float], dict[str, float]]:
    """What two near misses give: 1 added above and below; the union for the sum of sizes."""
    smooth, double = {}, {}
    for name, (a, b) in _masks().items():
        both, sizes = int((a & b).sum()), int(a.sum() + b.sum())
        smooth[name] = (2 * both + 1) / (sizes + 1)
        double[name] = 2 * both / max(1, int((a | b).sum()))
    return smooth, double


# --- 5: who is overlooked? -----------------------------------------------------------------------


def _by_size(
    found: Tensor,
    instances: Tensor,
    limit: int,
    *,
    share: Callable[[Tensor, Tensor], float] = lambda inside, found: (
        found[inside].float().mean().item()
    ),
    small: Callable[[int, int], bool] = lambda size, limit: size < limit,
    size_of: Callable[[Tensor, Tensor], int] = lambda inside, found: int(inside.sum()),
    first: int = 1,
    pooled: bool = False,
) -> dict[str, float]:
    """Mean recall of small and of large nuclei; the options are the slips."""
    groups: dict[str, list[tuple[float, int]]] = {"small": [], "large": []}
    for i in instances.unique()[first:]:
        inside = instances == i
        group = "small" if small(size_of(inside, found), limit) else "large"
        groups[group].append((share(inside, found), int(inside.sum())))
    means = {}
    for name, pairs in groups.items():
        weights = [n if pooled else 1 for _, n in pairs]
        total = sum(s * w for (s, _), w in zip(pairs, weights, strict=True))
        means[name] = total / max(sum(weights), 1)
    return means


@cache
def _fields() -> list[tuple[Tensor, Tensor, int]]:
    """Two cases: the unseen side, and a field in which every slip leads elsewhere."""
    side = nuclei_split().test
    instances = torch.zeros(40, 60, dtype=torch.long)
    found = torch.zeros(40, 60, dtype=torch.long)
    nuclei = ((4, 3, 1), (8, 2, 7), (5, 4, 4), (10, 6, 7), (20, 9, 19))  # rows, columns, found rows
    for k, (rows, columns, seen) in enumerate(nuclei):
        instances[4 : 4 + rows, 10 * k : 10 * k + columns] = k + 2  # there is no number 1
        found[4 : 4 + seen, 10 * k : 10 * k + columns] = 1
    found[36:38, :5] = 1  # a false alarm
    return [(_found(WITH_SKIPS), side.instances, 200), (found, instances, 20)]


@exercise("segmentation.5")
def who_is_overlooked(answer: object) -> Right:
    """`by_size(found, instances, limit)` → (mean recall of small nuclei, of large ones)."""
    measure = function(answer, "by_size(found, instances, limit)")
    call = "by_size(found, instances, limit)"
    said, fields = {}, _fields()
    for k, (found, instances, limit) in enumerate(fields):
        got = attempt(call, lambda f=found, i=instances, n=limit: measure(f.clone(), i.clone(), n))
        said |= {(k, name): value for name, value in _pair(call, got).items()}

    def of(**slip: Any) -> dict[tuple[int, str], float]:  # noqa: ANN401
        made = [_by_size(*field, **slip) for field in fields]
        return {(k, name): one[name] for k, one in enumerate(made) for name in one}

    real = of()
    if _alike(said, real, 1e-4):
        return Right(
            f"Small {real[0, 'small']:.2f}, large {real[0, 'large']:.2f} in the book's network. A "
            "mean over nuclei shows what a mean over pixels hides.",
            f"随书的网络：小的 {real[0, 'small']:.2f}，大的 {real[0, 'large']:.2f}。"
            "按细胞核取平均，能看出按像素取平均所掩盖的东西。",
        )

    def overlap(inside: Tensor, found: Tensor) -> float:
        return iou(found, inside.long())

    forms = {
        "turned-round": {
            (k, "large" if n == "small" else "small"): v for (k, n), v in real.items()
        },
        "background-counted": of(first=0),
        "pixels-pooled": of(pooled=True),
        "limit-included": of(small=lambda size, limit: size <= limit),
        "share-missed": {key: 1 - v for key, v in real.items()},
        "overlap-with-everything": of(share=overlap),
        "size-as-found": of(size_of=lambda inside, found: int(found[inside].sum())),
    }
    hints = {
        "turned-round": (
            "Exchanged: the small ones come first.",
            "写反了：小的在前。",
        ),
        "background-counted": (
            "The background, instance 0, is no nucleus, and yours counts it as a large one.",
            "背景（编号 0）不是细胞核，而你把它当成了一个大核。",
        ),
        "pixels-pooled": (
            "That is a mean over pixels, in which large nuclei speak louder: every nucleus counts "
            "once.",
            "这是按像素的平均，大核的声音更响：每个细胞核只算一次。",
        ),
        "limit-included": (
            "A nucleus of just `limit` pixels is not under the limit.",
            "恰好 `limit` 个像素的细胞核不算小于界限。",
        ),
        "share-missed": (
            "That is the share that was missed; recall is the share that was found.",
            "这是漏掉的比例；召回率是找到的比例。",
        ),
        "overlap-with-everything": (
            "IoU counts everything found elsewhere as wrong. Look at the pixels of this nucleus "
            "alone.",
            "IoU 会把别处找到的都算作错。只看这个细胞核自己的像素。",
        ),
        "size-as-found": (
            "The size of a nucleus is that of the truth, not the number of pixels found in it.",
            "细胞核的大小以真实标注为准，而不是找到的像素数。",
        ),
    }
    _nearest_slip(said, forms, hints, 1e-4)
    k, name = next(key for key in said if abs(said[key] - real[key]) > 1e-4)
    where = ("the unseen side", "没见过的一侧") if k == 0 else ("a small field", "一小块画面")
    raise Wrong(
        f"{where[0]}: the mean recall of the {name} ones is not {said[k, name]:.3f}. Per nucleus: "
        "pixels found in it, divided by its pixels.",
        f"{where[1]}：{'小' if name == 'small' else '大'}核的平均召回率不是 {said[k, name]:.3f}。"
        "对每个核：其中找到的像素数除以它的像素数。",
    )


def _pair(call: str, got: Any) -> dict[str, float]:  # noqa: ANN401 (a reader's answer)
    if isinstance(got, dict):
        return numbers(got, ("small", "large"))
    if isinstance(got, Tensor):
        got = got.tolist()
    if not isinstance(got, list | tuple) or len(got) != 2:
        raise Wrong(
            f"{call} must return two numbers, small and large; got {kind(got)}.",
            f"{call} 应当返回两个数，小的和大的；得到的是 {kind(got)}。",
            "not-a-pair",
        )
    return {"small": number(got[0]), "large": number(got[1])}


# --- 6: keep one ---------------------------------------------------------------------------------

SKIPS = tuple(f"encode_layer{k}" for k in (1, 2, 3, 4))


@cache
def _after(name: str, *missing: str) -> float:
    """IoU of a shipped network without these skips."""
    net = _lent(name)
    if not missing:
        return _score(net)
    with cut(net, *missing):
        return _score(net)


@exercise("segmentation.6")
def keep_one(answer: object) -> Right:
    """`keep(net, name)`: IoU on the unseen side with this skip alone."""
    keep = function(answer, "keep(net, name)")
    net, said = _lent(WITH_SKIPS), {}
    for name in SKIPS:
        call = f'keep(net, "{name}")'
        said[name] = _one_score(call, attempt(call, lambda n=name: keep(net, n)))
        _as_before(call, net, WITH_SKIPS)
    others = {name: [s for s in cuttable(net) if s != name] for name in SKIPS}
    real = {name: _after(WITH_SKIPS, *others[name]) for name in SKIPS}
    if _alike(said, real):
        return Right(
            f"Skip 1 alone keeps {real[SKIPS[0]]:.2f}, skip 2 {real[SKIPS[1]]:.2f}, the deep ones "
            "nothing: they cannot stand in for the upper two.",
            f"只留跳跃连接 1 还有 {real[SKIPS[0]]:.2f}，只留 2 有 {real[SKIPS[1]]:.2f}，"
            "只留深处的则一无所剩：它们替代不了上面两个。",
        )
    forms = {
        "cut-that-one": {name: _after(WITH_SKIPS, name) for name in SKIPS},
        "none-cut": dict.fromkeys(SKIPS, _after(WITH_SKIPS)),
        "all-cut": dict.fromkeys(SKIPS, _after(WITH_SKIPS, *SKIPS)),
        "dice-for-iou": {name: 2 * v / (1 + v) for name, v in real.items()},
    }
    hints = {
        "cut-that-one": (
            "Turned round: the named skip is to stay, the other three go.",
            "反了：点名的那个跳跃连接要留下，去掉的是另外三个。",
        ),
        "none-cut": (
            "Nothing was cut: segment inside the `with cut(…)`.",
            "什么也没有切断：请在 `with cut(…)` 里面分割。",
        ),
        "all-cut": (
            "All four are gone. `cut(net)` without names cuts everything.",
            "四个都没了。`cut(net)` 不给名字就会全部切断。",
        ),
        "dice-for-iou": ("That is Dice; IoU is asked for.", "这是 Dice；问的是 IoU。"),
    }
    _nearest_slip(said, forms, hints)
    other = attempt("keep(net, name)", lambda: keep(_lent(WITHOUT_SKIPS), SKIPS[0]))
    if abs(number(other) - said[SKIPS[0]]) < 1e-9:
        raise Wrong(*NET_IGNORED, "net-ignored")
    off = next(name for name in SKIPS if abs(said[name] - real[name]) > 1.5e-3)
    raise Wrong(
        f'keep(net, "{off}") gives {said[off]:.3f}. Three cuts at once, then IoU of the test image '
        "with its mask.",
        f'keep(net, "{off}") 给出 {said[off]:.3f}。同时切断三个，再算测试图像与其掩码的 IoU。',
    )


def _one_score(call: str, got: Any) -> float:  # noqa: ANN401 (a reader's answer)
    if isinstance(got, Tensor) and got.numel() > 1:
        raise Wrong(
            f"{call} gives a mask of shape {tuple(got.shape)}; its IoU with the truth is wanted.",
            f"{call} 给出的是形状为 {tuple(got.shape)} 的掩码；要的是它与真实标注的 IoU。",
            "mask-for-score",
        )
    return number(got)


# --- 7: cut the main path ------------------------------------------------------------------------


@cache
def _silent(name: str, place: str) -> float:
    """IoU of a shipped network in which this part gives zeros."""
    net = _lent(name)
    net.get_submodule(place).register_forward_hook(lambda module, inputs, out: out * 0)
    return _score(net)


@exercise("segmentation.7")
def cut_the_main_path(answer: object) -> Right:
    """`without_bottom(net)` → {"iou": with upconv4 silent, "share": of the parameters}."""
    measure = function(answer, "without_bottom(net)")
    call, said = "without_bottom(net)", {}
    for name in (WITH_SKIPS, WITHOUT_SKIPS):
        net = _lent(name)
        got = numbers(attempt(call, lambda n=net: measure(n)), ("iou", "share"))
        said |= {(name, key): value for key, value in got.items()}
        _as_before(call, net, name)
    scores = {name: said[name, "iou"] for name in (WITH_SKIPS, WITHOUT_SKIPS)}
    real = {name: _silent(name, "upconv4") for name in scores}
    forms = {
        "not-silenced": {name: _after(name) for name in scores},
        "bottom-for-upconv": {name: _silent(name, "encode_decode_layer") for name in scores},
        "stage-for-upconv": {name: _silent(name, "decode_layer4") for name in scores},
        "skips-gone-too": {name: _after(name, *SKIPS) for name in scores},
    }
    hints = {
        "not-silenced": (
            "Nothing was silenced: a hook must return the zeros, and stay until you have measured.",
            "什么也没有静默：钩子必须返回零，并且保留到测完为止。",
        ),
        "bottom-for-upconv": (
            "You silenced the bottom itself. Behind it upconv4 still adds its bias: silence what "
            "*it* puts out.",
            "你静默的是底部本身。它后面的 upconv4 还会加上自己的偏置：要静默的是 upconv4 的输出。",
        ),
        "stage-for-upconv": (
            "decode_layer4 also carries skip 4. Silence upconv4, before the two are joined.",
            "decode_layer4 里还有跳跃连接 4。请在两者拼接之前静默 upconv4。",
        ),
        "skips-gone-too": (
            "The other way round: the skips stay, the way through the bottom goes.",
            "反过来：跳跃连接保留，经过底部的路去掉。",
        ),
    }
    if not _alike(scores, real):
        _nearest_slip(scores, forms, hints)
        if scores[WITH_SKIPS] == scores[WITHOUT_SKIPS]:
            raise Wrong(*NET_IGNORED, "net-ignored")
        raise Wrong(
            f"With upconv4 giving zeros the IoU is not {scores[WITH_SKIPS]:.3f}. Is everything "
            "else as it was, and is it the unseen side?",
            f"upconv4 输出全为零时，IoU 不是 {scores[WITH_SKIPS]:.3f}。"
            "其余部分都没动吗？是没见过的一侧吗？",
        )
    _judge_share(said[WITH_SKIPS, "share"])
    return Right(
        f"{_after(WITH_SKIPS):.2f} → {real[WITH_SKIPS]:.2f}: this network does not use its bottom. "
        f"The one trained without skips lives on it ({real[WITHOUT_SKIPS]:.2f}).",
        f"{_after(WITH_SKIPS):.2f} → {real[WITH_SKIPS]:.2f}：这个网络没有用到它的底部。"
        f"而训练时没有跳跃连接的那个全靠底部（{real[WITHOUT_SKIPS]:.2f}）。",
    )


def _judge_share(said: float) -> None:
    net = _shipped(WITH_SKIPS)
    size = {n: sum(p.numel() for p in m.parameters()) for n, m in net.named_children()}
    total, bottom, up = sum(size.values()), size["encode_decode_layer"], size["upconv4"]
    real = (bottom + up) / total
    if abs(said - real) < 1e-3:
        return
    shares = {
        "percent": 100 * real,
        "bottom-only": bottom / total,
        "upconv-only": up / total,
        "share-left": 1 - real,
        "decoder-counted": (bottom + up + size["decode_layer4"]) / total,
        "count-for-share": bottom + up,
    }
    hints = {
        "percent": ("Give the share from 0 to 1.", "请用 0 到 1 的数给出比例。"),
        "bottom-only": (
            "The IoU is right. The share lacks upconv4, whose output is thrown away, too.",
            "IoU 对了。比例里少了 upconv4，它的输出也被丢掉了。",
        ),
        "upconv-only": (
            "The IoU is right. What comes before upconv4, on that path alone, is idle, too.",
            "IoU 对了。upconv4 之前、只在这条路上的部分也闲置了。",
        ),
        "share-left": (
            "The IoU is right. That is the share still at work; the silent one is asked for.",
            "IoU 对了。这是仍在工作的比例；问的是静默的部分。",
        ),
        "decoder-counted": (
            "The IoU is right. decode_layer4 still works: it receives skip 4.",
            "IoU 对了。decode_layer4 仍在工作：它收到跳跃连接 4。",
        ),
        "count-for-share": (
            "The IoU is right. Divide the number of silent parameters by all of them.",
            "IoU 对了。请用静默的参数个数除以总数。",
        ),
    }
    for slip, share in shares.items():
        if abs(said - share) < 1e-3 * max(1, share):
            raise Wrong(*hints[slip], slip)
    raise Wrong(
        f"The IoU is right, the share of {said:.3f} is not. Whose output reaches nothing any more?",
        f"IoU 对了，比例 {said:.3f} 不对。哪些部分的输出再也到不了别处？",
        "share",
    )


# --- 8: is zero a fair cut? ----------------------------------------------------------------------

Change = Callable[[Tensor], Tensor]
CHANGES: dict[str, Change] = {
    "mean": lambda maps: maps.mean((2, 3), keepdim=True).expand_as(maps),
    "zero": torch.zeros_like,
    "one mean for all": lambda maps: maps.mean().expand_as(maps),
    "mean over channels": lambda maps: maps.mean(1, keepdim=True).expand_as(maps),
    "nothing": lambda maps: maps,
}


@cache
def _walk(level: int, change: str, main_path: bool = False) -> float:
    """IoU of the shipped U-Net when skip `level` delivers something else.

    With `main_path` the same is handed down to the pool, as a hook on the stage does it.
    """
    net, side = _shipped(WITH_SKIPS), nuclei_split().test
    h, kept = side.image[None], []
    with torch.no_grad():
        for k in (1, 2, 3, 4):
            maps = getattr(net, f"encode_layer{k}")(h)
            changed = CHANGES[change](maps) if k == level else maps
            kept.append(changed)
            h = getattr(net, f"pool{k}")(changed if main_path else maps)
        h = net.encode_decode_layer(h)
        for k in (4, 3, 2, 1):
            h = join(getattr(net, f"upconv{k}")(h), kept[k - 1])
            h = getattr(net, f"decode_layer{k}")(h)
        return iou(net.out_layer(h).argmax(dim=1)[0], side.mask)


@exercise("segmentation.8")
def is_zero_a_fair_cut(answer: object) -> Right:
    """`bland(net, level)`: IoU when a skip delivers its own mean, channel by channel."""
    bland = function(answer, "bland(net, level)")
    net, said = _lent(WITH_SKIPS), {}
    for level in (1, 2, 3, 4):
        call = f"bland(net, {level})"
        said[level] = _one_score(call, attempt(call, lambda k=level: bland(net, k)))
        _as_before(call, net, WITH_SKIPS)

    def of(change: str, *, main_path: bool = False) -> dict[int, float]:
        return {level: _walk(level, change, main_path) for level in said}

    real = of("mean")
    if _alike(said, real, 1e-3):
        zero = of("zero")
        return Right(
            f"Skip 1: {real[1]:.2f} with its mean, {zero[1]:.2f} with zeros. What is missing is "
            "the pattern, not the level: zero was a fair cut.",
            f"跳跃连接 1：给均值是 {real[1]:.2f}，给零是 {zero[1]:.2f}。"
            "缺的是图案，不是高低：用零来切断是公平的。",
        )
    forms = {
        "zero-for-mean": of("zero"),
        "one-mean-for-all": of("one mean for all"),
        "mean-over-channels": of("mean over channels"),
        "unchanged": of("nothing"),
        "main-path-too": of("mean", main_path=True),
        "counted-from-the-bottom": {5 - level: value for level, value in real.items()},
        "dice-for-iou": {level: 2 * v / (1 + v) for level, v in real.items()},
    }
    hints = {
        "zero-for-mean": (
            "Those are the scores with zeros, as `cut` gives them.",
            "这是给零的分数，`cut` 给出的就是它。",
        ),
        "one-mean-for-all": (
            "Every channel has a mean of its own; yours uses one number for all of them.",
            "每个通道有自己的均值；你对所有通道用了同一个数。",
        ),
        "mean-over-channels": (
            "You averaged over the channels and kept the pattern. Average over height and width.",
            "你对通道取了平均，图案还在。请对高和宽取平均。",
        ),
        "unchanged": (
            "Nothing has changed: does the decoder really receive the bland maps?",
            "什么也没变：解码器收到的真是抹平的特征图吗？",
        ),
        "main-path-too": (
            "The pool receives the mean, too, so the way down is flattened as well. Change only "
            "what the skip delivers.",
            "池化收到的也是均值，于是往下的路也被抹平了。只改跳跃连接送出的东西。",
        ),
        "counted-from-the-bottom": (
            "Turned round: skip 1 is the uppermost, at the size of the image.",
            "反了：跳跃连接 1 在最上面，与图像一样大。",
        ),
        "dice-for-iou": ("That is Dice; IoU is asked for.", "这是 Dice；问的是 IoU。"),
    }
    _nearest_slip(said, forms, hints, 1e-3)
    if (
        abs(number(attempt("bland(net, 1)", lambda: bland(_lent(WITHOUT_SKIPS), 1))) - said[1])
        < 1e-9
    ):
        raise Wrong(*NET_IGNORED, "net-ignored")
    off = next(level for level in said if abs(said[level] - real[level]) > 1e-3)
    raise Wrong(
        f"bland(net, {off}) gives {said[off]:.3f}. Walk the network without a change first: does "
        "that give its usual mask?",
        f"bland(net, {off}) 给出 {said[off]:.3f}。先不作改动走一遍网络：得到的是平常的掩码吗？",
    )
