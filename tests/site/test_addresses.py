"""Where search engines and link previews are led: to public addresses, every page and no other."""

import re
from xml.etree import ElementTree as ET

import pytest
import yaml
from PIL import Image
from visiting import PAGES, ROOT

BASE = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["html"]["baseurl"]
FOLDERS = {"en": "", "zh-CN": "zh/"}
LINK = re.compile(r'<link rel="(canonical|alternate)"(?: hreflang="([\w-]+)")? href="([^"]*)"')


def public(language, page):
    return BASE + FOLDERS[language] + ("" if page == "index" else f"{page}.html")


def property_of(text, name):
    return re.findall(rf'<meta (?:property|name)="{name}" content="([^"]*)"', text)


@pytest.mark.parametrize("language", FOLDERS)
def test_every_page_says_where_it_and_its_twin_are_published(site, language):
    for page in PAGES:
        text = (site / FOLDERS[language] / f"{page}.html").read_text("utf-8")
        found = {code or kind: address for kind, code, address in LINK.findall(text)}
        assert found == {
            "canonical": public(language, page),
            "en": public("en", page),
            "zh-CN": public("zh-CN", page),
            "x-default": public("en", page),
        }, page
        assert property_of(text, "og:url") == [public(language, page)]
        assert len(property_of(text, "og:title")) == len(property_of(text, "og:description")) == 1
        assert property_of(text, "robots") == []
    print(f"{len(PAGES)} pages, such as {found}")


@pytest.mark.parametrize("language", FOLDERS)
def test_a_link_to_a_page_shows_a_card(site, language):
    text = (site / FOLDERS[language] / "index.html").read_text("utf-8")
    (card,) = property_of(text, "og:image")
    assert card.startswith(BASE) and property_of(text, "twitter:card") == ["summary_large_image"]
    file = site / card.removeprefix(BASE)
    with Image.open(file) as picture:
        size = picture.size
    said = [int(property_of(text, f"og:image:{side}")[0]) for side in ("width", "height")]
    print(f"{file.name}: {size}, {file.stat().st_size / 1e3:.0f} kB")
    assert list(size) == said == [1200, 630]
    assert file.stat().st_size < 100_000


def test_lists_made_by_sphinx_are_not_to_be_found(site):
    for name in ("search", "genindex"):
        for folder in FOLDERS.values():
            text = (site / folder / f"{name}.html").read_text("utf-8")
            assert property_of(text, "robots") == ["noindex"]
            assert LINK.findall(text) == []


def test_the_sitemap_has_every_page_and_nothing_else(site):
    tree = ET.parse(site / "sitemap.xml").getroot()
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    assert tree.tag == f"{space}urlset"
    listed = [place.text for place in tree.iter(f"{space}loc")]
    print(f"{len(listed)} pages, {listed[0]} to {listed[-1]}")
    assert len(set(listed)) == len(listed)
    assert set(listed) == {public(language, page) for language in FOLDERS for page in PAGES}
    assert f"Sitemap: {BASE}sitemap.xml" in (site / "robots.txt").read_text("utf-8")
