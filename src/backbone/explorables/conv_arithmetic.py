"""Convolution arithmetic: which sizes come out, and which input pixels an output pixel sees."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, ClassVar

import traitlets
from torch import nn

from backbone.anatomy import receptive_field, trace
from backbone.explorables.figure import Explorable
from backbone.unet import UNetModel
from backbone.variants import PaperUNet

TABS = ("layer", "stack", "unet")
# What the sliders offer: (least, most).
RANGES = {
    "size": (1, 12),
    "kernel": (1, 7),
    "stride": (1, 4),
    "padding": (0, 3),
    "dilation": (1, 3),
    "layers": (1, 6),
    "side": (1, 4096),
}


def _within(name: str, default: int) -> traitlets.Int:
    least, most = RANGES[name]
    return traitlets.Int(default, min=least, max=most).tag(sync=True)


class ConvArithmetic(Explorable):
    """One convolution, a stack of them, and the paper's U-Net, in sizes and pixels.

    Traits:
        tab: "layer" (one convolution), "stack" (several alike), "unet" (572 → 388).
        size, kernel, stride, padding, dilation: of the convolution, the same in both directions.
        transposed: whether it is a transposed convolution.
        place: row and column of the chosen output pixel, from 0.
        layers: how many of them are stacked.
        side: of the image that the U-Nets are given.
        guesses: what the reader predicted, by tab; None where they only looked.
        networks: the operations of the paper's U-Net and of the padded one, traced from the models.
        sees: how many pixels in a row one value at the end of an encoder stage depends on. (In the
            decoder that differs from place to place.)
    """

    view: ClassVar[str] = "conv-arithmetic"

    tab = traitlets.Enum(TABS, default_value="layer").tag(sync=True)
    size = _within("size", 8)
    kernel = _within("kernel", 3)
    stride = _within("stride", 2)
    padding = _within("padding", 0)
    dilation = _within("dilation", 1)
    transposed = traitlets.Bool(False).tag(sync=True)
    place = traitlets.List(traitlets.Int(min=0), default_value=[0, 0], minlen=2, maxlen=2).tag(
        sync=True
    )
    layers = _within("layers", 3)
    side = _within("side", 572)
    guesses = traitlets.Dict().tag(sync=True)
    ranges = traitlets.Dict(RANGES, read_only=True).tag(sync=True)
    networks = traitlets.Dict(read_only=True).tag(sync=True)
    sees = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self, **traits: Any) -> None:  # noqa: ANN401
        """Take any of the traits.

        Raises:
            TraitError: one of them has no such value.
        """
        networks, sees = _read_from_the_models()
        self.set_trait("networks", copy.deepcopy(networks))
        self.set_trait("sees", dict(sees))
        super().__init__(**traits)


@cache
def _read_from_the_models() -> tuple[dict[str, list[list[Any]]], dict[str, int]]:
    paper, padded = PaperUNet(init_features=1), UNetModel(init_features=1)
    networks = {"paper": steps(paper, 572), "padded": steps(padded, 576)}
    stages = [*(f"encode_layer{i}" for i in (1, 2, 3, 4)), "encode_decode_layer"]
    fields = [receptive_field(padded, name, (1, 1, 576, 576)) for name in stages]
    return networks, {field.layer: field.size[0] for field in fields}


def steps(net: nn.Module, side: int) -> list[list[Any]]:
    """List what changes sizes in a U-Net, in order, as the figure's walk needs it.

    Each step is [module, kind, kernel, stride, padding]; kind is "conv", "pool", "up" or "join".
    A join has [module, "join", n] instead: it adds what left step n, from 0.
    """
    kinds = {"conv2d": "conv", "max_pool2d": "pool", "conv_transpose2d": "up"}
    found: list[list[Any]] = []
    left: dict[str, int] = {}  # the step whose maps an operation hands on
    for op in trace(net, (1, 1, side, side)):
        if op.kind in kinds:
            module = net.get_submodule(op.module)
            sizes = (module.kernel_size, module.stride, module.padding)
            one = [n[0] if isinstance(n, tuple) else n for n in sizes]
            found.append([op.module.partition(".")[0], kinds[op.kind], *one])
            left[op.name] = len(found) - 1
        elif op.kind == "cat":
            stage = found[-1][0].replace("upconv", "decode_layer")
            found.append([stage, "join", min(left[name] for name in op.inputs)])
            left[op.name] = len(found) - 1
        elif op.inputs:  # batch norms, ReLUs, crops: they hand on what they got
            left[op.name] = left.get(op.inputs[0], -1)
    return found
