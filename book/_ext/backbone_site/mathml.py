"""Formulas become MathML when the book is built: no script, no font, readable by screen readers."""

from __future__ import annotations

import html
import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

# latex2mathml passes commands it does not know through as if they were names.
UNKNOWN = re.compile(r">(\\[A-Za-z]+)<")


def to_mathml(tex: str, display: str, node: nodes.Node) -> str:
    """Return `tex` as a `<math>` element; a formula that cannot be read is a build warning."""
    try:
        math = convert(tex, display=display)
    except Exception as error:  # latex2mathml raises many unrelated types on bad input
        reason = f"{type(error).__name__} {error}"
    else:
        unknown = UNKNOWN.search(math)
        if not unknown:
            return math
        reason = f"unknown command {unknown[1]}"
    logger.warning("formula %r: %s", tex, reason, location=node, type="backbone")
    return f"<code>{html.escape(tex)}</code>"


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write `$…$`."""
    translator.body.append(to_mathml(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_display(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write `$$…$$` in a box that scrolls by itself on narrow screens."""
    math = to_mathml(node.astext(), "block", node)
    translator.body.append(f'<div class="math-display">{math}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Offer the renderer under the name `mathml` (see `html_math_renderer` in `_config.yml`)."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
