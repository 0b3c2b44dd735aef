"""The JavaScript of a figure as one text: its view, and every module the view imports.

In Jupyter a figure's script must be one module; on a page opened from a folder it may not be a
module at all. Both are made here from the same small files, by putting one after the other, each
in a function of its own. That works because our modules keep to two forms, which are checked:

    import { a, b } from "./other.js";
    export function a …      export async function a …      export const a = …      export class a …
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

JS = Path(__file__).parent / "js"

IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function|const|class)\s+(\w+))", re.MULTILINE)
OTHER_FORM = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
# Documentation stays in the files. Only whole lines, so that no string can be hurt.
COMMENT = re.compile(r"^[ \t]*(?:/\*\*?(?:.|\n)*?\*/|//[^\n]*)[ \t]*\n", re.MULTILINE)

# The words of one language: a block that opens and closes on lines of their own.
WORDS = {
    language: re.compile(rf"^([ \t]+){language}: \{{\n(?:.*\n)*?\1\}},\n", re.MULTILINE)
    for language in ("en", "zh")
}


def views() -> list[str]:
    """Return the names of all views, such as "skip-surgery"."""
    return sorted(file.stem for file in (JS / "views").glob("*.js"))


def style() -> str:
    """Return the style sheet of the figures."""
    return (JS / "explorables.css").read_text("utf-8")


@cache
def module_script(view: str) -> str:
    """Return the script of one figure as an ES module, for anywidget.

    Raises:
        ValueError: there is no such view, or one of its files has a form of import or export
            other than the two above.
    """
    text = _joined([_file(view), "parts/figure.js"])
    return (
        f"{text}\nexport default {{ render: ({{ model, el }}) => "
        f"parts_figure.show(views_{_identifier(view)}.{_camel(view)}, model, el) }};\n"
    )


def page_script(wanted: Iterable[str], language: str = "") -> str:
    """Return one classic script that brings every figure of a page to life.

    Args:
        wanted: the names of the page's views.
        language: "en" or "zh" leaves out the words of the other; "" keeps both.

    Raises:
        ValueError: as for `module_script`.
    """
    names = sorted(set(wanted))
    text = _joined([*map(_file, names), "loader.js"])
    for other in WORDS.keys() - {language} if language else ():
        text = WORDS[other].sub("", text)
    known = ", ".join(f'"{name}": views_{_identifier(name)}.{_camel(name)}' for name in names)
    return f'(() => {{\n"use strict";\n{text}\nloader.bringToLife({{ {known} }});\n}})();\n'


def write_modules(folder: Path, wanted: Iterable[str], language: str) -> Path:
    """Write the modules of a page one by one, for a bundler; return the file that starts them.

    A bundler that sees the modules leaves out what no view of the page uses, and needs no function
    around each of them: the script gets some 2 kB lighter than `page_script`.

    Raises:
        ValueError: as for `module_script`.
    """
    names = sorted(set(wanted))
    for file in JS.rglob("*.js"):
        text = file.read_text("utf-8")
        for other in WORDS.keys() - {language}:
            text = WORDS[other].sub("", text)
        path = folder / file.relative_to(JS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    lines = [f'import {{ {_camel(name)} }} from "./{_file(name)}";' for name in names]
    known = ", ".join(f'"{name}": {_camel(name)}' for name in names)
    lines += ['import { bringToLife } from "./loader.js";', f"bringToLife({{ {known} }});"]
    entry = folder / "page.js"
    entry.write_text("\n".join(lines), "utf-8")
    return entry


def _file(view: str) -> str:
    if view not in views():
        raise ValueError(f"There is no view {view!r}. Choose from {', '.join(views())}.")
    return f"views/{view}.js"


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(part.capitalize() for part in rest)


def _identifier(path: str) -> str:
    """A name for a file in JavaScript: "parts/dom.js" → parts_dom."""
    return re.sub(r"\W", "_", path.removesuffix(".js"))


def _joined(roots: list[str]) -> str:
    """Modules and what they import, each after those it needs."""
    done: dict[str, str] = {}
    open_: list[str] = []

    def add(path: str) -> None:
        if path in done:
            return
        if path in open_:
            raise ValueError(f"{' → '.join([*open_, path])}: JavaScript files import in a circle.")
        open_.append(path)
        text = COMMENT.sub("", (JS / path).read_text("utf-8"))
        for _, other in IMPORT.findall(text):
            add(_resolve(path, other))
        done[path] = _wrapped(path, text)
        open_.pop()

    for root in roots:
        add(root)
    return "\n".join(done.values())


def _resolve(path: str, other: str) -> str:
    """The file that `import … from other` in `path` means, seen from the js folder."""
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / other).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _wrapped(path: str, text: str) -> str:
    """One module as a function that gives what it exports."""
    exported = EXPORT.findall(text)
    body = EXPORT.sub("", text)
    body = IMPORT.sub(
        lambda found: f"const {{{found[1]}}} = {_identifier(_resolve(path, found[2]))};\n", body
    )
    if other := OTHER_FORM.search(body):
        raise ValueError(
            f'{path}: "{other[0]}" is a form of import or export that is not bundled. '
            "See backbone/explorables/bundle.py."
        )
    gives = f"return {{ {', '.join(exported)} }};"
    return f"const {_identifier(path)} = (() => {{\n{body}\n{gives}\n}})();"
