"""Photograph every page of the built site: desktop and phone, light and dark.

    python tools/screenshots.py FOLDER [PAGE ...]

For looking at; not a test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from browser import open_browser, serve

ROOT = Path(__file__).resolve().parent.parent
WIDTHS = {"desktop": 1280, "phone": 390}


def main() -> None:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*", help="page names without .html; default: all")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    skip = {"genindex", "search"}
    pages = args.pages or sorted(p.stem for p in args.site.glob("*.html") if p.stem not in skip)
    with serve(args.site) as address, open_browser() as browser:
        for name, width in WIDTHS.items():
            for scheme in ("light", "dark"):
                tab = browser.new_page(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                for page in pages:
                    tab.goto(f"{address}/{page}.html", wait_until="load")
                    # Pictures load late: scroll through once, then return to the top.
                    tab.evaluate(
                        "for (const i of document.images) i.loading = 'eager';"
                        "Promise.all([...document.images].map(i => i.decode().catch(() => 0)))"
                    )
                    target = args.folder / f"{page}-{name}-{scheme}.png"
                    tab.screenshot(path=target, full_page=True)
                    print(target)
                tab.close()


if __name__ == "__main__":
    main()
