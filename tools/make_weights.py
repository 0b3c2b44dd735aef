"""Turn networks that experiments trained into the book's weights, each with a model card.

    python tools/make_weights.py FOLDER

FOLDER holds a folder for each experiment, as `python -m backbone.experiments … --keep` wrote them.
Kernels are rounded to half precision, every score is measured before and after, and the record
`cards.json` and its readable twin `README.md` are written. Networks that are not in FOLDER keep
the cards they have.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm import tqdm

from backbone.anatomy import cut
from backbone.data import fashion, nuclei_split
from backbone.experiments import load_results
from backbone.experiments.fashion import enlarge
from backbone.experiments.results import save_json
from backbone.training import evaluate
from backbone.weights.trained import FILES, NETWORKS, rounded_state

SEED = 0  # the first, not the best: choosing by the test score would flatter it
FASHION_PART = "the 2,000 test pictures that come with the book"
FASHION_ALL = "all 10,000 test pictures of Fashion-MNIST"
NUCLEI_TEST = "the unseen 128 columns of the nuclei image"

Data = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """Where a network comes from and what to say about it."""

    title: str
    network: str
    experiment: str
    config: dict[str, Any]  # which of the experiment's configurations
    score: str  # the entry in `final` whose spread is told
    metric: str
    data: str
    recipe: str
    limits: str
    tests: Callable[[], dict[str, Data]]  # what it is scored on
    inside: Callable[[nn.Module], AbstractContextManager] = nullcontext


def _fashion_tests() -> dict[str, Data]:
    sides = {FASHION_PART: fashion("test"), FASHION_ALL: fashion("test", full=True)}
    return {on: (enlarge(side.images), side.labels) for on, side in sides.items()}


def _nuclei_tests() -> dict[str, Data]:
    side = nuclei_split().test
    return {NUCLEI_TEST: (side.image[None], side.mask[None])}


ONE_IMAGE = (
    "One microscope image, one laboratory, one stain: it finds bright round nuclei of about 15 to "
    "40 pixels on a dark ground, and nothing is known about any other image. For teaching, not for "
    "diagnosis."
)
U_NET_RECIPE = (
    "200 steps of 16 random crops of 64×64 pixels, turned and mirrored; cross-entropy; AdamW, "
    "weight decay 0.0001, one-cycle learning rate up to 0.01."
)

RECIPES = {
    "resnet18-fashion": Recipe(
        title="ResNet-18 of width 8, trained on clothes",
        network="ResNet18(num_classes=10, in_channels=1, width=8)",
        experiment="fashion",
        config={"full": True},
        score="accuracy",
        metric="accuracy",
        data="Fashion-MNIST, all 60,000 training pictures, enlarged to 64×64 pixels (bilinear)",
        recipe=(
            "5 epochs, batches of 100, every other picture mirrored; cross-entropy; SGD with "
            "momentum 0.9, weight decay 0.0005, one-cycle learning rate up to 0.1."
        ),
        limits=(
            "Grey shop photographs, centred on black, enlarged from 28×28 to 64×64. Shirts are "
            "often taken for T-shirts, pullovers and coats. Anything that is not clothes still "
            "gets one of ten names."
        ),
        tests=_fashion_tests,
    ),
    "unet-nuclei": Recipe(
        title="U-Net with 8 initial features, trained on nuclei",
        network="UNetModel(in_features=1, out_features=2, init_features=8)",
        experiment="segmentation",
        config={"data": "nuclei", "loss": "cross_entropy", "without": []},
        score="iou",
        metric="iou",
        data="the left 384 columns of the nuclei image",
        recipe=U_NET_RECIPE,
        limits=ONE_IMAGE,
        tests=_nuclei_tests,
    ),
    "unet-nuclei-no-skips": Recipe(
        title="The same U-Net, trained without its skips",
        network="UNetModel(in_features=1, out_features=2, init_features=8)",
        experiment="segmentation",
        config={
            "data": "nuclei",
            "loss": "cross_entropy",
            "without": ["encode_layer1", "encode_layer2", "encode_layer3", "encode_layer4"],
        },
        score="iou",
        metric="iou",
        data="the left 384 columns of the nuclei image",
        recipe=f"As unet-nuclei, with all four skips cut all the time. {U_NET_RECIPE}",
        limits=(
            "Run it with its skips cut, `with cut(model): …`: its decoder has never met anything "
            f"but zeros there. {ONE_IMAGE}"
        ),
        tests=_nuclei_tests,
        inside=cut,
    ),
    "resnet-unet-nuclei": Recipe(
        title="A ResNet-18 under a U-Net, trained on nuclei",
        network="ResNetUNet(ResNet18(in_channels=1, width=8))",
        experiment="backbone",
        config={"model": "resnet-unet, clothes", "tiles": 48},
        score="iou",
        metric="iou",
        data=(
            "48 tiles of 64×64 pixels, the left 384 columns of the nuclei image; its encoder "
            "started from resnet18-fashion"
        ),
        recipe=(
            "160 steps of 16 tiles, turned and mirrored; cross-entropy; AdamW, weight decay "
            "0.0001, one-cycle learning rate as in `backbone.experiments.backbone_swap`; the whole "
            "network learned, the encoder too."
        ),
        limits=ONE_IMAGE,
        tests=_nuclei_tests,
    ),
}


def make_card(name: str, recipe: Recipe, source: Path) -> dict[str, Any]:
    """Write one `.safetensors` file and return its card."""
    model = NETWORKS[name]()
    model.load_state_dict(load_file(source), strict=True)
    before = score(model, recipe)
    state = rounded_state(model)
    model.load_state_dict({k: v.to(model.state_dict()[k].dtype) for k, v in state.items()})
    after = score(model, recipe)
    content = save(state)
    FILES.mkdir(exist_ok=True)
    (FILES / f"{name}.safetensors").write_bytes(content)
    results = load_results(recipe.experiment)
    seeds = results.values(recipe.score, **recipe.config)
    return {
        "name": name,
        "title": recipe.title,
        "network": recipe.network,
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": recipe.data,
        "recipe": recipe.recipe,
        "seed": SEED,
        "scores": [
            {
                "on": on,
                "metric": recipe.metric,
                "value": round(after[on], 6),
                "before_rounding": round(before[on], 6),
            }
            for on in after
        ],
        "spread": (
            f"{recipe.metric} {statistics.mean(seeds):.4f} on average over seeds 0 to "
            f"{len(seeds) - 1}, from {min(seeds):.4f} to {max(seeds):.4f}"
        ),
        "limits": recipe.limits,
        "licence": "MIT (weights); the data as their datasheets say",
        "code_sha256": results.content["code"]["sha256"],
        "dtype": "float16 kernels, float32 biases and batch norm",
        "file": f"{name}.safetensors",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def score(model: nn.Module, recipe: Recipe) -> dict[str, float]:
    """Measure a network on everything its card reports."""
    with recipe.inside(model):
        return {
            on: evaluate(model, *data, metric=recipe.metric)["score"]
            for on, data in recipe.tests().items()
        }


def readme(cards: list[dict[str, Any]]) -> str:
    """Return the cards for people to read."""
    from backbone.weights.trained import ModelCard, Score

    parts = [
        "# The book's trained networks\n",
        "Small networks, trained on two CPU cores by `make experiments`; `load_trained(name)` "
        "loads them. Their record for programs is `cards.json`; both are written by "
        "`tools/make_weights.py`. Scores are tested again with every run of the tests.\n",
    ]
    for card in cards:
        shown = ModelCard(**{**card, "scores": tuple(Score(**s) for s in card["scores"])})
        parts.append(f"## {card['name']}\n\n{card['title']}.\n")
        parts.append("\n".join(f"- **{h}**: {t}" for h, t in shown.rows()) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Make what can be made from a folder of trained networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds fashion/, segmentation/, backbone/")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    old = FILES / "cards.json"
    cards = {c["name"]: c for c in json.loads(old.read_text("utf-8"))} if old.is_file() else {}
    for name, recipe in tqdm(RECIPES.items(), unit="network"):
        source = find(folder / recipe.experiment, recipe.config)
        if source is not None:
            cards[name] = make_card(name, recipe, source)
    ordered = [cards[name] for name in RECIPES if name in cards]
    save_json(old, ordered)
    (FILES / "README.md").write_text(readme(ordered), encoding="utf-8")
    total = sum(card["bytes"] for card in ordered)
    for card in ordered:
        best = card["scores"][-1]
        print(f"{card['name']}: {best['metric']} {best['value']:.4f}, {card['bytes']:,} bytes")
    print(f"{total:,} bytes together")


def find(folder: Path, config: dict[str, Any]) -> Path | None:
    """Return the network of one configuration and the first seed, if it is there."""
    from backbone.experiments import EXPERIMENTS
    from backbone.experiments.runner import file_name

    experiment = EXPERIMENTS[folder.name]
    for one in experiment.plan():
        if "lr" not in one and all(one.get(k) == v for k, v in config.items()):
            path = folder / file_name(one, SEED)
            return path if path.is_file() else None
    raise ValueError(f"{folder.name} has no configuration {config}.")


if __name__ == "__main__":
    main()
