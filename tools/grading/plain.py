"""Answers that are plain data: numbers, texts, lists, dictionaries, small tensors.

They travel as JSON out of the process in which the student's code ran, and are judged where it
never was. A forged message can then say nothing but another answer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MOST = 20_000  # numbers in all; a longer answer is judged where it is
DTYPES = {str(d): d for d in (torch.float32, torch.float64, torch.int64, torch.int32, torch.bool)}


def without_disguise(answer: Any) -> tuple[Any, bool]:  # noqa: ANN401 (whatever was handed in)
    """Return an answer with numbers and texts of a class of their own turned into plain ones.

    A subclass of int that is equal to everything would otherwise be the right answer.

    Returns:
        The answer, and whether its class says what it is equal to.
    """
    for base, value in ((int, int.__int__), (float, float.__float__), (str, str.__str__)):
        kind = type(answer)
        if kind is not base and kind is not bool and base in kind.__mro__:
            own = any("__eq__" in k.__dict__ for k in kind.__mro__ if not _library(k))
            return value(answer), own
    return answer, False


def _library(kind: type) -> bool:
    return kind.__module__.split(".")[0] in {"builtins", "numpy", "enum"}


def pack(answer: Any) -> Any | None:  # noqa: ANN401
    """Return an answer as JSON values, or None if it is not plain."""
    try:
        return _pack(answer, [MOST])
    except _NotPlain:
        return None


class _NotPlain(Exception):
    pass


def _pack(x: Any, left: list[int]) -> Any:  # noqa: ANN401
    left[0] -= 1
    if left[0] < 0:
        raise _NotPlain
    kind = type(x)
    if x is ...:
        return {"...": 1}
    if x is None or kind in (bool, float, str):
        if kind is str and len(x) > MOST:
            raise _NotPlain
        return {"": x}
    if kind is int:
        if x.bit_length() > 2000:
            raise _NotPlain
        return {"int": hex(x)}
    if kind in (list, tuple, set, frozenset):
        return {kind.__name__: [_pack(part, left) for part in x]}
    if kind is dict:
        return {"dict": [[_pack(key, left), _pack(x[key], left)] for key in x]}
    if kind is torch.Size:
        return {"Size": list(x)}
    if kind is Tensor and not x.requires_grad and str(x.dtype) in DTYPES and x.numel() <= left[0]:
        left[0] -= x.numel()
        return {"Tensor": x.tolist(), "dtype": str(x.dtype), "shape": list(x.shape)}
    raise _NotPlain


def unpack(x: Any) -> Any:  # noqa: ANN401
    """Return the answer that `pack` took apart.

    Raises:
        ValueError: it is none of ours.
    """
    if not isinstance(x, dict) or not x:
        raise ValueError("not a packed answer")
    kind, value = next(iter(x.items()))
    if kind == "...":
        return ...
    if kind == "" and (value is None or type(value) in (bool, float, int, str)):
        return value
    if kind == "int":
        return int(value, 16)
    if kind in ("list", "tuple", "set", "frozenset"):
        parts = [unpack(part) for part in value]
        return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](parts)
    if kind == "dict":
        return {unpack(key): unpack(part) for key, part in value}
    if kind == "Size":
        return torch.Size([int(n) for n in value])
    if kind == "Tensor":
        return torch.tensor(value, dtype=DTYPES[x["dtype"]]).reshape([int(n) for n in x["shape"]])
    raise ValueError(f"not a packed answer: {kind!r}")
