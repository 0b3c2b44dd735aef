"""The Chinese site in a real browser: as sound as the English one, and each leads to the other."""

import re

import pytest
import test_pages as english

from conftest import NOTEBOOKS, PAGES, ROOT, every, wake_figures

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
def test_axe_finds_nothing_serious(opened):
    english.test_axe_finds_nothing_serious(opened, "light")


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


@pytest.mark.parametrize("page", PAGES)
def test_the_switch_leads_there_and_back_and_keeps_the_place(visit, page):
    tab = visit()
    view = tab.open(page)
    assert view.locator("a.language-switch:visible").count() == 1
    alternate = view.get_attribute("link[rel=alternate][hreflang]", "href")
    wake_figures(view)
    number = """() => { const all = [...document.querySelectorAll('.bd-article :is(h1,h2,h3,h4)')];
        return [all.findLastIndex((h) => h.getBoundingClientRect().top <= 95), all.length]; }"""
    view.evaluate("scrollTo({ top: document.body.scrollHeight * 0.55, behavior: 'instant' })")
    view.wait_for_timeout(300)
    there = view.evaluate(number)
    view.evaluate("document.querySelector('a.language-switch').click()")
    view.wait_for_url(f"**/zh/{page}.html")
    view.wait_for_load_state("load")
    wake_place(view)
    chinese = view.evaluate(number)
    assert view.url.endswith(alternate)
    assert view.evaluate("document.documentElement.lang") == "zh-CN"
    assert HAN.search(view.inner_text("h1"))
    view.evaluate("document.querySelector('a.language-switch').click()")
    view.wait_for_url(lambda url: url.endswith(f"/{page}.html") and "/zh/" not in url)
    wake_place(view)
    back = view.evaluate(number)
    print(f"{page}: heading {there[0]} of {there[1]}, in Chinese {chinese[0]}, back {back[0]}")
    assert there[1] == chinese[1], "the headings of the twins differ"
    assert abs(there[0] - chinese[0]) <= 1 and abs(there[0] - back[0]) <= 1
    assert tab.errors == []


def wake_place(view):
    """Wait until figures have woken up and the place no longer moves."""
    view.wait_for_function(
        """() => { const y = scrollY, same = window.lastPlace === y;
            window.lastPlace = y; return same; }""",
        polling=400,
        timeout=10_000,
    )


def test_the_switch_is_there_on_a_phone(visit):
    tab = visit(width=360)
    for page, label in (("segmentation", "中文"), ("zh/segmentation", "English")):
        link = tab.open(page).locator("a.language-switch:visible")
        assert link.inner_text() == label
        box = link.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["height"] >= 24


def test_every_chinese_link_and_anchor_is_good(visit, monkeypatch):
    monkeypatch.setattr(english, "PAGES", CHINESE)
    english.test_every_link_and_anchor_is_good(visit)


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
