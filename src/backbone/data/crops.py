"""Train on one side of the nuclei image, test on the other; random crops from the training side."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from backbone.data.microscopy import Nuclei, nuclei

TRAIN_COLUMNS = 384  # of 512: the columns on the left; the other 128 are for testing


class NucleiSplit(NamedTuple):
    """The two sides of the nuclei image, each with mask and instance numbers."""

    train: Nuclei  # image (1, 512, 384), mask and instances (512, 384)
    test: Nuclei  # image (1, 512, 128), mask and instances (512, 128)


def nuclei_split() -> NucleiSplit:
    """Cut the nuclei image in two: 384 columns on the left to train on, 128 on the right to test.

    The sides share no pixel, and neither holds the other's memory. A nucleus that lies across the
    border is cut by it, so a network sees at most the left part of such a nucleus.

    Shapes:
        → train: image (1, 512, 384) float32 in [0, 1], mask and instances (512, 384) int64;
        test: the same with 128 columns. All are multiples of 16.

    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged.
    """
    whole = nuclei()
    # Copies, not views: whatever is done to a side can never reach the other.
    left = Nuclei(*(part[..., :TRAIN_COLUMNS].clone() for part in whole))
    right = Nuclei(*(part[..., TRAIN_COLUMNS:].clone() for part in whole))
    return NucleiSplit(left, right)


def random_crops(
    image: Tensor,
    mask: Tensor,
    size: int,
    n: int,
    generator: torch.Generator,
    augment: bool = True,
) -> tuple[Tensor, Tensor]:
    """Cut `n` random squares out of an image and its mask, each turned and mirrored at random.

    A square under a microscope has no up or left, so all eight ways to lay it down are as likely.

    Args:
        image: (C, H, W), any type.
        mask: (H, W), any type; cut, turned and mirrored like the image.
        size: height and width of a crop, in pixels; at most H and W.
        n: how many.
        generator: where the chance comes from; the same state gives the same crops.
        augment: turn by 0, 90, 180 or 270 degrees, and mirror every other one.

    Shapes:
        (C, H, W), (H, W) → (n, C, size, size), (n, size, size); values and types unchanged.

    Raises:
        TypeError, ValueError: shapes that do not belong together, or a crop larger than the image.
    """
    _check(image, mask, size, n, generator)
    height, width = mask.shape

    def draw(end: int) -> list[int]:  # n whole numbers from 0 to end − 1
        return torch.randint(end, (n,), generator=generator).tolist()

    tops, lefts, turns, mirrors = draw(height - size + 1), draw(width - size + 1), draw(4), draw(2)
    images, masks = [], []
    for top, left, turn, mirror in zip(tops, lefts, turns, mirrors, strict=True):
        x = image[:, top : top + size, left : left + size]  # (C, size, size)
        y = mask[top : top + size, left : left + size]  # (size, size)
        if augment:
            x, y = x.rot90(turn, (-2, -1)), y.rot90(turn, (-2, -1))
            if mirror:
                x, y = x.flip(-1), y.flip(-1)
        images.append(x)
        masks.append(y)
    return torch.stack(images), torch.stack(masks)


def _check(image: Tensor, mask: Tensor, size: int, n: int, generator: torch.Generator) -> None:
    for name, value in (("image", image), ("mask", mask)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}.")
    if image.dim() != 3 or mask.dim() != 2 or image.shape[1:] != mask.shape:
        raise ValueError(
            "Need one image (C, H, W) and its mask (H, W) of the same height and width; "
            f"got {tuple(image.shape)} and {tuple(mask.shape)}."
        )
    for name, value in (("size", size), ("n", n)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number (int), got {value!r}.")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    if size > min(mask.shape):
        raise ValueError(
            f"A crop of {size}×{size} does not fit into an image of {mask.shape[0]}×"
            f"{mask.shape[1]}: use size={min(mask.shape)} or less."
        )
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, got {type(generator).__name__}: "
            "torch.Generator().manual_seed(0)."
        )
