"""Trained weights for our networks.

load_torchvision(ResNet50(num_classes=1000), "resnet50")    # ImageNet, downloaded once
load_torchvision(ResNet18(), "my-checkpoint.pth")           # a file in torchvision's layout
load_trained("unet-nuclei")                                 # the book's own, see model_card(name)
"""

from backbone.weights.loading import LoadReport, load_torchvision
from backbone.weights.reading import CHECKPOINTS, DownloadError, read_checkpoint
from backbone.weights.trained import ModelCard, Score, load_trained, model_card, trained_names

__all__ = [
    "CHECKPOINTS",
    "DownloadError",
    "LoadReport",
    "ModelCard",
    "Score",
    "load_torchvision",
    "load_trained",
    "model_card",
    "read_checkpoint",
    "trained_names",
]
