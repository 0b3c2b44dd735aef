"""Turn the printed models of a Markdown document into data for the tests.

    python tools/make_listing_fixture.py path/to/document.md

takes every fenced code block that is a printed module (it starts with `Name(` and its second line
is a named submodule) and writes tests/fixtures/listings.json: for each model, in order, one
[module path, class, arguments shown] per module. The committed file came from the source document
that `about-the-source` describes.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from backbone.saving import write_whole  # noqa: E402
from backbone.sums import note_sum  # noqa: E402
from listing import parse_listing  # noqa: E402

_BLOCK = re.compile(r"^```\w*\n(\w+\(\n  \(.*?\n\))\n```$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Write the fixture from the document named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    document = Path(sys.argv[1]).read_text(encoding="utf-8")
    listings = {}
    for text in _BLOCK.findall(document):
        entries = parse_listing(text)
        listings[entries[0][1]] = entries
    if not listings:
        sys.exit(f"No printed model found in {sys.argv[1]}.")

    models = []
    for name, entries in listings.items():
        lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
        models.append(f" {json.dumps(name)}: [\n{lines}\n ]")
        print(f"{name}: {len(entries)} modules")
    target = ROOT / "tests" / "fixtures" / "listings.json"
    write_whole(target, "{\n" + ",\n".join(models) + "\n}\n")
    note_sum(target, target.read_bytes(), text=True)
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
