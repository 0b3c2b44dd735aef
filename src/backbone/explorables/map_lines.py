"""Which lines of a model's source make which of its modules: read from the source with `ast`.

Nothing is typed in. `self.conv1 = …` makes conv1, `self.conv1(x)` runs it, and where it is made by
a helper (`self._make_layer(…)`, `projection(…)`), the helper's lines make it too.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType

from backbone.anatomy import show_source

Lines = dict[str, set[int]]  # name → numbers of lines, from 0


@dataclass(frozen=True)
class Piece:
    """The source of one class or function, without its docstrings."""

    thing: type | FunctionType
    code: str
    tree: ast.Module

    @classmethod
    def of(cls, thing: type | FunctionType) -> Piece:
        """Take the source as Python has it loaded."""
        code = show_source(thing).code
        return cls(thing, code, ast.parse(code))

    @property
    def name(self) -> str:
        """What it is called: "ResNet"."""
        return self.thing.__name__


def method(piece: Piece, name: str) -> ast.FunctionDef:
    """Return a method of a class; as in Python, asking for one it lacks is an error."""
    found = (node for node in piece.tree.body[0].body if isinstance(node, ast.FunctionDef))
    return next(node for node in found if node.name == name)


def lines_of(node: ast.AST) -> set[int]:
    """Return the lines a node covers, from 0."""
    return set(range(node.lineno - 1, node.end_lineno))


def made(piece: Piece) -> Iterator[tuple[str, ast.Assign]]:
    """Yield every attribute that the constructor of a class sets, with its assignment."""
    for node in ast.walk(method(piece, "__init__")):
        if isinstance(node, ast.Assign) and (name := of_self(node.targets[0])):
            yield name, node


def own_lines(piece: Piece) -> Lines:
    """Say which lines of a class make or run which of its parts.

    Modules go by their attribute. Steps that are no module: "add", "flatten", and "cat NAME" for
    the maps of the stage NAME joined by `join`.
    """
    found: Lines = defaultdict(set)
    for name, node in made(piece):
        found[name] |= lines_of(node)
        for called in calls(node.value):
            if helper := of_self(called.func):
                found[name] |= lines_of(method(piece, helper))
    came_from: dict[str, str] = {}  # variable of `forward` → the module that made it
    for node in ast.walk(method(piece, "forward")):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            came_from[node.targets[0].id] = of_self(node.value.func) or ""
    for node in ast.walk(method(piece, "forward")):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            found["add"] |= lines_of(node) | _assigned(piece, node.value.id)
        if not isinstance(node, ast.Call):
            continue
        if (name := of_self(node.func)) in found:
            found[name] |= lines_of(node.func)
        elif isinstance(node.func, ast.Name) and node.func.id == "join":
            found[f"cat {came_from[node.args[1].id]}"] |= lines_of(node.func)
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "flatten":
            found["flatten"] |= lines_of(node.func)
    return found


def helpers(piece: Piece) -> dict[str, set[str]]:
    """Say by which plain functions parts of a class are made: {"projection": {"downsample"}}."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, node in made(piece):
        for called in calls(node.value):
            if isinstance(called.func, ast.Name):
                found[called.func.id].add(name)
    return found


def items(node: ast.AST) -> Lines:
    """Say which lines make which item of the `nn.Sequential(…)` inside a node: {"0": …, "1": …}."""
    for called in calls(node):
        if isinstance(called.func, ast.Attribute) and called.func.attr == "Sequential":
            return {str(i): lines_of(item) for i, item in enumerate(called.args)}
    return {}


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """Yield every call inside a node."""
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def of_self(node: ast.AST) -> str | None:
    """Return X if a node is `self.X`."""
    own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return node.attr if own and node.value.id == "self" else None


def _assigned(piece: Piece, variable: str) -> set[int]:
    """Lines of `forward` that assign a variable."""
    found: set[int] = set()
    for node in ast.walk(method(piece, "forward")):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == variable:
            found |= lines_of(node)
    return found
