"""Skip surgery: a trained U-Net in the page, whose skips the reader cuts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from backbone.data import nuclei_split
from backbone.explorables.figure import NetworkExplorable
from backbone.explorables.surgery_words import WORDS

SIZE = 128  # side of a tile: what the held-out side of the nuclei image is wide


class SkipSurgery(NetworkExplorable):
    """Segment real nuclei with a U-Net while cutting its skips.

    The samples are the tiles of the side of the nuclei image that the network was not trained on
    (see `backbone.data.nuclei_split`), with their hand-drawn truth.

    Traits:
        cut: names of the skips that are cut, such as ["encode_layer1"].
        sample: which tile was chosen last, from 0.
        picture: a picture other than the samples as 128·128 bytes; `image` gives it as a tensor.
        iou: of the mask with the truth; None for a picture whose truth is not known.
    """

    view = "skip-surgery"

    size = traitlets.Int(SIZE, read_only=True).tag(sync=True)
    tiles = traitlets.Bytes(read_only=True).tag(sync=True)
    truths = traitlets.Bytes(read_only=True).tag(sync=True)
    skips = traitlets.List(read_only=True).tag(sync=True)
    bottom = traitlets.Dict(read_only=True).tag(sync=True)
    words = traitlets.Dict(WORDS, read_only=True).tag(sync=True)
    cut = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sample = traitlets.Int(0).tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    iou = traitlets.Float(None, allow_none=True).tag(sync=True)

    def __init__(self, network: str | nn.Module = "unet-nuclei", **traits: object) -> None:
        """Take a U-Net.

        Args:
            network: the name of a trained U-Net, or a `UNetModel` of your own for one channel and
                two classes.
            traits: cut, sample, language.

        Raises:
            ValueError: the network has no skips, or a trait is not possible.
        """
        held_out = nuclei_split().test
        tiles = (held_out.image[0] * 255).round().to(torch.uint8)  # (512, 128)
        self.set_trait("tiles", tiles.numpy().tobytes())
        self.set_trait("truths", np.packbits(held_out.mask.numpy() == 1).tobytes())
        super().__init__(network, (1, SIZE, SIZE))
        self._describe(network)
        for name, value in traits.items():
            self.set_trait(name, value)

    def _describe(self, network: str | nn.Module) -> None:
        """Say which stages there are; names and channels come from the program."""
        program = json.loads(self.program)
        channels = {op["name"]: op["shape"][0] for op in program["operations"]}

        def channels_of(module: str) -> int:
            return channels[program["modules"][module][-1]]

        bottom = "encode_decode_layer"
        names = sorted(name for name in program["cuts"] if name.startswith("encode_layer"))
        wanted = [bottom, *names, *(name.replace("encode", "decode") for name in names)]
        if not names or any(name not in program["modules"] for name in wanted):
            given = network if isinstance(network, str) else type(network).__name__
            raise ValueError(
                "SkipSurgery needs a U-Net with encode_layer1 … and decode_layer1 …, such as "
                f"UNetModel(1, 2, 8); got {given}."
            )
        skips = [
            {
                "name": name,
                "encoder": name,
                "decoder": name.replace("encode", "decode"),
                "channels": channels_of(name),
            }
            for name in names
        ]
        self.set_trait("skips", skips)
        self.set_trait("bottom", {"name": bottom, "channels": channels_of(bottom)})

    @traitlets.validate("cut")
    def _known_skips(self, proposal: dict[str, Any]) -> list[str]:
        names = [skip["name"] for skip in self.skips]
        for name in proposal["value"]:
            if name not in names:
                raise traitlets.TraitError(
                    f"There is no skip {name!r}. Choose from {', '.join(names)}."
                )
        return proposal["value"]

    @traitlets.validate("sample")
    def _known_sample(self, proposal: dict[str, Any]) -> int:
        last = len(self.tiles) // SIZE**2 - 1
        if not 0 <= proposal["value"] <= last:
            raise traitlets.TraitError(f"sample must be from 0 to {last}, got {proposal['value']}.")
        return proposal["value"]

    @property
    def image(self) -> Tensor:
        """The picture in the figure, (1, 128, 128) float32 in [0, 1]."""
        area = SIZE * SIZE
        pixels = self.picture or self.tiles[self.sample * area : (self.sample + 1) * area]
        grey = np.frombuffer(pixels, dtype=np.uint8).reshape(1, SIZE, SIZE)
        return torch.from_numpy(grey.copy()).float() / 255
