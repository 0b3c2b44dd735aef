"""Does a backbone that learned clothes help to find nuclei, where few examples are at hand?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from backbone.data import nuclei_split
from backbone.experiments.experiment import Config, Experiment, Outcome
from backbone.resnet import ResNet18
from backbone.resnet_unet import ResNetUNet
from backbone.training import evaluate, fit, seed_everything
from backbone.unet import UNetModel
from backbone.weights import load_trained

TILE = 64  # pixels, height and width of a training tile
TILES = (2, 4, 8, 16, 48)  # 48 are all there are
LRS = (0.03, 0.1, 0.3)
PILOT_SEED = 100  # chooses learning rates, reports nothing
SETTINGS = {"width": 8, "batch_size": 16, "optimizer": "adamw", "weight_decay": 1e-4, "steps": 40}

Pair = tuple[Tensor, Tensor]


def _unet() -> nn.Module:
    return UNetModel(init_features=SETTINGS["width"])


def _resnet_unet() -> ResNetUNet:
    return ResNetUNet(ResNet18(in_channels=1, width=SETTINGS["width"]))


def _frozen() -> ResNetUNet:
    model = _resnet_unet()
    model.freeze_encoder()
    return model


def _pretrained() -> ResNetUNet:
    model = _resnet_unet()
    model.load_encoder(load_trained("resnet18-fashion"))
    return model


def _pretrained_frozen() -> ResNetUNet:
    model = _pretrained()
    model.freeze_encoder()
    return model


# Who takes part. "frozen": an untrained encoder that never learns, to know what freezing costs.
MODELS: dict[str, Callable[[], nn.Module]] = {
    "unet": _unet,
    "resnet-unet": _resnet_unet,
    "resnet-unet, frozen": _frozen,
    "resnet-unet, clothes": _pretrained,
    "resnet-unet, clothes, frozen": _pretrained_frozen,
}

# The best of LRS for each, found in the runs with "lr" in their configuration (a test compares).
BEST_LR = {
    "unet": 0.1,
    "resnet-unet": 0.1,
    "resnet-unet, frozen": 0.1,
    "resnet-unet, clothes": 0.1,
    "resnet-unet, clothes, frozen": 0.3,
}


class Tiles:
    """Batches drawn from a few tiles, each turned and mirrored at random.

    Args:
        images: (M, C, S, S).
        masks: (M, S, S).
        batch_size: tiles in a batch, drawn with replacement: there may be fewer tiles.
        steps: batches in an epoch, so that every network takes as many however few tiles it has.
    """

    def __init__(self, images: Tensor, masks: Tensor, batch_size: int, steps: int) -> None:
        self.images, self.masks, self.batch_size, self.steps = images, masks, batch_size, steps

    def __len__(self) -> int:
        return self.steps

    def epoch(self, generator: torch.Generator) -> Iterator[Pair]:
        """Yield `steps` batches: (B, C, S, S) and (B, S, S)."""

        def draw(end: int) -> list[int]:
            return torch.randint(end, (self.batch_size,), generator=generator).tolist()

        for _ in range(self.steps):
            chosen = zip(draw(len(self.images)), draw(4), draw(2), strict=True)
            pairs = [
                (_laid(self.images[i], turn, mirror), _laid(self.masks[i], turn, mirror))
                for i, turn, mirror in chosen
            ]
            yield torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs])


def _laid(x: Tensor, turn: int, mirror: int) -> Tensor:
    """One of the eight ways to lay a square down: (…, S, S) → (…, S, S)."""
    x = x.rot90(turn, (-2, -1))
    return x.flip(-1) if mirror else x


def tiles(seed: int) -> Pair:
    """Cut the training side into 48 tiles and shuffle them by seed.

    The first two of a seed are among its first four, and so on.

    Shapes: → (48, 1, 64, 64), (48, 64, 64)
    """
    image, mask, _ = nuclei_split().train
    images = image.unfold(1, TILE, TILE).unfold(2, TILE, TILE)  # (1, 8, 6, 64, 64)
    masks = mask.unfold(0, TILE, TILE).unfold(1, TILE, TILE)  # (8, 6, 64, 64)
    images = images.reshape(1, -1, TILE, TILE).transpose(0, 1)  # (48, 1, 64, 64)
    masks = masks.reshape(-1, TILE, TILE)  # (48, 64, 64)
    order = torch.randperm(len(masks), generator=torch.Generator().manual_seed(seed))
    return images[order], masks[order]


def plan() -> list[Config]:
    """Every network with few and with all tiles; before that, a pilot for the learning rates."""
    pilot = [{"model": model, "tiles": 8, "epochs": 4, "lr": lr} for model in MODELS for lr in LRS]
    return [*pilot, *({"model": m, "tiles": t, "epochs": 4} for t in TILES for m in MODELS)]


def run(config: Config, seed: int, device: str | None, progress: bool) -> Outcome:
    """Train one network on a few tiles.

    A run of the pilot (one with "lr") is scored on tiles of the training side that it did not
    learn from; the test side is not looked at. All others are scored on the test side.
    """
    pilot = "lr" in config
    seed = PILOT_SEED + seed if pilot else seed
    images, masks = tiles(seed)
    n = config["tiles"]
    side = nuclei_split().test
    test = (images[16:], masks[16:]) if pilot else (side.image[None], side.mask[None])
    seed_everything(seed)
    model = MODELS[config["model"]]()
    history = fit(
        model,
        Tiles(images[:n], masks[:n], SETTINGS["batch_size"], SETTINGS["steps"]),
        test,
        epochs=config["epochs"],
        batch_size=32,
        lr=config.get("lr", BEST_LR[config["model"]]),
        optimizer=SETTINGS["optimizer"],
        weight_decay=SETTINGS["weight_decay"],
        metric="iou",
        seed=seed,
        device=device,
        progress=progress,
    )
    model.cpu()
    final = {
        name: evaluate(model, *test, metric=name, batch_size=32)["score"]
        for name in ("iou", "dice")
    }
    final["train_iou"] = evaluate(model, images[:n], masks[:n], metric="iou")["score"]
    final["parameters"] = sum(p.numel() for p in model.parameters())
    final["learning"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    curves = {k: history[k] for k in ("train_loss", "train_score", "val_loss", "val_score")}
    return Outcome(curves, final, model)


EXPERIMENT = Experiment(
    name="backbone",
    question="Does a backbone that learned clothes help to find nuclei?",
    plan=plan,
    run=run,
    modules=(
        *("checks", "resnet", "unet", "resnet_unet", "data.microscopy", "data.crops"),
        *("training.loop", "training.batches", "training.metrics", "training.seeding"),
        *("experiments.backbone_swap",),
    ),
    quick={"epochs": 1},
    common=SETTINGS,
    most_seeds=lambda config: 2 if "lr" in config else None,
)
