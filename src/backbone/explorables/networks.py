"""The book's trained networks, and yours, as programs for the page."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from backbone.explorables.program import Program, export_program
from backbone.weights import load_trained, trained_names

# (C, H, W) that a trained network's figures begin with. They see other sizes, too.
SIZES = {
    "resnet18-fashion": (1, 64, 64),
    "unet-nuclei": (1, 128, 128),
    "unet-nuclei-no-skips": (1, 128, 128),
    "resnet-unet-nuclei": (1, 128, 128),
}


@cache
def trained_program(name: str) -> Program:
    """Return a trained network as a program whose weights take one byte each.

    Raises:
        ValueError: no trained network has this name.
    """
    if name not in SIZES:
        raise ValueError(f"There is no network {name!r}. Choose from {', '.join(trained_names())}.")
    return export_program(load_trained(name), torch.zeros(1, *SIZES[name]), dtype="int8")


def program_of(model: nn.Module, size: tuple[int, int, int]) -> Program:
    """Return a model of your own as a program with half-precision weights.

    Raises:
        TypeError, ValueError: as for `export_program`.
    """
    return export_program(model, torch.zeros(1, *size))
