"""Which pages there are, and how a test visits them; the fixtures are in conftest.py."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def toc_pages():
    """Names of the pages in the table of contents, first to last."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"]] + [c["file"] for part in toc["parts"] for c in part["chapters"]]
    return [Path(file).name for file in files]


PAGES = toc_pages()
NOTEBOOKS = [page for page in PAGES if (ROOT / "book" / "en" / f"{page}.ipynb").exists()]


class Visit:
    """A tab that may only talk to the site, and remembers what went wrong."""

    def __init__(self, browser, address, **options):
        self.address = address
        self.context = browser.new_context(**options)
        self.context.route(lambda url: not url.startswith(address), self._refuse)
        self.page = self.context.new_page()
        self.outside, self.errors, self.responses = [], [], []
        self.page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("response", lambda response: self.responses.append(response))

    def _refuse(self, route):
        self.outside.append(route.request.url)
        route.abort()

    def open(self, name):
        self.page.goto(f"{self.address}/{name}.html", wait_until="load")
        return self.page


def wake_figures(page):
    """Scroll past every interactive figure, as a reader does, and wait until all are alive."""
    for figure in page.query_selector_all(".explorable"):
        figure.scroll_into_view_if_needed()
    ready = (
        "() => [...document.querySelectorAll('.explorable')].every(f => f.dataset.ready === 'true')"
    )
    page.wait_for_function(ready, timeout=60_000)
    page.evaluate("scrollTo(0, 0)")


class Opened:
    """One page, opened once, for tests that only look at it, in the light and in the dark."""

    def __init__(self, name, browser, address):
        self.name, self._tab = name, None
        # Without motion: a colour that fades from one theme to the other has no contrast to test.
        self.make = lambda: Visit(
            browser, address, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
        )

    def tab(self):
        if self._tab is None:
            self._tab = self.make()
            page = self._tab.open(self.name)
            page.evaluate("for (const i of document.images) i.loading = 'eager'")
            wake_figures(page)
            page.wait_for_load_state("networkidle")
        return self._tab

    def page(self, scheme="light"):
        page = self.tab().page
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(
            "(scheme) => document.documentElement.dataset.theme === scheme", arg=scheme
        )
        return page

    def close(self):
        if self._tab:
            self._tab.context.close()


def every(pages):
    """Run a test on each of these pages, with the page already open."""
    return pytest.mark.parametrize("opened", pages, indirect=True, scope="module")
