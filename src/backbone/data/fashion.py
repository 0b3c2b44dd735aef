"""Fashion-MNIST: small grey pictures of clothes, ten kinds.

H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST (2017), https://arxiv.org/abs/1708.07747
A part of it ships with the book; all of it is read from the machine where somebody put it there.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbone.data.datasheets import open_arrays

FASHION_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# Where Debian's package dataset-fashion-mnist puts the four files.
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")

# Files of the whole set: (images, labels) of each side, and the sha256 of each once unpacked
# (Debian packs the same content into other gzip files).
FULL = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
FULL_SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}


class Fashion(NamedTuple):
    """Pictures of clothes and what each shows."""

    images: Tensor  # (N, 1, 28, 28), float32 in [0, 1]: 0 is the background
    labels: Tensor  # (N,), int64, 0 to 9: an index into `names`
    names: tuple[str, ...]


def fashion(split: str = "train", full: bool = False) -> Fashion:
    """Return Fashion-MNIST: the part that ships with the book, or all of it.

    The part holds 6,000 of the 60,000 training pictures and 2,000 of the 10,000 test pictures, as
    many of each kind, one of each kind in turn. A score on 2,000 pictures is uncertain by about
    ±1.5 points; compare with published scores only on the whole test side.

    Args:
        split: "train" or "test"; no picture is on both sides.
        full: read the whole set from `fashion_folder()`.

    Shapes:
        → images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64 from 0 to 9, ten names.
        N is 6,000 or 2,000; in full 60,000 or 10,000.

    Raises:
        TypeError, ValueError: another split, or a file that is not the one described.
        FileNotFoundError: a file is missing; for the whole set the message says where to get it.
    """
    need_split(split)
    if full:
        images, labels = (_read_idx(name) for name in FULL[split])
    else:
        arrays = open_arrays("fashion")
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        # Stored kind by kind, which packs best; given one of each kind in turn.
        turn = np.arange(len(labels)).reshape(len(FASHION_NAMES), -1).T.ravel()
        images, labels = images[turn], labels[turn]
    pixels = torch.from_numpy(np.array(images))[:, None]  # (N, 1, 28, 28), uint8
    return Fashion(pixels.float() / 255, torch.from_numpy(labels.astype(np.int64)), FASHION_NAMES)


def fashion_folder() -> Path:
    """Return the folder where the whole set is looked for, whether it exists or not.

    It is $BACKBONE_DATA/fashion-mnist where that variable is set, else the folder of Debian's
    package dataset-fashion-mnist if it is there, else ~/.cache/backbone/fashion-mnist.
    """
    if own := os.environ.get("BACKBONE_DATA"):
        return Path(own) / "fashion-mnist"
    if SYSTEM_FOLDER.is_dir():
        return SYSTEM_FOLDER
    return Path.home() / ".cache" / "backbone" / "fashion-mnist"


def need_split(split: str) -> None:
    """Refuse what is not the name of a side."""
    if not isinstance(split, str):
        raise TypeError(f'split must be "train" or "test", got {split!r}.')
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}.')


def _read_idx(name: str) -> np.ndarray:
    """Return the array in one of the four files, after comparing its sha256."""
    path, expected = fashion_folder() / name, FULL_SHA256[name]
    get = (
        f"Get {name} from data/fashion in https://github.com/zalandoresearch/fashion-mnist and "
        f"put it into {path.parent}, or install Debian's package dataset-fashion-mnist. The part "
        "that ships with the book needs neither: fashion(split)."
    )
    if not path.is_file():
        raise FileNotFoundError(
            f"The whole Fashion-MNIST is not on this machine: {path} is missing (expected sha256 "
            f"{expected} once unpacked). {get}"
        )
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be unpacked ({error}); expected sha256 {expected} once unpacked. {get}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} is not the published file: expected sha256 {expected} once unpacked, found "
            f"{found}. {get}"
        )
    return parse_idx(content)


def parse_idx(content: bytes) -> np.ndarray:
    """Return the bytes of an idx file as an array: two zeros, type 8, rank, sizes, values.

    Raises:
        ValueError: not an idx file of bytes.
    """
    rank = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * rank
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if not rank or len(content) != start + prod(sizes):
        raise ValueError(
            f"Not an idx file of bytes: it begins with {content[:4]!r} and has {len(content):,} "
            "bytes."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(sizes)
