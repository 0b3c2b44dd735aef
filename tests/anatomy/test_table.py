"""The layer table: torchinfo's counts, in the order the layers run."""

import pytest
import torch
import torchinfo

from backbone.anatomy import layer_table
from backbone.resnet import BasicBlock, ResNet18, ResNet34, ResNet50, ResNet101, ResNet152
from backbone.unet import UNetModel

# The source document's table of ResNet-18: names and kinds, from input to output.
SOURCE_TABLE = [
    ("", "input"),
    ("conv1", "Conv2d"),
    ("bn1", "BatchNorm2d"),
    ("relu", "ReLU"),
    ("maxpool", "MaxPool2d"),
    ("layer1", "Sequential"),
    ("layer2", "Sequential"),
    ("layer3", "Sequential"),
    ("layer4", "Sequential"),
    ("avgpool", "AdaptiveAvgPool2d"),
    ("", "flatten"),
    ("fc", "Linear"),
]


def test_the_sources_table_comes_out_of_the_live_model():
    table = layer_table(ResNet18(num_classes=1000), (1, 3, 224, 224))
    assert [(row.name, row.kind) for row in table] == SOURCE_TABLE
    details = {row.name: row.details for row in table}
    assert details["conv1"] == "3 → 64, 7×7, stride 2, padding 3"
    assert details["maxpool"] == "3×3, stride 2, padding 1"
    assert details["layer3"] == "2 × BasicBlock, 128 → 256, stride 2"
    assert table[-1].shape == (1, 1000)


@pytest.mark.parametrize(
    ("build", "parameters", "giga"),
    [
        (ResNet18, 11_181_642, 1.814),
        (ResNet34, 21_289_802, 3.663),
        (ResNet50, 23_528_522, 4.087),
        (ResNet101, 42_520_650, 7.799),
        (ResNet152, 58_164_298, 11.512),
    ],
)
def test_totals_are_torchinfos(build, parameters, giga):
    total = layer_table(build(), (1, 3, 224, 224)).total
    print(
        f"{build.__name__}: {total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds"
    )
    assert total.parameters == parameters
    assert round(total.multiply_adds / 1e9, 3) == giga


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(
    ("model", "size"),
    [(ResNet18(width=8), (1, 3, 64, 64)), (UNetModel(init_features=4), (1, 1, 64, 64))],
)
def test_the_rows_add_up_to_the_total_at_every_depth(model, size, depth):
    table = layer_table(model, size, depth)
    info = torchinfo.summary(model, input_size=size, verbose=0)
    assert table.total.parameters == info.total_params == sum(r.parameters for r in table)
    assert table.total.multiply_adds == info.total_mult_adds == sum(r.multiply_adds for r in table)


def test_inside_a_block_the_addition_is_a_step():
    rows = [row.name or row.kind for row in layer_table(BasicBlock(8, 16, 2), (1, 8, 32, 32), 2)]
    main, shortcut = ["conv1", "bn1", "relu", "conv2", "bn2"], ["downsample.0", "downsample.1"]
    assert rows == ["input", *main, *shortcut, "add", "relu"]


def test_it_reads_as_text_and_as_html():
    table = layer_table(ResNet18(), (1, 3, 64, 64))
    lines = str(table).splitlines()
    assert lines[0].split() == ["name", "kind", "details", "output", "parameters", "multiply-adds"]
    assert "11,181,642" in lines[-1]
    html = table._repr_html_()
    assert html.count("<tr>") == len(table) + 2 and "11,181,642" in html and "scope=col" in html


def test_making_a_table_changes_nothing():
    model = ResNet18(width=8)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    layer_table(model, (1, 3, 64, 64))
    assert torch.equal(torch.random.get_rng_state(), state), "torchinfo draws random numbers"
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("depth", [0, -1, 1.5])
def test_bad_depth(depth):
    with pytest.raises(ValueError, match="depth"):
        layer_table(ResNet18(width=8), (1, 3, 64, 64), depth)
