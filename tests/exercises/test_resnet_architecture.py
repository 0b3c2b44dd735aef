"""The checks of "ResNet: the architecture": several right answers, and the slips that are made."""

import functools

import pytest
import torch
from right_and_wrong import meets, passes
from torch import nn

from backbone.anatomy import layer_table, record_features
from backbone.exercises import check, question, resnet_architecture  # noqa: F401 (registers)
from backbone.resnet import BasicBlock, ResNet, ResNet18

PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")


def counted(modules, main):
    return {"modules": modules, "main path": main}


def test_count_to_34():
    passes(
        "resnet-architecture.1",
        [counted(36, 33), counted(36.0, torch.tensor(33)), {"main path": 33, "modules": 36}],
    )
    meets(
        "resnet-architecture.1",
        {
            "swapped": [counted(33, 36)],
            "linear-counted": [counted(37, 34), counted(36, 34)],
            "stem-forgotten": [counted(35, 32)],
            "blocks-for-convolutions": [counted(20, 17), counted(19, 16)],
            "projections-forgotten": [counted(33, 33)],
            "all-on-main-path": [counted(36, 36)],
            "first-stage-projects": [counted(37, 33)],
            "every-shortcut": [counted(49, 33)],
            "projections-miscounted": [counted(35, 33)],
            "not-these-names": [36, (36, 33), {"modules": 36}],
            "not-a-number": [counted("36", 33)],
            "other": [counted(40, 30)],
        },
    )


@pytest.mark.parametrize(
    "open_answer",
    [
        ("resnet-architecture.1", counted(..., ...)),
        ("resnet-architecture.1", counted(36, ...)),
        ("resnet-architecture.2", (512, ..., ...)),
        ("resnet-architecture.3", {"main path": ..., "shortcut": ...}),
        (
            "resnet-architecture.5",
            {**dict.fromkeys(PARTS, ...), "total": ..., "held back by": ...},
        ),
    ],
    ids=lambda given: given[0],
)
def test_dots_inside_an_answer_wait(open_answer):
    assert not check(*open_answer).answered


def test_every_class_counts_other_blocks():
    assert question("resnet-architecture.1") == {"blocks": (3, 4, 6, 3)}
    seen = set()
    for seed in range(1, 13):
        blocks = question("resnet-architecture.1", seed=seed)["blocks"]
        net = ResNet(BasicBlock, list(blocks), width=4)
        names = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d)]
        main = [name for name in names if "downsample" not in name]
        passes("resnet-architecture.1", [counted(len(names), len(main))], seed=seed)
        meets(
            "resnet-architecture.1",
            {
                "stem-forgotten": [counted(len(names) - 1, len(main) - 1)],
                "linear-counted": [counted(len(names), len(main) + 1)],
                "first-stage-projects": [counted(len(names) + 1, len(main))],
                "every-shortcut": [counted(len(main) + sum(blocks), len(main))],
            },
            seed=seed,
        )
        seen.add(blocks)
    assert len(seen) > 8


def test_not_square():
    passes(
        "resnet-architecture.2",
        [(512, 7, 10), [512, 7, 10], torch.Size([1, 512, 7, 10]), (512.0, 7.0, 10.0)],
    )
    meets(
        "resnet-architecture.2",
        {
            "rounded-down": [(512, 6, 9)],
            "turned-round": [(512, 10, 7)],
            "number-of-halvings": [(512, 13, 19), (512, 4, 5)],
            "channels-missing": [(7, 10), (7, 10, 512, 1, 1)],
            "channels-last": [(7, 10, 512)],
            "channels": [(256, 7, 10), (2048, 7, 10), (1, 3, 7, 10)],
            "as-if-224": [(512, 7, 7)],
            "after-pooling": [(512, 1, 1)],
            "not-a-shape": [512, "512×7×10", torch.zeros(1, 512, 7, 10)],
            "not-a-number": [("512", 7, 10)],
            "other": [(512, 7, 9), (512, 6, 10)],
        },
    )


def test_every_class_gets_another_photograph():
    assert question("resnet-architecture.2") == {"height": 200, "width": 300}
    net, sizes = ResNet18().to("meta"), set()
    for seed in range(1, 13):
        h, w = question("resnet-architecture.2", seed=seed).values()
        image = torch.zeros(1, 3, h, w, device="meta")
        shape = tuple(record_features(net, image, ["layer4"])["layer4"].shape[1:])
        passes("resnet-architecture.2", [shape], seed=seed)
        c, *sides = shape
        meets(
            "resnet-architecture.2",
            {
                "rounded-down": [(c, h // 32, w // 32)],
                "turned-round": [(c, *sides[::-1])],
                "number-of-halvings": [(c, -(-h // 16), -(-w // 16))],
            },
            seed=seed,
        )
        sizes.add((h, w))
    assert len(sizes) > 8


def block(main, shortcut):
    return {"main path": main, "shortcut": shortcut}


def test_parameters_by_hand():
    first, second, small = 128 * 256 * 9, 256 * 256 * 9, 128 * 256
    main, shortcut = first + second + 4 * 256, small + 2 * 256
    passes(
        "resnet-architecture.3",
        [block(main, shortcut), block(float(main), torch.tensor(shortcut))],
    )
    meets(
        "resnet-architecture.3",
        {
            "swapped": [block(shortcut, main)],
            "shortcut-in-main-path": [block(main + shortcut, shortcut)],
            "batch-norm": [
                block(first + second, small),
                block(main, small),
                block(first + second + 2 * 256, small + 256),
            ],
            "statistics-counted": [block(main + 4 * 256, shortcut + 2 * 256)],
            "bias": [block(main + 2 * 256, shortcut + 256)],
            "same-convolution-twice": [
                block(2 * first + 4 * 256, shortcut),
                block(2 * second + 4 * 256, shortcut),
            ],
            "kernel": [
                block(128 * 256 + 256 * 256 + 4 * 256, shortcut),
                block(3 * (128 * 256 + 256 * 256) + 4 * 256, shortcut),
            ],
            "kernel-on-shortcut": [block(main, first + 2 * 256)],
            "empty-shortcut": [block(main, 0)],
            "share": [block(main, shortcut / (main + shortcut))],
            "not-these-names": [main + shortcut, {"main": main, "shortcut": shortcut}],
            "not-a-number": [block(main, str(shortcut))],
            "other": [block(main, shortcut + 1), block(1, shortcut)],
        },
    )


def test_every_class_gets_another_block():
    assert question("resnet-architecture.3") == {"in_planes": 128, "planes": 256}
    seen = set()
    for seed in range(1, 13):
        i, p = question("resnet-architecture.3", seed=seed).values()
        main, shortcut = 9 * p * (i + p) + 4 * p, i * p + 2 * p
        passes("resnet-architecture.3", [block(main, shortcut)], seed=seed)
        meets(
            "resnet-architecture.3",
            {
                "batch-norm": [block(9 * p * (i + p), i * p)],
                "bias": [block(main + 2 * p, shortcut + p)],
                "same-convolution-twice": [block(18 * i * p + 4 * p, shortcut)],
                "kernel-on-shortcut": [block(main, 9 * i * p + 2 * p)],
            },
            seed=seed,
        )
        seen.add(i)
    assert len(seen) > 3


def walk(step, start=(1, 1), give=0):
    def field(layers):
        r, j = start
        for k, s in layers:
            r, j = step(r, j, k, s)
        return (r, j)[give] if give is not None else (r, j)

    return field


def test_receptive_field_by_hand():
    def backwards(layers):
        side = 1
        for kernel, stride in reversed(layers):
            side = (side - 1) * stride + kernel
        return side

    def emptying(layers):
        r = j = 1
        while layers:
            k, s = layers.pop(0)
            r, j = r + (k - 1) * j, j * s
        return torch.tensor(r)

    right = walk(lambda r, j, k, s: (r + (k - 1) * j, j * s))
    passes("resnet-architecture.4", [right, backwards, emptying])
    meets(
        "resnet-architecture.4",
        {
            "multiplied-first": [walk(lambda r, j, k, s: (r + (k - 1) * (j * s), j * s))],
            "stride-forgotten": [
                walk(lambda r, j, k, s: (r + k - 1, j)),
                lambda layers: 1 + sum(k - 1 for k, _ in layers),
            ],
            "jump-not-kept": [walk(lambda r, j, k, s: (r + (k - 1) * j, s))],
            "strides-added": [walk(lambda r, j, k, s: (r + (k - 1) * j, j + s - 1))],
            "whole-kernel": [walk(lambda r, j, k, s: (r + k * j, j * s))],
            "starts-at-zero": [walk(lambda r, j, k, s: (r + (k - 1) * j, j * s), (0, 1))],
            "jump-returned": [walk(lambda r, j, k, s: (r + (k - 1) * j, j * s), give=1)],
            "kernels-multiplied": [walk(lambda r, j, k, s: (r * k, j))],
            "tuple": [walk(lambda r, j, k, s: (r + (k - 1) * j, j * s), give=None)],
            "no-return": [lambda layers: None],
            "not-a-number": [lambda layers: "67"],
            "called-too-early": [67],
            "raises": [lambda stem, layers: 67, lambda layers: layers["stem"]],
            "other": [lambda layers: 67],
        },
    )


@functools.cache
def measured(num_classes=1000, what="parameters"):
    def rows(width):
        net = ResNet18(num_classes=num_classes, width=width).to("meta")
        table = layer_table(net, (1, 3, 224, 224))
        return {row.name: getattr(row, what) for row in table if row.parameters}

    wide, narrow = rows(64), rows(8)
    factor = {name: wide[name] / narrow[name] for name in wide}
    return {**factor, "total": sum(wide.values()) / sum(narrow.values())}


def held(factor, by="fc", **other):
    return {**factor, "held back by": by, **other}


def test_an_eighth_of_the_width():
    real = measured()
    rounded = {name: round(value, 1) for name, value in real.items()}
    passes("resnet-architecture.5", [held(real), held(rounded), held(real, relu=1)])
    rows = {name: value for name, value in real.items() if name != "total"}
    work = measured(what="multiply_adds")["total"]
    meets(
        "resnet-architecture.5",
        {
            "upside-down": [held({name: 1 / value for name, value in real.items()})],
            "ten-classes": [held(measured(10))],
            "same-everywhere": [held(dict.fromkeys(real, 64)), held(dict.fromkeys(real, 8))],
            "mean-of-factors": [held(real, total=sum(rows.values()) / len(rows))],
            "multiply-adds": [held(real, total=work)],
            "total": [held(real, total=64)],
            "conv1-both-sides": [held(real, conv1=64)],
            "fc": [held(real, fc=8), held(real, fc=64)],
            "not-a-row": [held(real, "biases"), held(real, "total"), held(real, None)],
            "too-small-to-matter": [held(real, "conv1"), held(real, "bn1")],
            "falls-enough": [held(real, "layer4")],
            "not-these-names": [real, 48, held({"total": 48})],
            "not-a-number": [held(real, fc="8")],
            "other": [held(real, layer2=32)],
        },
    )


def changed(**modules):
    net = ResNet18()
    for name, module in modules.items():
        setattr(net, name, module)
    return net


def conv(*arguments, **options):
    return nn.Conv2d(3, 64, *arguments, bias=False, **options)


def test_for_thirty_two_pixels():
    new, nothing = conv(3, padding=1), nn.Identity()
    edited = ResNet18(num_classes=100).eval()
    edited.conv1 = nn.Conv2d(3, 64, 3, 1, "same")
    edited.maxpool = nn.Sequential()
    training = changed(conv1=new, maxpool=nothing)
    passes(
        "resnet-architecture.6",
        [training, edited, changed(conv1=new, maxpool=nn.MaxPool2d(1))],
    )
    assert training.training and training.bn1.num_batches_tracked == 0, "left as it was"
    gone = changed(conv1=new)
    del gone.maxpool
    stages = ResNet18()
    for name in ("layer2", "layer3"):
        first = getattr(stages, name)[0]
        first.conv1.stride = first.downsample[0].stride = (1, 1)
    small = nn.MaxPool2d(3, stride=1, padding=1)
    meets(
        "resnet-architecture.6",
        {
            "stem-unchanged": [ResNet18(), changed(conv1=conv(3, stride=2, padding=1))],
            "stride-left": [
                changed(conv1=conv(3, stride=2, padding=1), maxpool=nothing),
                changed(maxpool=nothing),
            ],
            "pooling-left": [changed(conv1=new)],
            "padding": [changed(conv1=conv(3), maxpool=nothing), changed(conv1=conv(3))],
            "kernel-kept": [changed(conv1=conv(7, padding=3), maxpool=nothing)],
            "still-pools": [changed(conv1=new, maxpool=small)],
            "stages-changed": [stages],
            "channels": [changed(conv1=nn.Conv2d(1, 64, 3, padding=1), maxpool=nothing)],
            "width-of-conv1": [changed(conv1=nn.Conv2d(3, 16, 3, padding=1), maxpool=nothing)],
            "module-gone": [gone, nn.Sequential(nn.Conv2d(3, 64, 3))],
            "not-a-network": [ResNet18, "4×4", 15],
            "raises": [changed(conv1=nn.Sequential(new), maxpool=nothing)],
        },
    )
