"""The table of page weights, and what must not disturb a page's first picture."""

import pytest
from visiting import wake_figures

import budget


@pytest.mark.parametrize("name", ["index", "segmentation", "zh/resnet-implementation"])
def test_no_page_waits_for_weights_to_show_its_text(visit, name):
    tab, held = visit(), []
    tab.page.route(
        "**/networks/*.js", lambda route: held.append(route)
    )  # as on a line that never brings them
    tab.page.goto(f"{tab.address}/{name}.html", wait_until="domcontentloaded")
    tab.page.wait_for_function(
        "() => performance.getEntriesByName('first-contentful-paint').length"
    )
    for figure in tab.page.query_selector_all(".explorable"):
        figure.scroll_into_view_if_needed()
    tab.page.wait_for_timeout(300)
    assert held and tab.page.inner_text("h1")
    late = tab.page.evaluate(
        """() => [...document.querySelectorAll('article img')]
            .filter((image) => image.loading !== 'lazy').length"""
    )
    for route in held:
        route.continue_()
    wake_figures(tab.page)
    print(f"{name}: text painted while {len(held)} files of weights were held back")
    assert late <= 1  # the first picture may be on the first screen


def test_the_table_lists_what_was_weighed(browser, address, capsys):
    assert budget.table(browser, address, ["glossary", "zh/references"]) == []
    said = capsys.readouterr().out
    print(said)
    rows = {line.split()[0]: line.split() for line in said.splitlines()[1:]}
    assert set(rows) == {"glossary", "zh/references"}
    for row in rows.values():
        assert 100 < int(row[1]) <= int(row[2]) == 600 and int(row[3]) > 10


def test_a_page_over_its_budget_is_named(browser, address, monkeypatch):
    monkeypatch.setattr(budget, "WITHOUT", 1000)
    assert budget.table(browser, address, ["glossary"]) == ["glossary"]


def test_an_unknown_page_is_refused(site, capsys):
    assert budget.main(["no-such-page"]) == 1
    assert "No such page: no-such-page" in capsys.readouterr().out


@pytest.mark.parametrize("width", [1280, 390])
def test_text_stays_where_it_is_while_the_first_figure_wakes(visit, width):
    page = visit(width=width).open("index")
    page.wait_for_selector("[data-explorable='skip-surgery'][data-ready='true']")
    page.wait_for_load_state("networkidle")
    shift = page.evaluate(
        """() => new Promise((done) => {
            let sum = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) sum += entry.value;
            }).observe({ type: 'layout-shift', buffered: true });
            setTimeout(() => done(sum), 500);
        })"""
    )
    print(f"index at {width} px: cumulative layout shift {shift:.4f}")
    assert 0 < shift < 0.05  # good is below 0.1; without the room for the figure it is 0.1 to 0.45


@pytest.mark.parametrize("width", [1280, 390])
def test_a_figure_leaves_no_room_below_itself(visit, width):
    page = visit(width=width).open("residual-blocks")
    wake_figures(page)
    gaps = page.evaluate(
        """() => [...document.querySelectorAll('.cell_output:has(.explorable)')].map(output =>
            Math.round(output.getBoundingClientRect().bottom
                - output.querySelector('.explorable').getBoundingClientRect().bottom))"""
    )
    print(f"{width} px: {gaps}")
    assert gaps and max(gaps) < 40
