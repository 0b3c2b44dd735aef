"""Answers to the exercises of "About the source", right ones and typical wrong ones."""

from right_and_wrong import meets, passes

FIRST = {"sixth line": "shortcut", "block loads": True, "network loads": False}
SECOND = {"counted wrongly": False, "loads": True, "same outputs": False}


def test_whose_print() -> None:
    lines = ("shortcut", "(shortcut)", "(shortcut): Sequential()")
    passes("about-the-source.1", [FIRST | {"sixth line": line} for line in lines])
    slips = {
        "one-of-the-five": [{"sixth line": "relu"}, {"sixth line": "(bn2)"}],
        "downsample": [{"sixth line": "downsample"}],
        "no-such-part": [{"sixth line": "pool"}],
        "empty-has-weights": [{"block loads": False}],
        "names-forgotten": [{"network loads": True}],
        "another-type": [{"network loads": 1}, {"sixth line": True}],
        "not-these-names": [{"more": 1}],
    }
    meets("about-the-source.1", _changed(FIRST, slips))


def test_which_fifty() -> None:
    passes("about-the-source.2", [SECOND, dict(reversed(SECOND.items()))])
    slips = {
        "counted-wrongly": [{"counted wrongly": True}],
        "stride-in-the-weights": [{"loads": False}],
        "same-weights-same-network": [{"same outputs": True}],
        "another-type": [{"loads": "yes"}],
    }
    meets("about-the-source.2", _changed(SECOND, slips))


def _changed(right: dict, slips: dict[str, list[dict]]) -> dict[str, list[dict]]:
    return {slip: [right | change for change in changes] for slip, changes in slips.items()}
