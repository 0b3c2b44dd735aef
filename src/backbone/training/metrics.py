"""How good is it? Every score is read off one table: which class was taken for which.

All of them take the same two things:

    output   class scores as a network gives them, (N, K) or (N, K, H, W), floating point;
             or classes already chosen, of the same shape as target, whole numbers
    target   the true classes, (N,) or (N, H, W), whole numbers
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def confusion_matrix(output: Tensor, target: Tensor, num_classes: int | None = None) -> Tensor:
    """Count which class was taken for which.

    Args:
        output: class scores or classes, see above.
        target: true classes.
        num_classes: K; from the scores if they are given, else the largest class + 1.

    Shapes:
        → (K, K) int64; row: the true class, column: the class chosen.

    Raises:
        TypeError, ValueError: shapes or types that do not belong together, or a class beyond K.
    """
    chosen, k = _chosen(output, target, num_classes)
    if target.numel() == 0:
        raise ValueError("There is nothing to score: target is empty.")
    for name, classes in (("output", chosen), ("target", target)):
        if (low := int(classes.min())) < 0 or (high := int(classes.max())) >= k:
            raise ValueError(
                f"{name} holds class {low if low < 0 else high}, but with num_classes={k} classes "
                f"go from 0 to {k - 1}."
            )
    pairs = target.flatten().long() * k + chosen.flatten().long()  # one number for each pair
    return torch.bincount(pairs, minlength=k * k).view(k, k)


def accuracy(output: Tensor, target: Tensor) -> float:
    """Share of pictures (or pixels) whose class was chosen correctly: 0 to 1.

    Raises:
        TypeError, ValueError: as `confusion_matrix`.
    """
    return accuracy_of(confusion_matrix(output, target))


def iou(output: Tensor, target: Tensor, of: int = 1) -> float:
    """Intersection over union of class `of`: pixels in both, divided by pixels in either.

    1 is perfect, 0 is no overlap. Where the class is neither present nor chosen, nothing is wrong:
    1. Several pictures are scored together, as one large picture.

    Raises:
        TypeError, ValueError: as `confusion_matrix`; no class `of`.
    """
    return iou_of(_for_class(output, target, of), of)


def dice(output: Tensor, target: Tensor, of: int = 1) -> float:
    """Dice coefficient (F1) of class `of`: twice the pixels in both, divided by the sum of sizes.

    Always at least as large as the IoU: dice = 2·iou / (1 + iou). Where the class is neither
    present nor chosen: 1.

    Raises:
        TypeError, ValueError: as `confusion_matrix`; no class `of`.
    """
    return dice_of(_for_class(output, target, of), of)


def accuracy_of(matrix: Tensor) -> float:
    """Accuracy from a confusion matrix (K, K)."""
    return (matrix.diagonal().sum() / matrix.sum()).item()


def iou_of(matrix: Tensor, of: int = 1) -> float:
    """IoU of class `of` from a confusion matrix (K, K)."""
    both = matrix[of, of]
    either = matrix[of].sum() + matrix[:, of].sum() - both
    return (both / either).item() if either else 1.0


def dice_of(matrix: Tensor, of: int = 1) -> float:
    """Dice coefficient of class `of` from a confusion matrix (K, K)."""
    sizes = matrix[of].sum() + matrix[:, of].sum()
    return (2 * matrix[of, of] / sizes).item() if sizes else 1.0


# What `fit` can follow: name → score from a confusion matrix. IoU and Dice are those of class 1.
SCORES: dict[str, Callable[[Tensor], float]] = {
    "accuracy": accuracy_of,
    "iou": iou_of,
    "dice": dice_of,
}


def _for_class(output: Tensor, target: Tensor, of: int) -> Tensor:
    if not isinstance(of, int) or isinstance(of, bool):
        raise TypeError(f"of must be the number of a class (int), got {of!r}.")
    chosen, k = _chosen(output, target, None)
    if output is chosen:  # classes may be absent from both, so there is no telling how many
        k = max(k, of + 1)
    if not 0 <= of < k:
        raise ValueError(f"of={of} is not a class: they go from 0 to {k - 1}.")
    return confusion_matrix(output, target, k)


def _chosen(output: Tensor, target: Tensor, num_classes: int | None) -> tuple[Tensor, int]:
    """Return the classes chosen, and how many there are."""
    for name, value in (("output", output), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}.")
    if target.is_floating_point() or target.is_complex():
        raise TypeError(f"target must hold classes (whole numbers), got {target.dtype}.")
    if num_classes is not None and (
        not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1
    ):
        raise ValueError(f"num_classes must be a positive whole number, got {num_classes!r}.")
    if output.is_floating_point():
        if output.dim() < 2 or (output.shape[0], *output.shape[2:]) != tuple(target.shape):
            raise ValueError(
                "Class scores (N, K, …) need targets (N, …); got "
                f"{tuple(output.shape)} and {tuple(target.shape)}."
            )
        k = output.shape[1]
        if num_classes not in (None, k):
            raise ValueError(f"The scores are for {k} classes, num_classes says {num_classes}.")
        return output.argmax(1), k
    if output.shape != target.shape:
        raise ValueError(
            "Chosen classes need the shape of the target; got "
            f"{tuple(output.shape)} and {tuple(target.shape)}. Class scores must be "
            f"floating point, these are {output.dtype}."
        )
    if num_classes is None:
        largest = torch.stack([output.max(), target.max()]).max() if target.numel() else 0
        num_classes = int(largest) + 1
    return output, max(num_classes, 1)
