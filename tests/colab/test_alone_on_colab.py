"""Each notebook of both editions, opened in Colab: the setup cell alone makes it run."""

import json

import pytest
from pretend import ROOT


def seconds(path):
    """How long the notebook took when its outputs were stored."""
    return json.loads(path.read_text("utf-8"))["metadata"]["backbone"]["seconds"]


# The longest first, so that no process waits at the end for another's long one.
NOTEBOOKS = sorted(ROOT.glob("book/*/*.ipynb"), key=lambda path: (-seconds(path), path))


def test_both_editions_are_here():
    editions = {name: {p.name for p in NOTEBOOKS if p.parent.name == name} for name in ("en", "zh")}
    print({name: len(pages) for name, pages in editions.items()})
    assert editions["en"] == editions["zh"] and len(editions["en"]) >= 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_runs_from_top_to_bottom(colab, path):
    run = colab.opens(path)
    print(run)
    assert run.complaints == []
    assert run.calls == ["pip install -q --no-deps torchinfo"]
