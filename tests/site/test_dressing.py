"""What the book's own Sphinx extension does: its pieces, and what a build with it refuses."""

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from docutils import nodes
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))
from backbone_site.callouts import callout_kind
from backbone_site.images import shrink
from backbone_site.last_run import last_run_line
from backbone_site.svg import dark_twin, inline_svg, palette, themed
from backbone_site.words import NAMES

ROOT = Path(__file__).resolve().parents[2]
DRAWING = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd">
<svg width="72pt" height="36pt" viewBox="0 0 72 36" xmlns="http://www.w3.org/2000/svg"
  xmlns:xlink="http://www.w3.org/1999/xlink"><title>%3</title>
<defs><marker id="tip"/></defs><g id="node1"><title>a</title>
<path fill="none" stroke="#E07B00" marker-end="url(#tip)"/><use xlink:href="#tip"/>
<text fill="black" style="stroke:#abcdef">a</text></g></svg>"""
COLOURS = {"#e07b00": "--fig-skip", "#000000": "--fig-ink"}


def test_a_drawing_moves_into_the_page():
    svg = inline_svg(DRAWING, 'an "arrow" <x>', "p-1-", COLOURS)
    print(svg)
    assert 'role="img"' in svg
    assert 'aria-label="an &quot;arrow&quot; &lt;x&gt;"' in svg
    assert "<title" not in svg
    assert "DOCTYPE" not in svg
    assert 'width="96"' in svg, "72 points are 96 pixels"
    assert 'id="p-1-node1"' in svg
    assert "url(#p-1-tip)" in svg
    assert 'href="#p-1-tip"' in svg
    assert "stroke:var(--fig-skip, #e07b00)" in svg
    assert "fill:var(--fig-ink, #000000)" in svg
    assert f"--tint-abcdef:{dark_twin('#abcdef')}" in svg
    assert 'fill="none"' in svg


def test_two_drawings_share_no_id():
    both = [inline_svg(DRAWING, "x", prefix, COLOURS) for prefix in ("p-1-", "p-2-")]
    first, second = (set(re.findall(r' id="([^"]+)"', svg)) for svg in both)
    assert first
    assert not first & second


@pytest.mark.parametrize(("light", "dark"), [("#ffffff", True), ("#1f2933", False)])
def test_the_dark_twin_turns_lightness_round(light, dark):
    twin = dark_twin(light)
    print(light, twin)
    brightness = sum(int(twin[i : i + 2], 16) for i in (1, 3, 5)) / 3
    assert (brightness < 128) is dark


def test_the_palette_is_read_from_the_package():
    found = palette(ROOT / "src" / "backbone" / "anatomy" / "style.py")
    print(found)
    assert {"--fig-ink", "--fig-paper", "--fig-main", "--fig-skip", "--fig-grey"} <= set(
        found.values()
    )


def test_unknown_words_are_no_colours():
    others = {}
    assert themed("none", COLOURS, others) == "none"
    assert not others


@pytest.mark.parametrize(
    ("lead", "kind"),
    [
        ("Key idea.", "key"),
        ("Predict.", "predict"),
        ("Try it.", "try"),
        ("Watch out.", "watch"),
        ("动手试试。", "try"),
        ("Something else.", None),
    ],
)
def test_which_quotes_are_callouts(lead, kind):
    quote = nodes.block_quote("", nodes.paragraph("", "", nodes.Text(""), nodes.strong("", lead)))
    found = callout_kind(quote)
    assert (found and found[0]) == kind


def test_a_plain_quote_is_no_callout():
    assert callout_kind(nodes.block_quote("", nodes.paragraph("", "Predict. It says"))) is None


def test_the_footer_line_in_both_languages():
    record = {"ran": "2026-11-22", "torch": "2.13.0", "seconds": 12}
    assert "· torch 2.13.0 · 12 s<" in last_run_line(record, "en")
    assert "上次运行" in last_run_line(record, "zh_CN")


def test_names_that_stay_on_one_line():
    assert NAMES.findall("A U-Net, a ResNet-18 and plain-56, not the-end") == [
        "U-Net",
        "ResNet-18",
        "plain-56",
    ]


def build_tiny_book(folder, alt, formula="x"):
    """Build a book of one notebook with one drawing, with the book's own extension."""
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'
    output = nbformat.v4.new_output("display_data", {"image/svg+xml": drawing})
    cell = nbformat.v4.new_code_cell("draw()", outputs=[output])
    if alt:
        cell.metadata["mystnb"] = {"image": {"alt": alt}}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(f"# A title\n\nA formula, ${formula}$."), cell],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "backbone": {"ran": "2026-01-02", "torch": "2.13.0", "seconds": 3},
        },
    )
    book = folder / "book"
    book.mkdir()
    nbformat.write(notebook, book / "page.ipynb")
    (book / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    config = {
        "title": "T",
        "execute": {"execute_notebooks": "off"},
        "sphinx": {
            "local_extensions": {"backbone_site": str(ROOT / "book" / "_ext")},
            "config": {
                "html_math_renderer": "mathml",
                # As in ours: that button's script sits in an attribute, which the build refuses.
                "html_theme_options": {"use_fullscreen_button": False},
            },
        },
    }
    (book / "_config.yml").write_text(yaml.safe_dump(config))
    main = "from jupyter_book.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", main, "build", book, "--path-output", folder / "out", "-W"],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
        check=False,
    )


@pytest.mark.parametrize(
    ("alt", "formula", "complaint"),
    [
        ("A square that shows one pixel", "x^2", None),
        ("", "x^2", "picture without alternative text"),
        ("figure.png", "x^2", "picture without alternative text"),
        ("A square that shows one pixel", r"x^2^3", "formula"),
        ("A square that shows one pixel", r"\nosuchcommand x", "unknown command"),
    ],
)
def test_what_the_build_refuses(tmp_path, alt, formula, complaint):
    done = build_tiny_book(tmp_path, alt, formula)
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    print(f"exit {done.returncode}:", done.stderr[-200:])
    assert (done.returncode == 0) == (complaint is None), said[-3000:]
    assert complaint is None or complaint in said


def chapters():
    return sorted((ROOT / "book" / "en").glob("*.ipynb"))


@pytest.mark.parametrize("source", chapters(), ids=lambda path: path.stem)
def test_every_callout_of_a_chapter_is_dressed(site, source):
    cells = json.loads(source.read_text("utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    opening = r"^> \*\*(?:Key idea|Predict|Try it|Watch out)\.\*\*"
    written = len(re.findall(opening, text, re.MULTILINE))
    page = (site / f"{source.stem}.html").read_text("utf-8")
    dressed = len(re.findall(r'class="[^"]*\bcallout-(?:key|predict|try|watch)\b', page))
    print(f"{source.stem}: {written} callouts")
    assert dressed == written


@pytest.mark.parametrize("source", chapters(), ids=lambda path: path.stem)
def test_a_shared_link_shows_title_and_description(site, source):
    page = (site / f"{source.stem}.html").read_text("utf-8")
    meta = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', page))
    print(meta["og:title"], "|", meta["og:description"])
    article = page.split("<article", 1)[1]
    heading = re.search(r"<h1>(.*?)<a class=\"headerlink", article, re.DOTALL)[1]
    assert unescape(meta["og:title"]).strip() == unescape(re.sub(r"<[^>]+>", "", heading)).strip()
    assert len(meta["og:description"]) > 40
    assert meta["description"] == meta["og:description"]


def test_drawings_use_only_colours_that_the_style_sheet_declares(site):
    pages = "".join(p.read_text("utf-8") for p in site.glob("*.html"))
    css = (ROOT / "book" / "assets" / "book.css").read_text("utf-8")
    used = set(re.findall(r"var\((--fig-[a-z-]+),", pages))
    declared = {name: len(re.findall(rf"{name}:", css)) for name in used}
    print(declared)
    assert used
    assert set(declared.values()) == {3}, "each needs a light, a dark and a printed colour"


def test_pictures_become_smaller_and_stay_the_same(tmp_path):
    images = tmp_path / "_images"
    images.mkdir()
    chance = np.random.default_rng(0)
    flat = np.kron(chance.integers(0, 255, (8, 8, 3)), np.ones((40, 40, 1))).astype(np.uint8)
    Image.fromarray(flat).save(images / "flat.png", compress_level=1)
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(images / "dot.png")
    before = {p.name: p.stat().st_size for p in images.iterdir()}
    page = tmp_path / "zh" / "page.html"
    page.parent.mkdir()
    page.write_text('<img src="../_images/flat.png"> <a href="other/flat.png">', "utf-8")
    saved = shrink(tmp_path)
    after = {p.name: p.stat().st_size for p in images.iterdir()}
    print(before, "→", after, f"{saved} bytes saved")
    assert saved == sum(before.values()) - sum(after.values()) > 0
    assert "flat.webp" in after and "flat.png" not in after
    with Image.open(images / "flat.webp") as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), flat)
    text = page.read_text("utf-8")
    assert text == '<img src="../_images/flat.webp"> <a href="other/flat.png">'


def test_pictures_hold_their_place_and_load_late(site):
    pages = [p.read_text("utf-8") for p in site.glob("*.html")]
    images = [re.findall(r"<img [^>]*alt=[^>]*_images/[^>]*>", page) for page in pages]
    total = sum(map(len, images))
    late = sum("loading=" in tag for tags in images for tag in tags)
    print(f"{total} images, {late} load late")
    assert total >= 5
    assert late >= total - len(pages)
    assert all("width=" in tag and "height=" in tag for tags in images for tag in tags)
