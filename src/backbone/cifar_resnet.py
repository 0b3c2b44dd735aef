"""The paper's other ResNet: three stages on small pictures, as deep as you like ([1] §4.2).

It is the network of the degradation experiment. Its plain twin has the same layers, the same
parameters and, from the same seed, the same initial weights; only the additions are missing.

Reading order is top to bottom: what a shortcut can be, the network, what it refuses.

References
    [1] K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition (2015),
        https://arxiv.org/abs/1512.03385

In the comments N is the batch, H and W are the size of the input, w is the width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.checks import need_images, need_positive
from backbone.resnet import BasicBlock, conv1x1, conv3x3
from backbone.variants import PlainBlock


class PadChannels(nn.Module):
    """Option A: every `stride`-th pixel, and zeros for the channels that are not there yet.

    Shapes: (N, C, H, W) → (N, C + extra, ⌈H/stride⌉, ⌈W/stride⌉); nothing to learn.
    """

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the thinned-out maps with `extra` maps of zeros behind them."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra))  # (W left, right, H top, bottom, C before, …)

    def extra_repr(self) -> str:
        """Say what it does in the printed network."""
        return f"extra={self.extra}, stride={self.stride}"


class BlockA(BasicBlock):
    """Option A ([1] §4.1): identity, padded with zeros where the shapes change. No parameters."""

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__(in_planes, planes, stride)
        if self.downsample is not None:
            self.downsample = PadChannels(planes - in_planes, stride)


class BlockC(BasicBlock):
    """Option C ([1] §4.1): a projection on every shortcut, also where the identity would do."""

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__(in_planes, planes, stride)
        if self.downsample is None:
            self.downsample = nn.Sequential(
                conv1x1(in_planes, planes, stride), nn.BatchNorm2d(planes)
            )


BLOCKS: dict[str | None, type[nn.Module]] = {
    "A": BlockA,
    "B": BasicBlock,  # projection where the shapes change, identity elsewhere
    "C": BlockC,
    None: PlainBlock,  # the plain network: no shortcut at all
}


class CifarResNet(nn.Module):
    """A 3×3 convolution, three stages of basic blocks, average pool, classifier: [1] §4.2.

    Args:
        depth: 6n + 2 layers, n blocks in each stage: 8, 14, 20, 26, 32, 38, 44, 50, 56, …, 110.
        shortcut: "A" (identity, padded with zeros), "B" (projection where the shapes change),
            "C" (projection everywhere), or None for the plain network.
        num_classes: outputs of the classifier.
        in_channels: channels of the image.
        width: channels of the first stage, 16 in the paper; the others have 2 and 4 times as many.

    Shapes:
        (N, in_channels, H, W) → (N, num_classes), for any H, W ≥ 1.

    Raises:
        TypeError, ValueError: bad arguments here; a bad input in `forward`.
    """

    def __init__(
        self,
        depth: int = 20,
        shortcut: str | None = "A",
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 16,
    ) -> None:
        super().__init__()
        need_positive(depth=depth, num_classes=num_classes, in_channels=in_channels, width=width)
        _need_depth(depth)
        _need_shortcut(shortcut)
        block, n = BLOCKS[shortcut], (depth - 2) // 6
        self.stride = 4  # image pixels per pixel of layer3: two halvings

        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(block, width, width, n, stride=1)
        self.layer2 = _stage(block, width, width * 2, n, stride=2)
        self.layer3 = _stage(block, width * 2, width * 4, n, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 4, num_classes)

        # The main path draws first, so that the plain network and options A and B start out equal
        # from one seed: each of their blocks has drawn for a projection by now, kept or not. (C
        # has more of them.)
        main = [m for name, m in self.named_modules() if "downsample" not in name.split(".")]
        for module in (*main, *(m for m in self.modules() if m not in set(main))):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores (logits; no softmax)."""
        need_images(self, x, self.conv1, shrinks=self.stride)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, w, H, W)
        x = self.layer1(x)  # (N, w, H, W)
        x = self.layer2(x)  # (N, 2w, H/2, W/2)
        x = self.layer3(x)  # (N, 4w, H/4, W/4)
        x = torch.flatten(self.avgpool(x), 1)  # (N, 4w)
        return self.fc(x)  # (N, num_classes)


def _stage(
    block: type[nn.Module], in_planes: int, planes: int, n: int, stride: int
) -> nn.Sequential:
    """Make n blocks; the first may change size and channels."""
    return nn.Sequential(
        block(in_planes, planes, stride), *(block(planes, planes) for _ in range(n - 1))
    )


def _need_depth(depth: int) -> None:
    if depth >= 8 and depth % 6 == 2:
        return
    below = max(8, depth - (depth - 2) % 6)
    raise ValueError(
        "depth must be 6n + 2 (n blocks of two convolutions in each of three stages, one "
        f"convolution before and one linear layer after them), got {depth}. "
        f"The nearest are {below} and {below + 6}."
    )


def _need_shortcut(shortcut: str | None) -> None:
    if isinstance(shortcut, str | None) and shortcut in BLOCKS:
        return
    raise ValueError(
        f'shortcut must be "A", "B", "C", or None for a plain network, got {shortcut!r}.'
    )
