"""CifarResNet: shapes, counts against formulas, equal twins, option A by hand, refusals, tools."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from backbone.anatomy import cut, cuttable, draw_network, layer_table, skips, trace
from backbone.cifar_resnet import BLOCKS, BlockA, BlockC, CifarResNet, PadChannels
from backbone.resnet import BasicBlock
from properties import NOT_A_COUNT, bad_images, ceil_div, few, fewer, refuses

OPTIONS = [None, "A", "B", "C"]
DEPTHS = st.integers(1, 4).map(lambda n: 6 * n + 2)


def net(shortcut, depth=14, seed=0, **arguments):
    torch.manual_seed(seed)
    return CifarResNet(depth, shortcut, **{"in_channels": 1, "width": 4, **arguments})


def main_path(model):
    """Name → tensor of everything that is not on a shortcut."""
    return {k: v for k, v in model.state_dict().items() if "downsample" not in k.split(".")}


def count(model):
    return sum(p.numel() for p in model.parameters())


# --- shapes and counts --------------------------------------------------------------------------


@fewer
@given(
    depth=DEPTHS,
    shortcut=st.sampled_from(OPTIONS),
    width=st.integers(1, 5),
    channels=st.integers(1, 4),
    classes=st.integers(1, 12),
    size=st.tuples(st.integers(1, 3), st.integers(1, 21), st.integers(1, 21)),
    training=st.booleans(),
)
def test_shapes(depth, shortcut, width, channels, classes, size, training):
    n, h, w = size
    assume(not training or n > 1 or max(h, w) > 4)  # refused, see below
    model = CifarResNet(depth, shortcut, classes, channels, width).train(training)
    seen = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: out.shape}))
    assert model(torch.randn(n, channels, h, w)).shape == (n, classes)
    for i in range(3):
        expected = (n, width * 2**i, ceil_div(h, 2**i), ceil_div(w, 2**i))
        assert seen[f"layer{i + 1}"] == expected


@pytest.mark.parametrize("shortcut", OPTIONS)
@pytest.mark.parametrize("depth", [8, 14, 20, 56])
def test_the_main_path_has_as_many_layers_as_the_name_says(depth, shortcut):
    model = net(shortcut, depth, width=1)
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in name.split(".")
    ]
    stages = [len(model.get_submodule(f"layer{i}")) for i in (1, 2, 3)]
    print(f"{shortcut} {depth}: {len(layers)} layers, blocks {stages}")
    assert len(layers) == depth
    assert stages == [(depth - 2) // 6] * 3


def parameters_by_formula(depth, shortcut, classes, channels, w):
    """Counted on paper: 3×3 kernels without biases, two numbers a channel in each batch norm."""
    n, total = (depth - 2) // 6, 9 * channels * w + 2 * w + (4 * w + 1) * classes
    before = w
    for planes in (w, 2 * w, 4 * w):
        total += 9 * before * planes + 9 * planes * planes * (2 * n - 1) + 2 * n * 2 * planes
        if shortcut == "B" and before != planes:
            total += before * planes + 2 * planes
        if shortcut == "C":
            total += before * planes + (n - 1) * planes * planes + n * 2 * planes
        before = planes
    return total


@fewer
@given(
    depth=DEPTHS,
    shortcut=st.sampled_from(OPTIONS),
    classes=st.integers(1, 12),
    channels=st.integers(1, 4),
    width=st.integers(1, 6),
)
def test_parameters_follow_the_formula(depth, shortcut, classes, channels, width):
    model = CifarResNet(depth, shortcut, classes, channels, width)
    assert count(model) == parameters_by_formula(depth, shortcut, classes, channels, width)


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_plain_and_a_cost_the_same_b_and_c_more(depth):
    plain, a, b, c = (count(net(shortcut, depth)) for shortcut in OPTIONS)
    print(f"{depth}: plain {plain:,}, A {a:,}, B {b:,}, C {c:,}")
    assert plain == a < b
    # With a single block a stage, "C" projects one shortcut more: that of the first stage.
    assert b < c


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (56, 0.85), (110, 1.7)])
def test_parameters_of_the_papers_table_6(depth, millions):
    found = count(CifarResNet(depth)) / 1e6
    print(f"ResNet-{depth}: {found:.3f} M, the paper says {millions} M")
    assert f"{found:.{len(str(millions)) - 2}f}" == str(millions)


# --- twins --------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [8, 14, 20])
@pytest.mark.parametrize("shortcut", ["A", "B"])  # C draws for more projections
def test_twins_of_one_seed_start_out_equal(depth, shortcut):
    plain, other = net(None, depth, seed=3).state_dict(), main_path(net(shortcut, depth, seed=3))
    assert list(plain) == list(other)
    same = [k for k in plain if torch.equal(plain[k], other[k])]
    print(f"{shortcut} {depth}: {len(same)} of {len(plain)} tensors are equal to the plain net's")
    assert same == list(plain)


def test_another_seed_starts_out_different():
    one, other = net("A", seed=3), net("A", seed=4)
    kernels = [k for k, v in one.state_dict().items() if v.dim() == 4]
    different = [k for k in kernels if not torch.equal(one.state_dict()[k], other.state_dict()[k])]
    print(f"{len(different)} of {len(kernels)} kernels differ")
    assert kernels
    assert different == kernels


def test_without_its_shortcuts_the_residual_net_is_the_plain_one():
    plain, residual = net(None, 20, seed=1).eval(), net("A", 20, seed=1).eval()
    x = torch.randn(3, 1, 9, 12)
    with torch.no_grad(), cut(residual):
        assert torch.equal(residual(x), plain(x))
    with torch.no_grad():
        apart = (residual(x) - plain(x)).abs().max().item()
    print(f"with its shortcuts it differs by {apart:.3g}")
    assert apart > 0.01


def test_kernels_are_he_initialised():
    """[1] §3.4 points to He's initialisation: variance 2 / fan; ours takes the fan out."""
    for shortcut in OPTIONS:
        model = net(shortcut, 20, width=16)
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                ratio = module.weight.std().item() / (2 / fan_out) ** 0.5
                assert 0.75 < ratio < 1.25, (shortcut, name, ratio)


# --- the options --------------------------------------------------------------------------------


@few
@given(
    c=st.integers(1, 5),
    extra=st.integers(0, 5),
    stride=st.integers(1, 3),
    h=st.integers(1, 9),
    w=st.integers(1, 9),
)
def test_option_a_keeps_every_strided_pixel_and_adds_zeros(c, extra, stride, h, w):
    x = torch.randn(2, c, h, w)
    y = PadChannels(extra, stride)(x)
    expected = torch.zeros(2, c + extra, ceil_div(h, stride), ceil_div(w, stride))
    for i in range(expected.shape[2]):
        for j in range(expected.shape[3]):
            expected[:, :c, i, j] = x[:, :, i * stride, j * stride]
    assert torch.equal(y, expected)
    assert not list(PadChannels(extra, stride).parameters())


@pytest.mark.parametrize("stride", [1, 2])
def test_block_a_is_the_branch_plus_option_a(stride):
    torch.manual_seed(0)
    block, x = BlockA(3, 3 * stride, stride).eval(), torch.randn(2, 3, 7, 8)
    with torch.no_grad():
        branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        branch[:, :3] += x[:, :, ::stride, ::stride]
        assert torch.equal(block(x), torch.relu(branch))


@pytest.mark.parametrize("shortcut", OPTIONS)
def test_which_shortcuts_learn(shortcut):
    model = net(shortcut, 20)
    blocks = [m for m in model.modules() if isinstance(m, BasicBlock)]
    learn = [bool(list(b.downsample.parameters())) if shortcut and b.downsample else False
             for b in blocks]  # fmt: skip
    print(shortcut, "".join("x" if one else "." for one in learn))
    change = [False] * 3 + [True, False, False] * 2
    assert learn == {None: [False] * 9, "A": [False] * 9, "B": change, "C": [True] * 9}[shortcut]
    assert {type(b) for b in blocks} == {BLOCKS[shortcut]}
    assert isinstance(BlockC(2, 2).downsample[0], nn.Conv2d)


def test_option_a_says_what_it_does_when_printed():
    assert "PadChannels(extra=4, stride=2)" in repr(net("A"))


# --- refusals -----------------------------------------------------------------------------------


@few
@given(depth=st.integers(1, 200))
def test_it_refuses_depths_in_between_and_says_which_are_near(depth):
    if depth % 6 == 2 and depth >= 8:
        return
    message = refuses(lambda: CifarResNet(depth, width=1), depth)
    below, above = (
        int(word.strip(".")) for word in message.split("nearest are ")[1].split(" and ")
    )
    assert below % 6 == above % 6 == 2
    assert above - below == 6
    assert below < depth < above or (depth < 8 and below == 8)


@few
@given(bad=NOT_A_COUNT, name=st.sampled_from(["depth", "num_classes", "in_channels", "width"]))
def test_it_refuses_what_is_not_a_count(bad, name):
    assert name in refuses(lambda: CifarResNet(**{name: bad}), bad)


@pytest.mark.parametrize("bad", ["D", "a", "", "None", 0, False, True, ["A"], {"A"}, BlockA, 1.5])
def test_it_refuses_another_shortcut(bad):
    print(refuses(lambda: CifarResNet(8, bad), repr(bad)))


@few
@given(bad=bad_images(channels=2, height=8, width=12), shortcut=st.sampled_from(OPTIONS))
def test_it_refuses_what_is_not_an_image(bad, shortcut):
    x, quoted = bad
    refuses(lambda: net(shortcut, 8, in_channels=2)(x), quoted)


@few
@given(h=st.integers(1, 6), w=st.integers(1, 6))
def test_one_image_that_shrinks_to_a_pixel_is_refused_in_training_only(h, w):
    model, x = net("A", 8).train(), torch.randn(1, 1, h, w)
    if h <= 4 and w <= 4:
        refuses(lambda: model(x), f"{h}×{w}", "1×1")
    else:
        assert model(x).shape == (1, 10)
    assert model.eval()(x).shape == (1, 10)


# --- the tools that look in ---------------------------------------------------------------------


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_every_shortcut_can_be_cut_and_matters(shortcut):
    model = net(shortcut, 14).eval()
    blocks = [f"layer{stage}.{i}" for stage in (1, 2, 3) for i in (0, 1)]
    assert cuttable(model) == blocks
    assert {s.name for s in skips(trace(model, (1, 1, 8, 8)))} == set(blocks)
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        whole = model(x)
        changes = {}
        for name in blocks:
            with cut(model, name):
                changes[name] = (model(x) - whole).abs().max().item()
        print(shortcut, {k: f"{v:.3g}" for k, v in changes.items()})
        assert all(change > 1e-4 for change in changes.values())
        assert torch.equal(model(x), whole)


def test_the_plain_net_has_nothing_to_cut():
    model = net(None)
    assert cuttable(model) == []
    assert skips(trace(model, (1, 1, 8, 8))) == []
    with pytest.raises(ValueError, match="no shortcut"), cut(model):
        pass


@pytest.mark.parametrize("shortcut", OPTIONS)
def test_it_can_be_tabulated_drawn_and_traced(shortcut):
    model = net(shortcut, 8)
    before = copy.deepcopy(model.state_dict())
    table = layer_table(model, (1, 1, 8, 8))
    print(table)
    shapes = {row.name: row.shape for row in table}
    assert shapes["layer3"] == (1, 16, 2, 2)
    assert table.total.parameters == count(model)
    svg = draw_network(model, (1, 1, 8, 8)).svg()
    assert all(f"layer{i}" in svg for i in (1, 2, 3))
    kinds = [op.kind for op in trace(model, (1, 1, 8, 8))]
    assert kinds.count("add") == (0 if shortcut is None else 3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
