"""Checks of the bug museum, rooms 3 and 4: the U-Net, and training and measuring."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.anatomy import record_features
from backbone.data import nuclei_split
from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import attempt, function, kind, number, output, same_shape
from backbone.training import dice_loss, iou
from backbone.unet import UNetModel, join, pad_to_multiple
from backbone.weights import load_trained

Hint = tuple[str, str]
LEVELS = (4, 3, 2, 1)  # in the order in which the decoder meets them


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- 9 and 10: a U-Net whose joins are wrong -----------------------------------------------------

Join = Callable[[Tensor, Tensor], Tensor]


def walk(net: nn.Module, x: Tensor, joins: Mapping[int, Join]) -> Tensor:
    """Run a U-Net with another way to join on each level; a join takes (upsampled, skipped)."""
    skips = {}
    with torch.no_grad():
        for level in reversed(LEVELS):
            skips[level] = x = net.get_submodule(f"encode_layer{level}")(x)
            x = net.get_submodule(f"pool{level}")(x)
        x = net.get_submodule("encode_decode_layer")(x)
        for level in LEVELS:
            up = net.get_submodule(f"upconv{level}")(x)
            x = net.get_submodule(f"decode_layer{level}")(joins[level](up, skips[level]))
        return net.get_submodule("out_layer")(x)


JOINS: dict[str, Join] = {
    "no-skip": lambda up, skip: join(up, up),
    "skip-alone": lambda up, skip: join(skip, skip),
    "added": lambda up, skip: join(up + skip, up + skip),
    "swapped": lambda up, skip: join(skip, up),
    "channels-reversed": lambda up, skip: join(skip, up).flip(1),
}


def _built(answer: object, features: int, source: nn.Module) -> nn.Module:
    """Build the answer and give it the weights of `source`, whose names it must have."""
    call = f"Fixed(init_features={features})"
    if isinstance(answer, nn.Module):  # it can be called, but builds nothing
        raise Wrong(
            "Hand in the class Fixed itself; this is a network that was built from one.",
            "请交 Fixed 这个类本身；这是已经用类建好的网络。",
            "built-already",
        )
    make = function(answer, call)
    net = attempt(call, lambda: make(init_features=features))
    if not isinstance(net, nn.Module):
        raise Wrong(
            f"{call} must be a network, an nn.Module; got {kind(net)}.",
            f"{call} 应当是一个网络，即 nn.Module；得到的是 {kind(net)}。",
            "not-a-module",
        )
    state = {name: value.clone() for name, value in source.state_dict().items()}
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, KeyError, AttributeError):
        raise Wrong(
            "The weights of a UNetModel no longer load. Keep its layers and their names; the "
            "mistake is in none of them.",
            "UNetModel 的权重装不进去了。请保留它的各层和名字；错误不在层里。",
            "other-layers",
        ) from None
    return net.eval()


def _which_join(net: nn.Module, x: Tensor, y: Tensor) -> str | None:
    """Name the join that leads to this output, if it is the same wrong one on every level."""
    for slip, wrong in JOINS.items():
        if torch.allclose(walk(net, x, dict.fromkeys(LEVELS, wrong)), y, atol=1e-4):
            return slip
    return None


def _without_skip(net: nn.Module) -> list[int]:
    """Find the levels whose decoder says the same of every image if nothing comes from below."""
    deaf = []
    images = torch.rand(2, 1, 1, 32, 32, generator=_seeded())
    for level in LEVELS:
        twin, stage = copy.deepcopy(net), f"decode_layer{level}"
        nn.init.zeros_(twin.get_submodule(f"upconv{level}").weight)
        a, b = (record_features(twin, image, [stage])[stage] for image in images)
        if torch.equal(a, b):
            deaf.append(level)
    return deaf


@exercise("bug-museum.9")
def no_concatenation(answer: object) -> Right:
    """`Fixed`: a U-Net in which every skip arrives."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = UNetModel(init_features=4).eval()
    net = _built(answer, 4, model)
    x = torch.rand(2, 1, 32, 48, generator=_seeded())
    y = output("Fixed(init_features=4)(x)", net, x)
    with torch.no_grad():
        wanted = model(x)
    same_shape(
        "Fixed(init_features=4)(x)",
        y,
        tuple(wanted.shape),
        ("A score per class and pixel.", "每个像素每个类别一个分数。"),
    )
    if torch.allclose(y, wanted, atol=1e-4):
        return Right(
            "All four skips arrive. Remember: where shapes fit by accident, test what each path "
            "carries.",
            "四条跳跃连接都到达了。记住：形状可能只是碰巧相符，要检验每条通路究竟送来了什么。",
        )
    hints: dict[str, Hint] = {
        "no-skip": (
            "Silence the path from below and the output no longer depends on the image: what "
            "stands where the encoder's maps should be joined?",
            "一旦切断来自下方的通路，输出就不再取决于图像：本该拼接编码器特征图的地方，写的是什么？",
        ),
        "skip-alone": (
            "Now the skip is there twice, and what comes from below is lost.",
            "现在跳跃连接出现了两次，而来自下方的特征图丢了。",
        ),
        "added": (
            "The two are added, and the sum stands there twice. A U-Net puts them side by side.",
            "两者被相加，和又写了两遍。U-Net 是把它们并排放在一起。",
        ),
        "swapped": (
            "Every skip arrives, but first. The weights of a UNetModel expect the upsampled maps "
            "first.",
            "每条跳跃连接都到了，但排在前面。UNetModel 的权重要求上采样的特征图在前。",
        ),
    }
    slip = _which_join(model, x, y)
    if slip in hints:
        raise Wrong(*hints[slip], slip)
    deaf = _without_skip(net)
    if deaf:
        levels = ", ".join(map(str, sorted(deaf)))
        raise Wrong(
            f"Better, but on level {levels} still nothing crosses.",
            f"好一些了，但第 {levels} 层仍然没有东西通过。",
            "some-levels",
        )
    raise Wrong(
        "Every skip arrives, yet the output is not that of a UNetModel with the same weights. "
        "Compare your forward with its, line by line.",
        "每条跳跃连接都到了，但权重相同时输出与 UNetModel 的不同。请逐行比较两个 forward。",
    )


@cache
def _trained() -> nn.Module:
    return load_trained("unet-nuclei").eval()


@exercise("bug-museum.10")
def joined_the_other_way(answer: object) -> Right:
    """`Fixed`: gives with the trained weights what the trained network gives."""
    model = _trained()
    net = _built(answer, 8, model)
    x = nuclei_split().test.image[None, :, 128:192, 32:96]
    y = output("Fixed(init_features=8)(image)", net, x)
    with torch.no_grad():
        wanted = model(x)
    same_shape(
        "Fixed(init_features=8)(image)",
        y,
        tuple(wanted.shape),
        ("A score per class and pixel.", "每个像素每个类别一个分数。"),
    )
    if torch.allclose(y, wanted, atol=1e-3):
        return Right(
            "The same answers as the trained network. Remember: strict loading compares names and "
            "shapes; only a known output compares meaning.",
            "与训练好的网络回答一致。记住：严格载入只比较名字和形状；只有已知的输出才能比较含义。",
        )
    hints: dict[str, Hint] = {
        "swapped": (
            "The weights still read the upsampled maps where the skip is, and the other way round. "
            "Look at one join: what comes first in UNetModel?",
            "权重仍在跳跃连接处读上采样的图，反之亦然。看看其中一次拼接：UNetModel 里谁在前？",
        ),
        "no-skip": (
            "Now the upsampled maps are there twice and the skip is gone. Keep both; mind the "
            "order.",
            "现在上采样的图出现两次，跳跃连接没了。两者都要保留，注意顺序。",
        ),
        "skip-alone": (
            "Now the skip is there twice and the path from below is gone. Keep both; mind the "
            "order.",
            "现在跳跃连接出现两次，来自下方的通路没了。两者都要保留，注意顺序。",
        ),
        "channels-reversed": (
            "flip turns every single channel round. The two halves must change places, each in its "
            "own order.",
            "flip 把每个通道的次序都倒过来了。应当是两半互换位置，各自内部的次序不变。",
        ),
    }
    slip = _which_join(model, x, y)
    if slip in hints:
        raise Wrong(*hints[slip], slip)
    for count in (1, 2, 3):
        for levels in combinations(LEVELS, count):
            joins = {k: JOINS["swapped"] if k in levels else join for k in LEVELS}
            if torch.allclose(walk(model, x, joins), y, atol=1e-3):
                names = ", ".join(map(str, sorted(levels)))
                raise Wrong(
                    f"Level {names} is still the wrong way round.",
                    f"第 {names} 层的次序仍然是反的。",
                    "some-levels",
                )
    raise Wrong(
        "The answers still differ from those of the trained network. Nothing but the order of the "
        "joined maps has to change, in forward or in the weights.",
        "回答仍与训练好的网络不同。只需改变拼接的次序，改 forward 或改权重都行。",
    )


# --- 11: a mask made smaller ---------------------------------------------------------------------


def _cells(size: int, wanted: int) -> list[slice]:
    """Which source pixels each target pixel covers, along one axis."""
    return [slice(i * size // wanted, -(-(i + 1) * size // wanted)) for i in range(wanted)]


def _averaged(image: Tensor, size: int, **options: Any) -> Tensor:  # noqa: ANN401
    return F.interpolate(image[None].float(), (size, size), **options)[0]


SMOOTH = {"mode": "bilinear", "antialias": True}


@exercise("bug-museum.11")
def labels_in_between(answer: object) -> Right:
    """`fixed(image, mask, size)` → both smaller, the mask with no label that nobody drew."""
    resize = function(answer, "fixed(image, mask, size)")
    picky = False  # whether it takes the pixel in the middle
    for side, size in ((64, 16), (60, 25), (64, 32)):
        image = torch.rand(1, side, side, generator=_seeded(side))
        known = torch.tensor((0, 3, 3, 10, 200, 7))
        coarse = known[torch.randint(6, (side // 4 + 1, side // 4 + 1), generator=_seeded(size))]
        mask = coarse.repeat_interleave(4, 0).repeat_interleave(4, 1)
        mask = mask[1 : 1 + side, 1 : 1 + side]  # so that no cell is of one label alone
        small, labels = _resized(resize, image, mask, size)
        _right_labels(mask, labels, size)
        _right_image(image, small, size)
        plain = F.interpolate(mask[None, None].float(), (size, size), mode="nearest")[0, 0].long()
        exact = F.interpolate(mask[None, None].float(), (size, size), mode="nearest-exact")[0, 0]
        picky = picky or bool((plain != exact.long()).any() and torch.equal(plain, labels))
    if picky:
        return Right(
            "No invented labels: labels are names, not amounts. (Yours take the pixel at the upper "
            'left of each cell; mode="nearest-exact" takes the one in the middle.)',
            "没有凭空出现的标签：标签是名字，不是数量。（你取的是每格左上角的像素；"
            'mode="nearest-exact" 取的是中间的。）',
        )
    return Right(
        "No invented labels. Remember: labels are names, not amounts, and names have no mean.",
        "没有凭空出现的标签。记住：标签是名字，不是数量，名字没有平均值。",
    )


def _resized(
    resize: Callable[..., Any], image: Tensor, mask: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    call = f"fixed(image, mask, {size})"
    got = attempt(call, lambda: resize(image.clone(), mask.clone(), size))
    pair = isinstance(got, tuple | list) and len(got) == 2
    if not pair or not all(isinstance(one, Tensor) for one in got):
        raise Wrong(
            f"{call} must return two tensors, image and mask; got {kind(got)}.",
            f"{call} 应当返回图像和掩码两个张量；得到的是 {kind(got)}。",
            "not-a-pair",
        )
    small, labels = got
    why = ("A number per pixel.", "每个像素一个数。")
    same_shape(f"The image of {call}", small, (1, size, size), why)
    same_shape(f"The mask of {call}", labels, (size, size), why)
    if labels.is_floating_point():
        raise Wrong(
            f"The mask of {call} holds {labels.dtype}; a loss wants whole numbers: .long().",
            f"{call} 的掩码类型是 {labels.dtype}；损失函数需要整数：.long()。",
            "not-whole-numbers",
        )
    return small, labels.long()


def _right_labels(mask: Tensor, labels: Tensor, size: int) -> None:
    known = mask.unique()
    if bool((labels <= 1).all()):
        raise Wrong(
            "Only 0 and 1 are left: which object a pixel belongs to is lost.",
            "只剩下 0 和 1：像素属于哪个对象，这个信息丢了。",
            "labels-merged",
        )
    strange = labels[torch.isin(labels, known).logical_not()]
    if strange.numel():
        raise Wrong(
            f"Label {int(strange[0])} is in the small mask, but nobody drew it. Where two objects "
            "meet, which number lies between theirs?",
            f"小掩码里出现了标签 {int(strange[0])}，可没人画过它。两个对象相接处，"
            "介于两个编号之间的数是什么？",
            "labels-averaged",
        )
    largest = F.adaptive_max_pool2d(mask[None].float(), size)[0].long()
    if torch.equal(labels, largest):
        raise Wrong(
            "Every label exists, but wherever two meet the larger number wins, so objects with "
            "large numbers grow.",
            "每个标签都存在，但相接处总是编号大的获胜，于是编号大的对象变大了。",
            "largest-wins",
        )
    cells = _cells(len(mask), size)
    for i, rows in enumerate(cells):
        for j, columns in enumerate(cells):
            if not (mask[rows, columns] == labels[i, j]).any():
                raise Wrong(
                    f"Every label exists, but at ({i}, {j}) stands {int(labels[i, j])}, and there "
                    "is no such pixel near that place. Rounding to a known label is a guess.",
                    f"每个标签都存在，但 ({i}, {j}) 处写着 {int(labels[i, j])}，"
                    "附近却没有这样的像素。凑到某个已知标签只是猜测。",
                    "labels-elsewhere",
                )


def _right_image(image: Tensor, small: Tensor, size: int) -> None:
    if torch.allclose(small, _averaged(image, size, **SMOOTH), atol=1e-4):
        return
    nearest = (_averaged(image, size, mode=mode) for mode in ("nearest", "nearest-exact"))
    if any(torch.allclose(small, one, atol=1e-4) for one in nearest):
        raise Wrong(
            "The mask is right. The image now skips pixels as well: brightness may be averaged, "
            "and should be.",
            "掩码对了。但图像也在跳过像素：亮度可以取平均，也应当取平均。",
            "image-too",
        )
    raise Wrong(
        "The mask is right, the image is no longer what it was: leave its line alone.",
        "掩码对了，但图像与原来不同了：处理图像的那一行不用动。",
        "image-changed",
    )


# --- 12: cut out of the wrong place --------------------------------------------------------------


class Echo(nn.Module):
    """Two classes, told apart by brightness alone; halves nothing, but insists on 16."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 2, H, W)."""
        if x.dim() != 4 or x.shape[2] % 16 or x.shape[3] % 16:
            raise ValueError(f"height and width must be multiples of 16, got {tuple(x.shape)}")
        return torch.cat((1 - x, x), dim=1)


CROPS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "corner": lambda s, h, w: s[..., :h, :w],
    "other-corner": lambda s, h, w: s[..., s.shape[-2] - h :, s.shape[-1] - w :],
    "rounded-up": lambda s, h, w: _cut(
        s, -((h - s.shape[-2]) // 2), -((w - s.shape[-1]) // 2), h, w
    ),
    "sides-swapped": lambda s, h, w: _cut(s, (s.shape[-1] - w) // 2, (s.shape[-2] - h) // 2, h, w),
    "resized": lambda s, h, w: F.interpolate(s, (h, w), mode="bilinear"),
    "resized-nearest": lambda s, h, w: F.interpolate(s, (h, w)),
}


def _cut(s: Tensor, top: int, left: int, h: int, w: int) -> Tensor:
    return s[..., top : top + h, left : left + w]


@exercise("bug-museum.12")
def cut_in_the_corner(answer: object) -> Right:
    """`fixed(net, image)` → the mask, each pixel where it belongs."""
    segment = function(answer, "fixed(net, image)")
    for h, w in ((32, 48), (42, 22), (37, 51), (17, 30)):
        image = torch.rand(1, h, w, generator=_seeded(h))
        call = f"fixed(net, an image of {h}×{w})"
        got = attempt(call, lambda image=image: segment(Echo(), image.clone()))
        if not isinstance(got, Tensor):
            raise Wrong(
                f"{call} must return a mask, got {kind(got)}.",
                f"{call} 应当返回掩码，得到的是 {kind(got)}。",
                "no-tensor",
            )
        same_shape(
            call,
            got,
            (h, w),
            ("A class for each pixel of the image.", "图像的每个像素一个类别。"),
        )
        if not torch.equal(got.long(), (image[0] > 0.5).long()):
            raise _misplaced(image, got.long())
    return Right(
        "Every pixel is back in its place, for odd sizes too. Remember: whoever pads must cut at "
        "the same place.",
        "每个像素都回到原位，奇数尺寸也一样。记住：在哪里填充，就在哪里裁掉。",
    )


def _misplaced(image: Tensor, got: Tensor) -> Wrong:
    h, w = image.shape[1:]
    scores = Echo()(pad_to_multiple(image[None], 16))
    hints: dict[str, Hint] = {
        "corner": (
            f"At {h}×{w} the mask begins at the corner of the padded image. Where does "
            "pad_to_multiple put the image?",
            f"{h}×{w} 时，掩码从填充后图像的角上开始。pad_to_multiple 把图像放在哪里？",
        ),
        "other-corner": (
            f"At {h}×{w} the mask is taken from the lower right corner; padding is on all sides.",
            f"{h}×{w} 时，掩码取自右下角；而填充是四周都有的。",
        ),
        "rounded-up": (
            f"Nearly: at {h}×{w} an odd number of pixels was added, and you cut one too far in. On "
            "which side does pad_to_multiple put the odd one?",
            f"差一点：{h}×{w} 时填充的像素数是奇数，你多进了一个像素。"
            "多出的那个，pad_to_multiple 放在哪一边？",
        ),
        "sides-swapped": (
            f"At {h}×{w} the offset of the rows is used for the columns, and the other way round.",
            f"{h}×{w} 时，行的偏移用在了列上，列的用在了行上。",
        ),
        "resized": (
            f"At {h}×{w} the padded result is squeezed to size, border and all. Cut it, "
            "do not scale it.",
            f"{h}×{w} 时，填充后的结果连边一起被压缩了。应当裁剪，而不是缩放。",
        ),
    }
    for slip, cut in CROPS.items():
        if torch.equal(cut(scores, h, w).argmax(1)[0], got):
            slip = slip.removesuffix("-nearest")
            return Wrong(*hints[slip], slip)
    wrong = float((got != (image[0] > 0.5).long()).float().mean())
    return Wrong(
        f"At {h}×{w}, {wrong:.0%} of the pixels are not where they belong. A network that only "
        "echoes brightness must give the image back.",
        f"{h}×{w} 时，{wrong:.0%} 的像素不在原位。一个只会复述亮度的网络，应当把图像原样交还。",
    )


# --- 13: judged while learning -------------------------------------------------------------------


@cache
def _tiles() -> tuple[Tensor, Tensor]:
    side = nuclei_split().test
    corners = [(0, 0), (64, 64), (256, 0), (448, 64)]
    images = [side.image[:, r : r + 64, c : c + 64] for r, c in corners]
    masks = [side.mask[r : r + 64, c : c + 64] for r, c in corners]
    return torch.stack(images), torch.stack(masks)


def _score(net: nn.Module, images: Tensor, masks: Tensor) -> float:
    with torch.no_grad():
        return iou(net(images).argmax(1), masks)


@exercise("bug-museum.13")
def judged_while_learning(answer: object) -> Right:
    """`fixed(net, images, masks)` → IoU, the network left as it was."""
    measure = function(answer, "fixed(net, images, masks)")
    images, masks = _tiles()
    for training in (True, False):
        net = copy.deepcopy(_trained()).train(training)
        before = copy.deepcopy(net.state_dict())
        call = "fixed(net, images, masks)"
        got = attempt(call, lambda net=net: measure(net, images.clone(), masks.clone()))
        said = number(got)
        after = net.state_dict()
        drifted = any(not torch.equal(before[name], after[name]) for name in before)
        learning = _score(copy.deepcopy(_trained()).train(), images, masks)
        wanted = _score(copy.deepcopy(_trained()).eval(), images, masks)
        _as_it_was(said, drifted, learning, wanted)
        if net.training != training:
            raise _left(training)
    return Right(
        "The same score in any company, and the network is as it was. Remember: eval() to measure, "
        "and back again.",
        "无论与谁同批，分数都一样，网络也保持原样。记住：测量前 eval()，测完再换回去。",
    )


def _as_it_was(said: float, drifted: bool, learning: float, wanted: float) -> None:
    close = abs(said - learning) < 1e-4
    if drifted and close:
        raise Wrong(
            "Measuring still changes the network: its batch norms take their statistics from the "
            "test tiles. no_grad stops gradients, not batch norm.",
            "测量仍在改变网络：批量归一化从测试图块里取统计量。"
            "no_grad 停的是梯度，不是批量归一化。",
            "train-mode",
        )
    if drifted:
        raise Wrong(
            "The running statistics have moved. In training mode even a single image leaves its "
            "trace in them.",
            "滑动统计量变了。在训练模式下，哪怕一幅图像也会在里面留下痕迹。",
            "still-drifts",
        )
    if close:
        raise Wrong(
            "The network is left as it was, but its batch norms still use the mean of this batch: "
            "the score depends on who is in it.",
            "网络保持原样了，但批量归一化用的仍是这一批的均值：分数取决于同批有谁。",
            "batch-statistics",
        )
    if abs(said - wanted) > 1e-4:
        raise Wrong(
            f"The network is left as it was, but {said:.3f} is not its IoU of class 1 on these "
            "tiles.",
            f"网络保持原样了，但 {said:.3f} 不是它在这些图块上第 1 类的 IoU。",
            "score",
        )


def _left(training: bool) -> Wrong:
    if training:
        return Wrong(
            "The score is right. But the network came in training mode and is left in evaluation "
            "mode: whatever epoch comes next learns with frozen statistics.",
            "分数对了。但网络来时处于训练模式，走时却是评估模式：下一轮训练将用冻结的统计量。",
            "left-in-eval",
        )
    return Wrong(
        "The score is right. But a network that came in evaluation mode is left in training mode: "
        "put back the mode it had.",
        "分数对了。但来时处于评估模式的网络，走时却成了训练模式：请恢复原来的模式。",
        "left-in-train",
    )


# --- 14: Dice of scores --------------------------------------------------------------------------


def soft_dice(p: Tensor, mask: Tensor) -> Tensor:
    """One minus Dice of class 1 for whatever is taken as its probability."""
    return 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)


PROBABILITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "logits": lambda s: s[:, 1],
    "sigmoid-of-one": lambda s: s[:, 1].sigmoid(),
    "softmax-over-batch": lambda s: s.softmax(0)[:, 1],
    "softmax-over-pixels": lambda s: s.softmax(-1)[:, 1],
    "softmax-over-rows": lambda s: s.softmax(-2)[:, 1],
    "softmax-twice": lambda s: s.softmax(1).softmax(1)[:, 1],
    "sigmoid-of-softmax": lambda s: s.softmax(1)[:, 1].sigmoid(),
    "softmax-of-sigmoid": lambda s: s.sigmoid().softmax(1)[:, 1],
    "clamped": lambda s: s[:, 1].clamp(0, 1),
    "log-softmax": lambda s: s.log_softmax(1)[:, 1],
    "background": lambda s: s.softmax(1)[:, 0],
}
PROBABILITY_HINTS: dict[str, Hint] = {
    "logits": (
        "That is still Dice of the scores themselves, which have no bounds. What turns two scores "
        "into two probabilities?",
        "这仍是直接对分数算的 Dice，而分数没有上下界。什么能把两个分数变成两个概率？",
    ),
    "sigmoid-of-one": (
        "Within bounds, but it looks at one score alone. Add 5 to both scores: the chosen class "
        "stays, your loss changes.",
        "在范围内了，但只看了一个分数。给两个分数都加 5：所选类别不变，你的损失却变了。",
    ),
    "softmax-over": (
        "The softmax runs along the wrong dimension: the probabilities of the two classes of a "
        "pixel must add up to one.",
        "softmax 的维度不对：同一像素两个类别的概率之和应当是一。",
    ),
    "twice": (
        "Squashed twice: then the surest network never gets beyond 0.73, and the loss never near "
        "0.",
        "压缩了两次：再有把握的网络也超不过 0.73，损失永远到不了 0 附近。",
    ),
    "clamped": (
        "Within bounds, but outside of 0 … 1 the gradient is zero: a pixel that is badly wrong "
        "never learns.",
        "在范围内了，但在 0 到 1 之外梯度为零：错得离谱的像素永远学不到。",
    ),
    "log-softmax": (
        "These are logarithms of probabilities: all of them negative.",
        "这是概率的对数：全是负数。",
    ),
    "background": (
        "That is the probability of class 0, the background.",
        "这是第 0 类（背景）的概率。",
    ),
}


@exercise("bug-museum.14")
def dice_of_scores(answer: object) -> Right:
    """`fixed(scores, mask)` → one minus Dice of class 1, with probabilities."""
    loss = function(answer, "fixed(scores, mask)")
    scores = 3 * torch.randn(3, 2, 12, 16, generator=_seeded()) - 0.5
    mask = (torch.rand(3, 12, 16, generator=_seeded(1)) < 0.4).long()
    given = scores.clone().requires_grad_()
    got = attempt("fixed(scores, mask)", lambda: loss(given, mask.clone()))
    if not isinstance(got, Tensor) or got.numel() != 1:
        raise Wrong(
            f"A loss is one number in a tensor, so that it has a gradient; got {kind(got)}.",
            f"损失是张量里的一个数，这样才有梯度；得到的是 {kind(got)}。",
            "not-a-scalar",
        )
    said = got.item()
    if abs(said - soft_dice(scores.argmax(1).float(), mask).item()) < 1e-4:
        raise Wrong(
            "That is the Dice of the chosen classes. A choice has no gradient: nothing can learn "
            "from it.",
            "这是对所选类别算的 Dice。选择没有梯度：什么也学不到。",
            "no-gradient",
        )
    for name, form in PROBABILITIES.items():
        if abs(said - soft_dice(form(scores), mask).item()) < 1e-4:
            slip = "twice" if "of-s" in name or "twice" in name else name
            slip = "softmax-over" if "over" in name else slip
            raise Wrong(*PROBABILITY_HINTS[slip], slip)
    wanted = dice_loss(scores, mask).item()
    if abs(said - (1 - wanted)) < 1e-4:
        raise Wrong(
            "That is Dice, which should be large. A loss should be small: one minus it.",
            "这是 Dice，越大越好。损失应当越小越好：用一减去它。",
            "not-a-loss",
        )
    if abs(said - wanted) > 1e-4:
        raise Wrong(
            f"{said:.3f} is not 1 − Dice of class 1 with probabilities, over the whole batch. "
            "Change nothing but p.",
            f"{said:.3f} 不是用概率、对整批算的第 1 类的 1 − Dice。除了 p 什么都不用改。",
        )
    if not got.requires_grad:
        raise Wrong(
            "The number is right, but it has no gradient: something cut it off (no_grad, item, "
            "detach).",
            "数对了，但没有梯度：被什么切断了（no_grad、item、detach）。",
            "no-gradient",
        )
    return Right(
        "Between 0 and 1, with a gradient everywhere. Remember: ask of every loss what it expects, "
        "scores or probabilities.",
        "在 0 与 1 之间，处处有梯度。记住：对每个损失函数都要问，它要的是分数还是概率。",
    )


# --- 15: tiles that overlap ----------------------------------------------------------------------


@exercise("bug-museum.15")
def tiles_that_overlap(answer: object) -> Right:
    """`fixed(places, size)` → (train, test), which share no pixel."""
    split = function(answer, "fixed(places, size)")
    grid = torch.tensor([(r, c) for r in range(0, 225, 4) for c in range(0, 225, 4)])
    some = grid[torch.randperm(len(grid), generator=_seeded())[:900]]
    tall = torch.tensor([(r, c) for r in range(0, 289, 8) for c in range(0, 201, 8)])
    for places, size in ((grid, 32), (some, 32), (tall, 48)):
        train, test = _two_sides(split, places, size)
        _share_nothing(places, train, test, size)
    return Right(
        "No pixel on both sides. Remember: split the image first, and cut tiles afterwards.",
        "没有一个像素同时在两边。记住：先划分图像，再切图块。",
    )


def _two_sides(split: Callable[..., Any], places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    call = "fixed(places, size)"
    got = attempt(call, lambda: split(places.clone(), size))
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong(
            f"{call} must return train and test, got {kind(got)}.",
            f"{call} 应当返回训练和测试两部分，得到的是 {kind(got)}。",
            "not-a-pair",
        )
    train, test = (attempt(call, lambda one=one: torch.as_tensor(one)) for one in got)
    for name, side in (("train", train), ("test", test)):
        if side.numel() == 0:
            raise Wrong(
                f"Nothing is left in {name}. Give up tiles along one border, not all that touch "
                "another.",
                f"{name} 里什么也没剩。只舍弃一条分界线旁的图块，而不是所有与别的相接的图块。",
                "nothing-left",
            )
        if side.dim() != 2 or side.shape[1] != 2:
            raise Wrong(
                f"{name} must be places, of shape (n, 2); got {tuple(side.shape)}.",
                f"{name} 应当是位置，形状 (n, 2)；得到的是 {tuple(side.shape)}。",
                "not-places",
            )
        known = (side[:, None] == places).all(2).any(1)
        if not bool(known.all()):
            raise Wrong(
                f"{name} holds places that were not given: choose among them, change none.",
                f"{name} 里有原来没有的位置：只能从中选，不能改。",
                "invented",
            )
    return train, test


def _share_nothing(places: Tensor, train: Tensor, test: Tensor, size: int) -> None:
    apart = (train[:, None] - test).abs()  # (train, test, 2): rows, columns
    shares = (apart < size).all(2)
    if bool(shares.any()):
        share = float(shares.any(0).float().mean())
        beside = [
            bool(a[:, axis].max() <= b[:, axis].min())
            for a, b in ((train, test), (test, train))
            for axis in (0, 1)
        ]
        if any(beside):
            raise Wrong(
                f"Nearly: along the border {share:.0%} of the test tiles still reach over it. A "
                "place is a corner; the tile goes on for `size` pixels.",
                f"差一点：分界线旁仍有 {share:.0%} 的测试图块跨了过去。"
                "位置只是一个角，图块还要延伸 `size` 个像素。",
                "reaches-over",
            )
        if int(apart.amax(2).min()) >= size // 2:
            raise Wrong(
                f"Nearly: {share:.0%} of the test tiles still share a strip with a training tile. "
                "How far apart must two corners be?",
                f"差一点：仍有 {share:.0%} 的测试图块与训练图块共有一条。两个角至少要相距多远？",
                "too-near",
            )
        raise Wrong(
            f"{share:.0%} of the test tiles share pixels with a training tile. Different corners "
            "do not make different pixels.",
            f"{share:.0%} 的测试图块与训练图块有共同的像素。角不同，像素未必不同。",
            "overlap",
        )
    if len(test) > 2 * len(train):
        raise Wrong(
            "They share nothing, but the test side is the larger one: train comes first.",
            "两边没有共同像素，但测试部分更大：训练部分在前。",
            "turned-round",
        )
    if min(len(test), len(train)) < len(places) // 20:
        raise Wrong(
            f"They share nothing, but of {len(places)} tiles only {len(train)} are left to learn "
            f"from and {len(test)} to test on. One border wastes less.",
            f"两边没有共同像素，但 {len(places)} 个图块只剩 {len(train)} 个用于训练、"
            f"{len(test)} 个用于测试。只用一条分界线浪费更少。",
            "too-few",
        )


# --- 16: the mean of nothing ---------------------------------------------------------------------


def _counts(masks: Tensor, truths: Tensor) -> tuple[Tensor, Tensor]:
    both = ((masks == 1) & (truths == 1)).sum((1, 2)).float()
    either = ((masks == 1) | (truths == 1)).sum((1, 2)).float()
    return both, either


def mean_scores(masks: Tensor, truths: Tensor) -> dict[str, float]:
    """The mean IoU over tiles in the ways it is computed; the first two are right."""
    both, either = _counts(masks, truths)
    score, there, seen = both / (either + 1e-6), truths.sum((1, 2)) > 0, either > 0
    return {
        "tiles": score[seen].mean().item(),
        "pooled": (both.sum() / either.sum()).item(),
        "empty-is-zero": score.mean().item(),
        "empty-is-one": torch.where(seen, score, 1.0).mean().item(),
        "smoothed": ((both + 1) / (either + 1)).mean().item(),
        "false-alarms-free": score[there].mean().item(),
        "found-only": score[masks.sum((1, 2)) > 0].mean().item(),
    }


@exercise("bug-museum.16")
def mean_of_nothing(answer: object) -> Right:
    """`fixed(masks, truths)` → mean IoU that empty tiles cannot distort."""
    measure = function(answer, "fixed(masks, truths)")
    truths = (torch.rand(10, 8, 8, generator=_seeded(1)) < 0.4).long()
    truths[[1, 4, 5, 8]] = 0
    masks = (torch.rand(10, 8, 8, generator=_seeded(2)) < 0.4).long()
    masks[[1, 4, 9]] = 0  # two rightly empty, one overlooked, two false alarms
    got = attempt("fixed(masks, truths)", lambda: measure(masks.clone(), truths.clone()))
    said = number(got)
    real = mean_scores(masks, truths)
    hints: dict[str, Hint] = {
        "empty-is-zero": (
            "A tile where nothing is and nothing was found still counts as a complete failure: "
            "even perfect masks get less than 1.",
            "什么都没有、也什么都没找到的图块仍算作彻底失败：完美的掩码也得不到 1。",
        ),
        "empty-is-one": (
            "Now an empty tile counts as a success: a network that never finds anything is paid "
            "for every one of them.",
            "现在空图块算作成功：什么都不找的网络，每遇一个空图块就得一分。",
        ),
        "smoothed": (
            "The one above the line is a present: a network that finds nothing no longer gets 0.",
            "分子上的一是白送的：什么都没找到的网络不再得 0 分。",
        ),
        "false-alarms-free": (
            "Leaving out all tiles without a truth leaves out false alarms, too: marking an empty "
            "tile from edge to edge costs nothing.",
            "略去所有没有真实标注的图块，也就略去了误报：把空图块整个涂满也不受罚。",
        ),
        "found-only": (
            "Leaving out the tiles in which nothing was found leaves out what was overlooked.",
            "略去什么都没找到的图块，也就略去了漏检。",
        ),
    }
    if said != said:
        raise Wrong(
            "The score is nan: 0/0 for one tile is enough to spoil the mean.",
            "分数是 nan：只要有一个图块是 0/0，平均值就毁了。",
            "nan",
        )
    for slip, hint in hints.items():
        if abs(said - real[slip]) < 1e-4:
            raise Wrong(*hint, slip)
    if min(abs(said - real["tiles"]), abs(said - real["pooled"])) > 1e-4:
        raise Wrong(
            f"{said:.3f} is neither the mean over the tiles where there is something to compare, "
            "nor one IoU over all pixels.",
            f"{said:.3f} 既不是对有东西可比的图块取的平均，也不是对所有像素算的一个 IoU。",
        )
    return Right(
        "Perfect masks get 1, empty ones 0. Remember: try a score on the perfect answer and on the "
        "lazy one.",
        "完美的掩码得 1 分，空掩码得 0 分。记住：拿完美的答案和偷懒的答案来检验分数。",
    )
