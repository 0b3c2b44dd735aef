"""Overlap-tile inference: equal to the whole image where it says so, and seams where it must fail.

The networks here are made far-sighted: all weights positive, so that what is wrong at the border of
a window is carried inwards as far as the architecture allows and nothing cancels or dies in a ReLU.
An untrained network hardly looks further than a few pixels, and would forgive nearly any margin.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from tqdm import tqdm

from backbone import tiling
from backbone.anatomy.receptive import receptive_field
from backbone.resnet import ResNet18
from backbone.resnet_unet import ResNetUNet
from backbone.tiling import _mirrored, predict_tiled
from backbone.unet import UNetModel, crop_like, join, pad_to_multiple
from backbone.variants import PaperUNet
from properties import NOT_A_COUNT, NOT_A_TENSOR, few, fewer, refuses

torch.set_num_threads(1)
TOLERANCE = 1e-5  # of scores of order one, float32


class Shallow(nn.Module):
    """A U of one step, with 5×5 convolutions."""

    def __init__(self, features=3, classes=2, channels=1):
        super().__init__()
        self.down = nn.Conv2d(channels, features, 5, padding=2)
        self.pool = nn.MaxPool2d(2)
        self.bottom = nn.Sequential(
            nn.Conv2d(features, features, 5, padding=2), nn.BatchNorm2d(features), nn.PReLU()
        )
        self.up = nn.ConvTranspose2d(features, features, 2, stride=2)
        self.out = nn.Conv2d(2 * features, classes, 3, padding=1)

    def forward(self, x):
        skipped = self.down(x)
        return self.out(join(self.up(self.bottom(self.pool(skipped))), skipped))


def far_sighted(model, seed=0):
    """Positive weights that average what they see; batch-norm statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                uniform(module.weight, 0.5, 1.5)
                module.weight /= module.weight[0].numel()
            elif isinstance(module, nn.ConvTranspose2d):
                uniform(module.weight, 0.5, 1.5)
                module.weight /= module.in_channels
            elif isinstance(module, nn.BatchNorm2d):
                uniform(module.weight, 0.7, 1.3)
                uniform(module.bias, 0.0, 0.2)
                uniform(module.running_mean, -0.2, 0.2)
                uniform(module.running_var, 0.5, 1.5)
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                uniform(module.bias, 0.0, 0.1)
    return model.eval()


def fields(model, multiple):
    """What the first and the last pixel of a pooling square see, as in the module's docstring."""
    size = (1, 1, 2 * multiple, 2 * multiple)
    return [receptive_field(model, "", size, at=(i, i)) for i in (multiple, multiple - 1)]


def reach(model, multiple):
    first, last = fields(model, multiple)
    return max(first.at[0] - first.rows[0], last.rows[1] - last.at[0])


def picture(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def whole(model, image, multiple=16):
    """The whole image in one go, padded and cropped."""
    with torch.no_grad():
        return crop_like(model(pad_to_multiple(image[None], multiple)), image)[0]


def surround(image, margin):
    return _mirrored(_mirrored(image, margin, dim=1), margin, dim=2)


def largest(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@pytest.fixture(scope="module")
def unet():
    return far_sighted(UNetModel(init_features=2))


@pytest.fixture(scope="module")
def resnet_unet():
    return far_sighted(ResNetUNet(ResNet18(in_channels=1, width=4)))


@pytest.fixture(scope="module")
def shallow():
    return far_sighted(Shallow())


@pytest.fixture(scope="module")
def shallow_reach(shallow):
    return reach(shallow, 2)


@pytest.fixture(scope="module")
def paper():
    return far_sighted(PaperUNet(init_features=2))


# --- equal to the whole image --------------------------------------------------------------------


def test_the_documented_reaches(unet, resnet_unet, paper):
    for model, multiple, tile_sees, pixel_sees in [
        (unet, 16, 94, 107),
        (resnet_unet, 32, 281, 310),
    ]:
        found = reach(model, multiple)
        size, at = (1, 1, 2 * multiple, 2 * multiple), 2 * multiple - 3
        furthest = at - receptive_field(model, "", size, at=(at, at)).rows[0]
        print(f"{type(model).__name__}: a tile sees {found} pixels, a single pixel {furthest}")
        assert (found, furthest) == (tile_sees, pixel_sees)
    # The paper's network says the same of the same U: (188 - 4) / 2 + 2, its smallest window.
    assert paper(torch.zeros(1, 1, 188, 188)).shape[2:] == (4, 4)


@fewer
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile=st.integers(1, 6).map(lambda k: 16 * k),
    margin=st.integers(6, 8).map(lambda k: 16 * k),
    batch_size=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_unet_equals_the_whole_image(unet, height, width, tile, margin, batch_size, seed):
    image = picture(1, height, width, seed=seed)
    expected = whole(unet, image)
    result = predict_tiled(unet, image, tile, margin, batch_size=batch_size)
    apart = largest(result, expected)
    print(f"{height}×{width}, tile {tile}, margin {margin}: {apart:.1e} apart")
    assert result.shape == (2, height, width)
    assert expected.abs().max() > 0.1
    assert apart <= TOLERANCE


def test_an_untamed_unet_with_three_channels_and_classes():
    """The weights it is born with, batch-norm statistics at random, colour, defaults."""
    torch.manual_seed(0)
    model = UNetModel(in_features=3, out_features=5, init_features=4).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 2)
    image = picture(3, 333, 410)
    apart = largest(predict_tiled(model, image), whole(model, image))
    print(f"{apart:.1e} apart")
    assert apart <= TOLERANCE


@settings(fewer, max_examples=4)
@given(
    height=st.integers(1, 64),
    width=st.integers(500, 900),
    tile=st.sampled_from([32, 64, 160]),
    turned=st.booleans(),
)
def test_resnet_unet_equals_the_whole_image(resnet_unet, height, width, tile, turned):
    image = picture(1, *((width, height) if turned else (height, width)))
    expected = whole(resnet_unet, image, 32)
    result = predict_tiled(resnet_unet, image, tile, 288, multiple=32, batch_size=4)
    apart, size = largest(result, expected), expected.abs().max()
    print(f"{tuple(image.shape)}, tile {tile}: {apart:.1e} apart, scores up to {size:.1f}")
    assert apart <= TOLERANCE * max(1, size)


@few
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(4, 20).map(lambda k: 2 * k),
    more=st.integers(0, 4).map(lambda k: 2 * k),
    batch_size=st.integers(1, 9),
)
def test_a_shallow_network_equals_the_whole_image(
    shallow, shallow_reach, height, width, tile, more, batch_size
):
    image = picture(1, height, width)
    margin = -(-shallow_reach // 2) * 2 + more
    result = predict_tiled(shallow, image, tile, margin, multiple=2, batch_size=batch_size)
    assert largest(result, whole(shallow, image, 2)) <= TOLERANCE


@few
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile=st.integers(1, 50),
    margin=st.integers(0, 50),
    mirror=st.booleans(),
)
def test_every_pixel_is_there_once(height, width, tile, margin, mirror):
    """A network that does nothing gives back the image, to the last bit."""
    image = picture(2, height, width)
    result = predict_tiled(nn.Identity(), image, tile, margin, multiple=1, mirror=mirror)
    assert torch.equal(result, image)


# --- seams: the tests above can fail -------------------------------------------------------------


@pytest.mark.parametrize(("name", "multiple", "size"), [("unet", 16, 320), ("shallow", 2, 80)])
def test_less_than_the_reach_leaves_seams(name, multiple, size, request):
    """In double precision, so that what a margin lacks shows above the rounding."""
    model = request.getfixturevalue(name)
    enough = -(-reach(model, multiple) // multiple) * multiple
    margins = range(0, enough + 1, multiple)
    model.double()
    try:
        image = picture(1, size, size, dtype=torch.float64)
        expected = whole(model, image, multiple)
        apart = {
            margin: largest(
                predict_tiled(model, image, 4 * multiple, margin, multiple=multiple), expected
            )
            for margin in margins
        }
    finally:
        model.float()
    print({margin: f"{error:.1e}" for margin, error in apart.items()})
    assert apart[0] > 0.05  # anyone can see it
    assert all(apart[margin] > 1e-7 for margin in margins if margin < enough)
    assert apart[enough] <= 1e-12


def test_seams_lie_on_the_borders_of_tiles(unet):
    """Without a margin the worst is where two tiles meet, and nothing is wrong far from there."""
    image = picture(1, 512, 512)
    apart = (predict_tiled(unet, image, 256, 0) - whole(unet, image)).abs().sum(0)
    at_seam = torch.cat((apart[254:258].flatten(), apart[:, 254:258].flatten())).mean().item()
    far = apart[:160, :160].max().item()  # at least 96 pixels from every seam
    print(f"at the seams {at_seam:.1e} on average, far from them {far:.1e} at most")
    assert at_seam > 0.05
    assert far <= TOLERANCE


def test_windows_off_the_grid_would_pool_other_squares(shallow):
    """Why tile and margin must be multiples: the same pixels, begun one pixel later."""
    image = picture(1, 80, 80)
    expected = whole(shallow, image, 2)[:, 30:50, 30:50]
    apart = {}
    for start in (2, 1):
        window = whole(shallow, image[:, start : start + 76, start : start + 76], 2)
        apart[start] = largest(
            window[:, 30 - start : 50 - start, 30 - start : 50 - start], expected
        )
    print(apart)
    assert apart[2] <= TOLERANCE < 1e-3 < apart[1]


# --- mirrored borders: the paper's strategy ------------------------------------------------------


@few
@given(size=st.integers(1, 9), border=st.integers(0, 30))
def test_mirroring_goes_to_and_fro(size, border):
    row = torch.arange(size)[None]
    expected = np.pad(row.numpy(), ((0, 0), (border, border)), mode="reflect")
    assert _mirrored(row, border, dim=1).tolist() == expected.tolist()


@settings(fewer, max_examples=10)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    tile=st.integers(1, 6).map(lambda k: 16 * k),
    margin=st.sampled_from([94, 102, 110]),
)
def test_the_papers_network_is_seamless(paper, height, width, tile, margin):
    image = picture(1, height, width)
    padded = pad_to_multiple(image[None])[0]
    with torch.no_grad():
        expected = crop_like(paper(surround(padded, margin)[None]), padded)
    expected = crop_like(expected, image)[0]
    result = predict_tiled(paper, image, tile, margin, mirror=True, batch_size=2)
    apart = largest(result, expected)
    print(f"{height}×{width}, tile {tile}: {apart:.1e} apart")
    assert result.shape == (2, height, width)
    assert apart <= TOLERANCE


def test_a_padded_network_with_mirrored_borders(unet):
    """It gives what it makes of the mirrored image, and differs from the plain one outside."""
    image = picture(1, 300, 250)
    padded = pad_to_multiple(image[None])[0]  # 304×256: 2 above and below, 3 left and right
    with torch.no_grad():
        mirrored = crop_like(crop_like(unet(surround(padded, 96)[None]), padded), image)[0]
    plain = whole(unet, image)
    result = predict_tiled(unet, image, 64, 96, mirror=True)
    inner = (slice(None), slice(94, -94), slice(94, -94))
    print(
        f"{largest(result, mirrored):.1e} from the mirrored image, {largest(result, plain):.1e} "
        f"from the plain one, {largest(result[inner], plain[inner]):.1e} of it inside"
    )
    assert largest(result, mirrored) <= TOLERANCE
    assert largest(result, plain) > 0.05
    assert largest(result[inner], plain[inner]) <= TOLERANCE


# --- memory, modes, devices, progress ------------------------------------------------------------


def largest_map(model, run):
    """Values in the largest tensor any module makes while `run()` runs."""
    seen = []
    handles = [
        module.register_forward_hook(lambda m, args, out: seen.append(out.numel()))
        for module in model.modules()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return max(seen)


def test_memory_follows_the_tile_and_not_the_image(unet):
    found = {}
    for size in (128, 256, 512):
        image = picture(1, size, size)
        tiled = largest_map(unet, lambda image=image: predict_tiled(unet, image, 64, 32))
        two = largest_map(unet, lambda i=image: predict_tiled(unet, i, 64, 32, batch_size=2))
        at_once = largest_map(unet, lambda image=image: whole(unet, image))
        found[size] = (tiled, two, at_once)
        # A window of 128×128 with 4 channels (two joined) is the largest there is.
        assert tiled <= 4 * 128**2
        assert two <= 2 * 4 * 128**2
        assert at_once == (size // 128) ** 2 * tiled
    print("largest tensor, in values (one window, two windows, whole image):", found)


def modes(model):
    return [module.training for module in model.modules()]


def test_modes_hooks_weights_and_image_are_left_as_they_were():
    model = ResNetUNet(ResNet18(in_channels=1, width=2))
    model.freeze_encoder()
    model.train()
    image = picture(1, 40, 70).requires_grad_()
    before, kept = modes(model), image.detach().clone()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    result = predict_tiled(model, image, 32, 32, multiple=32)
    with pytest.raises(ValueError):
        predict_tiled(model, picture(2, 64, 64), 32, 32, multiple=32)  # fails inside
    print(f"{sum(before)} of {len(before)} modules in training mode before and after")
    assert 0 < sum(before) < len(before)
    assert modes(model) == before
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(image, kept)
    assert not result.requires_grad
    # In training mode batch norm would have used the statistics of the window.
    model.eval()
    assert torch.equal(result, predict_tiled(model, image, 32, 32, multiple=32))


class Elsewhere(nn.Module):
    """Weights on a device that computes nothing; notes which device the windows come on."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))
        self.devices = []

    def forward(self, x):
        self.devices.append(x.device.type)
        return torch.ones(x.shape)


def test_windows_go_to_the_models_device():
    model, image = Elsewhere(), picture(1, 64, 48)
    result = predict_tiled(model, image, 16, 16)
    print(f"{len(model.devices)} windows on {set(model.devices)}, result on {result.device}")
    assert model.devices == ["meta"] * 12
    assert model.weight.device.type == "meta"
    assert image.device.type == result.device.type == "cpu"


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_on_every_device_there_is(unet, device):
    image = picture(1, 300, 260)
    expected = whole(unet, image)
    try:
        result = predict_tiled(unet.to(device), image, batch_size=2)
        assert next(unet.parameters()).device.type == device
    finally:
        unet.cpu()
    assert result.device.type == "cpu"
    assert largest(result, expected) <= 1e-2  # TF32


def test_dtype_and_batches(unet):
    image = picture(1, 100, 100, dtype=torch.float64)
    unet.double()
    try:
        one, many = (predict_tiled(unet, image, 16, 16, batch_size=n) for n in (1, 100))
    finally:
        unet.float()
    assert one.dtype == torch.float64
    assert largest(one, many) <= 1e-12


def test_a_bar_only_where_asked(unet, capfd, monkeypatch):
    # As where the environment says nothing; `make test` forbids bars.
    monkeypatch.setattr(
        tiling, "progress_bar", lambda things, *, show, **how: tqdm(things, disable=not show, **how)
    )
    image = picture(1, 64, 64)
    predict_tiled(unet, image, 16, 16)
    quiet = capfd.readouterr()
    predict_tiled(unet, image, 16, 16, batch_size=3, progress=True)
    loud = capfd.readouterr()
    print(loud.err)
    assert quiet.out == quiet.err == ""
    assert "6/6" in loud.err  # 16 tiles, 3 at a time


# --- refusals ------------------------------------------------------------------------------------


@few
@given(
    name=st.sampled_from(["tile", "multiple", "batch_size", "margin"]),
    value=NOT_A_COUNT.filter(lambda value: type(value) is not int or value != 0),
)
def test_refuses_what_is_no_count(unet, name, value):
    refuses(lambda: predict_tiled(unet, torch.zeros(1, 64, 64), **{name: value}), value)


@few
@given(name=st.sampled_from(["tile", "margin"]), value=st.integers(1, 500))
def test_refuses_what_is_off_the_grid(shallow, name, value):
    multiple = next(m for m in (7, 11, 13) if value % m)
    arguments = {"tile": multiple, "margin": multiple, "multiple": multiple, name: value}
    message = refuses(
        lambda: predict_tiled(shallow, torch.zeros(1, 9, 9), **arguments), name, value, multiple
    )
    assert str((value // multiple + 1) * multiple) in message


@few
@given(image=NOT_A_TENSOR)
def test_refuses_what_is_no_tensor(unet, image):
    refuses(lambda: predict_tiled(unet, image), type(image).__name__)


@pytest.mark.parametrize("shape", [(), (64,), (64, 64), (1, 1, 64, 64), (1, 0, 64), (0, 64, 64)])
def test_refuses_what_is_not_one_image(unet, shape):
    refuses(lambda: predict_tiled(unet, torch.zeros(shape)), shape)


@pytest.mark.parametrize("model", [None, UNetModel, torch.relu])
def test_refuses_what_is_no_model(model):
    refuses(lambda: predict_tiled(model, torch.zeros(1, 64, 64)), model)


@pytest.mark.parametrize("mirror", [None, 1, "reflect"])
def test_refuses_a_mirror_that_is_no_switch(unet, mirror):
    refuses(lambda: predict_tiled(unet, torch.zeros(1, 64, 64), mirror=mirror), mirror)


def test_refuses_a_multiple_that_is_too_small_for_the_network(resnet_unet):
    """Windows of 128 + 2·96 = 320 fit a network that halves five times; their grid does not."""
    image = torch.zeros(1, 640, 640)
    message = refuses(lambda: predict_tiled(resnet_unet, image), "multiple=16", "multiple=32")
    print(message)


def test_refuses_a_network_that_loses_pixels_without_mirroring(paper):
    image = torch.zeros(1, 572, 572)
    with pytest.raises(ValueError, match=r"windows, \(1, 1, 320, 320\).*\n*.*188, 204"):
        predict_tiled(paper, image)
    unpadded = nn.Conv2d(1, 2, 5)
    message = refuses(
        lambda: predict_tiled(unpadded, image, multiple=1), "mirror=True", "loses 2 pixels"
    )
    print(message)
    refuses(lambda: predict_tiled(unpadded, image, 8, 1, multiple=1, mirror=True), "margin=1")
    assert predict_tiled(unpadded, image, 572, 2, multiple=1, mirror=True).shape == (2, 572, 572)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Flatten(), "scores per pixel"),
        (nn.Upsample(scale_factor=2), "as large as the window"),
        (nn.Conv2d(1, 1, 2), "as large as the window"),
        (nn.Conv2d(1, 1, (3, 1)), "as large as the window"),
        (nn.Sequential(nn.AvgPool2d(4), nn.Upsample(scale_factor=4)), "multiple=4"),
    ],
)
def test_refuses_networks_that_cannot_be_tiled(model, said):
    image = torch.zeros(1, 32, 32)
    print(refuses(lambda: predict_tiled(model, image, 8, 8, multiple=2, mirror=False), said))
