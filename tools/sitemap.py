"""The two files in which search engines look first: sitemap.xml and robots.txt."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import yaml

# Made by Sphinx: lists of what other pages hold.
LISTS = {"genindex", "search", "py-modindex"}
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


def addresses(site: Path, root: str) -> list[str]:
    """Return the public address of every page of a built site; an edition's first is its folder."""
    pages = [*sorted(site.glob("*.html")), *sorted(site.glob("zh/*.html"))]
    names = [page.relative_to(site).as_posix() for page in pages if page.stem not in LISTS]
    return [f"{root.rstrip('/')}/{name.removesuffix('index.html')}" for name in names]


def write_sitemap(site: Path, config: Path) -> None:
    """Write both files into a built site, if its settings say where it is published.

    A search engine reads robots.txt at the root of a host only; below it, as on a project's
    GitHub Pages, the sitemap has to be named to it by hand.
    """
    root = yaml.safe_load(config.read_text("utf-8"))["html"].get("baseurl")
    if not root:
        return
    lines = [f"  <url><loc>{escape(address)}</loc></url>" for address in addresses(site, root)]
    body = "\n".join([f'<urlset xmlns="{NAMESPACE}">', *lines, "</urlset>", ""])
    (site / "sitemap.xml").write_text(HEAD + body, "utf-8")
    robots = f"User-agent: *\nAllow: /\n\nSitemap: {root.rstrip('/')}/sitemap.xml\n"
    (site / "robots.txt").write_text(robots, "utf-8")
