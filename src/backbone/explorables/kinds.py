"""The kinds of operation the engine knows, and what each needs of PyTorch's arguments.

Every function here reads the arguments of one of PyTorch's operations, by name, and gives our own
attributes, as plain JSON. Shapes and axes leave out the batch: the engine runs one image at a time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from torch.fx import Node

Arguments = dict[str, Any]
END = 2**63 - 1  # what x[2:] becomes: until the end, however far


class Unsupported(ValueError):
    """An operation, or a variant of one, that the engine in the page cannot run."""


def pair(value: int | list[int]) -> list[int]:
    """3 → [3, 3]; [3] → [3, 3]."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * 2 if len(values) == 1 else values


def rank(node: Node) -> int:
    """Number of dimensions of what a node gives, batch included."""
    return node.meta["val"].dim()


def conv2d(a: Arguments) -> dict[str, Any]:
    """Attributes of a convolution; padding "same" becomes a number."""
    kernel, dilation = a["weight"].meta["val"].shape[2:], pair(a["dilation"])
    padding = a["padding"]
    if padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(r % 2 for r in reach):
            raise Unsupported('padding="same" with an even kernel pads one side more')
        padding = [r // 2 for r in reach]
    return {
        "stride": pair(a["stride"]),
        "padding": [0, 0] if padding == "valid" else pair(padding),
        "dilation": dilation,
        "groups": a["groups"],
    }


def conv_transpose2d(a: Arguments) -> dict[str, Any]:
    """Attributes of a transposed convolution."""
    pairs = ("stride", "padding", "output_padding", "dilation")
    return {name: pair(a[name]) for name in pairs} | {"groups": a["groups"]}


def batch_norm(a: Arguments) -> dict[str, Any]:
    """Batch norm in evaluation mode becomes scale and shift; needs running statistics."""
    if a["training"] or a["running_mean"] is None:
        raise Unsupported(
            "it uses the statistics of the batch at hand, and a page has no batch; it needs "
            "track_running_stats=True"
        )
    return {}


def max_pool2d(a: Arguments) -> dict[str, Any]:
    """Attributes of max pooling; PyTorch's empty stride means the kernel's size."""
    pairs = {name: pair(a[name]) for name in ("padding", "dilation")}
    return _window(a) | pairs | {"ceil": a["ceil_mode"]}


def avg_pool2d(a: Arguments) -> dict[str, Any]:
    """Attributes of average pooling."""
    if a["divisor_override"] is not None:
        raise Unsupported("divisor_override")
    extra = {"padding": pair(a["padding"]), "count_padding": a["count_include_pad"]}
    return _window(a) | extra | {"ceil": a["ceil_mode"]}


def adaptive_avg_pool2d(a: Arguments) -> dict[str, Any]:
    """Attributes of pooling to a fixed size."""
    return {"size": pair(a["output_size"])}


def mean(a: Arguments) -> dict[str, Any]:
    """Mean over height and width, nothing else."""
    dims = sorted(d % rank(a["self"]) for d in a["dim"] or [])
    if rank(a["self"]) != 4 or dims != [2, 3]:
        raise Unsupported(f"a mean over dimensions {dims}: only over height and width, (2, 3)")
    return {"keep": a["keepdim"]}


def view(a: Arguments, node: Node) -> dict[str, Any]:
    """Say each new dimension as a product of old ones, so that it holds for other sizes too.

    (C, H, W) → (C·H·W) is [[0, 1, 2]]; (C) → (C, 1, 1) is [[0], [], []].
    """
    old, new = a["self"].meta["val"].shape[1:], node.meta["val"].shape[1:]
    groups, at = [], 0
    for size in new:
        take = _how_many(old[at:], size)
        if take is None:
            raise Unsupported(f"(N, {', '.join(map(str, old))}) → (N, {', '.join(map(str, new))})")
        groups.append(list(range(at, at + take)))
        at += take
    if groups:
        groups[-1] += range(at, len(old))  # only ones are left
    return {"groups": groups}


def _how_many(sides: Sequence[int], size: int) -> int | None:
    """Of how many of the next sides a new side of `size` is the product."""
    if size == 1:
        return 1 if sides and sides[0] == 1 else 0
    products = list(accumulate(sides, operator.mul))
    return products.index(size) + 1 if size in products else None


def channels_only(a: Arguments) -> dict[str, Any]:
    """Softmax and concatenation work along the channels."""
    first = a.get("self", a.get("tensors"))
    dim = a["dim"] % rank(first[0] if isinstance(first, (list, tuple)) else first)
    if dim != 1:
        raise Unsupported(f"along dimension {dim}: only along the channels, dimension 1")
    return {}


def arithmetic(a: Arguments) -> dict[str, Any]:
    """Two maps, or maps and a number."""
    if a.get("alpha", 1) != 1 or a.get("rounding_mode") is not None:
        raise Unsupported("alpha and rounding_mode")
    return {} if isinstance(a["other"], Node) else {"value": float(a["other"])}


def part(a: Arguments) -> dict[str, Any]:
    """Attributes of x[:, :, start:stop:step], counted without the batch; None is the end."""
    axis = a["dim"] % rank(a["self"]) - 1
    if axis < 0:
        raise Unsupported("of the batch")
    stop = a["end"] if a["end"] is not None and a["end"] < END else None
    return {"axis": axis, "start": a["start"] or 0, "stop": stop, "step": a["step"]}


def pad(a: Arguments) -> dict[str, Any]:
    """Attributes of a frame of one value; PyTorch lists the last dimension first."""
    if a.get("mode", "constant") != "constant":
        raise Unsupported(f"mode {a['mode']!r}: only with a constant")
    axes = rank(a["self"]) - 1
    ends = list(a["pad"]) + [0] * (2 * axes + 2 - len(a["pad"]))
    if any(ends[2 * axes :]):
        raise Unsupported("of the batch")
    before, after = ends[0 : 2 * axes : 2][::-1], ends[1 : 2 * axes : 2][::-1]
    return {"before": before, "after": after, "value": float(a["value"] or 0)}


def upsample(a: Arguments) -> dict[str, Any]:
    """Attributes of interpolation: to a size, or by a factor."""
    factors = a["scale_factors"]
    size = {"size": list(a["output_size"])} if factors is None else {"factors": list(factors)}
    return size | {"align_corners": bool(a.get("align_corners", False))}


def clamp(a: Arguments) -> dict[str, Any]:
    """Lower and upper limit; None is no limit."""
    return {
        "low": a.get("min", a.get("min_val")),
        "high": a.get("max", a.get("max_val")),
    }


def relu6(a: Arguments) -> dict[str, Any]:
    """A clamp whose limits are in its name."""
    return {"low": 0, "high": 6}


def leaky_relu(a: Arguments) -> dict[str, Any]:
    """Slope on the negative side."""
    return {"slope": a["negative_slope"]}


def elu(a: Arguments) -> dict[str, Any]:
    """Only the plain ELU: alpha."""
    if a["scale"] != 1 or a["input_scale"] != 1:
        raise Unsupported("with a scale (SELU)")
    return {"alpha": float(a["alpha"])}


def plain(a: Arguments) -> dict[str, Any]:
    """No attributes at all."""
    return {}


def _window(a: Arguments) -> dict[str, Any]:
    kernel = pair(a["kernel_size"])
    return {"kernel": kernel, "stride": pair(a["stride"]) if a["stride"] else kernel}


# PyTorch's name → our kind, and how its attributes are read.
KINDS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "conv2d": ("conv2d", conv2d),
    "conv_transpose2d": ("conv_transpose2d", conv_transpose2d),
    "linear": ("linear", plain),
    "batch_norm": ("scale_shift", batch_norm),
    "relu": ("relu", plain),
    "prelu": ("prelu", plain),
    "leaky_relu": ("leaky_relu", leaky_relu),
    "elu": ("elu", elu),
    "hardtanh": ("clamp", clamp),
    "relu6": ("clamp", relu6),
    "clamp": ("clamp", clamp),
    "clamp_min": ("clamp", clamp),
    "sigmoid": ("sigmoid", plain),
    "tanh": ("tanh", plain),
    "silu": ("silu", plain),
    "softmax": ("softmax", channels_only),
    "max_pool2d": ("max_pool2d", max_pool2d),
    "avg_pool2d": ("avg_pool2d", avg_pool2d),
    "adaptive_avg_pool2d": ("adaptive_avg_pool2d", adaptive_avg_pool2d),
    "mean": ("mean", mean),
    "upsample_nearest2d": ("upsample_nearest", upsample),
    "upsample_bilinear2d": ("upsample_bilinear", upsample),
    "add": ("add", arithmetic),
    "sub": ("sub", arithmetic),
    "rsub": ("rsub", arithmetic),
    "mul": ("mul", arithmetic),
    "div": ("div", arithmetic),
    "cat": ("cat", channels_only),
    "slice": ("slice", part),
    "pad": ("pad", pad),
    "constant_pad_nd": ("pad", pad),
    **dict.fromkeys(("view", "reshape", "flatten", "unsqueeze", "squeeze"), ("view", view)),
}
# In evaluation mode these give back what they are given.
NOTHING = {"dropout", "feature_dropout", "alpha_dropout"}
NOTHING |= {"alias", "detach", "clone", "contiguous", "to"}
