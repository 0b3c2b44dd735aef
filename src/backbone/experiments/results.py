"""Results of an experiment: one JSON file, with everything needed to doubt it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

from backbone import sums
from backbone.saving import write_whole

FOLDER = Path(__file__).parent / "results"
FORMAT = 1


class Run(TypedDict):
    """One training, from one seed."""

    config: dict[str, Any]
    seed: int
    seconds: float
    curves: dict[str, list[float]]
    final: dict[str, Any]


class Results:
    """The runs of an experiment, and how they were made.

    Loop over it, or ask for some of the runs:

        results = load_results("degradation")
        results.select(depth=56, shortcut=None)         # runs with these values, whatever the rest
        results.values("test_error", depth=56, …)       # a number per seed of one configuration
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.runs: list[Run] = content["runs"]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        c = self.content
        seeds = {run["seed"] for run in self.runs}
        kinds = {json.dumps(run["config"], sort_keys=True) for run in self.runs}
        quick = " QUICK: only to see that it runs; the numbers mean nothing." if c["quick"] else ""
        return (
            f"{c['experiment']}: {len(self.runs)} runs, {len(kinds)} configurations, "
            f"{len(seeds)} seeds, {sum(run['seconds'] for run in self.runs) / 60:.0f} minutes, "
            f"torch {c['versions']['torch']}.{quick}"
        )

    def select(self, **config: object) -> list[Run]:
        """Return the runs whose configuration has these values, in the order of their seeds.

        None also finds configurations without such an entry: in "backbone", `lr=None` leaves out
        the pilot, whose runs alone say which learning rate they took.

        Raises:
            KeyError: no run has such an entry.
            LookupError: no run has these values together.
        """
        for key in config:
            known = {k for run in self.runs for k in run["config"]}
            if key not in known:
                raise KeyError(f"No run has {key!r}; there are {', '.join(sorted(known))}.")
        found = [
            run for run in self.runs if all(run["config"].get(k) == v for k, v in config.items())
        ]
        if not found:
            said = ", ".join(f"{k}={v!r}" for k, v in config.items())
            raise LookupError(f"No run of {self.content['experiment']} has {said}.")
        return sorted(found, key=lambda run: run["seed"])

    def values(self, name: str | Callable[[Run], float], **config: object) -> list[float]:
        """Return a final number of every run with this configuration, one per seed.

        Args:
            name: of an entry in `final`, or a function of a run.
            config: as in `select`, and enough of it to leave a single configuration.

        Raises:
            KeyError: as in `select`; or nothing of that name was measured.
            LookupError: as in `select`; or several configurations have these values.
        """
        runs = self._same(config)
        if not callable(name):
            _need_name(name, runs[0]["final"])
        return [name(run) if callable(name) else run["final"][name] for run in runs]

    def curves(self, name: str, **config: object) -> list[list[float]]:
        """Return a curve of every run with this configuration, one per seed; see `values`."""
        runs = self._same(config)
        _need_name(name, runs[0]["curves"])
        return [run["curves"][name] for run in runs]

    def _same(self, config: dict[str, object]) -> list[Run]:
        """Select, and refuse to mix configurations: their spread would mean nothing."""
        runs = self.select(**config)
        first = runs[0]["config"]
        for run in runs:
            if other := [
                k for k in {**first, **run["config"]} if run["config"].get(k) != first.get(k)
            ]:
                raise LookupError(
                    f"Several configurations have these values; they differ in {other[0]}: say "
                    f"{other[0]}={first.get(other[0])!r} as well, for example."
                )
        return runs


def _need_name(name: str, there: dict[str, Any]) -> None:
    if name not in there:
        raise KeyError(f"Nothing was measured under {name!r}; there are {', '.join(there)}.")


def load_results(name: str | Path) -> Results:
    """Return results: those that come with the book by name, your own by path.

    Args:
        name: "degradation", "fashion", "segmentation" or "backbone"; or the path of a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a file of results in this format; or one of the book's, and changed.
    """
    path = Path(name) if str(name).endswith(".json") else FOLDER / f"{name}.json"
    if not path.is_file():
        there = sorted(p.stem for p in FOLDER.glob("*.json") if p.name != "schema.json")
        raise FileNotFoundError(
            f"There are no results {str(name)!r}. The book has {', '.join(there) or 'none'}; your "
            "own need the path of a .json file. To make them: python -m backbone.experiments --help"
        )
    raw = path.read_bytes()
    _need_the_one_described(path, raw)
    try:
        content = json.loads(raw.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not a JSON file, or is damaged: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise ValueError(
            f"{path.name} does not hold results in format {FORMAT} (found {found!r}). Make them "
            "again with this version of the book."
        )
    return Results(content)


def _need_the_one_described(path: Path, raw: bytes) -> None:
    """Compare a file with the list of checksums in its folder, if that names it."""
    expected = sums.read_sums(path.parent).get(path.name)
    found = sums.sha256(raw, text=True)
    if expected not in (None, found):
        raise ValueError(
            f"{path} is damaged or was changed: expected sha256 {expected}, found {found} "
            f"({len(raw):,} bytes). Chapters and checks rest on these numbers. To restore it: "
            f"`git checkout -- src/backbone/experiments/results/{path.name}` in a clone, or "
            "reinstall the package."
        )


def save_results(path: Path, content: dict[str, Any]) -> None:
    """Write a file of results; in the book's own folder enter it into the list of checksums."""
    save_json(path, content)
    if (path.parent / sums.NAME).is_file():
        sums.note_sum(path, path.read_bytes(), text=True)


def save_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all; lists of numbers stay on one line."""
    write_whole(path, to_json(content) + "\n")


def to_json(content: object, indent: str = "") -> str:
    """Return JSON that reads well and diffs well: a line per entry, plain lists on one line.

    Raises:
        ValueError: a number is not finite; JSON has no word for that.
    """
    deeper = indent + " "
    if isinstance(content, dict) and content:
        lines = (f"{deeper}{json.dumps(str(k))}: {to_json(v, deeper)}" for k, v in content.items())
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(content, list) and any(isinstance(v, (dict, list)) for v in content):
        return "[\n" + ",\n".join(deeper + to_json(v, deeper) for v in content) + f"\n{indent}]"
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def rounded(value: object, digits: int = 6) -> object:
    """Return plain data with every float rounded to so many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v, digits) for v in value]
    return value
