"""Title and description that other sites show when someone shares a link."""

from __future__ import annotations

import html
import re
import textwrap
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# Text inside these is not how one would describe a page.
NOT_PROSE = (
    nodes.admonition,
    nodes.block_quote,
    nodes.table,
    nodes.list_item,
    nodes.container,
)


def first_paragraph(doctree: nodes.document) -> str:
    """Return the page's first plain paragraph, shortened to what previews show."""
    for paragraph in doctree.findall(nodes.paragraph):
        parent = paragraph.parent
        while parent is not None and not isinstance(parent, NOT_PROSE):
            parent = parent.parent
        text = " ".join(paragraph.astext().split())
        if parent is None and len(text) > 40:
            return textwrap.shorten(text, 200, placeholder=" …")
    return ""


def add_meta(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Add description and Open Graph tags to one page."""
    book = app.config.html_title
    title = html.unescape(re.sub(r"<[^>]+>", "", context.get("title", ""))) or book
    tags = {"og:type": "article", "og:site_name": book, "og:title": title}
    description = first_paragraph(doctree) if doctree is not None else ""
    lines = [
        f'<meta property="{k}" content="{html.escape(v)}">' for k, v in tags.items()
    ]
    if description:
        text = html.escape(description)
        lines.append(f'<meta name="description" content="{text}">')
        lines.append(f'<meta property="og:description" content="{text}">')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines) + "\n"


def setup(app: Sphinx) -> None:
    """Connect to the writing of pages."""
    app.connect("html-page-context", add_meta)
