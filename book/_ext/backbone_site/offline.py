"""Keep every request on the site, and the site light.

Jupyter Book always loads sphinx-thebe, whose script tags point to a content-delivery network even
where Thebe is switched off. The theme loads 1.5 MB of script to turn icons into SVG that its icon
font (which it loads as well) already draws. The book needs neither.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def drop_thebe(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Remove sphinx-thebe's scripts and style sheet from one page."""

    def is_thebe(asset: object) -> bool:
        body = str(getattr(asset, "attributes", {}).get("body", ""))
        return (
            "sphinx-thebe" in str(getattr(asset, "filename", asset))
            or "THEBE_JS_URL" in body
        )

    for kind in ("script_files", "css_files"):
        context[kind][:] = [
            asset for asset in context.get(kind, []) if not is_thebe(asset)
        ]


ICON_SCRIPT = re.compile(
    r"\s*<(?:script|link)\b[^>]*/fontawesome\.js[^>]*>(?:</script>)?"
)


def drop_ballast(app: Sphinx, error: Exception | None) -> None:
    """Remove the icon script and the source maps from the finished site."""
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    for file in [*static.rglob("*.js.map"), *static.rglob("*.css.map")]:
        file.unlink()
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text("utf-8")
        lighter = ICON_SCRIPT.sub("", text)
        if lighter != text:
            page.write_text(lighter, "utf-8")
    (static / "scripts" / "fontawesome.js").unlink(missing_ok=True)


def setup(app: Sphinx) -> None:
    """Run late, after sphinx-thebe has added its files."""
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", drop_ballast)
