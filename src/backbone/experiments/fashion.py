"""How well does a small ResNet tell clothes apart? Its weights are the book's own backbone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from backbone.data import fashion
from backbone.experiments.experiment import Config, Experiment, Outcome
from backbone.resnet import ResNet18
from backbone.training import Shuffled, confusion_matrix, evaluate, fit, seed_everything

SIZE = 64  # pixels: the ResNet halves its input five times, 28 would leave a single pixel
SETTINGS = {"width": 8, "batch_size": 100, "optimizer": "sgd", "lr": 0.1, "weight_decay": 5e-4}


def plan() -> list[Config]:
    """On the part that ships with the book, and on all of it."""
    return [
        {"full": False, "epochs": 8},
        {"full": True, "epochs": 5},
    ]


def enlarge(images: Tensor) -> Tensor:
    """(N, 1, 28, 28) → (N, 1, 64, 64), bilinear."""
    return F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", align_corners=False)


def augment(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror every other picture, left to right, and enlarge: most clothes are symmetric."""
    mirror = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(mirror[:, None, None, None], x.flip(-1), x)
    return enlarge(x), y


def run(config: Config, seed: int, device: str | None, progress: bool) -> Outcome:
    """Train a ResNet-18 of width 8 and test it."""
    train, test = fashion("train", config["full"]), fashion("test", config["full"])
    images = enlarge(test.images)
    seed_everything(seed)
    model = ResNet18(num_classes=10, in_channels=1, width=SETTINGS["width"])
    batches = Shuffled(train.images, train.labels, SETTINGS["batch_size"], augment)
    history = fit(
        model,
        batches,
        (images, test.labels),
        epochs=config["epochs"],
        **{k: v for k, v in SETTINGS.items() if k != "width"},
        seed=seed,
        device=device,
        progress=progress,
    )
    model.cpu()
    on_test = evaluate(model, images, test.labels)
    with torch.no_grad():
        chosen = torch.cat([model(x).argmax(1) for x in images.split(500)])
    final = {
        "test_loss": on_test["loss"],
        "accuracy": on_test["score"],
        "test_images": len(images),
        "train_images": len(train.images),
        "confusion": confusion_matrix(chosen, test.labels, 10).tolist(),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    curves = {k: history[k] for k in ("train_loss", "train_score", "val_loss", "val_score")}
    return Outcome(curves, final, model)


EXPERIMENT = Experiment(
    name="fashion",
    question="How well does a ResNet-18 of width 8 tell clothes apart?",
    plan=plan,
    run=run,
    modules=(
        *("checks", "resnet", "data.fashion", "training.loop", "training.batches"),
        *("training.metrics", "training.seeding", "experiments.fashion"),
    ),
    quick={"epochs": 1, "full": False},
    common={**SETTINGS, "size": SIZE},
)
