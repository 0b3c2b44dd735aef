"""Experiments with seeds and spread, from the command line, and their results.

    python -m backbone.experiments degradation --seeds 5

    results = load_results("degradation")           # those that come with the book
    results.values("test_error", depth=56, shortcut=None, data="digits", epochs=10, lr=0.1)

The results in the book were made by these very commands; see `make experiments`.
"""

from backbone.experiments import backbone_swap, degradation, fashion, segmentation
from backbone.experiments.experiment import Experiment
from backbone.experiments.results import Results, load_results

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (degradation, fashion, segmentation, backbone_swap)
}

__all__ = ["EXPERIMENTS", "Experiment", "Results", "load_results"]
