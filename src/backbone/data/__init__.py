"""Small real data that ships with the book: to look at, and to train on.

    photo("chelsea")        a photograph, (3, 224, 224), values in [0, 1]
    normalize, denormalize  to and from what an ImageNet network expects
    nuclei()                a microscope image with every nucleus outlined by hand
    nuclei_split()          the same, cut into a side to train on and a side to test on
    random_crops(…)         squares from an image and its mask, turned and mirrored at random
    fashion("train")        small pictures of clothes, ten kinds; full=True for the whole set
    brain("train")          slices of a head, the brain marked in each
    digits("train")         handwritten digits, 8×8 (needs scikit-learn)
    datasheet("nuclei")     where a file comes from, who made it, what it may be used for

Nothing is downloaded. Every file is checked against its sha256 each time it is read.
"""

from backbone.data.brain import Brain, brain
from backbone.data.crops import NucleiSplit, nuclei_split, random_crops
from backbone.data.datasheets import Datasheet, dataset_names, datasheet, datasheet_names
from backbone.data.digits import Digits, digits
from backbone.data.fashion import FASHION_NAMES, Fashion, fashion, fashion_folder
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
    "FASHION_NAMES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Brain",
    "Datasheet",
    "Digits",
    "Fashion",
    "Nuclei",
    "NucleiSplit",
    "brain",
    "dataset_names",
    "datasheet",
    "datasheet_names",
    "denormalize",
    "digits",
    "fashion",
    "fashion_folder",
    "normalize",
    "nuclei",
    "nuclei_split",
    "photo",
    "photo_names",
    "random_crops",
]
