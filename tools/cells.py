"""Edit a notebook as text, and turn the text back into the same notebook.

    python tools/cells.py to-text book/en/x.ipynb > x.py
    python tools/cells.py to-notebook x.py book/en/x.ipynb

The text is jupytext's "percent" format: a cell opens with ``# %%`` and its metadata as
``key=json``. The cell's id stands there too, as ``id="count-to-18"``. On the way back a code cell
whose id and source are unchanged keeps its outputs; every other code cell loses them, so that a
stored output never belongs to code that is no longer there.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

PERCENT = "py:percent"
READABLE_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

# What every notebook says about itself. No Python version: it would change from reader to reader.
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE_INFO = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}
KEPT_METADATA = ("backbone", "widgets")  # the run's stamp · the saved state of its widgets

# jupytext's notes to itself; they mean nothing to a reader of the notebook.
JUPYTEXT_NOTES = ("cell_marker", "lines_to_next_cell", "lines_to_end_of_cell_marker")

_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)((?:\\u[0-9a-f]{4})+)")


def read_notebook(path: str | Path) -> NotebookNode:
    """Read a notebook file (format 4); line ends of Windows, in the file or in a cell, go."""
    notebook = nbformat.reads(Path(path).read_text(encoding="utf-8"), as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("\r\n", "\n")
    return notebook


def notebook_text(notebook: NotebookNode) -> str:
    """Return the one way this book writes a notebook: sorted keys, indent 1, final newline."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def save_notebook(notebook: NotebookNode, path: str | Path) -> None:
    """Write ``notebook`` to ``path`` in one step: after an interruption the old file is whole."""
    save_text(notebook_text(notebook), path)


def save_text(text: str, path: str | Path) -> None:
    """Write a text file in one step, with line feeds."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def house_metadata(notebook: NotebookNode | None) -> NotebookNode:
    """Return the notebook metadata the book stores: kernel, language, and what its tools wrote."""
    metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO})
    for key in KEPT_METADATA:
        if notebook is not None and key in notebook.metadata:
            metadata[key] = notebook.metadata[key]
    return metadata


def to_text(notebook: NotebookNode) -> str:
    """Return ``notebook`` as percent text, ids on the ``# %%`` lines, outputs left out.

    Raises:
        ValueError: an id is missing, unreadable or used twice; or a cell holds a line that opens
            a cell in the text (``# %%``), so that the text could not be read back.
    """
    bare = nbformat.v4.new_notebook()
    # Cells with all their metadata; no header, because every notebook's header is the same.
    bare.metadata["jupytext"] = {"notebook_metadata_filter": "-all", "cell_metadata_filter": "all"}
    for cell in notebook.cells:
        cell = nbformat.from_dict(cell)
        cell.source = _trim(cell.source)
        cell.metadata = nbformat.from_dict({"id": cell.get("id", ""), **cell.metadata})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        bare.cells.append(cell)
    _check_ids([(cell.metadata.id, cell.source) for cell in bare.cells])
    lines = jupytext.writes(bare, fmt=PERCENT).splitlines(keepends=True)
    text = "".join(_readable(line) if line.startswith("# %%") else line for line in lines)

    back = from_text(text)
    if [(c.id, c.source) for c in back.cells] != [(c.metadata.id, c.source) for c in bare.cells]:
        raise ValueError(
            "this notebook does not survive the way to text and back, most likely because a cell "
            "contains a line starting with '# %%'. Write that line differently."
        )
    return text


def from_text(text: str, previous: NotebookNode | None = None) -> NotebookNode:
    """Return the notebook that percent ``text`` describes.

    Args:
        text: cells in percent format; each ``# %%`` line carries an ``id="..."``.
        previous: the notebook this text replaces. Its stamp and widgets are kept, and the outputs
            of every code cell whose id and source did not change.

    Raises:
        ValueError: an id is missing, unreadable or used twice.
    """
    read = jupytext.reads(text, fmt=PERCENT)
    _check_ids([(cell.metadata.get("id", ""), cell.source) for cell in read.cells])
    stored = {cell.get("id"): cell for cell in previous.cells} if previous is not None else {}
    notebook = nbformat.v4.new_notebook(metadata=house_metadata(previous))
    for cell in read.cells:
        cell.id = cell.metadata.pop("id")
        cell.source = _trim(cell.source)
        for note in JUPYTEXT_NOTES:
            cell.metadata.pop(note, None)
        before = stored.get(cell.id)
        if before is not None and _same_code(before, cell):
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
        notebook.cells.append(cell)
    return notebook


def _trim(source: str) -> str:
    """Blank lines around a cell show nowhere and would not survive the text."""
    return source.strip("\n").rstrip()


def _same_code(before: NotebookNode, after: NotebookNode) -> bool:
    both_code = before.cell_type == after.cell_type == "code"
    return both_code and _trim(before.source) == _trim(after.source)


def _check_ids(cells: list[tuple[str, str]]) -> None:
    """Refuse cells without an id, with an id nobody can read, or with another cell's id."""
    problems = []
    counts = Counter(cell_id for cell_id, _ in cells)
    for number, (cell_id, source) in enumerate(cells, start=1):
        where = f"cell {number} ({source.strip().splitlines()[0][:50] if source.strip() else '…'})"
        if not cell_id:
            problems.append(f"{where} has no id")
        elif not READABLE_ID.fullmatch(cell_id) or len(cell_id) > 64:
            problems.append(f'{where} has the id "{cell_id}"')
        elif counts[cell_id] > 1:
            problems.append(f'{where} has the id "{cell_id}", which {counts[cell_id]} cells share')
    if problems:
        raise ValueError(
            "every cell needs its own readable id: lower-case words, digits and hyphens, at most "
            '64 characters, written on its first line as  # %% id="count-to-18"  or  '
            '# %% [markdown] id="counting". Please mend:\n  ' + "\n  ".join(problems)
        )


def _readable(line: str) -> str:
    """Write ``×`` or ``残`` as themselves; jupytext writes them as ``\\u00d7``."""

    def characters(match: re.Match[str]) -> str:
        units = bytes.fromhex(match[2].replace("\\u", ""))
        decoded = units.decode("utf-16-be")
        return match[1] + decoded if decoded.isprintable() else match[0]

    return _ESCAPE.sub(characters, line)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Edit a notebook as text.")
    commands = parser.add_subparsers(dest="command", required=True)
    out = commands.add_parser("to-text", help="print a notebook as percent text")
    out.add_argument("notebook", type=Path)
    back = commands.add_parser("to-notebook", help="write percent text into a notebook")
    back.add_argument("text", type=Path, help="the text, or - to read it from the standard input")
    back.add_argument("notebook", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "to-text":
            sys.stdout.write(to_text(read_notebook(options.notebook)))
        else:
            stdin = str(options.text) == "-"
            text = sys.stdin.read() if stdin else options.text.read_text(encoding="utf-8")
            previous = read_notebook(options.notebook) if options.notebook.exists() else None
            save_notebook(from_text(text, previous), options.notebook)
    except (ValueError, OSError) as error:
        print(f"cells.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
