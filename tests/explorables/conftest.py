"""A page in a real browser that holds the engine, and a way to ask it to run a model."""

import shutil
from pathlib import Path

import pytest
from parity import JS, EnginePage

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
