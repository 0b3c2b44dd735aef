"""Every page in a real browser: complete, quiet, legible, on desktop and phone, light and dark."""

import re
from functools import cache
from html import unescape
from itertools import pairwise
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from visiting import NOTEBOOKS, PAGES, ROOT, every

from budget import weigh


@every([*PAGES, "search"])
def test_loads_without_errors_and_without_the_network(opened):
    name, tab, page = opened.name, opened.tab(), opened.page()
    print(f"{name}: {len(tab.responses)} requests, {len(tab.outside)} outside")
    assert tab.outside == []
    assert tab.errors == []
    assert all(r.status < 400 for r in tab.responses), [r.url for r in tab.responses if not r.ok]
    broken = "[...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
    assert page.evaluate(broken) == []


@every([*PAGES, "search"])
def test_is_light(opened):
    tab, figures = opened.tab(), opened.page().locator(".explorable").count()
    weight = weigh(tab.responses, figures)
    ours = [
        response
        for response in tab.responses
        if re.search(r"/explorables/(?!networks/).*\.js$", urlsplit(response.url).path)
    ]
    scripts = sum(len(response.body()) for response in ours)
    print(f"{opened.name}: {weight}, of the scripts {scripts} B for figures")
    assert weight.total <= weight.budget
    assert scripts <= 40_000
    assert bool(figures) == bool(scripts)


@every([*PAGES, "search"])
def test_no_sideways_scrolling(opened):
    page = opened.page()
    for width in (1280, 768, 390, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(60)
        scroll = page.evaluate("document.documentElement.scrollWidth")
        print(f"{opened.name}: {width} px wide, content {scroll} px")
        assert scroll <= width
    page.set_viewport_size({"width": 1280, "height": 900})


@every(PAGES)
def test_structure_pictures_and_formulas(opened):
    name, page = opened.name, opened.page()
    article = "document.querySelector('.bd-article')"
    levels = page.evaluate(
        f"[...{article}.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels)), "a heading level was jumped over"
    pictures = page.evaluate(
        f"""[...{article}.querySelectorAll('img, svg[role=img]')].map(
            p => p.getAttribute('alt') ?? p.getAttribute('aria-label') ?? '')"""
    )
    print(f"{name}: {len(levels)} headings, {len(pictures)} pictures with alternative text")
    for text in pictures:
        assert len(text) >= 15 and not re.search(r"\.(png|svg|jpe?g)$", text), text
    bare = ("about-the-source", "teaching")
    if name.removeprefix("zh/") in NOTEBOOKS and not name.endswith(bare):
        assert pictures, "a chapter without a picture"
    html = page.content()
    assert "mathjax" not in html.lower() and "cdn" not in re.sub(r"data:[^\"]*", "", html.lower())
    text = page.inner_text(".bd-article")
    assert not re.search(r"(?<!\\)\$[^$\n]{1,80}\$|\\frac|\\mathrm", text), "a formula as raw TeX"


def test_formulas_are_mathml(site):
    """Made when the site is built: there is no script that could change them later."""
    pages = [(site / f"{name}.html").read_text("utf-8") for name in PAGES]
    found = sum(page.count("<math") for page in pages)
    assert not any("<merror" in page for page in pages)
    print(found, "formulas")
    assert found > 20


@every(PAGES)
def test_says_when_it_was_last_run(opened):
    if opened.name not in NOTEBOOKS:
        assert opened.page().locator(".last-run").count() == 0
        return
    line = opened.page().inner_text(".last-run")
    print(f"{opened.name}: {line}")
    assert re.fullmatch(r"Last run \d{4}-\d\d-\d\d · torch \d+\.\d+\.\d+ · \d+ s", line)


@every(PAGES)
def test_launch_buttons_open_this_very_file(opened):
    name, page = opened.name, opened.page()
    links = page.evaluate(
        "[...document.querySelectorAll('.dropdown-launch-buttons a')].map(a => a.href)"
    )
    if name not in NOTEBOOKS:
        assert links == []
        return
    colab = next(link for link in links if "colab" in link)
    binder = next(link for link in links if "mybinder" in link)
    assert "/blob/main/" in colab and "/main?" in binder
    path = colab.split("/blob/main/")[1]
    assert path == f"book/en/{name}.ipynb" and (ROOT / path).is_file()
    assert f"book/en/{name}.ipynb" in binder.replace("%2F", "/")


@cache
def anchors(file):
    """Where a link into a page may lead."""
    return set(map(unescape, re.findall(r'\sid="([^"]+)"', file.read_text("utf-8"))))


@every([*PAGES, "search"])
def test_every_link_and_anchor_is_good(opened, site):
    address, page = opened.tab().address, opened.page()
    own = set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)"))
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
    outside, problems = set(), []
    for href in links:
        parts = urlsplit(href)
        if not href.startswith(address):
            outside.add(href)
            if parts.scheme not in ("https", "mailto"):
                problems.append((href, "not https"))
            continue
        target = site / unquote(parts.path).strip("/")
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            problems.append((href, "missing"))
        elif parts.fragment:
            known = own if target == site / f"{opened.name}.html" else anchors(target)
            if unquote(parts.fragment) not in known:
                problems.append((href, "no such anchor"))
    print(f"{opened.name}: {len(links)} links, {len(outside)} addresses outside")
    assert len(links) > len(PAGES)  # the contents alone
    assert problems == []


CONTRAST = """
(selectors) => {
  const lum = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92
      : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c;
      canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const rgb = c => rgba(c).slice(0, 3);
  // Every background behind an element, down to the first opaque one, laid over each other.
  const ground = e => { const layers = [];
      for (; e; e = e.parentElement) {
        const c = rgba(getComputedStyle(e).backgroundColor);
        if (c[3]) layers.push(c);
        if (c[3] === 255) break;
      }
      return layers.reverse().reduce((below, c) =>
          below.map((v, i) => (c[i] * c[3] + v * (255 - c[3])) / 255), [255, 255, 255]); };
  const out = {};
  for (const [name, selector] of Object.entries(selectors)) {
    for (const e of document.querySelectorAll(selector)) {
      if (!e.textContent.trim() || !e.offsetParent) continue;
      const a = lum(rgb(getComputedStyle(e).color)), b = lum(ground(e));
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (!(name in out) || ratio < out[name]) out[name] = ratio;
    }
  }
  return out;
}
"""
TEXTS = {
    "prose": ".bd-article p, .bd-article li",
    "headings": ".bd-article h1, .bd-article h2, .bd-article h3",
    "links": ".bd-article a",
    "code": ".bd-article pre, .bd-article pre span, .bd-article code",
    "tables": ".bd-article td, .bd-article th",
    "callouts": ".callout, .callout *",
    "sidebar": ".bd-sidebar-primary a, .bd-sidebar-primary p",
    "contents": ".bd-sidebar-secondary a",
    "footer": ".last-run, footer p",
}


@every(PAGES)
def test_light_and_dark_are_different_and_legible(opened):
    name, grounds = opened.name, {}
    for scheme in ("light", "dark"):
        page = opened.page(scheme)
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        ratios = page.evaluate(CONTRAST, TEXTS)
        print(f"{name} {scheme}:", {k: round(v, 1) for k, v in ratios.items()})
        assert {"prose", "links", "sidebar"} <= ratios.keys()
        assert min(ratios.values()) >= 4.5, ratios
    assert grounds["light"] != grounds["dark"]


@every(PAGES)
def test_drawings_keep_their_words_inside(opened):
    name, page = opened.name, opened.page()
    outside = page.evaluate(
        """[...document.querySelectorAll('.bd-article svg[role=img]')].flatMap(s => {
             const box = s.getBoundingClientRect();
             return [...s.querySelectorAll('text')].filter(t => {
               const r = t.getBoundingClientRect();
               return r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1
                 || r.bottom > box.bottom + 1; }).map(t => t.textContent); })"""
    )
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    drawings = page.locator(".bd-article svg[role=img]").count()
    print(f"{name}: {drawings} drawings, {len(ids)} ids")
    assert outside == []
    assert len(ids) == len(set(ids)), "an id is used twice"
    if name in ("resnet-architecture", "residual-blocks", "unet-architecture"):
        assert drawings >= 1


@every(["unet-architecture"])
def test_drawings_follow_the_theme(opened):
    colours = {}
    for scheme in ("light", "dark"):
        page = opened.page(scheme)
        colours[scheme] = page.evaluate(
            "getComputedStyle(document.querySelector('.bd-article svg[role=img] text')).fill"
        )
    print(colours)
    assert colours["light"] != colours["dark"]


@every(["resnet-architecture"])
def test_tables_follow_the_dark(opened):
    page = opened.page("dark")
    grounds = page.evaluate(
        """[...document.querySelectorAll('.cell_output .text_html')].map(
            t => getComputedStyle(t).backgroundColor)"""
    )
    print(f"{len(grounds)} tables on {set(grounds)}")
    assert grounds and set(grounds) == {"rgba(0, 0, 0, 0)"}


# Highlighted code is thousands of equal spans: `CONTRAST` measures theirs much faster, and without
# them axe has half the page to go through.
PLAIN = """() => { for (const pre of document.querySelectorAll('.highlight pre')) {
    pre.spans = [...pre.childNodes]; pre.replaceChildren(pre.textContent); } }"""
SPANS = """() => { for (const pre of document.querySelectorAll('.highlight pre'))
    pre.replaceChildren(...pre.spans); }"""


@every([*PAGES, "search"])
def test_axe_finds_nothing(opened):
    axe = Axe()
    opened.page().evaluate(PLAIN)
    for scheme in ("light", "dark"):
        result = axe.run(opened.page(scheme), context={"exclude": [[".highlight pre"]]})
        axe = Axe("0")  # it is in the page now
        found = result.response["violations"]
        print(f"{opened.name} {scheme}: {len(found)} violations")
        for v in found:
            print(f"  {v['impact']}: {v['id']} × {len(v['nodes'])}: {v['nodes'][0]['html'][:160]}")
        assert found == []
    opened.page().evaluate(SPANS)
