"""Fit a checkpoint in torchvision's layout into one of our ResNets, or say why it does not fit.

Everything is checked before the first weight changes, so a refusal leaves the model as it was.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from backbone.resnet import ResNet
from backbone.weights.reading import CHECKPOINTS, download, read_checkpoint, unwrap

logger = logging.getLogger("backbone.weights")

# (block, blocks per stage) → the network. [3, 4, 6, 3] appears twice: the block decides.
DEPTHS = {
    ("BasicBlock", (2, 2, 2, 2)): "ResNet18",
    ("BasicBlock", (3, 4, 6, 3)): "ResNet34",
    ("Bottleneck", (3, 4, 6, 3)): "ResNet50",
    ("Bottleneck", (3, 4, 23, 3)): "ResNet101",
    ("Bottleneck", (3, 8, 36, 3)): "ResNet152",
}


@dataclass(frozen=True)
class LoadReport:
    """What `load_torchvision` did; prints as a sentence or two."""

    source: str
    network: str  # such as "ResNet18 (BasicBlock, [2, 2, 2, 2] blocks per stage)"
    parameters: int  # how many were read from the checkpoint
    kept: tuple[str, ...]  # tensors the model keeps as they were
    notes: tuple[str, ...]  # what you should know before you trust the output

    def __str__(self) -> str:
        """Return the report as text, one statement a line."""
        kept = f"Kept as they were: {', '.join(self.kept)}." if self.kept else "Nothing left over."
        done = (
            f"{self.network}: {self.parameters:,} parameters and their batch-norm statistics "
            f"loaded from {self.source}. {kept}"
        )
        return "\n".join([done, *self.notes])

    __repr__ = __str__


def load_torchvision(
    model: ResNet, source: str | Path | Mapping[str, Tensor], progress: bool = True
) -> LoadReport:
    """Load weights in torchvision's layout into `model`, all of them or none.

    Args:
        model: one of our ResNets; its weights are replaced, its mode and device are not.
        source: "resnet18" … "resnet152" for torchvision's ImageNet weights (44 to 230 MB,
            downloaded once and kept by torch.hub), the path of a file, or a state_dict.
        progress: show a bar while downloading.

    Returns:
        A report. Two layers may differ from the checkpoint's, because they touch the task and not
        the network: with another number of classes `fc` keeps its own values, with another
        number of image channels `conv1` does. The report says so, and so does a logged warning.

    Raises:
        TypeError: not a ResNet, or the source holds no named tensors.
        ValueError: another depth, width or naming; a damaged file; an unknown name.
        FileNotFoundError: no such file.
        DownloadError (a ConnectionError): no connection.
    """
    if not isinstance(model, ResNet):
        raise TypeError(
            f"load_torchvision needs a backbone.resnet.ResNet, got {type(model).__name__}. "
            "For a network that contains one, pass the ResNet inside it."
        )
    own = model.state_dict()
    state, label = _resolve(source, own, progress)
    _check_names(state)
    _check_depth(state, own)
    state = _fill_counters(state, own)
    _check_keys(state, own)
    kept, notes = _keep_task_layers(state, own)
    _check_shapes(state, own, kept)
    notes += _stride_notes(model)

    loaded = {name: value for name, value in state.items() if name not in kept}
    model.load_state_dict({**loaded, **{name: own[name] for name in kept}}, strict=True)

    for note in notes:
        logger.warning(note)
    count = sum(value.numel() for name, value in model.named_parameters() if name in loaded)
    return LoadReport(label, _describe(own), count, tuple(kept), tuple(notes))


def _resolve(
    source: str | Path | Mapping[str, Tensor], own: Mapping[str, Tensor], progress: bool
) -> tuple[dict[str, Tensor], str]:
    """Return the checkpoint's weights and what to call it."""
    if isinstance(source, Mapping):
        return unwrap(source), "a state_dict"
    if isinstance(source, str) and source.lower() in CHECKPOINTS:
        name = source.lower()
        # Said before, not after, a long download.
        if DEPTHS.get(_anatomy(own), "").lower() != name:
            raise _wrong_depth(f"{name!r} is a checkpoint of another depth", own)
        if len(own["conv1.weight"]) != 64:
            raise _wrong_width(64, len(own["conv1.weight"]))
        return download(name, progress), f"torchvision's {name} (ImageNet)"
    if isinstance(source, str) and re.fullmatch(r"\w+", source) and not Path(source).exists():
        raise ValueError(
            f"{source!r} is neither a known checkpoint nor a file. Known: "
            f"{', '.join(CHECKPOINTS)}; or give a path such as 'weights/{source}.pth'."
        )
    if isinstance(source, (str, Path)):
        return read_checkpoint(source), str(source)
    raise TypeError(
        f"source must be a name such as 'resnet18', a path or a state_dict; got "
        f"{type(source).__name__}. For a model pass model.state_dict()."
    )


def _anatomy(state: Mapping[str, Tensor]) -> tuple[str, tuple[int, ...]]:
    """Read the kind of block and the number of blocks per stage off the names of the weights."""
    blocks: dict[int, set[str]] = {}
    for name in state:
        if match := re.match(r"layer(\d+)\.(\d+)\.", name):
            blocks.setdefault(int(match[1]), set()).add(match[2])
    kind = "Bottleneck" if "layer1.0.conv3.weight" in state else "BasicBlock"
    return kind, tuple(len(blocks[stage]) for stage in sorted(blocks))


def _describe(state: Mapping[str, Tensor]) -> str:
    """Return e.g. "ResNet18 (BasicBlock, [2, 2, 2, 2] blocks per stage)"."""
    kind, counts = _anatomy(state)
    name = DEPTHS.get((kind, counts), "a ResNet of no usual depth")
    return f"{name} ({kind}, {list(counts)} blocks per stage)"


def _wrong_depth(checkpoint: str, own: Mapping[str, Tensor]) -> ValueError:
    fits = DEPTHS.get(_anatomy(own))
    remedy = f'load "{fits.lower()}"' if fits else "load a checkpoint of that very network"
    return ValueError(
        f"{checkpoint}, but the model is {_describe(own)}. Build the network the checkpoint "
        f"belongs to, or {remedy}. The model was not changed."
    )


def _wrong_width(theirs: int, ours: int) -> ValueError:
    return ValueError(
        f"The checkpoint's network has width={theirs}, the model width={ours}, so the weights have "
        f"other shapes throughout. Build the network with width={theirs}. "
        "The model was not changed."
    )


def _check_names(state: Mapping[str, Tensor]) -> None:
    """Recognise the other naming in use, and weights that are no ResNet's."""
    other = [
        name for name in state if "shortcut" in name.split(".") or name.split(".")[0] == "linear"
    ]
    if other:
        raise ValueError(
            f"The checkpoint names its parts differently: {other[0]!r} (and {len(other) - 1} more) "
            "where torchvision and this book say 'downsample' and 'fc'. The weights may well be "
            "right, the names need translating: that is the exercise 'Convert a checkpoint' in "
            "the chapter resnet-implementation. The model was not changed."
        )
    if not _anatomy(state)[1]:
        raise ValueError(
            "This is not a ResNet's checkpoint: no name in it starts with 'layer1.'; it begins "
            f"with {', '.join(list(state)[:3])}. The model was not changed."
        )


def _check_depth(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    if _anatomy(state) != _anatomy(own):
        raise _wrong_depth(f"The checkpoint looks like {_describe(state)}", own)


def _fill_counters(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add batch-norm's step counters, which old checkpoints lack; no output depends on them."""
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    return {**counters, **state}


def _check_keys(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        raise ValueError(
            "The checkpoint does not have the model's layers. "
            f"Missing from it: {_some(missing)}. Unknown to the model: {_some(unexpected)}. "
            "The model was not changed."
        )


def _keep_task_layers(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[list[str], list[str]]:
    """Return the tensors that follow the task, where they differ, and a sentence about each."""
    kept, notes = [], []
    theirs, ours = state["fc.weight"].shape, own["fc.weight"].shape
    if len(theirs) == 2 and theirs[0] != ours[0] and theirs[1] == ours[1]:
        kept += ["fc.weight", "fc.bias"]
        notes.append(
            f"The checkpoint tells {theirs[0]} classes apart and the model {ours[0]}: fc keeps "
            "the values it had. Train it before you trust the answers, or build the network with "
            f"num_classes={theirs[0]}."
        )
    theirs, ours = state["conv1.weight"].shape, own["conv1.weight"].shape
    if len(theirs) == 4 and theirs[1] != ours[1] and theirs[:1] + theirs[2:] == ours[:1] + ours[2:]:
        kept.append("conv1.weight")
        notes.append(
            f"The checkpoint reads images of {theirs[1]} channels and the model {ours[1]}: conv1 "
            "keeps the values it had, and what follows was trained on another one's output, so "
            f"train before use. Or build the network with in_channels={theirs[1]}; a grey image "
            "becomes a colour image with x.expand(-1, 3, -1, -1)."
        )
    return kept, notes


def _check_shapes(state: Mapping[str, Tensor], own: Mapping[str, Tensor], kept: list[str]) -> None:
    wrong = [name for name in own if name not in kept and state[name].shape != own[name].shape]
    if not wrong:
        return
    if len(state["conv1.weight"]) != len(own["conv1.weight"]):
        raise _wrong_width(len(state["conv1.weight"]), len(own["conv1.weight"]))
    first = wrong[0]
    raise ValueError(
        f"Checkpoint and model differ in the shapes of {len(wrong)} of {len(own)} tensors: "
        f"{first} {tuple(state[first].shape)} there, {tuple(own[first].shape)} here. The depth is "
        "the same, so it may be a variant such as ResNeXt or Wide ResNet, which this network is "
        "not. The model was not changed."
    )


def _stride_notes(model: ResNet) -> list[str]:
    """Weights carry no strides: say when they were trained with others than the model has."""
    block = model.layer2[0]
    if hasattr(block, "conv3") and block.conv1.stride != (1, 1):
        return [
            f"{type(block).__name__} has its stride on the 1×1 convolution, torchvision's weights "
            "were trained with it on the 3×3: every shape fits, yet the output is not the one "
            "they were trained for."
        ]
    return []


def _some(names: list[str], limit: int = 3) -> str:
    """Name the first few, count the rest."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "nothing") + rest
