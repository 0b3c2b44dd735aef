"""Skip surgery in JupyterLab: a reader's mouse and a reader's Python move the same figure."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import numpy as np
import pytest
from looks import complaints, pixel_sum
from PIL import Image

from browser import open_browser

FIGURE = '.explorable[data-ready="true"]'
OVERLAY = f"{FIGURE} .x-theatre > div:last-child canvas"
CELLS = (
    "from backbone.explorables import SkipSurgery\nlab = SkipSurgery(sample=2)\nlab",
    "print(lab.cut, round(lab.iou, 2))",
    "lab.cut = []",
    "print(lab.image.shape, round(lab.image.mean().item(), 4))",
)
SETTINGS = {  # JupyterLab's own, so that it asks nobody for news
    "notification": {"fetchNews": "false", "checkForUpdates": False},
    "themes": {"theme": "JupyterLab Light"},
}
CONNECTED = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
SLOW = 60_000  # ms


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab in a folder of its own, with one notebook; its address."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    (folder / "book").mkdir()
    nbformat.write(notebook, folder / "book/surgery.ipynb")
    settings = folder / "settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    for name, value in SETTINGS.items():
        (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(value))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "IPYTHONDIR": folder / "ipython",
        "OMP_NUM_THREADS": "1",
    }
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--LabApp.extension_manager=readonly",
        "--LabApp.expose_app_in_browser=True",
    ]
    log = folder / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=folder / "book",
            env=os.environ | {key: str(value) for key, value in own.items()},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(f"{address}/api", server, log)
        yield address
    finally:
        server.terminate()  # stops its kernels, too
        server.wait(60)


def wait_for_server(address, server, log):
    until = time.monotonic() + SLOW / 1000
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                print("jupyter_server", json.load(answer)["version"])
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab does not answer:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def page(lab):
    """The notebook in the browser, with its figure ready.

    Nothing may be asked of anybody else, and no error reported.
    """
    wrong = []
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1400})
        page.on(
            "request",
            lambda r: r.url.startswith((lab, "data:", "blob:")) or wrong.append(r.url),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{lab}/lab/tree/surgery.ipynb")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell >> nth=0", timeout=SLOW)
        page.wait_for_function(CONNECTED, timeout=SLOW)  # a cell run before that is forgotten
        start = time.monotonic()
        run(page, 0)
        page.wait_for_selector(FIGURE, timeout=SLOW)
        print(f"figure ready {time.monotonic() - start:.1f} s after its cell was run")
        yield page
    print("asked of others, or errors:", wrong)
    assert wrong == []


def cell(page, index):
    return page.locator(".jp-Notebook .jp-CodeCell").nth(index)


def run(page, index):
    """Run a cell as a reader does, and wait until it is done."""
    before = cell(page, index).locator(".jp-InputPrompt").inner_text()
    cell(page, index).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(
        """([index, before]) => {
            const cell = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[index];
            const now = cell.querySelector('.jp-InputPrompt').textContent;
            return now !== before && /\\[\\d+\\]/.test(now);
        }""",
        arg=[index, before],
        timeout=SLOW,
    )


def printed(page, index):
    """What a cell prints."""
    run(page, index)
    output = cell(page, index).locator(".jp-OutputArea-output pre")
    output.wait_for(timeout=SLOW)
    return output.inner_text().strip()


def said(page, words):
    page.locator(f"{FIGURE} .x-said", has_text=words).wait_for(timeout=SLOW)


def paper(file):
    """Brightness of the commonest grey of a picture, 0 to 1."""
    grey = np.asarray(Image.open(file).convert("L"))
    return round(float(np.bincount(grey.ravel()).argmax() / 255), 2)


def test_the_figure_and_python_move_each_other(page):
    said(page, "all skips: IoU")
    whole, picture = page.inner_text(f'{FIGURE} [data-value="score"]'), pixel_sum(page, OVERLAY)

    skip = page.get_by_role("switch", name="skip 1", exact=True)
    assert skip.is_checked()
    skip.click()
    said(page, "without skip 1: IoU")
    without = page.inner_text(f'{FIGURE} [data-value="score"]')
    for _ in range(5):  # the page sends its IoU when the kernel has taken the cut
        told = printed(page, 1)
        print(f"IoU on the page {whole}, without skip 1 {without}; in Python: {told}")
        if told == f"['encode_layer1'] {float(without)}":
            break
    assert told == f"['encode_layer1'] {float(without)}"
    assert float(without) < float(whole) - 0.2
    assert pixel_sum(page, OVERLAY) != picture

    run(page, 2)
    said(page, "all skips: IoU")
    assert skip.is_checked()
    assert page.inner_text(f'{FIGURE} [data-value="score"]') == whole
    assert pixel_sum(page, OVERLAY) == picture


def test_a_picture_changed_on_the_page_is_there_in_python(page):
    page.get_by_text("Paint, or open a picture").click()
    assert "goes to your kernel" in page.inner_text(
        f"{FIGURE} .x-more"
    )  # no longer only the page's
    page.get_by_role("button", name="Clear").click()
    said(page, "all skips: 0.0 %")
    told = printed(page, 3)
    print("after Clear:", told)
    assert told == "torch.Size([1, 128, 128]) 0.0"


def test_light_and_dark(page, tmp_path):
    seen = {}
    for theme in ("Light", "Dark"):
        page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })",
            f"JupyterLab {theme}",
        )
        page.wait_for_selector(
            f'body[data-jp-theme-light="{str(theme == "Light").lower()}"]',
            state="attached",
            timeout=SLOW,
        )
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=SLOW)
        page.locator(FIGURE).screenshot(path=tmp_path / f"{theme}.png")
        seen[theme] = paper(tmp_path / f"{theme}.png")
        assert complaints(page, FIGURE) == []
    print(f"brightness of the figure's paper: {seen}; pictures in {tmp_path}")
    assert seen["Light"] > 0.9 and seen["Dark"] < 0.2
