"""The built site, a server for it, and one browser for all tests."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from browser import open_browser, serve

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
SOURCES = [
    "_config.yml",
    "_toc.yml",
    "book",
    "tools/build_book.py",
    "src/backbone/anatomy/style.py",
    "src/backbone/explorables",
    "src/backbone/weights",
]


def toc_pages():
    """Names of the pages in the table of contents, first to last."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"]] + [c["file"] for part in toc["parts"] for c in part["chapters"]]
    return [Path(file).name for file in files]


PAGES = toc_pages()
NOTEBOOKS = [page for page in PAGES if (ROOT / "book" / "en" / f"{page}.ipynb").exists()]


def newest(path):
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return max(f.stat().st_mtime for f in files if "__pycache__" not in f.parts)


@pytest.fixture(scope="session")
def site():
    """The folder of the built site, built again if a source is newer."""
    index = SITE / "index.html"
    changed = max(newest(ROOT / source) for source in SOURCES)
    if not index.exists() or index.stat().st_mtime < changed:
        subprocess.run([sys.executable, ROOT / "tools" / "build_book.py"], check=True)
    return SITE


@pytest.fixture(scope="session")
def address(site):
    with serve(site) as url:
        yield url


# One a module, not a session: Playwright's event loop must be gone before the notebooks of the
# same pytest run start their kernels.
@pytest.fixture(scope="module")
def browser():
    with open_browser() as chromium:
        yield chromium


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


@pytest.fixture
def visit(browser, address):
    """Make tabs: `visit(width=390, scheme="dark")`."""
    made = []

    def make(width=1280, scheme="light", **options):
        size = {"width": width, "height": 900}
        tab = Visit(browser, address, viewport=size, color_scheme=scheme, **options)
        made.append(tab)
        return tab

    yield make
    for tab in made:
        tab.context.close()


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


# pytest runs all tests of one page together, so each page is loaded once and not twelve times.
@pytest.fixture(scope="module")
def opened(request, browser, address):
    page = Opened(request.param, browser, address)
    yield page
    page.close()


def every(pages):
    """Run a test on each of these pages, with the page already open."""
    return pytest.mark.parametrize("opened", pages, indirect=True, scope="module")
