"""From PyTorch's graph to a list of our own operations.

Shapes leave out the batch: the engine runs one image at a time, (C, H, W), so that a program made
for one size runs on others, wherever the network itself does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from backbone.explorables.kinds import END, KINDS, NOTHING, Arguments, Unsupported, view
from backbone.explorables.tracing import Traced, base_name

WEIGHTS = ("weight", "bias")


@dataclass
class Step:
    """One operation of a program; `weights` by role ("weight", "bias", …), names still PyTorch's.

    `module` ran it; `folded` are modules whose own result is no longer there, see `folding`.
    """

    op: str
    name: str
    inputs: list[str]
    module: str
    shape: tuple[int, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)


def translate(traced: Traced) -> tuple[list[Step], dict[str, str]]:
    """Translate the nodes of a traced run.

    Returns:
        the steps in the order they run, and for every node the name of the step whose result it
        is: dropout, for instance, does nothing in evaluation mode, so its result is its input.

    Raises:
        Unsupported: names the operation and the module it came from.
    """
    steps: list[Step] = []
    made_by: dict[str, str] = {}
    batch = None
    for node in traced.nodes:
        if node.op == "placeholder" and node.name not in traced.constants:
            batch = node.meta["val"].shape[0]
            made_by[node.name] = node.name
            continue
        if node.op != "call_function" or node.name in traced.constants or not node.users:
            continue
        arguments = _arguments(node)
        try:
            _need_known(node)
            _need_batch(node, batch)
            if _does_nothing(node, arguments):
                made_by[node.name] = made_by[arguments[next(iter(arguments))].name]
                continue
            step = _step(node, arguments, traced)
            for name in step.inputs:
                if name in traced.constants and name not in made_by:
                    steps.append(_constant(name, traced.constants[name], step))
                    made_by[name] = name
        except Unsupported as problem:
            raise Unsupported(_complaint(node, traced, str(problem))) from None
        step.inputs = [made_by[name] for name in step.inputs]
        made_by[node.name] = step.name
        steps.append(step)
    return steps, made_by


def _arguments(node: Node) -> Arguments:
    """Arguments by name, defaults filled in, from the operation's own signature."""
    signature = getattr(node.target, "_schema", None)
    if signature is None:
        return {}
    names = [argument.name for argument in signature.arguments]
    defaults = {x.name: x.default_value for x in signature.arguments if x.has_default_value()}
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    return {n: given.get(n, defaults.get(n)) for n in names if n in given or n in defaults}


def _does_nothing(node: Node, a: Arguments) -> bool:
    if base_name(node) in NOTHING:
        if a.get("train"):
            raise Unsupported("with training=True it is random")
        if base_name(node) == "to" and node.meta["val"].dtype != a["self"].meta["val"].dtype:
            raise Unsupported("in the page every number has 32 bits")
        return True
    whole = base_name(node) == "slice" and a["step"] == 1
    return whole and not a["start"] and (a["end"] is None or a["end"] >= END)


def _step(node: Node, a: Arguments, traced: Traced) -> Step:
    op, read = KINDS[base_name(node)]
    attributes = read(a, node) if read is view else read(a)
    shape = tuple(node.meta["val"].shape[1:])
    step = Step(op, node.name, [], traced.module_of(node), shape, attributes)
    if op == "scale_shift":
        step.weights = _scale_and_shift(a, traced.constants)
        step.inputs = [a["input"].name]
        return step
    for role in WEIGHTS:
        if isinstance(a.get(role), Node):
            if a[role].name not in traced.constants:
                raise Unsupported(f"its {role} depends on the image")
            step.weights[role] = traced.constants[a[role].name]
    operands = a["tensors"] if op == "cat" else [a.get("self", a.get("input")), a.get("other")]
    step.inputs = [n.name for n in operands if isinstance(n, Node)]
    return step


def _scale_and_shift(a: Arguments, constants: dict[str, Tensor]) -> dict[str, Tensor]:
    """(x − mean) / √(var + eps) · weight + bias  =  x · scale + shift, computed in float64."""
    mean, var = (constants[a[name].name].double() for name in ("running_mean", "running_var"))
    weight = constants[a["weight"].name].double() if a["weight"] is not None else 1.0
    bias = constants[a["bias"].name].double() if a["bias"] is not None else 0.0
    scale = weight / torch.sqrt(var + a["eps"])
    return {"scale": scale, "shift": bias - mean * scale}


def _constant(name: str, value: Tensor, reader: Step) -> Step:
    """Make a step that brings in a tensor of the model's own, such as a learned factor."""
    if value.dim() > len(reader.shape):  # the batch is among its dimensions
        if value.dim() > len(reader.shape) + 1 or len(value) != 1:
            raise Unsupported(f"with a tensor of {tuple(value.shape)}, one value for each image")
        value = value[0]
    shape = tuple(value.shape)
    return Step("constant", name, [], reader.module, shape, weights={"value": value})


def _need_known(node: Node) -> None:
    if base_name(node) not in KINDS.keys() | NOTHING:
        raise Unsupported(f"it knows {', '.join(sorted(KINDS))}. Write this step with one of these")


def _need_batch(node: Node, batch: int | None) -> None:
    value = node.meta["val"]
    if value.dim() == 0 or value.shape[0] != batch:
        raise Unsupported("it mixes the images of a batch, or loses the batch dimension")


def _complaint(node: Node, traced: Traced, detail: str) -> str:
    name = traced.module_of(node)
    kind = type(traced.model.get_submodule(name)).__name__
    where = f"module {name!r} ({kind})" if name else f"the forward of {kind}"
    return (
        f"The engine in the page cannot run {base_name(node)} ({node.target}), "
        f"which comes from {where}: {detail}."
    )
