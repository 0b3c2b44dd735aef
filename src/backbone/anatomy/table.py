"""A table of a model's layers, in the order they run: shape, parameters, multiply-adds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torchinfo
from torch import nn

from backbone.anatomy.describe import describe, shape_text
from backbone.anatomy.graph import example_input, steps, trace
from backbone.anatomy.hooks import find_module
from backbone.anatomy.sheet import Sheet


@dataclass(frozen=True)
class Row:
    """One step of a model's forward pass.

    `name` is the module's dotted name, or "" for a step that is no module (an addition, a
    flatten); `shape` is that of the output, batch included; `parameters` and `multiply_adds` cover
    everything inside, and count a module that runs twice once (parameters) and twice (work).
    """

    name: str
    kind: str
    details: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


class LayerTable(Sequence[Row]):
    """The rows of `layer_table`: index them, loop over them, print them, or show them."""

    HEAD = ("name", "kind", "details", "output", "parameters", "multiply-adds")

    def __init__(self, rows: Sequence[Row], total: Row) -> None:
        self.rows = list(rows)
        self.total = total

    def __getitem__(self, index):  # noqa: ANN001, ANN204
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return repr(self._sheet())

    def _repr_html_(self) -> str:
        return self._sheet()._repr_html_()

    def _sheet(self) -> Sheet:
        *rows, total = self._cells()
        return Sheet(self.HEAD, rows, foot=total, words=4)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for row in [*self.rows, self.total]:
            yield (
                row.name,
                row.kind,
                row.details,
                shape_text(row.shape),
                f"{row.parameters:,}" if row.parameters else "–",
                f"{row.multiply_adds:,}" if row.multiply_adds else "–",
            )


def layer_table(model: nn.Module, input_size: Sequence[int], depth: int = 1) -> LayerTable:
    """List what happens to an input, step by step, with torchinfo's counts.

    Args:
        model: any module; untouched (weights, mode and the random state too).
        input_size: (N, C, H, W) of the input.
        depth: how far to open modules: 1 shows stages, 2 their blocks, 3 the layers inside.

    Returns:
        A table that prints as text, shows as HTML in a notebook, and is a sequence of `Row`.

    Raises:
        TypeError, ValueError: a bad `depth`, or an input size the model refuses.
    """
    if not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth must be a whole number of at least 1, got {depth!r}.")
    ops = trace(model, input_size)
    work = _multiply_adds(model, input_size)
    rows = [Row("", "input", "", ops[0].shape, 0, 0)]
    counted: set[str] = set()
    for name, step in steps(ops[1:], depth):
        if name:
            module = find_module(model, name)
            inside = [n for n, m in module.named_modules(prefix=name)]
            parameters = 0 if name in counted else sum(p.numel() for p in module.parameters())
            macs = sum(work.get(n, 0) for n in inside)
            kind, details = type(module).__name__, describe(module)
        else:
            parameters, macs, kind, details = 0, 0, step[-1].kind, ""
        counted.add(name)
        rows.append(Row(name, kind, details, step[-1].shape, parameters, macs))
    total = Row(
        "total",
        type(model).__name__,
        "",
        ops[-1].shape,
        sum(p.numel() for p in model.parameters()),
        sum(work.values()),
    )
    return LayerTable(rows, total)


def _multiply_adds(model: nn.Module, input_size: Sequence[int]) -> dict[str, int]:
    """Let torchinfo count the multiply-adds of every leaf module: name → number."""
    with torch.random.fork_rng(devices=[]):  # torchinfo draws random numbers; give them back
        info = torchinfo.summary(
            copy.deepcopy(model),
            input_data=example_input(model, input_size),
            depth=100,
            verbose=0,
            mode="eval",
        )
    work: dict[str, int] = {}
    path: list[str] = []
    for layer in info.summary_list:
        del path[max(layer.depth - 1, 0) :]
        if layer.depth:
            path.append(layer.var_name)
        if layer.is_leaf_layer:
            name = ".".join(path)
            work[name] = work.get(name, 0) + layer.macs
    return work
