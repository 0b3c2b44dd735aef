"""Keep the names of networks on one line: "U-Net" and "ResNet-18" do not break at the hyphen."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

NAMES = re.compile(r"\b(?:U-Net|ResNet-\d+|plain-\d+)\b")


def visit_text(translator: HTML5Translator, node: nodes.Text) -> None:
    """Write a text, with names wrapped so that style sheets can hold them together."""
    HTML5Translator.visit_Text(translator, node)
    if translator.body and not translator.protect_literal_text:
        translator.body[-1] = NAMES.sub(
            r'<span class="name">\g<0></span>', translator.body[-1]
        )


def depart_text(translator: HTML5Translator, node: nodes.Text) -> None:
    """Nothing is left open."""


def setup(app: Sphinx) -> None:
    """Register the writer."""
    app.add_node(nodes.Text, override=True, html=(visit_text, depart_text))
