"""Checkpoints: their form, whether what they say is true, and what they do in a browser."""

import copy
import json
import math
import re
from pathlib import Path
from statistics import mean, median

import nbformat
import pytest
import torch
import traitlets
from looks import NOTHING, complaints_in_both
from torch import nn
from torch.nn import functional as F

from backbone.anatomy import layer_table, receptive_field, record_features, trace
from backbone.data import nuclei_split
from backbone.experiments import load_results
from backbone.explorables.checkpoint import Checkpoint, checkpoint_names, misconceptions
from backbone.resnet import BasicBlock, Bottleneck, ResNet, ResNet18, ResNet50
from backbone.resnet_unet import ResNetUNet
from backbone.training import accuracy, dice, iou
from backbone.unet import UNetModel, join
from backbone.variants import BottleneckV1, PaperUNet, paper_output_size

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "src/backbone/explorables/checkpoints").glob("*.json"))
ALL = {q["id"]: q for f in FILES for q in json.loads(f.read_text("utf-8"))}
CHAPTERS = {
    "index": 1,
    "resnet-architecture": 3,
    "residual-blocks": 3,
    "resnet-implementation": 3,
    "degradation": 3,
    "unet-architecture": 3,
    "unet-implementation": 3,
    "segmentation": 3,
    "backbone-swap": 2,
    "about-the-source": 2,
}


# --- their form


def strings(quiz):
    yield quiz["question"]
    for option in quiz["options"]:
        yield from (option["text"], option["why"])


def test_every_chapter_has_its_checkpoints():
    counts = {f.stem: len(json.loads(f.read_text("utf-8"))) for f in FILES}
    print(counts, sum(counts.values()))
    assert set(counts) == set(CHAPTERS)
    assert all(counts[chapter] >= least for chapter, least in CHAPTERS.items())
    for file in FILES:
        ids = [q["id"] for q in json.loads(file.read_text("utf-8"))]
        assert ids == [f"{file.stem}.{i + 1}" for i in range(len(ids))]
        assert (ROOT / f"book/en/{file.stem}.ipynb").exists()


@pytest.mark.parametrize("name", ALL)
def test_form(name):
    quiz = ALL[name]
    assert set(quiz) == {"id", "question", "options"}
    assert 3 <= len(quiz["options"]) <= 4
    rights = [o for o in quiz["options"] if "right" in o]
    assert len(rights) == 1 and rights[0]["right"] is True
    for option in quiz["options"]:
        assert set(option) == {"text", "why", "right" if option in rights else "misconception"}
        if "misconception" in option:
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", option["misconception"])
    named = [o["misconception"] for o in quiz["options"] if "misconception" in o]
    assert len(set(named)) == len(named)
    for text in strings(quiz):
        assert set(text) == {"en", "zh"}
        for words in text.values():
            assert words.strip() == words and words
            assert words.count("`") % 2 == 0
            assert "$" not in words and "\\" not in words and "**" not in words
    for language in ("en", "zh"):
        texts = [o["text"][language] for o in quiz["options"]]
        assert len(set(texts)) == len(texts)


def test_the_right_answer_is_not_always_in_the_same_place():
    places = [[o.get("right", False) for o in q["options"]].index(True) for q in ALL.values()]
    shares = [places.count(i) / len(places) for i in range(4)]
    print([f"{s:.0%}" for s in shares])
    assert all(share > 0.1 for share in shares) and max(shares) < 0.4


def test_the_right_answer_is_not_always_the_longest():
    longest = 0
    for quiz in ALL.values():
        lengths = [len(o["text"]["en"]) for o in quiz["options"]]
        right = next(i for i, o in enumerate(quiz["options"]) if "right" in o)
        longest += lengths[right] > max(lengths[:right] + lengths[right + 1 :])
    print(f"{longest} of {len(ALL)}")
    assert longest < len(ALL) / 3


HAN = r"[\u4e00-\u9fff]"


@pytest.mark.parametrize("name", ALL)
def test_chinese_is_set_as_chinese(name):
    for text in strings(ALL[name]):
        zh = re.sub(r"`[^`]*`", "x", text["zh"])  # code as if it were a Latin letter
        assert not re.search(rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}", zh), zh  # a space between
        assert not re.search(rf"{HAN} ?[,.;:?!()]|[,;:?!(] ?{HAN}", zh), zh  # full-width marks
        if len(text["en"]) > 30 and not text["en"].startswith("`"):
            assert re.search(HAN, zh), zh  # translated
        # What is code or a number in one language is so in the other.
        assert re.findall(r"`[^`]*`", text["en"]) == re.findall(r"`[^`]*`", text["zh"]) or set(
            re.findall(r"`[^`]*`", text["en"])
        ) == set(re.findall(r"`[^`]*`", text["zh"]))


# --- what they say

FACTS = {}


def fact(name):
    def keep(function):
        FACTS[name] = function
        return function

    return keep


def says(name, *texts):
    """Are these texts in the right option, or in the words that follow it?"""
    option = next(o for o in ALL[name]["options"] if "right" in o)
    words = option["text"]["en"] + " | " + option["why"]["en"]
    print(name, texts)
    assert all(str(text) in words for text in texts), (texts, words)


def wrong(name, misconception):
    option = next(o for o in ALL[name]["options"] if o.get("misconception") == misconception)
    return option["text"]["en"], option["why"]["en"]


def shape(maps):
    return " × ".join(map(str, maps.shape[1:]))


def printed(chapter, cell):
    """What a cell of a chapter printed when it was last run; nbval compares it."""
    notebook = nbformat.read(ROOT / f"book/en/{chapter}.ipynb", 4)
    found = next(c for c in notebook.cells if c.id == cell)
    return "".join(o.get("text") or o["data"]["text/plain"] for o in found.outputs)


@fact("index.1")
def _():
    x = torch.zeros(1, 64, 8, 8)
    says("index.1", f"{BasicBlock(64, 64).eval()(x).shape[1]}, then {join(x, x).shape[1]}")


@fact("resnet-architecture.1")
def _():
    def last(size):
        return record_features(ResNet18(), torch.zeros(1, 3, size, size), ["layer4"])["layer4"]

    says("resnet-architecture.1", shape(last(96)))
    assert wrong("resnet-architecture.1", "output-size-is-built-in")[0] == shape(last(224))
    assert wrong("resnet-architecture.1", "stem-halves-once")[0] == f"512 × {96 // 16} × {96 // 16}"


@fact("resnet-architecture.2")
def _():
    rows = [
        layer_table(nn.Conv2d(c, c, 3, padding=1, bias=False), (1, c, s, s)).total
        for c, s in ((32, 28), (64, 14))
    ]
    more = rows[1].parameters / rows[0].parameters
    assert rows[1].multiply_adds == rows[0].multiply_adds
    says("resnet-architecture.2", f"Parameters × {more:.0f}, multiply-adds as before")


@fact("resnet-architecture.3")
def _():
    def sees(*more):
        net = nn.Sequential(*list(ResNet18(width=8).children())[:6], *more)
        return receptive_field(net, "", (1, 3, 224, 224)).size[0]

    grown = sees(nn.Conv2d(16, 16, 3, padding=1)) - sees()
    says("resnet-architecture.3", f"By {grown}", "(3 − 1) · 8")


@fact("residual-blocks.1")
def _():
    for option in ALL["residual-blocks.1"]["options"]:
        block = eval(
            option["text"]["en"].strip("`"), {"BasicBlock": BasicBlock, "Bottleneck": Bottleneck}
        )
        assert (block.downsample is None) == option.get("right", False), option
        if option.get("misconception") == "planes-are-the-output":
            out = block.eval()(torch.zeros(1, 64, 8, 8)).shape[1]
            assert f"puts out {out} channels" in option["why"]["en"]
    says("residual-blocks.1", "4 · 64 = 256")


class EarlyReLU(BasicBlock):
    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = out + x
        return self.relu(out)


@fact("residual-blocks.2")
def _():
    torch.manual_seed(0)
    x = torch.rand(2, 8, 6, 6)
    assert (EarlyReLU(8, 8)(x) >= x).all() and (BasicBlock(8, 8)(x) < x).any()
    z = x.clone().requires_grad_()
    early = EarlyReLU(8, 8).eval()
    nn.init.zeros_(early.bn2.weight)
    early(z).sum().backward()
    assert (z.grad[x > 0] == 1).all()  # the shortcut's gradient passes
    says("residual-blocks.2", "no longer lower any value")


@fact("residual-blocks.3")
def _():
    torch.manual_seed(0)
    x = torch.rand(1, 64, 8, 8, requires_grad=True)
    BottleneckV1(64, 32, stride=2).eval()(x).square().sum().backward()
    share = (x.grad.abs().sum(dim=1) > 0).float().mean().item()
    print(share)
    assert share == 0.25
    says("residual-blocks.3", "A quarter")


@fact("resnet-implementation.1")
def _():
    first = ResNet50(width=64).layer2[0]
    says("resnet-implementation.1", first.conv1.in_channels, "64 · 4 = 256")
    out = record_features(ResNet50(), torch.zeros(1, 3, 64, 64), ["layer2"])["layer2"].shape[1]
    assert wrong("resnet-implementation.1", "in-and-out-confused")[0] == str(out)
    assert wrong("resnet-implementation.1", "block-receives-its-own-planes")[0] == str(
        first.conv1.out_channels
    )


class Careless(ResNet):
    def _make_layer(self, block, planes, num_blocks, stride):
        return nn.Sequential(
            *[block(self.in_planes, planes, s) for s in [stride] + [1] * (num_blocks - 1)]
        )


@fact("resnet-implementation.2")
def _():
    net = Careless(BasicBlock, [2, 2, 2, 2])  # builds
    passed = []
    for name, block in net.named_modules():
        if isinstance(block, BasicBlock):
            block.register_forward_hook(lambda *_, name=name: passed.append(name))
    with pytest.raises(ValueError, match=r"\(N, 64, H, W\), got \(1, 128, "):
        net.eval()(torch.zeros(1, 3, 64, 64))
    print(passed)
    assert passed == ["layer1.0", "layer1.1", "layer2.0"]
    says("resnet-implementation.2", "It builds; an error in the second block of `layer2`")


@fact("resnet-implementation.3")
def _():
    old = ResNet18(num_classes=1000).state_dict()
    new = ResNet18(num_classes=3, in_channels=1).state_dict()
    other = [name for name in old if old[name].shape != new[name].shape]
    says(
        "resnet-implementation.3", *(f"`{name}`" for name in other), f"other {len(old) - 3} tensors"
    )
    assert len(other) == 3


TEN = {"data": "digits", "epochs": 10, "lr": 0.1, "depth": 56}


@fact("degradation.1")
def _():
    results = load_results("degradation")
    train, test = (
        100 * mean(results.values(f"{side}_error", shortcut=None, **TEN))
        for side in ("train", "test")
    )
    question = ALL["degradation.1"]["question"]["en"]
    assert f"{train:.1f} %" in question and f"{test:.1f} %" in question
    assert "one point" in wrong("degradation.1", "bad-test-error-is-overfitting")[1]
    assert round(test - train) == 1
    assert "answer alike on every training picture: True" in printed(
        "degradation", "imitation-checked"
    )


@fact("degradation.2")
def _():
    runs = load_results("degradation").values("gradient_before", shortcut=None, **TEN)
    ratios = [norms[0] / norms[-1] for norms in runs]
    growth = [(norms[1] / norms[-1]) ** (1 / 53) - 1 for norms in runs]
    print([f"{r:.0f}" for r in ratios], [f"{g:.3f}" for g in growth])
    assert min(ratios) > 200
    assert all(1 / 10 < g < 1 / 6 for g in growth)  # "about a seventh"
    assert len(runs[0]) == 55
    says("degradation.2", "Hundreds of times larger")


@fact("degradation.3")
def _():
    cuts = load_results("degradation").values("test_error_cut", shortcut="A", **TEN)
    blocks = [name for name in cuts[0] if name != "all"]
    middle = [run[name] for run in cuts for name in blocks[9:18]]
    print(f"middle: median {median(middle):.2f}")
    assert len(blocks) == 27 and median(middle) > 0.85  # guessing among ten: 0.9
    assert "below 10 %: True" in printed("degradation", "cut-and-silence")
    says("degradation.3", "One correction of 27")


@fact("unet-architecture.1")
def _():
    net = UNetModel(init_features=16).eval()
    seen = {}
    for name in ("decode_layer2", "decode_layer3", "decode_layer4"):
        stage = net.get_submodule(name)
        stage.register_forward_hook(lambda m, x, y, n=name: seen.update({n: (x[0], y)}))
    net(torch.zeros(1, 1, 128, 128))
    says("unet-architecture.1", shape(seen["decode_layer3"][0]))
    name = "upconv-comes-after-the-stage"
    assert wrong("unet-architecture.1", name)[0] == shape(seen["decode_layer4"][1])
    level2 = seen["decode_layer2"][0].shape[2:]
    name = "skip-from-the-next-level"
    assert wrong("unet-architecture.1", name)[0] == " × ".join(map(str, (128, *level2)))


@fact("unet-architecture.2")
def _():
    out = PaperUNet(init_features=1).eval()(torch.zeros(1, 1, 604, 604)).shape[2]
    assert out == paper_output_size(604)
    says("unet-architecture.2", out, f"{572 - paper_output_size(572)} pixels")
    convs = [m for m in PaperUNet(init_features=1).modules() if isinstance(m, nn.Conv2d)]
    threes = sum(m.kernel_size == (3, 3) for m in convs)
    text, why = wrong("unet-architecture.2", "a-pixel-is-a-pixel-on-every-level")
    assert text == str(604 - 2 * threes) and f"{threes} convolutions" in why
    assert wrong("unet-architecture.2", "loss-in-proportion")[0] == str(round(604 * 388 / 572))


@fact("unet-architecture.3")
def _():
    def stamps(k, p):
        out = F.conv_transpose2d(
            torch.ones(1, 1, 8, 8), torch.ones(1, 1, k, k), stride=2, padding=p
        )
        return out.shape[2], set(out[0, 0, 4:-4, 4:-4].flatten().tolist())

    print(stamps(2, 0), stamps(4, 1), stamps(3, 0))
    assert stamps(2, 0) == (16, {1}) and stamps(4, 1) == (16, {4})
    assert stamps(3, 0)[1] == {1, 2, 4}
    says("unet-architecture.3", "The same size; four stamps", "= 2n")


@fact("unet-implementation.1")
def _():
    torch.manual_seed(0)
    up, across = torch.rand(2, 1, 256, 8, 8)
    stage = UNetModel().eval().decode_layer4
    one, two = stage(join(up, across)), stage(join(across, up))
    assert one.shape == two.shape and not torch.allclose(one, two, atol=1e-4)
    first = stage[0]
    with torch.no_grad():
        first.weight.copy_(first.weight.roll(256, dims=1))
    assert torch.allclose(stage(join(across, up)), one, atol=1e-4)  # it can learn the same
    assert "256 + 256 is 512" in wrong("unet-implementation.1", "order-changes-the-shape")[1]


@fact("unet-implementation.2")
def _():
    perfect = torch.tensor([[[[40.0]], [[-40.0]]]])
    target = torch.zeros(1, 1, 1, dtype=torch.long)
    floor = F.cross_entropy(perfect.softmax(dim=1), target).item()
    assert F.cross_entropy(perfect, target) < 1e-6
    says(
        "unet-implementation.2",
        f"below {math.floor(floor * 100) / 100:.2f}",
        f"{math.exp(-floor):.2f}",
    )


@fact("unet-implementation.3")
def _():
    lines = printed("unet-implementation", "measure-cuts").split("training mode")
    fourth = [
        [float(line.split()[-1]) for line in part.splitlines() if "seed" in line] for part in lines
    ]
    print(fourth)
    assert all(change < 0.05 for change in fourth[0]) and all(change > 0.05 for change in fourth[1])


@fact("segmentation.1")
def _():
    truth, found = torch.zeros(2, 100, dtype=torch.long)
    truth[:10], found[:20] = 1, 1
    says("segmentation.1", f"{iou(found, truth):.2f}", f"accuracy of {accuracy(found, truth):.2f}")
    assert wrong("segmentation.1", "dice-for-iou")[0] == f"{dice(found, truth):.2f}"
    assert wrong("segmentation.1", "accuracy-for-iou")[0] == f"{accuracy(found, truth):.2f}"
    assert (
        wrong("segmentation.1", "iou-is-recall")[0] == f"{(found & truth).sum() / truth.sum():.2f}"
    )


USUAL = {"data": "nuclei", "loss": "cross_entropy"}


@fact("segmentation.2")
def _():
    results = load_results("segmentation")
    whole = results.values("iou", without=[], **USUAL)
    cuts = results.values(lambda run: run["final"]["iou_cut"]["encode_layer1"], without=[], **USUAL)
    never = results.values("iou", without=["encode_layer1"], **USUAL)
    print(whole, cuts, never)
    question = ALL["segmentation.2"]["question"]["en"]
    assert len(whole) == 5 and "five trained networks" in question
    assert f"from {mean(whole):.2f} down to {mean(cuts):.2f}" in question
    assert len(never) == 3
    assert f"reached {mean(never):.2f}" in wrong("segmentation.2", "dependence-is-necessity")[1]
    why = wrong("segmentation.2", "drop-is-share-of-information")[1]
    assert f"kept {max(cuts):.2f}, another {min(cuts):.2f}" in why


@fact("segmentation.3")
def _():
    net = UNetModel(init_features=1)
    reach = 0
    for place in range(256, 272):  # every place in a square of 16
        field = receptive_field(net, "", (1, 1, 512, 512), at=(place, place))
        reach = max(reach, place - field.rows[0], field.rows[1] - place)
    says("segmentation.3", math.ceil(reach / 16) * 16, f"{reach} here")


@fact("backbone-swap.1")
def _():
    net = ResNetUNet(ResNet18(in_channels=1, width=4)).eval()
    assert UNetModel(init_features=1).eval()(torch.zeros(1, 1, 48, 48)).shape[2] == 48
    assert net(torch.zeros(1, 1, 64, 64)).shape[2] == 64
    with pytest.raises(ValueError, match="multiples of 32"):
        net(torch.zeros(1, 1, 48, 48))
    says("backbone-swap.1", "multiple of 32", "48 → 24 → 12 → 6 → 3")


@fact("backbone-swap.2")
def _():
    torch.manual_seed(0)
    net = ResNetUNet(ResNet18(in_channels=1, width=4))
    for stage in net.encoder():
        stage.requires_grad_(False)
    before = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    x, mask = torch.rand(4, 1, 32, 32), torch.randint(2, (4, 32, 32))
    net.train()
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), mask).backward()
        optimizer.step()
    for old, new in zip(before.encoder(), net.encoder(), strict=True):
        same = zip(old.parameters(), new.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in same)
    moved = [not torch.equal(a, b) for a, b in zip(before.buffers(), net.buffers(), strict=True)]
    assert any(moved)
    before.eval(), net.eval()
    assert not torch.allclose(before.encode_layer1(x), net.encode_layer1(x), atol=1e-3)


@fact("backbone-swap.3")
def _():
    results = load_results("backbone")

    def told(model):
        return f"{mean(results.values('iou', model=model, tiles=4, lr=None)):.2f}"

    assert (
        f"mean IoU of {told('resnet-unet, clothes, frozen')} with 4 tiles"
        in (ALL["backbone-swap.3"]["question"]["en"])
    )
    says("backbone-swap.3", told("resnet-unet, frozen"))
    assert wrong("backbone-swap.3", "scratch-isolates-the-features")[0].startswith(
        told("resnet-unet")
    )
    train, test = nuclei_split()
    levels = torch.arange(1, 236) / 255
    best = max(levels, key=lambda t: iou((train.image[0] > t).long(), train.mask)).item()
    threshold = iou((test.image[0] > best).long(), test.mask)
    assert wrong("backbone-swap.3", "any-baseline-will-do")[0].startswith(f"{threshold:.2f}")
    accuracy_there = printed("backbone-swap", "live-accuracy").split()[1]
    assert wrong("backbone-swap.3", "good-there-good-here")[0].startswith(accuracy_there)


@fact("about-the-source.1")
def _():
    torch.manual_seed(0)
    old, new = BottleneckV1(64, 32, stride=2).eval(), Bottleneck(64, 32, stride=2).eval()
    answer = str(new.load_state_dict(old.state_dict()))
    x = torch.randn(1, 64, 8, 8)
    assert f"`{answer}`" in ALL["about-the-source.1"]["question"]["en"]
    assert not torch.allclose(old(x), new(x), atol=1e-3)


@fact("about-the-source.2")
def _():
    def without_addition(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)))

    def count():
        net = ResNet18(width=8)
        return str(net), [op.kind for op in trace(net, (1, 3, 64, 64))].count("add")

    with pytest.MonkeyPatch.context() as patch:
        before, additions = count()
        patch.setattr(BasicBlock, "forward", without_addition)
        assert count() == (before, 0)
    print(additions)
    assert additions == 8 and before.count("downsample") == 3 and not re.search(r"\badd\b", before)


def test_every_checkpoint_is_verified():
    assert set(FACTS) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_it_is_true(name):
    FACTS[name]()


# --- in Python


def test_python_side():
    quiz = Checkpoint("residual-blocks.1")
    assert quiz.answer is None and not quiz.solved
    assert repr(quiz).splitlines()[3] == "  C  `Bottleneck(256, 64)`"
    quiz.tries = [1]
    assert quiz.answer == 1 and not quiz.solved
    quiz.tries = [1, 2]
    assert quiz.answer == 2 and quiz.solved
    for bad in ([4], [-1], [0, 0]):
        with pytest.raises(traitlets.TraitError, match=r"0 … 3"):
            quiz.tries = bad
    assert quiz.tries == [1, 2]
    assert "残差块" in repr(Checkpoint("residual-blocks.1", language="zh"))


@pytest.mark.parametrize("bad", ["residual-blocks.9", "", None, 3, ["index.1"]])
def test_unknown_names_are_refused(bad):
    with pytest.raises(ValueError, match=r"index\.1.*unet-implementation\.1"):
        Checkpoint(bad)


def test_lists_for_a_teacher():
    assert checkpoint_names("index") == ["index.1"]
    assert set(checkpoint_names()) == set(ALL)
    with pytest.raises(ValueError, match="residual-blocks"):
        checkpoint_names("no-such-chapter")
    for language in ("en", "zh"):
        listed = misconceptions(language)
        wrongs = [o for q in ALL.values() for o in q["options"] if "misconception" in o]
        assert [e["misconception"] for e in listed] == [o["misconception"] for o in wrongs]
        assert {e["reply"] for e in listed} == {o["why"][language] for o in wrongs}
    print(
        len(wrongs), "wrong answers,", len({o["misconception"] for o in wrongs}), "misconceptions"
    )
    with pytest.raises(ValueError, match='"en" or "zh"'):
        misconceptions("de")


# --- in the browser

SETTINGS = [
    {"width": 1280},
    {"width": 360, "scheme": "dark", "lang": "zh", "reduced": True},
    {"width": 360},
    {"width": 1280, "scheme": "dark", "lang": "zh"},
]


def plain(text):
    return text.replace("`", "")


def told(page):
    return page.locator(".x-reply").inner_text()


# Choose one answer after the other, and read what is said to each.
CHOOSE_ALL = """() => Array.from(document.querySelectorAll(".x-option"), (_, i) => {
    const button = () => document.querySelectorAll(".x-option")[i];
    const text = button().innerText;
    button().click();
    const reply = document.querySelector(".x-reply").innerText;
    return [text, reply, button().dataset.verdict];
})"""


@pytest.mark.parametrize("name", ALL)
def test_every_answer_gets_its_reply(figure_page, name):
    quiz = ALL[name]
    for lang in ("en", "zh"):
        page = figure_page(Checkpoint(name), lang=lang)
        assert page.locator(".x-question").inner_text() == plain(quiz["question"][lang])
        said = page.evaluate(CHOOSE_ALL)
        for option, (text, reply, verdict) in zip(quiz["options"], said, strict=True):
            assert text.endswith(plain(option["text"][lang]))
            assert reply.endswith(plain(option["why"][lang]))
            assert verdict == ("right" if "right" in option else "wrong")
        marks = page.locator(".x-mark").all_inner_texts()
        assert sorted(marks) == ["✓"] + ["✗"] * (len(marks) - 1)
        code = page.locator(".x-option code").count()
        assert code == sum(o["text"][lang].count("`") // 2 for o in quiz["options"])
        if lang == "zh":
            whole = page.locator(".explorable").inner_text()
            assert not any(word in whole for word in ("Checkpoint", "Right", "Not yet", "Choose"))


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_by_keyboard_and_mouse(figure_page, setting):
    page = figure_page(Checkpoint("residual-blocks.1"), **setting)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert told(page) == ""
    height = page.locator(".explorable").bounding_box()["height"]

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the second option: wrong
    assert page.locator(".x-reply").get_attribute("data-verdict") == "wrong"
    assert page.evaluate("document.activeElement.dataset.verdict") == "wrong"  # focus stays
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    first = told(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the third: right
    assert page.locator(".x-reply").get_attribute("data-verdict") == "right"
    assert told(page) != first
    page.locator(".x-option").nth(1).click()  # again the second: its reply comes back
    assert told(page) == first
    grown = page.locator(".explorable").bounding_box()["height"] - height
    print(f"grew by {grown:.0f} px")
    if setting["width"] == 1280:
        assert grown <= 1  # nothing below it moves
    assert page.locator(".x-reply").get_attribute("role") == "status"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_saved_tries_come_back(figure_page):
    quiz = Checkpoint("residual-blocks.1", tries=[3, 1])
    page = figure_page(quiz)
    verdicts = [b.get_attribute("data-verdict") for b in page.locator(".x-option").all()]
    assert verdicts == ["", "wrong", "", "wrong"]
    assert told(page).endswith(plain(ALL["residual-blocks.1"]["options"][1]["why"]["en"]))


def test_axe_finds_nothing_serious(figure_page):
    page = figure_page(Checkpoint("residual-blocks.1", tries=[1, 2]))
    assert complaints_in_both(page) == NOTHING


def test_what_was_chosen_flows_back(browser, tmp_path):
    """The view tells its model, and follows it: `tries` both ways."""
    from backbone.explorables.bundle import module_script

    page = browser.new_page()
    state = {"quiz": Checkpoint("index.1").quiz, "tries": [], "language": "en"}
    file = tmp_path / "page.html"
    script = module_script("checkpoint").replace("export default", "window.widget =")
    file.write_text(
        f"<!doctype html><meta charset=utf-8><body><script type=module>{script}\n"
        f"const state = {json.dumps(state)}; let heard; window.saved = 0; window.state = state;\n"
        "const model = { get: (k) => state[k], set: (k, v) => { state[k] = v; heard?.(); },"
        " save_changes: () => window.saved++, on: (e, f) => { heard = f; },"
        " off: () => { heard = null; } };\n"
        "window.model = model; window.clean = widget.render({ model, el: document.body });</script>"
    )
    page.goto(file.as_uri())
    page.locator(".x-option").nth(3).click()
    page.locator(".x-option").nth(3).click()
    page.locator(".x-option").nth(2).click()
    assert page.evaluate("[state.tries, saved]") == [[3, 2], 2]
    page.evaluate("model.set('tries', [])")  # Python begins again
    assert told(page) == "" and page.locator(".x-mark").all_inner_texts() == [""] * 4
    page.evaluate("clean()")
    assert page.locator(".explorable").count() == 0
    page.close()
