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
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
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


def rebase(config: dict[str, Any]) -> dict[str, Any]:
    """Return the root configuration, made to work with `book/en` as the source folder."""
    sphinx = config["sphinx"]
    for name, path in sphinx["local_extensions"].items():
        sphinx["local_extensions"][name] = str(ROOT / path)
    for key in ("html_static_path", "templates_path"):
        if key in sphinx["config"]:
            sphinx["config"][key] = [str(ROOT / path) for path in sphinx["config"][key]]
    config["html"]["favicon"] = str(ROOT / config["html"]["favicon"])
    config["repository"]["path_to_book"] = PREFIX
    return config


def write_english(folder: Path) -> tuple[Path, Path]:
    """Write the English edition's configuration and contents; return the two paths."""
    folder.mkdir(parents=True)
    config, toc = folder / "_config.yml", folder / "_toc.yml"
    with (ROOT / "_config.yml").open(encoding="utf-8") as file:
        config.write_text(yaml.safe_dump(rebase(yaml.safe_load(file))), "utf-8")
    with (ROOT / "_toc.yml").open(encoding="utf-8") as file:
        toc.write_text(yaml.safe_dump(strip_prefix(yaml.safe_load(file))), "utf-8")
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


def build(output: Path) -> None:
    """Build every edition that exists and put the result in place of `output`."""
    work = output.parent / f".work-{output.name}"
    shutil.rmtree(work, ignore_errors=True)
    config, toc = write_english(work / "config")
    site = build_edition(ROOT / PREFIX, config, toc, work / "en")
    chinese = ROOT / "book" / "zh"
    if (chinese / "_config.yml").is_file():
        pages = build_edition(chinese, chinese / "_config.yml", chinese / "_toc.yml", work / "zh")
        shutil.move(pages, site / "zh")
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
