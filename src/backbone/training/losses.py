"""Losses beside PyTorch's own. Cross-entropy is `torch.nn.functional.cross_entropy`."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def dice_loss(output: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """One minus the Dice coefficient, with probabilities in place of chosen classes.

    F. Milletari, N. Navab, S.-A. Ahmadi: V-Net (2016), https://arxiv.org/abs/1606.04797, §3.
    Cross-entropy asks every pixel the same; this loss asks about the overlap, so that a class of
    few pixels counts as much as one of many. It is the mean over all classes but 0, the
    background, each over the whole batch.

    Args:
        output: class scores (logits).
        target: true classes.
        smooth: added above and below the line, so that a class that is absent gives no division
            by zero; in pixels.

    Shapes:
        (N, K, H, W), (N, H, W) → a scalar from 0 (perfect) to 1; K ≥ 2.

    Raises:
        TypeError, ValueError: other shapes or types, or `smooth` is not positive.
    """
    for name, value in (("output", output), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}.")
    if not output.is_floating_point() or target.is_floating_point():
        raise TypeError(
            "dice_loss needs class scores (floating point) and classes (whole numbers); got "
            f"{output.dtype} and {target.dtype}."
        )
    if output.dim() != 4 or output.shape[1] < 2 or output[:, 0].shape != target.shape:
        raise ValueError(
            "dice_loss needs class scores (N, K, H, W) with K ≥ 2 and classes (N, H, W); got "
            f"{tuple(output.shape)} and {tuple(target.shape)}."
        )
    if not smooth > 0:
        raise ValueError(f"smooth must be greater than 0, got {smooth!r}.")
    likely = output.softmax(dim=1)  # (N, K, H, W)
    true = F.one_hot(target.long(), output.shape[1]).movedim(-1, 1)  # (N, K, H, W)
    over = (0, 2, 3)  # the whole batch and all its pixels
    both = (likely * true).sum(over)  # (K,)
    sizes = likely.sum(over) + true.sum(over)  # (K,)
    return 1 - ((2 * both + smooth) / (sizes + smooth))[1:].mean()
