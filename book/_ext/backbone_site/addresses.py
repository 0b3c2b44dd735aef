"""Where each page is published: its canonical address, its twin's, and the card that links show.

All follow from one setting, `html.baseurl` of `_config.yml`: the root of the site, under which the
Chinese edition lies in `zh/`. Readers' own links stay relative, so that the site works in a folder.
"""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

FOLDERS = {"en": "", "zh": "zh/"}
CODES = {"en": "en", "zh": "zh-CN"}
CARD_SIZE = (1200, 630)


def address(root: str, language: str, page: str) -> str:
    """Return the public address of a page; the first page of an edition is its folder's."""
    name = page.removeprefix(
        "book/en/"
    )  # as plain `jupyter-book build .` calls the pages
    name = "" if name == "index" else f"{name}.html"
    return f"{root.rstrip('/')}/{FOLDERS[language]}{name}"


def add_addresses(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Add the addresses to one page; lists such as the index are not to be found by searching."""
    root, language = app.config.html_baseurl, str(app.config.language or "en")[:2]
    if not root:
        return
    if doctree is None:
        context["pageurl"] = None  # no canonical link
        lines = ['<meta name="robots" content="noindex">']
    else:
        own = context["pageurl"] = address(root, language, page)
        lines = [f'<meta property="og:url" content="{html.escape(own)}">']
        if app.config.backbone_both_editions:
            twins = {CODES[other]: address(root, other, page) for other in FOLDERS}
            twins["x-default"] = twins["en"]
            lines += [
                f'<link rel="alternate" hreflang="{code}" href="{html.escape(twin)}">'
                for code, twin in twins.items()
            ]
        card = html.escape(f"{root.rstrip('/')}/_static/card-{language}.png")
        lines += [
            f'<meta property="og:image" content="{card}">',
            f'<meta property="og:image:width" content="{CARD_SIZE[0]}">',
            f'<meta property="og:image:height" content="{CARD_SIZE[1]}">',
            f'<meta property="og:image:alt" content="{html.escape(app.config.html_title)}">',
            '<meta name="twitter:card" content="summary_large_image">',
        ]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines) + "\n"


def setup(app: Sphinx) -> None:
    """Connect to the writing of pages."""
    app.connect("html-page-context", add_addresses)
