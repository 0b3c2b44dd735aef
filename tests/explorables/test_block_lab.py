"""The block lab: PyTorch's errors and the modules' costs on grids, its controls, its look."""

import json
from collections import Counter
from itertools import product

import pytest
import torch
import traitlets
from looks import NOTHING, complaints_in_both, english_words, scrolls_sideways

from backbone.anatomy import layer_table, show_source
from backbone.explorables.block_lab import BlockLab
from backbone.resnet import BasicBlock, Bottleneck, projection

torch.set_num_threads(1)

BLOCKS = ("BasicBlock", "Bottleneck")


def number(page, key):
    return count(page.inner_text(f'[data-value="{key}"]'))


def error(page):
    shown = page.locator('[data-value="error"]')
    return shown.inner_text() if shown.count() else None


def choose(page, **setting):
    """Set the controls as a reader does."""
    for name, value in setting.items():
        if name in ("in_planes", "planes"):
            page.get_by_role("combobox", name=name, exact=True).select_option(str(value))
        elif name == "forced":
            page.get_by_role("switch").set_checked(value)
        elif name == "size":
            page.get_by_role("slider").fill(str(value))
        else:
            page.get_by_role("radio", name=str(value), exact=True).check()


# --- against PyTorch

# Every setting in one call: what each of these elements says, and how many conditions hold.
READ = """([settings, names]) => settings.map((traits) => {
    Object.entries(traits).forEach(([name, value]) => model.set(name, value));
    const said = (part) => document.querySelector(part)?.innerText ?? null;
    const values = names.map((name) => [name, said(`[data-value="${name}"]`)]);
    return {
        ...Object.fromEntries(values), message: said(".x-message"), cost: said(".x-cost"),
        holds: document.querySelectorAll('[data-condition][data-holds="true"]').length,
    };
})"""
SETTING = ("block", "in_planes", "planes", "stride", "size")


def read(at, grid, *names):
    """Set each setting of a grid, read the page; return pairs of both."""
    settings = [dict(zip(SETTING, values, strict=True)) for values in grid]
    return list(zip(settings, at.page.evaluate(READ, [settings, names]), strict=True))


def count(text):
    return None if text == "–" else int(text.replace(",", ""))


ERRORS = list(product(BLOCKS, (1, 3, 16, 64), (1, 4, 16, 64), (1, 2), (1, 2, 3, 8)))


def test_errors_are_pytorchs_on_a_grid(kernel):
    """Every forced identity: the same words, or none where PyTorch has none."""
    at, kinds = kernel(BlockLab(forced=True)), Counter()
    for setting, page in read(at, ERRORS, "error", "decision"):
        in_planes, size = setting["in_planes"], setting["size"]
        real = BlockLab(forced=True, **setting).error()
        assert page["error"] == (real and f"RuntimeError: {real}"), setting
        live = BlockLab(**setting).module().eval()
        needed = live.downsample is not None
        with torch.no_grad():
            x = torch.zeros(1, in_planes, size, size)
            same = live(x).shape == x.shape
        assert (page["holds"] > 0) == needed
        assert ("No error: PyTorch repeats" in page["message"]) == (not same and not real)
        decided = page["decision"]
        assert ("project" in decided) == needed and ("identity" in decided) != needed
        if real:
            kinds[real[-11:] if "must match" in real else "does not fit into the output"] += 1
        else:
            kinds["fits" if same else "repeats x"] += 1
        kinds["fits, but would project"] += same and needed
    print(f"{len(ERRORS)} settings: {dict(kinds)}")
    assert set(kinds) == {
        "dimension 1",
        "dimension 3",
        "does not fit into the output",
        "repeats x",
        "fits",
        "fits, but would project",
    }


COSTS = list(product(BLOCKS, (1, 32, 256), (12, 64), (1, 2), (7, 8)))


def test_costs_are_the_modules_on_a_grid(kernel):
    at = kernel(BlockLab())
    values = [f"{who}-{what}" for who in ("this", "other") for what in ("parameters", "work")]
    for setting, page in read(at, COSTS, *values, "decision"):
        lab, side = BlockLab(**setting), setting["size"]
        for who, module in (("this", lab.module()), ("other", lab.other())):
            total = layer_table(module, (1, setting["in_planes"], side, side)).total
            shown = count(page[f"{who}-parameters"]), count(page[f"{who}-work"])
            assert shown == (total.parameters, total.multiply_adds), (who, setting)
            assert "×".join(map(str, total.shape[1:])) in page["cost"]
        kept = "identity" if lab.module().downsample is None else "project"
        assert kept in page["decision"]
    print(f"{2 * len(COSTS)} blocks: parameters and multiply-adds equal")


def test_a_forced_shortcut_costs_nothing(kernel):
    at = kernel(BlockLab(planes=128, stride=2, forced=True))
    lab = BlockLab(planes=128, stride=2, forced=True)
    assert number(at.page, "this-parameters") == sum(p.numel() for p in lab.module().parameters())
    assert number(at.page, "this-work") is None  # it does not run
    at.set(forced=False)
    assert number(at.page, "this-work") > 0


def test_shapes_of_every_step(kernel):
    """The shapes in the drawing, in order, are those of the live block."""
    for block in BLOCKS:
        lab = BlockLab(block, in_planes=32, planes=48, stride=2, size=15)
        at = kernel(lab)
        live = layer_table(lab.module(), (1, 32, 15, 15))
        main = [row for row in live if not row.name.startswith("downsample")]
        expected = ["×".join(map(str, row.shape[1:])) for row in main]
        texts = at.page.locator(".x-block text").all_text_contents()
        print(block, texts)
        shown = [text for text in texts if text.count("×") == 2]
        assert shown[0] == expected[0]  # x
        assert shown[1 : len(main) - 3] == expected[1:-3]
        assert shown.count(expected[-1]) >= 3  # F(x), the shortcut, and y
        boxes = [text.split(" ")[0] for text in texts if text.count("×") != 2]
        names = [row.name for row in main if row.name]
        assert [name for name in boxes if name in names] == names
        assert "Conv 1×1 /2" in texts and "BatchNorm" in texts


def test_python_side():
    lab = BlockLab("Bottleneck", in_planes=256, planes=64)
    assert isinstance(lab.module(), Bottleneck) and lab.module().downsample is None
    other = lab.other()
    assert isinstance(other, BasicBlock) and other.conv1.out_channels == 256
    assert lab.error() is None
    lab.stride = 2
    assert lab.module().downsample is not None and lab.error() is None
    lab.forced = True
    assert lab.module().downsample is None and "dimension 3" in lab.error()
    lab.in_planes, lab.block, lab.planes = 16, "BasicBlock", 6
    assert lab.other().conv3.out_channels == 4  # a Bottleneck cannot have 6
    for trait, bad, words in (
        ("in_planes", 0, "from 1 to 2048"),
        ("planes", 4096, "from 1 to 2048"),
        ("stride", 3, "from 1 to 2"),
        ("size", 225, "from 1 to 224"),
        ("block", "PlainBlock", "BasicBlock"),
    ):
        with pytest.raises(traitlets.TraitError, match=words):
            setattr(lab, trait, bad)
    state = {k: v for k, v in lab.get_state().items() if k[0] != "_"}
    size = len(json.dumps(state, default=str))
    print(f"{size / 1e3:.1f} kB of state")
    assert size < 10_000


# --- controls


def test_by_mouse(figure_page):
    page = figure_page(BlockLab())
    assert "identity" in page.inner_text(".x-said")
    assert page.locator(".x-block rect.x-skips").count() == 0
    choose(page, planes=128)
    conditions = page.locator("[data-condition]")
    assert [c.get_attribute("data-holds") for c in conditions.all()] == ["false", "true"]
    assert "64 != 1 * 128" in conditions.nth(1).inner_text()
    assert page.locator(".x-block rect.x-skips").count() == 2
    choose(page, stride=2)
    assert [c.get_attribute("data-holds") for c in conditions.all()] == ["true", "true"]
    taken = page.locator(".x-code .x-lit").all_inner_texts()
    assert len(taken) == 1 and taken[0].strip().startswith("return nn.Sequential(")
    assert taken[0].rstrip() in show_source(projection).code
    choose(page, forced=True)
    assert error(page) == f"RuntimeError: {BlockLab(planes=128, stride=2, forced=True).error()}"
    assert page.locator(".x-block rect.x-skips").count() == 0
    assert page.locator(".x-block .x-fails").text_content() == "✗"
    choose(page, forced=False, planes=64, stride=1)
    assert page.locator(".x-code .x-lit").inner_text().strip() == "return None"
    assert error(page) is None and page.locator(".x-block .x-fails").count() == 0
    choose(page, in_planes=1, forced=True)
    assert "PyTorch repeats the one channel" in page.inner_text(".x-message")


def test_by_keyboard_alone(kernel):
    at = kernel(BlockLab())
    page = at.page

    def tab_to(what):
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate(
                "document.activeElement.closest('label, div')?.innerText ?? ''"
            ).startswith(what):
                return
        raise AssertionError(f"{what} is not reached by Tab")

    tab_to("stays")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="must project: channels").is_checked()
    tab_to("BasicBlock")
    page.keyboard.press("ArrowRight")
    assert at.get("block") == "Bottleneck"
    assert page.inner_text('[data-value="verdict"]').startswith("Right. x has 64×56×56")
    tab_to("in_planes")
    page.keyboard.press("ArrowDown")
    assert at.get("in_planes") == 128
    tab_to("planes")
    page.keyboard.press("ArrowUp")
    assert at.get("planes") == 32 and "identity" in page.inner_text(".x-said")
    tab_to("1")
    page.keyboard.press("ArrowRight")
    assert at.get("stride") == 2
    tab_to("Size of x")
    page.keyboard.press("ArrowLeft")
    assert at.get("size") == 55
    tab_to("Force")
    page.keyboard.press("Space")
    assert at.get("forced") is True
    lab = BlockLab("Bottleneck", in_planes=128, planes=32, stride=2, size=55, forced=True)
    assert error(page) == f"RuntimeError: {lab.error()}"
    print(error(page), "after", page.evaluate("saved"), "saves")
    at.set(planes=33, forced=False)  # from Python, and not among the options
    assert page.get_by_role("combobox", name="planes", exact=True).input_value() == "33"
    assert "Bottleneck(128, 33, stride=2)" in page.inner_text(".x-cost")


def test_the_guess_waits_for_the_try(figure_page):
    page = figure_page(BlockLab())
    judged = page.locator('[data-value="verdict"]')
    page.get_by_role("radio", name="stays the identity").check()
    assert judged.inner_text() == "Now try it: choose Bottleneck."
    choose(page, block="Bottleneck")
    assert judged.inner_text() == "Not so. x has 64×56×56, F(x) has 256×56×56."
    page.get_by_role("radio", name="must project: channels").check()
    assert judged.inner_text().startswith("Right.")
    page.get_by_role("radio", name="must project: size").check()
    assert judged.inner_text().startswith("Not so.")
    assert Bottleneck(64, 64).eval()(torch.zeros(1, 64, 56, 56)).shape[1:] == (256, 56, 56)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("forced", [False, True])
def test_on_every_screen(figure_page, lang, width, forced):
    lab = BlockLab("Bottleneck", in_planes=512, planes=256, stride=2, forced=forced)
    page = figure_page(lab, width=width, lang=lang, reduced=width == 360)
    assert not scrolls_sideways(page)
    assert complaints_in_both(page) == NOTHING
    if lang == "zh":
        code = " ".join(page.locator("code, .x-code, svg text").all_text_contents())
        names = {*BLOCKS, "PyTorch", "planes", "projection", "stride"}
        assert [w for w in english_words(page, names) if w not in code] == []


@pytest.mark.parametrize("width", [1280, 740])
def test_nothing_jumps(figure_page, width):
    page = figure_page(BlockLab(planes=32), width=width)
    height = page.locator(".explorable").bounding_box()["height"]
    for setting in (
        {"block": "Bottleneck"},
        {"stride": 2},
        {"forced": True},
        {"in_planes": 1, "stride": 1},
        {"in_planes": 1024, "planes": 512},
    ):
        choose(page, **setting)
        page.get_by_role("radio", name="stays the identity").check()
        assert page.locator(".explorable").bounding_box()["height"] == height, setting
