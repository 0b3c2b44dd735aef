"""A page in a real browser that holds the engine, and pages that hold one figure each."""

import shutil
from pathlib import Path

import pytest
from parity import JS, EnginePage
from pretend_kernel import Kernel

from browser import open_browser, serve


@pytest.fixture(scope="module")
def browser():
    with open_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def engine(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    for file in (*JS.glob("*.js"), Path(__file__).parent / "page.js"):
        shutil.copy(file, folder)
    (folder / "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
        '<script type="module" src="page.js"></script>'
    )
    with serve(folder) as address:
        page = browser.new_page()
        page.goto(f"{address}/index.html")
        page.wait_for_function("window.check !== undefined")  # as is, it would be called
        yield EnginePage(page, folder)


class Tabs:
    """Tabs that outlive a test: to start one takes longer than to show a figure in it.

    A test gets each of its tabs empty, and never the same one twice.
    """

    def __init__(self, browser):
        self.context = browser.new_context()
        self.free, self.taken, self.complaints, self.files = [], [], [], {}

    def take(self, file, width=1280, height=900, scheme="light", reduced=False):
        """Show a file in a tab of this size, and note what the page does wrong."""
        page = self.free.pop() if self.free else self.watch(self.context.new_page())
        self.taken.append(page)
        page.set_viewport_size({"width": width, "height": height})
        motion = "reduce" if reduced else "no-preference"
        page.emulate_media(color_scheme=scheme, reduced_motion=motion)
        self.files[page] = file.as_uri()
        page.goto(file.as_uri())
        return page

    def watch(self, page):
        """Note errors, and requests for anything but the page itself."""
        page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "request",
            lambda r: (
                r.url.startswith(("data:", "blob:", self.files[page]))
                or self.complaints.append(r.url)
            ),
        )
        return page

    def give_back(self):
        """Empty the tabs of a test, which ends all that still runs there; return the complaints."""
        complaints = self.complaints
        for page in self.taken:
            self.files[page] = "about:blank"
            page.goto("about:blank")
            page.mouse.move(0, 0)
        self.free += self.taken
        self.taken, self.complaints = [], []
        return complaints


@pytest.fixture(scope="module")
def tabs(browser):
    made = Tabs(browser)
    yield made
    made.context.close()


@pytest.fixture
def tab(tabs):
    """Show a file in a tab: `tab(file, width=360)`. The test fails if the page reports an error."""
    yield tabs.take
    assert tabs.give_back() == []


@pytest.fixture
def figure_page(browser, tabs, tab, tmp_path):
    """Open a figure alone in a page, from a folder: `figure_page(SkipSurgery(), width=360)`.

    The page fails the test if it reports an error or asks for anything but itself.
    """
    own, files = [], []

    def open_page(widget, lang="en", ready=True, script=None, **look):
        file = widget.save_page(tmp_path / f"figure{len(files)}.html", language=lang)
        files.append(file)
        if script:  # runs before the page's own, for example to take Worker away; a tab keeps it
            own.append(Tabs(browser))
            own[-1].context.add_init_script(script)
            own[-1].complaints = tabs.complaints
        page = own[-1].take(file, **look) if script else tab(file, **look)
        if ready:
            page.wait_for_selector('.explorable[data-ready="true"]', timeout=30_000)
        return page

    yield open_page
    for made in own:
        made.context.close()


@pytest.fixture
def kernel(tab, tmp_path):
    """Open a figure with a kernel that the test plays: `kernel(BlockLab())`."""
    opened = []

    def start(widget, **more):
        opened.append(Kernel(tab, widget, tmp_path, **more))
        return opened[-1]

    yield start
    for page in opened:
        page.close()
