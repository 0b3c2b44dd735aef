"""Cell nuclei under a fluorescence microscope, with the outline of each drawn by hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbone.data.datasheets import open_checked


class Nuclei(NamedTuple):
    """One microscope image and what an expert marked in it."""

    image: Tensor  # (1, 512, 512), float32 in [0, 1]: brightness
    mask: Tensor  # (512, 512), int64: 1 inside a nucleus, 0 elsewhere
    instances: Tensor  # (512, 512), int64: which nucleus, 0 for none; numbers have gaps


def nuclei() -> Nuclei:
    """Return the nuclei image, its foreground mask, and the number of the nucleus at each pixel.

    The mask is what a U-Net is trained on here: class per pixel, as `cross_entropy` wants it. The
    instance numbers come with gaps, so count nuclei with `len(instances.unique()) - 1`.

    Shapes:
        → image (1, 512, 512) float32 in [0, 1], mask (512, 512) int64 of 0 and 1,
        instances (512, 512) int64.

    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged.
    """
    brightness = torch.from_numpy(np.array(open_checked("nuclei")))  # (512, 512), uint8
    instances = torch.from_numpy(np.array(open_checked("nuclei-instances"))).long()  # (512, 512)
    return Nuclei(brightness[None].float() / 255, (instances > 0).long(), instances)
