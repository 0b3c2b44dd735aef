"""The progress bar: seen where it is wanted, and never where the environment forbids it."""

import os
import subprocess
import sys

import pytest

CODE = """
from backbone.progress import progress_bar
assert list(progress_bar(range(3), unit="step")) == [0, 1, 2]
assert list(progress_bar(range(7), show=False)) == list(range(7))
with progress_bar(total=5) as bar:
    bar.update(5)
"""


@pytest.mark.parametrize("forbidden", [False, True])
def test_the_environment_has_the_last_word(forbidden):
    """In a process of its own: tqdm reads the environment when it is imported."""
    rest = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=rest | ({"TQDM_DISABLE": "1"} if forbidden else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    print(repr(done.stderr))
    assert ("3/3" in done.stderr) == ("5/5" in done.stderr) == (not forbidden)
    assert "7/7" not in done.stderr
