"""Degradation player: the measured curves, and two networks that learn in the page itself."""

from __future__ import annotations

from typing import Any

import traitlets

from backbone.cifar_resnet import CifarResNet
from backbone.data import digits
from backbone.experiments import load_results
from backbone.experiments.results import Results
from backbone.explorables.figure import Explorable

KINDS = {"plain": None, "residual": "A"}  # as the experiment names them
MEASURES = ("train_error", "test_error", "train_loss")
SAME = {"data": "digits", "epochs": 10, "lr": 0.1}  # of all measured runs that are shown

# What the page trains: the recipe of the experiment, on so many of its pictures that 56 layers
# take half a minute. Whole batches, because batch norm must not meet a last one of a few pictures.
PICTURES, BATCH = 500, 50
TRAINING = {
    "width": 8,
    "side": 8,
    "classes": 10,
    "levels": 16,
    "batch": BATCH,
    "epochs": 10,
    "lr": 0.1,
    "momentum": 0.9,
    "decay": 1e-4,
}
DEEPEST = 56


class DegradationPlayer(Explorable):
    """Curves of plain and residual networks of several depths, and a pair to train yourself.

    Traits:
        depth: of the measured curves that are shown.
        show: which of them, from "plain" and "residual".
        measure: "train_error", "test_error" or "train_loss".
        every_seed: one line per seed instead of their mean and range.
        log: whether the vertical axis is logarithmic.
        pair: the two networks to train, [{"depth": 56, "shortcut": None}, {"depth": 56,
            "shortcut": "A"}]; shortcut is None for a plain network, "A" for a residual one.
        seed: of their first weights and of the order of the pictures.
        trained: what the page trained last, a dict for each network with depth, shortcut, seed and
            the curves train_loss and train_error, one number an epoch; empty before that.
    """

    view = "degradation-player"

    measured = traitlets.Dict(read_only=True).tag(sync=True)
    training = traitlets.Dict(read_only=True).tag(sync=True)
    pictures = traitlets.Bytes(read_only=True).tag(sync=True)
    labels = traitlets.Bytes(read_only=True).tag(sync=True)

    depth = traitlets.Int(DEEPEST).tag(sync=True)
    show = traitlets.List(traitlets.Enum(list(KINDS)), list(KINDS)).tag(sync=True)
    measure = traitlets.Enum(MEASURES, MEASURES[0]).tag(sync=True)
    every_seed = traitlets.Bool(False).tag(sync=True)
    log = traitlets.Bool(False).tag(sync=True)
    pair = traitlets.List(
        traitlets.Dict(), [{"depth": DEEPEST, "shortcut": s} for s in KINDS.values()]
    ).tag(sync=True)
    seed = traitlets.Int(0, min=0, max=2**31 - 1).tag(sync=True)
    trained = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(self, results: Results | None = None, **traits: object) -> None:
        """Take the measured curves in.

        Args:
            results: of `python -m backbone.experiments degradation`; None: those of the book.
            traits: see above; also language.

        Raises:
            TypeError: results is something else.
            LookupError: they do not hold plain and residual networks on digits, at ten epochs.
            ValueError: the depth was not measured, or no such pair can be trained.
            traitlets.TraitError: a trait is not possible.
        """
        if results is None:
            results = load_results("degradation")
        if not isinstance(results, Results):
            raise TypeError(
                f"results must come from load_results, got {type(results).__name__}. Leave it out "
                "for those of the book."
            )
        images, labels = digits("train")
        self.set_trait("measured", _measured(results, len(images)))
        self.set_trait("training", {**TRAINING, "pictures": PICTURES, "deepest": DEEPEST})
        levels = (images[:PICTURES] * TRAINING["levels"]).round().byte()  # (500, 1, 8, 8), 0 to 16
        self.set_trait("pictures", levels.numpy().tobytes())
        self.set_trait("labels", labels[:PICTURES].byte().numpy().tobytes())
        super().__init__(**traits)

    @traitlets.validate("depth")
    def _measured_depth(self, proposal: traitlets.Bunch) -> int:
        depths = self.measured.get("depths", [])
        if proposal["value"] not in depths:
            raise ValueError(
                f"There are no measured curves for {proposal['value']} layers. Choose from "
                f"{', '.join(map(str, depths))}."
            )
        return proposal["value"]

    @traitlets.validate("pair")
    def _two_networks(self, proposal: traitlets.Bunch) -> list[dict[str, Any]]:
        pair = proposal["value"]
        if len(pair) != 2 or any(set(net) != {"depth", "shortcut"} for net in pair):
            raise ValueError(
                'pair must be two dicts with "depth" and "shortcut", such as '
                f'{{"depth": 56, "shortcut": None}}; got {pair!r}.'
            )
        for net in pair:
            if net["shortcut"] not in KINDS.values():
                raise ValueError(
                    'The page trains plain networks (shortcut None) and option "A", got '
                    f"{net['shortcut']!r}. For the others take backbone.training.fit."
                )
            CifarResNet(net["depth"], net["shortcut"], width=1)  # refuses depths that are none
            if net["depth"] > DEEPEST:
                raise ValueError(
                    f"The page trains up to {DEEPEST} layers, got {net['depth']}. For deeper ones "
                    "take backbone.training.fit."
                )
        return pair


def _measured(results: Results, pictures: int) -> dict[str, Any]:
    """The curves of the experiment's main question, and in what they differ from the page's."""
    of = {
        kind: {r["config"]["depth"] for r in results.select(shortcut=s, **SAME)}
        for kind, s in KINDS.items()
    }
    depths = sorted(set.intersection(*of.values()))
    curves = {
        kind: {
            str(depth): {
                name: [
                    [float(f"{v:.4g}") for v in curve]
                    for curve in results.curves(name, depth=depth, shortcut=shortcut, **SAME)
                ]
                for name in MEASURES
            }
            for depth in depths
        }
        for kind, shortcut in KINDS.items()
    }
    batch = results.content["common"]["batch_size"]
    steps = SAME["epochs"] * -(-pictures // batch)
    return {
        "depths": depths,
        "curves": curves,
        "pictures": pictures,
        "batch": batch,
        "steps": steps,
    }
