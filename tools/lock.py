"""Write down the hashes of every pinned package, so that what is installed is what was tested.

    python tools/lock.py      needs uv: pip install uv

requirements.txt names all packages with their versions; each gets the hashes of all its files, for
every system and Python. Not torch: its builds (CPU, CUDA, Apple) differ and come from several
places, so it is pinned by version alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    ROOT / "requirements.txt": ROOT / "requirements.lock",
    ROOT / "tests" / "colab-requirements.txt": ROOT / "tests" / "colab-requirements.lock",
}
BY_VERSION = ("torch",)
OPTIONS = ["--no-deps", "--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"]
OPTIONS += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]


def pins(path: Path) -> dict[str, str]:
    """Return the packages of a requirements file or lock, by name, with their versions."""
    lines = [line.split("#")[0].strip(" \\\n") for line in path.read_text("utf-8").splitlines()]
    found = [line.split("==") for line in lines if "==" in line]
    return {name.lower().replace("_", "-"): version for name, version in found}


def write_lock(source: Path, target: Path) -> None:
    """Write the hashes of one requirements file. Raises `SystemExit` when uv fails."""
    wanted = "".join(f"{n}=={v}\n" for n, v in pins(source).items() if n not in BY_VERSION)
    command = ["uv", "pip", "compile", *OPTIONS, "-"]
    done = subprocess.run(command, input=wanted, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{source.name} has no lock: {done.stderr}")
    head = f"# The hashes of what {source.name} names, written by `make lock`.\n"
    target.write_text(head + done.stdout, "utf-8")
    print(f"{target.relative_to(ROOT)}: {len(pins(target))} packages")


def main() -> None:
    """Write both locks."""
    if shutil.which("uv") is None:
        sys.exit("This needs uv, which looks up the hashes. Install it: pip install uv")
    for source, target in LOCKS.items():
        write_lock(source, target)


if __name__ == "__main__":
    main()
