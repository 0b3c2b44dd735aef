"""The checks of "Backbone swap": right answers of several kinds, and the slips that are made."""

import copy
from statistics import mean

import pytest
import torch
from right_and_wrong import meets, passes
from torch import nn
from torch.nn import functional as F

from backbone.anatomy import record_features
from backbone.data import nuclei_split
from backbone.exercises import check, question
from backbone.experiments import load_results
from backbone.experiments.backbone_swap import Tiles, tiles
from backbone.resnet import ResNet18, ResNet34, ResNet50, ResNet101
from backbone.resnet_unet import ResNetUNet
from backbone.training import iou
from backbone.unet import UNetModel
from backbone.weights import load_trained

train, test = nuclei_split()
stages = [*(f"encode_layer{i}" for i in (1, 2, 3, 4)), "encode_decode_layer"]
results = load_results("backbone")


def of_resnet(channels, halvings=(1, 2, 3, 4, 5), height=96, width=160):
    return [(c, height // 2**k, width // 2**k) for c, k in zip(channels, halvings, strict=True)]


def test_shapes_of_a_deeper_one():
    right = of_resnet((16, 64, 128, 256, 512))
    passes(
        "backbone-swap.1",
        [
            right,
            tuple(map(list, right)),
            [torch.Size((1, *shape)) for shape in right],
            dict(zip(stages, right, strict=True)),
        ],
    )
    meets(
        "backbone-swap.1",
        {
            "sides-swapped": [[(c, w, h) for c, h, w in right]],
            "expansion-forgotten": [of_resnet((16, 16, 32, 64, 128))],
            "stem-widened": [of_resnet((64, 64, 128, 256, 512))],
            "first-at-full-size": [of_resnet((16, 64, 128, 256, 512), (0, 1, 2, 3, 4))],
            "pool-forgotten": [of_resnet((16, 64, 128, 256, 512), (1, 1, 2, 3, 4))],
            "skip-behind-the-pool": [of_resnet((16, 64, 128, 256, 512), (2, 2, 3, 4, 5))],
            "bottom-halved-again": [of_resnet((16, 64, 128, 256, 512), (1, 2, 3, 4, 6))],
            "channels": [of_resnet((64, 256, 512, 1024, 2048))],
            "size": [of_resnet((16, 64, 128, 256, 512), (1, 2, 3, 3, 3))],
            "not-five": [right[:4], 5],
            "not-three-numbers": [[16, 64, 128, 256, 512], [(96, 160)] * 5],
            "not-a-number": [[("C", 1, 1)] * 5],
            "other": [[(1, 1, 1)] * 5],
        },
    )


def test_every_class_gets_its_own_encoder():
    assert question("backbone-swap.1") == {"depth": 50, "planes": 16, "height": 96, "width": 160}
    depths = set()
    for seed in range(1, 12):
        q = question("backbone-swap.1", seed=seed)
        build = {34: ResNet34, 50: ResNet50, 101: ResNet101}[q["depth"]]
        with torch.device("meta"):
            net = ResNetUNet(build(width=q["planes"])).eval()
            x = torch.zeros(1, 3, q["height"], q["width"])
            answer = [tuple(m.shape) for m in record_features(net, x, stages).values()]
        assert check("backbone-swap.1", answer, seed=seed).answered
        depths.add(q["depth"])
    assert depths == {34, 50, 101}
    seed = next(s for s in range(1, 99) if question("backbone-swap.1", seed=s)["depth"] == 34)
    q = question("backbone-swap.1", seed=seed)
    size = {"height": q["height"], "width": q["width"]}
    meets(
        "backbone-swap.1",
        {
            "expansion-of-a-bottleneck": [
                of_resnet([q["planes"] * c for c in (1, 4, 8, 16, 32)], **size)
            ],
            "first-doubled": [of_resnet([q["planes"] * c for c in (1, 2, 4, 8, 16)], **size)],
            "not-five": [[]],
        },
        seed=seed,
    )


def with_kernel(form):
    def to_grey(state):
        return {**state, "conv1.weight": form(state["conv1.weight"])}

    return to_grey


def test_from_colour_to_grey():
    def without_a_head(state):
        kernel = torch.einsum("oihw->ohw", state["conv1.weight"])[:, None]
        body = {k: v for k, v in state.items() if not k.startswith(("fc.", "conv1"))}
        return {**body, "conv1.weight": kernel}

    def as_network(state):
        net = ResNet18(in_channels=1, width=8)
        changed = {**state, "conv1.weight": state["conv1.weight"].sum(1, keepdim=True)}
        net.load_state_dict(changed, strict=False)
        return net

    def own_dictionary(state):
        state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
        return state

    def in_place(state):
        kernel = state["conv1.weight"]
        kernel[:, 0] += kernel[:, 1] + kernel[:, 2]
        return {**state, "conv1.weight": kernel[:, :1]}

    def by_brightness(w):
        return (w * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)

    def scaled_behind(state):
        return {
            **with_kernel(lambda w: w.sum(1, keepdim=True))(state),
            "bn1.weight": torch.zeros(8),
        }

    passes(
        "backbone-swap.2",
        [
            with_kernel(lambda w: w.sum(1, keepdim=True)),
            without_a_head,
            as_network,
            own_dictionary,
        ],
    )
    meets(
        "backbone-swap.2",
        {
            "mean-for-sum": [with_kernel(lambda w: w.mean(1, keepdim=True))],
            "one-channel": [with_kernel(lambda w: w[:, :1]), with_kernel(lambda w: w[:, 1:2])],
            "luminance": [with_kernel(by_brightness)],
            "still-colour": [lambda state: state],
            "dimension-lost": [with_kernel(lambda w: w.sum(1))],
            "kernel-shape": [with_kernel(lambda w: w.sum(0, keepdim=True))],
            "others-lost": [lambda s: {"conv1.weight": s["conv1.weight"].sum(1, keepdim=True)}],
            "others-changed": [scaled_behind],
            "changes-the-source": [in_place],
            "not-a-state": [lambda s: s["conv1.weight"].sum(1, keepdim=True), lambda s: None],
            "raises": [lambda s: s["conv2.weight"], lambda: 1],
            "called-too-early": [{"conv1.weight": 1}],
            "other": [with_kernel(lambda w: w.amax(1, keepdim=True))],
        },
    )


def segment(net, image):
    with torch.no_grad():
        return net.eval()(image[None]).argmax(dim=1)[0]


def tile_by_tile(net, image, side=64):
    mask = torch.zeros(image.shape[1:], dtype=torch.long)
    for top in range(0, image.shape[1], side):
        for left in range(0, image.shape[2], side):
            rows, columns = slice(top, top + side), slice(left, left + side)
            mask[rows, columns] = segment(net, image[:, rows, columns])
    return mask


def cut_up(image):
    return image.unfold(1, 64, 64).unfold(2, 64, 64)[0]  # (rows, columns, 64, 64)


def answers_of(net, image):
    pieces = cut_up(image)
    with torch.no_grad():
        scores = net.eval()(pieces.reshape(-1, 1, 64, 64))
    return scores.argmax(1).view(pieces.shape)


def test_two_ways_to_score():
    def by_unfold(net, image):
        return answers_of(net, image).permute(0, 2, 1, 3).reshape(image.shape[1:])

    def not_permuted(net, image):
        return answers_of(net, image).reshape(image.shape[1:])

    def columns_first(net, image):
        found = answers_of(net, image)
        rows, columns = found.shape[:2]
        found = found.transpose(0, 1).reshape(rows, columns, 64, 64)
        return found.permute(0, 2, 1, 3).reshape(image.shape[1:])

    def of_fixed_size(net, image):
        mask = torch.zeros(512, 128, dtype=torch.long)
        for top in range(0, 512, 64):
            for left in range(0, 128, 64):
                rows, columns = slice(top, top + 64), slice(left, left + 64)
                mask[rows, columns] = segment(net, image[:, rows, columns])
        return mask

    def still_training(net, image):
        pieces = cut_up(image)
        with torch.no_grad():
            scores = net.train()(pieces.reshape(-1, 1, 64, 64))
        found = scores.argmax(1).view(pieces.shape)
        return found.permute(0, 2, 1, 3).reshape(image.shape[1:])

    def one_row_only(net, image):
        mask = torch.zeros(image.shape[1:], dtype=torch.long)
        mask[:64] = tile_by_tile(net, image[:, :64])
        return mask

    def in_scores(net, image):
        found = torch.zeros(2, *image.shape[1:])
        for top in range(0, image.shape[1], 64):
            for left in range(0, image.shape[2], 64):
                rows, columns = slice(top, top + 64), slice(left, left + 64)
                found[:, rows, columns] = net.eval()(image[None, :, rows, columns])[0].detach()
        return found

    def positive_score(net, image):
        class Positive(nn.Module):
            def forward(self, x):
                y = net.eval()(x)
                return torch.stack([0 * y[:, 1], y[:, 1]], dim=1)

        return tile_by_tile(Positive(), image)

    mine = load_trained("resnet-unet-nuclei")
    passes(
        "backbone-swap.3",
        [tile_by_tile, by_unfold, of_fixed_size, lambda n, i: by_unfold(n, i).bool()],
    )
    meets(
        "backbone-swap.3",
        {
            "whole-at-once": [segment, lambda n, i: (segment(n, i), tile_by_tile(n, i))[1]],
            "other-tiles": [lambda n, i: tile_by_tile(n, i, side=32)],
            "net-ignored": [lambda net, image: tile_by_tile(mine, image)],
            "training-mode": [still_training],
            "not-put-together": [answers_of],
            "scores-for-mask": [in_scores],
            "tiles-misplaced": [columns_first],
            "reshape-without-permute": [not_permuted],
            "not-the-argmax": [positive_score],
            "no-tensor": [lambda n, i: None if tile_by_tile(n, i) is None else 0.88],
            "raises": [lambda net: 1, lambda n, i: i.tiles],
            "called-too-early": [torch.zeros(512, 128)],
            "other": [one_row_only],
        },
    )


def norms_of(net, first=None):
    parts = net.encoder()[:first]
    return [m for part in parts for m in part.modules() if isinstance(m, nn.BatchNorm2d)]


def calibrate(net, batch, momentum=None, reset=True, training=True, first=None):
    norms = norms_of(net, first)
    for norm in norms:
        if reset:
            norm.reset_running_stats()
        norm.momentum = momentum
    net.eval()
    for norm in norms:
        norm.train(training)
    with torch.no_grad():
        net(batch)
    for norm in norms:
        norm.momentum = 0.1


def test_new_statistics():
    def as_in_the_book(net, batch):
        norms = norms_of(net)
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        net.train()
        with torch.no_grad():
            net(batch)
        for norm in norms:
            norm.momentum = 0.1

    def on_a_copy(net, batch):
        net = copy.deepcopy(net)
        as_in_the_book(net, batch)
        return net

    def many_passes(net, batch):
        net.train()
        with torch.no_grad():
            for _ in range(100):
                net(batch)

    def learning(net, batch):
        as_in_the_book(net, batch)
        nn.init.ones_(net.encode_layer1[1].weight)

    def only_reset(net, batch):
        for norm in norms_of(net):
            norm.reset_running_stats()

    def by_default(net, batch):
        net.train()
        with torch.no_grad():
            net(batch)

    def frozen_first(net, batch):
        net.freeze_encoder()
        by_default(net, batch)

    passes(
        "backbone-swap.6",
        [
            as_in_the_book,
            calibrate,
            on_a_copy,
            many_passes,
            lambda net, batch: calibrate(net, batch, momentum=1.0, reset=False),
        ],
    )
    meets(
        "backbone-swap.6",
        {
            "nothing-measured": [frozen_first, lambda net, batch: None],
            "only-reset": [only_reset],
            "a-tenth-of-the-way": [by_default],
            "a-tenth-from-zero": [lambda n, b: calibrate(n, b, momentum=0.1)],
            "some-left-out": [lambda n, b: calibrate(n, b, first=1)],
            "weights-changed": [learning],
            "raises": [lambda net: 1, lambda net, batch: net.layers],
            "called-too-early": [0.4],
            "other": [lambda n, b: as_in_the_book(n, 3 * b)],
        },
    )


@pytest.fixture(scope="module")
def moved():
    torch.manual_seed(0)
    net = ResNetUNet(ResNet18(in_channels=1, width=8))
    net.load_encoder(load_trained("resnet18-fashion"))
    return net


def trained(net, rate, steps=60):
    """The solution of the chapter, with other rates for the encoder."""
    net = copy.deepcopy(net).train()
    body = [p for stage in net.encoder() for p in stage.parameters()]
    inside = {id(p) for p in body}
    rest = [p for p in net.parameters() if id(p) not in inside]
    groups = [{"params": body, "lr": rate}, {"params": rest, "lr": 0.1}]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [rate, 0.1], total_steps=steps)
    images, masks = tiles(seed=0)
    batches = Tiles(images[:4], masks[:4], batch_size=16, steps=steps)
    for picture, mask in batches.epoch(torch.Generator().manual_seed(0)):
        loss = F.cross_entropy(net(picture), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


def test_a_gentler_hand(moved):
    gentle = trained(moved, 0.001)
    twice = trained(moved, 0.002, steps=40)
    passes("backbone-swap.7", [gentle, twice.eval()])
    frozen = copy.deepcopy(gentle)
    frozen.load_encoder(load_trained("resnet18-fashion"))
    untrained = copy.deepcopy(moved)
    with torch.no_grad():
        for p in untrained.encode_layer1.parameters():
            p.add_(0.01)
    torch.manual_seed(1)
    decoder = {k: v for k, v in gentle.state_dict().items() if "encode_" not in k}
    stranger = ResNetUNet(ResNet18(in_channels=1, width=8))
    stranger.load_state_dict(decoder, strict=False)
    meets(
        "backbone-swap.7",
        {
            "encoder-frozen": [frozen],
            "not-gentle": [load_trained("resnet-unet-nuclei")],
            "decoder-unlearned": [untrained],
            "not-from-clothes": [stranger],
            "other-encoder": [ResNetUNet(ResNet34(in_channels=1, width=8))],
            "not-the-network": [UNetModel(init_features=8), 0.21, gentle.state_dict()],
        },
    )


def best_threshold(judge):
    levels = torch.arange(1, 236) / 255
    best = max(levels, key=lambda t: iou((train.image[0] > t).long(), train.mask))
    return iou((judge.image[0] > best).long(), judge.mask)


def scores(model, t=4):
    return results.values("iou", model=model, tiles=t, lr=None)


def four(t=4):
    return {
        "threshold": best_threshold(test),
        "scratch": mean(scores("resnet-unet", t)),
        "random, frozen": mean(scores("resnet-unet, frozen", t)),
        "worst seed": min(scores("resnet-unet, clothes", t)),
    }


def test_doubt_a_claim():
    right = four()
    passes("backbone-swap.4", [right, {name: round(v, 2) for name, v in right.items()}])

    def but(**other):
        return {**right, **{name.replace("_", " "): value for name, value in other.items()}}

    clothes = "resnet-unet, clothes"
    meets(
        "backbone-swap.4",
        {
            "accuracy-on-a": [{**right, "accuracy on A": 0.9}],
            "training-score": [{"threshold": 0.78, "training tiles": 0.92}],
            "more-data": [{"all tiles": 0.9}],
            "parameters": [but(parameters=226_738)],
            "too-few": [{"scratch": right["scratch"]}, {k: right[k] for k in list(right)[:3]}],
            "threshold-on-the-left": [but(threshold=best_threshold(train))],
            "clothes-for-scratch": [but(scratch=mean(scores(clothes)))],
            "unet-for-scratch": [but(scratch=mean(scores("unet")))],
            "worst-for-mean": [
                but(scratch=min(scores("resnet-unet"))),
                {**right, "random, frozen": min(scores("resnet-unet, frozen"))},
            ],
            "clothes-for-control": [
                {**right, "random, frozen": mean(scores(f"{clothes}, frozen"))}
            ],
            "mean-for-worst": [but(worst_seed=mean(scores(clothes)))],
            "best-for-worst": [but(worst_seed=max(scores(clothes)))],
            "worst-of-another": [but(worst_seed=min(scores(f"{clothes}, frozen")))],
            "value": [but(scratch=0.5), but(worst_seed=0.1)],
            "not-these-names": [0.87, {}, {"luck": 0.1}, list(right)],
            "not-a-number": [but(scratch="0.86")],
        },
    )


def test_every_class_gets_its_own_number_of_tiles():
    assert question("backbone-swap.4") == {"tiles": 4}
    seen = set()
    for seed in range(1, 12):
        t = question("backbone-swap.4", seed=seed)["tiles"]
        seen.add(t)
        assert check("backbone-swap.4", four(t), seed=seed).answered
    assert seen == {2, 8, 16}


def test_freeze_a_backbone():
    def off(stages):
        for stage in stages:
            stage.requires_grad_(False)

    def own_method(model):
        model.freeze_encoder()

    def by_hand(model):
        for stage in model.encoder():
            stage.requires_grad_(False)
            stage.eval()
            stage.train = lambda mode=True: None  # stays in evaluation mode

    def only_weights(model):
        off(model.encoder())

    def own_train(model):
        train = model.train
        off(model.encoder())

        def only_the_decoder(mode=True):
            train(mode)
            for stage in model.encoder():
                stage.eval()
            return model

        model.train = only_the_decoder

    def norms(**change):
        def freeze(model):
            off(model.encoder())
            for norm in (m for s in model.encoder() for m in s.modules()):
                if isinstance(norm, nn.BatchNorm2d):
                    vars(norm).update(change)

        return freeze

    def undone(model):
        off(model.encoder())
        for stage in model.encoder():
            stage.eval()

    passes("backbone-swap.5", [own_method, by_hand, own_train])
    meets(
        "backbone-swap.5",
        {
            "statistics-move": [only_weights, undone],
            "other-maps": [norms(momentum=0.0), norms(track_running_stats=False)],
            "nothing-frozen": [lambda model: None, lambda model: model.eval()],
            "partly-frozen": [lambda model: off(model.encoder()[:3])],
            "all-frozen": [lambda model: model.requires_grad_(False)],
            "decoder-frozen": [lambda model: off([*model.encoder(), model.decode_layer4])],
            "raises": [lambda: None],
        },
    )
