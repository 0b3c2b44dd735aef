"""The training loop: the same for pictures with one class and for pictures with one per pixel."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from backbone.anatomy.hooks import evaluating
from backbone.progress import progress_bar
from backbone.saving import need_place
from backbone.training.batches import Batches, Shuffled, need_count, need_pair
from backbone.training.checkpoints import load_checkpoint, save_checkpoint
from backbone.training.device import choose_device
from backbone.training.history import History, new_history
from backbone.training.metrics import SCORES, confusion_matrix
from backbone.training.seeding import need_seed

Loss = Callable[[Tensor, Tensor], Tensor]  # (output, target) → a scalar, the mean of the batch

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda parameters, **k: torch.optim.SGD(parameters, momentum=0.9, **k),
    "adamw": torch.optim.AdamW,
}


class DivergedError(ArithmeticError):
    """The loss is no longer a number: nothing that follows could mean anything."""


def fit(
    model: nn.Module,
    train: Batches | tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor] | None = None,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float = 0.1,
    optimizer: str = "sgd",
    weight_decay: float = 1e-4,
    loss: Loss = F.cross_entropy,
    metric: str = "accuracy",
    seed: int = 0,
    patience: int | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place and return what happened, as plain data.

    The learning rate rises to `lr` during the first 30 % of the steps and falls to almost 0 along
    a cosine (one cycle: L. Smith, N. Topin, 2017, https://arxiv.org/abs/1708.07120).

    With `checkpoint` the whole state of the run is saved after each epoch. Call `fit` again with
    the same arguments after an interruption and it continues from there: on a CPU with as many
    threads, weights and history (but for `seconds`) come out as if nothing had happened, to the
    last bit. Called after the end, it just loads the result.

    Args:
        model: gives class scores, (N, K) or (N, K, H, W).
        train: (images, targets), shuffled anew every epoch; or `Crops`, or batches of your own.
        validation: (images, targets) the model never learns from, scored after every epoch.
        epochs: how often to go through `train`.
        batch_size: for (images, targets), and for scoring.
        lr: the highest learning rate.
        optimizer: "sgd" (momentum 0.9) or "adamw". Parameters that need no gradient are left out.
        weight_decay: pulls weights towards 0.
        loss: (output, target) → scalar, such as `dice_loss`.
        metric: "accuracy", or "iou" or "dice" of class 1.
        seed: of the order of the data and of everything random inside the model. The chance of
            the rest of your program is left as it was.
        patience: stop after so many epochs without a better validation score, and put the best
            epoch's weights back. None: always all epochs, and the last weights.
        device: see `choose_device`. The model stays there afterwards.
        checkpoint: file to save to and to continue from.
        progress: show a bar (never where the environment says TQDM_DISABLE=1).

    Returns:
        A `History`: lists with one number per epoch. The model is left in evaluation mode.

    Raises:
        TypeError, ValueError: bad arguments, or a checkpoint of another run.
        OSError: `checkpoint` cannot be written; said before the first step where it can be known.
        DivergedError: the loss became infinite or not a number; the message names the step.
    """
    _check(epochs, batch_size, lr, optimizer, weight_decay, metric, seed, patience, validation)
    batches = train if isinstance(train, Batches) else Shuffled(*_pair("train", train), batch_size)
    if checkpoint is not None:
        need_place(checkpoint)
    device = choose_device(device)
    model.to(device)
    run = _Run(model, batches, device, epochs, lr, optimizer, weight_decay, metric, seed)
    settings = {
        **{"epochs": epochs, "steps_per_epoch": len(batches), "lr": lr, "optimizer": optimizer},
        **{"weight_decay": weight_decay, "loss": _name(loss), "metric": metric, "seed": seed},
        **{"patience": patience, "batch_size": batch_size, "validated": validation is not None},
    }
    # What is random inside the model (dropout) is ours while we run; your own chance is untouched.
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(seed)
        if checkpoint is not None and Path(checkpoint).exists():
            run.restore(load_checkpoint(checkpoint), settings, checkpoint)

        history, steps = run.history, epochs * len(batches)
        done = len(history["lr"]) * len(batches)
        with progress_bar(show=progress, total=steps, initial=done, unit="step") as bar:
            while len(history["lr"]) < epochs and not history["stopped_early"]:
                began = time.perf_counter()
                run.one_epoch(loss, bar)
                if validation is not None:
                    run.validated(validation, loss, batch_size, patience)
                history["seconds"].append(time.perf_counter() - began)
                bar.set_postfix(_latest(history))
                if checkpoint is not None:
                    save_checkpoint(checkpoint, {"settings": settings, **run.state()})
    if patience is not None and run.best:
        model.load_state_dict(run.best)
    model.eval()
    return history


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    loss: Loss = F.cross_entropy,
    metric: str = "accuracy",
    batch_size: int = 256,
    device: str | torch.device | None = None,
) -> dict[str, float]:
    """Return loss and score of a model on data, in evaluation mode, without learning.

    Args:
        model: gives class scores; every module's mode is as before afterwards.
        images: (M, C, H, W).
        targets: (M,) or (M, H, W).
        loss, metric: as in `fit`. The score is taken over all pictures together.
        batch_size: how many at a time.
        device: where to compute; None: where the model is.

    Returns:
        {"loss": …, "score": …}

    Raises:
        TypeError, ValueError: images and targets do not belong together; no such metric.
    """
    need_pair(images, targets)
    need_count("batch_size", batch_size)
    _need_metric(metric)
    if device is None:
        device = next(model.parameters(), torch.empty(0)).device
    total, matrix = 0.0, 0
    with evaluating(model):
        for x, y in zip(images.split(batch_size), targets.split(batch_size), strict=True):
            x, y = x.to(device), y.to(device)
            output = model(x)  # (N, K) or (N, K, H, W)
            total += loss(output, y).item() * len(x)
            matrix = matrix + confusion_matrix(output, y)
    return {"loss": total / len(images), "score": SCORES[metric](matrix)}


class _Run:
    """Everything that changes while a model is trained, so that it can be saved and restored."""

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        device: torch.device,
        epochs: int,
        lr: float,
        optimizer: str,
        weight_decay: float,
        metric: str,
        seed: int,
    ) -> None:
        learning = [p for p in model.parameters() if p.requires_grad]
        if not learning:
            raise ValueError("The model has nothing to learn: no parameter has requires_grad=True.")
        self.model, self.batches, self.device = model, batches, device
        self.optimizer = OPTIMIZERS[optimizer](learning, lr=lr, weight_decay=weight_decay)
        steps = epochs * len(batches)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=lr, total_steps=steps, pct_start=0.3, cycle_momentum=False
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.history = new_history(metric, seed, epochs, len(batches), str(device))
        self.best: dict[str, Tensor] = {}  # the weights of the best epoch

    def one_epoch(self, loss: Loss, bar: tqdm) -> None:
        """Learn from every batch once."""
        self.model.train()
        total, seen, matrix = 0.0, 0, 0
        for step, (x, y) in enumerate(self.batches.epoch(self.generator), start=1):
            x, y = x.to(self.device), y.to(self.device)
            output = self.model(x)  # (N, K) or (N, K, H, W)
            value = loss(output, y)
            self._need_number(value.item(), step)
            self.optimizer.zero_grad()
            value.backward()
            self.optimizer.step()
            lr = self.schedule.get_last_lr()[0]  # of the step just taken
            self.schedule.step()

            total, seen = total + value.item() * len(x), seen + len(x)
            matrix = matrix + confusion_matrix(output.detach(), y)
            bar.update()
        self.history["lr"].append(lr)
        self.history["train_loss"].append(total / seen)
        self.history["train_score"].append(SCORES[self.history["metric"]](matrix))

    def validated(
        self, data: tuple[Tensor, Tensor], loss: Loss, batch_size: int, patience: int | None
    ) -> None:
        """Score an epoch; keep its weights if it is the best; stop if it is time."""
        history = self.history
        result = evaluate(
            self.model,
            *data,
            loss=loss,
            metric=history["metric"],
            batch_size=batch_size,
            device=self.device,
        )
        if not math.isfinite(result["loss"]):
            epoch = len(history["lr"])
            raise DivergedError(
                f"The validation loss became {result['loss']} after step "
                f"{epoch * len(self.batches)} (epoch {epoch}), though the training loss is a "
                "number. Look for NaN in the validation images and in the running statistics of "
                "batch norm."
            )
        history["val_loss"].append(result["loss"])
        history["val_score"].append(result["score"])
        score = result["score"]
        now, best = len(history["val_score"]), history["best_epoch"]
        if best is None or score > history["val_score"][best - 1]:
            history["best_epoch"] = best = now
            if patience is not None:
                self.best = copy.deepcopy(self.model.state_dict())
        history["stopped_early"] = patience is not None and now - best >= patience

    def state(self) -> dict[str, Any]:
        """Return all of it, as tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "order": self.generator.get_state(),
            "chance": torch.get_rng_state(),
            "chance_gpu": torch.cuda.get_rng_state(self.device) if self._on_gpu() else None,
            "history": dict(self.history),
        }

    def restore(self, state: dict[str, Any], settings: Mapping[str, Any], path: object) -> None:
        """Go back to a saved state, which must be one of the same run."""
        theirs = state.get("settings", {})
        other = [k for k in settings if theirs.get(k) != settings[k]]
        if other:
            said = ", ".join(f"{k} {theirs.get(k)!r} there, {settings[k]!r} here" for k in other)
            raise ValueError(
                f"The checkpoint {path} is of another run: {said}. Give another path, delete it "
                "to start again, or call fit with its settings."
            )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"The checkpoint {path} is of another model: {error} Give another path, or delete "
                "it to start again."
            ) from error
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["order"])
        torch.set_rng_state(state["chance"])
        if self._on_gpu() and state["chance_gpu"] is not None:
            torch.cuda.set_rng_state(state["chance_gpu"], self.device)
        self.best, self.history = state["best"], History(**state["history"])

    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def _need_number(self, value: float, step: int) -> None:
        if math.isfinite(value):
            return
        epoch, per = len(self.history["lr"]) + 1, len(self.batches)
        raise DivergedError(
            f"The loss became {value} at step {(epoch - 1) * per + step} (epoch {epoch}, step "
            f"{step} of {per}), at learning rate {self.schedule.get_last_lr()[0]:.3g}. Try a lower "
            "lr first; then look for NaN in the images and for a division by 0 in the loss."
        )


def _latest(history: History) -> dict[str, str]:
    """Words for the progress bar."""
    words = {"loss": f"{history['train_loss'][-1]:.3f}"}
    scores = history["val_score"] or history["train_score"]
    return {**words, history["metric"]: f"{scores[-1]:.3f}"}


def _name(loss: Loss) -> str:
    return getattr(loss, "__qualname__", type(loss).__qualname__)


def _pair(name: str, value: object) -> tuple[Tensor, Tensor]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(
            f"{name} must be (images, targets), got {type(value).__name__}. "
            "From a set with more parts: fashion()[:2]."
        )
    need_pair(*value)
    return tuple(value)


def _need_metric(metric: str) -> None:
    if metric not in SCORES:
        raise ValueError(f"There is no metric {metric!r}. Choose from {', '.join(SCORES)}.")


def _check(
    epochs: int,
    batch_size: int,
    lr: float,
    optimizer: str,
    weight_decay: float,
    metric: str,
    seed: int,
    patience: int | None,
    validation: object,
) -> None:
    need_count("epochs", epochs)
    need_count("batch_size", batch_size)
    for name, value, least in (("lr", lr, "more than 0"), ("weight_decay", weight_decay, "0")):
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise TypeError(f"{name} must be a number, got {value!r}.")
        if not math.isfinite(value) or value < 0 or (name == "lr" and value == 0):
            raise ValueError(f"{name} must be at least {least} and finite, got {value!r}.")
    if optimizer not in OPTIMIZERS:
        raise ValueError(
            f"There is no optimizer {optimizer!r}. Choose from {', '.join(OPTIMIZERS)}."
        )
    _need_metric(metric)
    need_seed(seed)
    if validation is not None:
        _pair("validation", validation)
    if patience is not None:
        need_count("patience", patience)
        if validation is None:
            raise ValueError("patience needs validation data: what else should not get worse?")
