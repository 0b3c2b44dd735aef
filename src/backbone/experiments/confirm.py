"""After the code has changed: does it still make the same numbers?"""

from __future__ import annotations

import math
from pathlib import Path

from backbone.experiments.experiment import Experiment, label
from backbone.experiments.provenance import fingerprint
from backbone.experiments.results import Run, load_results, rounded, save_results
from backbone.progress import progress_bar

TOLERANCE = 1e-3  # between curves: rounding, and no more


def confirm(
    experiment: Experiment, path: Path, only: str | None, device: str | None, progress: bool
) -> int:
    """Train seed 0 of every configuration again and compare all curves.

    If all agree, the fingerprint of the present code goes into the file; else the file stays as
    it is and the differences are printed.

    Returns:
        0 if all agree, 1 otherwise: an exit status.

    Raises:
        FileNotFoundError, ValueError: there are no results of this experiment to compare with.
    """
    results = load_results(path)
    if results.content["experiment"] != experiment.name or results.content["quick"]:
        quick = "quick " if results.content["quick"] else ""
        raise ValueError(
            f"{path} holds {quick}results of {results.content['experiment']}; what can be "
            f"confirmed are full results of {experiment.name}."
        )
    first = [run for run in results if run["seed"] == 0]
    if only:
        first = [r for r in first if all(w in label(r["config"]).split() for w in only.split())]
    if not first:
        print(f"Nothing to compare: {path} has no run of seed 0 like that.")
        return 1
    differ = 0
    for run in progress_bar(first, show=progress, unit="run"):
        again = experiment.run(run["config"], 0, device, False)
        worst = difference(run, rounded(again.curves))
        if worst > TOLERANCE:
            differ += 1
            print(f"{label(run['config'])}: curves differ by up to {worst:.2g}")
    if differ:
        print(
            f"{differ} of {len(first)} configurations come out differently. Run them again; or "
            "confirm where they were made: another processor or torch rounds otherwise, and "
            "training magnifies that."
        )
        return 1
    print(f"All {len(first)} configurations come out the same.")
    if not only:
        results.content["code"]["sha256"] = fingerprint(experiment.modules)
        save_results(path, results.content)
    return 0


def difference(run: Run, curves: dict[str, list[float]]) -> float:
    """Return the largest difference between a stored run's curves and new ones."""
    if set(run["curves"]) != set(curves):
        return math.inf
    worst = 0.0
    for name, stored in run["curves"].items():
        if len(stored) != len(curves[name]):
            return math.inf
        apart = [abs(a - b) for a, b in zip(stored, curves[name], strict=True)]
        if not all(map(math.isfinite, apart)):  # max() would pass over a NaN
            return math.inf
        worst = max([worst, *apart])
    return worst
