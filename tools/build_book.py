"""Build the site into `_build/html`: the English edition at its root, others in folders.

    python tools/build_book.py [--output FOLDER]

The build happens in an empty work folder and replaces the old site only when it succeeds,
so no stale page ever stays behind. Warnings are errors.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from sitemap import write_sitemap

ROOT = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = ROOT / "book" / "en", ROOT / "book" / "zh"
PREFIX = "book/en"


def strip_prefix(toc: object) -> object:
    """Return the table of contents with paths relative to `book/en`."""
    if isinstance(toc, dict):
        return {
            key: value.removeprefix(PREFIX + "/")
            if key in ("root", "file")
            else strip_prefix(value)
            for key, value in toc.items()
        }
    return [strip_prefix(item) for item in toc] if isinstance(toc, list) else toc


def rebase(config: dict[str, Any], home: Path, *, both: bool) -> dict[str, Any]:
    """Return a configuration whose paths hold wherever the file lies.

    Args:
        config: the content of a `_config.yml`.
        home: its folder, to which its paths are relative.
        both: the other edition is built as well, so that pages may lead to it.
    """
    sphinx = config["sphinx"]
    for name, path in sphinx["local_extensions"].items():
        sphinx["local_extensions"][name] = str((home / path).resolve())
    static = sphinx["config"]["html_static_path"]
    sphinx["config"]["html_static_path"] = [str((home / path).resolve()) for path in static]
    sphinx["config"]["backbone_both_editions"] = both
    config["html"]["favicon"] = str((home / config["html"]["favicon"]).resolve())
    config["repository"].setdefault("path_to_book", PREFIX)
    return config


def write_settings(home: Path, folder: Path, *, both: bool) -> tuple[Path, Path]:
    """Write the configuration and contents of the edition in `home`; return the two paths."""
    folder.mkdir(parents=True)
    config, toc = folder / "_config.yml", folder / "_toc.yml"
    settings = yaml.safe_load((home / "_config.yml").read_text("utf-8"))
    config.write_text(yaml.safe_dump(rebase(settings, home, both=both)), "utf-8")
    contents = yaml.safe_load((home / "_toc.yml").read_text("utf-8"))
    toc.write_text(yaml.safe_dump(strip_prefix(contents)), "utf-8")
    return config, toc


def build_edition(source: Path, config: Path, toc: Path, work: Path) -> Path:
    """Run Jupyter Book on one edition; return the folder of its pages.

    Raises `SystemExit` when the build fails or warns.
    """
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(source), "--config", str(config), "--toc", str(toc)]
    command += ["--path-output", str(work), "--all", "-W", "--keep-going", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = "\n".join(line for line in done.stderr.splitlines() if line.strip())
    if done.returncode != 0 or "WARNING" in said:
        print(done.stdout, said, sep="\n", file=sys.stderr)
        sys.exit(f"The book in {source.relative_to(ROOT)} did not build; the reasons are above.")
    return work / "_build" / "html"


def pages_of(folder: Path) -> list[Path]:
    """Return the sources of an edition's pages."""
    return [path for path in sorted(folder.iterdir()) if path.suffix in {".ipynb", ".md"}]


def build(output: Path) -> None:
    """Build every edition that exists and put the result in place of `output`."""
    work = output.parent / f".work-{output.name}"
    shutil.rmtree(work, ignore_errors=True)
    both = all((CHINESE / page.name).exists() for page in pages_of(ENGLISH))
    editions = {"en": (ENGLISH, ROOT)} | ({"zh": (CHINESE, CHINESE)} if both else {})
    with ThreadPoolExecutor() as pool:  # each is a process of its own
        builds = {
            name: pool.submit(
                build_edition,
                source,
                *write_settings(home, work / f"settings-{name}", both=both),
                work / name,
            )
            for name, (source, home) in editions.items()
        }
    sites = {name: done.result() for name, done in builds.items()}
    site = sites["en"]
    if both:
        shutil.move(sites["zh"], site / "zh")
    write_sitemap(site, ROOT / "_config.yml")
    shutil.rmtree(output, ignore_errors=True)
    shutil.move(site, output)
    shutil.rmtree(work)


def main() -> None:
    """Read the command line, build, and say where to look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "_build" / "html")
    output = parser.parse_args().output.resolve()
    start = time.perf_counter()
    build(output)
    pages = len(list(output.glob("*.html"))) + len(list(output.glob("zh/*.html")))
    print(f"Built {pages} pages in {time.perf_counter() - start:.1f} s.")
    print(f"Open {output / 'index.html'}")


if __name__ == "__main__":
    main()
