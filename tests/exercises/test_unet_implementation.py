"""The checks of "U-Net: the implementation": right answers of several kinds, and usual slips."""

import pytest
import torch
from right_and_wrong import meets, passes
from torch import nn
from torch.nn import functional as F

from backbone.exercises import Wrong, check, question, unet_implementation  # noqa: F401
from backbone.unet import UNetModel, conv_stage, crop_like, join

SHAPES = {"encode_decode_layer": (2, 256, 6, 10), "decode_layer2": (2, 32, 48, 80)}


def test_predict_the_bottom():
    passes("unet-implementation.1", [SHAPES, {k: torch.Size(v) for k, v in SHAPES.items()}])
    meets(
        "unet-implementation.1",
        {
            "batch": [SHAPES | {"encode_decode_layer": (1, 256, 6, 10)}],
            "one-level-too-deep": [SHAPES | {"encode_decode_layer": (2, 512, 3, 5)}],
            "counted-from-the-bottom": [SHAPES | {"decode_layer2": (2, 64, 24, 40)}],
            "joined-channels": [SHAPES | {"decode_layer2": (2, 64, 48, 80)}],
            "sides-swapped": [SHAPES | {"encode_decode_layer": (2, 256, 10, 6)}],
            "channels": [SHAPES | {"encode_decode_layer": (2, 128, 6, 10)}],
            "size": [SHAPES | {"encode_decode_layer": (2, 256, 12, 20)}],
            "not-four-numbers": [SHAPES | {"decode_layer2": (32, 48, 80)}],
            "not-these-names": [None, [SHAPES]],
        },
    )


def test_colour_in():
    passes("unet-implementation.2", [675, torch.tensor(675.0)])
    meets(
        "unet-implementation.2",
        {
            "bias-forgotten": [672],
            "kernel-forgotten": [163],
            "first-only": [576],
            "last-only": [99],
            "whole-layers": [1061],
            "turned-round": [-675],
            "other": [642],
        },
    )


def test_every_class_gets_its_own_numbers():
    for seed in range(1, 9):
        q = question("unet-implementation.1", seed=seed)
        f, n, h, w = q["features"], q["batch"], q["height"], q["width"]
        shapes = {
            "encode_decode_layer": (n, 16 * f, h // 16, w // 16),
            "decode_layer2": (n, 2 * f, h // 2, w // 2),
        }
        assert n == 2 and check("unet-implementation.1", shapes, seed=seed).answered
        q = question("unet-implementation.2", seed=seed)
        more = (q["in_features"] - 1) * 9 * 32 + (q["out_features"] - 2) * 33
        assert check("unet-implementation.2", more, seed=seed).answered
        f = question("unet-implementation.3", seed=seed)["features"]
        weights = 9 * 85 * f * f  # 1² + 2² + 4² + 8² = 85
        total = sum(p.numel() for p in UNetModel(init_features=f).parameters())
        cost = {"weights": weights, "share": weights / total}
        assert check("unet-implementation.3", cost, seed=seed).answered
        print(f"class {seed}: {shapes['decode_layer2']}, {more} more, width {f} costs {weights:,}")
        with pytest.raises(Wrong):
            check("unet-implementation.3", {"weights": 783_360, "share": 0.1}, seed=seed)


def test_cost_of_skips():
    right = {"weights": 783_360, "share": 0.1009}
    passes("unet-implementation.3", [right, right | {"share": 783_360 / 7_765_460}])
    meets(
        "unet-implementation.3",
        {
            "both-halves": [right | {"weights": 1_566_720}],
            "kernel-forgotten": [right | {"weights": 87_040}],
            "as-many-out-as-in": [right | {"weights": 3_133_440}],
            "biases-too": [right | {"weights": 783_840}],
            "one-level": [right | {"weights": 9 * 256**2}, right | {"weights": 9 * 32**2}],
            "upconvs": [right | {"weights": 696_320}],
            "all-of-it": [right | {"weights": 7_765_460}],
            "per-cent": [right | {"share": 10.1}],
            "share-of-the-rest": [right | {"share": 0.1122}],
            "share": [right | {"share": 0.2}],
            "not-these-names": [783_360],
            "other": [right | {"weights": 1000}],
        },
    )


X = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def changes(before=lambda stage: None, set_mode=True, sign=1, other=False, size=100):
    def change_by_bias(training):
        stage = conv_stage(1, 8)
        if set_mode:
            stage.train(training)
        with torch.no_grad():
            first = stage(X)
            before(stage)
            if other:
                stage = conv_stage(1, 8).train(training)
            stage[0].bias += size
            return sign * (stage(X) - first).abs().max().item()

    return change_by_bias


def in_evaluation(training):
    return changes()(False)


def by_copy(training):
    stages = [conv_stage(1, 8), conv_stage(1, 8)]
    stages[1].load_state_dict(stages[0].state_dict())
    stages[1][0].bias.data.add_(100)
    one, two = (stage.train(training)(X) for stage in stages)
    return (one - two).abs().mean().detach()


def test_idle_bias():
    passes("unet-implementation.4", [changes(), by_copy])
    meets(
        "unet-implementation.4",
        {
            "always-training": [changes(set_mode=False)],
            "always-evaluation": [in_evaluation],
            "turned-round": [lambda training: changes()(not training)],
            "two-stages": [changes(other=True), changes(other=True, size=0)],
            "bias-unchanged": [lambda training: 0, changes(size=0)],
            "no-absolute-value": [changes(sign=-1)],
            "no-return": [lambda training: None],
            "raises": [lambda: 1, lambda training: conv_stage(1, 8)[0].bias.add_(100)],
            "not-a-number": [lambda training: conv_stage(1, 8)(X), lambda training: "large"],
            "called-too-early": [95.8],
        },
    )


def distance_from_affine(g, a, b):
    zero = g(torch.zeros_like(a))
    return ((g(a + b) - zero) - (g(a) - zero) - (g(b) - zero)).abs().max().item()


def summed(g, a, b):
    return (g(a + b) - g(a) - g(b) + g(torch.zeros(1, 1, 32, 32))).abs().sum()


def on_the_line(g, a, b):
    return (g((a + b) / 2) - (g(a) + g(b)) / 2).norm()  # affine maps keep the middle


def relative(g, a, b):
    shift = g(0 * a)
    return summed(g, a, b) / (g(a) - shift).abs().sum()


def squared(g, a, b):
    return (g(a + b) - g(a) - g(b) + g(0 * a)).square().mean()


def deviation(g, a, b):
    return g(a + b) - g(a) - g(b) + g(0 * a)


def test_slope_one():
    answers = [distance_from_affine, summed, on_the_line, relative, squared]
    passes("unet-implementation.5", answers)
    meets(
        "unet-implementation.5",
        {
            "constant-forgotten": [lambda g, a, b: (g(a + b) - g(a) - g(b)).abs().max()],
            "linear-is-not-zero": [
                lambda g, a, b: (g(a + b) - g(a)).abs().max(),
                lambda g, a, b: (g(a) - a).abs().max(),
            ],
            "scaling-only": [lambda g, a, b: (g(2 * a) - 2 * g(a) + g(0 * a)).abs().max()],
            "always-zero": [lambda g, a, b: 0, lambda g, a, b: (g(a + b) - g(b + a)).abs().max()],
            "signs-left-in": [
                lambda g, a, b: deviation(g, a, b).max(),
                lambda g, a, b: deviation(g, a, b).mean(),
                lambda g, a, b: deviation(g, a, b).sum(),
                lambda g, a, b: deviation(g, a, b).min(),
            ],
            "verdict-instead-of-distance": [
                lambda g, a, b: distance_from_affine(g, a, b) < 1e-4,
            ],
            "not-a-number": [deviation],
            "no-return": [lambda g, a, b: None],
            "raises": [lambda slope: slope, lambda g, a, b: g[2].weight],
            "called-too-early": [0.4],
        },
    )


def mend(weight):
    half = weight.shape[1] // 2
    return torch.cat((weight[:, half:], weight[:, :half]), dim=1)


def test_swap_the_join():
    def in_place(weight):
        half = weight.shape[1] // 2
        weight[:, :half] = weight[:, half:]
        return weight

    passes(
        "unet-implementation.6",
        [
            mend,
            lambda w: torch.cat(w.chunk(2, dim=1)[::-1], 1),
            lambda w: w.roll(w.shape[1] // 2, dims=1),
            lambda w: torch.nn.Parameter(mend(w)),
        ],
    )
    meets(
        "unet-implementation.6",
        {
            "unchanged": [lambda w: w, lambda w: w.clone()],
            "outputs-moved": [lambda w: torch.cat(w.chunk(2)[::-1])],
            "reversed": [lambda w: w.flip(1)],
            "kernels-turned": [lambda w: w.flip(2, 3)],
            "fixed-256": [lambda w: torch.cat((w[:, 256:], w[:, :256]), dim=1)],
            "overwrites": [in_place],
            "shape": [lambda w: w[:, 256:], lambda w: w.transpose(0, 1)],
            "no-tensor": [lambda w: None],
            "raises": [lambda a, b: a, lambda w: w[256]],
            "called-too-early": [torch.zeros(256, 512, 3, 3)],
            "other": [lambda w: w.flip(1).flip(2), lambda w: mend(w).flip(3), torch.zeros_like],
        },
    )


def test_answers_leave_random_numbers_alone():
    before = torch.random.get_rng_state()
    check("unet-implementation.5", distance_from_affine)
    check("unet-implementation.6", mend)
    assert torch.equal(before, torch.random.get_rng_state())
    print("the generator is where it was")


def test_the_hint_on_scaling_is_true():
    x = torch.linspace(-1, 1, 9)
    assert torch.equal(F.prelu(2 * x, torch.tensor(0.25)), 2 * F.prelu(x, torch.tensor(0.25)))
    print("a PReLU, scaled by two, just scales")


def unpadded(crop=crop_like, padded=(), turned=False, forward=True, after=None):
    """A maker of unpadded U-Nets; arguments make it a wrong one."""

    class Unpadded(UNetModel):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            for name, module in self.named_modules():
                if isinstance(module, nn.Conv2d) and not name.startswith(padded or ("none",)):
                    module.padding = (0, 0)

        def forward(self, x):
            if not forward:
                return super().forward(x)
            enc1 = self.encode_layer1(x)
            enc2 = self.encode_layer2(self.pool1(enc1))
            enc3 = self.encode_layer3(self.pool2(enc2))
            enc4 = self.encode_layer4(self.pool3(enc3))
            x = self.encode_decode_layer(self.pool4(enc4))
            for level, skip in zip((4, 3, 2, 1), (enc4, enc3, enc2, enc1), strict=True):
                up = self.get_submodule(f"upconv{level}")(x)
                pair = (up, crop(skip, up))
                if after == level:
                    pair = (up, up)
                x = self.get_submodule(f"decode_layer{level}")(join(*pair[:: -1 if turned else 1]))
            return self.out_layer(x)

    return Unpadded


def test_without_padding():
    def centre(skip, up):
        top, left = ((a - b) // 2 for a, b in zip(skip.shape[2:], up.shape[2:], strict=True))
        return skip[:, :, top : top + up.shape[2], left : left + up.shape[3]]

    def grown(skip, up):
        return F.interpolate(skip, size=up.shape[2:])

    passes("unet-implementation.7", [unpadded(), unpadded(crop=centre)])
    meets(
        "unet-implementation.7",
        {
            "still-padded": [UNetModel, unpadded(padded=("enc", "dec", "out"))],
            "some-still-padded": [unpadded(padded=("encode_decode_layer",))],
            "nothing-cropped": [unpadded(crop=lambda skip, up: skip)],
            "old-forward": [unpadded(forward=False)],
            "cropped-at-the-corner": [
                unpadded(crop=lambda skip, up: skip[..., : up.shape[2], : up.shape[3]])
            ],
            "order-of-the-join": [unpadded(turned=True)],
            "other-values": [unpadded(crop=grown), unpadded(after=1)],
            "not-a-unet": [lambda init_features: nn.Identity()],
            "raises": [lambda: None],
        },
    )
