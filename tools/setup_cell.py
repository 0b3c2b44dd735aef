"""The setup cell: the first code cell of every notebook, written once, here.

    python tools/setup_cell.py            print it
    python tools/setup_cell.py --write    write it into every notebook (or into those named)

It makes ``import backbone`` work wherever the notebook is opened. Installed: nothing to do. In a
checkout: the ``src`` folder is found by walking up. In Colab, where only the notebook itself
arrives: the tag of this version is cloned once. Nothing that is present is installed again,
because replacing a package under a running Colab session breaks the session.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from cells import notebook_text, read_notebook, save_notebook

ROOT = Path(__file__).resolve().parent.parent
CELL_ID = "setup"
TAGS = ["hide-cell"]

TEMPLATE = """\
# Make `import backbone` work: installed, in a folder above, or (Colab) fetched once.
import os
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = "<REPOSITORY>"
if find_spec("backbone") is None:
    clone = Path("backbones").resolve()
    fetch = f"git clone -q --depth 1 -b v<VERSION> {REPOSITORY} backbones"
    fetch += " -c advice.detachedHead=false"  # git explains tags at length
    homes = [f for f in (*clone.parents, clone) if (f / "src/backbone").is_dir()]
    if not homes and os.system(fetch) != 0:
        raise RuntimeError(f"No code arrived. Check network, delete {clone}, retry.")
    sys.path.insert(0, str((homes or [clone])[0] / "src"))
install = f'"{sys.executable}" -m pip install -q --no-deps torchinfo'
if find_spec("torchinfo") is None and os.system(install) != 0:
    raise RuntimeError("No torchinfo arrived: check the network, then run again.")
"""


# Answers to exercises are then commented on in the language of the page.
IN_CHINESE = 'os.environ["BACKBONE_LANGUAGE"] = "zh"\n'


def setup_source(pyproject: Path = ROOT / "pyproject.toml", language: str = "en") -> str:
    """Return the setup cell for the version and repository that ``pyproject.toml`` names."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    source = TEMPLATE.replace("<VERSION>", project["version"])
    if language == "zh":
        source += IN_CHINESE
    return source.replace("<REPOSITORY>", project["urls"]["Repository"]).rstrip("\n")


def with_setup(notebook: NotebookNode, language: str = "en") -> NotebookNode:
    """Return ``notebook`` with today's setup cell, after the first cell where it had none.

    A setup cell prints nothing, so a new version number in it leaves the other outputs true.
    """
    notebook = nbformat.from_dict(notebook)
    cell = next((c for c in notebook.cells if c.get("id") == CELL_ID), None)
    if cell is None:
        cell = nbformat.v4.new_code_cell(id=CELL_ID)
        opens_with_prose = bool(notebook.cells) and notebook.cells[0].cell_type == "markdown"
        notebook.cells.insert(int(opens_with_prose), cell)
    cell.source = setup_source(language=language)
    cell.metadata["tags"] = TAGS
    cell["outputs"] = []
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Print or write the notebooks' setup cell.")
    parser.add_argument("--write", action="store_true", help="write it into the notebooks")
    parser.add_argument("notebooks", type=Path, nargs="*", help="default: book/*/*.ipynb")
    options = parser.parse_args(arguments)
    if not options.write:
        print(setup_source())
        return 0
    for path in options.notebooks or sorted(ROOT.glob("book/*/*.ipynb")):
        notebook = read_notebook(path)
        language = "zh" if path.resolve().parent.name == "zh" else "en"
        updated = with_setup(notebook, language)
        if notebook_text(updated) != notebook_text(notebook):
            save_notebook(updated, path)
            print(f"updated {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
