"""What a model really does with an input: its operations, in order, with shapes and module names.

Everything the book draws or tabulates starts here, from `torch.export` of the live model, so a
drawing cannot drift from the code.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# PyTorch's operator names, where the everyday name differs.
EVERYDAY = {"view": "flatten", "hardtanh": "relu6"}


@dataclass(frozen=True)
class Op:
    """One operation in a run of a model.

    `name` is unique; `kind` is the everyday name ("conv2d", "add", "cat", "input", …); `module` is
    the dotted name of the module that ran it ("" for the model's own `forward`); `inputs` are the
    names of the operations it reads; `shape` is that of its output, batch included.
    """

    name: str
    kind: str
    module: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Skip:
    """A connection that jumps: the shortcut into an addition, or the maps joined by a `cat`.

    `name` is what `cut` understands ("layer2.0", "encode_layer1"); `kind` is "add" or "cat"; `at`
    is the operation where the two paths meet; `source` the operation the skip leaves from; `entry`
    and `main` those through which the skip and the main path arrive at `at`.
    """

    name: str
    kind: str
    at: str
    source: str
    entry: str
    main: str


def example_input(model: nn.Module, input_size: Sequence[int]) -> Tensor:
    """Return zeros of `input_size` (N, C, H, W) with the dtype and device of the model's weights.

    Raises:
        TypeError, ValueError: `input_size` is not a sequence of positive whole numbers.
    """
    size = tuple(input_size)
    if not all(isinstance(n, int) and not isinstance(n, bool) for n in size):
        raise TypeError(f"input_size must be whole numbers such as (1, 3, 224, 224), got {size}.")
    if not size or min(size) < 1:
        raise ValueError(
            f"input_size must be positive numbers such as (1, 3, 224, 224), got {size}."
        )
    weight = next(model.parameters(), torch.empty(0))
    return torch.zeros(size, dtype=weight.dtype, device=weight.device)


def trace(model: nn.Module, x: Tensor | Sequence[int]) -> list[Op]:
    """List the operations of `model(x)` in the order they run (evaluation mode; no side effects).

    Args:
        model: any module with one tensor in and one tensor out.
        x: an input, or just its shape.

    Raises:
        ValueError, TypeError: the model refuses the input (its own message), or its `forward`
            takes decisions on values that `torch.export` cannot follow.
    """
    if not isinstance(x, Tensor):
        x = example_input(model, x)
    # A copy: our model keeps its mode, and a batch of one is no trouble.
    model = copy.deepcopy(model).eval()
    try:  # strict=True, once the default, loses the names of modules inside a bare Sequential
        exported = torch.export.export(model, (x,), strict=False)
    except (TypeError, ValueError):
        raise
    except Exception as error:
        with torch.no_grad():
            model(x)  # if the model itself fails, its own message is the better one
        raise ValueError(
            f"{type(model).__name__} runs, but its operations cannot be listed: its forward "
            "probably decides on the values of tensors (an `if` on a sum, a `.item()`)."
        ) from error

    weights = {
        spec.arg.name for spec in exported.graph_signature.input_specs if spec.target is not None
    }
    ops: list[Op] = []
    skip_to: dict[str, str] = {}  # nodes without a tensor of their own (e.g. size): look through
    for node in exported.graph.nodes:
        value = node.meta.get("val")
        if node.op == "output" or node.name in weights or not isinstance(value, Tensor):
            continue
        if node.op == "placeholder":
            ops.append(Op(node.name, "input", "", (), tuple(value.shape)))
            continue
        base = str(node.target).removeprefix("aten.").split(".")[0].rstrip("_")
        known = {op.name for op in ops}
        inputs = tuple(
            skip_to.get(n.name, n.name)
            for n in node.all_input_nodes
            if skip_to.get(n.name, n.name) in known
        )
        if base in {"dropout", "alias", "detach", "clone"}:  # nothing happens in evaluation mode
            skip_to[node.name] = inputs[0]
            continue
        stack = list(node.meta.get("nn_module_stack", {}).values())
        module = stack[-1][0] if stack else ""
        ops.append(Op(node.name, EVERYDAY.get(base, base), module, inputs, tuple(value.shape)))
    return ops


def skips(ops: Sequence[Op]) -> list[Skip]:
    """Find every skip in a list of operations: where a longer and a shorter path meet again.

    At each addition or concatenation of two different results, the operand with the shorter way
    back to where the two paths parted is the skip.
    """
    by_name = {op.name: op for op in ops}
    position = {op.name: i for i, op in enumerate(ops)}
    found = []
    for op in ops:
        if op.kind not in {"add", "cat"} or len(set(op.inputs)) != 2:
            continue
        # How many steps back is every ancestor, along the longest path?
        back = [_steps_back(by_name, position, name) for name in op.inputs]
        fork = max(set(back[0]) & set(back[1]), key=position.__getitem__, default=None)
        if fork is None:
            continue
        skip = 0 if back[0][fork] < back[1][fork] else 1
        entry, main = op.inputs[skip], op.inputs[1 - skip]
        name = op.module if op.kind == "add" else owner(by_name[fork].module)
        found.append(Skip(name or op.name, op.kind, op.name, fork, entry, main))
    return found


def steps(ops: Sequence[Op], depth: int) -> Iterator[tuple[str, list[Op]]]:
    """Group operations that run inside the same module, down to `depth` levels of names.

    Yields (name, operations); the name is "" for a step that no module takes, such as an addition.
    """
    name, group = "", []
    for op in ops:
        parts = op.module.split(".")
        # An addition inside "layer1.0" belongs to that block, until we look inside the block.
        visible = ".".join(parts[:depth])
        own_step = op.kind in {"add", "cat", "flatten", "mul"} and len(parts) < depth
        if op.module == "" or own_step:
            if group:
                yield name, group
            yield "", [op]
            name, group = "", []
            continue
        if group and visible != name:
            yield name, group
            group = []
        name = visible
        group.append(op)
    if group:
        yield name, group


def owner(module: str) -> str:
    """Name the stage a module belongs to: "encode_layer1.5" → "encode_layer1".

    A stage of a U-Net's encoder may hold whole blocks: "encode_layer2.1.relu" → "encode_layer2".
    """
    if module.startswith("encode_layer"):
        return module.split(".")[0]
    head, _, tail = module.rpartition(".")
    return head if tail.isdigit() and head else module


def _steps_back(by_name: dict[str, Op], position: dict[str, int], start: str) -> dict[str, int]:
    """Longest number of steps from `start` back to each of its ancestors (itself: 0)."""
    steps = {start: 0}
    for name in sorted(by_name, key=position.__getitem__, reverse=True):
        if name in steps:
            for parent in by_name[name].inputs:
                steps[parent] = max(steps.get(parent, 0), steps[name] + 1)
    return steps
