"""Everything the book adds to Sphinx: one small module per concern."""

from __future__ import annotations

from sphinx.application import Sphinx

from . import (
    addresses,
    callouts,
    explorables,
    icons,
    images,
    landmarks,
    languages,
    last_run,
    mathml,
    meta,
    offline,
    security,
    words,
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register every part of the extension."""
    parts = (
        addresses,
        callouts,
        explorables,
        icons,
        images,
        landmarks,
        languages,
        last_run,
        mathml,
        meta,
        offline,
        security,
        words,
    )
    for part in parts:
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
