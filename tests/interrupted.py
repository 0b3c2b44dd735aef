"""A small training run, and a way to kill it. `python interrupted.py FOLDER` does so three times.

Beside the tests so that the killed process starts quickly: it needs torch and the package only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from backbone.training import Shuffled, fit

EPOCHS, STEPS = 5, 8  # 60 pictures in batches of 8: the last has 4
# What is killed when: (name, at which step, during which save); 0: never.
MOMENTS = (("in an epoch", 2 * STEPS + 5, 0), ("in the first epoch", 3, 0), ("while saving", 0, 2))


def small_model() -> nn.Module:
    """Batch norm has running statistics, dropout draws from the global chance."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def small_data(count=60):
    chance = torch.Generator().manual_seed(2)
    labels = torch.arange(count) % 3
    images = torch.rand(count, 1, 6, 6, generator=chance)
    images[torch.arange(count), 0, labels * 2, 0] += 2
    return images, labels


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class Noisy(Shuffled):
    """Augmentation draws from the generator too, and calls `stop` at a step if asked to."""

    def __init__(self, stop_at: int = 0, stop=kill) -> None:
        super().__init__(*small_data(), batch_size=8, augment=self.noise)
        self.taken, self.stop_at, self.stop = 0, stop_at, stop

    def noise(self, x, y, generator):
        self.taken += 1
        if self.taken == self.stop_at:
            self.stop()
        return x + 0.1 * torch.randn(x.shape, generator=generator), y


def run(model, batches, path=None, **changes):
    settings = {"epochs": EPOCHS, "optimizer": "adamw", "lr": 0.02, "patience": 4, "seed": 3}
    settings |= {"batch_size": 8, "device": "cpu", "progress": False, "checkpoint": path}
    return fit(model, batches, small_data(30), **(settings | changes))


def killed_run(path: Path, step: int, save: int) -> None:
    real, saves = os.fsync, []

    def fsync(file):
        saves.append(1)
        if len(saves) == save:
            kill()
        real(file)

    os.fsync = fsync  # `write_whole` calls it before the file takes its name
    run(small_model(), Noisy(step), path)


def main(folder: Path) -> None:
    """Start a process for each moment; print {moment: how it ended} as JSON."""
    torch.set_num_threads(1)  # no threads yet, so a fork is a whole program
    ends = {}
    for moment, step, save in MOMENTS:
        child = os.fork()
        if not child:
            killed_run(folder / moment / "run.pt", step, save)
            os._exit(0)
        ends[moment] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
