"""The checks of "Segmentation": right answers of several kinds, and the slips that are made."""

import copy

import pytest
import torch
from right_and_wrong import meets, passes
from skimage.filters import gaussian

from backbone.anatomy import cut, cuttable
from backbone.data import nuclei_split
from backbone.exercises import check, question
from backbone.training import accuracy, dice, iou
from backbone.unet import UNetModel
from backbone.weights import load_trained

train, test = nuclei_split()
levels = torch.arange(1, 236) / 255


def brighter(image, threshold):
    return (image[0] > threshold).long()


def segment(net, image):
    with torch.no_grad():
        return net.eval()(image[None]).argmax(dim=1)[0]


def score(net):
    return iou(segment(net, test.image), test.mask)


def test_two_scores():
    def by_search(d):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if 2 * middle / (1 + middle) < d else (low, middle)
        return high if d else 0.0

    passes(
        "segmentation.1",
        [lambda d: d / (2 - d), by_search, lambda d: torch.tensor(d) / (2 - d)],
    )
    meets(
        "segmentation.1",
        {
            "other-way-round": [lambda d: 2 * d / (1 + d)],
            "wrong-sign": [lambda d: d / (2 + d)],
            "two-forgotten": [lambda d: d / (1 + d)],
            "halved": [lambda d: d / 2],
            "unchanged": [lambda d: d],
            "percent": [lambda d: 100 * d / (2 - d)],
            "raises": [lambda d: (2 - d) / d, lambda: 1],
            "not-a-number": [lambda d: None],
            "called-too-early": [0.905],
            "other": [lambda d: d**2],
        },
    )


def blurred(sigma):
    """The two sides, blurred."""
    return [
        torch.from_numpy(gaussian(side.image[0].numpy(), sigma=sigma))[None]
        for side in (train, test)
    ]


def judged(left, right, judge=iou, choose=(None, None)):
    """Choose a threshold on `left` (or on `choose`) and judge `right`."""
    image, mask = choose if choose[0] is not None else (left, train.mask)
    best = max(levels, key=lambda t: iou(brighter(image, t), mask))
    return judge(brighter(right, best), test.mask)


@pytest.fixture(scope="module")
def both():
    return {sigma: blurred(sigma) for sigma in (1, 3)}


def test_a_stronger_baseline(both):
    right = {sigma: judged(*sides) for sigma, sides in both.items()}
    passes("segmentation.3", [right, {s: torch.tensor(round(v, 3)) for s, v in right.items()}])
    plain = judged(train.image, test.image)
    on_the_left = {
        sigma: max(iou(brighter(left, t), train.mask) for t in levels)
        for sigma, (left, _) in both.items()
    }
    meets(
        "segmentation.3",
        {
            "turned-round": [{1: right[3], 3: right[1]}],
            "not-blurred": [{1: plain, 3: plain}],
            "judged-on-the-left": [on_the_left],
            "threshold-of-the-sharp-image": [
                {s: judged(train.image, r) for s, (_, r) in both.items()}
            ],
            "only-the-left-blurred": [{s: judged(b[0], test.image) for s, b in both.items()}],
            "dice-for-iou": [{s: judged(*b, judge=dice) for s, b in both.items()}],
            "accuracy-for-iou": [{s: judged(*b, judge=accuracy) for s, b in both.items()}],
            "chosen-on-the-right": [
                {s: judged(*b, choose=(b[1], test.mask)) for s, b in both.items()}
            ],
            "not-these-names": [right[1], {1: right[1]}],
            "not-a-number": [{1: "0.78", 3: 0.7}],
            "other": [{1: 0.82, 3: 0.8}],
        },
    )


def test_every_class_gets_its_own_blur():
    assert question("segmentation.3") == {"sigmas": (1, 3)}
    for seed in (1, 2, 3):
        sigmas = question("segmentation.3", seed=seed)["sigmas"]
        answer = {sigma: judged(*blurred(sigma)) for sigma in sigmas}
        print(f"class {seed}: {answer}")
        assert check("segmentation.3", answer, seed=seed).answered
    assert len({question("segmentation.3", seed=s)["sigmas"] for s in range(12)}) > 4


def recalls(found, instances):
    return [
        (found[instances == i].float().mean().item(), int((instances == i).sum()))
        for i in instances.unique()[1:]
    ]


def average(values):
    return sum(values) / len(values)


def test_who_is_overlooked():
    def split(found, instances, limit):
        pairs = recalls(found, instances)
        return (
            average([r for r, n in pairs if n < limit]),
            average([r for r, n in pairs if n >= limit]),
        )

    def by_counting(found, instances, limit):
        sizes = torch.bincount(instances.flatten())
        hits = torch.bincount(instances.flatten(), weights=found.flatten().double())
        there = sizes > 0
        there[0] = False
        share = hits / sizes.clamp(min=1)
        return torch.stack(
            [share[there & (sizes < limit)].mean(), share[there & (sizes >= limit)].mean()]
        )

    def named(*args):
        small, large = split(*args)
        return {"small": small, "large": large}

    def with_background(found, instances, limit):
        pairs = [
            (found[instances == i].float().mean().item(), int((instances == i).sum()))
            for i in instances.unique()
        ]
        return [average([r for r, n in pairs if (n < limit) == small]) for small in (True, False)]

    def pooled(found, instances, limit):
        pairs = recalls(found, instances)
        return [
            sum(r * n for r, n in pairs if (n < limit) == small)
            / sum(n for _, n in pairs if (n < limit) == small)
            for small in (True, False)
        ]

    def included(found, instances, limit):
        return split(found, instances, limit + 1)

    def overlap(found, instances, limit):
        pairs = [
            (iou(found, (instances == i).long()), int((instances == i).sum()))
            for i in instances.unique()[1:]
        ]
        return [average([r for r, n in pairs if (n < limit) == small]) for small in (True, False)]

    def as_found(found, instances, limit):
        pairs = [(r, r * n) for r, n in recalls(found, instances)]
        return [
            average([r for r, n in pairs if (round(n) < limit) == small]) for small in (True, False)
        ]

    passes("segmentation.5", [split, by_counting, named])
    meets(
        "segmentation.5",
        {
            "turned-round": [lambda *a: split(*a)[::-1]],
            "background-counted": [with_background],
            "pixels-pooled": [pooled],
            "limit-included": [included],
            "share-missed": [lambda *a: [1 - v for v in split(*a)]],
            "overlap-with-everything": [overlap],
            "size-as-found": [as_found],
            "not-a-pair": [lambda *a: 0.8, lambda *a: [r for r, _ in recalls(*a[:2])]],
            "not-a-number": [lambda *a: (None, 0.9)],
            "raises": [lambda found: 0, lambda f, i, n: f.nuclei],
            "called-too-early": [(0.8, 0.95)],
            "other": [lambda *a: (0.5, 0.5)],
        },
    )


def keep(net, name):
    with cut(net, *(other for other in cuttable(net) if other != name)):
        return score(net)


mine = load_trained("unet-nuclei")  # a network of the reader's, which is not the one handed in


def test_keep_one():
    def no_skip(module, inputs):
        half = inputs[0].shape[1] // 2
        maps = inputs[0].clone()
        maps[:, half:] = 0
        return maps

    def silenced(net, name):
        kept = int(name[-1])
        others = [k for k in (1, 2, 3, 4) if k != kept]
        stages = [getattr(net, f"decode_layer{k}") for k in others]
        hooks = [stage.register_forward_pre_hook(no_skip) for stage in stages]
        found = score(net)
        for hook in hooks:
            hook.remove()
        return torch.tensor(found)

    def cut_one(net, name):
        with cut(net, name):
            return score(net)

    def cut_all(net, name):
        with cut(net):
            return score(net)

    def in_dice(net, name):
        with cut(net, *(other for other in cuttable(net) if other != name)):
            return dice(segment(net, test.image), test.mask)

    def as_mask(net, name):
        with cut(net, *(other for other in cuttable(net) if other != name)):
            return segment(net, test.image)

    def hooks_left(net, name):
        for k in (1, 2, 3, 4):
            if k != int(name[-1]):
                getattr(net, f"decode_layer{k}").register_forward_pre_hook(no_skip)
        return score(net)

    other = copy.deepcopy(mine)
    torch.nn.init.zeros_(other.out_layer[0].bias)
    passes("segmentation.6", [keep, silenced])
    meets(
        "segmentation.6",
        {
            "cut-that-one": [cut_one],
            "none-cut": [lambda net, name: score(net)],
            "all-cut": [cut_all],
            "dice-for-iou": [in_dice],
            "mask-for-score": [as_mask],
            "not-undone": [hooks_left],
            "net-ignored": [lambda net, name: keep(other, name)],
            "not-a-number": [lambda net, name: None],
            "raises": [lambda net: 1, lambda net, name: net.layer5],
            "called-too-early": [0.8],
            "other": [lambda net, name: keep(net, "encode_layer1") * 0.5],
        },
    )


def zeros(module, inputs, out):
    return torch.zeros_like(out)


def without_bottom(net, place="upconv4", names=("encode_decode_layer", "upconv4")):
    hook = net.get_submodule(place).register_forward_hook(zeros)
    found = score(net)
    hook.remove()
    silent = sum(p.numel() for name in names for p in net.get_submodule(name).parameters())
    return {"iou": found, "share": silent / sum(p.numel() for p in net.parameters())}


def test_cut_the_main_path():
    def on_a_copy(net):
        twin = copy.deepcopy(net)
        for p in twin.upconv4.parameters():
            torch.nn.init.zeros_(p)
        return {**without_bottom(net), "iou": torch.tensor(score(twin))}

    def not_silent(net):
        return {**without_bottom(net), "iou": score(net)}

    def no_skips(net):
        with cut(net):
            return {**without_bottom(net), "iou": score(net)}

    def hook_left(net):
        net.upconv4.register_forward_hook(zeros)
        return {"iou": score(net), "share": 0.5}

    def shared(change):
        def answer(net):
            got = without_bottom(net)
            return {**got, "share": change(got["share"])}

        return answer

    passes("segmentation.7", [without_bottom, on_a_copy])
    meets(
        "segmentation.7",
        {
            "not-silenced": [not_silent],
            "bottom-for-upconv": [lambda net: without_bottom(net, "encode_decode_layer")],
            "stage-for-upconv": [lambda net: without_bottom(net, "decode_layer4")],
            "skips-gone-too": [no_skips],
            "not-undone": [hook_left],
            "net-ignored": [lambda net: {"iou": 0.9, "share": 0.5}],
            "percent": [shared(lambda v: 100 * v)],
            "share-left": [shared(lambda v: 1 - v)],
            "bottom-only": [lambda net: without_bottom(net, names=["encode_decode_layer"])],
            "upconv-only": [lambda net: without_bottom(net, names=["upconv4"])],
            "decoder-counted": [
                lambda net: without_bottom(
                    net, names=["encode_decode_layer", "upconv4", "decode_layer4"]
                )
            ],
            "count-for-share": [
                shared(
                    lambda v: v * sum(p.numel() for p in UNetModel(init_features=8).parameters())
                )
            ],
            "share": [shared(lambda v: 0.1)],
            "not-these-names": [lambda net: 0.9, lambda net: (0.9, 0.5)],
            "raises": [lambda net: net.upconv5],
            "called-too-early": [{"iou": 0.9, "share": 0.5}],
            "other": [lambda net: {"iou": score(net) / 2, "share": 0.5}],
        },
    )


def tile(margin, times, step=16, power=2):
    return next(t for t in range(step, 9999, step) if (t + margin) ** power <= times * t**power)


def test_price_of_a_tile():
    passes("segmentation.2", [544, 544.0, torch.tensor(tile(224, 2))])
    meets(
        "segmentation.2",
        {
            "not-a-multiple": [541],
            "rounded-down": [528],
            "margin-once": [tile(112, 2)],
            "side-for-area": [224],
            "not-the-smallest": [560, 1024],
            "not-a-number": ["544"],
            "other": [128, 0, -16],
        },
    )


def test_every_class_gets_its_own_tile():
    assert question("segmentation.2") == {"margin": 112, "times": 2}
    for seed in range(1, 12):
        q = question("segmentation.2", seed=seed)
        answer = tile(2 * q["margin"], q["times"])
        print(f"class {seed}: {q}, answer {answer}")
        assert check("segmentation.2", answer, seed=seed).answered
    assert len({tuple(question("segmentation.2", seed=s).values()) for s in range(12)}) > 6


def walk(net, change, main_path=False):
    h, kept = test.image[None], []
    with torch.no_grad():
        for k in (1, 2, 3, 4):
            maps = getattr(net, f"encode_layer{k}")(h)
            kept.append(change(k, maps))
            h = getattr(net, f"pool{k}")(kept[-1] if main_path else maps)
        h = net.encode_decode_layer(h)
        for k in (4, 3, 2, 1):
            both = (getattr(net, f"upconv{k}")(h), kept[k - 1])
            h = getattr(net, f"decode_layer{k}")(torch.cat(both, dim=1))
        return net.out_layer(h).argmax(dim=1)[0]


def instead(form, flip=False, **how):
    def bland(net, level):
        def change(k, maps):
            return form(maps) if k == (5 - level if flip else level) else maps

        return iou(walk(net.eval(), change, **how), test.mask)

    return bland


def flat(maps):
    return maps.mean((2, 3), keepdim=True).expand_as(maps)


def test_is_zero_a_fair_cut():
    def by_hook(net, level):
        def bland(module, inputs):
            half = inputs[0].shape[1] // 2
            return torch.cat([inputs[0][:, :half], flat(inputs[0][:, half:])], dim=1)

        hook = getattr(net, f"decode_layer{level}").register_forward_pre_hook(bland)
        found = score(net)
        hook.remove()
        return found

    def on_the_stage(net, level):
        stage = getattr(net, f"encode_layer{level}")
        hook = stage.register_forward_hook(lambda module, inputs, out: flat(out))
        found = score(net)
        hook.remove()
        return found

    other = copy.deepcopy(mine)
    torch.nn.init.zeros_(other.out_layer[0].bias)
    passes("segmentation.8", [instead(flat), by_hook])
    meets(
        "segmentation.8",
        {
            "zero-for-mean": [instead(torch.zeros_like)],
            "one-mean-for-all": [instead(lambda maps: maps.mean().expand_as(maps))],
            "mean-over-channels": [
                instead(lambda maps: maps.mean(1, keepdim=True).expand_as(maps))
            ],
            "unchanged": [instead(lambda maps: maps)],
            "main-path-too": [instead(flat, main_path=True), on_the_stage],
            "counted-from-the-bottom": [instead(flat, flip=True)],
            "net-ignored": [lambda net, level: instead(flat)(other, level)],
            "mask-for-score": [lambda net, level: segment(net, test.image)],
            "raises": [lambda net: 1, lambda net, level: net.encode_layer9],
            "called-too-early": [0.5],
            "other": [lambda net, level: 0.3 if net.training else level / 7 * score(net)],
        },
    )


def test_dice_from_two_masks():
    def by_sums(a, b):
        sizes = a.sum() + b.sum()
        return (2 * (a & b).sum() / sizes).item() if sizes else 1.0

    def by_products(a, b, smooth=1e-6):
        a, b = a.flatten().float(), b.flatten().float()
        return (2 * (a * b).sum() + smooth) / (a.sum() + b.sum() + smooth)

    def counted(a, b):
        both = int((a & b).sum())
        only = int((a ^ b).sum())
        return 1.0 if both + only == 0 else 2 * both / (2 * both + only)

    passes("segmentation.4", [by_sums, by_products, counted])
    meets(
        "segmentation.4",
        {
            "empty-masks": [
                lambda a, b: (2 * (a & b).sum() / (a.sum() + b.sum())).item(),
                lambda a, b: 2 * (a & b).sum().item() / max(1, (a.sum() + b.sum()).item()),
            ],
            "iou-instead": [lambda a, b: (a & b).sum() / (a | b).sum()],
            "smoothing-too-strong": [lambda a, b: by_products(a, b, smooth=1)],
            "or-for-plus": [lambda a, b: 2 * (a * b).sum() / (a + b).sum()],
            "factor-two": [lambda a, b: (a & b).sum() / (a.sum() + b.sum())],
            "accuracy-instead": [lambda a, b: (a == b).float().mean()],
            "a-loss": [lambda a, b: 1 - by_products(a, b)],
            "recall-instead": [lambda a, b: (a & b).sum() / b.sum()],
            "precision-instead": [lambda a, b: (a & b).sum() / a.sum()],
            "another-number": [lambda a, b: 0.5],
            "not-a-number": [lambda a, b: a & b],
            "raises": [lambda a, b: 2 * (a + b) / (a - b)],
        },
    )
