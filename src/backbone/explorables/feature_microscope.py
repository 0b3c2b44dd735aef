"""Feature microscope: every map of a network in the page, down to the arithmetic of one pixel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.data import FASHION_NAMES, fashion, nuclei_split
from backbone.explorables.figure import NetworkExplorable
from backbone.explorables.layers import list_layers
from backbone.explorables.microscope_words import WORDS
from backbone.explorables.networks import SIZES

FASHION_ZH = ("T恤", "长裤", "套头衫", "连衣裙", "外套", "凉鞋", "衬衫", "运动鞋", "包", "短靴")
TILE, TILES = 128, 2  # nuclei: the side of a tile, and how many travel with the figure: the last
SIDES = (8, 256)  # smallest and largest picture


class FeatureMicroscope(NetworkExplorable):
    """Watch a network's maps while you draw; cut its shortcuts; check one pixel by hand.

    Traits:
        cut: names of the shortcuts or skips that are cut, as in `backbone.anatomy.cuttable`.
        layer: name of the module whose maps are shown.
        sample: which of the samples was chosen last, from 0.
        picture: a picture other than the samples as size·size bytes; `image` gives it as a tensor,
            and can be set.
        probabilities: of the classes, as the page computed them; empty for a network that gives a
            mask, and where no page has shown the figure.
    """

    view = "feature-microscope"

    size = traitlets.Int(read_only=True).tag(sync=True)
    channels = traitlets.Int(read_only=True).tag(sync=True)
    samples = traitlets.Bytes(read_only=True).tag(sync=True)
    names = traitlets.List(read_only=True).tag(sync=True)
    classes = traitlets.List(read_only=True).tag(sync=True)
    layers = traitlets.List(read_only=True).tag(sync=True)
    cuts = traitlets.List(read_only=True).tag(sync=True)
    words = traitlets.Dict(read_only=True).tag(sync=True)
    cut = traitlets.List(traitlets.Unicode()).tag(sync=True)
    layer = traitlets.Unicode().tag(sync=True)
    sample = traitlets.Int(0).tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    probabilities = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(
        self,
        network: str | nn.Module = "resnet18-fashion",
        size: tuple[int, int, int] | None = None,
        samples: Tensor | None = None,
        classes: Sequence[str] | None = None,
        close_up: bool = True,
        **traits: object,
    ) -> None:
        """Take a network with one score per class, or with one map per class.

        Args:
            network: the name of a trained network, or a module of your own.
            size: (C, S, S) of the input of your own network; the picture is grey, and every
                channel receives it.
            samples: grey pictures, (N, 1, S, S) in [0, 1] or uint8. If None, ten pieces of
                clothing (classes) or two tiles of nuclei (a mask), neither used in training.
            classes: what the classes are called. If None, the names of Fashion-MNIST for ten
                classes with its samples, else numbers.
            close_up: whether maps can be enlarged, down to the arithmetic of one pixel. Without,
                the figure's script is lighter.
            traits: cut, layer, sample, language.

        Raises:
            ValueError: an argument does not fit; the message says which and what would.
            TraitError: a trait is not possible.
        """
        if not close_up:
            self.view = "feature-glance"
        side, channels = _need_size(network, size)
        super().__init__(network, (channels, side, side))
        program = json.loads(self.program)
        shape = {op["name"]: op["shape"] for op in program["operations"]}[program["output"]]
        self._need_output(shape, side)
        own = samples is not None
        pictures = _need_samples(samples, side) if own else _default_samples(shape, side)
        self.set_trait("size", side)
        self.set_trait("channels", channels)
        self.set_trait("samples", pictures.numpy().tobytes())
        self.set_trait("classes", _class_names(shape, classes, own))
        self.set_trait("names", _sample_names(len(pictures), len(shape) == 1 and not own))
        self.set_trait("layers", list_layers(program))
        self.set_trait("cuts", list(program["cuts"]))
        self.set_trait("words", _words(network, mask=len(shape) == 3))
        self._layer_of = {
            module: entry["name"]
            for entry in self.layers
            for module, made in program["modules"].items()
            if made[-1] == entry["op"]
        }
        if not self.layers:
            raise ValueError(
                f"{_called(network)} has no module inside that puts out maps (C, H, W): there is "
                "nothing to look at. Build it from modules, such as nn.Sequential."
            )
        for name, value in ({"layer": self._first_layer()} | traits).items():
            if name not in ("cut", "layer", "sample", "language"):
                raise ValueError(
                    f"FeatureMicroscope has no argument {name!r}: choose from network, size, "
                    "samples, classes, close_up, cut, layer, sample, language."
                )
            self.set_trait(name, value)

    def _need_output(self, shape: list[int], side: int) -> None:
        if len(shape) == 1 or (len(shape) == 3 and shape[1:] == [side, side]):
            return
        raise ValueError(
            "FeatureMicroscope shows scores (N, classes), or a mask over the picture "
            f"(N, classes, {side}, {side}); this network gives (N, {', '.join(map(str, shape))})."
        )

    def _first_layer(self) -> str:
        """The end of the first stage with a skip, where there is one: sums are the lesson."""
        stages = [entry["name"] for entry in self.layers if entry["stage"]]
        skipping = [n for n in stages if any(c.split(".")[0] == n for c in self.cuts)]
        return next(iter(skipping or stages))

    @property
    def image(self) -> Tensor:
        """The picture in the figure, (C, S, S) float32 in [0, 1]; set it with (1, S, S)."""
        area = self.size**2
        pixels = self.picture or self.samples[self.sample * area : (self.sample + 1) * area]
        grey = np.frombuffer(pixels, dtype=np.uint8).reshape(1, self.size, self.size)
        return torch.from_numpy(grey.copy()).float().div(255).repeat(self.channels, 1, 1)

    @image.setter
    def image(self, picture: Tensor) -> None:
        if not isinstance(picture, Tensor):
            raise TypeError(f"image must be a torch.Tensor, got {type(picture).__name__}.")
        self.picture = _need_samples(picture[None], self.size).numpy().tobytes()

    @traitlets.validate("cut")
    def _known_cuts(self, proposal: dict[str, Any]) -> list[str]:
        for name in proposal["value"]:
            if name not in self.cuts:
                choice = ", ".join(self.cuts) or "none: this network has no skips"
                raise traitlets.TraitError(f"There is no skip {name!r}. Choose from {choice}.")
        return proposal["value"]

    @traitlets.validate("layer")
    def _known_layer(self, proposal: dict[str, Any]) -> str:
        """Several modules may give the same maps; the name becomes the one in the figure."""
        if proposal["value"] not in self._layer_of:
            raise traitlets.TraitError(
                f"No module {proposal['value']!r} has maps to show. "
                f"Choose from {', '.join(self._layer_of)}."
            )
        return self._layer_of[proposal["value"]]

    @traitlets.validate("sample")
    def _known_sample(self, proposal: dict[str, Any]) -> int:
        last = len(self.names) - 1
        if not 0 <= proposal["value"] <= last:
            raise traitlets.TraitError(f"sample must be from 0 to {last}, got {proposal['value']}.")
        return proposal["value"]

    @traitlets.validate("picture")
    def _whole_picture(self, proposal: dict[str, Any]) -> bytes:
        if len(proposal["value"]) not in (0, self.size**2):
            raise traitlets.TraitError(
                f"picture needs {self.size}·{self.size} = {self.size**2} bytes, or none for the "
                f"sample; got {len(proposal['value'])}. Or set `image` to a tensor."
            )
        return proposal["value"]


def _called(network: str | nn.Module) -> str:
    return network if isinstance(network, str) else type(network).__name__


def _need_size(network: str | nn.Module, size: object) -> tuple[int, int]:
    """Return (S, C), from the argument or the trained network's own."""
    if isinstance(network, str) and size is None:
        size = SIZES.get(network, (1, SIDES[0], SIDES[0]))  # an unknown name is refused later
    needed = (
        f"FeatureMicroscope needs size=(C, S, S) with S from {SIDES[0]} to {SIDES[1]}, such as "
        f"size=(1, 64, 64): what your network's input is; got {size!r}."
    )
    if not isinstance(size, (tuple, list)) or len(size) != 3:
        raise ValueError(needed)
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in size):
        raise ValueError(needed)
    channels, height, width = size
    if height != width or not SIDES[0] <= height <= SIDES[1]:
        raise ValueError(needed)
    if isinstance(network, str) and network in SIZES and tuple(size) != SIZES[network]:
        raise ValueError(f"{network} is shown at {SIZES[network]}: leave size out. Got {size!r}.")
    return height, channels


def _need_samples(samples: object, side: int) -> Tensor:
    """Return grey pictures as bytes, (N, S, S) uint8."""
    fits = isinstance(samples, Tensor) and samples.dim() == 4 and len(samples) > 0
    if not fits or tuple(samples.shape[1:]) != (1, side, side):
        given = tuple(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
        raise ValueError(
            f"A picture here is grey, (1, {side}, {side}), and samples are a tensor "
            f"(N, 1, {side}, {side}); got {given}. Average colours with mean(1, keepdim=True), "
            "and change the size with torch.nn.functional.interpolate."
        )
    if samples.dtype == torch.uint8:
        return samples[:, 0].contiguous()
    if not samples.is_floating_point() or not (samples.min() >= 0 and samples.max() <= 1):
        raise ValueError(
            "Pictures must be uint8, or floating point from 0 (black) to 1 (white); got "
            f"{samples.dtype} from {samples.min():g} to {samples.max():g}."
        )
    return (samples[:, 0] * 255).round().to(torch.uint8)


def _default_samples(shape: list[int], side: int) -> Tensor:
    """Pictures of a kind that fits the output, (N, S, S) uint8."""
    if len(shape) == 1:
        images = fashion("test").images[:10]  # one of each kind, (10, 1, 28, 28)
    else:
        held_out = nuclei_split().test.image[0]  # (512, 128)
        images = held_out[-TILE * TILES :].reshape(TILES, 1, TILE, TILE)
    if images.shape[-1] != side:  # as experiments.fashion enlarges what it trains on
        images = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
    return _need_samples(images, side)


def _fashion_names() -> list[dict[str, str]]:
    pairs = zip(FASHION_NAMES, FASHION_ZH, strict=True)
    return [{"en": en, "zh": zh} for en, zh in pairs]


def _sample_names(count: int, clothes: bool) -> list[dict[str, str]]:
    if clothes:
        return _fashion_names()
    return [{"en": str(i + 1), "zh": str(i + 1)} for i in range(count)]


def _class_names(
    shape: list[int], classes: Sequence[str] | None, own: bool
) -> list[dict[str, str]]:
    """What the classes are called in both languages; a mask's classes need no names."""
    if len(shape) == 3:
        return []
    (count,) = shape
    if classes is None:
        if count == 10 and not own:
            return _fashion_names()
        return [{"en": f"class {i}", "zh": f"类别 {i}"} for i in range(count)]
    if isinstance(classes, str) or len(classes) != count:
        raise ValueError(
            f"The network has {count} classes: classes must be a list of {count} names, "
            f"got {classes!r}."
        )
    return [{"en": str(name), "zh": str(name)} for name in classes]


def _words(network: str | nn.Module, mask: bool) -> dict[str, dict[str, str]]:
    """What the figure says; what depends on the network has a ":" and its kind in the name."""
    kinds = (":mask" if mask else "", f":{network}" if isinstance(network, str) else "")
    chosen = {}
    for language, texts in WORDS.items():
        own = {k: v for k, v in texts.items() if ":" not in k}
        for kind in filter(None, kinds):
            own |= {k.removesuffix(kind): v for k, v in texts.items() if k.endswith(kind)}
        chosen[language] = own
    return chosen
