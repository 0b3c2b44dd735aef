"""A family of networks for the network map: every layer, and how it grows with width and size.

Read from live models. Channels and parameters of a layer are polynomials of the network's width,
found from models of a few widths; sizes follow from kernel, stride and padding. With them the page
can work out shapes and costs for any width and size, and the tests hold what it gets against
`backbone.anatomy.layer_table`.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from backbone.anatomy import Op, skips, trace
from backbone.anatomy.graph import steps
from backbone.anatomy.hooks import find_module
from backbone.explorables.map_lines import (
    Piece,
    calls,
    helpers,
    items,
    lines_of,
    made,
    method,
    own_lines,
)
from backbone.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    projection,
)
from backbone.unet import UNetModel, conv_stage, join

RESNETS = {make.__name__: make for make in (ResNet18, ResNet34, ResNet50, ResNet101, ResNet152)}
NETWORKS = {**RESNETS, "UNetModel": UNetModel}
WIDTH = dict.fromkeys(RESNETS, "width") | {"UNetModel": "init_features"}
PROBE = (2, 3)  # widths that are traced
MANY = 1000  # a line's number in the page: MANY · number of its piece + line

Node = dict[str, Any]


def build(name: str, width: int, settings: dict[str, int], device: str = "cpu") -> nn.Module:
    """Build one of the networks, e.g. `ResNet18(width=8, num_classes=10)`."""
    with torch.device(device):
        return NETWORKS[name](**settings, **{WIDTH[name]: width})


@cache
def family(name: str, settings: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """Describe all networks that a map can switch between: the five ResNets, or the U-Net.

    Returns:
        pieces: the source, as a list of {"name", "where", "code"};
        parts: blocks that several networks share;
        networks: for each its pieces and its steps, a tree of nodes (see `_node`);
        channels: of the image; multiple: what a side must be a multiple of, and `problem`, what the
        model says if it is not, with {n} and {up} for the sides.
    """
    keep = dict(settings)
    return _unet(keep) if name == "UNetModel" else _resnets(keep)


def _resnets(settings: dict[str, int]) -> dict[str, Any]:
    things = [*RESNETS.values(), ResNet, BasicBlock, Bottleneck, projection]
    pieces = [Piece.of(thing) for thing in things]
    at = {piece.name: i for i, piece in enumerate(pieces)}
    network, shortcut = pieces[at["ResNet"]], pieces[at["projection"]]
    parts: list[Node] = []
    networks = {}
    for name in RESNETS:
        live = build(name, PROBE[0], settings, "meta")
        block = type(live.layer1[0])
        own = _shifted(own_lines(network), at["ResNet"])
        inside = _shifted(own_lines(pieces[at[block.__name__]]), at[block.__name__])
        for made_by_it in helpers(pieces[at[block.__name__]])["projection"]:
            inside[made_by_it] |= _everything(shortcut, at["projection"])
        builds = {
            at["ResNet"] * MANY + line
            for called in calls(method(network, "_make_layer"))
            if getattr(called.func, "id", None) == "block"
            for line in lines_of(called)
        } | {at[block.__name__] * MANY}
        steps_ = []
        for node in _short_resnet(block, tuple(settings.items())):
            node = {**node, "lines": sorted(own[node["name"]])}
            if "steps" in node:
                node["lines"] = sorted({*node["lines"], *_everything(pieces[at[name]], at[name])})
                stage = live.get_submodule(node["name"])
                if any(str(other) != str(stage[1]) for other in stage[1:]):
                    raise NotImplementedError(f"{name}.{node['name']}: its blocks differ.")
                node["steps"] = [
                    {"name": str(i), "times": n, "part": _put(parts, _lined(b, inside, builds))}
                    for i, (b, n) in enumerate(zip(node["steps"], (1, len(stage) - 1), strict=True))
                ]
            steps_.append(node)
        order = [name, "ResNet", block.__name__, "projection"]
        networks[name] = {"pieces": [at[n] for n in order], "steps": steps_}
    channels = settings.get("in_channels", 3)
    return _described(pieces, parts, networks, channels) | {"multiple": 1, "problem": ""}


def _unet(settings: dict[str, int]) -> dict[str, Any]:
    pieces = [Piece.of(thing) for thing in (UNetModel, conv_stage, join)]
    own = _shifted(own_lines(pieces[0]), 0)
    stage_lines = _shifted(items(pieces[1].tree), 1)
    for name in helpers(pieces[0])["conv_stage"]:
        own[name] |= _everything(pieces[1], 1)
    for name in own:
        if name.startswith("cat "):
            own[name] |= _everything(pieces[2], 2)
    direct = {name: _shifted(items(node), 0) for name, node in made(pieces[0])}
    tree = [
        _lined(node, direct[node["name"]] or stage_lines, own[node["name"]])
        if "steps" in node
        else {**node, "lines": sorted(own[node["name"]])}
        for node in _tree(lambda width: build("UNetModel", width, settings))
    ]
    networks = {"UNetModel": {"pieces": [0, 1, 2], "steps": tree}}
    multiple, problem = _refusal(build("UNetModel", 1, settings))
    found = _described(pieces, [], networks, settings.get("in_features", 1))
    return found | {"multiple": multiple, "problem": problem}


def _described(
    pieces: Sequence[Piece], parts: list[Node], networks: dict[str, Any], channels: int
) -> dict[str, Any]:
    sources = [
        {"name": p.name, "where": inspect.getmodule(p.thing).__name__, "code": p.code}
        for p in pieces
    ]
    return {"pieces": sources, "parts": parts, "networks": networks, "channels": channels}


@cache
def _short_resnet(block: type[nn.Module], settings: tuple[tuple[str, int], ...]) -> list[Node]:
    """The layers of a ResNet with two blocks a stage; deeper ones repeat the second block."""
    return _tree(lambda width: ResNet(block, [2, 2, 2, 2], width=width, **dict(settings)))


# --- layers and how they grow


@dataclass
class _Probes:
    """One network at several widths: traced at two, its parameters counted at three."""

    ops: list[list[Op]]
    models: list[nn.Module]  # of widths 1, 2, 3

    def channels(self, i: int) -> list[int]:
        """Channels that operation i puts out, as [a, b] of a + b · width."""
        low, high = (run[i].shape[1] for run in self.ops)
        b = (high - low) // (PROBE[1] - PROBE[0])
        return [low - b * PROBE[0], b]

    def parameters(self, module: str) -> list[int]:
        """Parameters of a module, as [a, b, c] of a + b · width + c · width²."""
        one, two, three = (
            sum(p.numel() for p in find_module(m, module).parameters()) for m in self.models
        )
        c = (three - 2 * two + one) // 2
        b = two - one - 3 * c
        return [one - b - c, b, c]


def _tree(make: Callable[[int], nn.Module]) -> list[Node]:
    """List the steps of a network as a tree: stages, their blocks, the layers inside."""
    size = 64
    channels = next(make(1).parameters()).shape[1]
    probes = _Probes(
        [trace(make(width), (1, channels, size, size)) for width in PROBE],
        [make(width) for width in (1, 2, 3)],
    )
    ops = probes.ops[0]
    number = {op.name: i for i, op in enumerate(ops)}
    met = {skip.at: skip for skip in skips(ops)}
    root: Node = {"steps": []}
    for found, group in steps(ops[1:], 3):
        last = group[-1]
        if found:
            path = found.split(".")
        elif last.kind == "cat":
            path = [f"cat {met[last.name].name}"]
        else:
            path = [*filter(None, last.module.split(".")), last.kind]
        parent = root
        for depth, part in enumerate(path[:-1], start=1):
            inside = parent["steps"]
            if not inside or inside[-1]["name"] != part:
                module = find_module(probes.models[0], ".".join(path[:depth]))
                inside.append({"name": part, "kind": type(module).__name__, "steps": []})
            parent = inside[-1]
        node = _node(probes, group, number)
        entry = met[last.name].entry if last.name in met else None
        if last.kind == "add" and any(op.name == entry for op in ops):
            for other in parent["steps"]:  # what stands on the shortcut starts from the block's x
                if other["last"] == entry and other["name"] != parent["steps"][-2]["name"]:
                    other["side"] = 1
        kind = type(find_module(probes.models[0], found)).__name__ if found else last.kind
        parent["steps"].append({"name": path[-1], "kind": kind, **node})
    return [_clean(node) for node in root["steps"]]


def _node(probes: _Probes, group: Sequence[Op], number: dict[str, int]) -> Node:
    """Describe operations that are shown as one.

    out: channels, `_Probes.channels`; per: parameters that work once for each place of the output,
    once: those that work once; size: [kernel, stride, padding, transposed] or [] for 1×1;
    flat: no height and width any more.
    """
    node: Node = {"out": probes.channels(number[group[-1].name]), "last": group[-1].name}
    cost = {"per": [0, 0, 0], "once": [0, 0, 0]}
    for module in dict.fromkeys(op.module for op in group if op.module):
        layer = find_module(probes.models[0], module)
        if any(True for _ in layer.children()):
            continue  # the block an addition belongs to
        # As torchinfo counts: a convolution uses each weight at every place, other layers once.
        key = "per" if "Conv" in type(layer).__name__ else "once"
        grown = probes.parameters(module)
        cost[key] = [a + b for a, b in zip(cost[key], grown, strict=True)]
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.MaxPool2d):
            k, s, p = (_side(getattr(layer, n)) for n in ("kernel_size", "stride", "padding"))
            size = [k, s, p, int(isinstance(layer, nn.ConvTranspose2d))]
            if size[:3] != [2 * p + 1, 1, p]:  # otherwise the size stays
                node["size"] = size
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            node["size"] = []
    node |= {key: grown for key, grown in cost.items() if any(grown)}
    if len(group[-1].shape) == 2:
        node["flat"] = 1
    return node


def _side(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def _clean(node: Node) -> Node:
    """Drop what only the building needed."""
    if "steps" in node:
        return {**node, "steps": [_clean(inner) for inner in node["steps"]]}
    return {key: value for key, value in node.items() if key != "last"}


# --- lines of source


def _shifted(lines: dict[str, set[int]], piece: int) -> dict[str, set[int]]:
    """Lines of a piece, by their numbers in the page."""
    found: dict[str, set[int]] = defaultdict(set)
    for name, numbers in lines.items():
        found[name] |= {MANY * piece + number for number in numbers}
    return found


def _everything(piece: Piece, number: int) -> set[int]:
    return {MANY * number + line for line in lines_of(piece.tree.body[0])}


def _lined(node: Node, inside: dict[str, set[int]], own: set[int]) -> Node:
    """A block or stage with its lines, and those of each step in it."""
    steps_ = [{**step, "lines": sorted(inside[step["name"]])} for step in node["steps"]]
    return {**node, "steps": steps_, "lines": sorted(own)}


def _put(parts: list[Node], node: Node) -> int:
    """Where a block is among the parts; its name there does not matter."""
    node = {key: value for key, value in node.items() if key != "name"}
    if node not in parts:
        parts.append(node)
    return parts.index(node)


def _refusal(model: nn.Module) -> tuple[int, str]:
    """What a side must be a multiple of, and what the model itself says if it is not."""
    channels = next(model.parameters()).shape[1]
    multiple, message = 1, ""
    model = model.eval()
    with torch.no_grad():
        for n in range(2, 65):
            try:
                model(torch.zeros(1, channels, n, n))
            except ValueError as error:
                message = str(error)
                continue
            multiple = n
            break
    if not message:
        return 1, ""
    n = multiple - 1
    return multiple, message.replace(f"{n}×{n}", "{n}×{n}").replace(
        f"{multiple}×{multiple}", "{up}×{up}"
    )
