"""The feature microscope in a real browser, against PyTorch: answers, cuts, maps, single pixels."""

import json
import re
import statistics
from functools import cache

import pytest
import torch
import traitlets
from looks import (
    NOTHING,
    complaints,
    complaints_in_both,
    english_words,
    pixel_sum,
    scrolls_sideways,
)
from torch import nn
from uploads import paste, picture, refused, upload

from backbone.anatomy import cut, cuttable, record_features
from backbone.data import fashion, nuclei_split
from backbone.experiments.fashion import enlarge
from backbone.explorables import feature_microscope
from backbone.explorables.feature_microscope import FeatureMicroscope
from backbone.explorables.microscope_words import WORDS
from backbone.resnet import ResNet18, ResNet50
from backbone.unet import UNetModel
from backbone.variants import PaperUNet
from backbone.weights import load_trained

NAMES = fashion("test").names
BLOCKS = [f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)]
PAD, LARGE, GRID = ".x-pad", ".x-large canvas", ".x-maps button"


@pytest.fixture(autouse=True, scope="module")
def unpacked_once():
    """The pictures of clothes, which are unpacked for each figure, and here are fifty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_microscope, "fashion", cache(fashion))
        yield


def shares(page):
    texts = page.locator("[data-probability]").all_inner_texts()
    return torch.tensor([float(text.rstrip(" %")) / 100 for text in texts])


def top(page):
    return page.inner_text('[data-value="top"]')


def wait_for(page, name):
    """Wait until the figure says this."""
    page.wait_for_function(
        "t => document.querySelector('[data-value=top]').textContent === t", arg=name
    )


def settled(page):
    """Wait until the network has run for all that was done: from then to the end it is busy."""
    page.evaluate(
        """() => new Promise(done => {
            const root = document.querySelector('.explorable');
            const look = () => root.ariaBusy !== 'true' && done();
            new MutationObserver(() => setTimeout(look)).observe(root, { attributes: true });
            requestAnimationFrame(() => setTimeout(look));
        })"""
    )


def pytorch(image, names=(), network="resnet18-fashion"):
    model = load_trained(network)
    with torch.no_grad(), cut(model, *names) if names else torch.no_grad():
        return model(image[None])[0]


def choose(page, layer):
    page.get_by_role("combobox", name="Layer", exact=True).select_option(
        index=page.eval_on_selector_all(
            ".x-row select >> nth=-1",
            """(found, layer) => [...found[0].options].findIndex(
                o => o.text === layer || o.text.startsWith(layer + ' = '))""",
            layer,
        )
    )
    settled(page)


def choose_number(page, index):
    page.get_by_role("combobox", name="Layer", exact=True).select_option(index=index)
    settled(page)


def arithmetic(page):
    """The lines of the sum as numbers: {"term": [...], "sum": …, "pixel": …}, and their texts."""
    lines = page.eval_on_selector_all(
        ".x-lines output", "lines => lines.map(line => [line.dataset.value, line.innerText])"
    )
    found = {key: float(text) for key, text in lines if key != "term"}
    return found | {"term": [float(text) for key, text in lines if key == "term"]}


def only_words(page):
    """Nothing that JavaScript says instead of nothing is on the page."""
    text = page.inner_text(".explorable")
    assert not re.search(r"undefined|null|NaN|false|\[object|\{\w+\}", text), text


def recomputed(page):
    """The sum once more from the numbers in the squares, which show two digits."""
    terms = []
    for term in page.locator(".x-term").all():
        squares = [
            [0.0 if t == "·" else float(t) for t in cells.locator("i").all_text_contents()]
            for cells in term.locator(".x-cells").all()
        ]
        if len(squares) == 2:
            terms.append(sum(a * b for a, b in zip(*squares, strict=True)))
    return terms


def check_sum(page):
    """The lines add up to the number in the map; return the number."""
    lines = arithmetic(page)
    if lines["term"]:
        total = sum(lines["term"]) + lines.get("rest", 0) + lines.get("bias", 0)
        assert abs(total - lines["sum"]) < 6e-4, lines  # every line is rounded to four digits
    last = lines["sum"] + lines.get("shortcut", 0) if "sum" in lines else lines["pixel"]
    last = lines.get("bend", last)
    assert abs(last - lines["pixel"]) <= 1e-4 + 1e-4 * ("bend" not in lines), lines
    return lines["pixel"]


def test_every_sample_gets_pytorchs_answer(figure_page):
    figure = FeatureMicroscope()
    page, worst = figure_page(figure), 0
    for i, name in enumerate(NAMES):
        page.get_by_role("button", name=f"Sample {name}", exact=True).click()
        settled(page)
        figure.sample = i
        there = pytorch(figure.image).softmax(0)
        worst = max(worst, (shares(page) - there).abs().max().item())
        assert top(page) == NAMES[there.argmax()]
        print(f"{name}: page {shares(page)[i]:.3f}, PyTorch {there[i]:.3f}")
    print(f"largest difference {worst:.4f}: one byte a weight")
    assert worst < 0.02


def test_every_cut_gives_pytorchs_answer(figure_page):
    figure = FeatureMicroscope(sample=1)
    page, worst = figure_page(figure), 0
    for names in [*([b] for b in BLOCKS), BLOCKS, []]:
        for block in BLOCKS:
            page.get_by_role("switch", name=block, exact=True).set_checked(block not in names)
        settled(page)
        there = pytorch(figure.image, names).softmax(0)
        worst = max(worst, (shares(page) - there).abs().max().item())
        assert top(page) == NAMES[there.argmax()], names
        print(f"without {names}: {top(page)}, PyTorch {there.max():.3f}")
    print(f"largest difference {worst:.4f}")
    assert worst < 0.05


def test_all_cut_and_all_back(figure_page):
    page = figure_page(FeatureMicroscope(sample=1))
    thumb = '.x-stages button:has-text("layer4") canvas'
    before, whole = [pixel_sum(page, s) for s in (thumb, LARGE)], shares(page)
    page.get_by_role("radio", name="all cut").check()
    wait_for(page, "Bag")
    settled(page)
    cut_away = [pixel_sum(page, s) for s in (thumb, LARGE)]
    print("last stage and enlarged map, sum of colours:", before, "→", cut_away)
    assert all(b < a for a, b in zip(before, cut_away, strict=True))  # on the same scale, darker
    assert page.get_by_role("switch", checked=True).count() == 0
    page.get_by_role("radio", name="all on").check()
    wait_for(page, "Trouser")
    settled(page)
    assert [pixel_sum(page, s) for s in (thumb, LARGE)] == before
    assert (shares(page) == whole).all()
    assert page.get_by_role("switch", checked=True).count() == 8


def test_the_guess_is_judged_by_what_is_measured(figure_page):
    figure = FeatureMicroscope(sample=1)
    page = figure_page(figure)
    page.get_by_role("radio", name="7", exact=True).check()
    page.wait_for_function("document.querySelector('[data-value=verdict]').textContent !== ''")
    said = [page.inner_text(f'[data-tried="{b}"]') for b in BLOCKS]
    expected = [NAMES[pytorch(figure.image, [b]).argmax()] for b in BLOCKS]
    verdict = page.inner_text('[data-value="verdict"]')
    print(said, verdict)
    assert said == expected
    same = sum(name == "Trouser" for name in expected)
    assert verdict.startswith(f"You said 7. On this picture it is {same} of 8")
    page.get_by_role("button", name="Sample Bag").click()  # a new picture, a new guess
    wait_for(page, "Bag")
    assert page.inner_text('[data-value="verdict"]') == ""
    assert page.locator(".x-guess input:checked").count() == 0


def test_the_sum_of_a_pixel_in_every_layer(figure_page):
    figure = FeatureMicroscope(sample=9)
    page = figure_page(figure)
    features = record_features(
        load_trained("resnet18-fashion"), figure.image[None], [e["name"] for e in figure.layers]
    )
    for i, entry in enumerate(figure.layers):
        choose_number(page, i)
        maps = features[entry["name"]][0]
        page.locator(GRID).nth(min(3, len(maps) - 1)).click()
        settled(page)
        value = check_sum(page)  # at the map's largest value
        c, y, x = map(
            int, re.search(r"\[(\d+), (\d+), (\d+)\]", page.inner_text(".x-pixel")).groups()
        )
        there = maps[c, y, x].item()
        print(f"{entry['label']} [{c}, {y}, {x}] = {entry['formula']}: {value}, {there:.4f}")
        assert value == pytest.approx(there, abs=0.05 * maps.abs().max().item())
        page.locator(LARGE).focus()
        for key in ("ArrowUp", "ArrowLeft") * 3:  # to the border, where the window hangs over
            page.keyboard.press(key)
        check_sum(page)


def test_the_squares_are_what_is_multiplied(figure_page):
    page = figure_page(FeatureMicroscope(sample=9, layer="layer2.0.bn2"))
    shown, again = arithmetic(page)["term"], recomputed(page)
    print(shown, again)
    assert len(shown) == 4
    assert again == pytest.approx(shown, abs=0.09)  # nine products of numbers with two digits
    folded = page.inner_text(".x-bias")
    assert "batch norm" in folded


def test_a_cut_shortcut_adds_nothing(figure_page):
    page = figure_page(FeatureMicroscope(sample=1, layer="layer1.0"))
    lines = arithmetic(page)
    assert lines["shortcut"] != 0 and "maxpool" in page.inner_text(".x-shortcut")
    page.get_by_role("switch", name="layer1.0").uncheck()
    settled(page)
    assert arithmetic(page)["shortcut"] == 0
    assert "cut" in page.inner_text(".x-shortcut")
    print(lines, "→", arithmetic(page), check_sum(page))


def test_a_pixel_by_mouse_and_by_keyboard(figure_page):
    page = figure_page(FeatureMicroscope(sample=1, layer="maxpool"))
    box = page.locator(LARGE).bounding_box()
    page.mouse.click(box["x"] + box["width"] * 2.5 / 16, box["y"] + box["height"] * 5.5 / 16)
    assert "[0, 5, 2]" in page.inner_text(".x-pixel")
    check_sum(page)
    nine = [float(t) for t in page.locator(".x-term i").all_text_contents()]
    print("the largest of", nine, "is", arithmetic(page)["sum"])
    assert len(nine) == 9 and max(nine) == pytest.approx(arithmetic(page)["sum"], abs=0.006)
    for key, place in [("ArrowRight", "5, 3"), ("ArrowDown", "6, 3"), ("ArrowLeft", "6, 2")]:
        page.keyboard.press(key)
        assert f"[0, {place}]" in page.inner_text(".x-pixel")


def test_by_keyboard_alone(figure_page):
    page = figure_page(FeatureMicroscope(sample=1))
    page.get_by_role("switch", name="layer1.0").focus()
    page.keyboard.press("Space")
    wait_for(page, "Bag")
    page.keyboard.press("Space")
    wait_for(page, "Trouser")
    page.get_by_role("button", name="Sample Sandal").focus()
    page.keyboard.press("Enter")
    wait_for(page, "Sandal")
    page.locator(".x-stages button", has_text="layer2").focus()
    page.keyboard.press("Enter")
    settled(page)
    assert page.locator(GRID).count() == 16
    page.locator(GRID).nth(5).focus()
    page.keyboard.press("Space")
    assert page.locator(GRID).nth(5).get_attribute("aria-pressed") == "true"
    assert "[5, " in page.inner_text(".x-pixel")


def test_painting_moves_every_stage(figure_page):
    page = figure_page(FeatureMicroscope())
    page.get_by_text("Paint, or open a picture").click()
    page.get_by_role("button", name="Clear").click()
    settled(page)
    thumbs = [f".x-stages button:nth-child({i}) canvas" for i in range(1, 8)]
    for name, paint in (("mouse", by_mouse), ("keyboard", by_keyboard)):
        before, was = [pixel_sum(page, s) for s in thumbs], shares(page)
        paint(page)
        settled(page)
        changed = [pixel_sum(page, s) != b for s, b in zip(thumbs, before, strict=True)]
        print(f"{name}: stages that changed {changed}; says {top(page)}")
        assert all(changed) and (shares(page) != was).any()
        assert shares(page).sum() == pytest.approx(1, abs=0.01)
    page.get_by_role("button", name="As it was").click()
    wait_for(page, NAMES[0])


def by_mouse(page):
    page.get_by_role("slider", name="Width").fill("10")
    box = page.locator(PAD).bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 130, steps=6)
    page.mouse.up()


def by_keyboard(page):
    page.locator(PAD).focus()
    for key in ("ArrowRight", "ArrowRight", "Space", "ArrowDown", "Space", "ArrowDown", "Space"):
        page.keyboard.press(key)


TIMED = """
    const Plain = window.Worker;
    window.times = [];
    window.Worker = class extends Plain {
        postMessage(...all) { this.asked = performance.now(); super.postMessage(...all); }
        set onmessage(f) { super.onmessage = e => {
            window.times.push(performance.now() - this.asked); f(e); }; }
    };"""


def test_it_keeps_up_with_the_hand(figure_page):
    page = figure_page(FeatureMicroscope(), script=TIMED)
    box = page.locator(PAD).bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    for i in range(80):
        page.mouse.move(box["x"] + 20 + i, box["y"] + 20 + i)
    page.mouse.up()
    settled(page)
    times = page.evaluate("window.times.slice(5)")
    print(
        f"{len(times)} runs while painting, median {statistics.median(times):.1f} ms there and back"
    )
    assert len(times) > 5


def test_bad_files_are_explained_and_the_figure_goes_on(figure_page):
    page = figure_page(FeatureMicroscope(sample=1))
    before = pixel_sum(page, PAD)
    for name in refused(page):
        assert (pixel_sum(page, PAD), top(page)) == (before, "Trouser"), name
    upload(page, "grey.png", picture(300, 200))
    page.wait_for_selector(".x-problem", state="hidden")
    settled(page)
    print("an even grey is said to be", top(page))
    there = pytorch(torch.full((1, 64, 64), 200 / 255)).softmax(0)
    assert (shares(page) - there).abs().max() < 0.05
    page.get_by_role("button", name="Sample Trouser").click()
    wait_for(page, "Trouser")


def test_pasting(figure_page):
    page = figure_page(FeatureMicroscope())
    before = pixel_sum(page, PAD)
    paste(page, None)
    page.wait_for_selector(".x-problem:has-text('no picture in the clipboard')")
    paste(page, picture(80, 80))
    page.wait_for_selector(".x-problem", state="hidden")
    assert pixel_sum(page, PAD) != before


# --- segmentation


def mask_share(page):
    return float(top(page).rstrip(" %")) / 100


def test_a_mask_is_pytorchs_mask(figure_page):
    figure = FeatureMicroscope("unet-nuclei")
    page = figure_page(figure)
    for names in ([], ["encode_layer1"], cuttable(load_trained("unet-nuclei"))):
        for name in figure.cuts:
            page.get_by_role("switch", name=name).set_checked(name not in names)
        settled(page)
        there = pytorch(figure.image, names, "unet-nuclei").argmax(0) == 1
        whole = pytorch(figure.image, (), "unet-nuclei").argmax(0) == 1
        iou = ((there & whole).sum() / (there | whole).sum()).item()
        here = float(re.search(r"[\d.]+$", page.inner_text('[data-value="iou"]'))[0])
        share = there.float().mean().item()
        print(f"{names}: {mask_share(page):.3f}, PyTorch {share:.3f}; IoU {here}, {iou:.3f}")
        assert mask_share(page) == pytest.approx(share, abs=0.01)
        assert here == pytest.approx(iou, abs=0.03)


def test_every_pixel_of_a_unet_adds_up(figure_page):
    figure = FeatureMicroscope("unet-nuclei")
    page = figure_page(figure)
    kinds = set()
    for i, entry in enumerate(figure.layers):
        if not entry["stage"] and not entry["name"].startswith("decode_layer3"):
            continue
        choose_number(page, i)
        kinds.add(entry["formula"].split(" ")[0])
        page.locator(LARGE).focus()
        page.keyboard.press("ArrowRight")
        print(entry["label"], "=", entry["formula"], check_sum(page))
    assert {"prelu(bn(conv", "max", "upconv", "conv"} <= kinds


# --- networks of your own


class Zoo(nn.Module):
    """Operations whose arithmetic has a case of its own."""

    def __init__(self):
        super().__init__()
        self.groups = nn.Conv2d(3, 6, (3, 5), padding=(2, 2), dilation=(2, 1), groups=3)
        self.leaky = nn.LeakyReLU(0.1)
        self.mean = nn.AvgPool2d(2)
        self.bend = nn.PReLU(6)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.squash = nn.Sigmoid()
        self.last = nn.Conv2d(4, 1, 1, bias=False)

    def forward(self, x):
        return self.last(self.squash(self.up(self.bend(self.mean(self.leaky(self.groups(x)))))))


def test_the_sums_of_a_zoo(figure_page):
    torch.manual_seed(0)
    figure = FeatureMicroscope(Zoo(), size=(3, 16, 16))
    page = figure_page(figure)
    features = record_features(Zoo(), figure.image[None])  # shapes only: other weights
    assert [e["name"] for e in figure.layers] == list(features)
    for i, entry in enumerate(figure.layers):
        choose_number(page, i)
        page.locator(LARGE).focus()
        for keys in (["ArrowUp"] * 16, ["ArrowLeft"] * 16, ["ArrowDown", "ArrowRight"] * 3):
            for key in keys:
                page.keyboard.press(key)
            check_sum(page)
        print(entry["label"], entry["formula"], arithmetic(page))


def test_a_resnet_of_your_own(figure_page):
    torch.manual_seed(1)
    model = ResNet18(num_classes=3, in_channels=3, width=4)
    figure = FeatureMicroscope(
        model, size=(3, 64, 64), classes=["a", "b", "c"], cut=["layer3.1"], layer="layer3"
    )
    page = figure_page(figure)
    with torch.no_grad(), cut(model.eval(), "layer3.1"):
        there = model(figure.image[None]).softmax(1)[0]
    print(shares(page), there)
    assert (shares(page) - there).abs().max() < 0.005
    assert "clothes" not in page.inner_text(".explorable")  # nobody knows what it was trained on
    maps = record_features(model, figure.image[None], ["layer2.0"])["layer2.0"][0]
    page.get_by_role("switch", name="layer3.1").check()
    choose(page, "layer2.0")
    assert check_sum(page) == pytest.approx(maps[0].max().item(), rel=0.01)


def test_many_classes_and_many_blocks(figure_page):
    torch.manual_seed(2)
    page = figure_page(
        FeatureMicroscope(ResNet50(num_classes=40, in_channels=1, width=4), (1, 32, 32))
    )
    listed = shares(page)
    print(f"{len(listed)} of 40 classes, {page.get_by_role('switch').count()} switches")
    assert len(listed) == 10 and (listed.diff() <= 0).all()
    assert page.get_by_role("switch").count() == 16


def test_nothing_to_cut(figure_page):
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    page = figure_page(FeatureMicroscope(net, size=(1, 32, 32)))
    assert page.get_by_role("switch").count() == 0
    assert page.locator(".x-guess").count() == 0
    only_words(page)
    check_sum(page)


def test_a_glance(figure_page):
    page = figure_page(FeatureMicroscope(close_up=False, sample=1))
    assert page.locator(LARGE).count() == 0 and page.locator(GRID).count() == 0
    page.locator(".x-stages button", has_text="layer2").click()
    settled(page)
    assert page.locator(".x-maps canvas").count() == 16
    only_words(page)
    page.get_by_role("switch", name="layer1.0").uncheck()
    wait_for(page, "Bag")


def test_without_a_worker(figure_page):
    page = figure_page(FeatureMicroscope(sample=1), script="delete window.Worker")
    page.get_by_role("switch", name="layer1.0").uncheck()
    wait_for(page, "Bag")
    check_sum(page)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_on_every_screen(figure_page, width, lang):
    page = figure_page(FeatureMicroscope(sample=1), width=width, lang=lang, reduced=width == 360)
    page.locator("summary").click()
    page.get_by_role("radio", name="3", exact=True).check()
    page.wait_for_function("document.querySelector('[data-value=verdict]').textContent !== ''")
    assert not scrolls_sideways(page)
    only_words(page)
    assert complaints_in_both(page) == NOTHING
    if lang == "zh":
        layers = {"relu", "maxpool", "layer", "conv", "max", "downsample", "ReLU"}
        assert english_words(page, layers) == []


@pytest.mark.parametrize("width", [1280, 360])
def test_a_unet_on_every_screen(figure_page, width):
    page = figure_page(FeatureMicroscope("unet-nuclei"), width=width, lang="zh", scheme="dark")
    assert not scrolls_sideways(page)
    only_words(page)
    assert complaints(page) == []
    modules = {"encode", "decode", "layer", "pool", "upconv", "out", "prelu", "conv"}
    assert english_words(page, modules | {"PReLU", "IoU"}) == []


def test_the_first_screen(figure_page):
    page = figure_page(FeatureMicroscope(), width=752)  # 720 of figure
    box = page.locator(".explorable").bounding_box()
    scope = page.locator(".x-scope").bounding_box()
    height = scope["y"] + scope["height"] - box["y"]
    print(f"{box['width']:.0f}×{height:.0f}: picture, stages, switches, answer")
    assert height <= 560


# --- Python's side


def test_python_sees_and_says_the_same():
    figure = FeatureMicroscope(sample=3, cut=["layer3.0"], layer="layer1.1")
    assert (figure.image - enlarge(fashion("test").images[3:4])[0]).abs().max() < 1 / 255
    assert figure.layer == "layer1" and figure.cut == ["layer3.0"] and figure.probabilities == []
    figure.image = torch.ones(1, 64, 64)
    assert figure.image.shape == (1, 64, 64) and figure.image.min() == 1
    assert FeatureMicroscope(ResNet18(width=4), (3, 64, 64)).image.shape == (3, 64, 64)
    nuclei = FeatureMicroscope("unet-nuclei", sample=1)
    assert (nuclei.image - nuclei_split().test.image[:, 384:]).abs().max() < 1 / 255
    assert nuclei.classes == []
    own = FeatureMicroscope(UNetModel(1, 2, 2), (1, 32, 32), samples=torch.rand(3, 1, 32, 32))
    assert [name["zh"] for name in own.names] == ["1", "2", "3"]
    named = FeatureMicroscope(ResNet18(width=4, in_channels=1), (1, 64, 64))
    assert [name["en"] for name in named.classes] == list(NAMES)
    assert FeatureMicroscope("resnet18-fashion").get_state() != {}


def test_both_languages_say_the_same():
    assert set(WORDS["en"]) == set(WORDS["zh"])
    for key, english in WORDS["en"].items():
        chinese = WORDS["zh"][key]
        fills = [sorted(set(re.findall(r"\{\w+\}", text))) for text in (english, chinese)]
        assert fills[0] == fills[1], f"{key}: {english} / {chinese}"
        assert bool(english) == bool(chinese)
    names = [FeatureMicroscope(network).words for network in ("resnet18-fashion", "unet-nuclei")]
    assert all(":" not in key for words in names for key in words["en"])
    assert names[0]["en"]["skips"] != names[1]["en"]["skips"]


def test_every_map_is_listed_once():
    figure = FeatureMicroscope()
    names = [entry["name"] for entry in figure.layers]
    features = record_features(load_trained("resnet18-fashion"), figure.image[None], names)
    assert [tuple(entry["shape"]) for entry in figure.layers] == [
        tuple(maps.shape[1:]) for maps in features.values()
    ]
    formulas = {entry["name"]: entry["formula"] for entry in figure.layers}
    print(formulas)
    assert formulas["relu"] == "max(0, bn(conv 7×7))"
    assert formulas["layer1"] == "max(0, bn(conv 3×3) + layer1.0)"
    assert formulas["layer2.0"] == "max(0, bn(conv 3×3) + layer2.0.downsample)"
    assert len({entry["op"] for entry in figure.layers}) == len(names)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"network": "resnet"}, "There is no network 'resnet'"),
        ({"size": (1, 32, 32)}, "leave size out"),
        ({"network": ResNet18(width=4)}, r"needs size=\(C, S, S\).*got None"),
        ({"network": ResNet18(width=4), "size": (3, 64, 48)}, "needs size"),
        ({"network": ResNet18(width=4), "size": (3, 512, 512)}, "from 8 to 256"),
        ({"network": PaperUNet(init_features=1), "size": (1, 188, 188)}, "mask over the picture"),
        ({"network": nn.Conv2d(1, 1, 1), "size": (1, 8, 8)}, "nothing to look at"),
        ({"samples": torch.rand(2, 3, 64, 64)}, r"\(N, 1, 64, 64\); got \(2, 3, 64, 64\)"),
        ({"samples": 255 * torch.rand(2, 1, 64, 64)}, "from 0 .black. to 1"),
        ({"samples": [[0]]}, "got list"),
        ({"classes": ["a", "b"]}, "list of 10 names"),
        ({"classes": "abcdefghij"}, "list of 10 names"),
        ({"color": "red"}, "no argument 'color'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, words):
    with pytest.raises((ValueError, traitlets.TraitError), match=words) as refused:
        FeatureMicroscope(**arguments)
    print(refused.value)


def test_traits_are_refused():
    figure = FeatureMicroscope()
    with pytest.raises(traitlets.TraitError, match=r"no skip 'layer9'.*layer1\.0"):
        figure.cut = ["layer9"]
    with pytest.raises(traitlets.TraitError, match=r"No module 'fc' has maps.*layer2"):
        figure.layer = "fc"
    with pytest.raises(traitlets.TraitError, match="from 0 to 9"):
        figure.sample = 10
    with pytest.raises(traitlets.TraitError, match="4096 bytes"):
        figure.picture = b"123"
    with pytest.raises(ValueError, match="grey"):
        figure.image = torch.rand(3, 64, 64)
    with pytest.raises(TypeError, match=r"torch\.Tensor"):
        figure.image = [[1]]
    with pytest.raises(traitlets.TraitError):
        figure.samples = b""


@pytest.mark.parametrize("network", ["resnet18-fashion", "unet-nuclei"])
def test_what_a_notebook_keeps_is_small(network):
    state = FeatureMicroscope(network).get_state()
    kept = {k: v for k, v in state.items() if k not in ("_esm", "_css", "program", "weights")}
    size = sum(
        len(v) if isinstance(v, bytes) else len(json.dumps(v, default=str)) for v in kept.values()
    )
    print(f"{size / 1e3:.0f} kB of state, {len(state['samples']) / 1e3:.0f} kB of it samples")
    assert len(state["samples"]) <= 45_000
    assert size < 70_000
