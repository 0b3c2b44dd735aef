"""What every model refuses, said early and plainly: what came, what is needed, what to do.

Kept apart, so that a model's own file holds the model and nothing else. PyTorch only.
"""

from __future__ import annotations

from torch import Tensor, nn

TIMES = {16: "four", 32: "five"}  # halvings


def need_positive(**arguments: int) -> None:
    """Refuse arguments that are not positive whole numbers, by name.

    Raises:
        TypeError, ValueError: one of them is not.
    """
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number (int), got {value!r}.")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")


def need_images(
    model: nn.Module,
    x: Tensor,
    conv: nn.Conv2d,
    shrinks: int = 1,
    exact: bool = False,
    smallest: nn.Module | None = None,
) -> None:
    """Refuse an input that would fail somewhere inside the model.

    Args:
        model: who asks.
        x: its input, which should be (N, C, H, W).
        conv: the convolution that meets the input first: its weight says which channels, dtype
            and device are needed.
        shrinks: how many times smaller the model's smallest maps are than `x`.
        exact: whether H and W must be multiples of `shrinks`.
        smallest: the part of the model that makes those maps, if its training mode can differ from
            the model's own.

    Raises:
        TypeError, ValueError: `x` does not fit.
    """
    who, weight, channels = type(model).__name__, conv.weight, conv.in_channels
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{who} needs a torch.Tensor, got {type(x).__name__}. A colour image array becomes one "
            "with torch.from_numpy(a).permute(2, 0, 1)[None].float(), a grey one with "
            "torch.from_numpy(a)[None, None].float()."
        )
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f"{who} needs images or maps as (N, {channels}, H, W), got {tuple(x.shape)}. "
            "For a single image add the batch dimension with x[None]; for other channels build "
            f"the network for them (its first argument about channels is now {channels})."
        )
    if 0 in x.shape:
        raise ValueError(
            f"{who} needs at least one image of at least 1×1 pixels, got {tuple(x.shape)}."
        )
    height, width = x.shape[2:]
    if exact and (height % shrinks or width % shrinks):
        up = [-(-side // shrinks) * shrinks for side in (height, width)]
        raise ValueError(
            f"{who} halves the image {TIMES[shrinks]} times, so height and width must be multiples "
            f"of {shrinks}; got {height}×{width}. Pad to {up[0]}×{up[1]}, e.g. with "
            f"pad_to_multiple(x, {shrinks})."
        )
    if x.dtype != weight.dtype:
        raise TypeError(
            f"{who}'s weights are {weight.dtype}, the input is {x.dtype}. "
            f"Convert the input with x.to({weight.dtype}); bytes need x.float() / 255."
        )
    if x.device != weight.device:
        raise ValueError(
            f"{who}'s weights are on {weight.device}, the input is on {x.device}. "
            f'Move one to the other, e.g. with x.to("{weight.device}").'
        )
    training = (smallest or model).training
    if training and len(x) == 1 and max(height, width) <= shrinks:
        raise ValueError(
            "In training mode batch norm needs more than one value per channel, but in "
            f"{who} an input of {tuple(x.shape)}, one image of {height}×{width}, shrinks to 1×1. "
            "Use a batch of 2 or more, a larger image, or model.eval()."
        )
