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


@pytest.fixture
def figure_page(browser, tmp_path):
    """Open a figure alone in a page, from a folder: `figure_page(SkipSurgery(), width=360)`.

    The page fails the test if it reports an error or asks for anything but itself.
    """
    opened, complaints = [], []

    def open_page(
        widget, width=1280, scheme="light", reduced=False, lang="en", ready=True, script=None
    ):
        file = widget.save_page(tmp_path / f"figure{len(opened)}.html", language=lang)
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce" if reduced else "no-preference",
        )
        opened.append(context)
        page = context.new_page()
        if script:  # runs before the page's own, for example to take Worker away
            page.add_init_script(script)
        page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: (
                r.url.startswith(("data:", "blob:", file.as_uri())) or complaints.append(r.url)
            ),
        )
        page.goto(file.as_uri())
        if ready:
            page.wait_for_selector('.explorable[data-ready="true"]', timeout=30_000)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert complaints == []


@pytest.fixture
def kernel(browser, tmp_path):
    """Open a figure with a kernel that the test plays: `kernel(BlockLab())`."""
    opened = []

    def start(widget, **more):
        opened.append(Kernel(browser, widget, tmp_path, **more))
        return opened[-1]

    yield start
    for page in opened:
        page.close()
