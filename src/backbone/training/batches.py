"""Where the batches of an epoch come from.

`fit` asks for one epoch at a time and hands over a generator, the only source of chance. So the
state of that generator is all that has to be saved to continue in the same order of data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from backbone.data import random_crops


@runtime_checkable
class Batches(Protocol):
    """What `fit` trains on: the number of batches in an epoch, and a way to draw an epoch."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, targets), batch by batch; all chance comes from the generator."""


class Shuffled:
    """All pictures once an epoch, in a new order each time.

    Args:
        images: (M, C, H, W).
        targets: (M,) or (M, H, W).
        batch_size: pictures in a batch; the last batch may be smaller. A last batch of a single
            picture joins the one before: batch norm cannot work with it.
        augment: (images, targets, generator) → (images, targets) of one batch; draw all chance
            from the generator.

    Raises:
        TypeError, ValueError: not tensors of the same length; batch_size is not positive.
    """

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        batch_size: int = 64,
        augment: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        need_pair(images, targets)
        need_count("batch_size", batch_size)
        self.images, self.targets, self.augment = images, targets, augment
        self.batch_size = batch_size

    def __len__(self) -> int:
        count, rest = divmod(len(self.images), self.batch_size)
        alone = rest == 1 and count > 0
        return count + (rest > 0 and not alone)

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every picture once."""
        order = torch.randperm(len(self.images), generator=generator)
        for i in range(len(self)):
            end = (i + 1) * self.batch_size if i + 1 < len(self) else len(order)
            chosen = order[i * self.batch_size : end]
            x, y = self.images[chosen], self.targets[chosen]
            yield self.augment(x, y, generator) if self.augment else (x, y)


class Crops:
    """Random squares of one large image, as many batches an epoch as you like.

    Args:
        image: (C, H, W).
        mask: (H, W), the class of each pixel.
        size: height and width of a crop.
        batch_size: crops in a batch.
        steps: batches in an epoch.
        augment: turn and mirror at random, see `random_crops`.

    Raises:
        TypeError, ValueError: as `random_crops`.
    """

    def __init__(
        self,
        image: Tensor,
        mask: Tensor,
        size: int = 64,
        batch_size: int = 16,
        steps: int = 50,
        augment: bool = True,
    ) -> None:
        need_count("steps", steps)
        random_crops(image, mask, size, batch_size, torch.Generator(), augment)  # early refusal
        self.image, self.mask, self.size = image, mask, size
        self.batch_size, self.steps, self.augment = batch_size, steps, augment

    def __len__(self) -> int:
        return self.steps

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `steps` batches of crops."""
        for _ in range(self.steps):
            yield random_crops(
                self.image, self.mask, self.size, self.batch_size, generator, self.augment
            )


def need_pair(images: object, targets: object) -> None:
    """Refuse what is not a pair of tensors of the same length."""
    for name, value in (("images", images), ("targets", targets)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}.")
    if images.dim() != 4 or targets.dim() not in (1, 3) or len(images) != len(targets):
        raise ValueError(
            "Need images (M, C, H, W) and as many targets, (M,) or (M, H, W); got "
            f"{tuple(images.shape)} and {tuple(targets.shape)}."
        )
    if len(images) == 0:
        raise ValueError(f"There are no pictures: images is {tuple(images.shape)}.")


def need_count(name: str, value: object) -> None:
    """Refuse what is not a positive whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number (int), got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
