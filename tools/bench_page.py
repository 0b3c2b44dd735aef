"""How long until the first screen is alive: the index of the built site, in a browser.

    python tools/bench_page.py

Prints the median over several fresh visits, in milliseconds after the page's `load` event and
after the visit began. Aim: alive within a second of load.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from browser import open_browser, serve

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
VISITS = 7
# When the first figure says that it is ready, in milliseconds since the visit began.
WATCH = """
new MutationObserver(() => {
  if (!window.alive && document.querySelector('.explorable')?.dataset.ready === 'true')
    window.alive = performance.now();
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


def main() -> None:
    """Visit, and say how long it took."""
    after_load, in_all = [], []
    with serve(SITE) as address, open_browser() as browser:
        for _ in range(VISITS):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.add_init_script(WATCH)
            page.goto(f"{address}/index.html", wait_until="load")
            page.wait_for_function("window.alive", timeout=60_000)
            alive, load = page.evaluate(
                "[window.alive, performance.getEntriesByType('navigation')[0].loadEventEnd]"
            )
            in_all.append(alive)
            after_load.append(alive - load)
            context.close()
    print(
        f"index alive {statistics.median(after_load):.0f} ms after load, "
        f"{statistics.median(in_all):.0f} ms after the visit began "
        f"(median of {VISITS}; slowest {max(in_all):.0f} ms)"
    )


if __name__ == "__main__":
    main()
