"""Read the text that `print(model)` gives as data: one entry per module, in the order printed."""

from __future__ import annotations

import re

_LINE = re.compile(r"^(?P<indent> *)(?:\((?P<name>\w+)\): )?(?P<kind>\w+)\((?P<rest>.*)$")
_COMMA = re.compile(r", (?![^(]*\))")  # between arguments, not inside a pair such as (7, 7)

Entry = tuple[str, str, list[str]]


def parse_listing(text: str) -> list[Entry]:
    """Return (module path, class, arguments shown) for every module; the root has path ""."""
    entries: list[Entry] = []
    path: list[str] = []
    for line in text.strip().splitlines():
        if line.strip() == ")":
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"This line is not part of a module listing: {line!r}")
        depth = len(match["indent"]) // 2
        if depth:
            path[depth - 1 :] = [match["name"]]
        rest = match["rest"]
        arguments = _COMMA.split(rest.removesuffix(")")) if rest else []
        entries.append((".".join(path), match["kind"], arguments))
    return entries
