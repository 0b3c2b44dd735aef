"""Small real data that ships with the book: photographs, and nuclei under a microscope.

    photo("chelsea")        a photograph, (3, 224, 224), values in [0, 1]
    normalize, denormalize  to and from what an ImageNet network expects
    nuclei()                a microscope image with every nucleus outlined by hand
    datasheet("nuclei")     where a file comes from, who made it, what it may be used for

Nothing is downloaded. Every file is checked against its sha256 each time it is read.
"""

from backbone.data.datasheets import Datasheet, datasheet, datasheet_names
from backbone.data.microscopy import Nuclei, nuclei
from backbone.data.photographs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    denormalize,
    normalize,
    photo,
    photo_names,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Datasheet",
    "Nuclei",
    "datasheet",
    "datasheet_names",
    "denormalize",
    "normalize",
    "nuclei",
    "photo",
    "photo_names",
]
