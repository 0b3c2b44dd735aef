"""The checks of "Degradation": right answers of several kinds, and the slips that are made."""

import copy
from itertools import combinations, pairwise, permutations
from math import log
from statistics import mean

import torch
from right_and_wrong import meets, passes
from torch import nn

from backbone.anatomy import cut
from backbone.cifar_resnet import CifarResNet
from backbone.data import digits
from backbone.exercises import check, question
from backbone.experiments import load_results
from backbone.training import Shuffled, evaluate

results = load_results("degradation")
ten = {"data": "digits", "epochs": 10, "lr": 0.1}
train, test = digits("train"), digits("test")


def test_what_an_option_costs():
    passes("degradation.1", [{"B": 736, "C": 11_728}, {"C": 11_728.0, "B": torch.tensor(736)}])

    def cost(price, widths=(8, 16, 32), blocks=(9, 8, 8)):
        a, b, c = widths
        return {
            "B": price(a, b) + price(b, c),
            "C": sum(n * price(w, w) for n, w in zip(blocks, widths, strict=True)),
        }

    def true(c, d):
        return c * d + 2 * d

    assert cost(true) == {"B": 736, "C": 11_728}
    meets(
        "degradation.1",
        {
            "batch-norm-forgotten": [
                cost(lambda c, d: c * d),
                {"B": 640, "C": 11_728},
                {"B": 736, "C": cost(lambda c, d: c * d)["C"]},
            ],
            "one-parameter-per-map": [cost(lambda c, d: c * d + d)],
            "kernel-of-nine": [cost(lambda c, d: 9 * c * d + 2 * d)],
            "bias-counted": [cost(lambda c, d: c * d + 3 * d)],
            "projections-counted-again": [cost(true, blocks=(9, 9, 9))],
            "first-stage-projected": [{"B": 736 + 80, "C": 11_728 - 80}, {"B": 816, "C": 11_728}],
            "widths-of-the-paper": [cost(true, widths=(16, 32, 64))],
            "c-counted-from-a": [{"B": 736, "C": 11_728 + 736}],
            "not-these-names": [736, (736, 11_728)],
            "not-a-number": [{"B": "736", "C": 1}],
            "other": [{"B": 0, "C": 1}],
        },
    )


def test_every_class_gets_its_own_network():
    assert question("degradation.1") == {"depth": 56, "width": 8}
    for seed in range(1, 12):
        q = question("degradation.1", seed=seed)
        a, b, c = (
            sum(p.numel() for p in CifarResNet(q["depth"], s, width=q["width"]).parameters())
            for s in "ABC"
        )
        assert check("degradation.1", {"B": b - a, "C": c - b}, seed=seed).answered
    assert len({tuple(question("degradation.1", seed=s).values()) for s in range(12)}) > 5


def test_another_depth():
    n = len(train.images)
    passes("degradation.2", [100 * 70 / n, torch.tensor(100 * 30 / n), 5.2, 0.5])
    meets(
        "degradation.2",
        {
            "share-for-percent": [70 / n, 203 / n],
            "score-for-error": [94.8, 99.9],
            "plain-too-bad": [55.0],
            "plain-too-good": [0.0],  # as the residual twin has it
            "not-a-percentage": [520, -1],
            "not-a-number": [{"plain": 5.2}, "5.2 %"],
        },
    )


def test_every_class_trains_another_depth():
    assert question("degradation.2") == {"depth": 26, "training_seed": 7}
    seen = set()
    for seed in range(1, 12):
        q = question("degradation.2", seed=seed)
        seen.add(q["depth"])
        shallow, deep = (
            100 * mean(results.values("train_error", depth=d, shortcut=None, **ten))
            for d in (q["depth"] - 6, q["depth"] + 6)
        )
        assert check("degradation.2", (shallow + deep) / 2, seed=seed).answered
    assert seen == {14, 26}


def of(name, shortcut):
    return results.values(name, depth=20, shortcut=shortcut, **ten)


def as_far(first, second):
    ten_values, half = first + second, sum(first + second) / 2
    seen = abs(sum(first) - half)
    return sum(abs(sum(deal) - half) >= seen - 1e-9 for deal in combinations(ten_values, 5))


def test_more_than_chance():
    def with_means(first, second):
        values, far = torch.tensor(first + second, dtype=torch.double), []
        for chosen in combinations(range(10), 5):
            mask = torch.zeros(10, dtype=torch.bool)
            mask[list(chosen)] = True
            far.append((values[mask].mean() - values[~mask].mean()).abs().item())
        seen = abs(mean(first) - mean(second))
        return torch.tensor(sum(f > seen - 1e-8 for f in far))

    def naive(first, second):  # right on paper
        seen, together = abs(mean(first) - mean(second)), sum(first + second)
        deals = combinations(first + second, 5)
        return sum(abs(sum(d) / 5 - (together - sum(d)) / 5) >= seen for d in deals)

    def form(keep):
        def count(first, second):
            half = sum(first + second) / 2
            seen = sum(first) - half
            return sum(keep(sum(deal) - half, seen) for deal in combinations(first + second, 5))

        return count

    def ordered(first, second):
        half = sum(first + second) / 2
        seen = abs(sum(first) - half)
        deals = permutations(first + second, 5)
        return sum(abs(sum(deal) - half) >= seen - 1e-9 for deal in deals)

    passes("degradation.3", [as_far, with_means])
    meets(
        "degradation.3",
        {
            "share-for-count": [
                lambda a, b: as_far(a, b) / 252,
                lambda a, b: round(100 * as_far(a, b) / 252, 1),
            ],
            "rounding": [naive],
            "strictly-farther": [form(lambda far, seen: abs(far) > abs(seen) + 1e-9)],
            "one-direction": [
                form(lambda far, seen: far >= seen - 1e-9),
                form(lambda far, seen: far <= seen + 1e-9),
            ],
            "nearer-counted": [form(lambda far, seen: abs(far) <= abs(seen) + 1e-9)],
            "order-counted": [ordered],
            "raises": [lambda a: 2, lambda a, b: a - b],
            "not-a-number": [lambda a, b: [2]],
            "called-too-early": [10],
            "other": [lambda a, b: 10],
        },
    )


def factors(depth, shortcut):
    runs = results.values("gradient_before", depth=depth, shortcut=shortcut, **ten)
    return [(norms[1] / norms[-1]) ** (1 / (depth - 3)) for norms in runs]


def grown(form, when="before"):
    def answer(depth, shortcut):
        runs = results.values(f"gradient_{when}", depth=depth, shortcut=shortcut, **ten)
        return [form(norms, depth) for norms in runs]

    return answer


def test_compound_interest():
    def by_logarithms(depth, shortcut):
        runs = results.values("gradient_before", depth=depth, shortcut=shortcut, **ten)
        norms = torch.tensor(runs)
        return (norms[:, 1].log() - norms[:, -1].log()).div(depth - 3).exp()

    def neighbours(norms, depth):
        ratios = [a / b for a, b in pairwise(norms[1:])]
        return torch.tensor(ratios).log().mean().exp().item()

    passes(
        "degradation.4",
        [
            factors,
            by_logarithms,
            grown(neighbours),
            lambda d, s: mean(factors(d, s)),
            lambda d, s: dict(enumerate(factors(d, s))),
        ],
    )
    meets(
        "degradation.4",
        {
            "whole-way": [grown(lambda n, d: n[1] / n[-1]), grown(lambda n, d: n[0] / n[-1])],
            "divided-for-root": [grown(lambda n, d: n[1] / n[-1] / (d - 3))],
            "upside-down": [grown(lambda n, d: (n[-1] / n[1]) ** (1 / (d - 3)))],
            "after-training": [grown(lambda n, d: (n[1] / n[-1]) ** (1 / (d - 3)), "after")],
            "first-convolution": [grown(lambda n, d: (n[0] / n[-1]) ** (1 / (d - 2)))],
            "rate-for-factor": [
                grown(lambda n, d: (n[1] / n[-1]) ** (1 / (d - 3)) - 1),
                grown(lambda n, d: log(n[1] / n[-1]) / (d - 3)),
            ],
            "miscounted": [
                grown(lambda n, d: (n[1] / n[-1]) ** (1 / d)),
                grown(lambda n, d: (n[1] / n[-1]) ** (1 / (d - 2))),
            ],
            "raises": [lambda depth: 1, lambda d, s: results.values("x", depth=d)],
            "not-a-number": [lambda d, s: None],
            "called-too-early": [factors(20, None)],
            "other": [lambda d, s: 1.1],
        },
    )


def error_of(net):
    return 100 * (1 - evaluate(net, *test)["score"])


def measured(net, momentum=None, reset=True, training=True, size=52):
    for m in net.train(training).modules():
        if isinstance(m, nn.BatchNorm2d):
            if reset:
                m.reset_running_stats()
            m.momentum = momentum
    with torch.no_grad():
        for images in train.images.split(size):
            net(images)


def cut_error(net, name, anew, **how):
    net = copy.deepcopy(net)
    with cut(net, name):
        if anew:
            measured(net, **how)
        return error_of(net)


def test_whose_fault():
    def larger_batches(net, name, anew):
        return torch.tensor(cut_error(net, name, anew, size=104))

    def moving_average(net, name, anew):
        return cut_error(net, name, anew, momentum=0.1, reset=False)

    def not_copied(net, name, anew):
        with cut(net, name):
            if anew:
                measured(net)
            return error_of(net)

    def late_cut(net, name, anew):
        net = copy.deepcopy(net)
        if anew:
            measured(net)
        with cut(net, name):
            return error_of(net)

    def early_out(net, name, anew):
        if not anew:
            return cut_error(net, name, False)
        net = copy.deepcopy(net)
        with cut(net, name):
            measured(net)
        measured(net)
        return error_of(net)

    passes("degradation.5", [cut_error, larger_batches, moving_average])
    meets(
        "degradation.5",
        {
            "share-for-percent": [lambda *a: cut_error(*a) / 100],
            "score-for-error": [lambda *a: 100 - cut_error(*a)],
            "not-cut": [lambda net, name, anew: error_of(net)],
            "tested-whole": [early_out],
            "turned-round": [lambda net, name, anew: cut_error(net, name, not anew)],
            "always-anew": [lambda net, name, anew: cut_error(net, name, True)],
            "same-statistics": [
                late_cut,
                lambda net, name, anew: cut_error(net, name, False),
                lambda *a: cut_error(*a, training=False, reset=False),
            ],
            "changes-the-network": [not_copied],
            "raises": [lambda net, name: 1, lambda net, name, anew: net.layer9],
            "not-a-number": [lambda *a: None],
            "called-too-early": [83.0],
            "other": [lambda *a: 50.0],
        },
    )


class NoLeftOvers(Shuffled):
    def __len__(self):
        return len(self.images) // self.batch_size


class FromScratch:
    def __init__(self, images, targets, batch_size):
        self.pair, self.size = (images, targets), batch_size

    def __len__(self):
        return len(self.pair[0]) // self.size

    def epoch(self, generator):
        order = torch.randperm(len(self.pair[0]), generator=generator)
        parts = list(order.split(self.size))
        if len(parts[-1]) < self.size:
            parts[-2:] = [torch.cat(parts[-2:])]
        return [(self.pair[0][p], self.pair[1][p]) for p in parts]


def test_whole_batches():
    class Fewer(FromScratch):
        def epoch(self, generator):
            return [b for b in super().epoch(generator) if len(b[0]) == self.size]

    class Dropped(NoLeftOvers):
        def epoch(self, generator):
            order = torch.randperm(len(self.images), generator=generator)
            for i in range(len(self)):
                chosen = order[i * self.batch_size : (i + 1) * self.batch_size]
                yield self.images[chosen], self.targets[chosen]

    class WrongLength(FromScratch):
        def __len__(self):
            return 1 + super().__len__()

    class Sorted(FromScratch):
        def epoch(self, generator):
            return super().epoch(torch.Generator().manual_seed(0))

    class Torn(FromScratch):
        def epoch(self, generator):
            return [(x, y.flip(0)) for x, y in super().epoch(generator)]

    class Twice(Shuffled):
        def epoch(self, generator):
            for x, y in super().epoch(generator):
                if len(x) < self.batch_size:
                    x = torch.cat([x, self.images[: self.batch_size - len(x)]])
                    y = torch.cat([y, self.targets[: self.batch_size - len(y)]])
                yield x, y

    class OneBatch(NoLeftOvers):
        def __len__(self):
            return 1

    passes("degradation.6", [NoLeftOvers, FromScratch])
    meets(
        "degradation.6",
        {
            "still-a-small-batch": [Shuffled],
            "left-overs-dropped": [Dropped, Fewer],
            "pictures-twice": [Twice],
            "len-disagrees": [WrongLength],
            "order-not-drawn": [Sorted],
            "pairs-torn": [Torn],
            "other-sizes": [OneBatch],
            "raises": [lambda i, t: None, lambda i, t, batch_size: None],
            "called-too-early": [NoLeftOvers(*train, batch_size=50)],
        },
    )
