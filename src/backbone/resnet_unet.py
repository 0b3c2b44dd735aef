"""A ResNet under a U-Net: the same backbone, another task.

The encoder of a U-Net answers "what is in the image?", at smaller and smaller sizes. That is what
the stages of a ResNet do as well; so take a ResNet, leave out its head, and let a U-Net's decoder
ask "where?". If the ResNet was trained before, on other images, its weights come along.

Reading order is top to bottom: a stage of the decoder, the network, what it refuses.

References
    [1] K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition (2015),
        https://arxiv.org/abs/1512.03385
    [2] O. Ronneberger, P. Fischer, T. Brox: U-Net (2015), https://arxiv.org/abs/1505.04597

In the comments N is the batch, H and W are the size of the input, w is the ResNet's width, and e
its blocks' expansion (1 for ResNet-18 and -34, 4 for -50 and deeper).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from backbone.checks import need_images, need_positive
from backbone.resnet import ResNet, conv3x3
from backbone.unet import join

# Where each part of a ResNet goes. `avgpool` and `fc`, its head, go nowhere.
PLACES = {
    "conv1": "encode_layer1.0",
    "bn1": "encode_layer1.1",
    "layer1": "encode_layer2",
    "layer2": "encode_layer3",
    "layer3": "encode_layer4",
    "layer4": "encode_decode_layer",
}


def decode_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """(3×3 convolution → batch norm → ReLU) twice: as in `unet`, with the ResNet's ReLU.

    Shapes: (N, in_channels, H, W) → (N, out_channels, H, W)
    """
    return nn.Sequential(
        conv3x3(in_channels, out_channels),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        conv3x3(out_channels, out_channels),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ResNetUNet(nn.Module):
    """A ResNet as encoder and bottom, a U-Net's decoder, and four skips between them.

        model = ResNetUNet(ResNet18(in_channels=1, width=8))

    The ResNet halves the image twice before its first stage, so its largest maps have half the
    size of the image: the last step up has no skip to join.

    Args:
        encoder: one of our ResNets, of any depth, width and number of image channels, trained or
            not. It is copied, so that it stays as it is whatever happens here.
        out_features: classes per pixel (channels of the output).

    Shapes:
        (N, in_channels, H, W) → (N, out_features, H, W), H and W multiples of 32.

    Raises:
        TypeError, ValueError: bad arguments here; a bad input in `forward`.
    """

    def __init__(self, encoder: ResNet, out_features: int = 2) -> None:
        super().__init__()
        _need_arguments(encoder, out_features)
        resnet = copy.deepcopy(encoder)
        w = resnet.conv1.out_channels
        c2 = resnet.layer2[0].conv1.in_channels  # what layer1 gives: e·w
        c3 = resnet.layer3[0].conv1.in_channels  # 2e·w
        c4 = resnet.layer4[0].conv1.in_channels  # 4e·w
        bottom = resnet.fc.in_features  # 8e·w
        self.encoder_frozen = False

        # Down: the ResNet, taken apart where its maps change size.
        self.encode_layer1 = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu)
        self.pool1 = resnet.maxpool
        self.encode_layer2 = resnet.layer1
        self.encode_layer3 = resnet.layer2
        self.encode_layer4 = resnet.layer3

        # The bottom of the U.
        self.encode_decode_layer = resnet.layer4

        # Up: a stage receives the upsampled maps and the skipped ones.
        self.upconv4 = nn.ConvTranspose2d(bottom, w * 4, kernel_size=2, stride=2)
        self.decode_layer4 = decode_stage(w * 4 + c4, w * 4)
        self.upconv3 = nn.ConvTranspose2d(w * 4, w * 2, kernel_size=2, stride=2)
        self.decode_layer3 = decode_stage(w * 2 + c3, w * 2)
        self.upconv2 = nn.ConvTranspose2d(w * 2, w, kernel_size=2, stride=2)
        self.decode_layer2 = decode_stage(w + c2, w)
        self.upconv1 = nn.ConvTranspose2d(w, w, kernel_size=2, stride=2)
        self.decode_layer1 = decode_stage(w + w, w)

        # The last step up, to the size of the image, has nothing to join; then a score per class.
        self.upconv0 = nn.ConvTranspose2d(w, w, kernel_size=2, stride=2)
        self.decode_layer0 = decode_stage(w, w)
        self.out_layer = nn.Sequential(nn.Conv2d(w, out_features, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores for every pixel (logits; no softmax)."""
        bottom = self.encode_decode_layer
        need_images(self, x, self.encode_layer1[0], shrinks=32, exact=True, smallest=bottom)
        enc1 = self.encode_layer1(x)  # (N, w, H/2, W/2)
        enc2 = self.encode_layer2(self.pool1(enc1))  # (N, e·w, H/4, W/4)
        enc3 = self.encode_layer3(enc2)  # (N, 2e·w, H/8, W/8)
        enc4 = self.encode_layer4(enc3)  # (N, 4e·w, H/16, W/16)

        bottom = self.encode_decode_layer(enc4)  # (N, 8e·w, H/32, W/32)

        dec4 = self.decode_layer4(join(self.upconv4(bottom), enc4))  # (N, 4w, H/16, W/16)
        dec3 = self.decode_layer3(join(self.upconv3(dec4), enc3))  # (N, 2w, H/8, W/8)
        dec2 = self.decode_layer2(join(self.upconv2(dec3), enc2))  # (N, w, H/4, W/4)
        dec1 = self.decode_layer1(join(self.upconv1(dec2), enc1))  # (N, w, H/2, W/2)
        dec0 = self.decode_layer0(self.upconv0(dec1))  # (N, w, H, W)

        return self.out_layer(dec0)  # (N, out_features, H, W)

    def encoder(self) -> list[nn.Module]:
        """Return the stages that came from the ResNet, in the order they run."""
        stages = (self.encode_layer1, self.encode_layer2, self.encode_layer3, self.encode_layer4)
        return [*stages, self.encode_decode_layer]

    def load_encoder(self, source: ResNet | Mapping[str, Tensor]) -> None:
        """Copy a ResNet's weights into the encoder, all of them or none; its head is left out.

        Args:
            source: a ResNet, or the state_dict of one (torchvision's names), of the encoder's
                depth, width and number of image channels. For ImageNet weights call
                `backbone.weights.load_torchvision` on a ResNet and build a `ResNetUNet` on it.

        Raises:
            TypeError: neither of the two.
            ValueError: another depth, width or number of channels; nothing has changed then.
        """
        state = source.state_dict() if isinstance(source, ResNet) else source
        if not isinstance(state, Mapping):
            raise TypeError(
                f"load_encoder needs a ResNet or its state_dict, got {type(source).__name__}."
            )
        moved = {}
        for name, value in state.items():
            part, _, rest = str(name).partition(".")
            if part in PLACES:
                moved[f"{PLACES[part]}.{rest}"] = value
        own = self.state_dict()
        # Counters of batches are no weights, and old checkpoints lack them.
        needed = {
            k
            for k in own
            if k.startswith(tuple(PLACES.values())) and not k.endswith("num_batches_tracked")
        }
        missing, unknown = sorted(needed - set(moved)), sorted(set(moved) - set(own))
        if missing or unknown:
            raise ValueError(
                f"These are not the weights of this encoder: {len(missing)} are missing"
                f"{f' ({missing[0]}, …)' if missing else ''}, {len(unknown)} have no place"
                f"{f' ({unknown[0]}, …)' if unknown else ''}. The ResNet must have the same depth."
            )
        for name, value in moved.items():
            if value.shape != own[name].shape:
                raise ValueError(
                    f"{name} has {tuple(own[name].shape)} here and {tuple(value.shape)} in the "
                    "checkpoint. Build the encoder with the same width and in_channels."
                )
        self.load_state_dict(moved, strict=False)

    def freeze_encoder(self) -> None:
        """Keep the encoder as it is: no gradients, and batch norm keeps its running statistics.

        Without the second a "frozen" encoder would still change: in training mode batch norm
        normalises with the batch at hand and moves its statistics towards it.
        """
        self._set_encoder(frozen=True)

    def unfreeze_encoder(self) -> None:
        """Let the encoder learn again."""
        self._set_encoder(frozen=False)

    def _set_encoder(self, frozen: bool) -> None:
        self.encoder_frozen = frozen
        for stage in self.encoder():
            stage.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> ResNetUNet:
        """Switch between training and evaluation mode; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self.encoder_frozen:
            for stage in self.encoder():
                stage.eval()
        return self


def _need_arguments(encoder: ResNet, out_features: int) -> None:
    if not isinstance(encoder, ResNet):
        raise TypeError(
            f"encoder must be a ResNet, got {encoder!r}. For example "
            "ResNetUNet(ResNet18(in_channels=1, width=8))."
        )
    need_positive(out_features=out_features)
