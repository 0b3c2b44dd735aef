"""Handwritten digits, 8×8 pixels: the smallest real pictures there are, from scikit-learn.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (1998),
https://doi.org/10.24432/C50P49
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbone.data.fashion import need_split

# Of the pictures and then the labels, one byte a value.
SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
TEST_EVERY = 4  # of each digit, every fourth picture is for testing


class Digits(NamedTuple):
    """Pictures of digits and which digit each is."""

    images: Tensor  # (N, 1, 8, 8), float32 in [0, 1]: 0 is paper, 1 is ink
    labels: Tensor  # (N,), int64, 0 to 9


def digits(split: str | None = None) -> Digits:
    """Return the handwritten digits that come with scikit-learn.

    Of each digit every fourth picture, in the order of the set, is for testing: the same split
    on every machine. The set does not say who wrote which digit, so both sides hold pictures by
    the same hands.

    Args:
        split: "train" (1,352 pictures), "test" (445), or None for all 1,797.

    Shapes:
        → images (N, 1, 8, 8) float32 in [0, 1] (17 levels), labels (N,) int64 from 0 to 9.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
        TypeError, ValueError: another split; or scikit-learn holds other digits than expected.
    """
    if split is not None:
        need_split(split)
    try:
        from sklearn.datasets import load_digits  # optional: only this function needs it
    except ImportError as error:
        raise ModuleNotFoundError(
            "The digits come with scikit-learn, which is not installed here. Install it with "
            "`pip install scikit-learn`, or use fashion(), which needs nothing else."
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    pixels, labels = pixels.astype(np.uint8), labels.astype(np.uint8)  # (1797, 64), 0 to 16
    found = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"scikit-learn's digits are not the ones expected: expected sha256 {SHA256}, found "
            f"{found} ({len(pixels)} pictures). Reinstall it: pip install --force-reinstall "
            "--no-deps scikit-learn."
        )
    images = torch.from_numpy(pixels).view(-1, 1, 8, 8).float() / 16  # (1797, 1, 8, 8)
    classes = torch.from_numpy(labels).long()
    if split is None:
        return Digits(images, classes)
    side = _for_testing(classes) == (split == "test")
    return Digits(images[side], classes[side])


def _for_testing(labels: Tensor) -> Tensor:
    """Mark every fourth picture of each class: (N,) bool."""
    marks = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        marks[torch.nonzero(labels == label).flatten()[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return marks
