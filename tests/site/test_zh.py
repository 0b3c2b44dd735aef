"""The Chinese site in a real browser: as sound as the English one, and Chinese throughout."""

import re

import test_pages as english
from visiting import NOTEBOOKS, PAGES, ROOT, every

CHINESE = [f"zh/{page}" for page in PAGES]
HAN = re.compile(r"[\u4e00-\u9fff]")


@every([*CHINESE, "zh/search"])
def test_loads_without_errors_and_without_the_network(opened):
    english.test_loads_without_errors_and_without_the_network(opened)


@every([*CHINESE, "zh/search"])
def test_is_light(opened):
    english.test_is_light(opened)


@every([*CHINESE, "zh/search"])
def test_no_sideways_scrolling(opened):
    english.test_no_sideways_scrolling(opened)


@every([*CHINESE, "zh/search"])
def test_axe_finds_nothing(opened):
    english.test_axe_finds_nothing(opened)


@every([*CHINESE, "zh/search"])
def test_every_link_and_anchor_is_good(opened, site):
    english.test_every_link_and_anchor_is_good(opened, site)


@every(CHINESE)
def test_everything_around_the_text_is_chinese(opened):
    """Menus, labels, buttons, footers and the words in figures."""
    page = opened.page()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    texts = page.evaluate(
        """() => [...document.querySelectorAll('body *')].flatMap((e) => {
          if (e.closest('.bd-article') && !e.closest('.explorable, .last-run, details > summary'))
            return [];
          if (e.closest('script, style, noscript, svg, code, pre, math, .x-coded')) return [];
          return [...[...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent),
            ...['aria-label', 'title', 'alt', 'placeholder', 'data-bs-title', 'aria-valuetext']
              .map((name) => e.getAttribute(name))];
        }).filter((t) => t && t.trim())"""
    )
    sentence = re.compile(r"[A-Za-z][a-z']+(?: [a-z']+){2,}|^\s*[A-Z][a-z]+ [a-z]+\s*$")
    known = {"Creative Commons"}
    left = sorted(
        {t for t in map(str.strip, texts) if sentence.search(t) and not HAN.search(t)} - known
    )
    print(f"{opened.name}: {len(texts)} texts, {len(left)} English: {left[:5]}")
    assert not left
    if opened.name.removeprefix("zh/") in NOTEBOOKS:
        assert re.fullmatch(r"上次运行 \d{4}-\d\d-\d\d · .* 秒", page.inner_text(".last-run"))


@every([f"zh/{page}" for page in NOTEBOOKS])
def test_launch_buttons_open_the_chinese_file(opened):
    links = opened.page().eval_on_selector_all(
        ".dropdown-launch-buttons a", "list => list.map(a => a.href)"
    )
    path = next(link for link in links if "colab" in link).split("/blob/main/")[1]
    assert path == f"book/{opened.name}.ipynb" and (ROOT / path).is_file()


def test_search_finds_chinese_words(visit):
    tab = visit()
    for word, expected in (("残差块", "residual-blocks"), ("感受野", "resnet-architecture")):
        tab.page.goto(f"{tab.address}/zh/search.html?q={word}")
        tab.page.wait_for_selector("#search-results ul.search li a", timeout=10_000)
        tab.page.wait_for_timeout(800)
        hrefs = tab.page.eval_on_selector_all(
            "#search-results ul.search li a", "list => list.map(a => a.href)"
        )
        print(f"{word}: {len(hrefs)} results")
        assert any(f"/zh/{expected}" in href for href in hrefs)
    assert tab.errors == [] and tab.outside == []
