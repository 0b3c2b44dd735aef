"""A Content-Security-Policy on every page: the browser itself refuses what is not of this site.

Scripts must be files of the site or one of the theme's few inline ones, which are known by their
hash; none is evaluated from text, and none sits in an attribute. Styles may be inline: Matplotlib's and Graphviz's drawings,
Pygments, tables and the figures' own boxes carry `style` attributes that differ from page to page,
and a style can load nothing here, because what it may load is restricted as well.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

# What a page may do, beyond scripts. `file:` is 'self' for a page opened from a folder; a page
# from a server may not read files, whatever it is allowed.
RULES = {
    "default-src": "'none'",
    "style-src": "'self' file: 'unsafe-inline'",
    "img-src": "'self' file: data: blob:",  # data: icons of the theme; blob: a picture you open
    "font-src": "'self' file:",
    "connect-src": "'self'",  # the search reads the pages it lists
    "worker-src": "blob:",  # the figures' networks compute beside the page
    "form-action": "'self' file:",  # the search field
    "base-uri": "'none'",
}
# Python's regular expressions suffice: the pages are our own, and browsers check the result.
SCRIPT = re.compile(r"<script\b(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.S)
PRINT = ' onclick="window.print()"'  # page.js listens to this button instead
HANDLER = re.compile(r'<[a-z][^<>]*?\son[a-z]+="[^"]*"')
DATA = re.compile(r'\btype="(?!text/javascript|module)')  # no script: a block of data
PLURAL = re.compile(
    r"new Function\(\s*\"n\",\s*`return \(\$\{catalog\.plural_expr\}\)`\s*\)"
)
HEAD = re.compile(r'<head>\s*<meta charset="utf-8"\s*/?>')


def fingerprint(text: str) -> str:
    """Return a script's hash as the policy writes it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def policy(page: str) -> str:
    """Return the policy of a page, given all of its HTML."""
    inline = {
        script["text"]
        for script in SCRIPT.finditer(page)
        if not re.search(r"\bsrc=", script["attributes"])
        and not DATA.search(script["attributes"])
    }
    allowed = ["'self'", "file:", *sorted(map(fingerprint, inline))]
    rules = RULES | {"script-src": " ".join(allowed)}
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def add_policies(app: Sphinx, error: Exception | None) -> None:
    """Write each page's policy into its head, before anything that it governs."""
    if error or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        if "_static" in path.relative_to(app.outdir).parts:
            continue
        page = path.read_text("utf-8").replace(PRINT, "")
        if "<head>" not in page and 'http-equiv="Refresh"' in page:
            continue  # a line that leads elsewhere in the site, as `jupyter-book build .` writes
        for handler in HANDLER.findall(page):
            logger.warning(
                "%s: a script that cannot run: %s", path.name, handler, type="backbone"
            )
        tag = f'\n    <meta http-equiv="Content-Security-Policy" content="{policy(page)}" />'
        page, heads = HEAD.subn(lambda head, tag=tag: head[0] + tag, page, count=1)
        if not heads:
            logger.warning(
                "%s: no head for the security policy", path.name, type="backbone"
            )
        path.write_text(page, "utf-8")
    _count_without_eval(Path(app.outdir, "_static", "doctools.js"))


def _count_without_eval(doctools: Path) -> None:
    """Let Sphinx's translations count without making a function from text.

    They do so for languages with several plural forms. Chinese has one, number 0.
    """
    text, places = PLURAL.subn(
        "() => Number(catalog.plural_expr)", doctools.read_text("utf-8")
    )
    if not places:
        logger.warning(
            "doctools.js: look again for functions made from text", type="backbone"
        )
    doctools.write_text(text, "utf-8")


def setup(app: Sphinx) -> None:
    """Come last: a script that changes after this is a script that does not run."""
    app.connect("build-finished", add_policies, priority=990)
