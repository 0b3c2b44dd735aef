"""The book's own weights: files, cards, and scores measured again, not with the code that did."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import json
import re
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import backbone.weights.trained as trained
from backbone.anatomy import cut
from backbone.data import fashion, nuclei_split
from backbone.data.fashion import FULL, fashion_folder
from backbone.experiments import load_results
from backbone.weights import ModelCard, load_trained, model_card, trained_names
from backbone.weights.trained import FILES

PARAMETERS = {
    "resnet18-fashion": 176_578,
    "unet-nuclei": 487_172,
    "unet-nuclei-no-skips": 487_172,
    "resnet-unet-nuclei": 226_738,
}
NAMES = list(PARAMETERS)
EXPERIMENT = {"resnet18-fashion": "fashion", "resnet-unet-nuclei": "backbone"}  # else segmentation
PART = "the 2,000 test pictures that come with the book"
ALL = "all 10,000 test pictures of Fashion-MNIST"
NUCLEI = "the unseen 128 columns of the nuclei image"
MOST = 4_000_000  # bytes together


def test_the_networks_of_the_book():
    assert trained_names() == NAMES == list(trained.NETWORKS)
    files = {path.name for path in FILES.iterdir()}
    expected = {f"{name}.safetensors" for name in NAMES} | {"cards.json", "README.md"}
    total = sum((FILES / name).stat().st_size for name in files)
    print(f"{sorted(files)}: {total:,} bytes")
    assert files == expected
    assert total <= MOST


@pytest.mark.parametrize("name", NAMES)
def test_the_card_describes_the_file(name):
    card = model_card(name)
    content = (FILES / card.file).read_bytes()
    assert card.file == f"{name}.safetensors"
    assert (card.bytes, card.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert card.dtype == "float16 kernels, float32 biases and batch norm"
    kinds = {}
    for value in load_file(FILES / card.file).values():
        kind = "kernel" if value.dim() > 1 else "counter" if value.dim() == 0 else "other"
        kinds.setdefault(kind, set()).add(value.dtype)
    print(name, kinds)
    assert kinds["kernel"] == {torch.float16}
    assert kinds["other"] == {torch.float32}
    assert kinds.get("counter", {torch.int64}) == {torch.int64}


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_the_files(name):
    """Every tensor of the network comes from the file; `load_trained` itself is not trusted."""
    card, model = model_card(name), load_trained(name)
    own, stored = model.state_dict(), load_file(FILES / card.file)
    assert own.keys() == stored.keys()
    assert all(torch.equal(own[k], v.to(own[k].dtype)) for k, v in stored.items())
    learned = sum(p.numel() for p in model.parameters())
    print(f"{name}: {learned:,} parameters, {len(own)} tensors")
    assert learned == card.parameters == PARAMETERS[name]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module.training for module in model.modules())
    assert all(torch.isfinite(v).all() for v in own.values() if v.is_floating_point())


# --- scores -------------------------------------------------------------------------------------


def accuracy(model, full):
    """Share of right answers, counted here."""
    images, labels, _ = fashion("test", full)
    right = 0
    for x, y in zip(images.split(250), labels.split(250), strict=True):
        x = F.interpolate(x, (64, 64), mode="bilinear", align_corners=False)
        right += int((model(x).argmax(1) == y).sum())
    return right / len(labels)


def nuclei_iou(model):
    """Intersection over union of the nuclei's pixels, counted here."""
    side = nuclei_split().test
    found, true = model(side.image[None]).argmax(1)[0] == 1, side.mask == 1
    return int((found & true).sum()) / int((found | true).sum())


@torch.no_grad()
def measured(name):
    """{data: score}, and what could not be measured on this machine."""
    model = load_trained(name)
    if name != "resnet18-fashion":
        with cut(model) if name.endswith("no-skips") else nullcontext():
            return {NUCLEI: nuclei_iou(model)}, set()
    scores = {PART: accuracy(model, full=False)}
    if not all((fashion_folder() / file).is_file() for file in FULL["test"]):
        return scores, {ALL}
    return {**scores, ALL: accuracy(model, full=True)}, set()


@pytest.mark.parametrize("name", NAMES)
def test_the_scores_are_measured_again(name):
    card = model_card(name)
    told = {score.on: score.value for score in card.scores}
    found, left_out = measured(name)
    for on, value in found.items():
        print(f"{name}: {value:.4f} on {on}, the card says {told[on]:.4f}")
    print(f"not on this machine: {left_out or 'nothing'}")
    assert set(told) == set(found) | left_out
    assert all(abs(value - told[on]) <= 0.0005 for on, value in found.items())
    metric = "accuracy" if name == "resnet18-fashion" else "iou"
    assert {score.metric for score in card.scores} == {metric}


@pytest.mark.parametrize("name", NAMES)
def test_rounding_cost_next_to_nothing(name):
    for score in model_card(name).scores:
        print(f"{name}: {score.before_rounding:.4f} → {score.value:.4f}")
        assert score.before_rounding - score.value < 0.002


@pytest.mark.parametrize(
    ("name", "on", "least"), [("resnet18-fashion", ALL, 0.91), ("unet-nuclei", NUCLEI, 0.87)]
)
def test_they_are_good_enough(name, on, least):
    (score,) = [s for s in model_card(name).scores if s.on == on]
    print(f"{name}: {score.value:.4f}, needed {least}")
    assert score.value >= least


@torch.no_grad()
def test_the_net_without_skips_gives_other_masks_with_them():
    model = load_trained("unet-nuclei-no-skips")
    with cut(model):
        inside = nuclei_iou(model)
    outside = nuclei_iou(model)
    print(f"IoU {inside:.3f} with its skips cut, {outside:.3f} with them")
    # With skips its decoder meets what it never learned from. That is not what the card scores,
    # and it is not worse by itself: this file once had 0.852 cut and 0.861 whole.
    assert abs(inside - outside) > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_the_spread_is_that_of_the_results(name):
    """The card's own score is its seed's in the experiment, and the spread is the experiment's."""
    card = model_card(name)
    mean, low, high = map(float, re.findall(r"\d\.\d{4}", card.spread))
    runs = load_results(EXPERIMENT.get(name, "segmentation"))
    final = "accuracy" if name == "resnet18-fashion" else "iou"
    groups = {}
    for run in runs:
        groups.setdefault(json.dumps(run["config"]), {})[run["seed"]] = run["final"][final]
    same = [
        scores
        for scores in groups.values()
        if abs(min(scores.values()) - low) < 6e-5 and abs(max(scores.values()) - high) < 6e-5
    ]
    print(f"{name}: {card.spread}; configurations with that spread: {len(same)}")
    assert len(same) == 1
    assert abs(sum(same[0].values()) / len(same[0]) - mean) < 6e-5
    assert abs(same[0][card.seed] - card.scores[-1].before_rounding) < 6e-5
    assert card.spread.split(" to ")[0].endswith("seeds 0")
    assert f"to {len(same[0]) - 1}," in card.spread


# --- for people ---------------------------------------------------------------------------------


def test_the_readme_tells_every_card():
    readme = (FILES / "README.md").read_text("utf-8")
    for name in NAMES:
        card = model_card(name)
        section = readme.split(f"## {name}\n")[1].split("\n## ")[0]
        for heading, text in card.rows():
            assert f"- **{heading}**: {text}\n" in section
        assert card.title in section
    print(f"{len(NAMES)} cards in {len(readme):,} characters")


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_it_must(name):
    card = model_card(name)
    print(card)
    assert re.fullmatch("[0-9a-f]{64}", card.code_sha256)
    assert card.licence.startswith("MIT")
    empty = [f.name for f in dataclasses.fields(ModelCard) if getattr(card, f.name) in ("", ())]
    assert not empty
    text, table = " ".join(str(card).split()), html.unescape(card._repr_html_())
    for _, value in card.rows():
        assert " ".join(value.split()) in text
        assert value in table
    assert max(map(len, str(card).splitlines())) <= 100


def test_a_card_is_escaped_in_html():
    card = dataclasses.replace(model_card(NAMES[0]), title="a<b", limits="<script>&")
    page = card._repr_html_()
    assert "a&lt;b" in page
    assert "&lt;script&gt;&amp;" in page
    assert "<script" not in page


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [model_card, load_trained])
@pytest.mark.parametrize("bad", ["unet", "", None, "../cards", 3])
def test_unknown_names_are_refused_with_those_there_are(ask, bad):
    with pytest.raises(ValueError) as caught:
        ask(bad)
    print(caught.value)
    assert repr(bad) in str(caught.value)
    assert all(name in str(caught.value) for name in trained_names())
    assert trained_names()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the folder with the first network, to be damaged."""
    for file in ("cards.json", f"{NAMES[0]}.safetensors"):
        (tmp_path / file).write_bytes((FILES / file).read_bytes())
    monkeypatch.setattr(trained, "FILES", tmp_path)
    load_trained(NAMES[0])  # whole, it loads
    return tmp_path / f"{NAMES[0]}.safetensors"


def test_a_missing_file_is_refused_with_its_hash(copied):
    sha = model_card(NAMES[0]).sha256
    copied.unlink()
    with pytest.raises(FileNotFoundError, match=sha) as caught:
        load_trained(NAMES[0])
    print(caught.value)
    assert copied.name in str(caught.value)


@pytest.mark.parametrize("damage", ["one bit", "cut short", "empty"])
def test_a_damaged_file_is_refused_with_both_hashes(copied, damage):
    content = bytearray(copied.read_bytes())
    if damage == "one bit":
        content[-1] ^= 1
    content = {"one bit": content, "cut short": content[:-100], "empty": b""}[damage]
    copied.write_bytes(content)
    with pytest.raises(ValueError, match=model_card(NAMES[0]).sha256) as caught:
        load_trained(NAMES[0])
    print(caught.value)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)


def test_weights_are_stored_as_promised():
    """`rounded_state`: kernels in half precision, everything else untouched."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    state = trained.rounded_state(model)
    assert state.keys() == model.state_dict().keys()
    halved = {k for k, v in state.items() if v.dtype == torch.float16}
    print(halved)
    assert halved == {"0.weight"}
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in state.items() if k not in halved)
