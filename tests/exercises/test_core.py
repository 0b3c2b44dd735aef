"""What is the same for every check: open answers, names, language, one line of a hint."""

import pytest
import torch

from backbone.exercises import EXERCISES, Wrong, check
from backbone.exercises.core import LANGUAGE, Right, exercise


def test_no_answer_is_no_mistake():
    for name in EXERCISES:
        seen = check(name, ...)
        assert not seen.answered and "No answer yet" in str(seen)
    print(f"{len(EXERCISES)} exercises wait for an answer")


def test_unknown_names_show_the_way():
    with pytest.raises(
        ValueError, match=r"no exercise 'residual-blocks.99'.*residual-blocks.1"
    ) as e:
        check("residual-blocks.99", 1)
    print(e.value)
    with pytest.raises(ValueError, match=r"Choose from .*residual-blocks"):
        check("residuals.1", 1)


def test_the_language_follows_the_notebook(monkeypatch):
    monkeypatch.setenv(LANGUAGE, "zh")
    with pytest.raises(Wrong) as caught:
        check("residual-blocks.3", 64)
    print(caught.value._render_traceback_(), check("residual-blocks.3", ...))
    assert "作者" in str(caught.value) and "还没有答案" in str(check("residual-blocks.3", ...))


def test_two_exercises_cannot_share_a_name():
    with pytest.raises(ValueError, match=r"two exercises named 'residual-blocks.1'"):
        exercise("residual-blocks.1")(lambda answer: Right("", ""))


def test_jupyter_shows_one_line_and_no_traceback():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell()
    with capture_output() as shown:
        shell.run_cell("from backbone.exercises import check\ncheck('residual-blocks.3', 64)")
    print(shown.stdout + shown.stderr)
    lines = (shown.stdout + shown.stderr).strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("✗ 64 is the round number")


def test_a_gap_that_is_still_open_is_no_mistake():
    """A function to be completed is there from the start, and returns the dots."""

    class ZeroPad(torch.nn.Module):
        def __init__(self, channels, stride):
            super().__init__()

        def forward(self, x):
            return ...

    for name, answer in {
        "residual-blocks.1": lambda *_: ...,
        "residual-blocks.2": {"ResNet34": 3, "ResNet101": ..., "ResNet152": 4},
        "residual-blocks.4": ZeroPad,
    }.items():
        assert not check(name, answer).answered
