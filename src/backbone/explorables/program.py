"""A model as a program for the page: a list of plain operations, and one block of weights.

`export_program` reads the operations from the live model, so what runs in the browser is the
reader's own network. `js/engine.js` runs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from backbone.explorables.cutting import find_cuts
from backbone.explorables.folding import fold_batch_norms
from backbone.explorables.operations import Step, translate
from backbone.explorables.tracing import Traced, run_and_trace

# Little-endian, as in every browser of today. What "int8" cannot hold, it keeps as float32.
DTYPES = {"float16": "<f2", "float32": "<f4", "int8": "<f4"}


@dataclass(frozen=True)
class Program:
    """What the engine needs to run a model.

    `description` is plain JSON:

        dtype       of the weights: "float16", "float32" or "int8"
        input       name and shape (C, H, W) of the example; other sizes run where the network can
        output      name of the operation whose result is the model's
        operations  in the order they run, each with `op` (its kind), `name`, `inputs` (names),
                    `module` (dotted name), `shape` (for the example, without the batch),
                    `attributes`, and `weights`: role → {offset, shape}, the offset counted in
                    numbers; `folded` names modules whose own result is not computed. With "int8",
                    a kernel also has `scale`, the offset of one factor for each of its rows
                    (first axis), and its own offset counts the bytes after all float32 numbers
        modules     dotted name → operations whose results it gave, one for each call; what a
                    forward hook on it would see last is the last one
        floats      only with "int8": how many float32 numbers come before the bytes
        cuts        names as in `backbone.anatomy.cuttable` → [[operation, which input], …]

    `weights` are all numbers, one after the other, as bytes.
    """

    description: dict[str, Any]
    weights: bytes

    def to_json(self) -> str:
        """Return the description as compact text; the same model gives the same text."""
        return json.dumps(self.description, separators=(",", ":"))


def export_program(
    model: nn.Module, example: Tensor, *, dtype: str = "float16", fold: bool = True
) -> Program:
    """Turn a model into a program that runs in a web page, one image at a time.

    Args:
        model: any module with one image in and one tensor out, such as `ResNet18(width=8)` or a
            variation of your own; untouched, and exported as it is in evaluation mode.
        example: an input, (N, C, H, W); only its shape matters.
        dtype: "float32" keeps every digit, "float16" halves the download, "int8" quarters it: each
            row of a kernel is rounded to 255 steps between ± its largest weight, so results agree
            to about two digits.
        fold: fold batch norms into the convolutions before them, which is faster. The result of
            such a convolution alone, e.g. "layer1.0.conv1", then does not exist: look at the batch
            norm's, or ask for `fold=False`.

    Raises:
        TypeError: `model` is not a module, or `example` is not a tensor.
        ValueError: the model does not run on the example, decides on values, or uses an operation
            the engine does not know; the message names the operation and its module. Or a weight
            is too large for float16, or not a number; or the output does not depend on the input.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype must be "float16", "float32" or "int8", got {dtype!r}.')
    traced = run_and_trace(model, example)
    steps, made_by = translate(traced)
    if traced.result.name not in made_by:
        raise ValueError(f"The output of {type(model).__name__} does not depend on its input.")
    result = made_by[traced.result.name]
    steps = _needed(fold_batch_norms(steps, result) if fold else steps, result)

    names = dict.fromkeys(_inputs(traced), "input")
    names |= {step.name: f"{step.op}_{i}" for i, step in enumerate(steps, start=1)}
    weights = _Weights(dtype)
    description = {
        "dtype": dtype,
        "input": {"name": "input", "shape": list(example.shape[1:])},
        "output": names[result],
        "operations": [_plain(step, names, weights) for step in steps],
        "modules": {
            module: [names[made_by[call.made]] for call in calls]
            for module, calls in traced.calls.items()
            if all(made_by.get(call.made) in names for call in calls)
        },
        "cuts": {
            name: [[names[at], i] for at, i in ends if at in names]
            for name, ends in find_cuts(traced, made_by).items()
        },
    }
    if dtype == "int8":
        description["floats"] = weights.length
    return Program(description, weights.bytes())


class _Weights:
    """Numbers of all weights in one row; equal tensors are stored once."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.parts: list[bytes] = []
        self.known: dict[bytes, int] = {}
        self.length = 0  # in numbers
        self.small: list[bytes] = []  # rounded kernels, one byte a number
        self.small_length = 0

    def add(self, tensor: Tensor, where: str) -> dict[str, Any]:
        """Store a tensor; return where it is and its shape."""
        values = tensor.numpy()
        if self.dtype == "int8" and values.ndim > 1 and np.isfinite(values).all():
            return self._add_rounded(values)
        return {"offset": self._add_numbers(values, where), "shape": list(values.shape)}

    def _add_rounded(self, values: np.ndarray) -> dict[str, Any]:
        rows = values.reshape(len(values), -1)
        scale = np.abs(rows).max(axis=1).clip(1e-30) / 127
        part = np.round(rows / scale[:, None]).astype(np.int8).tobytes()
        self.small.append(part)
        offset, self.small_length = self.small_length, self.small_length + len(part)
        at = self._add_numbers(scale, "a scale")
        return {"offset": offset, "shape": list(values.shape), "scale": at}

    def _add_numbers(self, values: np.ndarray, where: str) -> int:
        with np.errstate(over="ignore"):  # said in our own words
            stored = values.astype(DTYPES[self.dtype])
        if not np.isfinite(stored).all():
            largest = float(np.abs(values).max())
            raise ValueError(
                f"A weight of {where} is not a finite number in {self.dtype}: the largest is "
                f'{largest:g}. float16 ends at 65504; use dtype="float32", or look for what made '
                "the training diverge."
            )
        part = stored.tobytes()
        if part not in self.known:
            self.known[part] = self.length
            self.parts.append(part)
            self.length += stored.size
        return self.known[part]

    def bytes(self) -> bytes:
        """All numbers, one after the other."""
        return b"".join(self.parts + self.small)


def _plain(step: Step, names: dict[str, str], weights: _Weights) -> dict[str, Any]:
    """One operation as plain JSON; what is empty is left out."""
    where = f"module {step.module!r}"
    optional = {
        "attributes": step.attributes,
        "weights": {role: weights.add(tensor, where) for role, tensor in step.weights.items()},
        "folded": step.folded,
    }
    return {
        "op": step.op,
        "name": names[step.name],
        "inputs": [names[name] for name in step.inputs],
        "module": step.module,
        "shape": list(step.shape),
    } | {key: value for key, value in optional.items() if value}


def _needed(steps: list[Step], result: str) -> list[Step]:
    """Leave out steps that nothing reads, such as a head whose result the model throws away."""
    read, kept = {result}, []
    for step in reversed(steps):
        if step.name in read:
            read.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def _inputs(traced: Traced) -> list[str]:
    nodes = (node for node in traced.nodes if node.op == "placeholder")
    return [node.name for node in nodes if node.name not in traced.constants]
