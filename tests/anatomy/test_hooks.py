"""Looking inside and cutting: exact results, and a model that is as it was."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from backbone.anatomy import cut, cuttable, gradient_norms, record_features, recording
from backbone.anatomy.hooks import find_module
from backbone.resnet import BasicBlock, Bottleneck, ResNet18, ResNet50
from backbone.unet import UNetModel
from backbone.variants import PaperUNet, PlainBlock, PlainBottleneck


def snapshot(model):
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        [m.training for m in model.modules()],
        [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
        [p.grad is None for p in model.parameters()],
    )


def same(a, b):
    return (
        a[0].keys() == b[0].keys()
        and all(torch.equal(a[0][k], b[0][k]) for k in a[0])
        and a[1:] == b[1:]
    )


def test_recorded_maps_are_what_the_layers_put_out():
    model = ResNet18(width=8).eval()
    x = torch.randn(2, 3, 64, 64)
    maps = record_features(model, x, ["bn1", "layer1.0", "fc"])
    with torch.no_grad():
        bn1 = model.bn1(model.conv1(x))
        assert torch.equal(maps["bn1"], bn1), "the in-place ReLU must not have reached the copy"
        assert bn1.min() < 0
        assert torch.equal(maps["layer1.0"], model.layer1[0](model.maxpool(bn1.relu())))
        assert torch.equal(maps["fc"], model(x))


def test_all_top_level_modules_by_default():
    maps = record_features(UNetModel(init_features=2), torch.randn(1, 1, 32, 32))
    assert next(iter(maps)) == "encode_layer1" and list(maps)[-1] == "out_layer"
    assert len(maps) == 18


@pytest.mark.parametrize("mode", [True, False])
def test_recording_leaves_the_model_untouched(mode):
    model = ResNet18(width=8).train(mode)
    model.layer1[0].bn1.eval()  # a mode of its own must survive too
    before = snapshot(model)
    record_features(model, torch.randn(1, 3, 64, 64))
    assert same(snapshot(model), before)


def test_untouched_after_an_exception():
    model = ResNet18(width=8)
    before = snapshot(model)
    with pytest.raises(ValueError), cut(model, "layer1.0"), recording(model, ["conv1"]):
        model(torch.randn(1, 5, 64, 64))
    assert same(snapshot(model), before)
    with pytest.raises(KeyError), cut(model), recording(model, ["conv1"]):
        raise KeyError
    assert same(snapshot(model), before)
    x = torch.randn(2, 3, 64, 64)
    twin = copy.deepcopy(model)
    assert torch.equal(model(x), twin(x))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from([(BasicBlock, PlainBlock), (Bottleneck, PlainBottleneck)]),
    in_planes=st.integers(1, 12),
    planes=st.integers(1, 6),
    stride=st.sampled_from([1, 2]),
    training=st.booleans(),
)
def test_a_cut_block_is_the_plain_block(kind, in_planes, planes, stride, training):
    block, plain = (k(in_planes, planes, stride).train(training) for k in kind)
    weights = {k: v for k, v in block.state_dict().items() if not k.startswith("downsample")}
    plain.load_state_dict(weights)
    x = torch.randn(2, in_planes, 9, 8)
    whole = copy.deepcopy(block)(x)
    with cut(copy.deepcopy(block)) as severed:
        assert torch.equal(severed(x), copy.deepcopy(plain)(x))
    assert torch.equal(copy.deepcopy(block)(x), whole)


@pytest.mark.parametrize("model", [ResNet18(width=8), ResNet50(width=4)])
def test_every_shortcut_can_be_cut_and_matters(model):
    model.eval()
    x = torch.randn(1, 3, 64, 64)
    whole = model(x)
    changes = []
    for name in cuttable(model):
        with cut(model, name):
            changes.append((model(x) - whole).abs().max().item())
    print(f"{len(changes)} cuts change the logits by {min(changes):.2g} to {max(changes):.2g}")
    assert len(changes) == sum(isinstance(m, BasicBlock | Bottleneck) for m in model.modules())
    assert min(changes) > 0
    assert torch.equal(model(x), whole)


@pytest.mark.parametrize(
    ("model", "size"), [(UNetModel(init_features=4), 32), (PaperUNet(init_features=4), 188)]
)
def test_a_cut_skip_arrives_as_zeros(model, size):
    model.eval()
    x = torch.randn(1, 1, size, size)
    for level in (1, 2, 3, 4):
        arrived = []
        decoder = model.get_submodule(f"decode_layer{level}")
        handle = decoder.register_forward_pre_hook(lambda m, a, into=arrived: into.append(a[0]))
        model(x)
        with cut(model, f"encode_layer{level}"):
            model(x)
        handle.remove()
        whole, severed = arrived
        channels = whole.shape[1] // 2
        assert torch.equal(whole[:, :channels], severed[:, :channels])
        assert whole[:, channels:].abs().max() > 0
        assert severed[:, channels:].abs().max() == 0


def test_several_cuts_at_once():
    model = ResNet18(width=8).eval()
    x = torch.randn(1, 3, 32, 32)
    with cut(model, "layer1.0", "layer3.1"):
        both = model(x)
    with cut(model, "layer1.0"), cut(model, "layer3.1"):
        nested = model(x)
    assert torch.equal(both, nested)


def test_gradients_flow_through_a_cut_model():
    model = ResNet18(width=8)
    with cut(model):
        model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert model.layer4[0].downsample[0].weight.grad is None, "nothing ran through the shortcut"
    assert model.conv1.weight.grad.abs().max() > 0


def test_the_source_documents_names_can_be_cut_too():
    class Block(BasicBlock):  # the document calls its shortcut `shortcut`
        def __init__(self):
            super().__init__(4, 4)
            del self.downsample
            self.shortcut = nn.Sequential()

        def forward(self, x):
            out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            out += self.shortcut(x)
            return self.relu(out)

    block = Block().eval()
    x = torch.randn(1, 4, 8, 8)
    with cut(block):
        severed = block(x)
    assert torch.equal(severed, block.bn2(block.conv2(block.bn1(block.conv1(x)).relu())).relu())


def test_names_that_do_not_exist_are_answered_with_those_that_do():
    model = ResNet18(width=8)
    with pytest.raises(ValueError, match=r"no skip named 'layer9.*layer4\.1"), cut(model, "layer9"):
        pass
    with pytest.raises(ValueError, match="no shortcut or skip"), cut(nn.Conv2d(1, 1, 1)):
        pass
    with pytest.raises(ValueError, match=r"layer1\.0 has conv1, bn1"):
        record_features(model, torch.zeros(1, 3, 32, 32), ["layer1.0.conv7"])
    with pytest.raises(TypeError, match=r"\['conv1'\]"):
        record_features(model, torch.zeros(1, 3, 32, 32), "conv1")
    assert find_module(model, "") is model


def test_a_connection_that_is_never_met_is_reported():
    class Odd(BasicBlock):
        def forward(self, x):
            return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))

    block = Odd(4, 4).eval()
    with pytest.raises(RuntimeError, match="never met"), cut(block):
        block(torch.zeros(1, 4, 8, 8))


def test_gradient_norms_are_autograds():
    model = ResNet18(width=8)
    before = snapshot(model)
    x, target = torch.randn(4, 3, 32, 32), torch.arange(4)
    norms = gradient_norms(model, x, target)
    assert same(snapshot(model), before)
    twin = copy.deepcopy(model).train()
    nn.functional.cross_entropy(twin(x), target).backward()
    assert next(iter(norms)) == "conv1" and len(norms) == 20
    for name, norm in norms.items():
        assert norm == pytest.approx(twin.get_submodule(name).weight.grad.norm().item())
