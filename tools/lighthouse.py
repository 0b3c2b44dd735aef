"""Let Lighthouse look at pages of the built site, on its desktop settings, and print the scores.

    python tools/lighthouse.py [page …]     exit status 1 if a page is below what we ask of it

The site is served as web servers serve it, with text compressed. Lighthouse itself is an npm
package, pinned in tools/lighthouse and installed by `tools/setup.sh lighthouse`. Its marks for
speed vary with what else the machine does: a page that is below gets the median of three visits.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from browser import FLAGS, QuietHandler, serve, system_browser
from budget import SITE, TEXT

PROGRAM = Path(__file__).parent / "lighthouse" / "node_modules" / ".bin" / "lighthouse"
PAGES = ["index", "residual-blocks", "segmentation", "glossary", "zh/unet-architecture"]
WANTED = {"performance": 90, "accessibility": 100, "best-practices": 100, "seo": 100}


class Compressing(QuietHandler):
    """Serve text with gzip, as GitHub Pages does."""

    def do_GET(self) -> None:
        """Send one file."""
        path = Path(self.translate_path(self.path))
        if path.suffix[1:] not in TEXT or not path.is_file():
            return super().do_GET()
        body = packed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@functools.cache
def packed(path: Path) -> bytes:
    """Return a file's bytes, compressed; once, so that only the first visit pays for it."""
    return gzip.compress(path.read_bytes(), mtime=0)


def chrome() -> str:
    """Return the path of the browser that the site tests use as well."""
    found = system_browser()
    if found is None:
        with sync_playwright() as playwright:
            found = playwright.chromium.executable_path
    return found


def ask(url: str) -> dict[str, Any]:
    """Run Lighthouse on one address; return its report.

    Raises `SystemExit` with what Lighthouse said when it fails.
    """
    command = [str(PROGRAM), url, "--preset=desktop", "--output=json", "--quiet"]
    command += [f"--only-categories={','.join(WANTED)}"]
    command += [f"--chrome-flags={' '.join([*FLAGS, '--headless=new'])}"]
    surroundings = os.environ | {"CHROME_PATH": chrome(), "CI": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    report = json.loads(done.stdout) if done.returncode == 0 else {}
    if done.returncode != 0 or "runtimeError" in report:
        sys.exit(f"Lighthouse could not look at {url}:\n{done.stderr}{report.get('runtimeError')}")
    return report


def scores(report: dict[str, Any]) -> dict[str, int]:
    """Return the four marks of a report, each from 0 to 100."""
    return {name: round(100 * (report["categories"][name]["score"] or 0)) for name in WANTED}


def misses(report: dict[str, Any]) -> list[str]:
    """Return what took points off, a line for each audit, the dearest first."""
    found = []
    for name, category in report["categories"].items():
        whole = sum(part["weight"] for part in category["auditRefs"])
        for part in category["auditRefs"]:
            audit = report["audits"][part["id"]]
            lost = part["weight"] * (1 - audit["score"]) if audit["score"] is not None else 0
            if round(100 * lost / whole) >= 1:
                words = audit.get("displayValue", "")
                line = f"{name}: −{100 * lost / whole:.0f} for {audit['title']} {words}"
                found.append((lost / whole, line.rstrip()))
    return [line for _, line in sorted(found, reverse=True)]


def look(url: str) -> dict[str, Any]:
    """Return the report of one page; of the middle visit of three if the first was too slow."""
    first = ask(url)
    if scores(first)["performance"] >= WANTED["performance"]:
        return first
    visits = [first, ask(url), ask(url)]
    return sorted(visits, key=lambda report: scores(report)["performance"])[1]


def table(address: str, names: list[str]) -> list[str]:
    """Print the marks of each page and what took points off; return the pages below."""
    below = []
    print(f"{'page':24}" + "".join(f"{name:>16}" for name in WANTED))
    with ThreadPoolExecutor(2) as pool:  # most of a visit is waiting
        reports = pool.map(look, [f"{address}/{name}.html" for name in names])
        for name, report in zip(names, reports, strict=True):
            marks = scores(report)
            print(f"{name:24}" + "".join(f"{marks[kind]:16}" for kind in WANTED), flush=True)
            for line in misses(report):
                print(f"    {line}")
            if any(marks[kind] < WANTED[kind] for kind in WANTED):
                below.append(name)
    return below


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit status."""
    names = arguments or PAGES
    missing = [name for name in names if not (SITE / f"{name}.html").is_file()]
    if missing:
        print(f"Not in the built site: {', '.join(missing)}. Build it first: make book")
        return 1
    if not PROGRAM.exists():
        print("Lighthouse is not installed here: tools/setup.sh lighthouse")
        return 1
    with serve(SITE, Compressing) as address:
        below = table(address, names)
    if below:
        print(f"Below what we ask ({', '.join(f'{k} {v}' for k, v in WANTED.items())}): {below}")
    return int(bool(below))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
