"""What a run leaves behind: plain numbers, lists and text, ready for `json.dump`."""

from __future__ import annotations

from typing import TypedDict


class History(TypedDict):
    """One entry per epoch in every list. Without validation data the `val_…` lists are empty."""

    # How it was run.
    metric: str  # what the scores are: "accuracy", "iou" or "dice"
    seed: int
    epochs: int  # planned
    steps_per_epoch: int
    device: str
    # What happened, epoch by epoch.
    lr: list[float]  # learning rate of the epoch's last step
    train_loss: list[float]  # mean over the epoch's samples, measured while learning
    train_score: list[float]  # the same, so it lags a little behind the finished epoch
    val_loss: list[float]  # after the epoch
    val_score: list[float]
    seconds: list[float]  # wall-clock time of the epoch, the only numbers that never repeat
    # How it ended.
    best_epoch: int | None  # counted from 1, the highest val_score; None without validation
    stopped_early: bool


def new_history(metric: str, seed: int, epochs: int, steps_per_epoch: int, device: str) -> History:
    """Return the history of a run that has not begun."""
    return History(
        metric=metric,
        seed=seed,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        device=device,
        lr=[],
        train_loss=[],
        train_score=[],
        val_loss=[],
        val_score=[],
        seconds=[],
        best_epoch=None,
        stopped_early=False,
    )
