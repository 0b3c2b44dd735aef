"""The built site, a server for it, and one browser for all tests."""

import subprocess
import sys

import pytest
from visiting import ROOT, Opened, Visit

from browser import open_browser, serve

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


# pytest runs all tests of one page together, so each page is loaded once and not twelve times.
@pytest.fixture(scope="module")
def opened(request, browser, address):
    page = Opened(request.param, browser, address)
    yield page
    page.close()
