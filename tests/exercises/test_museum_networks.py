"""The checks of the bug museum, rooms 1 and 2: repairs of several kinds, and repairs that fail."""

import copy

import pytest
import torch
from right_and_wrong import meets, passes
from torch import nn
from torch.nn import functional as F

from backbone.exercises import check
from backbone.exercises.museum import silence, verdict
from backbone.exercises.museum_networks import disguise
from backbone.resnet import BasicBlock, Bottleneck, ResNet18, conv1x1, conv3x3
from backbone.variants import BottleneckV1, PlainBlock

# --- what the exhibits share ---------------------------------------------------------------------


def test_verdict_is_one_line(capsys):
    def test_small(number):
        assert number < 3, f"{number} is not small\nand this is a second line"

    def test_silent(number):
        assert number < 3

    for test, thing in [(test_small, 2), (test_small, 5), (test_silent, 5), (test_small, "x")]:
        verdict(test, thing)
    verdict(test_small, ...)
    verdict(lambda block: None, BasicBlock)
    verdict(test_small, int)
    said = capsys.readouterr().out
    print(said)
    assert said.splitlines() == [
        "✓ test_small",
        "✗ test_small: 5 is not small",
        "✗ test_silent: " + said.splitlines()[2].partition(": ")[2],
        "✗ test_small: TypeError: '<' not supported between instances of 'str' and 'int'",
        "… test_small: No answer yet. Put yours in place of the three dots and run the cell again.",
        "✓ <lambda>(BasicBlock)",
        "✗ test_small(int): TypeError: '<' not supported between instances of 'type' and 'int'",
    ]
    with pytest.raises(TypeError, match="the test itself"):
        verdict(None, 2)


def test_a_silent_block_is_its_shortcut():
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(silence(BasicBlock(8, 8))(x), x.relu())
    assert torch.equal(silence(BasicBlock(8, 8)).eval()(x), x.relu())
    with_bias = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))
    assert not silence(with_bias)(x).any()
    with pytest.raises(ValueError, match="no 3×3 convolution"):
        silence(conv1x1(8, 8))


# --- 1 -------------------------------------------------------------------------------------------


class Thrifty(nn.Module):
    def __init__(self, planes, first=True, second=True):
        super().__init__()
        self.f = nn.Sequential(
            nn.ReLU(inplace=first),
            conv3x3(planes, planes),
            nn.ReLU(inplace=second),
            conv3x3(planes, planes),
        )

    def forward(self, x):
        return x + self.f(x)


def thrifty(forward):
    return type("Fixed", (Thrifty,), {"forward": forward})


def test_block_that_saves_memory():
    class OwnNames(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.one = nn.Conv2d(channels, channels, 3, padding=1)
            self.two = nn.Conv2d(channels, channels, 3, padding=1)

        def forward(self, maps):
            return self.two(F.relu(self.one(F.relu(maps)))).add_(maps)

    passes(
        "bug-museum.1",
        [
            lambda planes: Thrifty(planes, first=False),
            lambda planes: Thrifty(planes, first=False, second=False),
            thrifty(lambda b, x: x + b.f(x.clone())),
            OwnNames,
        ],
    )
    rest = slice(1, None)
    meets(
        "bug-museum.1",
        {
            "still-in-place": [
                Thrifty,
                lambda planes: Thrifty(planes, second=False),
                thrifty(lambda b, x: x.clone() * 0 + b.f(x) + x),
            ],
            "shortcut-rectified": [
                thrifty(lambda b, x: (y := x.relu()) + b.f[rest](y)),
                thrifty(lambda b, x: b.f(y := x.clone()) + y),
            ],
            "caller-overwritten": [thrifty(lambda b, x: x.clone() + b.f(x))],
            "first-relu-gone": [thrifty(lambda b, x: x + b.f[rest](x))],
            "second-relu-gone": [thrifty(lambda b, x: x + b.f[3](b.f[1](x.relu())))],
            "both-relus-gone": [thrifty(lambda b, x: x + b.f[3](b.f[1](x)))],
            "relu-at-the-end": [thrifty(lambda b, x: (x + b.f(x.clone())).relu())],
            "no-addition": [thrifty(lambda b, x: b.f(x.clone()))],
            "gradient-cut": [thrifty(lambda b, x: x.detach() + b.f(x.clone()))],
            "other-layers": [lambda planes: nn.Sequential(conv3x3(planes, planes))],
            "not-a-module": [lambda planes: conv3x3(planes, planes).forward],
            "no-tensor": [thrifty(lambda b, x: None)],
            "called-too-early": [Thrifty(4)],
            "raises": [thrifty(lambda b: None)],
            "other": [thrifty(lambda b, x: x - b.f(x.clone()))],
        },
    )


# --- 2 to 4 --------------------------------------------------------------------------------------


def parts(block, x):
    """(x, F(x), shortcut) of a basic block."""
    inner = block.bn1(block.conv1(x)).relu()
    shortcut = x if block.downsample is None else block.downsample(x)
    return x, block.bn2(block.conv2(inner)), shortcut


def basic(way):
    """A BasicBlock that joins (x, F(x), shortcut) in another way."""
    return type("Fixed", (BasicBlock,), {"forward": lambda b, x: way(*parts(b, x))})


class FromScratch(nn.Module):
    """The right block, with names of its own and everything out of place."""

    def __init__(self, i, o, s=1):
        super().__init__()
        self.keeps = i == o and s == 1
        self.way = nn.Sequential(
            nn.Conv2d(i, o, 3, s, 1, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(),
            nn.Conv2d(o, o, 3, 1, 1, bias=False),
            nn.BatchNorm2d(o),
        )
        if not self.keeps:
            self.side = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return torch.relu(self.way(x) + (x if self.keeps else self.side(x)))


class SilentStart(BasicBlock):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        nn.init.zeros_(self.bn2.weight)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_right_blocks_pass_however_they_are_written(number):
    summed = basic(lambda x, f, s: F.relu(s + f))
    passes(f"bug-museum.{number}", [BasicBlock, FromScratch, summed, SilentStart])


def norm(x):
    return F.batch_norm(x, None, None, training=True)


def test_always_a_little_more():
    class NormAfter(BasicBlock):
        def forward(self, x):
            out = self.conv2(self.bn1(self.conv1(x)).relu())
            return self.bn2(out + (x if self.downsample is None else self.downsample(x))).relu()

    meets(
        "bug-museum.2",
        {
            "relu-before": [basic(lambda x, f, s: f.relu() + s)],
            "relu-twice": [basic(lambda x, f, s: (f.relu() + s).relu())],
            "no-relu": [basic(lambda x, f, s: f + s)],
            "relu-on-shortcut": [basic(lambda x, f, s: f + s.relu())],
            "norm-after": [NormAfter],
            "no-addition": [PlainBlock, basic(lambda x, f, s: f.relu())],
            "other": [basic(lambda x, f, s: (f - s).relu())],
            "changes-its-input": [basic(lambda x, f, s: (x.mul_(2) * 0 + f).relu())],
            "no-tensor": [basic(lambda x, f, s: None)],
            "shapes-part": [basic(lambda x, f, s: (f + x).relu())],
            "raises": [lambda i, o: BasicBlock(i, o)],
            "other-layers": [Bottleneck],
        },
    )


def projected(make):
    """A BasicBlock whose projection, if it has one, is made by make(in_planes, planes, stride)."""

    class Fixed(BasicBlock):
        def __init__(self, i, o, s=1):
            super().__init__(i, o, s)
            if self.downsample is not None:
                self.downsample = make(i, o, s)

    return Fixed


def test_louder_and_louder():
    class SharedNorm(projected(conv1x1)):
        def forward(self, x):
            out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
            return (out + (x if self.downsample is None else self.bn2(self.downsample(x)))).relu()

    class NormAfter(projected(conv1x1)):
        def forward(self, x):
            x, f, s = parts(self, x)
            return norm(f + s).relu() if self.downsample is not None else (f + s).relu()

    class NormMoved(projected(conv1x1)):
        def forward(self, x):
            out = self.conv2(self.bn1(self.conv1(x)).relu())
            return self.bn2(out + (x if self.downsample is None else self.downsample(x))).relu()

    class EveryShortcut(BasicBlock):
        def __init__(self, i, o, s=1):
            super().__init__(i, o, s)
            if self.downsample is None:
                self.downsample = nn.BatchNorm2d(o)

    sequence = nn.Sequential
    meets(
        "bug-museum.3",
        {
            "still-loud": [projected(conv1x1)],
            "norm-before": [
                projected(lambda i, o, s: sequence(nn.BatchNorm2d(i), conv1x1(i, o, s)))
            ],
            "norm-on-the-sum": [NormAfter],
            "norm-on-the-raw-sum": [NormMoved],
            "relu-on-shortcut": [
                projected(lambda *z: sequence(conv1x1(*z), nn.BatchNorm2d(z[1]), nn.ReLU()))
            ],
            "shared-norm": [SharedNorm],
            "identity-normalised": [EveryShortcut],
            "other-layers": [projected(lambda i, o, s: sequence(conv3x3(i, o, s)))],
            "projection-gone": [projected(lambda i, o, s: nn.MaxPool2d(2)), PlainBlock],
            "shapes-part": [projected(lambda i, o, s: sequence(conv1x1(i, o), nn.BatchNorm2d(o)))],
            "other": [projected(lambda i, o, s: sequence(conv1x1(i, o, s), nn.GroupNorm(1, o)))],
        },
    )


def test_trains_like_a_plain_one():
    class Cautious(BasicBlock):
        def forward(self, x):
            _, f, s = parts(self, x)
            return (f if self.downsample is None else f + s).relu()

    class OnlyIdentity(BasicBlock):
        def forward(self, x):
            _, f, s = parts(self, x)
            return (f + s if self.downsample is None else f).relu()

    class Everywhere(BasicBlock):
        def __init__(self, i, o, s=1):
            super().__init__(i, o, s)
            self.downsample = nn.Sequential(conv1x1(i, o, s), nn.BatchNorm2d(o))

    meets(
        "bug-museum.4",
        {
            "still-missing": [Cautious, PlainBlock],
            "projection-missing": [OnlyIdentity],
            "projection-everywhere": [Everywhere],
            "added-twice": [basic(lambda x, f, s: (f + s + s).relu())],
            "after-the-relu": [basic(lambda x, f, s: f.relu() + s)],
            "no-relu": [basic(lambda x, f, s: f + s)],
            "halved": [basic(lambda x, f, s: ((f + s) / 2).relu())],
            "shapes-part": [basic(lambda x, f, s: (f + x).relu())],
            "shape": [basic(lambda x, f, s: torch.cat([f, s], 1))],
        },
    )


# --- 5 -------------------------------------------------------------------------------------------


def stages(strides, channels=lambda width, stage: width * 2**stage):
    """A repair from a rule: stride of block `i` of `n` in a stage."""

    def fixed(num_blocks, width):
        blocks, planes = [], width
        for stage, n in enumerate(num_blocks):
            for i in range(n):
                wide = channels(width, stage)
                blocks.append(BasicBlock(planes, wide, strides(stage, i, n)))
                planes = wide
        return nn.Sequential(*blocks)

    return fixed


def test_expensive_resnet():
    def halving(stage, i, n):
        return 2 if stage and i == 0 else 1

    def unrolled(num_blocks, width):
        blocks = [BasicBlock(width, width) for _ in range(num_blocks[0])]
        for n in num_blocks[1:]:
            blocks += [BasicBlock(width, 2 * width, 2)]
            width *= 2
            blocks += [BasicBlock(width, width) for _ in range(n - 1)]
        return nn.Sequential(*blocks)

    passes("bug-museum.5", [stages(halving), unrolled])

    def late(stage, i, n):  # the last block of a stage halves for the next one
        return 2 if i == n - 1 and stage < 3 else 1

    def lists(num_blocks, width):
        return nn.ModuleList(stages(halving)(num_blocks, width))

    meets(
        "bug-museum.5",
        {
            "only-once": [stages(lambda stage, i, n: 2 if stage == i == 0 else 1)],
            "never": [stages(lambda stage, i, n: 1)],
            "every-block": [
                stages(lambda stage, i, n: 2 if stage else 1),
                stages(lambda stage, i, n: 2),
            ],
            "first-stage-too": [stages(lambda stage, i, n: 2 if i == 0 else 1)],
            "at-the-end": [stages(late)],
            "channels": [stages(halving, lambda width, stage: width)],
            "how-many": [lambda num_blocks, width: stages(halving)([1, 1, 1, 1], width)],
            "not-a-sequential": [lists, lambda num_blocks, width: None],
            "called-too-early": [stages(halving)([2, 2, 2, 2], 4)],
            "raises": [lambda num_blocks: None],
            "other": [stages(lambda stage, i, n: 2 if stage > 1 and i == 0 else 1)],
        },
    )


# --- 6 -------------------------------------------------------------------------------------------


def bottleneck(change):
    """A repair by changing a Bottleneck: change(block, in_planes, planes, stride)."""

    class Fixed(Bottleneck):
        def __init__(self, i, o, s=1):
            super().__init__(i, o, s)
            change(self, i, o, s)

    return Fixed


def set_strides(one, three, last):
    def change(b, i, o, s):
        b.conv1, b.conv2 = conv1x1(i, o, s**one), conv3x3(o, o, s**three)
        b.conv3 = conv1x1(o, 4 * o, s**last)

    return bottleneck(change)


def test_stars_that_go_out():
    def pooled(b, i, o, s):
        b.conv2 = nn.Sequential(nn.AvgPool2d(s), conv3x3(o, o))

    def wide(b, i, o, s):
        b.conv1, b.conv2 = conv3x3(i, o, s), conv3x3(o, o)

    def shortcut_alone(b, i, o, s):
        b.conv1, b.conv2 = conv1x1(i, o, s), conv3x3(o, o)
        b.downsample = nn.Sequential(nn.AvgPool2d(s), conv1x1(i, 4 * o), nn.BatchNorm2d(4 * o))

    def shortcut_too(b, i, o, s):
        b.downsample = nn.Sequential(nn.AvgPool2d(s), conv1x1(i, 4 * o), nn.BatchNorm2d(4 * o))

    def always_two(b, i, o, s):
        b.conv2 = conv3x3(o, o, 2)
        b.downsample = nn.Sequential(conv1x1(i, 4 * o, 2), nn.BatchNorm2d(4 * o))

    def without_stride(b, i, o, s):
        b.conv2 = conv3x3(o, o)
        b.downsample = nn.Sequential(conv1x1(i, 4 * o), nn.BatchNorm2d(4 * o))

    def with_bias(b, i, o, s):
        b.conv2 = nn.Conv2d(o, o, 3, s, 1)

    passes("bug-museum.6", [Bottleneck, set_strides(0, 1, 0), bottleneck(pooled)])
    meets(
        "bug-museum.6",
        {
            "still-unread": [set_strides(1, 0, 0), BottleneckV1],
            "stride-on-the-last": [set_strides(0, 0, 1)],
            "only-the-shortcut": [bottleneck(shortcut_alone)],
            "shortcut-changed": [bottleneck(shortcut_too)],
            "other-kernels": [bottleneck(wide), BasicBlock],
            "shapes-part": [set_strides(0, 0, 0), set_strides(1, 1, 0)],
            "shape": [bottleneck(without_stride), bottleneck(always_two)],
            "parameters": [bottleneck(with_bias)],
        },
    )


# --- 7 -------------------------------------------------------------------------------------------


def test_stage_that_never_grew():
    def by_list(planes, n):
        return nn.Sequential(*(BasicBlock(planes, planes) for _ in range(n)))

    def by_loop(planes, n):
        net = nn.Sequential()
        for i in range(n):
            net.add_module(f"block{i}", BasicBlock(planes, planes))
        return net

    class InAList(nn.Module):
        def __init__(self, planes, n, kind=nn.ModuleList):
            super().__init__()
            self.blocks = kind(by_list(planes, n))

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    passes("bug-museum.7", [by_list, by_loop, InAList])

    def shared(planes, n):
        return nn.Sequential(*[BasicBlock(planes, planes)] * n)

    def first_apart(planes, n):
        return nn.Sequential(BasicBlock(planes, planes), *shared(planes, n - 1))

    def copies(planes, n):
        one = BasicBlock(planes, planes)
        return nn.Sequential(*(copy.deepcopy(one) for _ in range(n)))

    meets(
        "bug-museum.7",
        {
            "shared": [shared],
            "partly-shared": [first_apart],
            "same-start": [copies],
            "not-registered": [lambda planes, n: InAList(planes, n, list)],
            "not-a-module": [lambda planes, n: list(by_list(planes, n))],
            "how-many": [lambda planes, n: by_list(planes, n + 1), lambda p, n: BasicBlock(p, p)],
            "called-too-early": [by_list(8, 2)],
            "raises": [lambda planes: None],
        },
    )


# --- 8 -------------------------------------------------------------------------------------------

NAMES = {"module.": "", "shortcut": "downsample", "linear.": "fc."}


def translated(checkpoint, names=NAMES):
    found = {}
    for name, value in checkpoint.items():
        for old, new in names.items():
            name = name.replace(old, new)
        found[name] = value
    return found


def loading(names, strict=False):
    def fixed(net, checkpoint):
        net.load_state_dict(translated(checkpoint, names), strict=strict)
        return net.eval()

    return fixed


def test_loaded_without_a_word():
    def one_by_one(net, checkpoint):
        checkpoint = translated(checkpoint)
        own = net.state_dict()
        if own.keys() != checkpoint.keys():
            raise KeyError("the names differ")
        for name, value in checkpoint.items():
            own[name].copy_(value)
        return net.eval()

    def by_reading_the_report(net, checkpoint):
        report = net.load_state_dict(translated(checkpoint), strict=False)
        assert not report.missing_keys and not report.unexpected_keys
        return net.eval()

    passes("bug-museum.8", [loading(NAMES, strict=True), one_by_one, by_reading_the_report])

    def without(*left_out):
        return {old: new for old, new in NAMES.items() if old not in left_out}

    def parameters_alone(net, checkpoint):
        checkpoint = translated(checkpoint)
        for name, value in net.named_parameters():
            value.data = checkpoint[name]
        return net.eval()

    def no_return(net, checkpoint):
        loading(NAMES, strict=True)(net, checkpoint)

    meets(
        "bug-museum.8",
        {
            "nothing-loaded": [
                loading({}),
                loading(without("module.")),
                lambda net, checkpoint: net,
            ],
            "projections-and-classifier": [loading(without("shortcut", "linear."))],
            "projections": [loading(without("shortcut"))],
            "classifier": [loading(without("linear."))],
            "statistics": [parameters_alone],
            "train-mode": [lambda net, c: loading(NAMES, strict=True)(net, c).train()],
            "still-silent": [loading(NAMES)],
            "no-network": [no_return],
            "raises": [loading({}, strict=True), lambda net: net],
            "other": [loading({**NAMES, "layer2": "layer5"})],
        },
    )


def test_the_disguise_hides_every_tensor_and_nothing_else():
    state = ResNet18(in_channels=1, width=4).state_dict()
    hidden = disguise(state)
    assert not hidden.keys() & state.keys() and len(hidden) == len(state)
    back = translated(hidden)
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_checks_leave_the_readers_random_numbers_alone():
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    right = {1: lambda planes: Thrifty(planes, first=False), 2: BasicBlock, 6: Bottleneck}
    for number, answer in right.items():
        check(f"bug-museum.{number}", answer)
    check("bug-museum.8", loading(NAMES, strict=True))
    assert torch.equal(torch.rand(3), wanted)
