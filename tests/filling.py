"""Weights and images that come out the same on every machine, for comparing two implementations.

Random generators differ between libraries and versions; a hash of whole numbers does not. The value
number i of a tensor called `key` depends on nothing but i and `key`. Shared by the tests and by
tools/make_torchvision_fixture.py.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

IMAGE_SHAPE = (2, 3, 64, 64)
SAMPLES = 512  # values kept of an activation


def uniform(key: str, shape: Sequence[int]) -> np.ndarray:
    """Numbers in [0, 1), float64: murmur3's finaliser over (index, crc32 of the key)."""
    h = np.arange(prod(shape), dtype=np.uint32)
    h *= np.uint32(0x9E3779B1)  # unsigned arithmetic wraps around, everywhere alike
    h += np.uint32(crc32(key.encode()))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    return (h / 2.0**32).reshape(shape)


def fill(key: str, shape: Sequence[int], last_norms: frozenset[str] = frozenset()) -> np.ndarray:
    """A plausible value for the state_dict entry `key`, so that activations stay of order one."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    u = uniform(key, shape)
    if len(shape) > 1:  # convolution or linear layer: He scale, as a uniform distribution
        fan_in = prod(shape[1:])
        gain = 2.0 if len(shape) == 4 else 1.0
        return (2 * u - 1) * np.sqrt(3 * gain / fan_in)
    if key.endswith("running_var") or key.endswith("weight"):
        # The last norm of a block is turned down: with 50 blocks the sums would grow otherwise.
        return (0.5 + u) * (0.12 if key in last_norms else 1.0)
    return 0.2 * u - 0.1  # biases and running means


def filled_state(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """A value for every entry of a ResNet's state_dict, given as {key: shape}."""
    third = any(key.endswith("bn3.weight") for key in shapes)
    last = f".bn{3 if third else 2}.weight"
    last_norms = frozenset(key for key in shapes if key.endswith(last))
    return {key: fill(key, shape, last_norms) for key, shape in shapes.items()}


def image(shape: Sequence[int] = IMAGE_SHAPE) -> np.ndarray:
    """A fixed image with values in [-1, 1)."""
    return 2 * uniform("image", shape) - 1


def sample(values: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, then up to 512 evenly spaced values: float32, one dimension."""
    flat = values.reshape(-1)
    at = np.linspace(0, flat.size - 1, min(flat.size, SAMPLES)).astype(int)
    return np.concatenate(([flat.mean(), flat.std()], flat[at])).astype(np.float32)
