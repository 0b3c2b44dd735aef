"""The list of operations and the skips in it, against what the models are known to be."""

import pytest
import torch
from torch import nn

from backbone.anatomy import skips, trace
from backbone.resnet import BasicBlock, Bottleneck, ResNet18, ResNet50
from backbone.unet import UNetModel
from backbone.variants import PaperUNet, PlainBlock


def test_a_basic_block_is_seven_operations_and_an_input():
    ops = trace(BasicBlock(8, 8), (1, 8, 16, 16))
    assert [op.kind for op in ops] == [
        "input", "conv2d", "batch_norm", "relu", "conv2d", "batch_norm", "add", "relu",
    ]  # fmt: skip
    assert [op.module for op in ops] == ["", "conv1", "bn1", "relu", "conv2", "bn2", "", "relu"]


def test_shapes_are_those_of_the_real_run():
    model = ResNet18(width=8).eval()
    x = torch.randn(2, 3, 65, 47)
    by_module = {op.module: op.shape for op in trace(model, x)}
    seen = {}
    handles = [
        m.register_forward_hook(lambda _, __, out, n=n: seen.update({n: tuple(out.shape)}))
        for n, m in model.named_modules()
        if n and not list(m.children())
    ]
    model(x)
    for handle in handles:
        handle.remove()
    shared = [name for name in seen if name in by_module]
    print(f"{len(shared)} modules compared")
    assert len(shared) == len(seen) > 50
    assert all(by_module[name] == seen[name] for name in shared)


@pytest.mark.parametrize(("model", "count"), [(ResNet18(width=8), 8), (ResNet50(width=8), 16)])
def test_every_block_has_one_shortcut(model, count):
    found = skips(trace(model, (1, 3, 64, 64)))
    blocks = [n for n, m in model.named_modules() if isinstance(m, BasicBlock | Bottleneck)]
    print(len(found), "shortcuts")
    assert [skip.name for skip in found] == blocks
    assert len(found) == count
    projected = {skip.name for skip in found if skip.entry != skip.source}
    assert projected == {n for n in blocks if model.get_submodule(n).downsample is not None}


@pytest.mark.parametrize(
    ("model", "size"),
    [(UNetModel(init_features=2), (1, 1, 32, 32)), (PaperUNet(init_features=2), (1, 1, 188, 188))],
)
def test_a_unet_has_four_skips_named_after_the_encoder(model, size):
    found = skips(trace(model, size))
    assert [skip.kind for skip in found] == ["cat"] * 4
    assert [skip.name for skip in found] == [f"encode_layer{i}" for i in (4, 3, 2, 1)]


def test_the_control_group_has_none():
    assert skips(trace(PlainBlock(8, 16, 2), (1, 8, 16, 16))) == []


def test_tracing_changes_nothing():
    model = ResNet18(width=8).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    trace(model, (1, 3, 32, 32))
    assert model.training and all(m.training for m in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_models_own_message_comes_through():
    with pytest.raises(ValueError, match="multiples of 16; got 100×100"):
        trace(UNetModel(init_features=2), (1, 1, 100, 100))


@pytest.mark.parametrize("size", [(1, 3, 0, 32), (), (1, 3, 32.0, 32), (True, 3, 32, 32)])
def test_bad_sizes_are_refused_early(size):
    with pytest.raises((ValueError, TypeError), match="input_size"):
        trace(ResNet18(width=8), size)


def test_a_model_that_decides_on_values_gets_a_teaching_error():
    class Moody(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(ValueError, match="cannot be listed"):
        trace(Moody(), torch.ones(1, 3, 8, 8))
