"""Read the code cells of a notebook file, however damaged it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from answers import CALLS, checked

MOST_BYTES = 50_000_000  # a chapter with all its figures has two
MOST_CODE = 2_000_000  # characters of code in one notebook; a chapter has 20,000
_CALL = re.compile(rf"\b(?:{'|'.join(CALLS)})\(\s*[\"']([\w-]+\.\d+)[\"']")
_SEED = re.compile(r"\bcheck\(.*\bseed\s*=\s*(\d+)\s*\)")


class Unreadable(Exception):
    """A file from which no cells can be had; the text says why, for the teacher."""


@dataclass(frozen=True)
class Code:
    """One code cell: its number among all cells, from 1, and its source."""

    number: int
    source: str

    @property
    def exercises(self) -> list[str]:
        """The exercises it hands in; see `exercises_in`."""
        return exercises_in(self.source)


def code_cells(data: bytes) -> list[Code]:
    """Return the code cells of a notebook, of format 3 or 4, valid or not.

    Only what is needed is looked at: kind and source. Ids, tags and outputs may be missing or
    wrong.

    Raises:
        Unreadable: it is no notebook.
    """
    if len(data) > MOST_BYTES:
        raise Unreadable(
            f"{len(data) / 1e6:.0f} MB are more than the {MOST_BYTES / 1e6:.0f} MB that are read. "
            "Ask for the notebook without its outputs."
        )
    if not data.strip():
        raise Unreadable("The file is empty.")
    try:
        notebook = json.loads(data.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        kind = "cut off or damaged" if data.lstrip()[:1] == b"{" else "not a notebook"
        raise Unreadable(f"The file is {kind} ({reason}).") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if (
        cells is None
        and isinstance(notebook, dict)
        and isinstance(notebook.get("worksheets"), list)
    ):
        cells = [
            cell
            for sheet in notebook["worksheets"]
            if isinstance(sheet, dict)
            for cell in sheet.get("cells") or []
        ]
    if not isinstance(cells, list):
        raise Unreadable("The file is JSON, but not a notebook: it has no cells.")
    found = [
        Code(number, _source(cell))
        for number, cell in enumerate(cells, start=1)
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]
    size = sum(len(code.source) for code in found)
    if size > MOST_CODE:
        raise Unreadable(f"{size:,} characters of code are more than anyone writes by hand.")
    return [code for code in found if code.source.strip()]


def _source(cell: dict) -> str:
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    text = source if isinstance(source, str) else ""
    return text.encode("utf-8", errors="replace").decode("utf-8").replace("\r\n", "\n")


def exercises_in(code: str) -> list[str]:
    """Return the exercises that a piece of code hands in, in order, each once.

    Code that Python cannot read, for a typing error or a magic, is searched as text.
    """
    try:
        names = checked(code)
    except (RecursionError, MemoryError):  # nested a thousand times: nobody does this by accident
        names = _CALL.findall(code)
    if not names and re.search(r"^\s*[%!]", code, re.M):
        names = _CALL.findall(code)
    return list(dict.fromkeys(names))


def seeds_in(code: str) -> set[int]:
    """Return the class seeds that `check` calls name, or 0 for a call without one."""
    lines = [line for line in code.splitlines() if _CALL.search(line)]
    return {int(seed[1]) if (seed := _SEED.search(line)) else 0 for line in lines}


def same(code: str) -> str:
    """Return what two cells have in common that differ only in blank space at line ends."""
    return "\n".join(line.rstrip() for line in code.strip().splitlines())
