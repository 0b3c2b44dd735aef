"""Receptive fields: arithmetic against gradients, which cannot be argued with."""

import pytest
import torch
from torch import nn

from backbone.anatomy import receptive_field, record_features
from backbone.resnet import BasicBlock, Bottleneck, ResNet, ResNet18, ResNet50
from backbone.unet import UNetModel
from backbone.variants import PaperUNet


def padded_by_name():
    """Paddings that PyTorch computes itself; an even kernel has no middle."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 4, padding="same"), nn.Conv2d(2, 2, 3, padding="valid", dilation=2)
    )


def reached_by_gradient(model, layer, size, at):
    """Rows and columns of the input whose pixels really influence one value, by autograd.

    Positive weights and no ReLU that could block anything: whatever is connected is reached.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(module.weight, 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.MaxPool2d):  # its gradient picks one pixel; the average takes all
            module.forward = nn.AvgPool2d(module.kernel_size, module.stride, module.padding).forward
    model = model.eval().double()
    x = torch.rand(size, dtype=torch.float64).requires_grad_()
    kept = {}
    model.get_submodule(layer).register_forward_hook(lambda m, a, out: kept.update(out=out))
    model(x)
    kept["out"][0, :, at[0], at[1]].sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    rows, columns = touched.any(1).nonzero().flatten(), touched.any(0).nonzero().flatten()
    return (rows[0].item(), rows[-1].item()), (columns[0].item(), columns[-1].item())


@pytest.mark.parametrize(
    ("build", "layer", "size", "at"),
    [
        (lambda: ResNet18(width=2), "conv1", (1, 3, 64, 64), (5, 9)),
        (lambda: ResNet18(width=2), "layer1", (1, 3, 128, 128), (16, 10)),
        (lambda: ResNet18(width=2), "layer2", (1, 3, 160, 160), (10, 10)),
        (lambda: ResNet(Bottleneck, [1, 1, 1, 1], width=2), "layer2", (1, 3, 128, 96), (8, 6)),
        (lambda: ResNet(BasicBlock, [1, 1, 1, 1], width=2), "layer3", (1, 3, 224, 224), (7, 7)),
        (padded_by_name, "0", (1, 1, 20, 24), (9, 11)),
        (padded_by_name, "1", (1, 1, 20, 24), (0, 11)),
        (lambda: UNetModel(init_features=1), "encode_layer3", (1, 1, 96, 96), (12, 11)),
        (lambda: UNetModel(init_features=1), "upconv4", (1, 1, 256, 256), (17, 16)),
        (lambda: UNetModel(init_features=1), "decode_layer3", (1, 1, 256, 256), (33, 30)),
        (lambda: UNetModel(init_features=1), "out_layer", (1, 1, 256, 256), (131, 126)),
    ],
)
def test_equals_what_gradients_reach(build, layer, size, at):
    torch.manual_seed(0)
    model = build()
    field = receptive_field(model, layer, size, at)
    reached = reached_by_gradient(model, layer, size, at)
    print(f"{field}; gradients reach rows {reached[0]}, columns {reached[1]}")
    assert field.clipped == reached


def test_known_sizes():
    sizes = {
        name: receptive_field(ResNet18(), name).size
        for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4")
    }
    print(sizes)
    assert sizes == {
        "conv1": (7, 7), "maxpool": (11, 11), "layer1": (43, 43),
        "layer2": (99, 99), "layer3": (211, 211), "layer4": (435, 435),
    }  # fmt: skip
    assert receptive_field(ResNet50(width=8), "layer4").size == (427, 427)


def test_after_the_pool_everything_counts():
    with pytest.raises(ValueError, match="makes no feature map"):
        receptive_field(ResNet18(width=8), "fc")
    field = receptive_field(ResNet18(width=8), "avgpool", (1, 3, 96, 64))
    assert field.clipped == ((0, 95), (0, 63))


def test_refusals():
    model = ResNet18(width=8)
    with pytest.raises(ValueError, match="outside the 16×16 map"):
        receptive_field(model, "layer1", (1, 3, 64, 64), at=(16, 0))
    with pytest.raises(ValueError, match="no module 'layer7'"):
        receptive_field(model, "layer7")
    with pytest.raises(ValueError, match="cannot follow the operation 'slice'"):
        receptive_field(PaperUNet(init_features=1), "decode_layer1", (1, 1, 188, 188))
    assert record_features(model, torch.zeros(1, 3, 64, 64), ["layer1"])["layer1"].shape[-1] == 16
