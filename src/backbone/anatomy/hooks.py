"""Look into a running model, or cut one of its connections, and leave no trace.

Hooks do the work: small functions that PyTorch calls before or after a module runs. Nothing here
edits a model; when the `with` block ends, also by an exception, the hooks are gone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

SHORTCUTS = ("downsample", "shortcut")  # torchvision's attribute, and the source document's


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Return the module with a dotted name such as "layer2.0.conv1".

    Raises:
        ValueError: there is none; the message lists the names at the place where it went wrong.
    """
    module = model
    for i, part in enumerate(parts := name.split(".") if name else []):
        children = dict(module.named_children())
        if part not in children:
            where = ".".join(parts[:i]) or type(model).__name__
            raise ValueError(
                f"There is no module {name!r} in {type(model).__name__}: "
                f"{where} has {', '.join(children) or 'no modules inside'}."
            )
        module = children[part]
    return module


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode, and put every module's own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def recording(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect what the named layers put out while the `with` block runs.

    Each output is a detached copy, since the ReLUs overwrite their input. A layer that runs several
    times (a block's `relu`) keeps its last output.

    Args:
        model: any module.
        layers: dotted names, as `model.named_modules()` has them.

    Raises:
        ValueError: a name does not exist.
    """
    features: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            features[name] = output.detach().clone()

        return hook

    handles = [(find_module(model, name), keep(name)) for name in _as_names(layers)]
    handles = [module.register_forward_hook(hook) for module, hook in handles]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


def record_features(
    model: nn.Module, x: Tensor, layers: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """Run the model once, in evaluation mode and without gradients; return what layers put out.

    Args:
        model: any module; untouched afterwards (mode, weights, batch-norm statistics).
        x: its input.
        layers: dotted names, such as ["conv1", "layer1.0"]; all top-level modules if None.

    Returns:
        name → feature maps, in the order they were made; (N, C, H, W) for maps.

    Raises:
        ValueError: a name does not exist, or the layer did not run.
    """
    names = [name for name, _ in model.named_children()] if layers is None else _as_names(layers)
    with evaluating(model), torch.no_grad(), recording(model, names) as features:
        model(x)
    silent = [name for name in names if name not in features]
    if silent and layers is not None:
        raise ValueError(f"These layers exist but did not run for this input: {', '.join(silent)}.")
    return features


def cuttable(model: nn.Module) -> list[str]:
    """Name every connection `cut` can cut: residual blocks, and the encoder ends of U-Net skips."""
    blocks = [name for name, m in model.named_modules() if any(hasattr(m, s) for s in SHORTCUTS)]
    stages = [name for name, _ in model.named_children() if name.startswith("encode_layer")]
    return blocks + stages


@contextmanager
def cut(model: nn.Module, *names: str) -> Iterator[nn.Module]:
    """Run the model without some of its skips while the `with` block lasts.

    A residual block gives relu(F(x)) instead of relu(F(x) + x). A U-Net decoder receives zeros
    where the skipped maps of `encode_layer…` would be.

        with cut(model, "layer2.0"):
            y = model(x)

    Args:
        model: a ResNet, a U-Net, or a model with blocks of your own (a block counts when it has an
            attribute `downsample` or `shortcut`); untouched afterwards.
        names: which connections, see `cuttable(model)`; all of them if none is named.

    Raises:
        ValueError: a name is not one of them, or the model has none.
        RuntimeError: the model ran, but a named connection was never met.
    """
    possible = cuttable(model)
    if not possible:
        raise ValueError(f"{type(model).__name__} has no shortcut or skip that could be cut.")
    for name in names:
        if name not in possible:
            raise ValueError(
                f"There is no skip named {name!r} to cut in {type(model).__name__}. "
                f"Choose from {', '.join(n or repr('') for n in possible)}."
            )
    scissors = _Scissors()
    handles = []
    for name in names or possible:
        handles += scissors.watch(name, find_module(model, name))
    ran = []
    handles.append(model.register_forward_hook(lambda *_: ran.append(True)))
    try:
        with scissors:
            yield model
    finally:
        for handle in handles:
            handle.remove()
    missed = [name for name in names or possible if name not in scissors.met]
    if ran and missed:
        raise RuntimeError(
            f"The model ran, but these connections were never met: {', '.join(missed)}. Does the "
            "block add its shortcut with + or +=, and does the model join its skips with torch.cat?"
        )


class _Scissors(TorchFunctionMode):
    """Watches every addition and concatenation, and leaves out the tensors it was told about."""

    ADDITIONS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__)

    def __init__(self) -> None:
        super().__init__()
        self.skipping: dict[str, Tensor] = {}  # name of the connection → what runs along it now
        self.met: set[str] = set()

    def watch(self, name: str, module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        """Register the hooks that tell which tensor travels along a connection."""

        def travels(tensor: Tensor) -> None:
            self.skipping[name] = tensor

        def arrived(*_: object) -> None:
            self.skipping.pop(name, None)

        if not any(
            hasattr(module, s) for s in SHORTCUTS
        ):  # a U-Net stage: its output is skipped on
            return [module.register_forward_hook(lambda m, args, out: travels(out))]
        projection = next(
            (p for s in SHORTCUTS if (p := getattr(module, s, None)) is not None), None
        )
        if projection is None:  # identity: the block's own input
            start = module.register_forward_pre_hook(lambda m, args: travels(args[0]))
        else:
            start = projection.register_forward_hook(lambda m, args, out: travels(out))
        end = module.register_forward_hook(arrived)
        return [start, end]

    def which(self, tensor: object) -> str | None:
        """Name the connection a tensor travels along, if it is one of ours."""
        found = next((name for name, t in self.skipping.items() if t is tensor), None)
        if found is not None:
            self.met.add(found)
        return found

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        kwargs = kwargs or {}
        if func in self.ADDITIONS and len(args) == 2:
            if self.which(args[1]) is not None:
                return args[0]
            if self.which(args[0]) is not None:
                return args[1]
        if func in (torch.cat, torch.concat, torch.concatenate):
            maps = [torch.zeros_like(t) if self.which(t) is not None else t for t in args[0]]
            return func(maps, *args[1:], **kwargs)
        result = func(*args, **kwargs)
        if func is Tensor.__getitem__ and (name := self.which(args[0])) is not None:
            self.skipping[name] = result  # the paper's U-Net crops its skips on the way
        return result


def gradient_norms(
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> dict[str, float]:
    """Measure how large the gradient is at every convolution, from the input to the output.

    Runs one forward and backward pass in training mode on a copy, so the model is untouched.

    Args:
        model: a classifier or a segmentation network.
        x: a batch (N, C, H, W); N ≥ 2 for networks with batch norm.
        target: what `loss` compares with: (N,) classes, or (N, H, W) classes per pixel.
        loss: (output, target) → a scalar.

    Returns:
        name of the convolution → L2 norm of its weight's gradient, in the order of the modules.
    """
    model = copy.deepcopy(model).train()
    with torch.enable_grad():
        loss(model(x), target).backward()
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    convolutions = [(name, m) for name, m in model.named_modules() if isinstance(m, kinds)]
    return {name: m.weight.grad.norm().item() for name, m in convolutions}


def _as_names(layers: Sequence[str]) -> list[str]:
    if isinstance(layers, str):
        raise TypeError(f"layers must be a list of names; for a single one write [{layers!r}].")
    return list(layers)
