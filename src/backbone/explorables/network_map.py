"""Network map: drawing, layer table and source of a network, side by side and linked."""

from __future__ import annotations

from typing import Any

import traitlets
from torch import nn

from backbone.anatomy import LayerTable, layer_table
from backbone.explorables.figure import Explorable
from backbone.explorables.map_layers import NETWORKS, RESNETS, build, family

LARGEST = 512  # side of the image in pixels
WIDEST = 128  # channels of the first stage


class NetworkMap(Explorable):
    """See a network three ways at once: point at a box, a row or a line, and the others light up.

    Every number is that of the live model: `table()` gives the same ones in Python.

    Traits:
        architecture: "ResNet18" … "ResNet152", or "UNetModel". A map of ResNets can switch between
            the five of them, a map of the U-Net stays with it.
        size: side of the square image, 1 to 512 pixels.
        width: channels of the first stage (`width` or `init_features`), 1 to 128.
        opened: names of the stages and blocks whose insides are shown, such as ["layer2"].
        chosen: names of the modules that are marked, such as ["layer2.0.conv1"]. Steps that are no
            module have names too: "layer2.0.add", "flatten", "cat encode_layer1".
        settings: other arguments of the network, such as {"num_classes": 1000}.
        family: what the view draws, see `backbone.explorables.map_layers.family`.
    """

    view = "network-map"

    architecture = traitlets.Unicode("ResNet18").tag(sync=True)
    size = traitlets.Int(224).tag(sync=True)
    width = traitlets.Int(64).tag(sync=True)
    opened = traitlets.List(traitlets.Unicode()).tag(sync=True)
    chosen = traitlets.List(traitlets.Unicode()).tag(sync=True)
    settings = traitlets.Dict(read_only=True).tag(sync=True)
    family = traitlets.Dict(read_only=True).tag(sync=True)
    limits = traitlets.Dict({"size": LARGEST, "width": WIDEST}, read_only=True).tag(sync=True)

    def __init__(
        self,
        architecture: str = "ResNet18",
        *,
        settings: dict[str, int] | None = None,
        **traits: Any,  # noqa: ANN401
    ) -> None:
        """Take a network by its name.

        Args:
            architecture: see Traits.
            settings: other arguments of the network, e.g. {"num_classes": 1000}.
            traits: size, width, opened, chosen, language.

        Raises:
            ValueError: there is no such network.
            TypeError: the network has no such argument.
            TraitError: a trait is not possible.
        """
        if not isinstance(architecture, str) or architecture not in NETWORKS:
            raise ValueError(
                f"There is no network {architecture!r}. Choose from {', '.join(NETWORKS)}."
            )
        settings = dict(settings or {})
        unet = architecture == "UNetModel"
        start = {"size": 256, "width": 32} if unet else {"size": 224, "width": 64}
        self.set_trait("family", family(architecture, tuple(sorted(settings.items()))))
        self.set_trait("settings", settings)
        super().__init__(architecture=architecture, **(start | traits))

    def module(self) -> nn.Module:
        """Return the network of the current setting, with new random weights."""
        return build(self.architecture, self.width, self.settings)

    def table(self, depth: int = 1) -> LayerTable:
        """Return the table of the current setting, counted on the live model.

        Raises:
            ValueError: the network refuses an image of this size.
        """
        size = (1, self.family["channels"], self.size, self.size)
        return layer_table(self.module(), size, depth)

    @traitlets.validate("architecture")
    def _known_architecture(self, proposal: dict[str, Any]) -> str:
        known = ["UNetModel"] if "UNetModel" in self.family["networks"] else list(RESNETS)
        if proposal["value"] not in known:
            raise traitlets.TraitError(
                f"This map shows {', '.join(known)}; got {proposal['value']!r}. "
                "For another kind of network make another NetworkMap."
            )
        return proposal["value"]

    @traitlets.validate("size", "width")
    def _possible(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        if not 1 <= value <= self.limits[name]:
            raise traitlets.TraitError(
                f"{name} must be a whole number from 1 to {self.limits[name]}, got {value}."
            )
        return value

    @traitlets.validate("opened", "chosen")
    def _known_names(self, proposal: dict[str, Any]) -> list[str]:
        known = self._names(self.architecture)
        for name in proposal["value"]:
            if name not in known:
                raise traitlets.TraitError(
                    f"{self.architecture} has no step {name!r}. "
                    f"Its stages are {', '.join(n for n in known if '.' not in n)}."
                )
        return proposal["value"]

    @traitlets.observe("architecture")
    def _forget_other_names(self, change: dict[str, Any]) -> None:
        """A deeper network has names that a shallower one lacks."""
        known = self._names(self.architecture)
        for trait in ("opened", "chosen"):
            self.set_trait(trait, [name for name in getattr(self, trait) if name in known])

    def _names(self, architecture: str) -> list[str]:
        found = []

        def visit(steps: list[dict[str, Any]], prefix: str) -> None:
            for step in steps:
                inside = self.family["parts"][step["part"]] if "part" in step else step
                for i in range(step.get("times", 1)):
                    own = str(int(step["name"]) + i) if "part" in step else step["name"]
                    found.append(prefix + own)
                    visit(inside.get("steps", []), f"{prefix}{own}.")

        visit(self.family["networks"][architecture]["steps"], "")
        return list(dict.fromkeys(found))
