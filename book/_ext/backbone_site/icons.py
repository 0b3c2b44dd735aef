"""Send the dozen icons that the site shows, not the two thousand of the theme's icon font."""

from __future__ import annotations

import re
from pathlib import Path

from fontTools.subset import Options, Subsetter, load_font, save_font
from sphinx.application import Sphinx

# `.fa-bars:before,.fa-navicon:before{content:"\f0c9"}`
RULE = re.compile(
    r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\([0-9a-f]+)"\}', re.IGNORECASE
)
NAME = re.compile(r"\bfa-[a-z0-9-]+")
# Icons that style sheets place themselves: by their number, or as the character.
BY_NUMBER = re.compile(r'content:\s*"\\([ef][0-9a-f]{3})"', re.IGNORECASE)
AS_CHARACTER = re.compile("[\ue000-\uf8ff]")


def keep_used_icons(app: Sphinx, error: Exception | None) -> None:
    """Cut icon fonts and their style rules down to what pages and scripts use."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    static = out / "_static"
    sources = [*out.rglob("*.html"), *static.rglob("*.js")]
    used = {name for file in sources for name in NAME.findall(file.read_text("utf-8"))}
    points: set[int] = set()
    for sheet in static.rglob("*.css"):
        text = sheet.read_text("utf-8")

        def keep(rule: re.Match[str]) -> str:
            if not used & set(NAME.findall(rule[1])):
                return ""
            points.add(int(rule[2], 16))
            return rule[0]

        lighter = RULE.sub(keep, text)
        points |= {int(number, 16) for number in BY_NUMBER.findall(lighter)}
        points |= {ord(character) for character in AS_CHARACTER.findall(lighter)}
        if lighter != text:
            sheet.write_text(lighter, "utf-8")
    for font in static.rglob("fa-*.woff2"):
        options = Options(flavor="woff2", layout_features=[], notdef_outline=True)
        whole = load_font(str(font), options)
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=points)
        subsetter.subset(whole)
        save_font(whole, str(font), options)
        font.with_suffix(".ttf").unlink(missing_ok=True)  # for browsers before 2014


def setup(app: Sphinx) -> None:
    """Run when all pages and files are there, after the theme's icon script has gone."""
    app.connect("build-finished", keep_used_icons, priority=900)
