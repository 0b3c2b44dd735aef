"""Run an experiment: `python -m backbone.experiments degradation --seeds 5`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from backbone.experiments import EXPERIMENTS
from backbone.experiments.confirm import confirm
from backbone.experiments.experiment import label
from backbone.experiments.processes import joined
from backbone.experiments.runner import perform, tasks

EPILOG = """\
Runs that are done are kept; called again after an interruption, it goes on.
Several processes share the runs, with the same results as one:
  torchrun --nproc-per-node 2 -m backbone.experiments degradation --seeds 5
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m backbone.experiments",
        description="Train networks from several seeds, measure them, write a file of results.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "experiment",
        choices=list(EXPERIMENTS),
        help="; ".join(f"{name}: {e.question}" for name, e in EXPERIMENTS.items()),
    )
    p.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N−1 (default 5)")
    p.add_argument("--out", type=Path, metavar="FILE", help="default: <experiment>.json, here")
    p.add_argument(
        "--only",
        metavar="WORDS",
        help='only some configurations, e.g. --only "depth=56 data=digits"',
    )
    p.add_argument("--list", action="store_true", help="list the runs, do none")
    p.add_argument("--keep", type=Path, metavar="FOLDER", help="save the trained networks there")
    p.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the fastest there is)")
    p.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads a process (default 1)"
    )
    p.add_argument("--quick", action="store_true", help="only to see that it runs: short runs")
    p.add_argument(
        "--confirm",
        action="store_true",
        help="train seed 0 again, compare with the results in FILE, and if all agree record "
        "that the present code makes them",
    )
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    p = parser()
    a = p.parse_args(arguments)
    experiment = EXPERIMENTS[a.experiment]
    out = a.out or Path(f"{a.experiment}.json")
    if a.threads < 1:
        p.error(f"--threads must be at least 1, got {a.threads}.")
    if out.suffix != ".json":
        p.error(f"--out must be the name of a .json file, got {out}.")
    try:
        todo = tasks(experiment, a.seeds, a.only, a.quick)
    except ValueError as error:
        p.error(str(error))
    if a.list:
        for task in todo:
            print(f"{label(task.config)} seed={task.seed}")
        return 0
    torch.set_num_threads(a.threads)
    try:
        if a.confirm:
            return confirm(experiment, out, a.only, a.device, not a.quiet)
        with joined() as processes:
            results = perform(
                experiment, todo, out, processes, a.device, a.keep, a.quick, not a.quiet
            )
    except (ValueError, OSError, ArithmeticError) as error:  # the last: a run diverged
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = f" What is done lies in {out.with_suffix('.runs')}; call again to go on."
        print("Stopped." + ("" if a.confirm else kept))
        return 130
    if results is not None:
        print(f"{results}\nWritten to {out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
