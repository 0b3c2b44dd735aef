"""U-Net: the source's listing and numbers, and what happens to any input at all."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchinfo import summary

from backbone.unet import UNetModel, crop_like, join, pad_to_multiple
from filling import fill, uniform
from properties import NOT_A_COUNT, NOT_A_TENSOR, bad_images, ceil_div, few, fewer, refuses
from stored import stored
from test_resnet import assert_listing

TOLERANCE = 1e-4
BENCH = Path(__file__).parent.parent / "tools" / "bench.py"


@pytest.fixture(scope="module")
def bench():
    """tools/bench.py, where the source's U-Net and a ResNet are written out layer by layer."""
    spec = importlib.util.spec_from_file_location("bench", BENCH)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


# --- The source -------------------------------------------------------------------------------


def test_listing_of_the_source():
    expected = stored("listings.json")["UNetModel"]
    assert_listing(UNetModel(), expected)
    print(f"{len(expected)} modules as printed in the source")


def test_names_and_signature_of_the_source():
    parameters = list(inspect.signature(UNetModel).parameters.values())
    expected = [("in_features", 1), ("out_features", 2), ("init_features", 32)]
    assert [(p.name, p.default) for p in parameters] == expected
    numbered = [f"{kind}{i}" for kind in ("encode_layer", "decode_layer") for i in range(1, 5)]
    names = [*numbered, "encode_decode_layer", "out_layer"]
    names += [f"{kind}{i}" for kind in ("pool", "upconv") for i in range(1, 5)]
    model = UNetModel(init_features=1)
    assert {name for name, _ in model.named_children()} == set(names)


def test_counts():
    model = UNetModel()
    parameters = sum(p.numel() for p in model.parameters())
    kinds = [type(m) for m in model.modules()]
    adds = summary(model.eval(), (1, 1, 256, 256), verbose=0).total_mult_adds
    print(f"UNetModel: {parameters:,} parameters, {adds:,} multiply-adds at 1×256²")
    assert parameters == 7_765_460
    assert kinds.count(nn.Conv2d) == 19 and kinds.count(nn.ConvTranspose2d) == 4
    assert round(adds / 1e9, 3) == 13.666


def filled(model: nn.Module) -> nn.Module:
    """Double precision, and weights that depend on nothing but their names."""
    state = model.double().state_dict()
    new = {}
    for key, value in state.items():
        new[key] = torch.from_numpy(fill(key, value.shape)).reshape(value.shape)
        if key.endswith("weight") and value.shape == (1,):  # each PReLU gets its own slope
            new[key] = new[key] / 4
    model.load_state_dict(new, strict=True)
    return model


@pytest.mark.parametrize("training", [False, True])
def test_same_numbers_as_the_network_written_out(bench, training):
    """Same keys and weights give the same output: the order of `join` is right, too."""
    ours = filled(UNetModel(3, 5, 4)).train(training)
    reference = filled(bench.ReferenceUNet(3, 5, 4)).train(training)
    assert set(ours.state_dict()) == set(reference.state_dict())
    x = torch.from_numpy(2 * uniform("image", (2, 3, 48, 64)) - 1)
    difference = float((ours(x) - reference(x)).detach().abs().max())
    print(f"training={training}: {difference:.1e}, values up to {ours(x).abs().max():.2f}")
    assert difference < TOLERANCE
    assert ours(x).std() > 0.1, "an output without contrast proves nothing"


def test_reference_resnets_count_as_ours(bench):
    """What bench compares with must be the same network, or its ratios mean nothing."""
    with torch.device("meta"):
        for depth, parameters in ((18, 11_689_512), (50, 25_557_032)):
            reference = bench.ReferenceResNet(depth)
            assert sum(p.numel() for p in reference.parameters()) == parameters


def test_every_skip_reaches_the_output():
    """Silencing one encoder map changes the output: no skip is decoration."""
    model = filled(UNetModel(1, 2, 2)).eval()
    x = torch.from_numpy(2 * uniform("image", (1, 1, 32, 32)) - 1)
    whole = model(x)
    for level in range(1, 5):
        stage = getattr(model, f"decode_layer{level}")
        half = stage[0].in_channels // 2
        hook = stage.register_forward_pre_hook(
            lambda _, inputs, half=half: (
                join(inputs[0][:, :half], torch.zeros_like(inputs[0][:, half:])),
            )
        )
        change = float((model(x) - whole).detach().abs().max())
        hook.remove()
        print(f"without skip {level} the output moves by up to {change:.3f}")
        assert change > 1e-3


# --- Any image --------------------------------------------------------------------------------

sixteens = st.integers(1, 4).map(lambda n: 16 * n)


@fewer
@given(
    st.tuples(*[st.integers(1, 3)] * 3),
    st.tuples(st.integers(1, 2), sixteens, sixteens),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
)
def test_shapes(features, size, dtype, training):
    in_features, out_features, init_features = features
    n, h, w = size
    model = UNetModel(*features).to(dtype).train(training)
    x = torch.randn(n, in_features, h, w, dtype=dtype)
    if training and size == (1, 16, 16):
        message = refuses(lambda: model(x), "16×16", "model.eval()")
        assert "batch of 2" in message
        return
    seen = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda _, i, o, name=name: seen.update({name: o.shape}))
    y = model(x)
    assert y.shape == (n, out_features, h, w) and y.dtype == dtype and y.isfinite().all()
    for level in range(1, 5):  # size goes down as channels go up
        by = 2 ** (level - 1)
        expected = (n, init_features * by, h // by, w // by)
        for name in ("encode_layer", "decode_layer", "upconv"):
            assert seen[f"{name}{level}"] == expected, name
    assert seen["encode_decode_layer"] == (n, init_features * 16, h // 16, w // 16)
    if training:
        y.sum().backward()
        assert all(p.grad is not None for p in model.parameters())


@few
@given(bad_images(3), st.booleans())
def test_refuses_inputs(bad, training):
    x, quoted = bad
    model = UNetModel(3, 2, 1).train(training)
    refuses(lambda: model(x), "UNetModel", quoted)


@few
@given(st.integers(1, 70), st.integers(1, 70))
def test_refuses_sizes_and_its_advice_works(height, width):
    model = UNetModel(1, 1, 1).eval()
    x = torch.randn(1, 1, height, width)
    up = tuple(16 * ceil_div(side, 16) for side in (height, width))
    if (height, width) != up:
        message = refuses(lambda: model(x), f"{height}×{width}", f"{up[0]}×{up[1]}")
        assert "multiples of 16" in message and "pad_to_multiple(x, 16)" in message
    padded = pad_to_multiple(x, 16)
    assert padded.shape[2:] == up
    assert crop_like(model(padded), x).shape == x.shape


@few
@given(st.sampled_from(["in_features", "out_features", "init_features"]), NOT_A_COUNT)
def test_refuses_arguments(name, value):
    refuses(lambda: UNetModel(**{name: value}), name, value)


def test_rebellious_phase_is_gone():
    with pytest.raises(TypeError, match="rebellious_phase"):
        UNetModel(rebellious_phase=False)


# --- Padding and cropping ---------------------------------------------------------------------

any_dtype = st.sampled_from([torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool])


def numbers(shape, dtype):
    """Maps whose values differ from place to place."""
    values = torch.from_numpy(256 * uniform("maps", shape))
    return values > 128 if dtype == torch.bool else values.to(dtype)


@few
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.integers(1, 40),
    any_dtype,
)
def test_pad_and_crop_undo_each_other(shape, multiple, dtype):
    x = numbers(shape, dtype)
    padded = pad_to_multiple(x, multiple)
    n, c, height, width = shape
    up = [multiple * ceil_div(side, multiple) for side in (height, width)]
    assert padded.shape == (n, c, *up) and padded.dtype == dtype
    assert torch.equal(crop_like(padded, x), x)
    # NumPy's padding, an independent implementation, gives the same border.
    extra = [(u - side) // 2 for u, side in zip(up, (height, width), strict=True)]
    sides = [(e, u - side - e) for e, u, side in zip(extra, up, (height, width), strict=True)]
    small = any(max(pair) >= side for pair, side in zip(sides, (height, width), strict=True))
    expected = np.pad(x.numpy(), [(0, 0), (0, 0), *sides], mode="edge" if small else "reflect")
    assert np.array_equal(padded.numpy(), expected)


@few
@given(st.one_of(NOT_A_COUNT, st.none()))
def test_pad_refuses_multiples(multiple):
    refuses(lambda: pad_to_multiple(torch.zeros(1, 1, 5, 5), multiple), "multiple", multiple)


not_maps = st.one_of(
    NOT_A_TENSOR.map(lambda x: (x, type(x).__name__)),
    st.lists(st.integers(1, 4), max_size=6)
    .filter(lambda shape: len(shape) != 4)
    .map(lambda shape: (torch.zeros(shape), tuple(shape))),
    st.sampled_from([(0, 1, 4, 4), (1, 0, 4, 4), (1, 1, 0, 4), (1, 1, 4, 0)]).map(
        lambda shape: (torch.zeros(shape), shape)
    ),
)


@few
@given(not_maps)
def test_pad_and_crop_refuse_what_is_not_maps(bad):
    x, quoted = bad
    refuses(lambda: pad_to_multiple(x), quoted)
    refuses(lambda: crop_like(x, torch.zeros(1, 1, 1, 1)), quoted)


@few
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    st.integers(1, 22),
    st.integers(1, 22),
    st.sampled_from([(), (1,), (2, 3), (1, 1, 1)]),
)
def test_crop_cuts_the_centre(shape, h, w, leading):
    x = numbers(shape, torch.float32)
    height, width = shape[2:]
    reference = torch.zeros(*leading, h, w)
    if h > height or w > width:
        refuses(lambda: crop_like(x, reference), f"{height}×{width}", f"{h}×{w}")
        return
    y = crop_like(x, reference)
    assert y.shape == (*shape[:2], h, w)
    top, left = (height - h) // 2, (width - w) // 2
    assert np.array_equal(y.numpy(), x.numpy()[:, :, top : top + h, left : left + w])


@few
@given(
    st.one_of(
        NOT_A_TENSOR.map(lambda x: (x, type(x).__name__)),
        st.sampled_from([(), (4,), (1, 1, 0, 4), (0, 0), (2, 0)]).map(
            lambda shape: (torch.zeros(shape), shape)
        ),
    )
)
def test_crop_refuses_references(bad):
    reference, quoted = bad
    refuses(lambda: crop_like(torch.zeros(1, 1, 8, 8), reference), "crop_like", quoted)
