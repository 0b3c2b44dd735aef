"""The checks of the bug museum, rooms 3 and 4: repairs of several kinds, and repairs that fail."""

import copy

import pytest
import torch
from right_and_wrong import meets, passes
from torch import nn
from torch.nn import functional as F

from backbone.anatomy.hooks import evaluating
from backbone.exercises import Wrong, check, museum_practice
from backbone.training import dice_loss, iou
from backbone.unet import UNetModel, crop_like, join, pad_to_multiple
from backbone.weights import load_trained


def u_net(joined):
    """A U-Net whose joins are those of a function of (upsampled, skipped, level)."""

    class Walker(UNetModel):
        def forward(self, x):
            skips = []
            for level in (1, 2, 3, 4):
                x = self.get_submodule(f"encode_layer{level}")(x)
                skips.append(x)
                x = self.get_submodule(f"pool{level}")(x)
            x = self.encode_decode_layer(x)
            for level, skip in zip((4, 3, 2, 1), reversed(skips), strict=True):
                x = self.get_submodule(f"upconv{level}")(x)
                x = self.get_submodule(f"decode_layer{level}")(joined(x, skip, level))
            return self.out_layer(x)

    return Walker


right_join = u_net(lambda up, skip, level: join(up, skip))
turned = u_net(lambda up, skip, level: join(skip, up))


class Reversed(UNetModel):
    """Another way to write the same: hooks fetch the skips."""

    def forward(self, x):
        kept = {}
        for k in range(1, 5):
            kept[k] = getattr(self, f"encode_layer{k}")(x)
            x = F.max_pool2d(kept[k], 2)
        x = self.encode_decode_layer(x)
        while kept:
            k, skip = kept.popitem()
            x = torch.cat([getattr(self, f"upconv{k}")(x), skip], 1)
            x = getattr(self, f"decode_layer{k}")(x)
        return self.out_layer(x)


class OtherLayers(nn.Module):
    def __init__(self, init_features):
        super().__init__()
        self.only = nn.Conv2d(1, 2, 1)

    def forward(self, x):
        return self.only(x)


def test_no_concatenation():
    passes("bug-museum.9", [right_join, Reversed, UNetModel])
    meets(
        "bug-museum.9",
        {
            "no-skip": [u_net(lambda up, skip, level: join(up, up))],
            "skip-alone": [u_net(lambda up, skip, level: join(skip, skip))],
            "added": [u_net(lambda up, skip, level: join(up + skip, up + skip))],
            "swapped": [turned],
            "some-levels": [
                u_net(lambda up, skip, level: join(up, skip if level == 1 else up)),
                u_net(lambda up, skip, level: join(up, skip if level > 1 else up)),
            ],
            "raises": [u_net(lambda up, skip, level: up + skip)],
            "other-layers": [OtherLayers],
            "not-a-module": [lambda init_features: None],
            "called-too-early": [7],
            "built-already": [UNetModel(init_features=4)],
            "other": [u_net(lambda up, skip, level: join(up, 2 * skip))],
        },
    )


def test_joined_the_other_way():
    class Converted(turned):
        def load_state_dict(self, state, *arguments, **options):
            state = dict(state)
            for k in (1, 2, 3, 4):
                weight = state[f"decode_layer{k}.0.weight"]
                state[f"decode_layer{k}.0.weight"] = torch.cat(weight.chunk(2, 1)[::-1], 1)
            return super().load_state_dict(state, *arguments, **options)

    passes("bug-museum.10", [right_join, Reversed, Converted])
    meets(
        "bug-museum.10",
        {
            "swapped": [turned],
            "no-skip": [u_net(lambda up, skip, level: join(up, up))],
            "skip-alone": [u_net(lambda up, skip, level: join(skip, skip))],
            "channels-reversed": [u_net(lambda up, skip, level: join(skip, up).flip(1))],
            "some-levels": [
                u_net(lambda up, skip, level: join(up, skip) if level == 4 else join(skip, up)),
                u_net(lambda up, skip, level: join(skip, up) if level == 2 else join(up, skip)),
            ],
            "other-layers": [OtherLayers],
            "other": [u_net(lambda up, skip, level: join(up + skip, up - skip))],
        },
    )


def image_of(image, size):
    return F.interpolate(image[None], (size, size), mode="bilinear", antialias=True)[0]


def labelled(shrink):
    """A repair from a function of (mask, size) alone."""
    return lambda image, mask, size: (image_of(image, size), shrink(mask, size))


def scaled(mask, size, mode, **options):
    return F.interpolate(mask[None, None].float(), (size, size), mode=mode, **options)[0, 0]


def vote(mask, size):
    labels = mask.unique()
    shares = torch.stack([F.adaptive_avg_pool2d((mask == k)[None].float(), size) for k in labels])
    return labels[shares.argmax(0)[0]]


def nearest_known(mask, size):
    rough = scaled(mask, size, "bilinear", antialias=True)
    labels = mask.unique()
    return labels[(rough[..., None] - labels).abs().argmin(-1)]


def picked(mask, size):
    at = ((torch.arange(size) + 0.5) * len(mask) / size).long()
    return mask[at][:, at]


def test_labels_in_between():
    exact = labelled(lambda m, s: scaled(m, s, "nearest-exact").long())
    upper_left = labelled(lambda m, s: scaled(m, s, "nearest").long())
    passes("bug-museum.11", [exact, upper_left, labelled(vote), labelled(picked)])
    assert "upper left" in check("bug-museum.11", upper_left).en
    assert "upper left" not in check("bug-museum.11", exact).en

    def both_nearest(image, mask, size):
        return scaled(image[0], size, "nearest-exact")[None], picked(mask, size)

    def plain_image(image, mask, size):
        return F.interpolate(image[None], (size, size), mode="bilinear")[0], picked(mask, size)

    meets(
        "bug-museum.11",
        {
            "labels-averaged": [
                labelled(lambda m, s: scaled(m, s, "bilinear", antialias=True).round().long()),
                labelled(lambda m, s: scaled(m, s, "bilinear").long()),
                labelled(lambda m, s: scaled(m, s, "area").ceil().long()),
            ],
            "labels-merged": [labelled(lambda m, s: (scaled(m, s, "area") > 0).long())],
            "largest-wins": [
                labelled(lambda m, s: F.adaptive_max_pool2d(m[None].float(), s)[0].long())
            ],
            "labels-elsewhere": [labelled(nearest_known)],
            "image-too": [both_nearest],
            "image-changed": [plain_image],
            "not-whole-numbers": [labelled(lambda m, s: scaled(m, s, "nearest-exact"))],
            "not-a-pair": [lambda image, mask, size: picked(mask, size)],
            "shape": [labelled(lambda m, s: m)],
            "raises": [lambda image, mask: None],
        },
    )


def scores_of(net, image):
    with torch.no_grad():
        return net.eval()(pad_to_multiple(image[None], 16))


def segmenting(cut):
    """A repair from a way to cut scores (1, 2, H, W) to h×w."""

    def fixed(net, image):
        return cut(scores_of(net, image), *image.shape[1:]).argmax(1)[0]

    return fixed


def test_cut_in_the_corner():
    def right_and_bottom(net, image):
        h, w = image.shape[1:]
        return net(F.pad(image[None], (0, -w % 16, 0, -h % 16)))[0, :, :h, :w].argmax(0)

    crops = museum_practice.CROPS
    like = segmenting(lambda s, h, w: crop_like(s, torch.empty(h, w)))
    passes("bug-museum.12", [like, right_and_bottom])
    meets(
        "bug-museum.12",
        {
            "corner": [segmenting(crops["corner"])],
            "other-corner": [segmenting(crops["other-corner"])],
            "rounded-up": [segmenting(crops["rounded-up"])],
            "sides-swapped": [segmenting(crops["sides-swapped"])],
            "resized": [segmenting(crops["resized"]), segmenting(crops["resized-nearest"])],
            "shape": [segmenting(lambda s, h, w: s), lambda net, image: scores_of(net, image)],
            "raises": [lambda net, image: net(image[None]).argmax(1)[0]],
            "no-tensor": [lambda net, image: None],
            "other": [lambda net, image: torch.zeros(image.shape[1:], dtype=torch.long)],
        },
    )


def measured(net, images, masks):
    with torch.no_grad():
        return iou(net(images).argmax(1), masks)


def test_judged_while_learning():
    def there_and_back(net, images, masks):
        was = net.training
        net.eval()
        score = measured(net, images, masks)
        net.train(was)
        return score

    def on_a_copy(net, images, masks):
        return measured(copy.deepcopy(net).eval(), images, masks)

    def by_context(net, images, masks):
        with evaluating(net):
            return measured(net, images, masks)

    def one_by_one(net, images, masks):
        with torch.no_grad():
            return iou(torch.cat([net(x[None]) for x in images]).argmax(1), masks)

    def put_back(net, images, masks):
        return measured(copy.deepcopy(net).train(), images, masks)

    def always_train(net, images, masks):
        score = measured(net.eval(), images, masks)
        net.train()
        return score

    passes("bug-museum.13", [there_and_back, on_a_copy, by_context])
    meets(
        "bug-museum.13",
        {
            "train-mode": [measured],
            "still-drifts": [one_by_one],
            "batch-statistics": [put_back],
            "left-in-eval": [lambda net, x, y: measured(net.eval(), x, y)],
            "left-in-train": [always_train],
            "score": [lambda net, x, y: 1 - on_a_copy(net, x, y)],
            "not-a-number": [lambda net, x, y: None],
            "raises": [lambda net, x: 0.5],
        },
    )


def dice_with(likely):
    return lambda scores, mask: museum_practice.soft_dice(likely(scores), mask)


def test_dice_of_scores():
    by_hand = dice_with(lambda s: s.softmax(1)[:, 1])
    difference = dice_with(lambda s: (s[:, 1] - s[:, 0]).sigmoid())
    passes("bug-museum.14", [by_hand, difference, dice_loss])
    meets(
        "bug-museum.14",
        {
            "logits": [dice_with(lambda s: s[:, 1])],
            "sigmoid-of-one": [dice_with(lambda s: s[:, 1].sigmoid())],
            "softmax-over": [dice_with(lambda s, d=d: s.softmax(d)[:, 1]) for d in (0, 2, 3)],
            "twice": [
                dice_with(lambda s: s.softmax(1)[:, 1].sigmoid()),
                dice_with(lambda s: s.softmax(1).softmax(1)[:, 1]),
            ],
            "clamped": [dice_with(lambda s: s[:, 1].clamp(0, 1))],
            "log-softmax": [dice_with(lambda s: s.log_softmax(1)[:, 1])],
            "background": [dice_with(lambda s: s.softmax(1)[:, 0])],
            "no-gradient": [
                dice_with(lambda s: s.argmax(1)),
                lambda s, m: by_hand(s.detach(), m),
            ],
            "not-a-loss": [lambda s, m: 1 - by_hand(s, m)],
            "not-a-scalar": [lambda s, m: by_hand(s, m).item(), lambda s, m: s],
            "other": [lambda s, m: by_hand(s, m) / 2],
        },
    )


def test_tiles_that_overlap():
    def by_columns(places, size):
        border = int(places[:, 1].max()) * 3 // 4
        return places[places[:, 1] + size <= border], places[places[:, 1] >= border]

    def by_blocks(places, size):
        order = places[:, 0] * 10_000 + places[:, 1]
        test = places[order >= order.sort().values[-max(len(places) // 6, 1)]]
        free = ((places[:, None] - test).abs() < size).all(2).any(1).logical_not()
        return places[free], test

    def one_tile_in_eight(places, size):  # a coarse grid, no two tiles of which touch
        kept = places[(places % size == 0).all(1)]
        return kept[len(kept) // 4 :], kept[: len(kept) // 4]

    passes("bug-museum.15", [by_columns, by_blocks, lambda p, s: map_lists(by_columns(p, s))])

    def shuffled(places, size, within=0):
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))
        quarter = len(places) // 4
        train, test = places[order[quarter:]], places[order[:quarter]]
        near = ((train[:, None] - test[:60]).abs() < within).all(2).any(1)
        return train[~near], test[:60] if within else test

    def half_way(places, size):
        border = int(places[:, 1].max()) * 3 // 4
        return places[places[:, 1] < border], places[places[:, 1] >= border]

    def too_near(places, size):
        test = places[(places[:, 0] < 64) & (places[:, 1] < 64)]
        near = ((places[:, None] - test).abs() < size // 2).all(2).any(1)
        return places[~near], test

    meets(
        "bug-museum.15",
        {
            "overlap": [shuffled],
            "reaches-over": [half_way],
            "too-near": [too_near],
            "nothing-left": [lambda p, s: (p, p[:0]), lambda p, s: (p[:0], p)],
            "turned-round": [lambda p, s: by_columns(p, s)[::-1]],
            "too-few": [one_tile_in_eight, lambda p, s: (p[:1], p[-1:])],
            "invented": [lambda p, s: (p + 1, p[:5])],
            "not-a-pair": [lambda p, s: p],
            "not-places": [lambda p, s: (p[:, 0], p[:, 1])],
        },
    )


def map_lists(sides):
    return [side.tolist() for side in sides]


def mean_of(keep, empty=None):
    """A repair: mean over the tiles that are kept; `empty` is the score of tiles without union."""

    def fixed(masks, truths):
        scores = []
        for mask, truth in zip(masks, truths, strict=True):
            both = ((mask == 1) & (truth == 1)).sum().item()
            either = ((mask == 1) | (truth == 1)).sum().item()
            if keep(mask, truth):
                scores.append(both / either if either else empty)
        return sum(scores) / len(scores)

    return fixed


def test_mean_of_nothing():
    def nanmean(masks, truths):
        both, either = museum_practice._counts(masks, truths)
        return (both / either).nanmean()

    skipped = mean_of(lambda m, t: bool((m + t).any()))
    passes("bug-museum.16", [skipped, nanmean, lambda m, t: iou(m, t)])
    meets(
        "bug-museum.16",
        {
            "empty-is-zero": [mean_of(lambda m, t: True, 0.0)],
            "empty-is-one": [mean_of(lambda m, t: True, 1.0)],
            "false-alarms-free": [mean_of(lambda m, t: bool(t.any()))],
            "found-only": [mean_of(lambda m, t: bool(m.any()))],
            "nan": [mean_of(lambda m, t: True, float("nan"))],
            "smoothed": [
                lambda m, t: museum_practice.mean_scores(m, t)["smoothed"],
            ],
            "other": [lambda m, t: (m == t).float().mean()],
            "not-a-number": [lambda m, t: (m == t).float()],
        },
    )


def test_no_check_leaves_traces_in_the_shipped_network():
    def vandal(net, images, masks):
        with torch.no_grad():
            for p in net.parameters():
                p.zero_()
        return 0.0

    with pytest.raises(Wrong):
        check("bug-museum.13", vandal)
    kept, fresh = museum_practice._trained().state_dict(), load_trained("unet-nuclei").state_dict()
    assert all(torch.equal(kept[name], fresh[name]) for name in fresh)
    assert check("bug-museum.10", UNetModel).answered
