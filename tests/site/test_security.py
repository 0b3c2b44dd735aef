"""What a page may load: the site's own files. The browser refuses everything else, in both places
where readers open the book, from a server and from a folder."""

import io
import re

import pytest
from PIL import Image
from visiting import PAGES, Visit, wake_figures

WATCH = """addEventListener("securitypolicyviolation", (event) => {
    (window.refused ??= []).push(`${event.effectiveDirective} ${event.blockedURI}`); });"""
# What a page taken over might try, and the rule that stops it.
ATTEMPTS = {
    "script-src-elem https": "add('script', { src: 'https://elsewhere.example/x.js' })",
    "script-src-elem inline": "add('script', { textContent: 'window.taken = true' })",
    "script-src-attr inline": "add('p', {}).setAttribute('onclick', 'taken = true')",
    "script-src eval": "setTimeout('window.taken = true')",
    "connect-src https": "fetch('https://elsewhere.example/x').catch(() => 0)",
    "img-src https": "add('img', { src: 'https://elsewhere.example/x.png' })",
    "style-src-elem https": """add('link', {
        rel: 'stylesheet', href: 'https://elsewhere.example/x.css' })""",
    "font-src https": """new FontFace('x', 'url(https://elsewhere.example/x.woff)')
        .load().catch(() => 0)""",
    "frame-src https": "add('iframe', { src: 'https://elsewhere.example/' })",
    "worker-src data": "new Worker('data:text/javascript,fetch(1)')",
    "form-action https": "add('form', { action: 'https://elsewhere.example/' }).submit()",
    "base-uri https": "add('base', { href: 'https://elsewhere.example/' })",
}
ADD = """const add = (tag, values) => document.body.appendChild(
    Object.assign(document.createElement(tag), values));"""
# The tests of pages and figures see what is refused as well: as an error in the console. Here are
# the pages that none of them opens from a folder, and a few from a server.
PATHS = {
    "folder": [f"zh/{page}" for page in PAGES],
    "server": ["index", "search", "segmentation", "zh/degradation", "zh/residual-blocks"],
}


def test_every_page_has_a_policy_that_names_no_place_elsewhere(site):
    found = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    for path in found:
        text = path.read_text("utf-8")
        (rules,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert text.index("Content-Security-Policy") < text.index("<script"), path
        assert rules.startswith("default-src 'none'; ")
        assert not re.search(r"https?:|\*|unsafe-eval|unsafe-hashes", rules), rules
        assert "unsafe-inline" not in rules.partition("script-src")[2], rules
        assert not re.search(r"<[a-z][^<>]*\son[a-z]+=\"", text), path
    print(f"{len(found)} pages, {len(rules)} characters of rules")
    assert len(found) >= 2 * len(PAGES)


@pytest.fixture
def watched(browser):
    """Make a page that remembers what its policy refused, and every request."""
    made = []

    def make(start):
        tab = Visit(browser, start, viewport={"width": 1280, "height": 900})
        tab.page.add_init_script(WATCH)
        tab.page.on("request", lambda request: tab.asked.append(request.url))
        tab.asked = []
        made.append(tab)
        return tab

    yield make
    for tab in made:
        tab.context.close()


def refused(tab):
    return tab.page.evaluate("window.refused ?? []")


@pytest.mark.parametrize("place", ["server", "folder"])
def test_figures_live_and_nothing_of_the_book_is_refused(watched, site, address, place):
    tab = watched(address if place == "server" else site.as_uri())
    figures = 0
    for name in PATHS[place]:
        page = tab.open(name)
        wake_figures(page)
        figures += page.locator(".explorable").count()
        assert refused(tab) == [], name
    print(f"{len(PATHS[place])} pages from a {place}, {figures} live figures, nothing refused")
    assert figures > 10 and tab.errors == [] and tab.outside == []


@pytest.mark.parametrize("place", ["server", "folder"])
def test_what_comes_from_elsewhere_is_refused(watched, site, address, place):
    tab = watched(address if place == "server" else site.as_uri())
    page = tab.open("references")
    for rule, attempt in ATTEMPTS.items():
        directive, kind = rule.split()
        page.evaluate(f"() => {{ {ADD} {attempt}; }}")
        page.wait_for_timeout(60)
        stopped = [said for said in refused(tab) if said.startswith(f"{directive} {kind}")]
        print(f"{place}: {rule}: {stopped}")
        assert stopped, (rule, refused(tab))
    assert not page.evaluate("window.taken")
    assert tab.outside == []  # what reached the network


def test_without_a_policy_the_same_attempts_reach_the_network(browser, address):
    """So that the test before this one can fail."""
    tab = Visit(browser, address, bypass_csp=True)
    page = tab.open("references")
    for name in ("connect-src https", "img-src https", "script-src-elem https"):
        page.evaluate(f"() => {{ {ADD} {ATTEMPTS[name]}; }}")
    page.wait_for_timeout(200)
    print(tab.outside)
    assert len(tab.outside) == 3
    tab.context.close()


@pytest.mark.parametrize("name", ["index", "zh/index"])
def test_a_picture_that_is_opened_stays_on_the_page(watched, address, name):
    """The sentence beside the button, and not one request from choosing the file to the answer."""
    tab = watched(address)
    page = tab.open(name)
    wake_figures(page)
    page.wait_for_load_state("networkidle")
    figure = page.locator(".explorable:has(input[type=file])").first
    figure.locator("details.x-more summary").click()
    said = figure.locator("details.x-more .x-note").inner_text()
    tab.asked.clear()
    before = figure.locator("canvas").first.evaluate("c => c.toDataURL()")
    data = io.BytesIO()
    Image.new("RGB", (64, 80), (9, 9, 9)).save(data, "PNG")
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": data.getvalue()}
    figure.locator("input[type=file]").set_input_files(file)
    figure.get_by_text("mine.png").first.wait_for()
    page.wait_for_timeout(500)
    after = figure.locator("canvas").first.evaluate("c => c.toDataURL()")
    sent = [url for url in tab.asked if not url.startswith(("blob:", "data:"))]
    print(f"{said!r}; requests: {sent}")
    assert ("stays on this page" in said) or ("只留在本页" in said)
    assert before != after
    assert sent == [] and tab.errors == []
