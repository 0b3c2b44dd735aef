"""The checks of "Residual blocks": right answers of several kinds, and the slips that are made."""

import torch
from right_and_wrong import meets, passes
from torch import nn

from backbone.exercises import check, question
from backbone.resnet import BasicBlock, Bottleneck
from backbone.variants import PlainBlock


def test_decide_without_building():
    def long(kind, in_planes, planes, stride):
        keeps_size, keeps_channels = stride == 1, in_planes == planes * kind.expansion
        return not (keeps_size and keeps_channels)

    def built(*setting):
        return setting[0](*setting[1:]).downsample is not None

    short = lambda kind, i, p, s: s != 1 or i != kind.expansion * p  # noqa: E731
    passes("residual-blocks.1", [short, long, built, lambda *a: int(short(*a))])
    meets(
        "residual-blocks.1",
        {
            "stride-forgotten": [lambda k, i, p, s: i != k.expansion * p],
            "channels-forgotten": [lambda k, i, p, s: s != 1, lambda k, i, p, s: s == 2],
            "expansion-forgotten": [lambda k, i, p, s: s != 1 or i != p],
            "both-wanted": [lambda k, i, p, s: s != 1 and i != k.expansion * p],
            "turned-round": [lambda *a: not short(*a)],
            "not-a-bool": [lambda *a: None, lambda *a: "yes"],
            "raises": [lambda k, i, p: True, lambda k, i, p, s: k.planes],
            "called-too-early": [True],
            "other": [lambda *a: True],
        },
    )


def test_count_before_you_look():
    right = {"ResNet34": 3, "ResNet101": 4, "ResNet152": 4}
    passes("residual-blocks.2", [right, {k: torch.tensor(v) for k, v in right.items()}])
    meets(
        "residual-blocks.2",
        {
            "every-block": [{"ResNet34": 16, "ResNet101": 33, "ResNet152": 50}],
            "first-stage-always": [dict.fromkeys(right, 4)],
            "first-stage-never": [dict.fromkeys(right, 3)],
            "not-these-names": [3, {"ResNet34": 3}],
            "not-a-number": [{**right, "ResNet34": "three"}],
            "other": [{**right, "ResNet152": 5}],
        },
    )


def test_same_price():
    passes("residual-blocks.3", [62, 62.0, torch.tensor(62)])
    meets(
        "residual-blocks.3",
        {
            "one-convolution": [88],
            "kernel-forgotten": [187],
            "round-number": [64],
            "not-a-number": ["62", True],
            "other": [70],
        },
    )


def test_every_class_gets_its_own_price():
    assert question("residual-blocks.3") == {"wide": 256}
    for seed in range(1, 12):
        wide = question("residual-blocks.3", seed=seed)["wide"]
        goal = sum(p.numel() for p in Bottleneck(wide, wide // 4).parameters() if p.ndim == 4)
        best = min(range(1, wide), key=lambda c: abs(18 * c * c - goal))
        print(f"class {seed}: {wide} channels, answer {best}")
        assert check("residual-blocks.3", best, seed=seed).answered
    assert len({question("residual-blocks.3", seed=s)["wide"] for s in range(12)}) > 3


class ZeroPad(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))


def zero_pad(forward):
    return type("ZeroPad", (ZeroPad,), {"forward": forward})


def test_shortcut_without_parameters():
    def filled(self, x):
        y = torch.zeros(x.shape[0], self.channels, *(-(-n // self.stride) for n in x.shape[2:]))
        y[:, : x.shape[1]] = x[:, :, :: self.stride, :: self.stride]
        return y

    def pooled_by_one(self, x):
        x = nn.functional.avg_pool2d(x, 1, self.stride)
        return torch.cat([x, x.new_zeros(len(x), self.channels - x.shape[1], *x.shape[2:])], 1)

    passes("residual-blocks.4", [ZeroPad, zero_pad(filled), zero_pad(pooled_by_one)])

    def thin(x):
        return x[:, :, ::2, ::2]

    def in_place(self, x):
        x.relu_().neg_()
        return ZeroPad.forward(self, x)

    meets(
        "residual-blocks.4",
        {
            "padded-the-width": [zero_pad(lambda self, x: nn.functional.pad(thin(x), (0, 64)))],
            "repeated-channels": [zero_pad(lambda self, x: torch.cat([thin(x), thin(x)], 1))],
            "zeros-in-front": [
                zero_pad(lambda self, x: nn.functional.pad(thin(x), (0, 0, 0, 0, 64, 0)))
            ],
            "pooled": [
                zero_pad(lambda self, x: ZeroPad(128, 1)(nn.functional.max_pool2d(x, 2))),
                zero_pad(lambda self, x: ZeroPad(128, 1)(nn.functional.avg_pool2d(x, 2))),
            ],
            "shape": [zero_pad(lambda self, x: thin(x)), zero_pad(lambda self, x: x)],
            "has-parameters": [lambda c, s: nn.Conv2d(64, c, 1, s)],
            "not-a-module": [lambda c, s: thin],
            "stride-fixed": [zero_pad(lambda self, x: ZeroPad(128, 2)(x))],
            "no-tensor": [zero_pad(lambda self, x: None)],
            "changes-its-input": [zero_pad(in_place)],
            "called-too-early": [ZeroPad(128, 2).forward(torch.rand(1, 64, 2, 2))],
        },
    )


def test_first_step_of_a_silent_block():
    names = {name for name, _ in BasicBlock(16, 16).named_parameters()}
    passes("residual-blocks.5", [{"bn2.weight", "bn2.bias"}, ["bn2.bias", "bn2.weight"]])
    meets(
        "residual-blocks.5",
        {
            "all-learn": [names],
            "none-learns": [set()],
            "gamma-forgotten": [{"bn2.bias"}],
            "unknown-name": [{"bn3.weight", "bn2.bias"}],
            "not-names": ["bn2.bias", 2],
            "other": [{"conv1.weight"}, {"bn2.weight"}],
        },
    )


class PreActivation(BasicBlock):
    def forward(self, x):
        out = self.conv1(self.relu(self.bn1(x)))
        return self.conv2(self.relu(self.bn2(out))) + x


class FromScratch(nn.Module):
    def __init__(self, in_planes, planes):
        super().__init__()
        self.first = nn.BatchNorm2d(in_planes)
        self.second = nn.BatchNorm2d(planes)
        self.narrow = nn.Conv2d(in_planes, planes, 3, padding=1, bias=False)
        self.wide = nn.Conv2d(planes, planes, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.wide(self.second(self.narrow(self.first(x).relu())).relu())


def pre_activation(forward):
    return type("PreActivation", (BasicBlock,), {"forward": forward})


def test_nothing_after_the_addition():
    passes("residual-blocks.6", [PreActivation, FromScratch])
    pa = pre_activation
    meets(
        "residual-blocks.6",
        {
            "relu-after-addition": [
                BasicBlock,
                pa(lambda b, x: (b.conv2(b.bn2(b.conv1(b.bn1(x).relu())).relu()) + x).relu()),
            ],
            "no-addition": [pa(lambda b, x: b.conv2(b.bn2(b.conv1(b.bn1(x).relu())).relu()))],
            "shortcut-touched": [
                pa(lambda b, x: b.conv2(b.bn2(b.conv1(b.bn1(x).relu())).relu()) + b.bn1(x))
            ],
            "changes-its-input": [pa(lambda b, x: b.conv2(b.conv1(b.relu(x))) + x)],
            "order": [
                pa(lambda b, x: b.conv2(b.relu(b.bn2(b.conv1(x)))) + x),
                pa(lambda b, x: b.conv2(b.bn2(b.conv1(b.bn1(x)))) + x),
            ],
            "convolutions": [lambda i, p: nn.Conv2d(i, p, 3, padding=1)],
            "not-a-module": [lambda i, p: None],
            "raises": [PlainBlock.forward, pa(lambda b: None)],
        },
    )


def resnext(**change):
    """A maker of ResNeXt blocks; `change` makes it a wrong one."""

    class Block(nn.Module):
        def __init__(self, in_planes, width, planes, groups):
            super().__init__()
            inner = width * groups if change.get("per_group") else width
            own, other = (1, 1) if change.get("dense") else (groups, 1)
            if change.get("everywhere"):
                other = groups
            k = change.get("kernel", 3)
            self.body = nn.Sequential(
                nn.Conv2d(in_planes, inner, 1, bias=False, groups=other),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
                nn.Conv2d(inner, inner, k, padding=k // 2, bias=False, groups=own),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
                nn.Conv2d(inner, planes, 1, bias=False, groups=other),
                nn.Identity() if change.get("norms") else nn.BatchNorm2d(planes),
            )

        def forward(self, x):
            y = self.body(x)
            if change.get("cut"):
                y = self.body[3:](self.body[:3](x).detach())
            if change.get("bent") is False:
                y = nn.Sequential(*(m for m in self.body if not isinstance(m, nn.ReLU)))(x)
            if change.get("unused"):
                y = nn.Sequential(*self.body[:3], *self.body[6:])(x)
            if change.get("plain"):
                return y.relu()
            return y + x if change.get("open") else (y + x).relu()

    return Block


def test_many_narrow_paths():
    def function_of_names(in_planes, width, planes, groups):
        block = Bottleneck(in_planes, planes // 4)
        block.conv1 = nn.Conv2d(in_planes, width, 1, bias=False)
        block.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=groups, bias=False)
        block.conv3 = nn.Conv2d(width, planes, 1, bias=False)
        block.bn1, block.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        return block

    passes("residual-blocks.7", [resnext(), function_of_names])
    meets(
        "residual-blocks.7",
        {
            "kernels": [resnext(kernel=5)],
            "no-groups": [resnext(dense=True)],
            "groups-elsewhere": [resnext(everywhere=True)],
            "width-per-group": [resnext(per_group=True)],
            "norms": [resnext(norms=True)],
            "no-identity": [resnext(plain=True)],
            "no-last-relu": [resnext(open=True)],
            "idle-parameter": [resnext(cut=True), resnext(unused=True)],
            "order": [resnext(bent=False)],
            "not-a-module": [lambda *_: None],
            "raises": [lambda width: resnext()],
        },
    )
