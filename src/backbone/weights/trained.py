"""The book's own small trained networks, each with a model card and the hash of its file.

`files/cards.json` is the one record; `files/README.md` is the same for people to read. Both are
written by `tools/make_weights.py`. The idea: M. Mitchell et al., Model Cards for Model Reporting
(2018), https://arxiv.org/abs/1810.03993
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from backbone.record import Record
from backbone.resnet import ResNet18
from backbone.resnet_unet import ResNetUNet
from backbone.unet import UNetModel
from backbone.weights.reading import read_checkpoint

FILES = Path(__file__).parent / "files"

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18-fashion": lambda: ResNet18(num_classes=10, in_channels=1, width=8),
    "unet-nuclei": lambda: UNetModel(init_features=8),
    "unet-nuclei-no-skips": lambda: UNetModel(init_features=8),
    "resnet-unet-nuclei": lambda: ResNetUNet(ResNet18(in_channels=1, width=8)),
}


@dataclass(frozen=True)
class Score:
    """One measured number."""

    on: str  # the data
    metric: str  # "accuracy" or "iou"
    value: float  # with the weights as they are in the file
    before_rounding: float  # with the weights in single precision


@dataclass(frozen=True, repr=False)
class ModelCard(Record):
    """The record of one trained network; prints as text and shows as a table in a notebook."""

    name: str
    title: str
    network: str  # how to build it
    parameters: int
    data: str
    recipe: str
    seed: int
    scores: tuple[Score, ...]
    spread: str  # the same training from other seeds
    limits: str
    licence: str
    code_sha256: str  # of the code that trained it, see `backbone.experiments`
    dtype: str
    file: str
    bytes: int
    sha256: str

    def rows(self) -> list[tuple[str, str]]:
        """Return the card as (heading, text) pairs, in reading order."""
        scores = "; ".join(f"{s.metric} {s.value:.4f} on {s.on}" for s in self.scores)
        return [
            ("Network", f"{self.network}, {self.parameters:,} parameters"),
            ("Data", self.data),
            ("Training", f"{self.recipe} Seed {self.seed}."),
            ("Score", scores),
            ("Other seeds", self.spread),
            ("Limits", self.limits),
            ("Licence", self.licence),
            ("File", f"{self.file}, {self.dtype}, {self.bytes:,} bytes"),
            ("sha256", self.sha256),
        ]


def trained_names() -> list[str]:
    """Return the names of the trained networks that come with the book."""
    return [card["name"] for card in _cards()]


def model_card(name: str) -> ModelCard:
    """Return the card of a trained network.

    Raises:
        ValueError: there is no such network.
    """
    for card in _cards():
        if card["name"] == name:
            scores = tuple(Score(**score) for score in card["scores"])
            return ModelCard(**{**card, "scores": scores})
    raise ValueError(
        f"There is no trained network {name!r}; there are {', '.join(trained_names())}."
    )


def load_trained(name: str) -> nn.Module:
    """Return a trained network, in evaluation mode and single precision, on the CPU.

    Args:
        name: see `trained_names()`. "unet-nuclei-no-skips" learned with all its skips cut: run it
            inside `with cut(model):`, or its decoder meets what it has never seen.

    Raises:
        ValueError: no such network, or its file is damaged.
        FileNotFoundError: its file is missing.
    """
    card = model_card(name)
    path = FILES / card.file
    if not path.is_file():
        raise FileNotFoundError(
            f"The weights {card.file} (expected sha256 {card.sha256}) are missing from the "
            "package's folder weights/files. Install the package again, or restore the file from "
            "the repository."
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != card.sha256:
        raise ValueError(
            f"{card.file} is not the file its card describes: expected sha256 {card.sha256}, "
            f"found {found}. Restore it with `git checkout -- src/backbone/weights/files/"
            f"{card.file}` in a clone, or reinstall the package."
        )
    state = read_checkpoint(path)
    model = NETWORKS[name]()
    own = model.state_dict()
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()}, strict=True)
    return model.eval().requires_grad_(True)


def rounded_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a model's tensors as they are stored: kernels in half precision, the rest as it is.

    Biases, batch norm's scales and statistics are few, and variances can be small: they keep
    single precision.
    """
    return {
        name: (
            value.half() if value.is_floating_point() and value.dim() > 1 else value
        ).contiguous()
        for name, value in model.state_dict().items()
    }


def _cards() -> list[dict]:
    path = FILES / "cards.json"
    restore = (
        "Restore it with `git checkout -- src/backbone/weights/files/cards.json` in a clone, or "
        "reinstall the package."
    )
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The cards {path} are missing, so no weights can be checked. {restore}"
        ) from None
    except ValueError as error:
        raise ValueError(f"The cards {path} are damaged ({error}). {restore}") from error
