"""What an experiment is: a list of runs, and a function that does one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

Config = dict[str, Any]  # plain data: what distinguishes one run from the others


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind."""

    curves: dict[str, list[float]]  # a number per epoch
    final: dict[str, Any]  # what was measured at the end, plain data
    model: nn.Module | None = None  # the trained network, where somebody may want to keep it


@dataclass(frozen=True)
class Experiment:
    """A question put to trained networks.

    Attributes:
        name: as on the command line.
        question: one sentence.
        plan: the configurations to run; each is run once per seed.
        run: (config, seed, device, progress) → what came out. All chance comes from the seed.
        modules: the parts of the package that decide the numbers, below `backbone`. Their code is
            the "code version" of the results.
        quick: what replaces entries of a configuration when only the machinery is tried.
        common: settings that all runs share, recorded with the results.
        most_seeds: config → how many seeds are enough for it, or None for all that are asked for.
    """

    name: str
    question: str
    plan: Callable[[], list[Config]]
    run: Callable[[Config, int, str | None, bool], Outcome]
    modules: tuple[str, ...]
    quick: Config = field(default_factory=dict)
    common: Config = field(default_factory=dict)
    most_seeds: Callable[[Config], int | None] = lambda config: None


def label(config: Config) -> str:
    """Return a short name of a configuration: its values, in order.

    >>> label({"shortcut": None, "depth": 56})
    'shortcut=None depth=56'
    """
    return " ".join(f"{key}={value}" for key, value in config.items())
