"""The checks of "U-Net: the architecture": right answers of several kinds, and usual slips."""

import pytest
import torch
from right_and_wrong import meets, passes
from torch.nn import functional as F

from backbone.anatomy import receptive_field
from backbone.exercises import Wrong, check, question, unet_architecture
from backbone.unet import UNetModel, join
from backbone.variants import paper_output_size

SHAPES = {
    "encode_layer3": (1, 32, 24, 40),
    "encode_decode_layer": (1, 128, 6, 10),
    "decode_layer2": (1, 16, 48, 80),
}


def test_shape_of_everything():
    torch_size = {name: torch.Size(shape) for name, shape in SHAPES.items()}
    passes("unet-architecture.1", [SHAPES, torch_size, {k: list(v) for k, v in SHAPES.items()}])

    def but(**changed):
        return SHAPES | changed

    meets(
        "unet-architecture.1",
        {
            "one-level-too-deep": [but(encode_layer3=(1, 64, 12, 20))],
            "counted-from-the-bottom": [but(decode_layer2=(1, 32, 24, 40))],
            "joined-channels": [but(decode_layer2=(1, 32, 48, 80))],
            "sides-swapped": [but(encode_layer3=(1, 32, 40, 24))],
            "channels": [
                but(encode_layer3=(1, 24, 24, 40)),
                but(encode_decode_layer=(1, 8, 6, 10)),
            ],
            "size": [but(encode_decode_layer=(1, 128, 12, 20))],
            "never-halved": [but(encode_layer3=(1, 32, 96, 160))],
            "batch": [but(encode_layer3=(8, 32, 24, 40))],
            "not-four-numbers": [but(encode_layer3=(32, 24, 40)), but(encode_layer3=32)],
            "not-these-names": [(1, 32, 24, 40), {"encode_layer3": (1, 32, 24, 40)}],
            "not-a-number": [but(encode_layer3=(1, "32", 24, 40))],
            "other": [but(encode_layer3=(1, 16, 48, 80))],
        },
    )


def test_every_class_gets_its_own_image():
    seen = set()
    for seed in range(1, 9):
        q = question("unet-architecture.1", seed=seed)
        f, n, h, w = q["features"], q["batch"], q["height"], q["width"]
        right = {
            "encode_layer3": (n, 4 * f, h // 4, w // 4),
            "encode_decode_layer": (n, 16 * f, h // 16, w // 16),
            "decode_layer2": (n, 2 * f, h // 2, w // 2),
        }
        assert h % 16 == w % 16 == 0 and h != w
        assert check("unet-architecture.1", right, seed=seed).answered
        with pytest.raises(Wrong):
            check("unet-architecture.1", SHAPES, seed=seed)
        seen.add((f, h, w))
    print(f"{len(seen)} different questions in 8 classes")
    assert len(seen) > 5


def test_colour_and_four_classes():
    passes("unet-architecture.2", [642, 642.0, torch.tensor(642)])
    meets(
        "unet-architecture.2",
        {
            "bias-forgotten": [640],
            "kernel-forgotten": [130],
            "last-is-not-3x3": [1154],
            "bias-per-input": [644],
            "bias-of-the-first": [674],
            "first-only": [576],
            "last-only": [66],
            "whole-layers": [1028],
            "one-too-many": [996],
            "all-of-it": [7_766_102],
            "turned-round": [-642],
            "not-a-number": ["642", None],
            "other": [7],
        },
    )


def test_every_class_gets_its_own_images():
    seen = set()
    for seed in range(1, 20):
        q = question("unet-architecture.2", seed=seed)
        more = (q["in_features"] - 1) * 9 * 32 + (q["out_features"] - 2) * 33
        assert check("unet-architecture.2", more, seed=seed).answered
        seen.add(more)
    print("classes:", sorted(seen))
    assert len(seen) > 5 and 642 not in seen


def stamps(side, kernel, stride):
    window = torch.ones(1, 1, kernel, kernel)
    return F.conv_transpose2d(torch.ones(1, 1, side, side), window, stride=stride)


def test_overlapping_stamps():
    counted = stamps(4, 3, 2).unique(return_counts=True)
    by_hand = {1: 36, 2: 36, 4: 9}
    passes("unet-architecture.3", [by_hand, counted, ([1, 2, 4], [36, 36, 9]), stamps(4, 3, 2)])
    meets(
        "unet-architecture.3",
        {
            "one-side": [{1: 6, 2: 3}],
            "no-overlap": [{1: 64}, {1: 81}],
            "crossings-forgotten": [{1: 36, 2: 45}],
            "values": [{1: 36, 3: 36, 4: 9}, {1: 36, 2: 36, 5: 9}],
            "size": [{1: 16, 2: 32, 4: 16}],
            "not-transposed": [{9: 1}],
            "not-counts": [[1, 2, 4], 4, {}],
            "not-a-number": [{"1": 36}],
            "other": [{1: 45, 2: 27, 4: 9}],
        },
    )


def test_every_class_gets_its_own_stamps():
    seen = set()
    for seed in range(1, 20):
        q = question("unet-architecture.3", seed=seed)
        values, counts = stamps(**q).unique(return_counts=True)
        right = dict(zip(values.tolist(), counts.tolist(), strict=True))
        assert check("unet-architecture.3", right, seed=seed).answered
        seen.add(tuple(right.items()))
    print(f"{len(seen)} different answers in 19 classes")
    assert len(seen) > 4


def test_tile_for_the_paper():
    passes(
        "unet-architecture.4",
        [{"side": 700, "mirrored": 94}, {"mirrored": torch.tensor(94), "side": 700.0}],
    )
    meets(
        "unet-architecture.4",
        {
            "nothing-lost": [{"side": 512, "mirrored": 0}],
            "does-not-fit": [{"side": s, "mirrored": 92} for s in (696, 698.5, -4)],
            "too-small": [{"side": 684, "mirrored": 86}],
            "not-the-smallest": [{"side": 716, "mirrored": 102}],
            "both-sides-together": [{"side": 700, "mirrored": 188}],
            "lost-is-not-mirrored": [{"side": 700, "mirrored": n} for n in (92, 184)],
            "mirrored": [{"side": 700, "mirrored": 95}],
            "not-these-names": [700],
        },
    )


def test_every_class_gets_its_own_region():
    for seed in range(1, 12):
        wanted = question("unet-architecture.4", seed=seed)["wanted"]
        side = next(s for s in range(188, 2000, 16) if paper_output_size(s) >= wanted)
        answer = {"side": side, "mirrored": (side - wanted) // 2}
        print(f"class {seed}: {wanted} wanted, {answer}")
        assert check("unet-architecture.4", answer, seed=seed).answered
        with pytest.raises(Wrong) as caught:
            check("unet-architecture.4", {"side": wanted + 184, "mirrored": 92}, seed=seed)
        assert caught.value.slip == "does-not-fit"


def test_neighbours_see_differently():
    passes("unet-architecture.5", [{"rows": 204, "bottom": 5}, {"rows": 204.0, "bottom": 5}])
    meets(
        "unet-architecture.5",
        {
            "first-and-last": [{"rows": (34, 237), "bottom": 5}],
            "the-same": [{"rows": 188, "bottom": 4}],
            "stretched": [{"rows": 193, "bottom": 5}],
            "one-end": [{"rows": 203, "bottom": 5}],
            "one-value": [{"rows": 140, "bottom": 1}],
            "bottom-of-128": [{"rows": 204, "bottom": 4}],
            "bottom-sees-16": [{"rows": 204, "bottom": n} for n in (12, 12.75, 13)],
            "bottom": [{"rows": 204, "bottom": 6}],
            "not-these-names": [204],
            "other": [{"rows": 200, "bottom": 5}],
        },
    )


def test_the_check_measures_what_receptive_field_computes():
    net = UNetModel(init_features=1)
    for row in (128, 133):
        computed = receptive_field(net, "out_layer", (1, 1, 256, 256), at=(row, row))
        print(row, computed.size, unet_architecture._reach(row))
        assert computed.size[0] == unet_architecture._reach(row)[0]


def short_way(net, image):
    skipped = net.encode_layer1(image)
    return net.out_layer(net.decode_layer1(join(torch.zeros_like(skipped), skipped)))


def by_hook(net, image):
    def silent(module, args, out):
        return torch.zeros_like(out)

    hook = net.upconv1.register_forward_hook(silent)
    try:
        return net(image)
    finally:
        hook.remove()


@torch.no_grad()
def filled(net, image):
    maps = net.encode_layer1(image)
    both = torch.cat((maps * 0, maps), 1)
    return net.out_layer(net.decode_layer1(both))


def test_the_short_way():
    before = torch.random.get_rng_state()
    passes("unet-architecture.6", [short_way, by_hook, filled])
    assert torch.equal(before, torch.random.get_rng_state())
    own = UNetModel(init_features=4).eval()

    def way(make):
        def short_way(net, image):
            skipped = net.encode_layer1(image)
            return make(net, torch.zeros_like(skipped), skipped, image)

        return short_way

    def hooked(silent):
        def run(net, image):
            net.encode_layer1.register_forward_hook(
                lambda module, args, out: torch.zeros_like(out) if silent else out
            )
            return net(image)

        return run

    def cut(net, image):
        kept = {}
        net.upconv1.register_forward_hook(lambda m, a, out: kept.update(up=out))
        net(image)
        return net.out_layer(net.decode_layer1(join(kept["up"], kept["up"] * 0)))

    meets(
        "unet-architecture.6",
        {
            "whole-network": [lambda net, image: net(image), hooked(False)],
            "skip-cut": [cut],
            "joined-the-other-way": [
                way(lambda net, z, s, x: net.out_layer(net.decode_layer1(join(s, z))))
            ],
            "joined-with-itself": [
                way(lambda net, z, s, x: net.out_layer(net.decode_layer1(join(s, s))))
            ],
            "head-forgotten": [way(lambda net, z, s, x: net.decode_layer1(join(z, s)))],
            "stage-forgotten": [way(lambda net, z, s, x: net.out_layer(s))],
            "raises": [
                way(lambda net, z, s, x: net.decode_layer1(s)),
                way(lambda net, z, s, x: net.decode_layer1(join(x, s))),
                lambda net: net,
            ],
            "no-tensor": [way(lambda *maps: None)],
            "shape": [way(lambda net, z, s, x: net.out_layer(net.decode_layer1(join(z, s)))[0])],
            "another-net": [
                lambda net, image: short_way(
                    net if net.out_layer[0].in_channels == 4 else own, image
                )
            ],
            "called-too-early": [torch.zeros(1, 2, 64, 64)],
            "other": [hooked(True)],
        },
    )
