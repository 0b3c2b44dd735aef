"""Do the runs of an experiment, keep each as soon as it is done, and write one file of results."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from backbone.experiments.experiment import Config, Experiment, label
from backbone.experiments.processes import Processes
from backbone.experiments.provenance import fingerprint, versions
from backbone.experiments.results import FORMAT, Results, Run, rounded, save_json, save_results
from backbone.progress import progress_bar
from backbone.saving import write_whole
from backbone.training import choose_device


@dataclass(frozen=True)
class Task:
    """One run to do."""

    number: int
    config: Config
    seed: int


def tasks(
    experiment: Experiment, seeds: int, only: str | None = None, quick: bool = False
) -> list[Task]:
    """List the runs of an experiment: every configuration with every seed.

    Args:
        experiment: which.
        seeds: 0, 1, …, seeds − 1.
        only: keep the configurations whose label (such as "shortcut=A depth=56 …") holds all of
            these words.
        quick: replace entries by the experiment's `quick` ones.

    Raises:
        ValueError: `seeds` is not positive, or nothing is left to do.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}.")
    configs = experiment.plan()
    words = (only or "").split()
    chosen = [c for c in configs if all(word in label(c).split() for word in words)]
    if not chosen:
        there = "\n  ".join(label(c) for c in configs)
        raise ValueError(f"No configuration of {experiment.name} has {only!r}:\n  {there}")
    if quick:
        chosen = [{k: experiment.quick.get(k, v) for k, v in c.items()} for c in chosen]
        chosen = [c for i, c in enumerate(chosen) if c not in chosen[:i]]
    pairs = [
        (config, seed)
        for config in chosen
        for seed in range(min(seeds, experiment.most_seeds(config) or seeds))
    ]
    return [Task(i, config, seed) for i, (config, seed) in enumerate(pairs)]


def perform(
    experiment: Experiment,
    todo: list[Task],
    out: Path,
    processes: Processes = Processes(),  # noqa: B008  (it cannot change)
    device: str | None = None,
    keep: Path | None = None,
    quick: bool = False,
    progress: bool = True,
) -> Results | None:
    """Do the runs and write `out`.

    Every finished run is put beside `out`, into a folder `<name>.runs`, at once. After an
    interruption the same call takes those from there and goes on; the folder goes when `out` is
    complete. Runs made by other code or another torch are not taken.

    Args:
        experiment, todo: what to do.
        out: the JSON file.
        processes: which of how many this is.
        device: see `choose_device`.
        keep: a folder for the trained networks, one `.safetensors` each.
        quick: recorded, so that nobody takes such numbers for results.
        progress: show a bar.

    Returns:
        The results, in the first process; None in the others.

    Raises:
        ValueError: a run came to a number that is not finite, or a kept run is damaged.
    """
    device = str(choose_device(processes.device(device)))
    kind = device.partition(":")[0]  # "cuda:0" and "cuda:1" may take each other's runs
    stamp = {"code": fingerprint(experiment.modules), "versions": versions(), "device": kind}
    folder = out.with_suffix(".runs")
    folder.mkdir(parents=True, exist_ok=True)
    mine, done = processes.mine(todo), []
    with progress_bar(mine, show=progress and processes.first, unit="run") as bar:
        for task in bar:
            bar.set_description(f"{label(task.config)} seed={task.seed}")
            part = folder / f"{_key(task, stamp)}.json"
            wanted = keep and keep / file_name(task.config, task.seed)
            if not part.is_file() or (wanted and not wanted.is_file()):
                _save(part, _do(experiment, task, device, wanted))
            done.append((task.number, _read(part)))
    runs = [run for _, run in sorted(processes.gather(done), key=lambda pair: pair[0])]
    if not processes.first:
        return None
    content = {
        "format": FORMAT,
        "experiment": experiment.name,
        "question": experiment.question,
        "quick": quick,
        "common": experiment.common,
        "versions": stamp["versions"],
        "machine": {
            "device": kind,
            "threads": torch.get_num_threads(),
            "processes": processes.count,
            "cpus": os.cpu_count(),
        },
        "code": {"sha256": stamp["code"], "modules": sorted(experiment.modules)},
        "runs": runs,
    }
    save_results(out, content)
    for task in todo:
        (folder / f"{_key(task, stamp)}.json").unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
    return Results(content)


def _do(experiment: Experiment, task: Task, device: str, keep: Path | None) -> dict[str, Any]:
    began = time.perf_counter()
    outcome = experiment.run(task.config, task.seed, device, False)
    run = Run(
        config=task.config,
        seed=task.seed,
        seconds=round(time.perf_counter() - began, 1),
        curves=rounded(outcome.curves),
        final=rounded(outcome.final),
    )
    if keep and outcome.model is not None:
        state = {k: v.contiguous() for k, v in outcome.model.state_dict().items()}
        write_whole(keep, save(state))  # half a network would pass for one that is done
    return dict(run)


def _save(part: Path, run: dict[str, Any]) -> None:
    try:
        save_json(part, run)
    except ValueError as error:
        what = f"{label(run['config'])} seed={run['seed']}"
        raise ValueError(f"The run {what} came to a number that is not finite: {error}") from error


def _read(part: Path) -> dict[str, Any]:
    try:
        return json.loads(part.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{part} is damaged ({error}). Delete it and call again.") from error


def _key(task: Task, stamp: dict[str, Any]) -> str:
    """Return the name of a finished run: the same run by the same code has the same name."""
    what = json.dumps([task.config, task.seed, stamp], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()[:24]


def file_name(config: Config, seed: int) -> str:
    """Return the name of a kept network, such as "full=True-epochs=5-seed=0.safetensors"."""
    words = "".join(
        c if c.isalnum() or c in "=_." else " " for c in label({**config, "seed": seed})
    )
    return "-".join(words.split()) + ".safetensors"
