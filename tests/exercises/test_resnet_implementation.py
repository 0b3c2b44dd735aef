"""The checks of "ResNet: the implementation": several right answers, and the slips made."""

import copy

import pytest
import torch
from right_and_wrong import meets, passes
from torch import nn

from backbone.anatomy import layer_table
from backbone.exercises import check, question, resnet_implementation
from backbone.resnet import BasicBlock, Bottleneck, ResNet, ResNet18, ResNet34, ResNet50, ResNet152
from backbone.variants import BottleneckV1


def by_kind(basic, bottleneck, more=2):
    return lambda block, counts: {1: basic, 4: bottleneck}[block.expansion] * sum(counts) + more


def test_depth_on_the_label():
    def walked(block, num_blocks):
        made = sum(isinstance(m, nn.Conv2d) for m in block(8 * block.expansion, 8).modules())
        layers = 1
        for count in num_blocks:
            layers += count * made
        return layers + 1

    def named(block, num_blocks):
        return (3 if block is Bottleneck else 2) * sum(num_blocks) + 2.0

    passes("resnet-implementation.1", [by_kind(2, 3), walked, named])
    table = {(False, 8): 18, (False, 16): 34, (True, 16): 50, (True, 33): 101, (True, 50): 152}
    meets(
        "resnet-implementation.1",
        {
            "ends-forgotten": [by_kind(2, 3, 0)],
            "one-end-forgotten": [by_kind(2, 3, 1)],
            "always-two": [by_kind(2, 2)],
            "always-three": [by_kind(3, 3)],
            "kinds-swapped": [by_kind(3, 2)],
            "expansion": [lambda block, counts: block.expansion * sum(counts) + 2],
            "blocks-counted": [lambda block, counts: sum(counts) + 2],
            "projections-counted": [
                lambda block, counts: (
                    1 + sum(isinstance(m, nn.Conv2d) for m in ResNet(block, counts).modules())
                )
            ],
            "stages-counted": [lambda b, counts: (2 + (b is Bottleneck)) * len(counts) + 2],
            "published-only": [
                lambda block, counts: table[block is Bottleneck, sum(counts)],
                lambda block, counts: table.get((block is Bottleneck, sum(counts))),
            ],
            "no-return": [lambda block, counts: None],
            "not-a-number": [lambda block, counts: "18"],
            "called-too-early": [26],
            "raises": [lambda block: 18, lambda block, counts: 2 * counts + 2],
            "other": [lambda block, counts: 26],
        },
    )


def price(projections, fifty, deep):
    return {"projections": projections, "ResNet50": fifty, "ResNet152": deep}


def shares(build, **options):
    net = build(**options).to("meta")
    inside = sum(p.numel() for name, p in net.named_parameters() if "downsample" in name)
    return inside, sum(p.numel() for p in net.parameters())


def test_price_of_the_shortcuts():
    (a, all50), (b, all152) = shares(ResNet50), shares(ResNet152)
    (c, more50), (d, more152) = (shares(n, num_classes=1000) for n in (ResNet50, ResNet152))
    right = price(4, a / all50, b / all152)
    passes(
        "resnet-implementation.2",
        [
            right,
            price(4, round(a / all50, 3), round(b / all152, 3)),
            price(torch.tensor(4), c / more50, d / more152),
        ],
    )
    meets(
        "resnet-implementation.2",
        {
            "every-block": [{**right, "projections": 50}],
            "first-stage-forgotten": [{**right, "projections": 3}],
            "modules-inside": [{**right, "projections": 8}],
            "projections": [{**right, "projections": 5}],
            "percent": [price(4, 100 * a / all50, 100 * b / all152), price(4, 11.8, 4.8)],
            "swapped": [price(4, b / all152, a / all50)],
            "layers-counted": [price(4, 4 / 53, 4 / 155)],
            "blocks-counted": [price(4, 4 / 16, 4 / 50)],
            "of-the-rest": [price(4, a / (all50 - a), b / (all152 - b))],
            "not-divided": [price(4, a, b)],
            "same-share": [price(4, 0.1, 0.1)],
            "not-these-names": [4, {"projections": 4}],
            "not-a-number": [price(4, "12 %", 0.05)],
            "other": [price(4, 0.3, 0.1)],
        },
    )


@pytest.mark.parametrize(
    "open_answer",
    [
        ("resnet-implementation.2", price(4, ..., ...)),
        ("resnet-implementation.6", {"calibrate": ..., "because": ...}),
        ("resnet-implementation.6", {"calibrate": lambda net, images: None, "because": ...}),
    ],
    ids=lambda given: given[0],
)
def test_dots_inside_an_answer_wait(open_answer):
    assert not check(*open_answer).answered


def small(build=ResNet18, channels=1, classes=3, width=16, **modules):
    net = build(num_classes=classes, in_channels=channels, width=width)
    same = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    for name, module in {"conv1": same, "maxpool": nn.Identity(), **modules}.items():
        if module is not None:
            setattr(net, name, module)
    return net


def test_small_grey_images():
    five = nn.Conv2d(1, 16, 5, padding=2)
    passes(
        "resnet-implementation.3",
        [
            small(),
            small(conv1=five, maxpool=nn.Sequential()),
            small(maxpool=nn.MaxPool2d(3, stride=1, padding=1)).eval(),
        ],
    )
    stages = small(conv1=None, maxpool=None)
    for name in ("layer2", "layer3"):
        first = getattr(stages, name)[0]
        first.conv1.stride = first.downsample[0].stride = (1, 1)
    also = small()
    also.layer2[0].conv1.stride = also.layer2[0].downsample[0].stride = (1, 1)
    meets(
        "resnet-implementation.3",
        {
            "stem-unchanged": [small(conv1=None, maxpool=None)],
            "stride-left": [small(conv1=None)],
            "pooling-left": [small(maxpool=None)],
            "padding": [small(conv1=nn.Conv2d(1, 16, 3))],
            "stages-changed": [stages, also],
            "channels": [small(conv1=nn.Conv2d(3, 16, 3, padding=1)), small(channels=3)],
            "width-of-conv1": [small(conv1=nn.Conv2d(1, 64, 3, padding=1))],
            "classes": [small(classes=10)],
            "width": [small(width=64)],
            "not-a-network": [ResNet18, "1×1"],
        },
    )


def test_every_class_gets_other_images():
    assert question("resnet-implementation.3") == {"channels": 1, "classes": 3, "width": 16}
    seen = set()
    for seed in range(1, 13):
        asked = question("resnet-implementation.3", seed=seed)
        passes("resnet-implementation.3", [small(**asked)], seed=seed)
        meets(
            "resnet-implementation.3",
            {
                "channels": [small(**{**asked, "channels": asked["channels"] + 1})],
                "classes": [small(**{**asked, "classes": 10})],
                "width": [small(**{**asked, "width": 64})],
                "pooling-left": [small(**asked, maxpool=None)],
            },
            seed=seed,
        )
        seen.add(tuple(asked.values()))
    assert len(seen) > 8


def test_where_the_work_differs():
    def rows(block):
        net = ResNet(block, [3, 4, 6, 3]).to("meta")
        table = layer_table(net, (1, 3, 224, 224), depth=3)
        return {row.name: row.multiply_adds for row in table}

    ours, paper = rows(Bottleneck), rows(BottleneckV1)
    right = {name for name in ours if ours[name] != paper[name]}
    print(sorted(right))
    passes("resnet-implementation.4", [right, sorted(right), tuple(right), frozenset(right)])
    stages = (2, 3, 4)
    meets(
        "resnet-implementation.4",
        {
            "nothing-differs": [set()],
            "not-inside": [{f"layer{i}.0" for i in stages}, {f"layer{i}" for i in stages}],
            "no-convolution": [{*right, "layer2.0.bn1"}],
            "unknown-name": [{"layer2.0.conv4"}, [1, 2, 3]],
            "projections": [{*right, "layer2.0.downsample.0"}],
            "where-the-stride-is": [{f"layer{i}.0.conv2" for i in stages}],
            "first-stage": [{*right, "layer1.0.conv1"}],
            "later-blocks": [{f"layer{i}.{j}.conv1" for i in stages for j in (0, 1, 2)}],
            "some-missing": [{"layer2.0.conv1"}],
            "not-names": ["layer2.0.conv1", 0.23],
            "other": [{"conv1"}, {*right, "layer2.0.conv3"}],
        },
    )


def translate(words):
    def convert(state):
        return {
            ".".join(words.get(part, part) for part in name.split(".")): value
            for name, value in state.items()
        }

    return convert


def test_convert_a_checkpoint():
    both = translate({"shortcut": "downsample", "linear": "fc"})

    def replaced(state):
        new = type(state)()
        for name, value in state.items():
            new[name.replace("shortcut", "downsample").replace("linear", "fc")] = value.clone()
        return new

    def moved(state):
        state = dict(state)
        for name in list(state):
            state[translate({"shortcut": "downsample", "linear": "fc"})({name: 0}).popitem()[0]] = (
                state.pop(name)
            )
        return state

    def emptied(state):
        return {next(iter(both({name: 0}))): state.pop(name) for name in list(state)}

    def one_stage(state):
        new = {name.replace("linear", "fc"): value for name, value in state.items()}
        return {name.replace("layer2.0.shortcut", "layer2.0.downsample"): new[name] for name in new}

    passes("resnet-implementation.5", [both, replaced, moved])
    meets(
        "resnet-implementation.5",
        {
            "unchanged": [
                lambda state: state,
                translate({"downsample": "shortcut", "fc": "linear"}),
            ],
            "linear-left": [translate({"shortcut": "downsample"})],
            "shortcut-left": [translate({"linear": "fc"}), one_stage],
            "tensors-lost": [
                lambda s: {k: v for k, v in both(s).items() if "num_batches" not in k},
                lambda s: {k: v for k, v in both(s).items() if "running" not in k},
            ],
            "tensors-doubled": [lambda s: {**both(s), "conv1.copy": s["conv1.weight"]}],
            "dots-lost": [lambda s: {k.replace(".", ""): v for k, v in both(s).items()}],
            "numbers-changed": [
                lambda s: {k: v * 2 for k, v in both(s).items()},
                lambda s: dict.fromkeys(both(s)),
            ],
            "changes-its-input": [emptied],
            "not-a-dictionary": [lambda s: None, lambda s: list(both(s))],
            "called-too-early": [both({})],
            "raises": [lambda: {}, lambda s: s.fc],
            "other": [lambda s: {f"model.{k}": v for k, v in both(s).items()}],
        },
    )


def test_only_the_right_names_load():
    donor, receiver = ResNet18(width=4), ResNet18(width=4)
    receiver.load_state_dict(
        translate({"shortcut": "downsample", "linear": "fc"})(
            translate({"downsample": "shortcut", "fc": "linear"})(donor.state_dict())
        )
    )
    assert torch.equal(receiver.fc.weight, donor.fc.weight)


def calibration(momentum=None, passes=1, mode=True, pieces=None, reset=False, only=None):
    def calibrate(net, images):
        for name, norm in net.named_modules():
            if isinstance(norm, nn.BatchNorm2d) and (only is None or name == only):
                norm.momentum = momentum
                if reset:
                    norm.reset_running_stats()
                norm.train(mode)
        if only is None:
            net.train(mode)
        with torch.no_grad():
            for part in [images] * passes if pieces is None else images.split(pieces):
                net(part)

    return calibrate


def because(calibrate, reason="additions"):
    return {"calibrate": calibrate, "because": reason}


def trained(net, images):
    calibration()(net, images)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(images).square().mean().backward()
    optimizer.step()


def ungrounded(net, images):
    calibration()(net, images)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean = norm.running_var = None


def copied(net, images):
    twin = copy.deepcopy(net)
    calibration(momentum=1.0)(twin, images)
    return twin.eval()


def test_give_batch_norm_its_statistics():
    passes(
        "resnet-implementation.6",
        [
            because(calibration()),
            because(calibration(momentum=1.0)),
            because(calibration(passes=3)),
            because(calibration(momentum=0.1, passes=80)),
            because(calibration(reset=True)),
            because(copied),
        ],
    )
    fine = calibration()
    meets(
        "resnet-implementation.6",
        {
            "nothing-measured": [
                because(calibration(mode=False)),
                because(lambda net, images: fine(ResNet34(width=4), images)),
                because(lambda net, images: None),
            ],
            "momentum-left": [
                because(calibration(momentum=0.1)),
                because(calibration(momentum=0.1, passes=10)),
            ],
            "some-forgotten": [because(calibration(only="bn1"))],
            "one-by-one": [because(calibration(pieces=1))],
            "weights-changed": [because(trained)],
            "statistics-gone": [because(ungrounded)],
            "convolutions-blamed": [because(fine, "convolutions")],
            "channels-blamed": [because(fine, "channels")],
            "not-a-reason": [because(fine, "depth"), because(fine, ["additions"])],
            "not-these-names": [fine, {"calibrate": fine}],
            "called-too-early": [because(1.5)],
            "raises": [because(lambda net: None), because(lambda net, images: images.fit())],
            "other": [because(lambda net, images: fine(net, 2 * images))],
        },
    )


def test_blocks_of_both_kinds_are_asked_for():
    kinds = {block for block, _ in resnet_implementation.OTHERS}
    assert kinds == {BasicBlock, Bottleneck}


def test_write_make_layer():
    def good(block, in_planes, planes, num_blocks, stride):
        layers = [block(in_planes, planes, stride)]
        layers += [block(planes * block.expansion, planes) for _ in range(num_blocks - 1)]
        return nn.Sequential(*layers)

    def with_loop(block, in_planes, planes, num_blocks, stride):
        stage = nn.Sequential()
        for i in range(num_blocks):
            stage.append(block(in_planes, planes, stride=stride if i == 0 else 1))
            in_planes = planes * block.expansion
        return stage

    def build(strides, moves=lambda b, i, p: p * b.expansion, wrap=nn.Sequential):
        def make(block, in_planes, planes, num_blocks, stride):
            layers = []
            for s in strides(stride, num_blocks):
                layers.append(block(in_planes, planes, s))
                in_planes = moves(block, in_planes, planes)
            return wrap(*layers)

        return make

    def first(stride, n):
        return [stride] + [1] * (n - 1)

    def by_kind(block, in_planes, planes, num_blocks, stride):
        out = 4 * planes if block is Bottleneck else planes
        later = [block(stride=1, planes=planes, in_planes=out) for _ in range(num_blocks - 1)]
        return nn.Sequential(block(in_planes, planes, stride), *later)

    def turned(*blocks):
        return nn.Sequential(*reversed(blocks))

    passes("resnet-implementation.7", [good, with_loop, by_kind, build(first)])
    meets(
        "resnet-implementation.7",
        {
            "nothing-returned": [lambda *_: None],
            "a-list": [build(first, wrap=lambda *blocks: list(blocks))],
            "one-block-repeated": [lambda b, i, p, n, s: nn.Sequential(*[b(i, p, s)] * n)],
            "number-of-blocks": [build(lambda s, n: first(s, n + 1))],
            "stride-in-every-block": [build(lambda s, n: [s] * n)],
            "stride-nowhere": [build(lambda s, n: [1] * n)],
            "strides": [build(lambda s, n: [1] * (n - 1) + [s]), build(first, wrap=turned)],
            "other-parts": [build(first, wrap=lambda *blocks: nn.Sequential(*blocks, nn.ReLU()))],
            "in-planes-not-updated": [build(first, moves=lambda b, i, p: i)],
            "expansion-forgotten": [build(first, moves=lambda b, i, p: p)],
            "called-too-early": [None],
        },
    )
    assert not check("resnet-implementation.7", lambda *_: ...).answered
