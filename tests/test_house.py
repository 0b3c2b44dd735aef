"""Who may import whom: a learner who opens a model finds torch and nothing else of ours.

The rules are read from the source with `ast`, so that imports inside functions count too.
"""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "backbone"
ON_TOP = {"training", "experiments", "explorables", "exercises"}
# What a room may import of ours. Rooms that are not listed here may import any but ON_TOP.
MAY_IMPORT = {
    "checks": set(),
    "record": set(),
    "resnet": {"checks"},
    "unet": {"checks"},
    "variants": {"checks", "resnet", "unet"},
    "resnet_unet": {"checks", "resnet", "unet"},
    "cifar_resnet": {"checks", "resnet", "variants"},
    "tiling": {"anatomy", "checks", "progress", "unet"},
}
MAY_STAND_ON_TOP = {  # these stand above the others
    "training": set(),
    "experiments": ON_TOP,
    "explorables": ON_TOP,
    "exercises": ON_TOP,
}
TORCH_ONLY = {"checks", "resnet", "unet", "variants", "resnet_unet", "cifar_resnet"}
OUTSIDE = {"tools", "tests", "book", "conftest"}


def imports(source: str, module: str) -> set[str]:
    """Full dotted names a module imports: `from a.b import c` counts as a.b.c."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: count the dots up from the package the module is in
                package = module.split(".")[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def rooms_of(names: set[str]) -> set[str]:
    """First part below `backbone` of everything of ours among the names."""
    return {name.split(".")[1] for name in names if name.startswith("backbone.")}


def complaints(module: str, source: str) -> list[str]:
    """Every broken rule of one module, in words. `module` is e.g. "backbone.data.photos"."""
    names = imports(source, module)
    outer = {name.split(".")[0] for name in names}
    said = [
        f"{module} imports {name}, which is not part of the package" for name in outer & OUTSIDE
    ]
    parts = module.split(".")
    if len(parts) < 2 or parts[1] == "__init__":
        return said
    room = parts[1]
    others = rooms_of(names) - {room}
    if room in MAY_IMPORT:
        said += [f"{module} imports backbone.{o}" for o in others - MAY_IMPORT[room]]
    else:
        allowed = MAY_STAND_ON_TOP.get(room, set())
        said += [f"{module} imports backbone.{o}" for o in (others & ON_TOP) - allowed]
    if room in TORCH_ONLY:
        free = {"torch", "backbone", *sys.stdlib_module_names}
        said += [f"{module} imports {name}: torch only" for name in outer - free]
    return said


def modules() -> dict[str, str]:
    """{dotted name: source} of the whole package; a package is called by its `__init__`."""
    found = {}
    for file in sorted(SRC.rglob("*.py")):
        parts = file.relative_to(SRC.parent).with_suffix("").parts
        found[".".join(parts)] = file.read_text("utf-8")
    return found


def test_house_rules():
    house = modules()
    broken = [said for module, source in house.items() for said in complaints(module, source)]
    print(f"{len(house)} modules read")
    assert {"backbone.resnet", "backbone.unet", "backbone.variants"} <= set(house)
    assert not broken, "\n".join(broken)


def test_no_circles_between_rooms():
    graph: dict[str, set[str]] = {}
    for module, source in modules().items():
        room = module.split(".")[1]
        if room != "__init__":
            graph.setdefault(room, set()).update(rooms_of(imports(source, module)) - {room})
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these rooms import each other: {' → '.join(error.args[1])}")
    print(" < ".join(name for name in order if name in graph))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("backbone.resnet", "from backbone.unet import join"),
        ("backbone.resnet", "from .unet import join"),
        ("backbone.unet", "import numpy as np"),
        ("backbone.unet", "def f():\n    import backbone.anatomy"),
        ("backbone.variants", "from backbone import training"),
        ("backbone.anatomy.figures", "from backbone.explorables import lab"),
        ("backbone.anatomy.figures", "from .. import exercises"),
        ("backbone.data.__init__", "from ..training.fit import fit"),
        ("backbone.weights", "import backbone.experiments.degradation"),
        ("backbone.training.fit", "from backbone.exercises import check"),
        ("backbone.exercises.unet", "from tools.cells import read"),
        ("backbone.__init__", "from tests import filling"),
    ],
)
def test_house_rules_notice(module, source):
    said = complaints(module, source)
    print(said)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("backbone.resnet", "import torch\nfrom torch import nn\nfrom collections import abc"),
        ("backbone.variants", "from backbone.resnet import BasicBlock\nfrom .unet import join"),
        (
            "backbone.anatomy.figures",
            "from .style import PALETTE\nfrom backbone.resnet import ResNet",
        ),
        ("backbone.explorables.lab", "from backbone.training import fit\nfrom ..data import photo"),
    ],
)
def test_house_rules_allow(module, source):
    assert complaints(module, source) == []
