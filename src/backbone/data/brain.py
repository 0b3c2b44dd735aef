"""Slices through one person's head, and where the brain is in each.

C. J. Holmes et al.: Enhancement of MR images using registration for signal averaging (1998),
https://doi.org/10.1097/00004728-199803000-00032 (27 scans of one person, averaged: "Colin27")
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from backbone.data.datasheets import open_arrays
from backbone.data.fashion import need_split


class Brain(NamedTuple):
    """Horizontal slices of a head and the brain in each."""

    images: Tensor  # (N, 1, 208, 176), float32 in [0, 1]: brightness; forehead up
    masks: Tensor  # (N, 208, 176), int64: 1 in the brain, 0 elsewhere
    heights: Tensor  # (N,), int64: slice number in the scan, in mm from the bottom of the volume


def brain(split: str = "train") -> Brain:
    """Return horizontal slices of a head with the brain marked in each.

    All of them show the same person. The sides are blocks of slices, with 10 mm between a block
    for training and one for testing that belong to neither, since neighbouring slices are almost
    the same picture. What is measured here says nothing about other heads or scanners. The masks
    are a program's (BET), not a person's.

    Args:
        split: "train" or "test".

    Shapes:
        → images (N, 1, 208, 176) float32 in [0, 1], masks (N, 208, 176) int64 of 0 and 1,
        heights (N,) int64; one pixel is 1 mm × 1 mm. Both sides are multiples of 16.

    Raises:
        TypeError, ValueError: another split, or a damaged file.
        FileNotFoundError: the file is missing.
    """
    need_split(split)
    arrays = open_arrays("brain")
    side = arrays["test"] == (split == "test")  # (M,), bool
    return Brain(
        torch.from_numpy(arrays["images"][side])[:, None].float() / 255,
        torch.from_numpy(arrays["masks"][side]).long(),
        torch.from_numpy(arrays["heights"][side]).long(),
    )
