"""Photographs for networks that look at colour images, and the scale those networks expect."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbone.data.datasheets import open_checked

PHOTOS = ("chelsea", "coffee", "astronaut")
STORED_SIZE = 256  # pixels along each side of a stored photograph

# Mean and standard deviation of the ImageNet training images, per colour, in [0, 1].
# Published ImageNet networks were trained on images shifted and scaled by these.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def photo_names() -> list[str]:
    """Return the names `photo` knows."""
    return list(PHOTOS)


def photo(name: str = "chelsea", size: int = 224) -> Tensor:
    """Return a photograph as a network sees it: red, green and blue planes.

    Args:
        name: one of `photo_names()`.
        size: height and width in pixels, 1 to 256; resized with a Lanczos filter.

    Shapes:
        → (3, size, size), float32 in [0, 1]. A batch of one is `photo()[None]`.

    Raises:
        TypeError, ValueError: unknown name, bad size, or a damaged file.
        FileNotFoundError: the file is missing.
    """
    if not isinstance(name, str):
        raise TypeError(f"A photograph is asked for by name, a string; got {name!r}.")
    if name not in PHOTOS:
        raise ValueError(
            f"There is no photograph named {name!r}. Names: {', '.join(PHOTOS)}. "
            "For a picture of your own: PIL.Image.open(path).convert('RGB'), then "
            "torch.from_numpy(numpy.array(image)).permute(2, 0, 1).float() / 255."
        )
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError(f"size must be a whole number of pixels, got {size!r}.")
    if not 1 <= size <= STORED_SIZE:
        raise ValueError(
            f"size must be between 1 and {STORED_SIZE}, the stored size; got {size}. A larger "
            "picture would hold no more detail; if you need one all the same, use "
            "torch.nn.functional.interpolate(photo()[None], size=…, mode='bilinear')."
        )
    image = open_checked(name).convert("RGB")
    if size != STORED_SIZE:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(image))  # (size, size, 3), uint8
    return pixels.permute(2, 0, 1).contiguous().float() / 255


def normalize(x: Tensor) -> Tensor:
    """Shift and scale each colour as ImageNet networks expect: (x − mean) / std.

    Shapes:
        (…, 3, H, W) in [0, 1] → the same shape, about −2.1 to 2.6.

    Raises:
        TypeError, ValueError: not a floating-point image of three colours.
    """
    mean, std = _statistics(x)
    return (x - mean) / std


def denormalize(x: Tensor) -> Tensor:
    """Undo `normalize`: x · std + mean, so that a picture can be looked at again.

    Shapes:
        (…, 3, H, W) → the same shape.

    Raises:
        TypeError, ValueError: not a floating-point image of three colours.
    """
    mean, std = _statistics(x)
    return x * std + mean


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and std as (3, 1, 1), on the device and in the type of a checked image."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"Need a torch.Tensor of shape (…, 3, H, W), got {type(x).__name__}. An image array "
            "becomes one with torch.from_numpy(a).permute(2, 0, 1).float() / 255."
        )
    if not x.is_floating_point():
        raise TypeError(
            f"Need floating-point values in [0, 1], got {x.dtype}: use x.float() / 255."
        )
    if x.dim() < 3 or x.shape[-3] != 3:
        raise ValueError(
            f"Need three colour planes as (…, 3, H, W), got {tuple(x.shape)}. "
            "Colours last? x.permute(2, 0, 1). A grey image (1, H, W)? x.expand(3, -1, -1)."
        )
    mean = x.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = x.new_tensor(IMAGENET_STD).view(3, 1, 1)
    return mean, std
