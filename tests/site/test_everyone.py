"""For readers without a mouse, for those whom motion makes ill, for those who listen to a page."""

import re

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import TimeoutError
from visiting import PAGES, wake_figures

EDITIONS = [*PAGES, *(f"zh/{page}" for page in PAGES)]

# `look` is where a mark of focus may be: on the thing itself, or on what is drawn in its place.
HELPERS = r"""
const drawn = e => [e, e.nextElementSibling, e.parentElement, e.querySelector('rect'),
  e.closest('form')].filter(Boolean);
const look = e => JSON.stringify(drawn(e).map(d => {
  const s = getComputedStyle(d), line = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth);
  return [line ? s.outlineWidth + s.outlineColor : '', s.boxShadow, s.stroke, s.strokeWidth];
}));
// Does some point of it lie in the window, with nothing over it?
window.seen = e => {
  const own = e.closest('label') ?? e;
  return e.checkVisibility({ visibilityProperty: true }) && [...e.getClientRects()].some(r =>
    [[.5, .5], [.1, .5], [.9, .5], [.5, .1], [.5, .9]].some(([x, y]) => own.contains(
      document.elementFromPoint(r.left + x * r.width, r.top + y * r.height))));
};
let last = null;
// The stop at which the focus is; of the one before it, how it looks now that the focus is gone.
window.stop = () => {
  const e = document.activeElement, before = last;
  last = e === document.body ? null : e;
  const left = before && { look: look(before), down: e.getBoundingClientRect().top
    - before.getBoundingClientRect().top, after: !!(before.compareDocumentPosition(e) & 4) };
  if (!last) return { left, end: true };
  const figure = e.closest('.explorable');
  return { left, tag: e.localName, type: e.getAttribute('type') ?? '', look: look(e), seen: seen(e),
    article: !!e.closest('.bd-article'), figure: figure?.dataset.explorable ?? '',
    roving: e.matches('.explorable g'),
    least: e.selectedIndex === e.options?.length - 1 || +e.value >= +(e.max ?? NaN),
    html: e.outerHTML.slice(0, 120) };
};
// What a figure shows, apart from the control that is being operated.
window.shown = () => {
  const figure = document.activeElement.closest('.explorable') ?? window.figure;
  window.figure = figure;
  const own = window.own;
  own?.setAttribute('data-own', '');
  const copy = figure.cloneNode(true);
  own?.removeAttribute('data-own');
  copy.querySelector('[data-own]')?.remove();
  const state = [...figure.querySelectorAll('*')].map(e => e.scrollLeft + e.scrollTop
    + (e === document.activeElement ? 1e4 : 0) + (own?.contains(e) ? 0 : +!!e.checked));
  return copy.outerHTML + state + [...figure.querySelectorAll('canvas')].map(c => c.toDataURL());
};
window.again = () => look(last = document.activeElement);
window.begin = () => {
  const e = document.activeElement;
  window.own = e.matches('input, select') ? e.closest('.x-control') ?? e : null;
  const value = e.value;
  // Before a question is answered, nothing but the control itself tells what was set.
  window.waits = () => own && e.value !== value && figure.querySelector('form:not([hidden])');
  window.before = shown();
};
const ids = new Map();
// A group of radio buttons is one stop, whichever of them is checked.
window.key = () => {
  const e = document.activeElement, thing = e.type === 'radio' ? e.name : e;
  if (e === document.body) return -1;
  if (!ids.has(thing)) ids.set(thing, ids.size);
  return ids.get(thing);
};
"""
# Settings for what the reader does next, and a box that scrolls: they change nothing else.
QUIET = ("Brush", "Width", "projection")


def keys_for(stop):
    """What a reader presses to operate this."""
    tag, kind = stop["tag"], stop["type"]
    if tag == "input" and kind == "number":
        return ["5", "Enter"]
    if tag == "select":
        return ["ArrowUp" if stop["least"] else "ArrowDown"]
    if kind in ("radio", "range"):
        return ["ArrowLeft" if kind == "range" and stop["least"] else "ArrowRight"]
    if kind == "checkbox":
        return ["Space"]
    if tag == "svg":
        return ["ArrowDown", "ArrowRight"]
    if tag == "canvas":
        return ["ArrowDown", "Space"]
    return ["ArrowDown", "Enter"] if stop["roving"] else ["Enter"]


def spoken(cdp):
    """The name of what has the focus, as the browser tells a screen reader."""
    found = cdp.send("Runtime.evaluate", {"expression": "document.activeElement"})
    options = {"objectId": found["result"]["objectId"], "fetchRelatives": False}
    node = cdp.send("Accessibility.getPartialAXTree", options)["nodes"][0]
    return node.get("name", {}).get("value", "").strip()


def comes_to_rest(page):
    """The page scrolls smoothly to what gets the focus: is it seen after that?"""
    try:
        page.wait_for_function("() => seen(document.activeElement)", timeout=1500, polling=40)
    except TimeoutError:
        return False
    return True


def operate(page, stop, name):
    """Press what operates the control with the focus; return what is wrong then."""
    if "Open a picture" in name:
        asked = len(page.choosers)
        page.keyboard.press("Enter")
        for _ in range(50):
            page.wait_for_timeout(100)
            if len(page.choosers) > asked:
                return None
        return "no file was asked for"
    page.evaluate("begin()")
    for key in keys_for(stop):
        page.keyboard.press(key)
    if name in QUIET:
        return None
    try:
        page.wait_for_function("() => shown() !== before || waits()", timeout=10_000, polling=40)
    except TimeoutError:
        return "nothing changed"
    there = page.evaluate("!!document.activeElement.closest('.explorable')")
    return None if there else "the focus is lost"


CHAPTERS = ["index", "residual-blocks", "resnet-architecture", "segmentation", "unet-architecture"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_by_keyboard_alone(visit, name):
    tab = visit()
    page = tab.open(name)
    wake_figures(page)
    page.evaluate(HELPERS)
    page.choosers = []
    page.on("filechooser", lambda chooser: page.choosers.append(chooser))
    press, cdp = page.keyboard.press, tab.context.new_cdp_session(page)

    press("Tab")
    assert spoken(cdp) == "Skip to main content"
    page.wait_for_function("() => seen(document.activeElement)")  # it slides in
    press("Enter")
    press("Tab")
    assert page.evaluate("!!document.activeElement.closest('main')")

    wrong, operated, path, outside, before = [], [], [], [], None
    for _ in range(400):
        stop = page.evaluate("stop()")
        if before:
            left = stop["left"]
            if left["look"] == before["look"]:
                wrong.append(("has no mark of focus", before["html"]))
            if stop.get("end") or before["article"] > stop["article"]:
                break
            if not left["after"]:
                wrong.append(("comes too late", stop["html"]))
            if not stop["figure"] and not before["figure"] and left["down"] < -24:  # one line
                wrong.append(("is above the stop before it", stop["html"]))
        said = spoken(cdp)
        if not said:
            wrong.append(("has no name", stop["html"]))
        if not stop["seen"] and not comes_to_rest(page):
            wrong.append(("is not seen", stop["html"]))
        if stop["figure"]:
            problem = operate(page, stop, said)
            operated.append((stop["figure"], said))
            if problem:
                wrong.append((problem, stop["html"]))
            stop["look"] = page.evaluate("again()")
        path.append(page.evaluate("key()"))
        if path[-1:] == path[-2:-1]:
            wrong.append(("holds the focus", stop["html"]))
            break
        outside += [] if stop["figure"] else path[-1:]
        before = stop
        press("Tab")
    back = []
    for _ in range(2 * len(path)):  # in a figure that was operated there may be other stops now
        press("Shift+Tab")
        inside = page.evaluate("!!document.activeElement.closest('.explorable')")
        back += [] if inside else [page.evaluate("key()")]
        if back[-1:] == path[:1]:
            break
    figures = {figure for figure, _ in operated}
    print(f"{name}: {len(path)} stops, {len(operated)} operated in {', '.join(sorted(figures))}")
    for problem in wrong:
        print("  ", *problem)
    assert wrong == []
    assert back == outside[::-1], "Shift+Tab takes another way"
    awake = page.eval_on_selector_all(".explorable", "all => all.map(f => f.dataset.explorable)")
    assert figures == set(awake) and len(path) > 60


# What runs or is asked to run by itself: transitions, animations, frames, smooth scrolling.
WATCH = """
window.motion = [];
for (const kind of ['transitionrun', 'animationstart']) document.addEventListener(kind, e =>
  motion.push([kind, e.propertyName ?? e.animationName, e.target.className]), true);
window.frames_ = 0;
const ask = window.requestAnimationFrame;
window.requestAnimationFrame = work => { frames_++; return ask.call(window, work); };
for (const kind of [Element.prototype, window]) for (const name of ['scrollTo', 'scrollBy',
    'scrollIntoView', 'scroll', 'animate']) if (kind[name]) {
  const real = kind[name];
  kind[name] = function (...given) {
    if (name === 'animate' || given[0]?.behavior === 'smooth') motion.push([name, 'asked for']);
    return real.apply(this, given);
  };
}
"""
LOOKS = """() => [...document.querySelectorAll('.explorable')].map(f =>
  f.outerHTML + [...f.querySelectorAll('canvas')].map(c => c.toDataURL()))"""


def use_switches(page):
    """Operate a few controls of every figure, the theme's switch and a link within the page."""
    for selector in ("[role=switch]", ".x-toggle + * input", "input[type=radio]", "button"):
        for figure in page.locator(".explorable").all():
            control = figure.locator(f"{selector}:visible:enabled").first
            if control.count():
                control.focus()
                page.keyboard.press("Space")
    page.locator("button.theme-switch-button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)


MOVING = ["index", "degradation", "resnet-architecture", "unet-architecture"]


def moving_page(visit, name, motion):
    tab = visit(reduced_motion=motion)
    tab.page.add_init_script(WATCH)
    page = tab.open(name)
    wake_figures(page)
    page.wait_for_timeout(300)
    return page


@pytest.mark.parametrize("name", MOVING)
def test_nothing_moves_for_those_who_ask_for_it(visit, name):
    page = moving_page(visit, name, "reduce")
    page.evaluate("frames_ = 0")
    before = page.evaluate(LOOKS)
    page.wait_for_timeout(1000)
    assert page.evaluate(LOOKS) == before
    frames = page.evaluate("frames_")
    use_switches(page)
    running = page.evaluate("document.getAnimations().length")
    moved = page.evaluate("motion")
    smooth = page.evaluate(
        """[...document.querySelectorAll('*')].filter(e =>
             getComputedStyle(e).scrollBehavior !== 'auto').length"""
    )
    changed = sum(a != b for a, b in zip(before, page.evaluate(LOOKS), strict=True))
    print(
        f"{name}: {frames} frames by itself; {changed} figures operated, {running} running, {moved}"
    )
    assert (frames, running, moved, smooth) == (0, 0, [], 0)
    assert changed == len(before)


def test_what_moves_for_others(visit):
    """The control: without the wish the same steps do set things in motion."""
    page = moving_page(visit, "index", "no-preference")
    use_switches(page)
    moved = page.evaluate("motion")
    print(len(moved), "movements, for example", moved[0])
    assert any("left" in what for what in moved)


def test_training_is_shown_without_motion(visit):
    page = visit(reduced_motion="reduce").open("degradation")
    wake_figures(page)
    page.get_by_role("button", name="Train", exact=True).focus()
    before = page.evaluate(LOOKS)[0]
    page.keyboard.press("Enter")
    page.wait_for_function(f"before => ({LOOKS})()[0] !== before", arg=before)
    assert page.evaluate("document.getAnimations().length") == 0


def named(cell):
    return cell.get("scope") in ("row", "col", "rowgroup", "colgroup") or cell.find_parent("thead")


def test_a_screen_reader_finds_its_way(site):
    """Landmarks, language, the headers of tables, formulas in MathML, on every page."""
    tables = formulas = 0
    for name in EDITIONS:
        page = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
        assert page.html["lang"].startswith("zh" if name.startswith("zh/") else "en"), name
        assert len(page.select("main")) == 1 and page.select_one("main .bd-article h1"), name
        navs = page.select("nav, [role=navigation]")
        labels = [nav.get("aria-label") or nav.get("aria-labelledby") for nav in navs]
        assert navs and all(labels), (name, labels)
        for table in page.select(".bd-article table"):
            tables += 1
            heads = table.select("th")
            assert heads and all(map(named, heads)), (name, str(table)[:200])
        for formula in page.select(".bd-article math"):
            formulas += 1
            # Tokens to be read, none of them empty or left as TeX.
            tokens = [t.get_text().strip() for t in formula.select("mi, mn, mo, mtext")]
            assert tokens and not any(re.search(r"\\[a-z]", t) for t in tokens), (
                name,
                str(formula),
            )
            assert not formula.select("merror") and formula.get("aria-hidden") is None
    print(f"{len(EDITIONS)} pages: {tables} tables, {formulas} formulas")
    assert tables > 50 and formulas > 200
