"""The same question with other numbers: where an exercise's text names the numbers that vary.

The book says each question once, with its own numbers. Beside it stands here, for every exercise
whose numbers vary, which of its words hold them, and how to compute the answer for others. A
test holds the words against the book, so a question that is worded anew is noticed.

A piece of text is either a template, whose fields are numbers of the question ("{height} pixels
high"; with the book's numbers it stands in the book), or a pair: the book's words, and a template
in place of them. Where an edition has no pieces, a line with the class's numbers is added.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backbone.exercises import question, variant_note

Piece = str | tuple[str, str]
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Wording:
    """How one question is said, and answered, with other numbers.

    Attributes:
        pieces: language → the pieces of its text.
        answer: Python that computes the answer. The numbers stand in variables of their names;
            the result is left in the variable of the book's answer cell.
        more: further fields for the pieces, computed from the numbers.
    """

    pieces: dict[str, tuple[Piece, ...]]
    answer: str
    more: Callable[[Numbers], Numbers] = field(default=lambda numbers: {})


def fields(name: str, seed: int) -> Numbers:
    """Return what the pieces of a question can name."""
    numbers = question(name, seed=seed)
    return numbers | WORDINGS[name].more(numbers)


def pairs(name: str, seed: int, language: str) -> list[tuple[str, str]]:
    """Return the book's words and those that replace them, longest first."""
    book, ours = fields(name, 0), fields(name, seed)
    both = [
        (piece, piece) if isinstance(piece, str) else piece
        for piece in WORDINGS[name].pieces.get(language, ())
    ]
    made = [(old.format(**book) if old is new else old, new.format(**ours)) for old, new in both]
    return sorted(made, key=lambda pair: -len(pair[0]))


def reword(text: str, name: str, seed: int, language: str = "en") -> str:
    """Return a question, or the code of its answer cell, with the numbers of a class.

    Args:
        text: from the book.
        name: of the exercise.
        seed: of the class.
        language: of the text.
    """
    replace = {" ".join(old.split()): new for old, new in pairs(name, seed, language)}
    if not replace:
        return text
    found = re.compile("|".join(r"\s+".join(map(re.escape, old.split())) for old in replace))
    return found.sub(lambda match: replace[" ".join(match[0].split())], text)


def reworded_question(text: str, name: str, seed: int, language: str = "en") -> str:
    """Return the text of an exercise with the numbers of a class.

    Without pieces in this language it is the book's text, and a line that names the numbers.
    """
    if name in WORDINGS and WORDINGS[name].pieces.get(language):
        return reword(text, name, seed, language)
    note = variant_note(name, seed=seed, language=language)
    if not note:
        return text
    asked, fold, rest = text.partition("<details>")
    return f"{asked.rstrip()}\n\n{note}\n\n{fold}{rest}".rstrip()


def answer_code(name: str, seed: int) -> str:
    """Return Python that computes the answer for the numbers of a class."""
    numbers = [f"{key} = {value!r}" for key, value in question(name, seed=seed).items()]
    code = WORDINGS[name].answer
    imports, gap, rest = code.partition("\n\n") if code.startswith("from ") else ("", "", code)
    return imports + gap + "\n".join([*numbers, rest.lstrip("\n")])


def _in_words(number: int) -> str:
    return {2: "two", 4: "four", 8: "eight", 16: "sixteen"}[number]


_SHAPES = """\
from backbone.anatomy import record_features

net = UNetModel(init_features=features)
maps = record_features(net, torch.zeros(batch, 1, height, width))
shapes = {layer: tuple(maps[layer].shape) for layer in (%s)}"""

_SIZE = "`UNetModel(init_features={features})`"
_U_NET = "`UNetModel(in_features={in_features}, out_features={out_features})`"

_PRICE = """\
def count(net):
    return sum(p.numel() for p in net.parameters())


%s = count(UNetModel(in_features, out_features)) - count(UNetModel())"""


WORDINGS: dict[str, Wording] = {
    "resnet-architecture.1": Wording(
        {
            "en": (
                "Count to {layers}",
                ("ResNet-34 has 3, 4, 6 and 3", "A ResNet has {a}, {b}, {c} and {d}"),
                ("`ResNet34()`", "`ResNet(BasicBlock, [{a}, {b}, {c}, {d}])`"),
            )
        },
        """\
from backbone.resnet import BasicBlock, ResNet

net = ResNet(BasicBlock, list(blocks), width=8)
names = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
main_path = [name for name in names if "downsample" not in name]
counted = {"modules": len(names), "main path": len(main_path)}""",
        lambda numbers: {
            "layers": 2 * sum(numbers["blocks"]) + 2,
            **dict(zip("abcd", numbers["blocks"], strict=True)),
        },
    ),
    "resnet-architecture.2": Wording(
        {"en": ("{height} pixels high and {width} wide",)},
        """\
out = record_features(ResNet18(width=8), torch.zeros(1, 3, height, width), ["layer4"])["layer4"]
shape = (512, *out.shape[2:])  # the width of the network changes channels, never sizes""",
    ),
    "resnet-architecture.3": Wording(
        {
            "en": (
                (
                    "of `layer3.0` with nothing but the listing: it reads 128 channels and "
                    "writes 256.",
                    "of `BasicBlock({in_planes}, {planes}, stride=2)` with nothing but the listing "
                    "of such a block: it reads {in_planes} channels and writes {planes}.",
                ),
            )
        },
        """\
from backbone.resnet import BasicBlock

block = BasicBlock(in_planes, planes, stride=2)
shortcut = sum(p.numel() for p in block.downsample.parameters())
total = sum(p.numel() for p in block.parameters())
counted = {"main path": total - shortcut, "shortcut": shortcut}""",
    ),
    "residual-blocks.3": Wording(
        {
            "en": (
                "a bottleneck with {wide} channels",
                "`Bottleneck({wide}, {narrow})`",
                (
                    "the round number that the authors chose",
                    "{narrow}, the round number that the authors' rule gives",
                ),
            )
        },
        """\
bottleneck = Bottleneck(wide, wide // 4)
goal = sum(m.weight.numel() for m in bottleneck.modules() if isinstance(m, nn.Conv2d))
channels = min(range(1, wide + 1), key=lambda c: abs(2 * 9 * c * c - goal))""",
        lambda numbers: {"narrow": numbers["wide"] // 4},
    ),
    "resnet-implementation.3": Wording(
        {
            "en": (
                ("Small grey images", "Small images"),
                (
                    "grey images of 32×32 pixels in three classes",
                    "images of 32×32 pixels with {channels} channel{s} in {classes} classes",
                ),
                "`width={width}`",
            )
        },
        """\
small_resnet = ResNet18(num_classes=classes, in_channels=channels, width=width)
small_resnet.conv1 = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
small_resnet.maxpool = nn.Identity()""",
        lambda numbers: {"s": "" if numbers["channels"] == 1 else "s"},
    ),
    "degradation.1": Wording(
        {
            "en": (
                (
                    "in this chapter's networks,",
                    "in networks like this chapter's, but of widths {width}, {double} and "
                    "{fourfold},",
                ),
                "at 20 and at {depth} layers",
                "does C have at {depth} layers",
                "Widths are {width}, {double}, {fourfold}; at {depth} layers a stage has {blocks}",
                "more than B at {depth} layers",
            )
        },
        """\
total = {
    option: sum(p.numel() for p in CifarResNet(depth, option, width=width).parameters())
    for option in "ABC"
}
extra = {"B": total["B"] - total["A"], "C": total["C"] - total["B"]}""",
        lambda numbers: {
            "double": 2 * numbers["width"],
            "fourfold": 4 * numbers["width"],
            "blocks": (numbers["depth"] - 2) // 6,
        },
    ),
    "degradation.2": Wording(
        {
            "en": (
                "a plain network of {depth} layers",
                "not in the file, say {training_seed},",
                "Between plain-{below} and plain-{above}.",
                '"seed": {training_seed}',
            )
        },
        """\
seed_everything(training_seed)
net = CifarResNet(depth, None, **setting)
fit(net, train, test, **{**recipe, "seed": training_seed})
found = 100 * (1 - evaluate(net, *train)["score"])""",
        lambda numbers: {
            "below": max(d for d in (8, 20, 32, 44, 56) if d < numbers["depth"]),
            "above": min(d for d in (8, 20, 32, 44, 56) if d > numbers["depth"]),
        },
    ),
    "unet-architecture.1": Wording(
        {"en": (_SIZE, "one {height}×{width} image")},
        _SHAPES % '"encode_layer3", "encode_decode_layer", "decode_layer2"',
    ),
    "unet-architecture.2": Wording(
        {
            "en": (
                ("Colour in, four classes out", "{in_features} channels in, {out_features} out"),
                _U_NET,
            )
        },
        _PRICE % "more",
    ),
    "unet-architecture.3": Wording(
        {
            "en": (
                "a map of ones, {side}×{side}, meets a kernel of ones with stride {stride}.",
                "For a {stride}×{stride} kernel every value",
                "appear for a {kernel}×{kernel} kernel",
                "torch.ones(1, 1, {side}, {side}), torch.ones(1, 1, {kernel}, {kernel}), "
                "stride={stride}",
            )
        },
        """\
ones = torch.ones(1, 1, side, side)
stamps = F.conv_transpose2d(ones, torch.ones(1, 1, kernel, kernel), stride=stride)
values, counts = stamps.unique(return_counts=True)
found = dict(zip(values.tolist(), counts.tolist()))""",
    ),
    "unet-architecture.4": Wording(
        {
            "en": (
                (
                    "all 512×512 pixels of the nuclei image",
                    "all {wanted}×{wanted} pixels of an image",
                ),
                "output is at least {wanted}",
            )
        },
        """\
side = next(s for s in range(188, 2000, 16) if paper_output_size(s) >= wanted)
tile_plan = {"side": side, "mirrored": (side - wanted) // 2}""",
    ),
    "unet-implementation.1": Wording(
        {"en": (_SIZE, "two images of 1×{height}×{width}")},
        _SHAPES % '"encode_decode_layer", "decode_layer2"',
    ),
    "unet-implementation.2": Wording(
        {
            "en": (
                ("Colour in, five classes out", "{in_features} channels in, {out_features} out"),
                (
                    "for colour images and five classes per pixel",
                    "for images with {in_features} channels and {out_features} classes per pixel",
                ),
                (
                    "reads two more channels. The final 1×1 has three more outputs,",
                    "reads more channels. The final 1×1 has more outputs,",
                ),
            )
        },
        _PRICE % "extra",
    ),
    "unet-implementation.3": Wording(
        {"en": (("`UNetModel()`", _SIZE),)},
        """\
net = UNetModel(init_features=features)
reading = sum(9 * c * c for c in (features, 2 * features, 4 * features, 8 * features))
cost = {"weights": reading, "share": reading / sum(p.numel() for p in net.parameters())}""",
    ),
    "segmentation.3": Wording(
        {
            "en": (
                "sigma={first})",
                "Then try sigma {second}.",
                "{{{first}: IoU after sigma {first}, {second}: IoU after sigma {second}}}",
            )
        },
        """\
from skimage.filters import gaussian


def blurred_iou(sigma):
    left, right = (
        torch.from_numpy(gaussian(side.image[0].numpy(), sigma=sigma))[None]
        for side in (train, test)
    )
    t = max(levels, key=lambda t: iou(brighter(left, t), train.mask))
    return iou(brighter(right, t), test.mask)


blurred = {sigma: blurred_iou(sigma) for sigma in sigmas}""",
        lambda numbers: dict(zip(("first", "second"), numbers["sigmas"], strict=True)),
    ),
    "segmentation.2": Wording(
        {
            "en": (
                "a margin of {margin} makes a window of t + {both}.",
                ("no more than twice the pixels", "no more than {times} times the pixels"),
                (
                    "Then check that such a tile gives the whole image's scores.",
                    "What happens to this tile if the margin grows?",
                ),
                "(t + {both})² ≤ {times}·t²",
            )
        },
        "t = next(t for t in range(16, 9999, 16) if (t + 2 * margin) ** 2 <= times * t**2)",
        lambda numbers: {"both": 2 * numbers["margin"]},
    ),
    "backbone-swap.1": Wording(
        {
            "en": (
                "`ResNetUNet(ResNet{depth}(width={planes}))` and a colour image of "
                "{height}×{width}.",
                (
                    "Which skip is *not* four times as deep as in a ResNet-18 of that width, "
                    "and why?",
                    "{follow_up}",
                ),
            )
        },
        """\
from backbone import resnet
from backbone.anatomy import record_features

deep = ResNetUNet(getattr(resnet, f"ResNet{depth}")(width=planes))
stages = [*(f"encode_layer{i}" for i in (1, 2, 3, 4)), "encode_decode_layer"]
maps = record_features(deep, torch.zeros(1, 3, height, width), stages)
shapes = [tuple(maps[stage].shape[1:]) for stage in stages]""",
        lambda numbers: {
            "follow_up": "How do they differ from those of a ResNet-18 of that width, and why?"
            if numbers["depth"] < 50
            else "Which skip is *not* four times as deep as in a ResNet-18 of that width, and why?"
        },
    ),
    "backbone-swap.4": Wording(
        {"en": ("with {count} labelled tiles", "for {count} tiles, to two digits")},
        """\
def iou_of(model):
    return results.values("iou", model=model, tiles=tiles, lr=None)


four = {
    "threshold": threshold_iou,
    "scratch": mean(iou_of(plain)),
    "random, frozen": mean(iou_of(cold_frozen)),
    "worst seed": min(iou_of(warm)),
}""",
        lambda numbers: {"count": _in_words(numbers["tiles"])},
    ),
}
