"""Datasheets: what each file is, where it comes from, and the hash that proves it is that file.

`files/datasheets.json` is the one record of the pictures, `sets/datasheets.json` that of the sets
to train on; the `README.md` beside each is the same for people to read. They are written by
`tools/make_data.py` and `tools/make_training_data.py`. The idea: T. Gebru et al., Datasheets for
Datasets (2018), https://arxiv.org/abs/1803.09010
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backbone.record import Record

FILES = Path(__file__).parent / "files"  # pictures
SETS = Path(__file__).parent / "sets"  # sets of many pictures, to train on


@dataclass(frozen=True, repr=False)
class Datasheet(Record):
    """The record of one data file; prints as text and shows as a table in a notebook."""

    name: str
    title: str
    what: str
    mind: str  # what to keep in mind when you use it
    author: str
    licence: str
    licence_url: str
    source: str
    source_sha256: str
    made: str
    file: str
    shape: tuple[int, ...]  # of the stored picture or pictures: (H, W), (H, W, 3) or (N, H, W)
    dtype: str
    range: tuple[int, int]  # smallest and largest stored value
    bytes: int
    sha256: str
    loader: str

    def rows(self) -> list[tuple[str, str]]:
        """Return the sheet as (heading, text) pairs, in reading order."""
        size = " × ".join(map(str, self.shape))
        low, high = self.range
        return [
            ("What", self.what),
            ("Keep in mind", self.mind),
            ("Author", self.author),
            ("Licence", f"{self.licence}, {self.licence_url}"),
            ("Source", self.source),
            ("Source sha256", self.source_sha256),
            ("How made", self.made),
            ("File", f"{self.file}, {self.bytes:,} bytes"),
            ("Values", f"{size}, {self.dtype}, {low} to {high}"),
            ("sha256", self.sha256),
            ("Load with", self.loader),
        ]


def datasheet_names() -> list[str]:
    """Return the names of the pictures `datasheet` knows."""
    return list(_records(FILES))


def dataset_names() -> list[str]:
    """Return the names of the training sets `datasheet` knows."""
    return list(_records(SETS))


def datasheet(name: str) -> Datasheet:
    """Return the datasheet of one file, e.g. `datasheet("nuclei")`.

    Raises:
        TypeError, ValueError: not the name of a file that ships with the book.
    """
    if not isinstance(name, str):
        raise TypeError(f"A datasheet is asked for by name, a string; got {name!r}.")
    records = {**_records(FILES), **_records(SETS)}
    if name not in records:
        raise ValueError(
            f"There is no datasheet named {name!r}. Names: {', '.join(records)}.",
        )
    record = records[name]
    return Datasheet(**{**record, "shape": tuple(record["shape"]), "range": tuple(record["range"])})


def open_checked(name: str) -> Image.Image:
    """Open the image file `name` after comparing its sha256 with the datasheet's.

    Raises:
        FileNotFoundError, ValueError: as `read_checked`.
    """
    return Image.open(io.BytesIO(read_checked(name)))


def open_arrays(name: str) -> dict[str, np.ndarray]:
    """Open the set of arrays `name` after comparing its sha256 with the datasheet's.

    Raises:
        FileNotFoundError, ValueError: as `read_checked`.
    """
    with np.load(io.BytesIO(read_checked(name, SETS)), allow_pickle=False) as arrays:
        return dict(arrays)


def read_checked(name: str, folder: Path | None = None) -> bytes:
    """Return the bytes of the file `name` after comparing their sha256 with the datasheet's.

    Raises:
        FileNotFoundError: the file is gone.
        ValueError: the file is not the one described; a changed picture would silently change
            every number computed from it.
    """
    folder = FILES if folder is None else folder
    sheet = datasheet(name)
    path = folder / sheet.file
    tool = "make_data.py" if folder == FILES else "make_training_data.py"
    restore = (
        f"To restore it: `git checkout -- src/backbone/data/{folder.name}/{sheet.file}` in a "
        f"clone, reinstall the package elsewhere, or rebuild it with `python tools/{tool}`."
    )
    if not path.is_file():
        raise FileNotFoundError(
            f"The data file {path} is missing (expected sha256 {sheet.sha256}). {restore}"
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sheet.sha256:
        raise ValueError(
            f"The data file {path} is not the one its datasheet describes: "
            f"expected sha256 {sheet.sha256}, found {found} ({len(content):,} bytes). {restore}"
        )
    return content


def _records(folder: Path) -> dict[str, dict]:
    """Return the raw datasheets of a folder by name, in the order of the file."""
    path = folder / "datasheets.json"
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The datasheets {path} are missing, so no data file can be checked. Restore them "
            f"with `git checkout -- src/backbone/data/{folder.name}`, or reinstall the package."
        ) from None
    except ValueError as error:
        raise ValueError(
            f"The datasheets {path} are damaged ({error}), so no data file can be checked. Restore "
            f"them with `git checkout -- src/backbone/data/{folder.name}`, or reinstall the "
            "package."
        ) from error
    return {record["name"]: record for record in records}
