"""What other programs once said, kept in `fixtures/` with the sha256 of every file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from backbone.sums import NAME, read_sums, sha256

FIXTURES = Path(__file__).parent / "fixtures"


def stored(name: str, folder: Path = FIXTURES) -> Any:
    """Return the content of a fixture: plain data of a .json, {name: array} of a .npz.

    Raises:
        ValueError: it is not the file in the list of checksums, or not in it at all.
    """
    raw, text = (folder / name).read_bytes(), name.endswith(".json")
    expected, found = read_sums(folder).get(name), sha256(raw, text=text)
    if expected != found:
        raise ValueError(
            f"{folder / name} has sha256 {found}, {NAME} beside it says {expected}. Restore it "
            "with `git checkout -- tests/fixtures`, or make it with tools/make_*_fixture.py."
        )
    if text:
        return json.loads(raw.decode("utf-8"))
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        return dict(arrays)
