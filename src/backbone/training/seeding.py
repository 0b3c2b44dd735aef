"""The same chance again."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch, and return a generator of your own with the same seed.

    Call it before a model is built, so that its initial weights repeat; `fit` seeds everything it
    does by itself. On one machine and one number of threads results then repeat bit for bit on a
    CPU; a GPU, or another number of threads, may add the same numbers in another order.

    Raises:
        TypeError, ValueError: not a whole number from 0 to 2³² − 1.
    """
    need_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def need_seed(seed: int) -> None:
    """Refuse what is not a seed."""
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed must be a whole number (int), got {seed!r}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2³² − 1, got {seed}.")
