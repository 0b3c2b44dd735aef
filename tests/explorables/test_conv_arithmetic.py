"""Convolution arithmetic: the figure's numbers against PyTorch's, and its controls in a browser."""

import itertools
import json
import re

import pytest
import torch
import traitlets
from looks import NOTHING, complaints_in_both
from parity import JS
from torch import nn

from backbone.anatomy import receptive_field, record_features
from backbone.explorables.bundle import module_script
from backbone.explorables.conv_arithmetic import RANGES, ConvArithmetic, steps
from backbone.unet import UNetModel
from backbone.variants import PaperUNet, paper_output_size
from browser import serve

OPEN = {"layer": None, "stack": None, "unet": None}  # as if the reader had looked at each
NETWORKS = {"paper": PaperUNet(init_features=1).eval(), "padded": UNetModel(init_features=1).eval()}


VIEW = (JS / "views/conv-arithmetic.js").read_text("utf-8")


def words_of(language):
    """What the view says in one language."""
    block = re.search(rf"^    {language}: \{{\n(.*?)^    \}},", VIEW, re.MULTILINE | re.DOTALL)[1]
    lines = re.findall(r'^ +"?([\w-]+)"?: (".*"),$', block, re.MULTILINE)
    assert len(lines) == block.count("\n")
    return {key: json.loads(text) for key, text in lines}


WORDS = {language: words_of(language) for language in ("en", "zh")}


# --- the arithmetic, in the browser and in PyTorch


@pytest.fixture(scope="module")
def arithmetic(browser, tmp_path_factory):
    """Call the view's own functions: `arithmetic("sizeOut", 8, {…})`."""
    folder = tmp_path_factory.mktemp("arithmetic")
    for file in (
        "views/conv-arithmetic.js",
        *(f"parts/{n}.js" for n in ("controls", "dom", "figure")),
    ):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text((JS / file).read_text("utf-8"), "utf-8")
    (folder / "index.html").write_text(
        '<!doctype html><link rel="icon" href="data:,"><script type="module">'
        'import * as view from "./views/conv-arithmetic.js"; window.view = view;</script>'
    )
    with serve(folder) as address:
        page = browser.new_page()
        page.goto(f"{address}/index.html")
        page.wait_for_function("window.view !== undefined")
        yield lambda name, calls: page.evaluate(
            "([name, calls]) => calls.map((args) => view[name](...args))", [name, calls]
        )
        page.close()


def grid(up):
    """Convolutions over all that the sliders offer, thinned out."""
    sizes = (1, 2, 5, 8, 11, 12)
    ranges = [
        range(RANGES[k][0], RANGES[k][1] + 1) for k in ("kernel", "stride", "padding", "dilation")
    ]
    for n, kernel, stride, padding, dilation in itertools.product(sizes, *ranges):
        yield (
            n,
            {
                "kernel": kernel,
                "stride": stride,
                "padding": padding,
                "dilation": dilation,
                "up": up,
            },
        )


def layer(op):
    kind = nn.ConvTranspose2d if op["up"] else nn.Conv2d
    named = {"padding": op["padding"], "dilation": op["dilation"], "bias": False}
    made = kind(1, 1, op["kernel"], stride=op["stride"], **named)
    nn.init.ones_(made.weight)
    return made


def runs(n, op):
    """The output for a map of ones, or None where PyTorch refuses."""
    try:
        out = layer(op)(torch.ones(1, 1, n, n))
    except RuntimeError:
        return None
    return out if out.numel() else None


@pytest.mark.parametrize("up", [False, True], ids=["conv", "transposed"])
def test_sizes_are_those_of_torch(arithmetic, up):
    cases = list(grid(up))
    found = arithmetic("sizeOut", [[n, op] for n, op in cases])
    refused = 0
    for (n, op), size in zip(cases, found, strict=True):
        out = runs(n, op)
        assert (out.shape[2] if out is not None else 0) == max(size, 0), (n, op)
        refused += out is None
    print(len(cases), "settings,", refused, "of them impossible")
    assert 0 < refused < len(cases) / 2


@pytest.mark.parametrize("up", [False, True], ids=["conv", "transposed"])
def test_pixels_read_are_those_with_a_gradient(arithmetic, up):
    sizes = ((n, op, runs(n, op)) for n, op in grid(up) if n in (1, 5, 8))
    cases = [(n, op, out.shape[2]) for n, op, out in sizes if out is not None]
    places = [[i, n, op] for n, op, size in cases for i in range(size)]
    found, padding = iter(arithmetic("reads", places)), 0
    for n, op, size in cases:
        x = torch.ones(size, 1, n, n, requires_grad=True)  # the same map for each output row
        rows = torch.arange(size)
        layer(op)(x)[rows, 0, rows].sum().backward()
        for i, grad in enumerate(x.grad[:, 0].sum(dim=2)):
            read = next(found)
            inside = [j for j in read if 0 <= j < n]
            assert inside == grad.nonzero().flatten().tolist(), (n, op, i)
            assert read == sorted(set(read)), (n, op, i)
            assert op["up"] or len(read) == op["kernel"]
            padding += len(read) - len(inside)
    print(len(places), "output rows,", padding, "reads of padding")


def test_stamps_are_those_of_torch(arithmetic):
    sizes = ((n, op, runs(n, op)) for n, op in grid(True) if n == 5)
    cases = [(n, op, out[0, 0]) for n, op, out in sizes if out is not None]
    places = [[i, n, op] for n, op, out in cases for i in range(len(out))]
    found = iter(arithmetic("reads", places))
    for _, _, out in cases:
        counts = torch.tensor([len(next(found)) for _ in out], dtype=torch.float)
        assert torch.equal(torch.outer(counts, counts), out)
    print(len(cases))


def test_steps_are_the_models_own():
    for name, net in NETWORKS.items():
        found = steps(net, 572 if name == "paper" else 576)
        modules = dict(net.named_modules())
        kinds = [kind for _, kind, *_ in found]
        convs = [m for m in modules.values() if isinstance(m, nn.Conv2d)]
        print(name, len(found), "steps")
        assert kinds.count("conv") == len(convs) == 19
        assert [kinds.count(k) for k in ("pool", "up", "join")] == [4, 4, 4]
        padding = {step[4] for step in found if step[1] == "conv" and step[2] == 3}
        assert padding == ({0} if name == "paper" else {1})


def test_the_walk_is_that_of_the_paper_at_every_size(arithmetic):
    networks = ConvArithmetic().networks
    sides = list(range(1, 1201))
    found = arithmetic("walk", [[networks["paper"], n] for n in sides])
    fits = 0
    for n, walked in zip(sides, found, strict=True):
        try:
            out = paper_output_size(n)
        except ValueError:
            out = None
        assert walked.get("out") == out, n
        fits += out is not None
    print(fits, "of", len(sides), "fit")
    for n, walked in zip(
        sides, arithmetic("walk", [[networks["padded"], n] for n in sides]), strict=True
    ):
        assert walked.get("out") == (None if n % 16 else n)


@pytest.mark.parametrize(
    ("name", "side"),
    [("paper", 572), ("paper", 188), ("paper", 604), ("padded", 576), ("padded", 48)],
)
def test_the_walk_is_that_of_the_live_network(arithmetic, name, side):
    net = NETWORKS[name]
    taps = ConvArithmetic().networks[name]
    made, handles = [], []
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d)):
            handles.append(module.register_forward_hook(lambda m, x, y: made.append(y.shape[2])))
    with torch.no_grad():
        net(torch.zeros(1, 1, side, side))
    for handle in handles:
        handle.remove()
    (walked,) = arithmetic("walk", [[taps, side]])
    kept = [n for n, step in zip(walked["sizes"], taps, strict=True) if step[1] != "join"]
    print(kept)
    assert kept == made


def test_a_stack_sees_what_receptive_field_says(arithmetic):
    for kernel, stride, dilation in itertools.product((1, 2, 3, 5, 7), (1, 2, 3), (1, 2, 3)):
        op = {"kernel": kernel, "stride": stride, "dilation": dilation}
        (levels,) = arithmetic("stack", [[3, op]])
        net = nn.Sequential(*(nn.Conv2d(1, 1, kernel, stride, dilation=dilation) for _ in range(3)))
        side = levels[3]["sees"]
        for i in (1, 2, 3):
            field = receptive_field(net, str(i - 1), (1, 1, side, side), at=(0, 0))
            assert field.size[0] == levels[i]["sees"], (op, i)
            assert field.rows == (0, levels[i]["sees"] - 1)
        if side <= 150:  # the very pixels that are drawn
            for conv in net:
                nn.init.ones_(conv.weight)
            x = torch.ones(1, 1, side, side, requires_grad=True)
            net(x).sum().backward()
            rows = x.grad[0, 0].sum(dim=1).nonzero().flatten().tolist()
            assert sorted(levels[0]["values"]) == rows, op


def test_what_the_stages_see():
    figure = ConvArithmetic()
    print(figure.sees)
    for name, seen in figure.sees.items():  # wherever one looks, and in both networks
        for at in ((9, 9), (14, 14), (17, 17)):
            for network, side in (("padded", 432), ("paper", 428)):
                field = receptive_field(NETWORKS[network], name, (1, 1, side, side), at=at)
                assert field.size[0] == seen


# --- in Python


def test_python_side():
    figure = ConvArithmetic(size=5, transposed=True, place=[1, 2])
    assert (figure.size, figure.kernel, figure.transposed, figure.place) == (5, 3, True, [1, 2])
    for name, (least, most) in RANGES.items():
        for bad in (least - 1, most + 1, 1.5, "3"):
            with pytest.raises(traitlets.TraitError, match=name):
                ConvArithmetic(**{name: bad})
    for bad in ({"tab": "other"}, {"place": [1]}, {"place": [-1, 0]}, {"transposed": "yes"}):
        with pytest.raises(traitlets.TraitError):
            ConvArithmetic(**bad)
    with pytest.raises(traitlets.TraitError):
        figure.networks = {}


def test_words_exist_in_both_languages():
    code = VIEW.split("  render(")[1]
    assert set(WORDS["en"]) == set(WORDS["zh"])
    for key, text in WORDS["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", WORDS["zh"][key])), (
            key
        )
        assert key in code or key in ("title", "hint") or key.startswith("ask-"), key
        zh = WORDS["zh"][key]
        assert not re.search(r"[\u4e00-\u9fff][A-Za-z0-9{]|[A-Za-z0-9}][\u4e00-\u9fff]", zh), zh


# --- in the browser

SETTINGS = [
    {"width": 1280},
    {"width": 360, "scheme": "dark", "lang": "zh", "reduced": True},
    {"width": 360},
    {"width": 1280, "scheme": "dark", "lang": "zh"},
]
ALL = pytest.mark.parametrize("setting", SETTINGS, ids=str)
SLIDERS = ("size", "kernel", "stride", "padding", "dilation", "layers")


def value(page, name):
    found = page.locator(f'[data-value="{name}"]')
    return found.inner_text() if found.count() else None


def slide(page, name, wanted, lang="en"):
    label = WORDS[lang][name]
    slider = page.get_by_label(label, exact=True)
    slider.focus()
    now = int(slider.input_value())
    for _ in range(abs(wanted - now)):
        page.keyboard.press("ArrowRight" if wanted > now else "ArrowLeft")
    assert int(slider.input_value()) == wanted


def lit(page):
    return page.locator("rect.x-lit").count()


@ALL
def test_guess_first(figure_page, setting):
    for tab, right in (("layer", 3), ("stack", 15), ("unet", 388)):
        page = figure_page(ConvArithmetic(tab=tab), **setting)
        assert value(page, "formula") is None and page.locator("table, svg[role=grid]").count() == 0
        page.locator("form input").fill("5")
        page.keyboard.press("Enter")
        said = page.locator(".x-said").inner_text()
        print(said)
        assert "5" in said and str(right) in said
        assert page.locator("form").is_hidden()
        assert page.locator("table, svg[role=grid]").count() == 1

        page = figure_page(ConvArithmetic(tab=tab), **setting)
        page.locator("form input").fill(str(right))
        page.locator("form button").first.click()
        assert str(right) in page.locator(".x-said").inner_text()

        page = figure_page(ConvArithmetic(tab=tab), **setting)
        page.locator("form button").last.click()  # just show me
        assert (
            page.locator("form").is_hidden() and page.locator("table, svg[role=grid]").count() == 1
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@ALL
def test_choose_an_output_pixel(figure_page, setting):
    page = figure_page(ConvArithmetic(guesses=OPEN, padding=1), **setting)  # 8 → 4
    cells = page.locator("rect[role=gridcell]")
    assert cells.count() == 16 and lit(page) == 9
    chosen = page.locator('rect[aria-selected="true"]')
    page.locator("svg[role=grid]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert chosen.get_attribute("aria-label") == "1, 2"
    active = page.locator("svg[role=grid]").get_attribute("aria-activedescendant")
    assert active == chosen.get_attribute("id")
    said = page.locator(".x-said").inner_text()
    print(said)
    assert "(1, 2)" in said and "9" in said
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    assert chosen.get_attribute("aria-label") == "0, 0"
    said = page.locator(".x-said").inner_text()
    assert "4" in said and "5" in said  # the corner: four pixels, five of padding
    assert page.locator("rect.x-lit.x-out").count() == 5
    cells.last.click()
    assert chosen.get_attribute("aria-label") == "3, 3"
    assert page.evaluate("document.activeElement.getAttribute('role')") == "grid"
    assert page.locator("rect.x-lit.x-out").count() == 0


@ALL
def test_every_slider_moves_the_numbers(figure_page, setting):
    lang = setting.get("lang", "en")
    page = figure_page(ConvArithmetic(guesses=OPEN), **setting)
    seen = {value(page, "formula")}
    assert value(page, "formula").endswith("⌊2.5⌋ + 1 = 3")
    assert "1" in value(page, "left")
    state = {"size": 8, "kernel": 3, "stride": 2, "padding": 0, "dilation": 1}
    for name, wanted in (
        ("size", 12),
        ("kernel", 5),
        ("stride", 3),
        ("padding", 2),
        ("dilation", 2),
    ):
        slide(page, name, wanted, lang)
        state[name] = wanted
        op = {**state, "up": False}
        out = runs(state["size"], op).shape[2]
        assert value(page, "formula").endswith(f"= {out}"), value(page, "formula")
        assert f"{out}×{out}" in value(page, "output")
        seen.add(value(page, "formula"))
    print(*seen, sep="\n")
    assert len(seen) == 6
    word = WORDS[lang]["transposed"]
    switch = page.get_by_role("switch", name=word)
    switch.focus()
    page.keyboard.press("Space")
    out = runs(12, {**state, "up": True}).shape[2]
    assert value(page, "formula").endswith(f"= {out}") and value(page, "stamps")
    assert page.locator("rect[role=gridcell]").count() == out**2
    switch.click()
    assert value(page, "stamps") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_left_over_and_unread(figure_page):
    for padding, words in (
        (0, "edge: 1 (0 of it"),
        (1, "edge: 1 (1 of it"),
    ):
        page = figure_page(ConvArithmetic(guesses=OPEN, padding=padding))
        assert words in value(page, "left")
    page = figure_page(ConvArithmetic(guesses=OPEN, size=9))
    assert value(page, "left") is None and value(page, "unread") is None
    page = figure_page(ConvArithmetic(guesses=OPEN, kernel=1))
    x = torch.ones(1, 1, 8, 8, requires_grad=True)
    nn.Conv2d(1, 1, 1, stride=2)(x).sum().backward()
    unread = int((x.grad == 0).sum())
    print(value(page, "unread"))
    assert value(page, "unread").startswith(f"{unread} of 64")
    assert page.locator("svg[role=img] text").count() == unread


@pytest.mark.parametrize(
    ("kernel", "stride", "words"),
    [
        (2, 2, "as many"),
        (3, 2, "checkerboard"),
        (4, 2, "as many"),
        (1, 2, "gaps"),
        (5, 3, "checkerboard"),
    ],
)
def test_stamps(figure_page, kernel, stride, words):
    figure = ConvArithmetic(guesses=OPEN, size=4, kernel=kernel, stride=stride, transposed=True)
    page = figure_page(figure)
    out = runs(4, {"kernel": kernel, "stride": stride, "padding": 0, "dilation": 1, "up": True})[
        0, 0
    ]
    shown = [int(t) for t in page.locator("svg[role=grid] text").all_text_contents()]
    kinds = ", ".join(str(int(n)) for n in out.unique())
    print(value(page, "stamps"))
    assert shown == out.flatten().int().tolist()
    assert f"{kinds}." in value(page, "stamps") and words in value(page, "stamps")


def test_impossible_settings_say_so(figure_page):
    page = figure_page(ConvArithmetic(guesses=OPEN, size=2, kernel=3))
    assert "3 does not fit into 2" in page.locator(".x-problem").inner_text()
    assert page.locator("svg").count() == 0
    slide(page, "size", 3)
    assert page.locator(".x-problem").is_hidden() and "1×1" in value(page, "output")
    page = figure_page(ConvArithmetic(guesses=OPEN, size=1, kernel=1, padding=2, transposed=True))
    assert "cuts away" in page.locator(".x-problem").inner_text()


@ALL
def test_a_stack_of_layers(figure_page, setting):
    lang = setting.get("lang", "en")
    page = figure_page(ConvArithmetic(guesses=OPEN, tab="stack"), **setting)
    assert value(page, "sees-3").endswith("= 15")
    assert page.locator("svg .x-lit").count() == 1 + 3 + 7 + 15
    for name, wanted in (("layers", 4), ("stride", 1), ("dilation", 2), ("kernel", 5)):
        slide(page, name, wanted, lang)
    net = nn.Sequential(*(nn.Conv2d(1, 1, 5, dilation=2) for _ in range(4)))
    seen = receptive_field(net, "", (1, 1, 64, 64)).size[0]
    assert value(page, "sees-4").endswith(f"= {seen}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visible = [n for n in SLIDERS if page.get_by_label(WORDS[lang][n], exact=True).is_visible()]
    assert visible == ["kernel", "stride", "dilation", "layers"]


@ALL
def test_the_papers_network(figure_page, setting):
    page = figure_page(ConvArithmetic(guesses=OPEN, tab="unet"), **setting)

    def cells(stage, column):
        cell = page.locator(f'tr[data-stage="{stage}"] td').nth(column).inner_text()
        return [int(n) for n in re.findall(r"\d+", re.sub(r"[(（].*?[)）]", "", cell))]

    made = record_features(NETWORKS["paper"], torch.zeros(1, 1, 572, 572))
    padded = record_features(NETWORKS["padded"], torch.zeros(1, 1, 576, 576))
    for stage in [name for name in padded if name.startswith(("encode", "decode", "out"))]:
        assert cells(stage, 0)[-1] == made[stage].shape[2]
        assert cells(stage, 1)[-1] == padded[stage].shape[2]
    for i in (1, 2, 3, 4):
        assert cells(f"decode_layer{i}", 0)[:2] == [
            made[f"upconv{i}"].shape[2],
            made[f"encode_layer{i}"].shape[2],
        ]
    assert "388" in value(page, "fits") and "576" in value(page, "multiple")

    page.locator("input[type=number]").first.fill("560")
    page.keyboard.press("Tab")
    problem = page.locator(".x-problem").inner_text()
    print(problem)
    assert "560" in problem and "133" in problem
    assert value(page, "fits") is None and value(page, "multiple") is None
    assert cells("out_layer", 1) == [560]
    smaller, larger = page.locator("button", has_text=re.compile("[◂▸]")).all()
    assert (smaller.inner_text(), larger.inner_text()) == ("◂ 556", "572 ▸")
    for side in (int(b.inner_text().strip("◂▸ ")) for b in (smaller, larger)):
        assert paper_output_size(side) == side - 184
    smaller.click()
    assert "372" in value(page, "fits") and page.locator(".x-problem").is_hidden()
    larger.focus()
    page.keyboard.press("Enter")
    assert "388" in value(page, "fits")
    for bad, told in (("100", "100"), ("0", "1"), ("99999", "4096")):
        page.locator("input[type=number]").first.fill(bad)
        page.keyboard.press("Enter")
        assert told in page.locator(".x-problem").inner_text()
    page.locator("input[type=number]").first.fill("1")
    page.keyboard.press("Enter")
    assert smaller.is_disabled() and larger.inner_text() == "188 ▸"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@ALL
def test_tabs(figure_page, setting):
    page = figure_page(ConvArithmetic(guesses=OPEN), **setting)
    page.locator("input[type=radio]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("svg.x-pile").count() == 1
    page.keyboard.press("ArrowRight")
    assert page.locator("tr[data-stage]").count() == 10
    page.locator(".x-segments label").first.click()
    assert page.locator("svg[role=grid]").count() == 1
    if setting.get("lang") == "zh":
        words = page.locator(".explorable").inner_text()
        print(set(re.findall(r"[A-Za-z]{2,}", words)))
        assert not re.findall(r"[A-Za-z]{2,}", words)


def test_axe_finds_nothing_serious(figure_page):
    for settings in ({}, {"guesses": OPEN}, {"guesses": OPEN, "transposed": True, "size": 4}):
        for tab in ("layer", "stack", "unet"):
            page = figure_page(ConvArithmetic(tab=tab, **settings))
            assert complaints_in_both(page) == NOTHING, (tab, settings)


def test_state_goes_both_ways(browser, tmp_path):
    page = browser.new_page()
    figure = ConvArithmetic(guesses=OPEN, language="en")
    names = [
        *SLIDERS,
        "tab",
        "transposed",
        "place",
        "side",
        "guesses",
        "ranges",
        "networks",
        "sees",
    ]
    state = {name: getattr(figure, name) for name in [*names, "language"]}
    file = tmp_path / "page.html"
    script = module_script("conv-arithmetic").replace("export default", "window.widget =")
    file.write_text(
        f"<!doctype html><meta charset=utf-8><body><script type=module>{script}\n"
        f"const state = {json.dumps(state)}; const heard = {{}}; window.saved = 0;"
        "window.model = { get: (k) => state[k], save_changes: () => window.saved++,"
        " set: (k, v) => { state[k] = v; heard['change:' + k]?.(); },"
        " on: (e, f) => { heard[e] = f; }, off: (e) => { delete heard[e]; } };\n"
        "window.heard = heard; window.clean = widget.render({ model, el: document.body });</script>"
    )
    page.goto(file.as_uri())
    page.locator("rect[role=gridcell]").nth(5).click()
    slide(page, "kernel", 4)
    assert page.evaluate("[model.get('place'), model.get('kernel'), saved]") == [[1, 2], 4, 2]
    page.evaluate("model.set('transposed', true)")
    assert value(page, "stamps") and page.get_by_role("switch").is_checked()
    page.evaluate("model.set('place', [0, 0])")
    assert page.locator('rect[aria-selected="true"]').get_attribute("aria-label") == "0, 0"
    page.evaluate("model.set('tab', 'unet'); model.set('side', 604)")
    assert "420" in value(page, "fits")
    page.evaluate("clean()")
    assert page.evaluate("Object.keys(heard).length") == 0
    page.close()
