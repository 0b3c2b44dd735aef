"""Do deeper plain networks train worse, and do shortcuts cure it? [1] §1 Fig. 1, §4.2 Fig. 6.

[1] K. He et al.: Deep Residual Learning (2015), https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from backbone.anatomy import cut, cuttable, gradient_norms
from backbone.cifar_resnet import CifarResNet
from backbone.data import digits, fashion
from backbone.experiments.experiment import Config, Experiment, Outcome
from backbone.training import evaluate, fit, seed_everything

DEPTHS = (8, 20, 32, 44, 56)
LRS = (0.03, 0.01)  # beside 0.1, to see whether the learning rate is to blame
# 52 divides the 1,352 digits. With 50 the last batch of each epoch would hold two pictures: batch
# norm then normalises by their statistics, and that one step upsets the deep networks.
SETTINGS = {"width": 8, "batch_size": 52, "optimizer": "sgd", "weight_decay": 1e-4}

Pair = tuple[Tensor, Tensor]


def plan() -> list[Config]:
    """Every depth with and without shortcuts; options; time; learning rates; other pictures."""

    def runs(
        shortcuts: tuple[str | None, ...],
        depths: tuple[int, ...],
        data: str,
        epochs: int,
        lr: float = 0.1,
    ) -> list[Config]:
        rest = {"data": data, "epochs": epochs, "lr": lr}
        return [{"shortcut": s, "depth": d, **rest} for d in depths for s in shortcuts]

    return [
        *runs((None, "A"), DEPTHS, data="digits", epochs=10),
        *runs(("B", "C"), (20, 56), data="digits", epochs=10),
        *runs((None, "A"), (56,), data="digits", epochs=50),  # slow, or stuck?
        *(c for lr in LRS for c in runs((None, *"ABC"), (56,), data="digits", epochs=10, lr=lr)),
        *runs((None, "A"), (20, 56), data="fashion", epochs=4),
    ]


def _most_seeds(config: Config) -> int | None:
    """Five seeds for the main question, three for the long runs and the side questions."""
    side = config["epochs"] > 10 or config["lr"] != 0.1 or config["data"] == "fashion"
    return 3 if side else None


def load(data: str) -> tuple[Pair, Pair]:
    """Return (images, labels) to train on and to test on.

    Shapes:
        "digits": (1352, 1, 8, 8) and (445, 1, 8, 8); "fashion": the book's 6,000 and 2,000
        pictures, averaged to 14×14 pixels so that 56 layers take a minute and not four.
    """
    if data == "digits":
        train, test = digits("train"), digits("test")
        return (train.images, train.labels), (test.images, test.labels)
    train, test = fashion("train"), fashion("test")
    return (
        (F.avg_pool2d(train.images, 2), train.labels),
        (F.avg_pool2d(test.images, 2), test.labels),
    )


def build(config: Config, seed: int) -> CifarResNet:
    """Return the network of a run, with the initial weights of its seed."""
    seed_everything(seed)
    return CifarResNet(
        config["depth"], config["shortcut"], num_classes=10, in_channels=1, width=SETTINGS["width"]
    )


def run(config: Config, seed: int, device: str | None, progress: bool) -> Outcome:
    """Train one network and look into it."""
    train, test = load(config["data"])
    model = build(config, seed)
    probe = (train[0][:100], train[1][:100])  # where gradients are measured
    before = gradient_norms(model, *probe)
    history = fit(
        model,
        train,
        test,
        epochs=config["epochs"],
        lr=config["lr"],
        **{k: v for k, v in SETTINGS.items() if k != "width"},
        seed=seed,
        device=device,
        progress=progress,
    )
    on_train, on_test = evaluate(model, *train), evaluate(model, *test)
    model.cpu()
    final = {
        "train_loss": on_train["loss"],
        "train_error": 1 - on_train["score"],
        "test_loss": on_test["loss"],
        "test_error": 1 - on_test["score"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "gradient_before": list(before.values()),
        "gradient_after": list(gradient_norms(model, *probe).values()),
        "gradient_names": list(before),
    }
    if config["shortcut"] and config["data"] == "digits":
        final["test_error_cut"] = _cut_one_by_one(model, test)
    curves = {name: history[name] for name in ("train_loss", "val_loss")}
    curves["train_error"] = [1 - score for score in history["train_score"]]
    curves["test_error"] = [1 - score for score in history["val_score"]]
    curves["test_loss"] = curves.pop("val_loss")
    return Outcome(curves, final, model)


@torch.no_grad()
def _cut_one_by_one(model: CifarResNet, test: Pair) -> dict[str, float]:
    """Test error with one shortcut cut, for each, and with all of them cut ("all")."""
    errors = {}
    for name in cuttable(model):
        with cut(model, name):
            errors[name] = 1 - evaluate(model, *test)["score"]
    with cut(model):
        errors["all"] = 1 - evaluate(model, *test)["score"]
    return errors


EXPERIMENT = Experiment(
    name="degradation",
    question="Do deeper plain networks train worse, and do shortcuts cure it?",
    plan=plan,
    run=run,
    modules=(
        *("checks", "resnet", "variants", "cifar_resnet", "anatomy.hooks"),
        *("data.digits", "data.fashion", "training.loop", "training.batches"),
        *("training.metrics", "training.seeding", "experiments.degradation"),
    ),
    quick={"epochs": 1},
    common=SETTINGS,
    most_seeds=_most_seeds,
)
