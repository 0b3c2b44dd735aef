"""What every figure must be on every page: legible, accessible, and in the page's language."""

import re

from axe_playwright_python.sync_playwright import Axe

WORD = re.compile(r"[A-Za-z]{3,}")


def complaints(page, part=None):
    """What axe calls serious or critical about a page, or the part a selector names."""
    there = page.evaluate("'axe' in window")  # then its half megabyte need not go there again
    found = (Axe("0") if there else Axe()).run(page, part).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    return [(v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in serious]


def complaints_in_both(page):
    """The same in the light and in the dark, of one page: {scheme: complaints}."""
    found, inks = {}, set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        inks.add(page.evaluate("getComputedStyle(document.querySelector('.explorable')).color"))
        found[scheme] = complaints(page)
    print("ink of the light and of the dark page:", inks, "complaints:", found)
    assert len(inks) == 2  # it did turn dark
    return found


NOTHING = {"light": [], "dark": []}


def scrolls_sideways(page):
    """Is the page wider than the screen?"""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def english_words(page, allowed):
    """English words a reader or a screen reader meets in the figure, other than names."""
    texts = page.evaluate(
        """[...document.querySelectorAll('.explorable, .explorable *')].flatMap(e => [
            ...[...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent),
            e.getAttribute('aria-label'), e.getAttribute('title'), e.getAttribute('alt'),
            e.getAttribute('placeholder'), e.getAttribute('aria-valuetext')]).filter(Boolean)"""
    )
    words = {word for text in texts for word in WORD.findall(text)}
    return sorted(words - set(allowed))


def pixel_sum(page, selector):
    """Sum of all colours of a canvas: a number that changes when the picture does."""
    return page.eval_on_selector(
        selector,
        """c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data
            .reduce((sum, v, i) => sum + v * (1 + i % 7), 0)""",
    )
