"""Which connections of a program can be cut, and where: the same as `backbone.anatomy.cut`.

`cut` follows a tensor through a running model; here we follow it through the list of operations.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from backbone.anatomy import cuttable
from backbone.anatomy.hooks import SHORTCUTS, find_module
from backbone.explorables.tracing import Traced, base_name


def find_cuts(traced: Traced, made_by: dict[str, str]) -> dict[str, list[tuple[str, int]]]:
    """For every connection that is met: the operations it ends in, and as which of their inputs.

    Args:
        traced: a run of a model.
        made_by: for every node, the step whose result it is, as `translate` gives it.
    """
    cuts = {}
    for name in cuttable(traced.model):
        ends = [end for source in _sources(traced, name) for end in _ends(traced, made_by, *source)]
        if ends:
            cuts[name] = list(dict.fromkeys(ends))
    return cuts


def _sources(traced: Traced, name: str) -> Iterator[tuple[str, str]]:
    """Yield (node a connection starts from, module it stays inside) for each call of its module."""
    module = find_module(traced.model, name)
    calls = traced.calls.get(name, [])
    if not any(hasattr(module, s) for s in SHORTCUTS):  # a U-Net stage: its output skips
        yield from ((call.made, "") for call in calls)
        return
    projections = [s for s in SHORTCUTS if getattr(module, s, None) is not None]
    if projections:  # a block whose shortcut is a module: its output skips
        calls = traced.calls.get(".".join(filter(None, (name, projections[0]))), [])
        yield from ((call.made, name) for call in calls)
    else:  # a block whose shortcut is the identity: its input skips
        yield from ((call.given, name) for call in calls)


def _ends(
    traced: Traced, made_by: dict[str, str], source: str, inside: str
) -> Iterator[tuple[str, int]]:
    """Follow a value to every addition and concatenation it enters, inside a module."""

    def is_it(node: object) -> bool:
        return isinstance(node, Node) and made_by.get(node.name) == at

    at = made_by[source]
    started = source == traced.nodes[0].name
    for node in traced.nodes:
        started = started or node.name == source
        if not started or node.op != "call_function":
            continue
        if inside and inside not in traced.around(node):
            continue
        kind = base_name(node)
        if kind == "slice" and is_it(node.args[0]):
            at = made_by[node.name]  # the paper's U-Net crops its skips on the way
        operands = node.args[0] if kind == "cat" else node.args if kind == "add" else ()
        yield from ((made_by[node.name], i) for i, n in enumerate(operands) if is_it(n))
