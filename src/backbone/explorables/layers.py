"""The layers of a program that have maps to look at, and what made each map, as a formula."""

from __future__ import annotations

from typing import Any

# Operations written as a function of one map.
SAYS = {"relu": "max(0, {})", "prelu": "prelu({})", "leaky_relu": "leaky_relu({})"}


def list_layers(program: dict[str, Any]) -> list[dict[str, Any]]:
    """List every map that a module puts out, once, in the order they are computed.

    Args:
        program: a description, see `Program`.

    Returns:
        one entry for each map (C, H, W) with more than one pixel: `op` that made it, `name` of the
        module (the outermost, if several hand on the same map), `label` (all of them that contain
        others, such as "layer1 = layer1.1"), `shape`, `formula`, and whether it ends a `stage`,
        that is, comes from a module at the top.
    """
    modules = program["modules"]
    operations = {op["name"]: op for op in program["operations"]}
    found = []
    for name, op in operations.items():
        given = sorted((m for m, made in modules.items() if made[-1] == name), key=_depth)
        if not given or len(op["shape"]) != 3 or op["shape"][1:] == [1, 1]:
            continue
        containers = [m for m in given if any(other.startswith(f"{m}.") for other in modules)]
        found.append(
            {
                "op": name,
                "name": given[0],
                "label": " = ".join(containers or given[:1]),
                "shape": op["shape"],
                "formula": _formula(op, operations, modules),
                "stage": "." not in given[0],
            }
        )
    return found


def _depth(module: str) -> tuple[int, str]:
    return module.count("."), module


def _formula(op: dict[str, Any], operations: dict[str, Any], modules: dict[str, Any]) -> str:
    """What an operation does, in the words of mathematics: "max(0, bn(conv 3×3) + maxpool)"."""
    kind = op["op"]

    def inside(i: int) -> str:
        source = operations.get(op["inputs"][i])
        return "x" if source is None else _formula(source, operations, modules)

    if kind in SAYS:
        return SAYS[kind].format(inside(0))
    if kind == "add" and len(op["inputs"]) == 2:
        return f"{inside(0)} + {_giver(op['inputs'][1], modules)}"
    attributes = op.get("attributes", {})
    if "weight" in op.get("weights", {}) and len(op["weights"]["weight"]["shape"]) == 4:
        sides = op["weights"]["weight"]["shape"][2:]
        text = f"{'upconv' if kind == 'conv_transpose2d' else 'conv'} {_sides(sides)}"
        return f"bn({text})" if op.get("folded") else text
    if kind in ("max_pool2d", "avg_pool2d"):
        return f"{'max' if kind == 'max_pool2d' else 'mean'} {_sides(attributes['kernel'])}"
    return kind


def _sides(pair: list[int]) -> str:
    return "×".join(map(str, pair))


def _giver(operation: str, modules: dict[str, Any]) -> str:
    """The module whose result this is; for the input of the network, x."""
    names = sorted((m for m, made in modules.items() if made[-1] == operation), key=_depth)
    return names[0] if names else "x"
