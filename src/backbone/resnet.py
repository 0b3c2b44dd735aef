"""ResNet: deep networks that learn by adding to what they are given.

Reading order is top to bottom: two kinds of block, the network that stacks them, five depths.

References
    [1] K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition (2015),
        https://arxiv.org/abs/1512.03385
    [2] K. He, X. Zhang, S. Ren, J. Sun: Delving Deep into Rectifiers (2015),
        https://arxiv.org/abs/1502.01852 (how the convolutions are initialised)

Module names follow torchvision, so published ImageNet checkpoints load unchanged.
In the comments N is the batch, H and W are the height and width of what enters the module.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backbone.checks import need_images, need_positive


def conv3x3(in_planes: int, planes: int, stride: int = 1) -> nn.Conv2d:
    """3×3 convolution that keeps the size (padding 1), or divides it by `stride`."""
    # No bias: the batch norm that follows would subtract it again.
    return nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)


def conv1x1(in_planes: int, planes: int, stride: int = 1) -> nn.Conv2d:
    """1×1 convolution: mixes the channels of each pixel, looks at no neighbour."""
    return nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False)


def projection(in_planes: int, out_planes: int, stride: int) -> nn.Sequential | None:
    """What the shortcut needs so that it can be added: nothing, or a 1×1 convolution ([1] §3.3).

    This is option B of the paper: identity where the shapes agree, projection where they do not.
    """
    if stride == 1 and in_planes == out_planes:
        return None
    return nn.Sequential(conv1x1(in_planes, out_planes, stride), nn.BatchNorm2d(out_planes))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: y = relu(F(x) + x), [1] Fig. 5 left.

    Args:
        in_planes: channels coming in.
        planes: channels of both convolutions, and of the output.
        stride: 1 keeps the size; 2 halves it in the first convolution.

    Shapes:
        (N, in_planes, H, W) → (N, planes, ⌈H/stride⌉, ⌈W/stride⌉)

    Raises:
        TypeError, ValueError: an argument is not a positive whole number; a bad input in `forward`.
    """

    expansion = 1  # output channels = expansion · planes

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        need_positive(in_planes=in_planes, planes=planes, stride=stride)
        self.stride = stride
        self.conv1 = conv3x3(in_planes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = projection(in_planes, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + shortcut(x))."""
        need_images(self, x, self.conv1, shrinks=self.stride)
        out = self.relu(self.bn1(self.conv1(x)))  # (N, planes, H/s, W/s)
        out = self.bn2(self.conv2(out))  # (N, planes, H/s, W/s)

        shortcut = x if self.downsample is None else self.downsample(x)
        out += shortcut  # the whole idea, in one line
        return self.relu(out)  # after the addition, not before: F may also subtract


class Bottleneck(nn.Module):
    """1×1 narrows, 3×3 looks around, 1×1 widens again; plus the shortcut, [1] Fig. 5 right.

    The stride sits on the 3×3 convolution, as in torchvision ("v1.5"). The paper's own code had it
    on the first 1×1, which throws three quarters of the pixels away unseen; that version is
    `backbone.variants.BottleneckV1`.

    Args:
        in_planes: channels coming in.
        planes: channels inside; the output has `expansion · planes` = 4 · planes.
        stride: 1 keeps the size; 2 halves it in the 3×3 convolution.

    Shapes:
        (N, in_planes, H, W) → (N, 4·planes, ⌈H/stride⌉, ⌈W/stride⌉)

    Raises:
        TypeError, ValueError: an argument is not a positive whole number; a bad input in `forward`.
    """

    expansion = 4

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        need_positive(in_planes=in_planes, planes=planes, stride=stride)
        self.stride = stride
        self.conv1 = conv1x1(in_planes, planes)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv1x1(planes, planes * self.expansion)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(in_planes, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + shortcut(x))."""
        need_images(self, x, self.conv1, shrinks=self.stride)
        out = self.relu(self.bn1(self.conv1(x)))  # (N, planes, H, W)
        out = self.relu(self.bn2(self.conv2(out)))  # (N, planes, H/s, W/s)
        out = self.bn3(self.conv3(out))  # (N, 4·planes, H/s, W/s)

        shortcut = x if self.downsample is None else self.downsample(x)
        out += shortcut
        return self.relu(out)


class ResNet(nn.Module):
    """Stem, four stages of blocks, average pool, classifier: [1] Table 1.

    Args:
        block: `BasicBlock` or `Bottleneck`, or any class with their signature and an `expansion`.
        num_blocks: how many blocks in each of the four stages, e.g. `[2, 2, 2, 2]`.
        num_classes: outputs of the classifier.
        in_channels: channels of the image: 3 for colour, 1 for grey.
        width: channels of the first stage; the others have 2, 4 and 8 times as many (× expansion).
            `width=8` is the same network with about 64 times fewer parameters.

    Shapes:
        (N, in_channels, H, W) → (N, num_classes), for any H, W ≥ 1.

    Raises:
        TypeError, ValueError: bad arguments here; a bad input in `forward`.
    """

    def __init__(
        self,
        block: type[nn.Module],
        num_blocks: Sequence[int],
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 64,
    ) -> None:
        super().__init__()
        need_positive(num_classes=num_classes, in_channels=in_channels, width=width)
        _need_blocks(block, num_blocks)
        self.in_planes = width  # what the next block receives; _make_layer moves it on
        self.stride = 32  # image pixels per pixel of layer4: five halvings

        # Stem: from image to a quarter of its size.
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

        # Four stages: each but the first halves the size and doubles the channels.
        self.layer1 = self._make_layer(block, width, num_blocks[0], stride=1)
        self.layer2 = self._make_layer(block, width * 2, num_blocks[1], stride=2)
        self.layer3 = self._make_layer(block, width * 4, num_blocks[2], stride=2)
        self.layer4 = self._make_layer(block, width * 8, num_blocks[3], stride=2)

        # Head: one number per channel, then one number per class.
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 8 * block.expansion, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # keeps the variance through ReLUs, see [2]
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _make_layer(
        self, block: type[nn.Module], planes: int, num_blocks: int, stride: int
    ) -> nn.Sequential:
        """One stage: the first block may change size and channels, the others keep both."""
        layers = []
        for s in [stride] + [1] * (num_blocks - 1):
            layers.append(block(self.in_planes, planes, s))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores (logits; no softmax)."""
        need_images(self, x, self.conv1, shrinks=self.stride)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, width, H/2, W/2)
        x = self.maxpool(x)  # (N, width, H/4, W/4)

        x = self.layer1(x)  # (N, e·width, H/4, W/4), e = block.expansion
        x = self.layer2(x)  # (N, 2e·width, H/8, W/8)
        x = self.layer3(x)  # (N, 4e·width, H/16, W/16)
        x = self.layer4(x)  # (N, 8e·width, H/32, W/32)

        x = self.avgpool(x)  # (N, 8e·width, 1, 1)
        x = torch.flatten(x, 1)  # (N, 8e·width)
        return self.fc(x)  # (N, num_classes)


def ResNet18(num_classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """18 layers: two basic blocks in each stage. Arguments as in `ResNet`."""
    return ResNet(BasicBlock, [2, 2, 2, 2], num_classes, in_channels, width)


def ResNet34(num_classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """34 layers of basic blocks. Arguments as in `ResNet`."""
    return ResNet(BasicBlock, [3, 4, 6, 3], num_classes, in_channels, width)


def ResNet50(num_classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """50 layers: the blocks of ResNet-34, each a bottleneck. Arguments as in `ResNet`."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, in_channels, width)


def ResNet101(num_classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """101 layers; nearly all the added depth is in the third stage. Arguments as in `ResNet`."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, in_channels, width)


def ResNet152(num_classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet:
    """152 layers. Arguments as in `ResNet`."""
    return ResNet(Bottleneck, [3, 8, 36, 3], num_classes, in_channels, width)


def _need_blocks(block: type[nn.Module], num_blocks: Sequence[int]) -> None:
    if not (isinstance(block, type) and hasattr(block, "expansion")):
        raise TypeError(
            f"block must be a class such as BasicBlock or Bottleneck, got {block!r}. "
            "Your own block needs the signature (in_planes, planes, stride) and an `expansion`."
        )
    if isinstance(num_blocks, str) or not isinstance(num_blocks, Sequence):
        raise TypeError(f"num_blocks must be a list such as [2, 2, 2, 2], got {num_blocks!r}.")
    if len(num_blocks) != 4:
        raise ValueError(
            f"num_blocks needs one number for each of the four stages, got {list(num_blocks)}."
        )
    need_positive(**{f"num_blocks[{i}]": n for i, n in enumerate(num_blocks)})
    need_positive(**{f"{block.__name__}.expansion": block.expansion})
