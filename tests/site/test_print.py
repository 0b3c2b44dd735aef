"""A chapter on paper: nothing of the site around it, nothing cut off, no glyph lost."""

import re
import unicodedata

import pytest
from pypdf import PdfReader

HAN = re.compile(r"[\u4e00-\u9fff]")
# Some fonts' tables call 大 a radical (U+2F24). NFKC makes it the letter again, but for these.
RADICALS = str.maketrans(
    "\u2ec5\u2ec9\u2ecb\u2ed3\u2ed4\u2ed8\u2ed9\u2eda\u2edb\u2edc\u2ee2\u2ee5\u2ee6\u2ee9\u2eec\u2eee\u2ef0\u2ef3",
    "见贝车长门青韦页风飞马鱼鸟黄齐齿龙龟",
)

# What stands on the page outside of closed boxes, formulas and program text of figures.
SHOWN = """() => [...document.querySelectorAll(
    'article :is(p, li, h1, h2, h3, h4, td, th)')]
  .filter((e) => e.checkVisibility() && !e.closest('.explorable, details:not([open]), svg'))
  .map((e) => e.innerText).join(' ')"""


def fonts_of(reader):
    """{name: is it inside the file?} of every font of every page."""
    found = {}
    for page in reader.pages:
        for reference in (page["/Resources"].get("/Font") or {}).values():
            font = reference.get_object()
            if font["/Subtype"] == "/Type3":  # glyphs as drawings, always inside
                found.setdefault("Type 3", True)
                continue
            inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
            described = inner["/FontDescriptor"].get_object()
            found[font["/BaseFont"]] = any(f"/FontFile{n}" in described for n in ("", "2", "3"))
    return found


@pytest.mark.parametrize("name", ["segmentation", "zh/residual-blocks"])
def test_a_chapter_prints_whole(visit, name, tmp_path):
    page = visit().open(name)
    page.emulate_media(media="print")
    for gone in (".bd-sidebar-primary", ".bd-header-article", ".prev-next-footer", ".copybtn"):
        assert page.locator(gone).evaluate_all("all => all.every(e => !e.checkVisibility())")
    shown = page.evaluate(SHOWN)
    wide = page.evaluate(
        """() => [...document.querySelectorAll('article pre')]
             .filter((e) => getComputedStyle(e).whiteSpace !== 'pre-wrap').length"""
    )
    assert wide == 0, "code that is cut off at the edge of the paper"
    page.pdf(path=tmp_path / "chapter.pdf", format="A4", print_background=True)

    reader = PdfReader(tmp_path / "chapter.pdf")
    texts = [page.extract_text() for page in reader.pages]
    text = unicodedata.normalize("NFKC", "".join(texts)).translate(RADICALS)
    fonts = fonts_of(reader)
    print(f"{name}: {len(texts)} pages, {len(text)} characters, fonts {sorted(fonts)}")
    assert all(fonts.values()), [font for font, inside in fonts.items() if not inside]
    assert "\ufffd" not in text and "\0" not in text
    empty = [i + 1 for i, said in enumerate(texts) if len(said.strip()) < 20]
    drawn = [i for i in empty if len(reader.pages[i - 1].images)]
    assert empty == drawn, f"empty pages: {empty}"
    if name.startswith("zh/"):
        lost = set(HAN.findall(shown)) - set(HAN.findall(text))
        print(f"{len(set(HAN.findall(shown)))} different 汉字 on the page, lost: {sorted(lost)}")
        assert len(set(HAN.findall(shown))) > 300 and not lost
    else:
        words = set(re.findall(r"[a-z]{4,}", shown.lower()))
        printed = re.sub(r"[^a-z]", "", text.lower())
        lost = sorted(word for word in words if word not in printed)
        print(f"{len(words)} different words on the page, lost: {lost[:10]}")
        assert len(words) > 300 and len(lost) <= len(words) / 100  # a few broken at a line's end
