"""The network map: its numbers against Python's, its links in every direction, its controls."""

import inspect
import json

import pytest
import torch
import traitlets
from looks import NOTHING, complaints, complaints_in_both, english_words, scrolls_sideways

from backbone.anatomy import layer_table, table
from backbone.explorables.map_layers import NETWORKS, RESNETS
from backbone.explorables.network_map import NetworkMap
from backbone.resnet import BasicBlock, Bottleneck, ResNet, ResNet18
from backbone.unet import UNetModel, conv_stage

torch.set_num_threads(1)

NAMES = {"ResNet", "Net", "Python", "Tab", *NETWORKS}


@pytest.fixture(autouse=True, scope="module")
def traced_once():
    """Tables of one network to several depths rest on one list of its operations."""
    trace, known = table.trace, {}

    def kept(model, size):
        key = (repr(model), tuple(size))
        if key not in known:
            known[key] = trace(model, size)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "trace", kept)
        yield


def rows(page, leaves=False):
    """The table in the page as (name, kind, shape, parameters, multiply-adds)."""
    found = page.eval_on_selector_all(
        ".x-table tbody tr",
        """rows => rows.map(r => [r.dataset.path, r.querySelector('small').textContent.trim(),
            r.querySelector('.x-open') !== null,
            ...[...r.cells].slice(1).map(c => c.innerText)])""",
    )

    def number(text):
        return int(text.replace(",", "").replace("–", "0"))

    return [
        (
            path if kind else "",
            kind or path.split(".")[-1].split(" ")[0],
            tuple(map(int, shape.split("×"))),
            number(parameters),
            number(work),
        )
        for path, kind, opens, shape, parameters, work in found
        if not (leaves and opens)
    ]


def in_python(table):
    return [
        (
            row.name,
            row.kind,
            tuple(n for n in row.shape[1:]),
            row.parameters,
            row.multiply_adds,
        )
        for row in table[1:]
    ]


def lit(page, panel):
    """What is lit in a panel: paths, or lines of code."""
    return page.eval_on_selector_all(
        f".x-{panel} .x-lit", "marks => marks.map(m => m.dataset.path ?? m.textContent.trim())"
    )


def settle(page):
    """Take the pointer away from every panel."""
    page.mouse.move(2, 2)


# --- numbers

GRID = [
    *[("ResNet18", size, width) for size in (1, 33, 225) for width in (1, 64)],
    ("ResNet18", 64, 8),
    ("ResNet34", 224, 16),
    ("ResNet50", 31, 64),
    ("ResNet101", 65, 8),
    ("ResNet152", 97, 4),
    *[("UNetModel", size, width) for size in (16, 48) for width in (1, 32)],
    ("UNetModel", 80, 7),
    ("UNetModel", 256, 32),
]


def test_numbers_are_pythons_on_a_grid(kernel):
    pages = {
        "ResNet": kernel(NetworkMap("ResNet18", settings={"num_classes": 1000})),
        "UNetModel": kernel(NetworkMap("UNetModel")),
    }
    for name, size, width in GRID:
        unet = name == "UNetModel"
        at = pages["UNetModel" if unet else "ResNet"]
        at.set(architecture=name, size=size, width=width)
        more = {} if unet else {"num_classes": 1000}
        table = NetworkMap(name, settings=more, size=size, width=width).table()
        assert rows(at.page) == in_python(table), (name, size, width)
        shown = [
            at.page.inner_text(f'[data-value="{key}"]').replace(",", "")
            for key in ("parameters", "work")
        ]
        assert [int(n) for n in shown] == [table.total.parameters, table.total.multiply_adds]
    print(f"{len(GRID)} settings, every row of depth 1 and the total equal")


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [("ResNet18", 45, 3), ("ResNet50", 64, 8), ("ResNet152", 33, 2), ("UNetModel", 48, 4)],
)
def test_blocks_and_layers_are_pythons(kernel, name, size, width):
    figure = NetworkMap(name, size=size, width=width)
    at = kernel(figure)
    stages = [
        path for path in figure._names(name) if path.startswith(("layer", "enc", "dec", "out"))
    ]
    blocks = [path for path in stages if path.count(".") == 1] if name in RESNETS else []
    top = [path for path in stages if "." not in path]
    at.set(opened=[*top])
    if blocks:
        two = [row for row in in_python(figure.table(2)) if row[0].count(".") == 1]
        seen = [row for row in rows(at.page) if row[0].count(".") == 1]
        assert seen == two and len(seen) == len(blocks)
    at.set(opened=[*top, *blocks])
    deep = in_python(figure.table(3 if blocks else 2))
    assert rows(at.page, leaves=True) == deep
    print(f"{name}: {len(blocks)} blocks, {len(deep)} layers equal")


def test_python_side():
    figure = NetworkMap("ResNet50", settings={"num_classes": 7, "in_channels": 1}, width=4, size=40)
    assert figure.module().fc.out_features == 7 and figure.module().conv1.in_channels == 1
    assert figure.table().total.parameters == sum(p.numel() for p in figure.module().parameters())
    figure.opened, figure.chosen = ["layer3", "layer3.5"], ["layer3.5.conv3"]
    figure.architecture = "ResNet18"  # has two blocks a stage, of another kind
    assert figure.opened == ["layer3"] and figure.chosen == []
    for trait, bad, words in (
        ("opened", ["layer5"], "no step 'layer5'.*layer4"),
        ("chosen", ["layer1.2"], "no step 'layer1.2'"),
        ("size", 0, "from 1 to 512"),
        ("width", 129, "from 1 to 128"),
        ("architecture", "UNetModel", "ResNet18.*another NetworkMap"),
    ):
        with pytest.raises(traitlets.TraitError, match=words):
            setattr(figure, trait, bad)
    for bad in ("ResNet20", "", None, 18, ResNet18):
        with pytest.raises(ValueError, match=r"ResNet18, ResNet34.*UNetModel"):
            NetworkMap(bad)
    with pytest.raises(TypeError, match="classes"):
        NetworkMap("ResNet18", settings={"classes": 3})
    with pytest.raises(ValueError, match="multiples of 16"):
        NetworkMap("UNetModel", size=100).table()


def test_it_is_small():
    for name in ("ResNet18", "UNetModel"):
        state = NetworkMap(name).get_state()
        size = len(json.dumps({k: v for k, v in state.items() if k[0] != "_"}, default=str))
        print(f"{name}: {size / 1e3:.1f} kB of state")
        assert size < 40_000


# --- links


def test_the_source_is_the_real_one(figure_page):
    page = figure_page(NetworkMap("ResNet50"))
    shown = page.inner_text(".x-source")
    for thing in (ResNet.forward, ResNet._make_layer, Bottleneck.__init__):
        for line in inspect.getsource(thing).splitlines():
            if line.strip() and '"""' not in line:
                assert line.strip() in shown, line
    assert "class BasicBlock" not in shown
    page.get_by_role("combobox", name="Network").select_option("ResNet34")
    shown = page.inner_text(".x-source")
    assert "class BasicBlock" in shown and "class Bottleneck" not in shown
    assert "[3, 4, 6, 3]" in shown


def test_from_a_box_to_row_and_lines(figure_page):
    page = figure_page(NetworkMap("ResNet18"))
    page.locator('.x-drawing [data-path="layer2"] rect').hover()
    assert lit(page, "drawing") == ["layer2"] and lit(page, "table") == ["layer2"]
    lines = lit(page, "source")
    print(lines)
    assert "self.layer2 = self._make_layer(block, width * 2, num_blocks[1], stride=2)" in lines
    assert any(line.startswith("x = self.layer2(x)") for line in lines)
    assert "return ResNet(BasicBlock, [2, 2, 2, 2], num_classes, in_channels, width)" in lines
    assert not any("layer3" in line for line in lines)
    definition = page.locator(".x-source .x-lit", has_text="self.layer2 = ").bounding_box()
    panel = page.locator(".x-source").bounding_box()
    assert panel["y"] <= definition["y"] <= panel["y"] + panel["height"]  # scrolled to it
    settle(page)
    assert not any(lit(page, panel) for panel in ("drawing", "table", "source"))


def test_from_a_row_to_box_and_lines(figure_page):
    page = figure_page(NetworkMap("ResNet18", opened=["layer2", "layer2.0"]))
    page.locator('tr[data-path="layer2.0.downsample"] td').first.hover()
    assert lit(page, "table") == ["layer2.0.downsample"]
    assert lit(page, "drawing") == ["layer2.0"]  # the nearest box
    lines = lit(page, "source")
    print(lines)
    assert any(line.startswith("self.downsample = projection(") for line in lines)
    assert any("else self.downsample(x)" in line for line in lines)
    assert any(line.startswith("if stride == 1 and in_planes == out_planes") for line in lines)
    assert not any("conv3x3" in line for line in lines)
    page.locator('tr[data-path="layer2.0.add"] td').first.hover()
    assert any(line.startswith("out += shortcut") for line in lit(page, "source"))


def test_from_a_line_to_boxes_and_rows(figure_page):
    page = figure_page(NetworkMap("ResNet18"))
    page.locator("button.x-coded", has_text="x = self.relu(self.bn1(self.conv1(x)))").hover()
    assert lit(page, "table") == lit(page, "drawing") == ["conv1", "bn1", "relu"]
    # A line of the block: it is in every block, and with all stages closed in every stage.
    page.locator("button.x-coded", has_text="out = self.bn2(self.conv2(out))").hover()
    assert lit(page, "table") == [f"layer{i}" for i in (1, 2, 3, 4)]
    # The projection is in three of the four.
    page.locator("button.x-coded", has_text="if stride == 1 and").hover()
    assert lit(page, "drawing") == ["layer2", "layer3", "layer4"]


def test_links_of_the_unet(figure_page):
    page = figure_page(NetworkMap("UNetModel"))
    page.locator("button.x-coded", has_text="dec3 = self.decode_layer3(join(").hover()
    expected = ["upconv3", "cat encode_layer3", "decode_layer3"]
    assert lit(page, "table") == lit(page, "drawing") == expected
    page.locator('tr[data-path="cat encode_layer1"] td').first.hover()
    lines = lit(page, "source")
    print(lines)
    assert any(line.startswith("dec1 = ") for line in lines)
    assert "return torch.cat((upsampled, skipped), dim=1)" in lines
    page.locator("button.x-coded", has_text="return torch.cat").hover()
    assert lit(page, "drawing") == [f"cat encode_layer{i}" for i in (4, 3, 2, 1)]
    assert page.locator(".x-drawing .x-skip-line").count() == 4
    code = inspect.getsource(conv_stage)
    page.get_by_role("button", name="Inside encode_layer1").click()
    page.locator('tr[data-path="encode_layer1.3"] td').first.hover()
    assert [line for line in lit(page, "source") if line in code] == [
        "nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),"
    ]


def test_a_click_keeps_it_lit_and_flows_back(kernel):
    at = kernel(NetworkMap("ResNet18"))
    page = at.page
    page.locator('.x-drawing [data-path="layer3"] rect').click()
    settle(page)
    assert at.get("chosen") == ["layer3"] == lit(page, "table")
    assert "layer3: 256×14×14, 2,099,712 parameters" in page.inner_text(".x-said")
    assert page.locator('.x-drawing [data-path="layer3"]').get_attribute("aria-pressed") == "true"
    page.locator('tr[data-path="fc"] .x-name').click()
    assert at.get("chosen") == ["fc"]
    page.locator('tr[data-path="fc"] .x-name').click()
    page.locator(".x-title").click()  # away
    assert at.get("chosen") == [] == lit(page, "table")
    page.locator("button.x-coded", has_text="x = self.maxpool(x)").click()
    assert at.get("chosen") == ["maxpool"]
    page.locator(".x-title").click()
    at.set(chosen=["layer1", "layer4"])  # from Python
    assert lit(page, "drawing") == lit(page, "table") == ["layer1", "layer4"]
    at.set(architecture="ResNet152", opened=["layer3"], size=97, width=8)
    assert page.locator("tr[data-path]").count() == 11 + 36
    assert page.locator(".x-drawing [data-path^='layer3.']").count() == 36
    assert page.evaluate("saved") > 0


def test_by_keyboard_alone(kernel):
    at = kernel(NetworkMap("ResNet18"))
    page = at.page

    def focused():
        return page.evaluate(
            "document.activeElement.dataset.path ?? document.activeElement.dataset.open ?? "
            "document.activeElement.closest('tr')?.dataset.path ?? "
            "document.activeElement.textContent"
        )

    tabs = 0
    while page.evaluate("!document.activeElement.closest('.x-drawing')"):
        page.keyboard.press("Tab")
        tabs += 1
        assert tabs < 20
    assert focused() == "conv1" and lit(page, "table") == ["conv1"]
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    assert focused() == "layer1" and lit(page, "table") == ["layer1"]
    page.keyboard.press("Enter")
    assert at.get("chosen") == ["layer1"]
    page.keyboard.press("ArrowDown")  # the ▸ of layer1
    page.keyboard.press("Space")
    assert at.get("opened") == ["layer1"] and focused() == "layer1"  # focus stays where it was
    page.keyboard.press("ArrowDown")
    assert focused() == "layer1.0"

    page.keyboard.press("Tab")  # one stop a panel
    assert page.evaluate("document.activeElement.closest('.x-table') !== null")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # the ▾ of layer1 closes it
    assert at.get("opened") == [] and focused() == "layer1"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert at.get("chosen") == ["layer2"]

    page.keyboard.press("Tab")
    assert focused().strip().startswith("def ResNet18(")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert at.get("chosen") == [f"layer{i}" for i in (1, 2, 3, 4)]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    print(f"the drawing is {tabs} tabs away; drawing, table and source are one stop each")


# --- controls


def number(page, key):
    return int(page.inner_text(f'[data-value="{key}"]').replace(",", ""))


def test_controls_by_mouse_and_keyboard(figure_page):
    page = figure_page(NetworkMap("ResNet18"))
    before = number(page, "parameters"), number(page, "work")
    page.get_by_role("button", name="Image side × 2").click()
    after = number(page, "parameters"), number(page, "work")
    assert after[0] == before[0] and 3.9 < after[1] / before[1] < 4.1
    page.get_by_role("button", name="Image side ÷ 2").focus()
    page.keyboard.press("Enter")
    assert (number(page, "parameters"), number(page, "work")) == before
    page.get_by_role("slider", name="Image side").focus()
    page.keyboard.press("ArrowRight")
    assert number(page, "work") == layer_table(ResNet18(), (1, 3, 225, 225)).total.multiply_adds
    page.get_by_role("slider", name="width").fill("8")
    assert page.inner_text('[data-value="call"]') == "ResNet18(width=8)"
    assert number(page, "parameters") == sum(p.numel() for p in ResNet18(width=8).parameters())
    wide = page.locator('.x-drawing [data-path="layer4"] rect').bounding_box()["width"]
    page.get_by_role("slider", name="width").press("End")
    assert page.locator('.x-drawing [data-path="layer4"] rect').bounding_box()["width"] > wide + 10
    page.get_by_role("combobox", name="Network").focus()
    page.keyboard.press("ArrowDown")
    assert page.inner_text('[data-value="call"]') == "ResNet34(width=128)"
    inside = page.get_by_role("button", name="Inside layer3")  # in the drawing and in the table
    assert [one.get_attribute("aria-expanded") for one in inside.all()] == ["false", "false"]
    for one in (0, 1):
        inside.nth(one).click()
        assert page.locator('.x-drawing [data-path^="layer3."]').count() == 6
        assert inside.nth(1 - one).get_attribute("aria-expanded") == "true"
        inside.nth(one).click()
        assert page.locator('.x-drawing [data-path^="layer3."]').count() == 0


@pytest.mark.parametrize(
    ("name", "right", "verdict"),
    [("ResNet18", "stay", "× 1.00"), ("UNetModel", "quadruple", "× 3.99")],
)
def test_prediction(figure_page, name, right, verdict):
    page = figure_page(NetworkMap(name))
    judged = page.locator('[data-value="verdict"]')
    page.get_by_role("radio", name="double", exact=True).check()
    assert judged.inner_text().startswith("Not so.")
    page.get_by_role("radio", name=right, exact=True).focus()
    page.keyboard.press("Space")
    print(judged.inner_text())
    assert judged.inner_text().startswith("Right.") and verdict in judged.inner_text()
    twice = UNetModel(init_features=64) if name == "UNetModel" else ResNet18()
    assert f"{sum(p.numel() for p in twice.parameters()):,}" in judged.inner_text()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_sizes_that_do_not_fit(figure_page, lang):
    figure = NetworkMap("UNetModel", size=112, width=2)
    page = figure_page(figure, lang=lang)
    page.get_by_role("button", name="÷ 2").click()  # 56
    for n in (56, 57, 100):
        if n != 56:
            figure.size = n
            page = figure_page(figure, lang=lang)
        with pytest.raises(ValueError) as refused:
            figure.module()(torch.zeros(1, 1, n, n))
        assert page.inner_text('[data-value="error"]') == f"ValueError: {refused.value}"
        assert page.inner_text('[data-value="work"]') == "–"
    print(refused.value)
    # 100 → 50 → 25 → 12 → 6 and back up: 12, 24, 48, 96. The drawing says where they do not meet.
    met = page.locator('.x-drawing [data-path^="cat"] text').all_text_contents()
    assert met == ["∥", "≠", "≠", "≠"]
    page.locator(".x-refusal button").click()
    assert page.locator(".x-refusal").is_hidden()
    assert (
        number(page, "work")
        == NetworkMap("UNetModel", size=112, width=2).table().total.multiply_adds
    )


@pytest.mark.parametrize("name", ["ResNet50", "UNetModel"])
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (820, "dark"), (360, "light and dark")]
)
def test_on_every_screen(figure_page, name, lang, width, scheme):
    opened = ["layer3"] if name == "ResNet50" else ["encode_layer1"]
    figure = NetworkMap(name, opened=opened, chosen=opened)
    first = scheme.split(" ")[0]
    page = figure_page(figure, width=width, scheme=first, lang=lang, reduced=width == 360)
    if width == 360:  # one panel at a time, and the links go on across them
        assert page.locator(".x-table").is_hidden() and page.locator(".x-drawing").is_visible()
        page.locator(
            '.x-drawing [data-path="pool2"] rect, .x-drawing [data-path="layer2"] rect'
        ).click()
        page.get_by_role("radio").nth(4).check()
        assert page.locator(".x-table").is_visible() and page.locator(".x-drawing").is_hidden()
        assert lit(page, "table") in (["layer2"], ["pool2"])
        assert complaints_in_both(page) == NOTHING
        page.get_by_role("radio").nth(5).check()
        first = page.locator(".x-source .x-lit").first.bounding_box()
        panel = page.locator(".x-source").bounding_box()
        assert lit(page, "source") and first["y"] < panel["y"] + panel["height"]
        assert complaints_in_both(page) == NOTHING
    else:
        assert all(page.locator(f".x-{p}").is_visible() for p in ("drawing", "table", "source"))
        assert page.locator(".x-tabs").is_hidden()
        assert complaints(page) == []
    assert not scrolls_sideways(page)
    if lang == "zh":
        code = page.evaluate(
            "[...document.querySelectorAll('.x-source, .x-table tbody, [data-value=call], "
            "[data-value=error], [data-path], [data-open]')].map("
            "e => e.textContent + e.getAttribute('aria-label')).join(' ')"
        )
        named = {w for w in english_words(page, NAMES) if w not in code}
        assert named <= {"init", "features"}, named


@pytest.mark.parametrize("width", [1280, 740])
def test_nothing_jumps(figure_page, width):
    page = figure_page(NetworkMap("UNetModel"), width=width)
    height = page.locator(".explorable").bounding_box()["height"]
    page.get_by_role("radio", name="double", exact=True).check()
    page.locator('.x-drawing [data-path="pool2"] rect').click()
    page.get_by_role("button", name="Inside encode_layer1").click()
    page.get_by_role("slider", name="Image side").press("ArrowRight")
    assert page.locator(".x-refusal").is_visible()
    assert page.locator(".explorable").bounding_box()["height"] == height


def test_blocks_are_those_of_the_source():
    """The block that a map shows is the one that the network is made of."""
    for name, make in RESNETS.items():
        kind = type(make(width=1).layer1[0])
        pieces = [p["name"] for p in NetworkMap(name).family["pieces"]]
        shown = [pieces[i] for i in NetworkMap(name).family["networks"][name]["pieces"]]
        assert kind.__name__ in shown and kind in (BasicBlock, Bottleneck)
        assert len(shown) == 4
