"""The degradation player: its data, its controls, and two networks that learn in the browser."""

import json
import re
from statistics import mean

import pytest
import traitlets
from looks import NOTHING, complaints_in_both

from backbone.data import digits
from backbone.experiments import load_results
from backbone.experiments.results import Results
from backbone.explorables.bundle import module_script
from backbone.explorables.degradation_player import (
    BATCH,
    KINDS,
    MEASURES,
    PICTURES,
    SAME,
    DegradationPlayer,
)

DEPTHS = [8, 20, 32, 44, 56]
SMALL = [{"depth": 8, "shortcut": None}, {"depth": 8, "shortcut": "A"}]  # a few seconds to train
TOP, BOTTOM = 22, 250 - 36  # of a plot, in pixels


@pytest.fixture(scope="module")
def results():
    return load_results("degradation")


def cell(results, kind, depth, measure):
    """What the table should say, from the results themselves."""
    times, places = (1, 3) if measure == "train_loss" else (100, 1)
    curves = results.curves(measure, depth=depth, shortcut=KINDS[kind], **SAME)
    ends = [float(f"{c[-1]:.4g}") * times for c in curves]
    a, b, c = (f"{v:.{places}f}" for v in (mean(ends), min(ends), max(ends)))
    return f"{a} ({b}–{c})"


def near(text, wanted):
    """Equal up to one unit in the last place: two languages may round a tie differently."""
    ours, theirs = (re.findall(r"[\d.]+", t) for t in (text, wanted))
    return len(ours) == len(theirs) == 3 and all(
        abs(float(a) - float(b)) <= 1.01 * 10 ** -len(b.split(".")[1])
        for a, b in zip(ours, theirs, strict=True)
    )


# --- Python


def test_data_are_those_of_the_book(results):
    player = DegradationPlayer()
    train = digits("train")
    assert player.measured["depths"] == DEPTHS
    assert player.measured["steps"] == 260
    assert player.measured["pictures"] == len(train.images) == 1352
    assert list(player.pictures) == (train.images[:PICTURES] * 16).int().flatten().tolist()
    assert list(player.labels) == train.labels[:PICTURES].tolist()
    assert PICTURES % BATCH == 0 and BATCH % 2 == 0
    for kind, shortcut in KINDS.items():
        for depth in DEPTHS:
            for measure in MEASURES:
                ours = player.measured["curves"][kind][str(depth)][measure]
                theirs = results.curves(measure, depth=depth, shortcut=shortcut, **SAME)
                assert ours == [pytest.approx(c, rel=1e-3) for c in theirs]
    size = len(json.dumps(player.measured))
    print(f"measured curves: {size:,} bytes of JSON; pictures: {len(player.pictures):,} bytes")
    assert size < 30_000
    assert "DegradationPlayer" in repr(player)


def test_your_own_results(results):
    two = [r for r in results if r["config"]["depth"] in (8, 56)]
    player = DegradationPlayer(Results({**results.content, "runs": two}), depth=8)
    assert player.measured["depths"] == [8, 56]
    plain = [r for r in results if r["config"]["shortcut"] is None]
    with pytest.raises(LookupError, match="shortcut='A'"):
        DegradationPlayer(Results({**results.content, "runs": plain}))
    with pytest.raises(TypeError, match="load_results"):
        DegradationPlayer("degradation")


@pytest.mark.parametrize(
    ("traits", "words"),
    [
        ({"depth": 21}, "no measured curves for 21 layers. Choose from 8, 20"),
        ({"pair": SMALL[:1]}, "two dicts"),
        ({"pair": [SMALL[0], {"depth": 8}]}, "two dicts"),
        ({"pair": [SMALL[0], {"depth": 9, "shortcut": None}]}, "6n"),
        ({"pair": [SMALL[0], {"depth": 62, "shortcut": None}]}, "up to 56 layers, got 62"),
        ({"pair": [SMALL[0], {"depth": 8, "shortcut": "C"}]}, "got 'C'"),
        ({"measure": "accuracy"}, "measure"),
        ({"show": ["both"]}, "show"),
        ({"seed": -1}, "seed"),
    ],
)
def test_refuses(traits, words):
    with pytest.raises((ValueError, traitlets.TraitError), match=words):
        DegradationPlayer(**traits)


# --- the measured curves


def cells(page):
    return {
        (kind, depth): page.locator(f'[data-value="{kind}-{depth}"]').text_content()
        for kind in KINDS
        for depth in DEPTHS
    }


def part(page, number):
    return page.locator(".x-part").nth(number)


def ends(page, number=0, kind="x-line"):
    """Heights in the plot at which the lines end, top to bottom as drawn."""
    paths = part(page, number).locator(f"path.{kind}").all()
    return [float(p.get_attribute("d").split()[-1]) for p in paths]


def chosen(page):
    return page.locator("tr[aria-current] th").text_content()


@pytest.mark.parametrize("width", [1280, 360])
def test_measured_numbers(figure_page, results, width):
    page = figure_page(DegradationPlayer(), width=width)
    names = {"train_error": "training error", "test_error": "test error"}
    for measure in MEASURES:
        label = names.get(measure, "training loss")
        part(page, 0).get_by_role("radio", name=label).check(force=True)
        shown = cells(page)
        for (kind, depth), text in shown.items():
            assert near(text, cell(results, kind, depth, measure)), (kind, depth, measure, text)
        print(measure, shown["plain", 56], shown["residual", 56])
        assert label in part(page, 0).locator("caption").text_content()


@pytest.mark.parametrize("width", [1280, 360])
def test_measured_by_keyboard(figure_page, results, width):
    page = figure_page(DegradationPlayer(), width=width)
    slider = part(page, 0).get_by_role("slider")
    slider.focus()
    seen = {}
    for depth in reversed(DEPTHS):
        assert chosen(page) == str(depth)
        assert slider.get_attribute("aria-valuetext") == str(depth)
        for kind, y in zip(KINDS, ends(page), strict=True):
            curves = results.curves("train_error", depth=depth, shortcut=KINDS[kind], **SAME)
            wanted = BOTTOM - mean(c[-1] for c in curves) * (BOTTOM - TOP)
            assert y == pytest.approx(wanted, abs=0.11)
        seen[depth] = ends(page)
        page.keyboard.press("ArrowLeft")
    print("heights at which plain and residual end:", seen)
    assert chosen(page) == "8"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # plain off
    assert len(ends(page)) == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # residual off
    assert ends(page) == []
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # test error
    assert "test error" in part(page, 0).locator("caption").text_content()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # every seed
    assert len(ends(page)) == 5
    before = ends(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # log
    assert ends(page) != before
    assert "0.1" in part(page, 0).locator("svg").text_content()


def test_measured_by_mouse(figure_page):
    page = figure_page(DegradationPlayer())
    box = part(page, 0).get_by_role("slider").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert chosen(page) == "32"
    switch = {s: page.locator("label.x-toggle", has_text=s).first for s in ("Plain", "Log scale")}
    assert part(page, 0).locator(".x-band").count() == 2
    switch["Plain"].click()
    assert part(page, 0).locator(".x-band").count() == 1
    switch["Plain"].click()
    page.locator("label.x-toggle", has_text="Every seed").click()
    assert (len(ends(page)), part(page, 0).locator(".x-band").count()) == (10, 0)
    part(page, 0).locator("label", has_text="training loss").click()
    switch["Log scale"].click()
    texts = part(page, 0).locator("svg text").all_text_contents()
    print("labels on the log axis:", texts)
    assert {"0.01", "0.1", "1"} <= set(texts)
    assert max(ends(page)) <= BOTTOM


def test_state_from_python(figure_page):
    player = DegradationPlayer(
        depth=20, show=["plain"], measure="train_loss", log=True, every_seed=True, seed=4,
        pair=[{"depth": 14, "shortcut": "A"}, {"depth": 26, "shortcut": None}],
    )  # fmt: skip
    page = figure_page(player)
    assert chosen(page) == "20"
    assert len(ends(page)) == 5
    assert page.get_by_role("switch", name="Log scale").is_checked()
    assert page.locator('[data-value="state"]').text_content() == "Seed 4"
    for i, name in ((1, "ResNet-14"), (2, "plain-26")):
        assert name in page.locator(f'[data-value="network{i}"]').text_content()


# --- training


def steps(page):
    texts = [page.locator(f'[data-value="network{i}"]').text_content() for i in (1, 2)]
    return [int(re.search(r"step (\d+) of 100", t)[1]) for t in texts]


def said(page):
    return page.locator(".x-said").text_content()


def wait_for(page, text, seconds=120):
    page.wait_for_function(
        "(text) => document.querySelector('.x-said').textContent.includes(text)",
        arg=text,
        timeout=1000 * seconds,
    )


def wait_step(page, least):
    page.wait_for_function(
        "(least) => [...document.querySelectorAll('progress')].every((p) => p.value >= least)",
        arg=least,
        timeout=60_000,
    )


@pytest.mark.parametrize("width", [1280, 360])
def test_train_by_mouse(figure_page, width):
    """Both networks to the end, and the numbers are those of the trainer alone."""
    page = figure_page(DegradationPlayer(pair=SMALL), width=width)
    train = page.get_by_role("button", name="Train")
    train.click()
    assert "First say" in page.get_by_role("alert").text_content()
    assert page.evaluate("document.activeElement.type") == "radio"
    assert steps(page) == [0, 0]
    part(page, 1).locator("label", has_text="about equal").click()
    assert not page.get_by_role("alert").is_visible()
    train.click()
    wait_step(page, 3)
    assert "s left" in page.locator('[data-value="state"]').text_content()
    wait_for(page, "predicted")
    print(said(page))
    assert said(page).startswith("As predicted: they end less than 0.05 apart")
    assert steps(page) == [100, 100]
    texts = [page.locator(f'[data-value="network{i}"]').text_content() for i in (1, 2)]
    found = [[float(v) for v in re.findall(r"loss ([\d.]+), ([\d.]+) %", t)[0]] for t in texts]
    print(found)
    for loss, wrong in found:
        assert 0 < loss < 0.1
        assert wrong < 3
    assert page.get_by_role("button", name="Stop").is_disabled()
    assert len(ends(page, 1)) == 5  # guessing; each step and each epoch of two networks
    high = [float(v) for v in ends(page, 1)]
    assert max(high) <= BOTTOM and min(high) >= TOP
    # the other two views, then a new seed
    part(page, 1).locator("label", has_text="training error").click()
    assert "training error, %" in part(page, 1).locator("svg").text_content()
    part(page, 1).locator("label", has_text="first gradient").click()
    assert part(page, 1).get_by_text("Norm of the gradient").is_visible()
    assert len(ends(page, 1)) == 2
    page.get_by_role("button", name="New seed").click()
    assert steps(page) == [0, 0]
    assert page.locator('[data-value="state"]').text_content() == "Seed 1"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1280, 360])
def test_train_by_keyboard(figure_page, width):
    """Stop, start anew, another network: nothing is left of what ran before."""
    page = figure_page(DegradationPlayer(pair=SMALL), width=width)
    first = part(page, 1).get_by_role("slider").first
    first.focus()
    page.keyboard.press("ArrowRight")
    assert "plain-14" in page.locator('[data-value="network1"]').text_content()
    page.keyboard.press("ArrowLeft")
    for _ in range(4):  # shortcuts of 1; layers and shortcuts of 2; the question
        page.keyboard.press("Tab")
    page.keyboard.press("Space")  # 1 · plain-8
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Train"
    page.keyboard.press("Enter")
    wait_step(page, 5)
    page.keyboard.press("Tab")  # Stop
    page.keyboard.press("Enter")
    assert said(page) == "Stopped."
    halted = steps(page)
    assert page.evaluate("document.activeElement.textContent") == "Train"  # focus is not lost
    page.wait_for_timeout(400)
    assert steps(page) == halted
    assert min(halted) >= 5
    assert max(halted) < 100
    page.keyboard.press("Enter")  # from the beginning
    assert max(steps(page)) < 5
    wait_step(page, 5)
    first.focus()
    page.keyboard.press("ArrowRight")  # another network while both are trained
    assert steps(page) == [0, 0]
    page.wait_for_timeout(400)
    assert steps(page) == [0, 0]
    question = part(page, 1).get_by_role("radio", name="1 · plain-14")
    assert not question.is_checked()  # another question
    first.press("Tab")
    page.keyboard.press("Space")
    assert "ResNet-14" in page.locator('[data-value="network1"]').text_content()


def test_training_goes_on_after_a_new_seed(figure_page):
    page = figure_page(DegradationPlayer(pair=SMALL))
    part(page, 1).get_by_role("radio", name="about equal").check(force=True)
    page.get_by_role("button", name="Train").click()
    wait_step(page, 3)
    page.get_by_role("button", name="New seed").click()
    assert steps(page) == [0, 0]
    page.get_by_role("button", name="Train").click()  # the prediction stays
    wait_step(page, 3)
    assert not page.get_by_role("alert").is_visible()


LIVE = """async ({ script, state, bytes }) => {
  for (const [name, list] of Object.entries(bytes)) {
    state[name] = new DataView(Uint8Array.from(list).buffer);
  }
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { default: view } = await import(address);
  const listeners = {};
  const tell = (name) => (listeners[`change:${name}`] ?? []).forEach((f) => f());
  window.model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; tell(name); },
    save_changes() {},
    on: (event, f) => (listeners[event] ??= []).push(f),
    off: (event, f) => (listeners[event] = listeners[event].filter((g) => g !== f)),
    listening: () => Object.values(listeners).flat().length,
  };
  const el = document.body.appendChild(document.createElement("div"));
  window.close = view.render({ model: window.model, el });
}"""


@pytest.fixture
def live(browser):
    """The figure as anywidget shows it in Jupyter, with a model that the test can reach."""
    page = browser.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def show(player, **changes):
        keys = ("measured", "training", "depth", "show", "measure", "every_seed", "log", "pair")
        state = {key: getattr(player, key) for key in (*keys, "seed", "trained")} | changes
        count = state.pop("count", PICTURES)
        data = {"pictures": list(player.pictures)[: 64 * count]}
        data["labels"] = list(player.labels)[:count]
        script = module_script("degradation-player")
        page.evaluate(LIVE, {"script": script, "state": state, "bytes": data})
        return page

    yield show
    page.close()
    assert complaints == []


def get(page, name):
    return page.evaluate("(name) => model.get(name)", name)


def test_state_goes_both_ways(live):
    player = DegradationPlayer(pair=SMALL)
    page = live(player, count=100, training={**player.training, "epochs": 4})
    part(page, 0).get_by_role("slider").press("Home")
    assert get(page, "depth") == 8
    page.locator("label.x-toggle", has_text="Residual").click()
    assert get(page, "show") == ["plain"]
    page.evaluate("model.set('depth', 44); model.set('show', ['residual'])")
    assert chosen(page) == "44"
    assert len(ends(page)) == 1
    part(page, 1).locator("label", has_text="2 · ResNet-8").click()
    page.get_by_role("button", name="Train").click()
    wait_for(page, "predicted")
    trained = get(page, "trained")
    print(trained)
    assert [{k: net[k] for k in ("depth", "shortcut", "seed")} for net in trained] == [
        {**net, "seed": 0} for net in SMALL
    ]
    for i, net in enumerate(trained, start=1):
        assert len(net["train_loss"]) == len(net["train_error"]) == 4
        text = page.locator(f'[data-value="network{i}"]').text_content()
        assert f"loss {net['train_loss'][-1]:.3f}" in text
    a, b = (net["train_loss"][-1] for net in trained)
    lower = None if abs(a - b) < 0.05 else "2 · ResNet-8" if b < a else "1 · plain-8"
    assert said(page).startswith("As" if lower == "2 · ResNet-8" else "Not as")
    assert lower is None or lower in said(page)
    page.evaluate("model.set('pair', [{ depth: 20, shortcut: null }, { depth: 8, shortcut: 'A' }])")
    assert get(page, "trained") == []
    assert "plain-20" in page.locator('[data-value="network1"]').text_content()
    assert page.evaluate("model.listening()") > 0
    page.evaluate("close()")
    assert page.evaluate("model.listening()") == 0
    assert page.locator(".explorable").count() == 0


def test_a_mistake_in_the_worker_is_said(live):
    page = live(DegradationPlayer(pair=SMALL), count=60)
    part(page, 1).locator("label", has_text="about equal").click()
    page.get_by_role("button", name="Train").click()
    page.get_by_role("alert").get_by_text("60 pictures do not fill batches of 50").wait_for()
    assert page.get_by_role("button", name="Stop").is_disabled()


NO_WORKERS = {
    "absent": "delete window.Worker",
    "refused": "window.Worker = class { constructor() { throw new Error('not here') } }",
    "broken": """window.Worker = class {
        constructor() { setTimeout(() => this.onerror(new Event('error', { cancelable: true }))) }
        postMessage() {} terminate() {} }""",
    "silent": "window.Worker = class { postMessage() {} terminate() {} }",
}


@pytest.mark.parametrize("how", NO_WORKERS)
def test_without_workers_the_measured_curves_stand_in(figure_page, how):
    pair = [{"depth": 38, "shortcut": s} for s in (None, "A")]
    player = DegradationPlayer(depth=8, show=["plain"], pair=pair)
    page = figure_page(player, script=NO_WORKERS[how])
    if how != "absent":  # else it is known from the start
        part(page, 1).get_by_role("radio", name="about equal").check(force=True)
        page.get_by_role("button", name="Train").click()
    alert = page.get_by_role("alert")
    alert.get_by_text("may not start workers").wait_for(timeout=15_000)
    assert chosen(page) == "44"  # the next one that was measured
    assert len(ends(page)) == 2
    assert page.get_by_role("button", name="Stop").is_disabled()
    part(page, 0).get_by_role("slider").press("End")
    assert chosen(page) == "56"  # the rest goes on


# --- every page


def test_reduced_motion_draws_by_epoch(figure_page):
    """With reduced motion the curves are drawn when an epoch ends, not at every step."""
    counts = {}
    for reduced in (False, True):
        page = figure_page(DegradationPlayer(pair=SMALL), reduced=reduced)
        part(page, 1).get_by_role("radio", name="about equal").check(force=True)
        page.evaluate("""() => {
          window.drawn = 0;
          const observer = new MutationObserver((changes) => (drawn += changes.length));
          observer.observe(document.querySelectorAll(".x-plot")[1], { childList: true });
        }""")
        page.get_by_role("button", name="Train").click()
        wait_for(page, "predicted")
        counts[reduced] = page.evaluate("drawn")
    print("drawn in 100 steps with full and with reduced motion:", counts)
    assert counts[True] <= 2 * 10 + 5  # an epoch of either network; and at start and end
    assert counts[False] > 2 * counts[True]


def test_chinese(figure_page):
    page = figure_page(DegradationPlayer(pair=SMALL), lang="zh")
    part(page, 1).get_by_role("radio", name="首层梯度").check(force=True)
    page.get_by_role("button", name="开始训练").click()
    assert page.get_by_role("alert").text_content() == "请先预测谁的损失更小。"
    part(page, 1).get_by_role("radio", name="差不多").check(force=True)
    page.get_by_role("button", name="开始训练").click()
    wait_for(page, "一致")
    words = page.evaluate("""() => {
      const all = [...document.querySelectorAll(".explorable, .explorable *")];
      return [document.querySelector(".explorable").textContent,
        ...all.map((e) => e.getAttribute("aria-label")), ...all.map((e) => e.title)].join(" ");
    }""")
    print(said(page))
    assert re.findall(r"[A-Za-z]{2,}", words.replace("null", "")) == []
    assert "{" not in words


@pytest.mark.parametrize("width", [1280, 360])
def test_axe_and_width(figure_page, width):
    page = figure_page(DegradationPlayer(pair=SMALL), width=width)
    part(page, 1).get_by_role("radio", name="about equal").check(force=True)
    page.get_by_role("button", name="Train").click()
    wait_step(page, 12)
    page.get_by_role("button", name="Stop").click()
    assert complaints_in_both(page) == NOTHING
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for i in (0, 1):  # the names beside the lines are inside the figure
        inside = part(page, i).evaluate("""(e) => {
          const room = e.closest(".explorable").getBoundingClientRect().right;
          const texts = [...e.querySelectorAll("svg text")];
          return texts.every((text) => text.getBoundingClientRect().right < room);
        }""")
        assert inside
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ink = page.evaluate("getComputedStyle(document.querySelector('.explorable')).color")
        light = sum(int(v) for v in re.findall(r"\d+", ink)[:3]) > 384
        assert light == (scheme == "dark")


def test_layout_does_not_jump(figure_page):
    """Sliders and switches change numbers, not where things are."""
    page = figure_page(DegradationPlayer(pair=SMALL), width=360)
    where = """() => [...document.querySelectorAll(".x-plot, table, progress, button")]
      .map((e) => e.getBoundingClientRect().top + scrollY)"""
    before = page.evaluate(where)
    slider = part(page, 0).get_by_role("slider")
    for key in ("Home", "ArrowRight", "End"):
        slider.press(key)
        assert page.evaluate(where) == before
    for name in ("first gradient", "training loss", "about equal"):
        part(page, 1).get_by_role("radio", name=name).check(force=True)
        assert page.evaluate(where) == before
    page.get_by_role("button", name="Train").click()
    wait_step(page, 12)
    page.get_by_role("button", name="Stop").click()
    after = page.evaluate(where)
    print([round(b - a) for a, b in zip(before, after, strict=True)])
    assert after == before
