"""What do a U-Net's skips carry? Train with all of them and without each, on two organs.

[1] O. Ronneberger et al.: U-Net (2015), https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn import functional as F

from backbone.anatomy import cut
from backbone.data import brain, nuclei_split
from backbone.experiments.experiment import Config, Experiment, Outcome
from backbone.training import Batches, Crops, Shuffled, dice_loss, evaluate, fit, seed_everything
from backbone.unet import UNetModel

SKIPS = ("encode_layer1", "encode_layer2", "encode_layer3", "encode_layer4")
LOSSES = {"cross_entropy": F.cross_entropy, "dice": dice_loss}
SETTINGS = {"init_features": 8, "optimizer": "adamw", "lr": 0.01, "weight_decay": 1e-4}

Pair = tuple[Tensor, Tensor]


def plan() -> list[Config]:
    """All skips, each one missing from the start, none; two losses; two organs."""
    missing = [[], *([skip] for skip in SKIPS), list(SKIPS)]
    return [
        *({"data": "nuclei", "loss": "cross_entropy", "without": w, "epochs": 4} for w in missing),
        {"data": "nuclei", "loss": "dice", "without": [], "epochs": 4},
        {"data": "brain", "loss": "cross_entropy", "without": [], "epochs": 8},
        {"data": "brain", "loss": "cross_entropy", "without": list(SKIPS), "epochs": 8},
    ]


def _most_seeds(config: Config) -> int | None:
    """Five seeds with all skips and with none, three for the rest."""
    main = config["data"] == "nuclei" and len(config["without"]) != 1
    return None if main else 3


def load(data: str) -> tuple[Batches, Pair]:
    """Return what to train on, and whole pictures to test on.

    Shapes:
        "nuclei": an epoch of 50 batches of 16 crops (1, 64, 64) of the left side, each turned and
        mirrored at random; the right side, (1, 1, 512, 128), to test on.
        "brain": an epoch of 20 batches of 2 slices (1, 208, 176); 12 slices to test on.
    """
    if data == "nuclei":
        train, test = nuclei_split()
        batches = Crops(train.image, train.mask, size=64, batch_size=16, steps=50)
        return batches, (test.image[None], test.mask[None])
    train, test = brain("train"), brain("test")
    return Shuffled(train.images, train.masks, batch_size=2), (test.images, test.masks)


@contextmanager
def missing(model: UNetModel, skips: list[str]) -> Iterator[UNetModel]:
    """Run the model without these skips, while training as well: its decoder receives zeros."""
    if not skips:
        yield model
        return
    with cut(model, *skips):
        yield model


def scores(model: UNetModel, test: Pair) -> dict[str, float]:
    """IoU and Dice of class 1 over all test pixels together."""
    return {name: evaluate(model, *test, metric=name)["score"] for name in ("iou", "dice")}


def run(config: Config, seed: int, device: str | None, progress: bool) -> Outcome:
    """Train one U-Net, test it, then cut what it has."""
    batches, test = load(config["data"])
    seed_everything(seed)
    model = UNetModel(init_features=SETTINGS["init_features"])
    with missing(model, config["without"]):
        history = fit(
            model,
            batches,
            test,
            epochs=config["epochs"],
            batch_size=4,  # for scoring: whole pictures are large
            **{k: v for k, v in SETTINGS.items() if k != "init_features"},
            loss=LOSSES[config["loss"]],
            metric="iou",
            seed=seed,
            device=device,
            progress=progress,
        )
        model.cpu()
        final = {**scores(model, test), "parameters": sum(p.numel() for p in model.parameters())}
    if not config["without"]:
        final["iou_cut"] = {}
        for name, skips in [*((s, [s]) for s in SKIPS), ("all", list(SKIPS))]:
            with cut(model, *skips):
                final["iou_cut"][name] = scores(model, test)["iou"]
        other = "brain" if config["data"] == "nuclei" else "nuclei"
        final["iou_other_organ"] = scores(model, load(other)[1])["iou"]
    curves = {k: history[k] for k in ("train_loss", "train_score", "val_loss", "val_score")}
    return Outcome(curves, final, model)


EXPERIMENT = Experiment(
    name="segmentation",
    question="What do a U-Net's skips carry?",
    plan=plan,
    run=run,
    modules=(
        *("checks", "unet", "anatomy.hooks", "data.microscopy", "data.crops", "data.brain"),
        *("training.loop", "training.batches", "training.losses", "training.metrics"),
        *("training.seeding", "experiments.segmentation"),
    ),
    quick={"epochs": 1},
    common=SETTINGS,
    most_seeds=_most_seeds,
)
