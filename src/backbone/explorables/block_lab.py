"""Block lab: one residual block, its shortcut decision, its errors and its cost."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

import torch
import traitlets
from torch import nn

from backbone.anatomy import show_source, trace
from backbone.anatomy.hooks import find_module
from backbone.explorables.figure import Explorable
from backbone.resnet import BasicBlock, Bottleneck, projection

BLOCKS = {block.__name__: block for block in (BasicBlock, Bottleneck)}
OTHER = {"BasicBlock": "Bottleneck", "Bottleneck": "BasicBlock"}
MOST = {"in_planes": 2048, "planes": 2048, "stride": 2, "size": 224}


class BlockLab(Explorable):
    """Choose a block's kind, channels and stride; see both paths, and force what cannot work.

    Traits:
        block: "BasicBlock" or "Bottleneck".
        in_planes, planes: its first two arguments, 1 to 2048.
        stride: 1 or 2.
        size: height and width of its input, 1 to 224.
        forced: whether the shortcut is the identity even where the block would project.

    `module()` and `other()` give the blocks that are compared, `error()` what PyTorch says.
    """

    view = "block-lab"

    block = traitlets.Enum(list(BLOCKS), default_value="BasicBlock").tag(sync=True)
    in_planes = traitlets.Int(64).tag(sync=True)
    planes = traitlets.Int(64).tag(sync=True)
    stride = traitlets.Int(1).tag(sync=True)
    size = traitlets.Int(56).tag(sync=True)
    forced = traitlets.Bool(False).tag(sync=True)
    kinds = traitlets.Dict(read_only=True).tag(sync=True)
    decision = traitlets.Dict(read_only=True).tag(sync=True)
    errors = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self, block: str = "BasicBlock", **traits: Any) -> None:  # noqa: ANN401
        """Take a first setting; the reader changes it.

        Args:
            block: see Traits.
            traits: in_planes, planes, stride, size, forced, language.

        Raises:
            TraitError: a trait is not possible.
        """
        self.set_trait("kinds", {name: _describe(kind) for name, kind in BLOCKS.items()})
        self.set_trait("decision", _decision())
        self.set_trait("errors", _errors())
        super().__init__(block=block, **traits)

    @traitlets.validate("in_planes", "planes", "stride", "size")
    def _possible(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        if not 1 <= value <= MOST[name]:
            raise traitlets.TraitError(
                f"{name} must be a whole number from 1 to {MOST[name]}, got {value}."
            )
        return value

    def module(self) -> nn.Module:
        """Return the block of the current setting, with new random weights."""
        block = BLOCKS[self.block](self.in_planes, self.planes, self.stride)
        if self.forced:
            block.downsample = None
        return block

    def other(self) -> nn.Module:
        """Return the block of the other kind with the same input and output.

        Where a Bottleneck cannot have as many channels, because they are no multiple of 4, it has
        the next smaller number (at least 4).
        """
        kind = BLOCKS[OTHER[self.block]]
        out = self.planes * BLOCKS[self.block].expansion
        return kind(self.in_planes, max(1, out // kind.expansion), self.stride)

    def error(self) -> str | None:
        """Run the current block on zeros; return the error that PyTorch gives, None if it runs."""
        try:
            with torch.no_grad():
                self.module().eval()(torch.zeros(1, self.in_planes, self.size, self.size))
        except RuntimeError as error:
            return str(error)
        return None


@cache
def _describe(kind: type[nn.Module]) -> dict[str, Any]:
    """List the steps of a block.

    Channels are [a, b] for a · in_planes + b · planes, found from two blocks. A convolution has a
    kernel, and `strided` if it takes the block's stride; `side` marks what stands on the shortcut.
    """
    ins, planes, stride = (5, 6), 7, 3
    blocks = [kind(n, planes, stride) for n in ins]
    runs = [trace(b, (1, n, 9, 9)) for b, n in zip(blocks, ins, strict=True)]

    def grows(low: int, high: int) -> list[int]:
        a = high - low
        return [a, (low - a * ins[0]) // planes]

    steps = []
    for low, high in zip(*runs, strict=True):
        if low.kind == "input":
            continue
        step: dict[str, Any] = {"name": low.module or low.kind, "kind": low.kind}
        step["out"] = grows(low.shape[1], high.shape[1])
        if low.module:
            layers = [find_module(b, low.module) for b in blocks]
            step["kind"] = type(layers[0]).__name__
            if isinstance(layers[0], nn.Conv2d):
                step["in"] = grows(*(layer.in_channels for layer in layers))
                step["kernel"] = layers[0].kernel_size[0]
                step["strided"] = layers[0].stride[0] == stride
        step["side"] = low.module.startswith("downsample")
        steps.append(step)
    return {"expansion": kind.expansion, "steps": steps}


@cache
def _decision() -> dict[str, Any]:
    """Show the function that decides, and say which of its lines is taken when."""
    code = show_source(projection).code
    function = ast.parse(code).body[0]
    (test,) = (node for node in function.body if isinstance(node, ast.If))
    taken = {"identity": test.body[0], "projection": function.body[-1]}
    lines = {name: [node.lineno - 1, node.end_lineno - 1] for name, node in taken.items()}
    return {"code": code, **lines}


@cache
def _errors() -> dict[str, str]:
    """Ask PyTorch how it complains about an addition, with places for the numbers."""
    differ = _complaint((1, 1, 1, 101), (1, 1, 1, 103))
    smaller = _complaint((1, 7, 1, 1), (1, 7, 2, 2))
    return {
        "differ": differ.replace("101", "{a}").replace("103", "{b}").replace("3", "{dim}"),
        "smaller": smaller.replace("[1, 7, 1, 1]", "{a}").replace("[1, 7, 2, 2]", "{b}"),
    }


def _complaint(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    out = torch.zeros(a)
    try:
        out += torch.zeros(b)  # as the blocks do
    except RuntimeError as error:
        return str(error)
    raise AssertionError(f"PyTorch adds {b} to {a}.")
