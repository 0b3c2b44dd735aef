"""Pictures: alternative text, reserved space, late loading, small files; drawings in the page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import ParseError

from docutils import nodes
from PIL import Image, UnidentifiedImageError
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

from .svg import inline_svg, palette

logger = logging.getLogger(__name__)

STYLE = (
    Path(__file__).resolve().parents[3] / "src" / "backbone" / "anatomy" / "style.py"
)
STRIP = 2.0  # a picture so much wider than high is a strip of panels
FILE_NAME = re.compile(r"\.(png|svg|jpe?g|gif|webp)$", re.IGNORECASE)


class Pictures(SphinxPostTransform):
    """Check alternative texts and put SVG drawings into the page."""

    # After myst-nb has chosen one format for every output (4), before Sphinx's own
    # image conversion.
    default_priority = 6
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Walk the pictures of one page."""
        variables = palette(STYLE) if STYLE.is_file() else {}
        page = re.sub(r"[^a-z0-9]+", "-", self.env.docname.lower()).strip("-")
        for number, node in enumerate(
            list(self.document.findall(nodes.image)), start=1
        ):
            alt = " ".join(node.get("alt", "").split())
            if len(alt) < 15 or FILE_NAME.search(alt):
                logger.warning(
                    "picture without alternative text (have %r). Say what it shows in the "
                    'cell\'s metadata: {"mystnb": {"image": {"alt": "…"}}}',
                    alt,
                    location=node,
                    type="backbone",
                )
            source = picture_file(self.app, node)
            node["lazy"] = number > 1
            node["output"] = in_output(node)
            if source is None:
                continue
            if source.suffix == ".svg":
                try:
                    drawing = inline_svg(
                        source.read_text("utf-8"), alt, f"{page}-{number}-", variables
                    )
                except ParseError as error:
                    logger.warning(
                        "%s: not SVG: %s", source.name, error, type="backbone"
                    )
                    continue
                node.replace_self(
                    nodes.raw(
                        "", f'<div class="drawing-box">{drawing}</div>', format="html"
                    )
                )
            else:
                try:
                    with Image.open(source) as picture:
                        node["pixels"] = picture.size
                        if picture.width > STRIP * picture.height:
                            node["classes"].append("strip")
                except UnidentifiedImageError as error:
                    logger.warning("%s: %s", source.name, error, type="backbone")


def in_output(node: nodes.Node) -> bool:
    """Say whether a cell drew the picture."""
    while node.parent is not None:
        node = node.parent
        if "cell_output" in node.get("classes", []):
            return True
    return False


def picture_file(app: Sphinx, node: nodes.image) -> Path | None:
    """Return the file a local picture comes from."""
    for candidate in node.get("candidates", {}).values():
        path = Path(app.srcdir, candidate)
        if path.is_file():
            return path
    return None


def displayed_size(node: nodes.image) -> tuple[int, int] | None:
    """Return width and height in CSS pixels, from the output's metadata or the file itself."""
    if "pixels" not in node:
        return None
    width, height = node["pixels"]
    wanted = str(node.get("width", "")).removesuffix("px")
    if wanted.isdigit():
        return int(wanted), round(int(wanted) * height / width)
    return width, height


def visit_image(translator: HTML5Translator, node: nodes.image) -> None:
    """Write `<img>` with its size (the page does not jump while loading) and late loading."""
    size = displayed_size(node)
    if size:
        for key in ("width", "height", "scale"):
            node.attributes.pop(key, None)
    if node.get("output"):
        translator.body.append('<div class="picture-box">')
    start = len(translator.body)
    HTML5Translator.visit_image(translator, node)
    extra = f' width="{size[0]}" height="{size[1]}"' if size else ""
    if node.get("lazy"):
        extra += ' loading="lazy"'
    extra += ' decoding="async"'
    for i in range(start, len(translator.body)):
        translator.body[i] = translator.body[i].replace("<img ", f"<img{extra} ", 1)


def depart_image(translator: HTML5Translator, node: nodes.image) -> None:
    """Close what `visit_image` opened."""
    HTML5Translator.depart_image(translator, node)
    if node.get("output"):
        translator.body.append("</div>\n")


def shrink(folder: Path) -> int:
    """Store every PNG of a built site as WebP without loss, where that is smaller.

    Returns the number of bytes saved. The pixels stay as they are.
    """
    saved, renamed = 0, set()
    for png in sorted((folder / "_images").glob("*.png")):
        webp = png.with_suffix(".webp")
        with Image.open(png) as picture:
            picture.save(webp, lossless=True, exact=True, method=4)
        gain = png.stat().st_size - webp.stat().st_size
        (png if gain > 0 else webp).unlink()
        if gain > 0:
            saved += gain
            renamed.add(png.name)
    for page in folder.rglob("*.html"):
        text = page.read_text("utf-8")
        new = re.sub(
            r"(_images/)([^\"/?#]+\.png)",
            lambda m: m[1] + (m[2][:-4] + ".webp" if m[2] in renamed else m[2]),
            text,
        )
        if new != text:
            page.write_text(new, "utf-8")
    return saved


def when_built(app: Sphinx, exception: Exception | None) -> None:
    """Make the pictures small once all pages are written."""
    if exception is None and app.builder.format == "html":
        shrink(Path(app.outdir))


def setup(app: Sphinx) -> None:
    """Register the transform, the writer and what follows the build."""
    app.connect("build-finished", when_built)
    app.add_post_transform(Pictures)
    app.add_node(nodes.image, override=True, html=(visit_image, depart_image))
