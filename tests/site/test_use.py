"""Using the site: search, keyboard, theme, details, a folder without a server, axe."""

from itertools import pairwise

from visiting import PAGES, wake_figures


def test_search_finds_words_of_a_chapter(visit):
    tab = visit()
    for word, expected in (("nuclei", "unet-implementation"), ("bottleneck", "residual-blocks")):
        page = tab.page
        page.goto(f"{tab.address}/search.html?q={word}")
        page.wait_for_selector("#search-results ul.search li a", timeout=10_000)
        page.wait_for_function(
            "() => document.querySelectorAll('#search-results ul.search li').length > 2",
            timeout=10_000,
        )
        hrefs = page.eval_on_selector_all(
            "#search-results ul.search li a", "l => l.map(a => a.href)"
        )
        print(f"{word}: {len(hrefs)} results")
        assert any(expected in href for href in hrefs)
        page.goto(next(href for href in hrefs if expected in href))
        assert word in page.inner_text(".bd-article").lower()
    assert tab.errors == [] and tab.outside == []


def test_the_keyboard_reaches_everything(visit):
    page = visit().open("resnet-architecture")
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent.trim()")
    assert "skip" in first.lower(), first
    seen, outlined = set(), 0
    for _ in range(60):
        page.keyboard.press("Tab")
        look = page.evaluate(
            """(() => { const e = document.activeElement, s = getComputedStyle(e);
            const y = e.getBoundingClientRect().top + scrollY;
            return [e.className + e.id + (e.href || '') + y, s.outlineStyle !== 'none'
              && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none', e.tagName]; })()"""
        )
        seen.add(look[0])
        outlined += look[1]
    print(f"{len(seen)} different stops in 60 tabs, {outlined} with a visible focus")
    assert len(seen) > 25
    assert outlined >= 55


def test_the_theme_switch_works_by_keyboard(visit):
    page = visit().open("index")
    themes = []
    for _ in range(4):
        themes.append(page.evaluate("document.documentElement.dataset.theme"))
        page.locator("button.theme-switch-button").first.focus()
        page.keyboard.press("Enter")
    print(themes)
    assert {"light", "dark"} <= set(themes)


def test_hints_and_solutions_open(visit):
    page = visit().open("residual-blocks")
    boxes = page.locator(".bd-article details:not(.hide)")
    count = boxes.count()
    print(count, "hints and solutions")
    assert count >= 8
    box = boxes.nth(1)
    assert not box.evaluate("d => d.open")
    box.locator("summary").focus()
    page.keyboard.press("Enter")
    assert box.evaluate("d => d.open")
    assert box.locator("pre").first.is_visible() or len(box.inner_text()) > 40


def test_the_sidebar_opens_on_a_phone(visit):
    page = visit(width=390).open("index")
    link = page.locator(".bd-sidebar-primary a", has_text="Residual blocks").first
    assert not link.is_visible()
    page.locator("button.primary-toggle").first.click()
    link.wait_for(state="visible")
    link.click()
    page.wait_for_url("**/residual-blocks.html")


def test_every_page_leads_to_its_neighbours(visit):
    tab = visit()
    for before, after in pairwise(PAGES):
        assert tab.open(before).locator(f"a.right-next[href$='{after}.html']").count() == 1


def test_the_first_screen_is_alive(visit):
    page = visit().open("index")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_selector("[data-explorable='skip-surgery'][data-ready='true']")
    figure = page.locator(".explorable").first
    top = figure.bounding_box()["y"]
    answer = figure.locator("[data-value='score']")
    bottom = answer.bounding_box()["y"] + answer.bounding_box()["height"]
    print(f"the figure starts {top:.0f} px from the top, its answer ends at {bottom:.0f} px")
    assert top < 450 and bottom < 800
    assert page.evaluate("scrollY") == 0

    before = float(answer.inner_text())
    page.get_by_role("switch", name="skip 1", exact=True).click()
    page.wait_for_function(
        f"() => document.querySelector('[data-value=score]').textContent !== '{before:.2f}'"
    )
    print(f"IoU {before} → {answer.inner_text()} by one click, without scrolling")
    assert float(answer.inner_text()) < before - 0.2
    assert page.evaluate("scrollY") == 0


def test_without_scripts_a_page_says_what_is_missing(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/index.html")
    note = page.locator(".no-script").first.inner_text()
    context.close()
    print(note)
    assert "needs JavaScript" in note


def test_code_can_be_copied(visit):
    page = visit().open("unet-architecture")
    buttons = page.locator("button.copybtn").count()
    print(buttons, "copy buttons")
    assert buttons > 10


def test_it_opens_from_a_folder(browser, site):
    context = browser.new_context()
    errors, requests, figures = [], [], 0
    page = context.new_page()
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: requests.append(r.url))
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri(), wait_until="load")
        assert page.inner_text("h1")
        wake_figures(page)
        figures += page.locator(".explorable").count()
    context.close()
    outside = [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    print(
        f"{len(PAGES)} pages, {figures} live figures, {len(requests)} requests, {outside} outside"
    )
    assert outside == [] and errors == []
    assert figures > 0
