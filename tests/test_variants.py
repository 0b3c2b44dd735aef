"""The control group differs from the originals in the one thing it says, and in nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchinfo import summary

from backbone.resnet import BasicBlock, Bottleneck, ResNet
from backbone.unet import crop_like
from backbone.variants import (
    BottleneckV1,
    PaperUNet,
    PlainBlock,
    PlainBottleneck,
    crop_and_join,
    paper_output_size,
)
from properties import NOT_A_COUNT, bad_images, few, refuses

PLAIN = [(PlainBlock, BasicBlock), (PlainBottleneck, Bottleneck)]


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def multiply_adds(model: nn.Module, size: tuple[int, ...]) -> int:
    return summary(model.eval(), size, verbose=0, device="meta").total_mult_adds


def seen_pixels(module: nn.Module, channels: int) -> float:
    """Share of the input's pixels that a gradient reaches."""
    x = torch.randn(1, channels, 16, 16, requires_grad=True)
    module(x).sum().backward()
    return float((x.grad.abs().sum(dim=(0, 1)) > 0).double().mean())


# --- The first version of the bottleneck ------------------------------------------------------


def test_v1_has_the_same_parameters_and_fewer_multiply_adds():
    with torch.device("meta"):
        v1, v15 = (ResNet(block, [3, 4, 6, 3], 1000) for block in (BottleneckV1, Bottleneck))
    assert shapes(v1) == shapes(v15)
    size = (1, 3, 224, 224)
    ours, theirs = multiply_adds(v15, size), multiply_adds(v1, size)
    print(f"ResNet-50 at 224²: stride on the 3×3 {ours:,}, on the 1×1 {theirs:,} multiply-adds")
    assert theirs < ours
    assert round(theirs / 1e9, 1) == 3.9  # about the 3.8 G that the paper's Table 1 gives


def test_v1_differs_only_where_a_stride_is():
    v1, v15 = BottleneckV1(8, 2, stride=1).eval(), Bottleneck(8, 2, stride=1).eval()
    v1.load_state_dict(v15.state_dict())
    x = torch.randn(1, 8, 10, 10)
    assert torch.equal(v1(x), v15(x))
    strided, expected = BottleneckV1(8, 2, stride=2).eval(), Bottleneck(8, 2, stride=2).eval()
    strided.load_state_dict(expected.state_dict())
    assert strided(x).shape == expected(x).shape
    assert not torch.allclose(strided(x), expected(x))


def test_v1_looks_at_one_pixel_in_four():
    torch.manual_seed(0)
    v1, v15 = BottleneckV1(4, 2, stride=2), Bottleneck(4, 2, stride=2)
    shares = seen_pixels(v1.conv1, 4), seen_pixels(v15.conv1, 4)
    print(f"the first 1×1 takes from {shares[0]:.0%} of the pixels in v1, {shares[1]:.0%} in v1.5")
    assert shares == (0.25, 1.0)
    # The whole block, shortcut included, is no better: three pixels in four never matter.
    for block, share in ((v1, 0.25), (v15, 1.0)):
        block.relu = nn.Identity()  # a silent ReLU hides pixels too; that is not meant here
        assert seen_pixels(block.eval(), 4) == share


# --- Plain blocks -----------------------------------------------------------------------------


@pytest.mark.parametrize(("plain", "residual"), PLAIN)
def test_plain_block_has_no_shortcut_parameters(plain, residual):
    for in_planes, stride in ((8, 1), (6, 2), (8, 2)):
        ours, theirs = shapes(plain(in_planes, 8, stride)), shapes(residual(in_planes, 8, stride))
        without = {key: s for key, s in theirs.items() if "downsample" not in key}
        assert ours == without
        print(f"{plain.__name__}: {len(theirs) - len(ours)} of {len(theirs)} entries fewer")


@few
@given(
    st.sampled_from(PLAIN),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 2),
    st.booleans(),
)
def test_plain_block_is_the_residual_block_without_its_shortcut(
    pair, in_planes, planes, stride, training
):
    plain, residual = (kind(in_planes, planes, stride).train(training) for kind in pair)
    plain.load_state_dict(
        {k: v for k, v in residual.state_dict().items() if "downsample" not in k}, strict=True
    )
    x = torch.randn(2, in_planes, 8, 8)
    with_shortcut = residual(x)
    residual.downsample = Nothing()
    assert torch.equal(plain(x), residual(x))
    assert not torch.equal(plain(x), with_shortcut)


class Nothing(nn.Module):
    """A shortcut that carries zero, whatever the shape on the other side."""

    def forward(self, x):
        return torch.zeros(())


def test_plain_network_trains():
    model = ResNet(PlainBlock, [1, 1, 1, 1], width=2)
    assert not [key for key in model.state_dict() if "downsample" in key]
    model(torch.randn(2, 3, 40, 40)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


# --- The paper's U-Net ------------------------------------------------------------------------


def test_paper_sizes():
    """Every size in Fig. 1 of the paper, read from a real forward pass on 572×572 pixels."""
    model = PaperUNet(init_features=1).eval()
    sizes = []
    names = [f"encode_layer{i}" for i in range(1, 5)] + ["encode_decode_layer"]
    names += [f"decode_layer{i}" for i in range(4, 0, -1)]
    for name in names:
        getattr(model, name).register_forward_hook(
            lambda _, inputs, output: sizes.append((inputs[0].shape[-1], output.shape[-1]))
        )
    with torch.no_grad():
        y = model(torch.randn(1, 1, 572, 572))
    print(f"572 → {y.shape[-1]}, through {sizes}")
    down = [(572, 568), (284, 280), (140, 136), (68, 64), (32, 28)]
    up = [(56, 52), (104, 100), (200, 196), (392, 388)]
    assert sizes == down + up
    assert y.shape == (1, 2, 388, 388) and paper_output_size(572) == 388


def test_paper_network_is_the_papers():
    with torch.device("meta"):
        model = PaperUNet()
    kinds = [type(m) for m in model.modules()]
    convolutions = kinds.count(nn.Conv2d) + kinds.count(nn.ConvTranspose2d)
    print(f"{convolutions} convolutions, {sum(p.numel() for p in model.parameters()):,} parameters")
    assert convolutions == 23  # "In total the network has 23 convolutional layers", §2
    assert nn.BatchNorm2d not in kinds and nn.PReLU not in kinds
    assert model.encode_decode_layer[2].out_channels == 1024


@few
@given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 2), st.integers(1, 2))
def test_paper_shapes(high, wide, in_features, out_features):
    h, w = 188 + 16 * high, 188 + 16 * wide
    model = PaperUNet(in_features, out_features, 1).eval()
    with torch.no_grad():
        y = model(torch.zeros(1, in_features, h, w))
    assert y.shape == (1, out_features, h - 184, w - 184)
    assert (paper_output_size(h), paper_output_size(w)) == (h - 184, w - 184)


def test_paper_sizes_that_fit_are_those_the_message_names():
    """The arithmetic refuses exactly what a forward pass without the check cannot do."""
    fitting = []
    for size in range(1, 640):
        try:
            assert paper_output_size(size) == size - 184
        except ValueError as error:
            assert str(size) in str(error)
        else:
            fitting.append(size)
    assert fitting == list(range(188, 640, 16))
    print(f"{len(fitting)} sizes fit: {fitting[:3]} … {fitting[-1]}")


@few
@given(st.integers(1, 400), st.booleans())
def test_paper_refuses_sizes_and_its_advice_works(size, across):
    shape = (1, 1, 188, size) if across else (1, 1, size, 188)
    model = PaperUNet(1, 1, 1).eval()
    if size >= 188 and (size - 188) % 16 == 0:
        assert model(torch.zeros(shape)).shape[2:] == tuple(s - 184 for s in shape[2:])
        return
    message = refuses(lambda: model(torch.zeros(shape)), size)
    if "the nearest is " in message:
        near = int(message.split("the nearest is ")[1].split(".")[0])
        assert paper_output_size(near) == near - 184
        assert abs(near - size) <= 8 or near == 188


@few
@given(bad_images(3, 188, 188), st.booleans())
def test_paper_refuses_inputs(bad, training):
    x, quoted = bad
    model = PaperUNet(3, 2, 1).train(training)
    refuses(lambda: model(x), "PaperUNet", quoted)


@few
@given(st.sampled_from(["in_features", "out_features", "init_features"]), NOT_A_COUNT)
def test_paper_refuses_arguments(name, value):
    refuses(lambda: PaperUNet(**{name: value}), name, value)


@few
@given(NOT_A_COUNT)
def test_paper_output_size_refuses(size):
    refuses(lambda: paper_output_size(size), size)


def test_crop_and_join_keeps_the_upsampled_first():
    up, skipped = torch.zeros(1, 2, 4, 4), torch.arange(36.0).view(1, 1, 6, 6)
    joined = crop_and_join(up, skipped)
    assert joined.shape == (1, 3, 4, 4)
    assert torch.equal(joined[:, :2], up)
    assert torch.equal(joined[:, 2:], crop_like(skipped, up))
    assert joined[0, 2, 0, 0] == 7  # one row and one column cut off: 6 + 1
