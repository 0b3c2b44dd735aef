"""One way to test every chapter's checks: several right answers pass, each typical slip is met."""

import re

import pytest

from backbone.exercises import Wrong, check


def passes(name, answers, **options):
    """Every one of these answers is right, in both languages."""
    for answer in answers:
        right = check(name, answer, **options)
        assert right.answered
        assert re.search(r"[\u4e00-\u9fff]", right.zh) and not re.search(
            r"[\u4e00-\u9fff]", right.en
        )
    print(f"{name}: {len(answers)} right answers; {right.en}")


def meets(name, slips, **options):
    """Every wrong answer {slip: [answers]} gets the hint for its slip, and each slip its own."""
    hints = {}
    for slip, answers in slips.items():
        for answer in answers:
            with pytest.raises(Wrong) as caught:
                check(name, answer, **options)
            assert caught.value.slip == slip, f"{caught.value.slip}: {caught.value}"
            words = caught.value.words
            assert "\n" not in words["en"] and len(words["en"]) < 260
            assert re.search(r"[\u4e00-\u9fff]", words["zh"])
            assert len(caught.value._render_traceback_()) == 1
            hints[slip] = words["en"]
    for slip, hint in hints.items():
        print(f"  {slip}: {hint}")
    assert len(set(hints.values())) == len(hints) >= 3
