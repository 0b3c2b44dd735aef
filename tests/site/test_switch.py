"""From a page to its twin in the other language and back, at the same place."""

import re

import pytest
from visiting import PAGES, Visit, wake_figures

HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def tab(browser, address):
    """One for all pages: what they share is then loaded once, as it is for a reader."""
    tab = Visit(browser, address, viewport={"width": 1280, "height": 900})
    yield tab
    tab.context.close()


@pytest.mark.parametrize("page", PAGES)
def test_the_switch_leads_there_and_back_and_keeps_the_place(tab, page):
    tab.errors.clear()
    view = tab.open(page)
    assert view.locator("a.language-switch:visible").count() == 1
    alternate = view.get_attribute("link[rel=alternate][hreflang=zh-CN]", "href")
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
    assert alternate.endswith(f"/zh/{page}.html".replace("index.html", ""))
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
