"""Checksums of the files in a folder, in a file that `sha256sum --check SHA256SUMS` reads, too."""

from __future__ import annotations

import hashlib
from pathlib import Path

from backbone.saving import write_whole

NAME = "SHA256SUMS"


def sha256(content: bytes, *, text: bool = False) -> str:
    """Return the sha256 of a file's content; of a text's with line feeds, whatever ends its lines.

    A clone on Windows may hold every text file with other line ends than the one that was hashed.
    """
    return hashlib.sha256(content.replace(b"\r\n", b"\n") if text else content).hexdigest()


def read_sums(folder: Path) -> dict[str, str]:
    """Return {file name: sha256} of a folder; nothing where there is no such list.

    Raises:
        ValueError: a line of the list is not "<sha256>  <file name>".
    """
    path = folder / NAME
    found = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise ValueError(f"{path} is damaged: {line!r} is not a sha256, two spaces and a name.")
        found[name] = digest
    return found


def note_sum(path: Path, content: bytes, *, text: bool = False) -> None:
    """Enter a file into the list of its folder."""
    sums = read_sums(path.parent) | {path.name: sha256(content, text=text)}
    write_whole(path.parent / NAME, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
