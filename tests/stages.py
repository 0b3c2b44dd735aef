"""What a ResNet computes on the way, read with hooks that work on torchvision's models and ours."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

STAGES = ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")


def run_stages(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Outputs of every stage, and the logits, in the mode the model is in."""
    seen: dict[str, np.ndarray] = {}

    def keep(name: str):
        def hook(module, inputs, output):
            seen[name] = output.detach().numpy().copy()  # the next layer may work in place

        return hook

    handles = [getattr(model, name).register_forward_hook(keep(name)) for name in STAGES]
    try:
        with torch.no_grad():
            seen["logits"] = model(x).numpy()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def train_step(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Logits in training mode, the gradient that reaches the first layer, and bn1's new mean."""
    logits = model.train()(x)
    logits.square().sum().backward()
    return {
        "logits": logits.detach().numpy(),
        "conv1.weight.grad": model.conv1.weight.grad.numpy(),
        "bn1.running_mean": model.bn1.running_mean.numpy(),
    }
