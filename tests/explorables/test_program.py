"""Models as programs: what is in them, that they are the same every time, and what is refused."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parity import randomised
from torch import nn
from torch.nn import functional as F

from backbone.anatomy import cuttable, trace
from backbone.cifar_resnet import CifarResNet
from backbone.explorables import export_program
from backbone.resnet import BasicBlock, ResNet18
from backbone.resnet_unet import ResNetUNet
from backbone.unet import UNetModel
from backbone.variants import PlainBlock
from properties import NOT_A_TENSOR, fewer, refuses

COLOUR = torch.zeros(1, 3, 64, 64)
MODELS = {
    "ResNet18": (lambda: ResNet18(width=8), (1, 3, 64, 64)),
    "UNetModel": (lambda: UNetModel(init_features=4), (1, 1, 32, 32)),
    "ResNetUNet": (lambda: ResNetUNet(ResNet18(in_channels=1, width=4)), (1, 1, 32, 32)),
    "CifarResNet": (lambda: CifarResNet(8, width=4), (1, 3, 32, 32)),
}


def operations(program, op=None):
    found = program.description["operations"]
    return [o for o in found if op in (None, o["op"])]


class Made(nn.Module):
    """A module of one function, for a model in one line."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


@pytest.mark.parametrize("name", MODELS)
def test_program_is_complete_and_in_order(name):
    make, shape = MODELS[name]
    model, x = make(), torch.zeros(shape)
    program = export_program(model, x)
    description = json.loads(program.to_json())
    assert description == program.description
    made, end = {"input"}, 0
    for op in description["operations"]:
        assert set(op["inputs"]) <= made, op
        assert op["name"] not in made, op
        made.add(op["name"])
        for place in op.get("weights", {}).values():
            end = max(end, place["offset"] + int(np.prod(place["shape"])))
    assert description["output"] in made
    assert end * 2 == len(program.weights)
    assert all(set(results) <= made for results in description["modules"].values())
    assert list(description["cuts"]) == cuttable(model)
    # All modules that ran have a result, except convolutions folded into a batch norm.
    folded = {module for op in description["operations"] for module in op.get("folded", [])}
    used = {op.module for op in trace(model, x) if op.module}
    leaves = {n for n, m in model.named_modules() if not list(m.children())} & used
    assert leaves - folded <= set(description["modules"])
    assert folded <= leaves - set(description["modules"])
    print(
        f"{name}: {len(made) - 1} operations, {len(folded)} batch norms folded, "
        f"{len(description['modules'])} modules, {len(description['cuts'])} cuts"
    )


def test_size_of_a_small_network():
    """Width-8 ResNet18: two bytes a parameter, and an honest little description."""
    model = ResNet18(width=8)
    program = export_program(model, COLOUR)
    text, weights = len(program.to_json().encode()), len(program.weights)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters: {weights} bytes of weights, {text} bytes of description")
    assert weights <= 2 * parameters  # batch norm's scales are folded away
    assert text <= 12_000
    assert len(export_program(model, COLOUR, dtype="float32").weights) == 2 * weights


def test_same_model_same_bytes():
    torch.manual_seed(0)
    model = randomised(CifarResNet(8, width=4))
    x = torch.zeros(1, 3, 32, 32)
    one, two = export_program(model, x), export_program(model, torch.rand(1, 3, 32, 32))
    assert (one.to_json(), one.weights) == (two.to_json(), two.weights)
    model.fc.bias.data += 1
    assert export_program(model, x).weights != one.weights


def test_model_is_untouched():
    torch.manual_seed(0)
    model = ResNet18(width=8).train()
    model.layer1.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    export_program(model, COLOUR)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


def test_batch_norm_is_folded_only_where_it_can_be():
    def twice(self, x):
        y = self.conv(x)
        return self.norm(y) + y  # the convolution's own result is needed as well

    parts = {"conv": nn.Conv2d(1, 2, 1), "norm": nn.BatchNorm2d(2)}
    models = {
        "conv": (nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), 0),
        "transposed": (nn.Sequential(nn.ConvTranspose2d(1, 2, 2), nn.BatchNorm2d(2)), 1),
        "alone": (nn.BatchNorm2d(1), 1),
        "before": (nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1)), 1),
        "read twice": (Made(twice, **parts), 1),
    }
    for name, (model, left) in models.items():
        program = export_program(model, torch.zeros(1, 1, 8, 8))
        kinds = [op["op"] for op in operations(program)]
        print(name, kinds)
        assert kinds.count("scale_shift") == left, name
    whole = export_program(models["conv"][0], torch.zeros(1, 1, 8, 8), fold=False)
    assert [op["op"] for op in operations(whole)] == ["conv2d", "scale_shift"]


def test_flatten_is_not_tied_to_size_or_batch():
    for flatten in (
        lambda self, x: x.view(x.shape[0], -1),
        lambda self, x: torch.flatten(x, 1),
        lambda self, x: x.reshape(len(x), x.shape[1] * x.shape[2], -1).flatten(1),
    ):
        programs = [
            export_program(Made(flatten), torch.zeros(s)) for s in [(1, 3, 5, 7), (4, 3, 9, 9)]
        ]
        [groups], [other] = (
            [op["attributes"]["groups"] for op in operations(p)][-1:] for p in programs
        )
        print(groups)
        assert groups == other


def test_what_depends_only_on_weights_is_computed_once():
    model = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3))
    program = export_program(model, torch.zeros(1, 2, 8, 8), dtype="float32")
    assert [op["op"] for op in operations(program)] == ["conv2d"]
    place = operations(program)[0]["weights"]["weight"]
    numbers = np.frombuffer(program.weights, "<f4")[place["offset"] :][: 3 * 2 * 9]
    assert np.array_equal(numbers, model.weight.detach().numpy().ravel())


def test_equal_weights_are_stored_once():
    conv = nn.Conv2d(2, 2, 3, padding=1)
    program = export_program(nn.Sequential(conv, nn.ReLU(), conv), torch.zeros(1, 2, 8, 8))
    assert len(program.weights) == 2 * (2 * 2 * 9 + 2)
    assert [len(r) for r in program.description["modules"].values()] == [2, 1]  # as a hook


def test_a_block_in_several_places_is_cut_in_all_of_them():
    block = BasicBlock(2, 2)
    model = nn.Sequential(block, nn.Sequential(block), nn.ReLU())
    description = export_program(model, torch.zeros(1, 2, 8, 8)).description
    print(description["cuts"])
    assert [len(ends) for ends in description["cuts"].values()] == [2]
    assert set(description["modules"]) == {
        n for n, _ in model.named_modules() if n and "conv" not in n
    }


def test_a_plain_network_has_no_cuts():
    program = export_program(PlainBlock(4, 4), torch.zeros(1, 4, 8, 8))
    assert program.description["cuts"] == {}


def test_a_shortcut_that_is_never_added_is_no_cut():
    def forward(self, x):
        return self.conv(x)

    model = Made(forward, conv=nn.Conv2d(1, 1, 1), shortcut=nn.Identity())
    assert cuttable(model) == [""]
    assert export_program(model, torch.zeros(1, 1, 4, 4)).description["cuts"] == {}


def test_other_spellings_of_a_shortcut():
    """The source document's empty Sequential, and an addition without `+=`."""

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.conv(x))

    for shortcut, index in [(nn.Sequential(), 0), (nn.Identity(), 0), (nn.Dropout(0.5), 0)]:
        model = Made(forward, conv=nn.Conv2d(1, 1, 1), shortcut=shortcut)
        program = export_program(model, torch.zeros(1, 1, 4, 4))
        [[at, i]] = program.description["cuts"][""]
        print(shortcut, at, i)
        assert (at, i) == (operations(program, "add")[0]["name"], index)


# --- Refusals -------------------------------------------------------------------------------------


@fewer
@given(x=NOT_A_TENSOR)
def test_example_must_be_a_tensor(x):
    refuses(lambda: export_program(nn.ReLU(), x), type(x).__name__)


@pytest.mark.parametrize("model", [None, "ResNet18", ResNet18, nn.ReLU, {}, lambda x: x])
def test_model_must_be_a_module(model):
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    print(refuses(lambda: export_program(model, COLOUR), name))


@pytest.mark.parametrize("dtype", ["float64", torch.float16, None, 16])
def test_dtype_must_be_one_of_three(dtype):
    print(refuses(lambda: export_program(nn.ReLU(), COLOUR, dtype=dtype), dtype))


def unsupported(make, *quoted, shape=(1, 4, 8, 8)):
    print(refuses(lambda: export_program(make, torch.zeros(shape)), *quoted))


def test_unknown_operation_is_named_with_its_module():
    model = ResNet18(width=2)
    model.layer2[1].relu = nn.GELU()
    unsupported(model, "gelu", "layer2.1.relu", "GELU", shape=(1, 3, 32, 32))
    unsupported(Made(lambda self, x: x.cumsum(1)), "cumsum", "the forward of Made")


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("model", "quoted"),
    [
        (nn.Flatten(0), "batch"),
        (nn.Softmax(2), "dimension 2"),
        (nn.BatchNorm2d(4, track_running_stats=False), "track_running_stats=True"),
        (nn.Conv2d(4, 4, 2, padding="same"), "even kernel"),
        (nn.AvgPool2d(2, divisor_override=3), "divisor_override"),
        (nn.ReflectionPad2d(1), "reflect"),
        (nn.SELU(), "SELU"),
        (Made(lambda self, x: x.mean(1)), "height and width"),
        (Made(lambda self, x: F.dropout(x, training=True)), "random"),
        (Made(lambda self, x: torch.cat((x, x), 2)), "dimension 2"),
        (Made(lambda self, x: torch.add(x, x, alpha=2)), "alpha"),
        (Made(lambda self, x: F.conv2d(x, x[:, :1, :3, :3].expand(4, 4, 3, 3))), "batch"),
        (Made(lambda self, x: x.view(x.shape[0], 2, -1)), "view"),
        (Made(lambda self, x: x.half()), "32 bits"),
        (Made(lambda self, x: torch.ones(3)), "does not depend on its input"),
    ],
    ids=str,
)
def test_variant_of_an_operation_is_refused(model, quoted):
    unsupported(model, quoted)


def test_a_model_must_run_and_not_decide():
    unsupported(ResNet18(width=2), "(1, 4, 8, 8)")  # in its own words
    unsupported(nn.Linear(3, 3), "Linear does not run on an example of", (1, 4, 8, 8))
    unsupported(Made(lambda self, x: x if x.sum() > 0 else -x), "decides on the values of tensors")
    unsupported(Made(lambda self, x: (x, x)), "returns 2 values")


def test_writing_into_a_shared_tensor_is_refused():
    def shared(self, x):
        y = x * 2
        first = y[:, :1]
        first.relu_()  # y has changed, too
        return first + y

    def not_read_again(self, x):
        return F.relu(torch.flatten(x * 2, 1), inplace=True)

    unsupported(Made(shared), "shares its memory")
    export_program(Made(not_read_again), torch.zeros(1, 4, 8, 8))


def test_weights_must_fit_the_numbers():
    model = nn.Linear(1, 1)
    model.weight.data.fill_(70000.0)
    text = refuses(lambda: export_program(model, torch.zeros(1, 1)), "70000", "float32")
    print(text)
    export_program(model, torch.zeros(1, 1), dtype="float32")
    model.weight.data.fill_(float("nan"))
    refuses(lambda: export_program(model, torch.zeros(1, 1), dtype="float32"), "nan")


@fewer
@given(
    channels=st.integers(1, 4),
    groups=st.integers(1, 2),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    bias=st.booleans(),
)
def test_attributes_are_those_of_the_module(channels, groups, kernel, stride, padding, bias):
    conv = nn.Conv2d(
        channels * groups, 2 * groups, kernel, stride, padding, groups=groups, bias=bias
    )
    x = torch.zeros(1, channels * groups, 9, 11)
    [op] = operations(export_program(conv, x))
    assert op["attributes"] == {
        "stride": list(conv.stride),
        "padding": list(conv.padding),
        "dilation": [1, 1],
        "groups": groups,
    }
    assert op["shape"] == list(conv(x).shape[1:])
    assert op["weights"]["weight"]["shape"] == list(conv.weight.shape)
    assert ("bias" in op["weights"]) == bias
