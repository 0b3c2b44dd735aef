"""Film the two figures that open the book, for the README: one animated picture each.

    python tools/make_stills.py        writes .github/skip-surgery.webp, .github/microscope.webp

Needs the built site and a browser.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page

from browser import open_browser, serve

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
OUT = ROOT / ".github"
SECONDS = 1600  # milliseconds that each picture stays
LARGEST = 500_000  # bytes of one film


def film(page: Page, figure: Locator, steps: list[Callable[[], None]]) -> list[Image.Image]:
    """Take a picture before the first step and after each."""
    pictures = []
    for step in (lambda: None, *steps):
        step()
        page.wait_for_timeout(900)
        data = figure.screenshot(animations="disabled")
        pictures.append(Image.open(io.BytesIO(data)).convert("RGB"))
    return pictures


def save(pictures: list[Image.Image], name: str) -> None:
    """Write one animated picture; all are cut to the smallest height."""
    height = min(picture.height for picture in pictures)
    first, *rest = (picture.crop((0, 0, picture.width, height)) for picture in pictures)
    path = OUT / name
    first.save(path, save_all=True, append_images=rest, duration=SECONDS, loop=0, quality=78)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {len(pictures)} pictures, {size / 1e3:.0f} kB")
    if size > LARGEST:
        raise SystemExit(f"{name} is too large for a README.")


def main() -> None:
    """Open the index, use both figures as a reader would, and write the films."""
    with serve(SITE) as address, open_browser() as browser:
        page = browser.new_page(
            viewport={"width": 1280, "height": 1000},
            device_scale_factor=1.25,
            reduced_motion="reduce",
        )
        page.goto(f"{address}/index.html")
        surgery = page.locator('[data-explorable="skip-surgery"]')
        surgery.scroll_into_view_if_needed()
        page.wait_for_selector('[data-explorable="skip-surgery"][data-ready="true"]')

        def cut(n: int) -> Callable[[], None]:
            return surgery.get_by_role("switch", name=f"skip {n}", exact=True).click

        save(film(page, surgery, [cut(4), cut(3), cut(2), cut(1)]), "skip-surgery.webp")

        glance = page.locator('[data-explorable="feature-glance"]')
        glance.scroll_into_view_if_needed()
        page.wait_for_selector('[data-explorable="feature-glance"][data-ready="true"]')
        samples = glance.locator(".x-samples button")
        shortcuts = glance.get_by_role("switch")
        steps = [samples.nth(i).click for i in (1, 5, 8)]
        steps += [shortcuts.nth(i).click for i in (0, 1)]
        save(film(page, glance, steps), "microscope.webp")


if __name__ == "__main__":
    main()
