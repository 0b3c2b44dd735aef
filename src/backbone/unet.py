"""U-Net: down to see what is there, up to say where, with skips across.

Reading order is top to bottom: the stage that is used nine times, the network, two helpers
for images whose size does not fit.

Reference
    O. Ronneberger, P. Fischer, T. Brox: U-Net: Convolutional Networks for Biomedical Image
    Segmentation (2015), https://arxiv.org/abs/1505.04597

Differences from the paper, all on purpose: convolutions are padded, so the output has the size of
the input; batch norm follows each convolution; PReLU stands for ReLU; 32 features instead of 64.
The paper's own network is `backbone.variants.PaperUNet`.
In the comments N is the batch, H and W are the size of the input, f is `init_features`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.checks import need_images, need_positive


def conv_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """(3×3 convolution → batch norm → PReLU) twice: every stage of the U is one of these.

    Shapes: (N, in_channels, H, W) → (N, out_channels, H, W)
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.PReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.PReLU(),
    )


class UNetModel(nn.Module):
    """Encoder, bottom, decoder, and four skips between them: Fig. 1 of the paper, padded.

    Each step down halves the size and doubles the channels; each step up does the reverse.

    Args:
        in_features: channels of the image: 1 for grey, 3 for colour.
        out_features: classes per pixel (channels of the output).
        init_features: channels of the first stage; the bottom has 16 times as many.

    Shapes:
        (N, in_features, H, W) → (N, out_features, H, W), H and W multiples of 16.

    Raises:
        TypeError, ValueError: bad arguments here; a bad input in `forward`.
    """

    def __init__(
        self, in_features: int = 1, out_features: int = 2, init_features: int = 32
    ) -> None:
        super().__init__()
        need_positive(
            in_features=in_features, out_features=out_features, init_features=init_features
        )
        f = init_features

        # Down: what is in the image?
        self.encode_layer1 = conv_stage(in_features, f)
        self.pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.encode_layer2 = conv_stage(f, f * 2)
        self.pool2 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.encode_layer3 = conv_stage(f * 2, f * 4)
        self.pool3 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.encode_layer4 = conv_stage(f * 4, f * 8)
        self.pool4 = nn.MaxPool2d(kernel_size=2, stride=2)

        # The bottom of the U: smallest maps, most channels.
        self.encode_decode_layer = conv_stage(f * 8, f * 16)

        # Up: where is it? A decoder stage receives twice its channels: upsampled + skipped.
        self.upconv4 = nn.ConvTranspose2d(f * 16, f * 8, kernel_size=2, stride=2)
        self.decode_layer4 = conv_stage(f * 16, f * 8)
        self.upconv3 = nn.ConvTranspose2d(f * 8, f * 4, kernel_size=2, stride=2)
        self.decode_layer3 = conv_stage(f * 8, f * 4)
        self.upconv2 = nn.ConvTranspose2d(f * 4, f * 2, kernel_size=2, stride=2)
        self.decode_layer2 = conv_stage(f * 4, f * 2)
        self.upconv1 = nn.ConvTranspose2d(f * 2, f, kernel_size=2, stride=2)
        self.decode_layer1 = conv_stage(f * 2, f)

        # One score per class for every pixel.
        self.out_layer = nn.Sequential(nn.Conv2d(f, out_features, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores for every pixel (logits; no softmax)."""
        need_images(self, x, self.encode_layer1[0], shrinks=16, exact=True)
        enc1 = self.encode_layer1(x)  # (N, f, H, W)
        enc2 = self.encode_layer2(self.pool1(enc1))  # (N, 2f, H/2, W/2)
        enc3 = self.encode_layer3(self.pool2(enc2))  # (N, 4f, H/4, W/4)
        enc4 = self.encode_layer4(self.pool3(enc3))  # (N, 8f, H/8, W/8)

        bottom = self.encode_decode_layer(self.pool4(enc4))  # (N, 16f, H/16, W/16)

        dec4 = self.decode_layer4(join(self.upconv4(bottom), enc4))  # (N, 8f, H/8, W/8)
        dec3 = self.decode_layer3(join(self.upconv3(dec4), enc3))  # (N, 4f, H/4, W/4)
        dec2 = self.decode_layer2(join(self.upconv2(dec3), enc2))  # (N, 2f, H/2, W/2)
        dec1 = self.decode_layer1(join(self.upconv1(dec2), enc1))  # (N, f, H, W)

        return self.out_layer(dec1)  # (N, out_features, H, W)


def join(upsampled: Tensor, skipped: Tensor) -> Tensor:
    """Stack two sets of maps of the same size along the channels: what a U-Net skip does.

    Shapes: (N, C, H, W) and (N, D, H, W) → (N, C + D, H, W), the upsampled maps first.
    """
    return torch.cat((upsampled, skipped), dim=1)


def pad_to_multiple(x: Tensor, multiple: int = 16) -> Tensor:
    """Pad an image on all sides, by mirroring, until both sides are multiples of `multiple`.

    The paper extrapolates missing borders the same way (§2). Where an image is too small to be
    mirrored that far, its edge pixels are repeated. `crop_like` undoes it.

    Shapes:
        (N, C, H, W) → (N, C, ⌈H/m⌉·m, ⌈W/m⌉·m)

    Raises:
        TypeError, ValueError: `multiple` is not a positive whole number, or x is not (N, C, H, W).
    """
    need_positive(multiple=multiple)
    height, width = _image_size(x)
    extra_h, extra_w = -height % multiple, -width % multiple
    sides = (extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)
    mirror = max(sides[:2]) < width and max(sides[2:]) < height
    mode = "reflect" if mirror else "replicate"
    if x.dtype == torch.bool:  # a mask: torch cannot mirror those
        return F.pad(x.byte(), sides, mode=mode).bool()
    return F.pad(x, sides, mode=mode)


def crop_like(x: Tensor, reference: Tensor) -> Tensor:
    """Cut the centre of `x` so that it is as high and wide as `reference`.

    Undoes `pad_to_multiple`, and is the "crop" of the paper's skips (Fig. 1).

    Shapes:
        (N, C, H, W), (…, h, w) → (N, C, h, w), h ≤ H and w ≤ W.

    Raises:
        TypeError, ValueError: `reference` is larger than `x`, or either is not what Shapes says.
    """
    height, width = _image_size(x)
    if not isinstance(reference, Tensor):
        raise TypeError(
            f"crop_like needs a torch.Tensor as reference, got {type(reference).__name__}. "
            "It only reads its height and width, e.g. of the image before padding."
        )
    if reference.dim() < 2 or 0 in reference.shape[-2:]:
        raise ValueError(
            "crop_like needs a reference whose last two dimensions are a height and a width of at "
            f"least 1, got {tuple(reference.shape)}."
        )
    h, w = reference.shape[-2:]
    if h > height or w > width:
        raise ValueError(
            f"crop_like can only make maps smaller: x is {height}×{width}, the reference {h}×{w}. "
            "Did you swap the two arguments?"
        )
    top, left = (height - h) // 2, (width - w) // 2
    return x[..., top : top + h, left : left + w]


def _image_size(x: Tensor) -> tuple[int, int]:
    if not isinstance(x, Tensor):
        raise TypeError(f"Need a torch.Tensor of shape (N, C, H, W), got {type(x).__name__}.")
    if x.dim() != 4 or 0 in x.shape:
        raise ValueError(f"Need maps that are not empty, as (N, C, H, W); got {tuple(x.shape)}.")
    return x.shape[2], x.shape[3]
