"""One run of a model as `torch.export` sees it, and which value every module gave on the way."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

# Operations that hand on memory they did not make: writing into their result writes into both.
VIEWS = {"view", "flatten", "slice", "select", "unsqueeze", "squeeze", "expand", "transpose"}


@dataclass(frozen=True)
class Call:
    """One call of a module: the graph's names of its first input and of its output."""

    given: str
    made: str


@dataclass(frozen=True)
class Traced:
    """A run of `model` on one example.

    `calls` has the calls of every module that gave a single tensor, by dotted name, in the order
    they happened: a block's ReLU is called twice. `constants` has the value of every node that does
    not depend on the input: the weights, and what the model computes from them alone. `first_name`
    has, for every name of a module, the first one: a module may sit in several places.
    """

    model: nn.Module
    nodes: list[Node]
    calls: dict[str, list[Call]]
    constants: dict[str, Tensor]
    result: Node
    first_name: dict[str, str]

    def around(self, node: Node) -> list[str]:
        """Dotted names of the modules a node ran inside, outermost first."""
        stack = node.meta.get("nn_module_stack", {}).values()
        return [self.first_name[name.split("@")[0]] for name, _ in stack]

    def module_of(self, node: Node) -> str:
        """Dotted name of the innermost module that ran a node; "" for the model's own `forward`."""
        return next(reversed(self.around(node)), "")


def run_and_trace(model: nn.Module, example: Tensor) -> Traced:
    """Trace a copy of the model in evaluation mode, on the CPU; the model itself is untouched.

    Raises:
        TypeError: `model` is not a module, or `example` not a tensor.
        TypeError, ValueError: the model refuses the example, with its own message; it decides on
            values; it gives more than one tensor; it writes into a view that is read again.
    """
    if not isinstance(model, nn.Module):
        kind = model.__name__ if isinstance(model, type) else type(model).__name__
        raise TypeError(
            f"model must be a torch.nn.Module such as ResNet18(width=8), got {kind}. "
            "A class needs brackets to become a model."
        )
    if not isinstance(example, Tensor):
        raise TypeError(
            f"example must be a torch.Tensor (N, C, H, W), got {type(example).__name__}. "
            "Its values do not matter: torch.zeros(1, 3, 64, 64) will do."
        )
    model = copy.deepcopy(model).cpu().eval()
    exported = _export(model, example.detach().cpu())
    nodes = list(exported.graph.nodes)
    _refuse_shared_writing(nodes)
    names = _first_names(model)
    return Traced(
        model,
        nodes,
        _calls(exported, names),
        _constants(exported),
        _result(model, nodes),
        names,
    )


def base_name(node: Node) -> str:
    """Everyday name of a node's operation: `aten.relu_.default` → "relu"."""
    return str(node.target).removeprefix("aten.").split(".")[0].rstrip("_")


def _export(model: nn.Module, example: Tensor) -> ExportedProgram:
    who = type(model).__name__
    with torch.no_grad():
        try:
            model(example)  # first, so that the model's own message is the one to be read
        except (TypeError, ValueError):
            raise
        except Exception as error:
            raise ValueError(
                f"{who} does not run on an example of {tuple(example.shape)}: {error}"
            ) from error
        names = tuple(filter(None, _first_names(model)))
        try:
            return torch.export.export(
                model, (example,), strict=False, preserve_module_call_signature=names
            )
        except Exception as error:
            raise ValueError(
                f"{who} runs, but its operations cannot be listed: its forward probably decides "
                "on the values of tensors (an `if` on a sum, a `.item()`), which no fixed program "
                f"can do. PyTorch says: {str(error).strip().splitlines()[0]}"
            ) from error


def _first_names(model: nn.Module) -> dict[str, str]:
    first = {module: name for name, module in model.named_modules()}
    return {name: first[m] for name, m in model.named_modules(remove_duplicate=False)}


def _calls(exported: ExportedProgram, first_name: dict[str, str]) -> dict[str, list[Call]]:
    calls: dict[str, list[Call]] = {}
    for entry in exported.module_call_graph:
        if not entry.fqn or entry.signature is None:
            continue
        given, made = (
            [a.name for a in side if hasattr(a, "name")]
            for side in (entry.signature.inputs, entry.signature.outputs)
        )
        if given and len(made) == 1:
            # The second call of a module called "relu" is listed as "relu@1".
            name = first_name[entry.fqn.split("@")[0]]
            calls.setdefault(name, []).append(Call(given[0], made[0]))
    position = {node.name: i for i, node in enumerate(exported.graph.nodes)}
    return {n: sorted(c, key=lambda call: position[call.made]) for n, c in calls.items()}


def _constants(exported: ExportedProgram) -> dict[str, Tensor]:
    stored = {**exported.constants, **exported.state_dict}
    values = {
        spec.arg.name: stored[spec.target].detach()
        for spec in exported.graph_signature.input_specs
        if spec.target is not None
    }
    for node in exported.graph.nodes:
        known = all(n.name in values for n in node.all_input_nodes)
        if node.op == "call_function" and known and isinstance(node.meta.get("val"), Tensor):
            look_up = {n: values[n.name] for n in node.all_input_nodes}
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), look_up.__getitem__)
            with torch.no_grad():
                values[node.name] = node.target(*args, **kwargs)
    return values


def _result(model: nn.Module, nodes: list[Node]) -> Node:
    results = nodes[-1].args[0]
    if len(results) != 1 or not isinstance(results[0], Node):
        raise ValueError(
            f"{type(model).__name__} must return one tensor, but it returns {len(results)} values. "
            "Wrap it in a module whose forward returns the one you want to see."
        )
    return results[0]


def _refuse_shared_writing(nodes: list[Node]) -> None:
    """Refuse `x[:, :1].relu_()` where x is read again: our program has no memory to share."""
    position = {node: i for i, node in enumerate(nodes)}
    family: dict[Node, list[Node]] = {}  # nodes that share memory, under several Python names
    for node in nodes:
        if node.op != "call_function":
            continue
        if base_name(node) in VIEWS:
            shared = family.setdefault(node.args[0], [node.args[0]])
            shared.append(node)
            family[node] = shared
        elif _writes(node):
            written = node.args[0]
            others = [n for n in family.get(written, []) if n is not written]
            if any(position[user] > position[node] for n in others for user in n.users):
                raise ValueError(
                    f"{base_name(node)} writes into a tensor that shares its memory with another "
                    "one, and both are read afterwards. Write it without the in-place operation, "
                    "e.g. y = relu(x[:, :1])."
                )
            family[node] = family.get(written, [node])


def _writes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return bool(schema and schema.is_mutable and node.args)
