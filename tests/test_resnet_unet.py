"""ResNetUNet: shapes, refusals, the ResNet inside, freezing, and the tools that look in."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from backbone.anatomy import cut, cuttable, draw_network, layer_table, record_features, skips, trace
from backbone.resnet import ResNet18, ResNet34, ResNet50
from backbone.resnet_unet import PLACES, ResNetUNet
from backbone.training import fit
from backbone.unet import UNetModel, crop_like, pad_to_multiple
from properties import NOT_A_COUNT, bad_images, few, fewer, refuses

torch.set_num_threads(1)
DEPTHS = {"18": ResNet18, "34": ResNet34, "50": ResNet50}


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return ResNetUNet(ResNet18(in_channels=1, width=4)).eval()


def learned_resnet(seed=0, **arguments):
    """A ResNet whose batch-norm statistics are not those it was born with."""
    torch.manual_seed(seed)
    resnet = ResNet18(**{"in_channels": 1, "width": 4, **arguments})
    resnet.train()(torch.randn(4, resnet.conv1.in_channels, 64, 64))
    return resnet


# --- shapes -------------------------------------------------------------------------------------


@settings(fewer, max_examples=12)
@given(
    depth=st.sampled_from(list(DEPTHS)),
    width=st.integers(1, 6),
    in_channels=st.integers(1, 4),
    out_features=st.integers(1, 4),
    size=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
    training=st.booleans(),
)
def test_output_has_the_size_of_the_input(depth, width, in_channels, out_features, size, training):
    model = ResNetUNet(DEPTHS[depth](in_channels=in_channels, width=width), out_features)
    n, h, w = size[0] + training, 32 * size[1], 32 * size[2]
    y = model.train(training)(torch.zeros(n, in_channels, h, w))
    assert y.shape == (n, out_features, h, w)


@pytest.mark.parametrize("depth", list(DEPTHS))
def test_stages_halve_the_size_and_join_equals(depth):
    model = ResNetUNet(DEPTHS[depth](in_channels=3, width=4))
    e = 4 if depth == "50" else 1
    found = {
        k: tuple(v.shape[1:]) for k, v in record_features(model, torch.zeros(1, 3, 64, 96)).items()
    }
    expected = {
        "encode_layer1": (4, 32, 48),
        "encode_layer2": (4 * e, 16, 24),
        "encode_layer3": (8 * e, 8, 12),
        "encode_layer4": (16 * e, 4, 6),
        "encode_decode_layer": (32 * e, 2, 3),
        "decode_layer4": (16, 4, 6),
        "decode_layer3": (8, 8, 12),
        "decode_layer2": (4, 16, 24),
        "decode_layer1": (4, 32, 48),
        "decode_layer0": (4, 64, 96),
        "out_layer": (2, 64, 96),
    }
    print(depth, found)
    assert {name: found[name] for name in expected} == expected
    for i in (1, 2, 3, 4):
        assert found[f"encode_layer{i}"][1:] == found[f"upconv{i}"][1:]


def test_children_are_named_as_in_the_unet():
    ours = {name for name, _ in ResNetUNet(ResNet18(width=1)).named_children()}
    unet = {name for name, _ in UNetModel(init_features=1).named_children()}
    print(f"more: {ours - unet}, missing: {unet - ours}")
    assert ours - unet == {"upconv0", "decode_layer0"}
    assert unet - ours == {"pool2", "pool3", "pool4"}  # the ResNet's stages halve by themselves


def test_padding_makes_any_image_fit(small):
    x = torch.rand(1, 1, 50, 75)
    assert crop_like(small(pad_to_multiple(x, 32)), x).shape == (1, 2, 50, 75)


# --- refusals -----------------------------------------------------------------------------------


@few
@given(bad=bad_images(channels=1))
def test_it_refuses_what_is_not_an_image(small, bad):
    x, quoted = bad
    refuses(lambda: small(x), quoted)


@few
@given(h=st.integers(1, 100), w=st.integers(1, 100))
def test_it_refuses_other_sizes_and_says_which_fit(small, h, w):
    x = torch.zeros(1, 1, h, w)
    if h % 32 == 0 and w % 32 == 0:
        assert small(x).shape == (1, 2, h, w)
        return
    message = refuses(lambda: small(x), f"{h}×{w}", "multiples of 32")
    up = tuple(-(-side // 32) * 32 for side in (h, w))
    assert f"{up[0]}×{up[1]}" in message
    assert pad_to_multiple(x, 32).shape[2:] == up  # the advice is right


@few
@given(bad=NOT_A_COUNT)
def test_it_refuses_a_number_of_classes_that_is_none(bad):
    refuses(lambda: ResNetUNet(ResNet18(width=1), bad), bad)


@pytest.mark.parametrize("bad", [None, "resnet18", ResNet18, nn.ReLU(), UNetModel(1, 2, 1)])
def test_it_refuses_another_encoder(bad):
    print(refuses(lambda: ResNetUNet(bad), bad))


def test_one_small_image_in_training_mode_is_refused(small):
    model = copy.deepcopy(small).train()
    x = torch.zeros(1, 1, 32, 32)
    print(refuses(lambda: model(x), "32×32", "1×1"))
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 2, 32, 32)
    assert model(torch.zeros(1, 1, 32, 64)).shape == (1, 2, 32, 64)
    model.freeze_encoder()  # then batch norm at the bottom uses its running statistics
    assert model(x).shape == (1, 2, 32, 32)


# --- the ResNet inside --------------------------------------------------------------------------


def test_the_encoder_computes_what_the_resnet_computes():
    resnet = learned_resnet().eval()
    model = ResNetUNet(resnet).eval()
    x = torch.randn(2, 1, 64, 64)
    theirs = record_features(resnet, x, ["layer1", "layer2", "layer3", "layer4"])
    ours = record_features(model, x, [PLACES[name] for name in theirs])
    for name, maps in theirs.items():
        assert torch.equal(maps, ours[PLACES[name]])


def test_the_resnet_given_stays_as_it_is():
    resnet = learned_resnet()
    before = copy.deepcopy(resnet.state_dict())
    model = ResNetUNet(resnet).train()
    model(torch.randn(2, 1, 64, 64)).sum().backward()
    model.freeze_encoder()
    with torch.no_grad():
        model.encode_layer1[0].weight.zero_()
    assert all(torch.equal(v, before[k]) for k, v in resnet.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in resnet.parameters())


@pytest.mark.parametrize("kind", ["resnet", "state_dict", "old checkpoint", "other classes"])
def test_load_encoder_takes_a_checkpoint(kind):
    resnet = learned_resnet(num_classes=1000 if kind == "other classes" else 10)
    state = resnet.state_dict()
    if kind == "old checkpoint":
        state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.manual_seed(5)
    model = ResNetUNet(ResNet18(in_channels=1, width=4))
    decoder = {k: v.clone() for k, v in model.state_dict().items() if "encode_" not in k}
    model.load_encoder(resnet if kind == "resnet" else state)
    x = torch.randn(1, 1, 64, 64)
    theirs = record_features(resnet, x, ["layer4"])["layer4"]
    assert torch.equal(record_features(model, x, ["encode_decode_layer"]).popitem()[1], theirs)
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in decoder.items())


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (ResNet34(in_channels=1, width=4), ValueError, ["have no place", "same depth"]),
        (ResNet50(in_channels=1, width=4), ValueError, ["same depth"]),
        (ResNet18(in_channels=1, width=8), ValueError, ["(4, 1, 7, 7)", "(8, 1, 7, 7)", "width"]),
        (ResNet18(in_channels=3, width=4), ValueError, ["(4, 3, 7, 7)", "in_channels"]),
        ({"weight": torch.zeros(1)}, ValueError, ["missing"]),
        ("resnet18.pth", TypeError, ["str", "state_dict"]),
    ],
)
def test_load_encoder_refuses_and_changes_nothing(source, error, words):
    model = ResNetUNet(ResNet18(in_channels=1, width=4))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(error) as caught:
        model.load_encoder(source)
    print(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# --- freezing -----------------------------------------------------------------------------------


def encoder_state(model):
    return {k: v.clone() for k, v in model.state_dict().items() if "encode_" in k[:7]}


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_keeps_every_number(frozen):
    model = ResNetUNet(learned_resnet())
    if frozen:
        model.freeze_encoder()
    encoder, whole = encoder_state(model), copy.deepcopy(model.state_dict())
    x, y = torch.randn(8, 1, 32, 32), torch.randint(2, (8, 32, 32))
    fit(model, (x, y), epochs=2, batch_size=4, device="cpu", progress=False, metric="iou")
    after = model.state_dict()
    changed = [k for k, v in encoder.items() if not torch.equal(after[k], v)]
    print(f"{len(changed)} of {len(encoder)} tensors of the encoder changed")
    assert bool(changed) is not frozen
    if not frozen:  # weights and running statistics both
        assert any("running_mean" in k for k in changed)
        assert any("conv1.weight" in k for k in changed)
    decoder = [k for k in whole if k not in encoder]
    assert not any(torch.equal(after[k], whole[k]) for k in decoder if k.endswith("weight"))


def test_freezing_reaches_the_encoder_only_and_can_be_undone():
    model = ResNetUNet(ResNet18(in_channels=1, width=2)).train()
    model.freeze_encoder()
    learning = {k.split(".")[0] for k, p in model.named_parameters() if p.requires_grad}
    print(sorted(learning))
    assert learning == {
        name
        for name, m in model.named_children()
        if "encode_" not in name[:7] and list(m.parameters())
    }
    assert not any(m.training for stage in model.encoder() for m in stage.modules())
    assert model.decode_layer1[1].training
    assert not model.eval().decode_layer1[1].training
    model.train().unfreeze_encoder()
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())


# --- the tools that look in ---------------------------------------------------------------------

KNOWN = {"input", "conv2d", "batch_norm", "relu", "add", "max_pool2d", "conv_transpose2d", "cat"}


@pytest.mark.parametrize("depth", list(DEPTHS))
def test_only_known_operations(depth):
    ops = trace(ResNetUNet(DEPTHS[depth](in_channels=1, width=1)), (1, 1, 64, 64))
    print(depth, len(ops), "operations:", sorted({op.kind for op in ops}))
    assert {op.kind for op in ops} == KNOWN
    across = [s.name for s in skips(ops) if s.kind == "cat"]
    assert across == [f"encode_layer{i}" for i in (4, 3, 2, 1)]


def test_every_skip_can_be_cut_and_matters(small):
    names = cuttable(small)
    assert {f"encode_layer{i}" for i in (1, 2, 3, 4)} <= set(names)
    assert {"encode_layer2.0", "encode_decode_layer.1"} <= set(names)
    assert set(names) == {s.name for s in skips(trace(small, (1, 1, 64, 64)))}
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        whole = small(x)
        for name in names:
            with cut(small, name):
                change = (small(x) - whole).abs().max().item()
            print(f"{name}: {change:.3g}")
            assert change > 0
        assert torch.equal(small(x), whole)


def test_cutting_a_skip_is_joining_zeros(small):
    x = torch.randn(1, 1, 64, 64)
    for i, skipped in ((1, 4), (2, 4), (3, 8), (4, 16)):
        other = copy.deepcopy(small)
        with torch.no_grad():
            other.get_submodule(f"decode_layer{i}")[0].weight[:, -skipped:] = 0
            with cut(small, f"encode_layer{i}"):
                y = small(x)
            assert torch.allclose(y, other(x), atol=1e-5)


def test_it_can_be_drawn_and_tabulated(small):
    drawing = draw_network(small, (1, 1, 64, 64))
    places = drawing.places
    for i in (1, 2, 3, 4):  # a stage and the place its skip arrives at lie on one level
        (stage,) = [key for key in places if key.split(" ")[0] == f"encode_layer{i}"]
        arrives = {y for key, (_, y) in places.items() if key.startswith("cat")}
        assert any(places[stage][1] == pytest.approx(y) for y in arrives)
    middle = [key for key in places if key.startswith("encode_decode_layer")]
    assert places[middle[0]][1] == min(y for _, y in places.values())
    assert "encode_layer4" in drawing.svg()
    table = layer_table(small, (1, 1, 64, 64))
    print(table)
    assert table.total.parameters == sum(p.numel() for p in small.parameters())


# --- it learns ----------------------------------------------------------------------------------


def test_it_learns_to_mark_discs():
    torch.manual_seed(0)
    yy, xx = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    centre = torch.randint(12, 52, (64, 2, 1, 1))
    masks = ((yy - centre[:, 0]) ** 2 + (xx - centre[:, 1]) ** 2 < 150).long()
    images = masks[:, None] + 0.3 * torch.randn(64, 1, 64, 64)
    model = ResNetUNet(ResNet18(in_channels=1, width=4))
    data = (images[:48], masks[:48]), (images[48:], masks[48:])
    history = fit(
        *(model, *data),
        **{"epochs": 8, "batch_size": 8, "lr": 0.1, "optimizer": "sgd", "metric": "iou"},
        **{"loss": F.cross_entropy, "device": "cpu", "progress": False},
    )
    print("IoU on unseen discs:", [round(v, 3) for v in history["val_score"]])
    assert history["val_score"][-1] > 0.85
