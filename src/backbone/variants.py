"""The control group: networks that differ from ours in one thing, so that one thing can be seen.

    PlainBlock, PlainBottleneck   the blocks without their shortcut ([1] §3.3 "plain network")
    BottleneckV1                  the bottleneck as first released: stride on the 1×1, which gives
                                  the multiply-adds of [1] Table 1
    PaperUNet                     the U-Net as published: unpadded, ReLU, no batch norm ([2] Fig. 1)

References
    [1] He et al. 2015, https://arxiv.org/abs/1512.03385
    [2] Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

from torch import Tensor, nn

from backbone.checks import need_images, need_positive
from backbone.resnet import BasicBlock, Bottleneck
from backbone.unet import crop_like, join


class PlainBlock(BasicBlock):
    """A `BasicBlock` whose shortcut was never built: y = relu(F(x))."""

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__(in_planes, planes, stride)
        del self.downsample

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x)); compare `BasicBlock.forward`."""
        need_images(self, x, self.conv1, shrinks=self.stride)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)))


class PlainBottleneck(Bottleneck):
    """A `Bottleneck` whose shortcut was never built: y = relu(F(x))."""

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__(in_planes, planes, stride)
        del self.downsample

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x)); compare `Bottleneck.forward`."""
        need_images(self, x, self.conv1, shrinks=self.stride)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)))


class BottleneckV1(Bottleneck):
    """A `Bottleneck` with the stride on its first 1×1 convolution, as in the paper's own code.

    Same parameters, same output shape, fewer multiply-adds; but with stride 2 the 1×1 reads one
    pixel in four and never sees the others.
    """

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__(in_planes, planes, stride)
        self.conv1.stride, self.conv2.stride = (stride, stride), (1, 1)


class PaperUNet(nn.Module):
    """The U-Net of the paper's Fig. 1: every 3×3 convolution eats one pixel on each side.

    Args:
        in_features: channels of the image.
        out_features: classes per pixel.
        init_features: channels of the first stage, 64 in the paper.

    Shapes:
        (N, in_features, H, W) → (N, out_features, H − 184, W − 184), where H and W are such that
        every pooling meets an even size: 188, 204, 220, …, 572 → 388.

    Raises:
        TypeError, ValueError: bad arguments here; in `forward` a bad input, e.g. a size that does
            not fit.
    """

    def __init__(
        self, in_features: int = 1, out_features: int = 2, init_features: int = 64
    ) -> None:
        super().__init__()
        need_positive(
            in_features=in_features, out_features=out_features, init_features=init_features
        )
        f = init_features
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.encode_layer1 = unpadded_stage(in_features, f)
        self.encode_layer2 = unpadded_stage(f, f * 2)
        self.encode_layer3 = unpadded_stage(f * 2, f * 4)
        self.encode_layer4 = unpadded_stage(f * 4, f * 8)
        self.encode_decode_layer = unpadded_stage(f * 8, f * 16)
        self.upconv4 = nn.ConvTranspose2d(f * 16, f * 8, kernel_size=2, stride=2)
        self.decode_layer4 = unpadded_stage(f * 16, f * 8)
        self.upconv3 = nn.ConvTranspose2d(f * 8, f * 4, kernel_size=2, stride=2)
        self.decode_layer3 = unpadded_stage(f * 8, f * 4)
        self.upconv2 = nn.ConvTranspose2d(f * 4, f * 2, kernel_size=2, stride=2)
        self.decode_layer2 = unpadded_stage(f * 4, f * 2)
        self.upconv1 = nn.ConvTranspose2d(f * 2, f, kernel_size=2, stride=2)
        self.decode_layer1 = unpadded_stage(f * 2, f)
        self.out_layer = nn.Conv2d(f, out_features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores for the pixels whose whole surroundings were in the image."""
        need_images(self, x, self.encode_layer1[0])
        paper_output_size(x.shape[2])  # both raise where the sizes do not fit
        paper_output_size(x.shape[3])
        enc1 = self.encode_layer1(x)  # 572 → 568
        enc2 = self.encode_layer2(self.pool(enc1))  # 284 → 280
        enc3 = self.encode_layer3(self.pool(enc2))  # 140 → 136
        enc4 = self.encode_layer4(self.pool(enc3))  # 68 → 64
        bottom = self.encode_decode_layer(self.pool(enc4))  # 32 → 28

        dec4 = self.decode_layer4(crop_and_join(self.upconv4(bottom), enc4))  # 56 → 52
        dec3 = self.decode_layer3(crop_and_join(self.upconv3(dec4), enc3))  # 104 → 100
        dec2 = self.decode_layer2(crop_and_join(self.upconv2(dec3), enc2))  # 200 → 196
        dec1 = self.decode_layer1(crop_and_join(self.upconv1(dec2), enc1))  # 392 → 388
        return self.out_layer(dec1)  # 388


def unpadded_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """(3×3 convolution without padding → ReLU) twice: (N, C, H, W) → (N, D, H − 4, W − 4)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, kernel_size=3),
        nn.ReLU(inplace=True),
    )


def crop_and_join(upsampled: Tensor, skipped: Tensor) -> Tensor:
    """The paper's skip: cut the encoder's larger map to size, then stack the two."""
    return join(upsampled, crop_like(skipped, upsampled))


def paper_output_size(size: int) -> int:
    """Output size of `PaperUNet` for an input of `size` pixels: 572 → 388.

    Raises:
        TypeError, ValueError: `size` is not a positive whole number; a pooling would meet an odd
            size, or nothing would be left.
    """
    need_positive(size=size)
    bottom = size
    for _ in range(4):
        bottom -= 4  # two convolutions
        if bottom < 2 or bottom % 2:
            near = max(188, 188 + round((size - 188) / 16) * 16)
            raise ValueError(
                f"The unpadded U-Net cannot take a side of {size} pixels: before each of its four "
                f"poolings the size must be even. Sides that fit are 188, 204, 220, …; the nearest "
                f"is {near}. Or use UNetModel, whose padded convolutions need only multiples of 16."
            )
        bottom //= 2
    out = bottom - 4
    for _ in range(4):
        out = out * 2 - 4
    if out < 1:
        raise ValueError(
            f"The unpadded U-Net has nothing left of a side of {size} pixels: it needs at least "
            "188. Use a larger image, or UNetModel, whose padded convolutions lose nothing."
        )
    return out
