"""Weigh every page of the built site, as a reader's browser loads it with an empty cache.

    python tools/budget.py [page …]      a table; exit status 1 if a page is over its budget

Text is counted as web servers send it, compressed with gzip; pictures and fonts as they are.
Figures and late pictures count: each page is scrolled to its end and every figure woken.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response

from browser import open_browser, serve

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
TEXT = {"html", "css", "js", "svg", "json"}  # what web servers compress
PICTURES = {"png", "webp", "jpg", "jpeg", "svg", "gif"}
WITH_FIGURES, WITHOUT = 1_500_000, 600_000  # bytes a page may send


@dataclass
class Weight:
    """What one page sends.

    Attributes:
        total: bytes in all.
        requests: number of files.
        scripts: bytes of script, before compression, without the networks' weights.
        picture: bytes of the largest picture.
        figures: number of interactive figures.
    """

    total: int = 0
    requests: int = 0
    scripts: int = 0
    picture: int = 0
    figures: int = 0

    @property
    def budget(self) -> int:
        """Bytes that the page may send."""
        return WITH_FIGURES if self.figures else WITHOUT


def weigh(responses: Iterable[Response], figures: int) -> Weight:
    """Return what a page's responses weigh."""
    weight = Weight(figures=figures)
    for response in responses:
        path = urlsplit(response.url).path
        if not path.rpartition("/")[2]:
            path += "index.html"
        kind, body = path.rpartition(".")[2], response.body()
        sent = len(gzip.compress(body)) if kind in TEXT else len(body)
        weight.total += sent
        weight.requests += 1
        if kind == "js" and "/networks/" not in path:
            weight.scripts += len(body)
        if kind in PICTURES:
            weight.picture = max(weight.picture, sent)
    return weight


def visit(page: Page, address: str) -> Weight:
    """Open a page, go to its end, wake its figures, and weigh what came."""
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))
    page.goto(address)
    page.evaluate("for (const i of document.images) i.loading = 'eager'")
    for figure in page.query_selector_all(".explorable"):
        figure.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.explorable')].every(f => f.dataset.ready)"
    )
    page.wait_for_load_state("networkidle")
    return weigh(responses, page.locator(".explorable").count())


def table(browser: Browser, address: str, names: list[str]) -> list[str]:
    """Print what each page weighs; return the names of those over their budget."""
    over = []
    heads = ("page", "kB sent", "of", "requests", "script kB", "largest picture kB", "figures")
    print("{:26}{:>9}{:>7}{:>10}{:>11}{:>20}{:>9}".format(*heads))
    for name in names:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        weight = visit(context.new_page(), f"{address}/{name}.html")
        context.close()
        over += [name] if weight.total > weight.budget else []
        print(
            f"{name:26}{weight.total / 1e3:9.0f}{weight.budget / 1e3:7.0f}"
            f"{weight.requests:10}{weight.scripts / 1e3:11.0f}{weight.picture / 1e3:20.0f}"
            f"{weight.figures:9}"
        )
    return over


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit status."""
    if not (SITE / "index.html").is_file():
        print(f"There is no {SITE / 'index.html'}. Build the site first: make book")
        return 1
    found = [*sorted(SITE.glob("*.html")), *sorted(SITE.glob("zh/*.html"))]
    names = arguments or [str(path.relative_to(SITE).with_suffix("")) for path in found]
    missing = [name for name in names if not (SITE / f"{name}.html").is_file()]
    if missing:
        print(f"No such page: {', '.join(missing)}. Pages are named as in the address bar.")
        return 1
    with serve(SITE) as address, open_browser() as browser:
        over = table(browser, address, names)
    if over:
        print(f"Over budget: {', '.join(over)}")
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
