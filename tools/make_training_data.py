"""Recreate the sets to train on that ship with the book, their datasheets and their README.

    python tools/make_training_data.py                  # reads two installed Debian packages
    python tools/make_training_data.py --fashion FOLDER --brain FOLDER

The packages are dataset-fashion-mnist and mricron-data. The same input gives the same bytes, as
long as the system's liblzma is the same. The pictures are made by `make_data.py`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from backbone.data.datasheets import SETS, Datasheet
from backbone.data.fashion import FULL, FULL_SHA256, SYSTEM_FOLDER, parse_idx
from make_data import markdown, write

PER_CLASS = {"train": 600, "test": 200}

BRAIN_FOLDER = Path("/usr/share/mricron/templates")
BRAIN_SHA256 = {
    "ch2.nii.gz": "707a360b809ba937f6c007231bcf7dc6e2d33657497b254414c9894b6efa5f8c",
    "ch2bet.nii.gz": "521204362226d485c92ef5383327765b0344c99ff9ac60000a1f591ff0c3fb34",
}
VOLUME = (181, 217, 181)  # left to right, back to front, bottom to top; 1 mm each
HEADER = 352  # bytes before the first voxel of a NIfTI file
# Blocks of slices (first, last + 1, for testing?); the 10 mm between two blocks are in neither.
BLOCKS = ((10, 46, 0), (56, 68, 1), (78, 112, 0), (122, 134, 1), (144, 156, 0))
EVERY = 2  # of each block every second slice

NOTICES = {
    "LICENSE-fashion-mnist.txt": """\
Fashion-MNIST (sets/fashion.npz)

The MIT License (MIT)

Copyright © 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the “Software”), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED “AS IS”, WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
""",
    "LICENSE-brain.txt": """\
Colin27 head and its brain mask (sets/brain.npz)

Copyright (C) 1993–2009 Louis Collins, McConnell Brain Imaging Centre,
Montreal Neurological Institute, McGill University.

Permission to use, copy, modify, and distribute this software and its documentation for any
purpose and without fee is hereby granted, provided that the above copyright notice appear in all
copies. The authors and McGill University make no representations about the suitability of this
software for any purpose. It is provided “as is” without express or implied warranty. The authors
are not responsible for any data loss, equipment damage, property loss, or injury to subjects or
patients resulting from the use or misuse of this software package.

The two volumes reached the book inside MRIcron, which carries this notice:

Copyright 2006-2010, Chris Rorden. All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted
provided that the following conditions are met:

Redistributions of source code must retain the above copyright notice, this list of conditions and
the following disclaimer.

Redistributions in binary form must reproduce the above copyright notice, this list of conditions
and the following disclaimer in the documentation and/or other materials provided with the
distribution. Neither the names of the copyright owners nor the names of this project (MRIcron)
may be used to endorse or promote products derived from this software without specific prior
written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR
IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT OWNER OR
CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER
IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT
OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, folder in (("fashion", SYSTEM_FOLDER), ("brain", BRAIN_FOLDER)):
        parser.add_argument(
            f"--{name}", type=Path, default=folder, help="folder of originals: %(default)s"
        )
    parser.add_argument(
        "--out", type=Path, default=SETS, help="folder to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    for sheet in make(options.fashion, options.brain, options.out):
        print(f"{sheet.file:<14} {sheet.bytes:>9,} bytes  sha256 {sheet.sha256}")
    return 0


def make(fashion: Path, brain: Path, out: Path) -> list[Datasheet]:
    """Write the sets, `datasheets.json`, `README.md` and the notices into `out`.

    Raises:
        FileNotFoundError: an original is missing.
        ValueError: an original is not the one this was written for.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheets = [make_fashion(fashion, out), make_brain(brain, out)]
    records = [
        {field.name: getattr(sheet, field.name) for field in fields(sheet)} for sheet in sheets
    ]
    write(out / "datasheets.json", json.dumps(records, indent=2, ensure_ascii=False) + "\n")
    write(out / "README.md", readme(sheets))
    for name, text in NOTICES.items():
        write(out / name, text)
    return sheets


def make_fashion(folder: Path, out: Path) -> Datasheet:
    """Take the first pictures of every kind, in the order of the original."""
    arrays = {}
    for split, names in FULL.items():
        images, labels = (parse_idx(original(folder / n, FULL_SHA256[n])) for n in names)
        chosen = first_of_each(labels, PER_CLASS[split])
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images[chosen], labels[chosen]
    return store(
        arrays,
        out,
        name="fashion",
        title="Clothes: a part of Fashion-MNIST",
        what="Grey pictures of clothes, shoes and bags, 28×28 pixels, ten kinds: 6,000 to train "
        "on and 2,000 to test on, as many of each kind.",
        mind="A tenth of the training pictures and a fifth of the test pictures: scores are "
        "lower, and less certain, than on the whole set. Shirts, T-shirts, pullovers and coats "
        "are hard to tell apart, for people too. Shop photographs, centred, on black.",
        author="Han Xiao, Kashif Rasul, Roland Vollgraf; Zalando SE (2017)",
        licence="MIT",
        licence_url="https://github.com/zalandoresearch/fashion-mnist/blob/master/LICENSE",
        source="train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz of Fashion-MNIST "
        "(https://github.com/zalandoresearch/fashion-mnist); the hash is the first's, unpacked",
        source_sha256=FULL_SHA256["train-images-idx3-ubyte.gz"],
        made=f"The first {PER_CLASS['train']} training and the first {PER_CLASS['test']} test "
        "pictures of every kind, kind by kind, values unchanged; an npz file packed with LZMA.",
        loader='fashion("train"), fashion("test")',
    )


def make_brain(folder: Path, out: Path) -> Datasheet:
    """Take blocks of horizontal slices, forehead up, without the empty rim."""
    head, brain = (
        np.frombuffer(original(folder / name, sha), np.uint8, offset=HEADER).reshape(
            VOLUME, order="F"
        )
        for name, sha in BRAIN_SHA256.items()
    )
    heights = [z for first, end, _ in BLOCKS for z in range(first, end, EVERY)]
    test = [t for first, end, t in BLOCKS for _ in range(first, end, EVERY)]
    # (x, y, z) → (z, y, x), y from front to back; then a rim is cut off: 217×181 → 208×176.
    cut = (slice(None), slice(4, 212), slice(2, 178))
    slices = head[:, ::-1, heights].transpose(2, 1, 0)
    masks = (brain[:, ::-1, heights] > 0).transpose(2, 1, 0)
    if masks[cut].sum() != masks.sum():
        raise ValueError("The rim that is cut off holds a part of the brain.")
    arrays = {
        "images": np.ascontiguousarray(slices[cut]),
        "masks": np.ascontiguousarray(masks[cut]).astype(np.uint8),
        "heights": np.array(heights, dtype=np.uint8),
        "test": np.array(test, dtype=bool),
    }
    return store(
        arrays,
        out,
        name="brain",
        title="A head in slices, with the brain marked",
        what="Horizontal magnetic-resonance slices (T1) of one head, 1 mm pixels, and a mask of "
        "the brain in each: 41 slices to train on, 12 to test on.",
        mind="One person, 27 scans averaged: what is measured here says nothing about other "
        "heads or scanners. The sides are blocks of slices with 10 mm between them that belong "
        "to neither. The masks come from a program (BET), so a network learns to imitate it. Not "
        "for medical use.",
        author="Holmes et al. (1998), Montreal Neurological Institute; mask: Chris Rorden, with "
        "BET by Stephen Smith",
        licence="MNI notice (any use, keep the notice) and BSD-3-Clause",
        licence_url="https://nist.mni.mcgill.ca/colin-27-average-brain/",
        source="ch2.nii.gz and ch2bet.nii.gz of MRIcron (Debian package mricron-data, "
        "1.2.20211006); the hash is the first's, unpacked",
        source_sha256=BRAIN_SHA256["ch2.nii.gz"],
        made="Every second slice of five blocks, forehead up, 217×181 cut to 208×176 (no brain is "
        "lost), brightness unchanged, mask = brain-extracted volume above 0; an npz file packed "
        "with LZMA.",
        loader='brain("train"), brain("test")',
    )


def original(path: Path, sha256: str) -> bytes:
    """Return the unpacked content of an original after comparing its sha256."""
    content = gzip.decompress(path.read_bytes())
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} is not the original: expected sha256 {sha256} once unpacked, found {found}."
        )
    return content


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the first `count` of every label, label by label."""
    return np.concatenate([np.flatnonzero(labels == k)[:count] for k in np.unique(labels)])


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return an npz file: as `numpy.savez`, but packed with LZMA and without the time of day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # the same bytes on every system
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_LZMA)
    return buffer.getvalue()


def store(arrays: Mapping[str, np.ndarray], out: Path, name: str, **said: str) -> Datasheet:
    """Write one set and return its datasheet."""
    content = pack(arrays)
    path = out / f"{name}.npz"
    path.write_bytes(content)
    pictures = [array for key, array in arrays.items() if key.endswith("images")]
    return Datasheet(
        name=name,
        file=path.name,
        shape=(sum(map(len, pictures)), *pictures[0].shape[1:]),
        dtype=str(pictures[0].dtype),
        range=(int(min(p.min() for p in pictures)), int(max(p.max() for p in pictures))),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        **said,
    )


def readme(sheets: Sequence[Datasheet]) -> str:
    """Return the datasheets as Markdown."""
    lines = [
        "# Sets to train on that ship with the book",
        "",
        "Written by `tools/make_training_data.py` from `datasheets.json`; change the tool, not "
        "this file.",
        "`backbone.data` loads each file and checks its sha256 first.",
        "",
        f"The notices that travel with the data: {', '.join(f'`{name}`' for name in NOTICES)}.",
    ]
    return markdown(lines, sheets)


if __name__ == "__main__":
    sys.exit(main())
