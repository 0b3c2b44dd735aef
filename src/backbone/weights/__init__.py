"""Trained weights for our networks.

load_torchvision(ResNet50(num_classes=1000), "resnet50")    # ImageNet, downloaded once
load_torchvision(ResNet18(), "my-checkpoint.pth")           # a file in torchvision's layout
"""

from backbone.weights.loading import LoadReport, load_torchvision
from backbone.weights.reading import CHECKPOINTS, DownloadError, read_checkpoint

__all__ = ["CHECKPOINTS", "DownloadError", "LoadReport", "load_torchvision", "read_checkpoint"]
