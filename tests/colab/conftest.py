"""One pretended Colab for each process of the tests."""

import os

import pytest
from pretend import ROOT, Colab

# `make test-colab` runs the kernels in .venv-colab; the weekly workflow in the newest releases.
PYTHON = ROOT / os.environ.get("NOTEBOOK_PYTHON", ".venv-colab/bin/python")


@pytest.fixture(scope="session")
def colab(tmp_path_factory):
    assert PYTHON.exists(), f"There is no {PYTHON}. `make test-colab` makes .venv-colab."
    return Colab(tmp_path_factory.mktemp("colab"), PYTHON)
