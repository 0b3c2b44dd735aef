"""What every interactive figure is: an anywidget whose view also lives on a page without a kernel.

The traits of a figure hold everything its view needs. Where there is a kernel, what the reader
does comes back in them (`figure.cut`); where there is none, `js/loader.js` plays the kernel's part
with the state that the notebook saved.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import ClassVar

import anywidget
import traitlets
from ipywidgets.embed import embed_data
from torch import nn

from backbone.explorables.bundle import module_script, page_script, style
from backbone.explorables.networks import program_of, trained_program
from backbone.saving import write_whole

LANGUAGES = ("", "en", "zh")


class Explorable(anywidget.AnyWidget):
    """An interactive figure.

    Traits:
        explorable: name of its view, in `js/views`.
        language: "en" or "zh" for its words; "" follows the page.
    """

    view: ClassVar[str]

    explorable = traitlets.Unicode(read_only=True).tag(sync=True)
    language = traitlets.Enum(LANGUAGES, default_value="").tag(sync=True)

    def __init__(self, **traits: object) -> None:
        self.set_trait("explorable", self.view)
        super().__init__(**traits)

    @property
    def _esm(self) -> str:
        return module_script(self.view)

    @property
    def _css(self) -> str:
        return style()

    @staticmethod
    def _trait_from_json(value: object, widget: object) -> object:
        """What a page sends for a trait: its bytes come as a memoryview, which Bytes refuses."""
        return bytes(value) if isinstance(value, memoryview) else value

    def __repr__(self) -> str:
        return f"{type(self).__name__}: alive on the book's site, and here once you run the cell"

    def save_page(self, path: str | Path, *, title: str = "", language: str = "en") -> Path:
        """Write a web page that holds this figure and nothing else, and needs nothing else.

        It opens by double click: no server, no kernel, no network.

        Args:
            path: the file to write, such as "figure.html".
            title: of the page; the class's name if empty.
            language: of the page, "en" or "zh".

        Raises:
            OSError: the file cannot be written.
        """
        state = embed_data(views=[self], drop_defaults=False)["manager_state"]
        for record in state["state"].values():  # the script of the page has them
            record["state"].pop("_esm", None)
            record["state"].pop("_css", None)
        view = json.dumps({"model_id": self.model_id})
        text = PAGE.format(
            language=html.escape(language),
            title=html.escape(title or type(self).__name__),
            style=style(),
            state=_inside_script(json.dumps(state)),
            view=_inside_script(view),
            script=_inside_script(page_script([self.view])),
        )
        return write_whole(path, text)


class NetworkExplorable(Explorable):
    """A figure in which a network runs.

    Traits:
        network: name of one of the book's trained networks, or "" for a model of your own. A saved
            notebook keeps only the name; the site delivers program and weights.
        program: the network as JSON, see `backbone.explorables.Program`.
        weights: its numbers.
    """

    network = traitlets.Unicode(read_only=True).tag(sync=True)
    program = traitlets.Unicode(read_only=True).tag(sync=True)
    weights = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self, network: str | nn.Module, size: tuple[int, int, int], **traits: object
    ) -> None:
        """Take a network in.

        Args:
            network: a name (`backbone.weights.trained_names`) or a module.
            size: (C, H, W) of its input.

        Raises:
            ValueError: no trained network has this name, or the model cannot be exported.
        """
        if isinstance(network, str):
            found = trained_program(network)
            self.set_trait("network", network)
        else:
            found = program_of(network, size)
        self.set_trait("program", found.to_json())
        self.set_trait("weights", found.weights)
        super().__init__(**traits)


def _inside_script(text: str) -> str:
    """Text that may stand inside <script>: nothing in it ends the element."""
    return text.replace("</", "<\\/").replace("<!--", "<\\!--")


PAGE = """<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ margin: 1rem auto; max-width: 62rem; padding: 0 1rem; }}
{style}
</style>
<main>
<script type="application/vnd.jupyter.widget-view+json">{view}</script>
</main>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<script>
{script}
</script>
</html>
"""
