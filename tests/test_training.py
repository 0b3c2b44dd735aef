"""backbone.training: metrics against torchmetrics, a loop that repeats, resumes and refuses."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchmetrics.functional.classification as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import interrupted
from backbone.training import (
    Batches,
    Crops,
    DivergedError,
    History,
    Shuffled,
    accuracy,
    choose_device,
    confusion_matrix,
    dice,
    dice_loss,
    evaluate,
    fit,
    iou,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
)
from interrupted import EPOCHS, STEPS, Noisy, run, small_data, small_model
from properties import NOT_A_COUNT, NOT_A_TENSOR, few, fewer, refuses

torch.set_num_threads(1)


def without_time(history: History) -> dict:
    return {key: value for key, value in history.items() if key != "seconds"}


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# --- interrupted and continued ------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with what three killed runs left behind."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, interrupted.__file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    print(done.stdout, done.stderr)
    ends = json.loads(done.stdout)
    assert ends == {moment: -signal.SIGKILL for moment, *_ in interrupted.MOMENTS}
    return folder


@pytest.mark.parametrize(
    ("moment", "epochs"), [("in an epoch", 2), ("in the first epoch", 0), ("while saving", 1)]
)
def test_resuming_after_a_kill_equals_the_uninterrupted_run(killed, moment, epochs):
    path = killed / moment / "run.pt"
    done = len(load_checkpoint(path)["history"]["lr"]) if path.exists() else 0
    folder = path.parent
    beside = [p.name for p in folder.iterdir() if p != path] if folder.exists() else []
    print(f"killed {moment}: {done} of {EPOCHS} epochs were saved, beside them {beside}")
    assert done == epochs

    straight, resumed = small_model(), small_model()
    expected = run(straight, Noisy())
    torch.rand(7)  # whatever else happened in this program in between
    steps = Noisy()
    history = run(resumed, steps, path)
    print(f"continued with {steps.taken} steps; train loss {history['train_loss']}")
    assert steps.taken == (len(expected["lr"]) - done) * STEPS  # it did not start again
    assert without_time(history) == without_time(expected)  # ==, not approx: to the last bit
    assert same_weights(straight, resumed)


class Stop(Exception):
    pass


def stop():
    raise Stop


@settings(fewer, max_examples=8)
@given(at=st.integers(1, EPOCHS * STEPS), optimizer=st.sampled_from(["sgd", "adamw"]))
def test_resuming_from_any_step(tmp_path_factory, at, optimizer):
    path = tmp_path_factory.mktemp("run") / "run.pt"
    same = {"optimizer": optimizer, "lr": 0.01, "patience": None}
    with pytest.raises(Stop):
        run(small_model(), Noisy(at, stop), path, **same)
    straight, resumed = small_model(), small_model()
    expected = run(straight, Noisy(), **same)
    history = run(resumed, Noisy(), path, **same)
    assert len(history["lr"]) == EPOCHS
    assert without_time(history) == without_time(expected)
    assert same_weights(straight, resumed)


def test_a_finished_run_is_loaded_not_repeated(tmp_path):
    first, second = small_model(), small_model()
    history = run(first, Noisy(), tmp_path / "run.pt")
    steps = Noisy()
    assert run(second, steps, tmp_path / "run.pt") == history  # the seconds too
    assert steps.taken == 0
    assert same_weights(first, second)


@pytest.mark.parametrize("change", [{"lr": 0.03}, {"seed": 4}, {"epochs": 6}, {"loss": dice_loss}])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change):
    run(small_model(), Noisy(), tmp_path / "run.pt", epochs=2)
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match="of another run") as caught:
        run(small_model(), Noisy(), tmp_path / "run.pt", **{"epochs": 2, **change})
    print(caught.value)
    assert name in str(caught.value)
    assert (value.__name__ if callable(value) else str(value)) in str(caught.value)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run(small_model(), Noisy(), tmp_path / "run.pt")
    other = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(ValueError, match="of another model") as caught:
        run(other, Noisy(), tmp_path / "run.pt")
    print(str(caught.value)[:300])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "cut", "other"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "run.pt"
    save_checkpoint(path, {"a": torch.zeros(50)})
    if content == "cut":
        content = path.read_bytes()[:-300]
    if content == "other":
        torch.save({"weights": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="checkpoint") as caught:
        load_checkpoint(path)
    print(caught.value)
    assert str(path) in str(caught.value)


def test_a_failed_save_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "run.pt"
    save_checkpoint(path, {"epoch": 1})

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path)["epoch"] == 1
    assert [p.name for p in path.parent.iterdir()] == ["run.pt"]
    with pytest.raises(FileNotFoundError, match=r"other\.pt"):
        load_checkpoint(tmp_path / "other.pt")


# --- the loop -----------------------------------------------------------------------------------


def test_history_is_plain_data_and_complete():
    history = run(small_model(), Noisy())
    print(json.dumps(history, indent=1))
    assert json.loads(json.dumps(history)) == history
    assert set(history) == set(History.__annotations__)
    lists = {key for key, value in history.items() if isinstance(value, list)}
    assert lists == {"lr", "train_loss", "train_score", "val_loss", "val_score", "seconds"}
    assert {len(history[key]) for key in lists} == {len(history["lr"])}
    assert all(type(n) is float for key in lists for n in history[key])
    assert history["steps_per_epoch"] == STEPS
    best = history["best_epoch"]
    assert history["val_score"][best - 1] == max(history["val_score"])


def test_history_without_validation():
    history = fit(small_model(), small_data(), epochs=2, progress=False, device="cpu")
    assert (history["val_loss"], history["val_score"]) == ([], [])
    assert history["best_epoch"] is None
    assert history["stopped_early"] is False
    assert len(history["train_loss"]) == 2


def test_it_learns_and_says_the_truth_about_it():
    model = small_model()
    history = run(model, small_data(), epochs=12, patience=None)
    x, y = small_data(30)
    with torch.no_grad():
        right = (model(x).argmax(1) == y).float().mean().item()
    print(f"train loss {history['train_loss'][0]:.3f} → {history['train_loss'][-1]:.3f}, {right=}")
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]
    assert right > 0.9
    assert not model.training
    assert history["val_score"][-1] == pytest.approx(right)


def test_one_epoch_is_what_one_writes_by_hand():
    model, by_hand = small_model()[:3], small_model()[:3]
    tail = [nn.Sequential(m, nn.Flatten(), nn.Linear(64, 3)) for m in (model, by_hand)]
    tail[1].load_state_dict(tail[0].state_dict())
    x, y = small_data()
    history = fit(
        *(tail[0], (x, y)), epochs=1, batch_size=16, lr=0.1, seed=5, device="cpu", progress=False
    )
    optimizer = torch.optim.SGD(tail[1].parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 4, cycle_momentum=False)
    tail[1].train()
    losses, rates = [], []
    for chosen in torch.randperm(60, generator=torch.Generator().manual_seed(5)).split(16):
        loss = F.cross_entropy(tail[1](x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
        losses += [loss.item()] * len(chosen)
    assert same_weights(*tail)
    assert history["train_loss"] == [pytest.approx(sum(losses) / 60)]
    assert history["lr"] == [rates[-1]]


def test_the_same_seed_repeats_and_another_does_not():
    models = [small_model() for _ in range(3)]
    torch.manual_seed(99)
    histories = []
    for model, seed in zip(models, (0, 0, 1), strict=True):
        histories.append(without_time(run(model, small_data(), seed=seed, epochs=2)))
        torch.rand(5)  # the rest of the program goes on drawing
    assert histories[0] == histories[1]
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_the_chance_of_the_rest_of_the_program_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    model = small_model()  # seeds for itself, so build it before
    torch.manual_seed(7)
    run(model, small_data(), epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_seed_everything_repeats():
    import random

    import numpy as np

    def draw():
        own = seed_everything(12)
        return (
            random.random(),
            np.random.rand(),
            torch.rand(1).item(),
            torch.rand(1, generator=own).item(),
        )

    assert draw() == draw()
    print(refuses(lambda: seed_everything(-1), -1))
    print(refuses(lambda: seed_everything("1"), "1"))


def test_patience_stops_and_gives_the_best_weights_back():
    class Worse(nn.Module):
        """Right when it is scored for the second time, wrong ever after, whatever it learns."""

        def __init__(self):
            super().__init__()
            self.register_buffer("mark", torch.zeros(()))  # saved with the weights
            self.weight = nn.Parameter(torch.zeros(1))
            self.scored = 0

        def train(self, mode=True):
            self.scored += not mode
            return super().train(mode)

        def forward(self, x):
            self.mark.fill_(self.scored)
            score = F.one_hot((x[:, 0, ::2, 0] > 1).float().argmax(1), 3).float()
            return score * (1 if self.scored == 2 else -1) + self.weight

    model = Worse()
    history = run(model, small_data(), epochs=9, patience=3)
    print(history["val_score"], history["best_epoch"])
    assert history["best_epoch"] == 2
    assert history["val_score"] == [0, 1, 0, 0, 0]
    assert history["stopped_early"] is True
    assert model.mark == 2


def test_nan_stops_with_the_step():
    images, labels = small_data()
    images[torch.randperm(60, generator=torch.Generator().manual_seed(3))[8 * 5]] = math.nan
    with pytest.raises(DivergedError, match=r"nan at step 6 \(epoch 1, step 6 of 8\)") as caught:
        run(small_model(), (images, labels))
    print(caught.value)
    assert "lower lr" in str(caught.value)


def test_exploding_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    calls = []

    def explode(output, target):  # 8 calls while learning and 4 while scoring, every epoch
        calls.append(1)
        return F.cross_entropy(output, target) * (math.inf if len(calls) > 16 else 1)

    with pytest.raises(DivergedError, match=r"inf at step 13 \(epoch 2, step 5 of 8\)"):
        run(small_model(), small_data(), tmp_path / "run.pt", loss=explode)
    saved = load_checkpoint(tmp_path / "run.pt")
    assert len(saved["history"]["train_loss"]) == 1
    assert all(v.isfinite().all() for v in saved["model"].values())


def test_nan_in_the_validation_data_stops_too():
    images, labels = small_data(30)
    images[3] = math.nan
    with pytest.raises(DivergedError, match=r"validation loss became nan after step 8 \(epoch 1\)"):
        fit(
            *(small_model(), small_data(), (images, labels)),
            **{"epochs": 2, "batch_size": 8, "device": "cpu", "progress": False},
        )


def test_frozen_parameters_stay():
    model = small_model()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    run(model, small_data(), epochs=1)
    assert torch.equal(model[0].weight, before)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to learn"):
        run(model, small_data())


def test_evaluate_scores_all_together_and_leaves_the_model_alone():
    model = small_model().train()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x, y = small_data()
    small, large = (evaluate(model, x, y, batch_size=n) for n in (7, 60))
    print(small, large)
    assert small["score"] == large["score"]
    assert small["loss"] == pytest.approx(large["loss"])
    assert [m.training for m in model] == [True, False, True, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_segmentation_follows_iou_over_all_pixels():
    torch.manual_seed(0)
    image = torch.randn(1, 40, 40)
    mask = (F.avg_pool2d(image[None], 3, 1, 1)[0, 0] > 0.2).long()
    model = nn.Conv2d(1, 2, 3, padding=1)
    crops = Crops(image, mask, size=16, batch_size=4, steps=30)
    history = fit(
        *(model, crops, (image[None], mask[None])),
        **{"epochs": 3, "lr": 0.1, "optimizer": "adamw", "metric": "iou", "loss": dice_loss},
        **{"device": "cpu", "progress": False},
    )
    with torch.no_grad():
        expected = reference.binary_jaccard_index(model(image[None]).argmax(1), mask[None])
    print(history["val_score"], expected)
    assert history["val_score"][-1] == pytest.approx(expected.item(), abs=1e-6)
    assert history["val_score"][-1] > 0.7


@fewer
@given(count=st.integers(1, 40), batch_size=st.integers(1, 12), seed=st.integers(0, 99))
def test_an_epoch_has_every_picture_once(count, batch_size, seed):
    images = torch.arange(count).view(-1, 1, 1, 1)
    batches = Shuffled(images, torch.arange(count), batch_size)
    assert isinstance(batches, Batches)
    epoch = list(batches.epoch(torch.Generator().manual_seed(seed)))
    assert len(epoch) == len(batches)
    assert sorted(torch.cat([y for _, y in epoch]).tolist()) == list(range(count))
    assert all(torch.equal(x.flatten(), y) for x, y in epoch)
    assert all(len(y) > 1 for _, y in epoch) or batch_size == 1 or count == 1


BAR = """
from backbone.training import fit
from interrupted import run, small_data, small_model
fit(small_model(), small_data(), epochs=2, batch_size=20, device="cpu")
run(small_model(), small_data(), epochs=1)  # with progress=False
"""


def said_with(**environment):
    """What a process of its own says: tqdm reads the environment when it is imported."""
    rest = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    done = subprocess.run(
        [sys.executable, "-c", BAR],
        env=rest | environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    print(environment, repr(done.stderr[-90:]))
    return done.stderr


def test_the_bar_shows_progress():
    said = said_with(OMP_NUM_THREADS="1")
    assert "6/6" in said
    assert "accuracy=" in said
    assert "8/8" not in said  # the second run's


def test_no_bar_where_the_environment_wants_none():
    assert said_with(OMP_NUM_THREADS="1", TQDM_DISABLE="1") == ""


# --- metrics ------------------------------------------------------------------------------------


@few
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6), n=st.integers(1, 5), side=st.integers(0, 6))
def test_metrics_agree_with_torchmetrics(seed, k, n, side):
    chance = torch.Generator().manual_seed(seed)
    shape = (n, side, side) if side else (n * 7,)
    scores = torch.randn(shape[0], k, *shape[1:], generator=chance)
    target = torch.randint(k, shape, generator=chance)
    matrix = confusion_matrix(scores, target)
    assert torch.equal(matrix, reference.multiclass_confusion_matrix(scores, target, k))
    expected = reference.multiclass_accuracy(scores, target, k, average="micro")
    assert accuracy(scores, target) == pytest.approx(expected.item(), abs=1e-6)
    ious = reference.multiclass_jaccard_index(scores, target, k, average=None)
    f1s = reference.multiclass_f1_score(scores, target, k, average=None)
    for of in range(k):
        if matrix[of].sum() + matrix[:, of].sum():  # present; absence is ours to define, below
            assert iou(scores, target, of) == pytest.approx(ious[of].item(), abs=1e-6)
            assert dice(scores, target, of) == pytest.approx(f1s[of].item(), abs=1e-6)
            one = iou(scores, target, of)
            assert dice(scores, target, of) == pytest.approx(2 * one / (1 + one), abs=1e-6)
    chosen = scores.argmax(1)
    assert torch.equal(confusion_matrix(chosen, target, k), matrix)
    assert accuracy(chosen, target) == accuracy(scores, target)


def test_metrics_on_numbers_one_can_check_by_hand():
    chosen = torch.tensor([[0, 1, 1, 1, 0, 0]])
    target = torch.tensor([[0, 0, 1, 1, 1, 0]])
    assert confusion_matrix(chosen, target).tolist() == [[2, 1], [1, 2]]
    assert accuracy(chosen, target) == pytest.approx(4 / 6)
    assert iou(chosen, target) == pytest.approx(2 / 4)
    assert dice(chosen, target) == pytest.approx(4 / 6)


def test_nothing_to_find_and_nothing_found_is_right():
    empty = torch.zeros(1, 4, 4, dtype=torch.long)
    assert iou(empty, empty) == dice(empty, empty) == 1.0
    assert iou(empty + 1, empty) == dice(empty + 1, empty) == 0.0


@few
@given(seed=st.integers(0, 10**6), k=st.integers(2, 4), n=st.integers(1, 3))
def test_dice_loss_is_a_soft_dice(seed, k, n):
    chance = torch.Generator().manual_seed(seed)
    target = torch.randint(k, (n, 5, 6), generator=chance)
    certain = 40 * F.one_hot(target, k).movedim(-1, 1).float()
    assert dice_loss(certain, target).item() == pytest.approx(0, abs=1e-5)
    assert 0 <= dice_loss(torch.randn(n, k, 5, 6, generator=chance), target).item() <= 1
    # With certain scores and nearly no smoothing it is one minus the mean Dice of the metrics.
    guess = torch.randint(k, (n, 5, 6), generator=chance)
    scores = 40 * F.one_hot(guess, k).movedim(-1, 1).float()
    present = [c for c in range(1, k) if (guess == c).any() or (target == c).any()]
    absent = (k - 1 - len(present)) * 1.0  # smoothing calls absent from both: right
    expected = 1 - (sum(dice(scores, target, c) for c in present) + absent) / (k - 1)
    assert dice_loss(scores, target, 1e-6).item() == pytest.approx(expected, abs=1e-4)


def test_dice_loss_has_the_right_gradient():
    torch.manual_seed(0)
    target = torch.randint(3, (2, 4, 4))
    scores = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: dice_loss(s, target), scores)


# --- refusals -----------------------------------------------------------------------------------

X, Y = torch.zeros(4, 1, 6, 6), torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        ({"lr": 0}, "0"),
        ({"lr": math.nan}, "nan"),
        ({"lr": "0.1"}, "'0.1'"),
        ({"weight_decay": -1}, "-1"),
        ({"optimizer": "adam"}, "sgd, adamw"),
        ({"metric": "f1"}, "accuracy, iou, dice"),
        ({"seed": 2.0}, "2.0"),
        ({"patience": 2}, "validation"),
        ({"patience": 0, "validation": (X, Y)}, "patience"),
        ({"validation": X}, "Tensor"),
        ({"train": (X, Y[:3])}, "(3,)"),
        ({"train": (X[:0], Y[:0])}, "(0, 1, 6, 6)"),
        ({"train": (X, Y, Y)}, "[:2]"),
        ({"train": "data"}, "str"),
        ({"device": "abacus"}, "abacus"),
        ({"device": 3}, "3"),
    ],
)
def test_fit_refuses(arguments, quoted):
    arguments = {"train": (X, Y), "progress": False, **arguments}
    print(refuses(lambda: fit(small_model(), **arguments), quoted))


@few
@given(bad=NOT_A_COUNT)
def test_fit_refuses_what_is_not_a_count(bad):
    model = small_model()
    refuses(lambda: fit(model, (X, Y), epochs=bad, progress=False), bad)
    refuses(lambda: fit(model, (X, Y), batch_size=bad, progress=False), bad)
    refuses(lambda: Shuffled(X, Y, bad), bad)
    refuses(lambda: Crops(X[0], X[0, 0], 3, bad), bad)
    refuses(lambda: Crops(X[0], X[0, 0], 3, 3, bad), bad)


@few
@given(bad=NOT_A_TENSOR)
def test_metrics_refuse_what_is_not_a_tensor(bad):
    for score in (confusion_matrix, accuracy, iou, dice, dice_loss):
        refuses(lambda score=score: score(bad, Y), type(bad).__name__)
        refuses(lambda score=score: score(torch.zeros(4, 2), bad), type(bad).__name__)


@pytest.mark.parametrize(
    ("call", "quoted"),
    [
        (lambda: accuracy(torch.zeros(4, 2), Y[:3]), (4, 2)),
        (lambda: accuracy(torch.zeros(4), Y), (4,)),
        (lambda: accuracy(Y[:3], Y), (3,)),
        (lambda: accuracy(Y, Y.float()), "torch.float32"),
        (lambda: accuracy(Y[:0], Y[:0]), "empty"),
        (lambda: accuracy(torch.zeros(4, 2), Y + 2), "class 2"),
        (lambda: accuracy(Y - 1, Y), "class -1"),
        (lambda: confusion_matrix(Y, Y, 0), "num_classes"),
        (lambda: confusion_matrix(torch.zeros(4, 2), Y, 3), "2 classes"),
        (lambda: iou(torch.zeros(4, 2), Y, of=2), "of=2"),
        (lambda: dice(Y, Y, of=-1), "of=-1"),
        (lambda: dice(Y, Y, of="1"), "1"),
        (lambda: dice_loss(torch.zeros(4, 2), Y), (4, 2)),
        (lambda: dice_loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4).long()), (2, 1, 4, 4)),
        (lambda: dice_loss(torch.zeros(2, 2, 4, 4), torch.zeros(2, 4, 4)), "torch.float32"),
        (
            lambda: dice_loss(torch.zeros(2, 2, 4, 4), torch.zeros(2, 4, 4).long(), 0),
            "smooth",
        ),
    ],
)
def test_metrics_refuse(call, quoted):
    print(refuses(call, quoted))


def test_device_is_the_one_asked_for():
    assert choose_device("cpu") == torch.device("cpu")
    fastest = choose_device()
    print(f"fastest here: {fastest}")
    assert fastest.type in {"cpu", "cuda", "mps"}
    assert choose_device(fastest) == fastest
    if not torch.cuda.is_available():
        print(refuses(lambda: choose_device("cuda"), "cuda", "cpu"))
