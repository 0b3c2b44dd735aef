"""Turn `> **Key idea.** …` block quotes into callouts.

The notebooks use plain Markdown so that they read well in Jupyter, Colab and on GitHub;
only the site dresses the quotes up.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

# First words of the quote, in either language → the kind, which is the CSS class.
KINDS = {
    "key idea": "key",
    "predict": "predict",
    "try it": "try",
    "watch out": "watch",
    "核心思想": "key",
    "关键思想": "key",
    "要点": "key",
    "先猜一猜": "predict",
    "预测": "predict",
    "动手试试": "try",
    "试一试": "try",
    "当心": "watch",
    "注意": "watch",
}


def callout_kind(quote: nodes.block_quote) -> tuple[str, str] | None:
    """Return (kind, title) when the quote opens with one of the known phrases in bold."""
    if not quote.children or not isinstance(quote[0], nodes.paragraph):
        return None
    # The Markdown parser puts an empty text before the bold one.
    lead = next((child for child in quote[0] if child.astext()), None)
    if not isinstance(lead, nodes.strong):
        return None
    title = lead.astext().strip().rstrip(".:。：!！")
    kind = KINDS.get(title.lower())
    return (kind, title) if kind else None


class Callouts(SphinxTransform):
    """Replace the quotes that are callouts by admonitions of our own classes."""

    default_priority = 210

    def apply(self) -> None:
        """Walk the document once."""
        for quote in list(self.document.findall(nodes.block_quote)):
            found = callout_kind(quote)
            if not found:
                continue
            kind, title = found
            first = quote[0]
            while not first.pop(0).astext():
                pass
            if first.children and isinstance(first[0], nodes.Text):
                first[0] = nodes.Text(first[0].astext().lstrip())
            box = nodes.admonition(classes=["callout", f"callout-{kind}"])
            box += nodes.title(title, title)
            box += quote.children if first.children else quote.children[1:]
            quote.replace_self(box)


def setup(app: Sphinx) -> None:
    """Register the transform."""
    app.add_transform(Callouts)
