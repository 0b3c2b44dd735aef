"""ResNet: the source's listing, torchvision's numbers, and what happens to any input at all."""

from __future__ import annotations

import inspect
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch import nn
from torchinfo import summary

from backbone import resnet
from backbone.resnet import BasicBlock, Bottleneck, ResNet, ResNet18, ResNet50
from backbone.variants import BottleneckV1, PlainBlock, PlainBottleneck
from filling import filled_state, image, sample
from listing import parse_listing
from properties import NOT_A_COUNT, bad_images, ceil_div, few, fewer, refuses
from stages import STAGES, run_stages, train_step
from stored import stored

DEPTHS = (18, 34, 50, 101, 152)
BLOCKS = (BasicBlock, Bottleneck)
TOLERANCE = 1e-4


def build(depth: int, num_classes: int = 10, **arguments) -> ResNet:
    return getattr(resnet, f"ResNet{depth}")(num_classes=num_classes, **arguments)


def on_paper(depth: int, num_classes: int = 10) -> ResNet:
    """The network without memory for its weights: enough for counting."""
    with torch.device("meta"):
        return build(depth, num_classes)


# --- The source -------------------------------------------------------------------------------


def assert_listing(model: nn.Module, expected: list) -> None:
    """Same modules in the same order, same classes, and the arguments the listing shows."""
    ours = parse_listing(str(model))
    assert [entry[0] for entry in ours] == [entry[0] for entry in expected]
    for (path, kind, arguments), (_, listed_kind, listed) in zip(ours, expected, strict=True):
        assert kind == listed_kind, path
        # torch 2.13 began to print the bias of a batch norm; nothing else may be extra.
        later = {"bias=True"} if kind == "BatchNorm2d" else set()
        assert [a for a in arguments if a in listed or a not in later] == listed, path


def test_listing_of_the_source():
    expected = stored("listings.json")["ResNet"]
    assert_listing(ResNet18(num_classes=1000), expected)
    print(f"{len(expected)} modules as printed in the source")


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.layer3[1].conv2, "stride", (2, 2)),
        lambda model: setattr(model.layer1[0].bn1, "eps", 1e-3),
        lambda model: setattr(model.layer1[0], "downsample", nn.Identity()),
        lambda model: setattr(model, "relu", nn.GELU()),
        lambda model: model._modules.update(maxpool=model._modules.pop("maxpool")),
    ],
)
def test_listing_notices_a_change(change):
    expected = stored("listings.json")["ResNet"]
    model = ResNet18(num_classes=1000)
    change(model)
    with pytest.raises(AssertionError):
        assert_listing(model, expected)


def test_signatures_of_the_source():
    def defaults(function, count):
        parameters = list(inspect.signature(function).parameters.values())[:count]
        return [p.name if p.default is p.empty else (p.name, p.default) for p in parameters]

    for block in BLOCKS:
        assert defaults(block, 9) == ["in_planes", "planes", ("stride", 1)]
    assert BasicBlock.expansion == 1 and Bottleneck.expansion == 4
    assert defaults(ResNet, 3) == ["block", "num_blocks", ("num_classes", 10)]
    assert defaults(ResNet, 9)[3:] == [("in_channels", 3), ("width", 64)]  # beyond the source
    for depth in DEPTHS:
        factory = getattr(resnet, f"ResNet{depth}")
        assert defaults(factory, 9) == [("num_classes", 10), ("in_channels", 3), ("width", 64)]
        assert on_paper(depth).fc.out_features == 10  # called without arguments, as in the source


COUNTS = {  # parameters with 10 and 1000 classes; Conv2d modules, of which on shortcuts
    18: (11_181_642, 11_689_512, 20, 3),
    34: (21_289_802, 21_797_672, 36, 3),
    50: (23_528_522, 25_557_032, 53, 4),
    101: (42_520_650, 44_549_160, 104, 4),
    152: (58_164_298, 60_192_808, 155, 4),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_counts(depth):
    model = on_paper(depth)
    convolutions = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    on_shortcuts = [n for n in convolutions if "downsample" in n]
    measured = (
        sum(p.numel() for p in model.parameters()),
        sum(p.numel() for p in on_paper(depth, 1000).parameters()),
        len(convolutions),
        len(on_shortcuts),
    )
    print(f"ResNet{depth}: {measured}")
    assert measured == COUNTS[depth]
    # The name counts the main path's convolutions and the fully connected layer.
    assert len(convolutions) - len(on_shortcuts) + 1 == depth


@pytest.mark.parametrize(
    ("depth", "giga"), [(18, 1.814), (34, 3.663), (50, 4.087), (101, 7.799), (152, 11.512)]
)
def test_multiply_adds(depth, giga):
    result = summary(on_paper(depth).eval(), (1, 3, 224, 224), verbose=0, device="meta")
    print(f"ResNet{depth}: {result.total_mult_adds:,} multiply-adds at 224×224")
    assert round(result.total_mult_adds / 1e9, 3) == giga


def test_initialisation():
    """He's: variance 2 / fan_out for every convolution, so that gradients keep their size."""
    torch.manual_seed(0)
    for name, module in ResNet50(width=32).named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * prod(module.kernel_size)
            ratio = module.weight.std().item() / (2 / fan_out) ** 0.5
            # The spread of n draws is known to about 1 / √(2n): this allows nearly six of those.
            assert abs(ratio - 1) < 4 / module.weight.numel() ** 0.5, name


def test_width_8_is_the_same_network_64_times_lighter():
    small, large = (
        sum(p.numel() for p in ResNet18(width=w, in_channels=1).parameters()) for w in (8, 64)
    )
    print(f"{small:,} against {large:,} parameters: {large / small:.1f} times")
    assert small == 176_578
    assert 60 < large / small < 66


# --- torchvision ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torchvision_says():
    """(names and shapes, arrays) recorded by tools/make_torchvision_fixture.py."""
    return stored("torchvision_resnets.json"), stored("torchvision_resnets.npz")


def filled(model: ResNet, shapes: dict[str, list[int]]) -> ResNet:
    """The model in double precision with the weights torchvision's model had."""
    state = {key: torch.from_numpy(v) for key, v in filled_state(shapes).items()}
    model.double().load_state_dict(state, strict=True)
    return model.eval()


def stage_differences(model: ResNet, name: str, arrays: dict) -> dict[str, float]:
    seen = run_stages(model, torch.from_numpy(image()))
    return {
        stage: float(
            np.abs(
                (values if stage == "logits" else sample(values)) - arrays[f"{name}/{stage}"]
            ).max()
        )
        for stage, values in seen.items()
    }


@pytest.mark.parametrize("depth", DEPTHS)
def test_torchvision_keys(depth, torchvision_says):
    """Same names, same order, same shapes: a published checkpoint loads as it is."""
    expected = torchvision_says[0][f"resnet{depth}"]
    state = on_paper(depth, 1000).state_dict()
    assert list(state) == list(expected)
    assert {key: list(value.shape) for key, value in state.items()} == expected
    print(f"resnet{depth}: {len(expected)} entries alike")


@pytest.mark.parametrize("depth", DEPTHS)
def test_torchvision_numbers(depth, torchvision_says):
    names, arrays = torchvision_says
    name = f"resnet{depth}"
    differences = stage_differences(filled(build(depth, 1000), names[name]), name, arrays)
    print(f"{name}: " + ", ".join(f"{k} {v:.1e}" for k, v in differences.items()))
    assert set(differences) == {*STAGES, "logits"}
    assert max(differences.values()) < TOLERANCE


def test_torchvision_numbers_notice_a_moved_stride(torchvision_says):
    """The same weights in the paper's first bottleneck: same shapes, other numbers."""
    names, arrays = torchvision_says
    model = ResNet(BottleneckV1, [3, 4, 6, 3], num_classes=1000)
    differences = stage_differences(filled(model, names["resnet50"]), "resnet50", arrays)
    print(f"stride on the 1×1: layer2 differs by {differences['layer2']:.2f}")
    assert differences["layer1"] < TOLERANCE < 0.1 < differences["layer2"]


def test_torchvision_training_step(torchvision_says):
    names, arrays = torchvision_says
    model = filled(ResNet18(num_classes=1000), names["resnet18"])
    for what, values in train_step(model, torch.from_numpy(image())).items():
        difference = np.abs(sample(values) - arrays[f"resnet18/train/{what}"]).max()
        print(f"training mode, {what}: {difference:.1e}")
        assert difference < TOLERANCE


def test_float32_agrees_with_float64(torchvision_says):
    """The book runs in single precision; that costs digits, not meaning."""
    names, arrays = torchvision_says
    model = filled(ResNet18(num_classes=1000), names["resnet18"]).float()
    with torch.no_grad():
        logits = model(torch.from_numpy(image()).float()).numpy()
    difference = np.abs(logits - arrays["resnet18/logits"]).max()
    print(f"single against double precision: {difference:.1e}")
    assert difference < TOLERANCE


# --- Any block --------------------------------------------------------------------------------

counts = st.integers(1, 6)
sides = st.integers(1, 40)
blocks = st.sampled_from([*BLOCKS, BottleneckV1, PlainBlock, PlainBottleneck])


@few
@given(blocks, counts, counts, st.integers(1, 4), st.integers(1, 3), sides, sides, st.booleans())
@example(BasicBlock, 2, 2, 2, 1, 2, 2, True)  # shrinks to one pixel
@example(Bottleneck, 2, 2, 2, 1, 2, 3, True)  # just does not
def test_block_shapes(block, in_planes, planes, stride, n, height, width, training):
    expected = (n, planes * block.expansion, ceil_div(height, stride), ceil_div(width, stride))
    module = block(in_planes, planes, stride).train(training)
    x = torch.randn(n, in_planes, height, width)
    if training and n * prod(expected[2:]) == 1:
        refuses(lambda: module(x), tuple(x.shape))
        return
    before = x.clone()
    y = module(x)
    assert y.shape == expected
    assert y.min() >= 0 and y.isfinite().all()
    assert torch.equal(x, before), "the block changed its input in place"


@few
@given(st.sampled_from(BLOCKS), counts, counts, st.integers(1, 3))
def test_block_adds_its_shortcut(block, in_planes, planes, stride):
    """With F(x) = 0 only the shortcut is left; it is a projection just where shapes differ."""
    module = block(in_planes, planes, stride).eval()
    last = module.bn2 if block is BasicBlock else module.bn3
    nn.init.zeros_(last.weight)
    x = torch.randn(2, in_planes, 8, 9)
    same_shape = stride == 1 and in_planes == planes * block.expansion
    assert (module.downsample is None) == same_shape
    shortcut = x if same_shape else module.downsample(x)
    assert torch.equal(module(x), shortcut.relu())


@few
@given(st.sampled_from(BLOCKS), st.sampled_from(["in_planes", "planes", "stride"]), NOT_A_COUNT)
def test_block_refuses_arguments(block, name, value):
    arguments = {"in_planes": 4, "planes": 4, "stride": 1, name: value}
    message = refuses(lambda: block(**arguments), name, value)
    assert "must be" in message


@few
@given(blocks, bad_images(3))
def test_block_refuses_inputs(block, bad):
    x, quoted = bad
    message = refuses(lambda: block(3, 2)(x), block.__name__, quoted)
    assert "need" in message or "Convert" in message or "Move" in message


# --- Any network ------------------------------------------------------------------------------

stage_lengths = st.lists(st.integers(1, 2), min_size=4, max_size=4)
any_sides = st.integers(1, 70)


@fewer
@given(
    blocks,
    stage_lengths,
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 4),
    st.tuples(st.integers(1, 2), any_sides, any_sides),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_network_shapes(block, num_blocks, num_classes, in_channels, width, size, dtype):
    model = ResNet(block, num_blocks, num_classes, in_channels, width).to(dtype).eval()
    n, h, w = size
    seen = run_stages(model, torch.randn(n, in_channels, h, w, dtype=dtype))
    assert seen["logits"].shape == (n, num_classes)
    assert np.isfinite(seen["logits"]).all()
    # The comments in ResNet.forward, one by one.
    e = block.expansion
    per_stage = [("conv1", 1, 2), ("maxpool", 1, 4), ("layer1", e, 4), ("layer2", 2 * e, 8)]
    per_stage += [("layer3", 4 * e, 16), ("layer4", 8 * e, 32)]
    for name, channels, by in per_stage:
        expected = (n, channels * width, ceil_div(h, by), ceil_div(w, by))
        assert seen[name].shape == expected, name
    assert seen["avgpool"].shape == (n, 8 * e * width, 1, 1)


@fewer
@given(st.sampled_from(BLOCKS), st.integers(1, 3), any_sides, any_sides)
@example(BasicBlock, 1, 32, 32)  # the last size that is too small,
@example(BasicBlock, 1, 1, 33)  # and the first that is not
def test_network_trains_or_says_why_not(block, n, h, w):
    model = ResNet(block, [1, 1, 1, 1], width=2).train()
    x = torch.randn(n, 3, h, w)
    if n == 1 and max(h, w) <= 32:  # one value per channel in layer4: no variance to divide by
        message = refuses(lambda: model(x), tuple(x.shape), "model.eval()")
        assert "batch of 2" in message
        assert model.eval()(x).shape == (1, 10)  # the advice works
        return
    model(x).sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


@few
@given(bad_images(3), st.booleans())
def test_network_refuses_inputs(bad, training):
    x, quoted = bad
    model = ResNet18(width=2).train(training)
    refuses(lambda: model(x), "ResNet", quoted)


def test_one_image_without_a_batch_gets_the_advice_that_works():
    model = ResNet18(width=2).eval()
    x = torch.randn(3, 40, 40)
    assert "x[None]" in refuses(lambda: model(x))
    assert model(x[None]).shape == (1, 10)


def test_memory_layout_does_not_matter():
    model = ResNet50(width=4).eval()
    x = torch.randn(2, 40, 48, 3)
    channels_last = x.permute(0, 3, 1, 2)
    with torch.no_grad():
        difference = (model(channels_last) - model(channels_last.contiguous())).abs().max()
    print(f"strided against contiguous: {difference:.1e}")
    assert difference < TOLERANCE


@few
@given(st.sampled_from(["num_classes", "in_channels", "width"]), NOT_A_COUNT)
def test_network_refuses_counts(name, value):
    refuses(lambda: ResNet18(**{name: value}), name, value)
    refuses(lambda: ResNet(BasicBlock, [1, 1, 1, 1], **{name: value}), name, value)


@few
@given(
    st.one_of(
        st.lists(st.integers(1, 3), max_size=7).filter(lambda n: len(n) != 4),
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), NOT_A_COUNT),
        st.tuples(NOT_A_COUNT, *[st.integers(1, 3)] * 3).map(list),
        st.sampled_from([None, 2, "2222", 2.0, {1: 2}, np.array([2, 2, 2, 2]), torch.ones(4)]),
    )
)
def test_network_refuses_num_blocks(num_blocks):
    message = refuses(lambda: ResNet(BasicBlock, num_blocks, width=2), "num_blocks")
    listed = list(num_blocks) if isinstance(num_blocks, tuple | list) else num_blocks
    if isinstance(listed, list) and len(listed) == 4:  # the first wrong one is named
        place = int(message.split("[")[1][0])
        assert str(listed[place]) in message or repr(listed[place]) in message
    else:
        assert str(listed) in message or repr(listed) in message


class NoExpansion(nn.Module):
    pass


class ZeroExpansion(BasicBlock):
    expansion = 0


@pytest.mark.parametrize(
    "block", [None, "BasicBlock", BasicBlock(2, 2), NoExpansion, nn.ReLU, 4, ZeroExpansion]
)
def test_network_refuses_blocks(block):
    given_name = block.__name__ if isinstance(block, type) else block
    refuses(lambda: ResNet(block, [1, 1, 1, 1], width=2), given_name)


@few
@given(stage_lengths, st.sampled_from([tuple, list]))
def test_network_has_the_blocks_asked_for(num_blocks, kind):
    assume(sum(num_blocks) > 4)
    model = ResNet(BasicBlock, kind(num_blocks), width=1)
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    assert [len(stage) for stage in stages] == num_blocks
