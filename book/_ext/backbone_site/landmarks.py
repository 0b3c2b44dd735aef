"""What a screen reader needs and the theme leaves out: a landmark for the logo, named corners."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

CORNER = {"en": "row", "zh": "项目"}  # what the first column of a table holds


def wrap_logo(app: Sphinx, config: Config) -> None:
    """Use our template, which puts the theme's logo into a navigation landmark."""
    config.html_sidebars = {
        "**": [
            "home-link.html",
            "icon-links.html",
            "search-button-field.html",
            "sbt-sidebar-nav.html",
        ]
    }


class NamedCorners(SphinxTransform):
    """Give a table's empty header cells a name that only screen readers say."""

    default_priority = 220

    def apply(self) -> None:
        """Walk the document once."""
        name = CORNER[(self.config.language or "en")[:2]]
        for head in self.document.findall(nodes.thead):
            for entry in head.findall(nodes.entry):
                if not entry.astext().strip():
                    hidden = nodes.inline(name, name, classes=["visually-hidden"])
                    entry.children = []
                    entry += nodes.paragraph("", "", hidden)


def setup(app: Sphinx) -> None:
    """Register the template and the transform."""
    app.connect("config-inited", wrap_logo)
    app.add_transform(NamedCorners)
