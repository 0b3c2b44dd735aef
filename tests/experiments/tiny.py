"""An experiment that takes no time, and a way to kill it. `python tiny.py OUT` kills its 3rd run.

Beside the tests so that the killed process starts quickly.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from backbone.experiments.experiment import Experiment, Outcome
from backbone.experiments.runner import perform, tasks

PLAN = [{"size": size, "shape": shape, "epochs": 3} for size in (1, 2) for shape in (None, "A")]


class Tiny:
    """Counts its runs; at run `stop_at` it calls `stop`, which may raise or kill."""

    def __init__(self, stop_at: int = 0, stop=None, shift=0.0, **changes) -> None:
        self.taken, self.stop_at, self.stop, self.shift = [], stop_at, stop, shift
        settings = {
            **{"name": "tiny", "question": "Does it run?", "plan": lambda: [*PLAN]},
            **{"run": self.run, "modules": ("checks", "resnet"), "quick": {"epochs": 1}},
            **{"common": {"width": 8}, "most_seeds": lambda c: 1 if c["size"] == 2 else None},
        }
        self.experiment = Experiment(**(settings | changes))

    def run(self, config, seed, device, progress):
        self.taken.append((config, seed))
        if len(self.taken) == self.stop_at:
            self.stop()
        torch.manual_seed(seed)
        model = nn.Linear(config["size"], 2)
        curve = [(seed + self.shift + 1 / 3) / (e + 1) for e in range(config["epochs"])]
        final = {"weight": model.weight[0, 0].item(), "by_name": {"a": curve[-1]}}
        return Outcome({"loss": curve}, final, model)

    def perform(self, out, seeds=2, **more):
        todo = tasks(self.experiment, seeds)
        return perform(self.experiment, todo, out, device="cpu", progress=False, **more)


if __name__ == "__main__":
    Tiny(3, lambda: os.kill(os.getpid(), signal.SIGKILL)).perform(Path(sys.argv[1]))
