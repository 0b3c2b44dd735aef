"""Execute notebooks and store their outputs so that the same run gives the same file.

    python tools/run_notebooks.py                    every English notebook (``make notebooks``)
    python tools/run_notebooks.py book/en/x.ipynb    only these
    python tools/run_notebooks.py --check            execute, report changed cells, write nothing

A notebook is written in one step and only after every cell succeeded. Nothing volatile is stored:
no timings, no memory addresses, widget ids counted instead of drawn at random, and an image whose
pixels did not change keeps its bytes. ``metadata.backbone`` says when and with what the stored
outputs were computed; it changes only when they do, so a second run leaves ``git diff`` empty.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import io
import itertools
import json
import os
import re
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image
from tqdm import tqdm

from cells import house_metadata, notebook_text, read_notebook, save_notebook

ROOT = Path(__file__).resolve().parent.parent
STAMP = "backbone"
CELL_SECONDS = 600  # a cell that needs longer has no place in a book that runs on two cores
MIN_ALT = 15  # characters; shorter is a label, not a description

IMAGE_TYPES = ("image/png", "image/svg+xml", "image/jpeg")
VOLATILE_TAGS = {"nbval-ignore-output", "nbval-skip"}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of a traceback meant for a terminal
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


class NotebookError(Exception):
    """A notebook could not be executed, or may not be stored as it came out."""


class ThisPython(KernelSpecManager):
    """Whatever kernel is asked for, start the Python that runs this script.

    An installed ``python3`` kernel may belong to another environment and to another torch.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the kernel of ``sys.executable``."""
        return KernelSpec(resource_dir="", **get_kernel_dict())


class Client(NotebookClient):
    """nbclient on ``ThisPython``."""

    def create_kernel_manager(self) -> KernelManager:
        """Make the manager and hand it our kernel."""
        manager = super().create_kernel_manager()
        manager.kernel_spec_manager = ThisPython(parent=self)
        return manager


def execute(stored: NotebookNode, path: Path) -> NotebookNode:
    """Run every cell of a copy of ``stored`` in the folder of ``path`` and return the copy.

    Raises:
        NotebookError: a cell failed; with the notebook, the cell's id and its traceback.
    """
    fresh = nbformat.from_dict(stored)
    fresh.metadata.pop("widgets", None)
    for cell in fresh.cells:
        cell.metadata.pop("execution", None)  # timings that an editor may have left
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

    bar = tqdm(total=len(fresh.cells), desc=path.name, unit="cell")
    with bar, tempfile.TemporaryDirectory() as profile:
        client = Client(
            fresh,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(path.parent.resolve())}},
            on_cell_complete=lambda cell, cell_index: bar.update(cell_index + 1 - bar.n),
        )
        try:
            client.execute(env=_environment(profile))
        except (CellTimeoutError, DeadKernelError) as error:
            raise NotebookError(f"{path}: the kernel gave up: {error}") from error
        except Exception as error:
            cell = _failed_cell(fresh)
            if cell is None:
                raise
            trace = COLOUR.sub("", "\n".join(cell.outputs[-1].get("traceback", []))) or str(error)
            raise NotebookError(f"{path}: cell {cell.id!r} failed.\n{trace}") from error
    return fresh


def _environment(profile: str) -> dict[str, str]:
    """Return the kernel's environment: nothing personal, nothing random, no progress bars."""
    commands = Path(sys.executable).parent  # `dot` may live here, as in an activated environment
    return os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ.get('PATH', '')}",
        "IPYTHONDIR": profile,  # not the reader's own start-up files
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",  # a bar shows seconds, which differ every time
    }


def _failed_cell(notebook: NotebookNode) -> NotebookNode | None:
    for cell in reversed(notebook.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            cell.outputs = [output for output in cell.outputs if output.output_type == "error"]
            return cell
    return None


# --- the same run, the same file ---------------------------------------------------------------


def tidy(fresh: NotebookNode, stored: NotebookNode) -> NotebookNode:
    """Return ``fresh`` with everything volatile removed; unchanged images as in ``stored``."""
    before = {cell.get("id"): cell for cell in stored.cells}
    for cell in fresh.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = merge_streams(cell.outputs)
        old_images = _images(before[cell.id]) if cell.id in before else []
        images = iter(old_images)
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = ADDRESS.sub("at 0x…", output.text)
            for kind, data in output.get("data", {}).items():
                if kind.startswith("text/") and isinstance(data, str):
                    output.data[kind] = ADDRESS.sub("at 0x…", data)
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = stable_png(output.data["image/png"], next(images, None))
    fresh = slim_figures(stable_widgets(fresh))
    widgets = fresh.metadata.get("widgets")
    fresh.metadata = house_metadata(stored)
    fresh.metadata.pop("widgets", None)
    if widgets:
        fresh.metadata.widgets = widgets
    return fresh


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring stdout texts, and stderr texts, which arrive in pieces at random."""
    merged = []
    for is_stream, group in itertools.groupby(outputs, key=lambda o: o.output_type == "stream"):
        pieces = list(group)
        if not is_stream:
            merged += pieces
            continue
        for name in ("stdout", "stderr"):
            text = "".join(piece.text for piece in pieces if piece.name == name)
            if text:
                merged.append(nbformat.v4.new_output("stream", name=name, text=text))
    return merged


def _images(cell: NotebookNode) -> list[str]:
    outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [data["image/png"] for data in outputs if "image/png" in data]


def stable_png(encoded: str, stored: str | None) -> str:
    """Return ``encoded`` (base64) small and without metadata, or ``stored`` if it looks the same.

    The file shrinks without loss: full opacity drops the alpha channel, and an image of at most
    256 colours gets a palette.
    """
    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    if stored is not None:
        old = Image.open(io.BytesIO(base64.b64decode(stored))).convert("RGBA")
        if old.size == image.size and old.tobytes() == image.tobytes():
            return stored
    if image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")
        if image.getcolors(256) is not None:
            pixels = np.asarray(image).reshape(-1, 3)
            colours, index = np.unique(pixels, axis=0, return_inverse=True)
            size = image.size
            image = Image.frombytes("P", size, index.astype(np.uint8).tobytes())
            image.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    image.info.clear()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def stable_widgets(notebook: NotebookNode) -> NotebookNode:
    """Number the widget models in order of appearance; ipywidgets draws their ids at random."""
    state: dict[str, Any] = {}
    for kind in notebook.metadata.get("widgets", {}).values():
        state |= kind.get("state", {})
    shown = [
        output.data[kind]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
        if kind == "application/vnd.jupyter.widget-view+json"
    ]
    names = {old: f"{n:032x}" for n, old in enumerate(dict.fromkeys([*shown, *state]), start=1)}
    if not names:
        return notebook
    pattern = re.compile("|".join(map(re.escape, names)))
    text = pattern.sub(lambda match: names[match[0]], json.dumps(notebook))
    return nbformat.from_dict(json.loads(text))


def slim_figures(notebook: NotebookNode) -> NotebookNode:
    """Leave out of the book's figures what the site and a kernel have anyway.

    That is their script and style and, where one of the book's own networks runs in them, its
    program and weights: half a megabyte that would be in every notebook, and could grow old there.
    """
    for kind in notebook.metadata.get("widgets", {}).values():
        for record in kind.get("state", {}).values():
            state = record.get("state", {})
            if "explorable" not in state:
                continue
            spared = {"_esm", "_css"}
            if state.get("network"):
                spared |= {"program", "weights"}
            for key in spared:
                state.pop(key, None)
            if "buffers" in record:
                record["buffers"] = [b for b in record["buffers"] if b["path"][0] not in spared]
    return notebook


# --- what may be stored, and when it counts as new ---------------------------------------------


def check_alt_texts(notebook: NotebookNode, path: Path) -> None:
    """Refuse a figure that a screen reader cannot tell.

    Raises:
        NotebookError: a cell shows an image and has no alt text of ``MIN_ALT`` characters.
    """
    for cell in notebook.cells:
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if kinds & set(IMAGE_TYPES) and len(alt.strip()) < MIN_ALT:
            raise NotebookError(
                f"{path}: cell {cell.id!r} shows a figure; its alt text is {alt!r}, but needs at "
                f"least {MIN_ALT} characters that say what is to be seen. Add to the cell's first "
                'line:  mystnb={"image": {"alt": "…"}}'
            )


def code_hash(notebook: NotebookNode) -> str:
    """Return a short hash of the code that computed the outputs (the setup cell has none)."""
    code = [c.source for c in notebook.cells if c.cell_type == "code" and c.get("id") != "setup"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]


def changed_cells(fresh: NotebookNode, stored: NotebookNode) -> list[str]:
    """Return the ids of code cells whose stored outputs are not those of ``fresh``.

    A cell tagged as volatile counts as changed only if it had not been run.
    """
    changed = []
    for new, old in zip(fresh.cells, stored.cells, strict=True):
        if new.cell_type != "code":
            continue
        volatile = VOLATILE_TAGS & set(new.metadata.get("tags", []))
        if new.execution_count != old.execution_count or (
            new.outputs != old.outputs and not volatile
        ):
            changed.append(new.id)
    return changed


def run(path: Path, *, check: bool = False) -> list[str]:
    """Execute the notebook at ``path``, store it if something changed, and return what changed.

    Args:
        path: the notebook.
        check: write nothing, whatever the result.

    Raises:
        NotebookError: a cell failed or a figure lacks its alt text. The file is as before.
    """
    stored = read_notebook(path)
    began = time.perf_counter()
    fresh = execute(stored, path)
    seconds = time.perf_counter() - began
    fresh = tidy(fresh, stored)
    check_alt_texts(fresh, path)

    changed = changed_cells(fresh, stored)
    if fresh.metadata.get("widgets") != stored.metadata.get("widgets"):
        changed.append("the saved state of its widgets")
    stamp = stored.metadata.get(STAMP, {})
    if stamp.get("code") != code_hash(fresh):
        changed.append("the code since its last run")
    if changed:
        fresh.metadata[STAMP] = {
            "ran": datetime.date.today().isoformat(),
            "torch": version("torch").split("+")[0],
            "seconds": round(seconds),
            "code": code_hash(fresh),
        }
    else:  # what a volatile cell shows is replaced only together with the rest
        for new, old in zip(fresh.cells, stored.cells, strict=True):
            if new.cell_type == "code":
                new.outputs = old.outputs
    if not check and notebook_text(fresh) != path.read_text(encoding="utf-8"):
        save_notebook(fresh, path)
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Execute notebooks and store their outputs.")
    parser.add_argument("notebooks", type=Path, nargs="*", help="default: book/en/*.ipynb")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a change")
    options = parser.parse_args(arguments)
    paths = options.notebooks or sorted((ROOT / "book" / "en").glob("*.ipynb"))
    if not paths:
        print("run_notebooks.py: there is no notebook in book/en", file=sys.stderr)
        return 1
    any_change = False
    for path in paths:
        try:
            changed = run(path, check=options.check)
        except (NotebookError, OSError) as error:
            print(f"run_notebooks.py: {error}", file=sys.stderr)
            return 1
        any_change |= bool(changed)
        verb = "would change" if options.check else "stored"
        print(f"{path.name}: {verb + ' ' + ', '.join(changed) if changed else 'unchanged'}")
    return int(options.check and any_change)


if __name__ == "__main__":
    sys.exit(main())
