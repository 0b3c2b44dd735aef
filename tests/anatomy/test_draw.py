"""Drawings tell the truth about the live module: change the model and the drawing changes."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from backbone.anatomy import draw_block, draw_network, style
from backbone.resnet import BasicBlock, Bottleneck, ResNet18, ResNet50, ResNet152
from backbone.unet import UNetModel, conv_stage
from backbone.variants import PaperUNet, PlainBlock


def texts(drawing):
    """Every piece of text in the picture, in order."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", drawing.svg().replace("&#45;", "-"))


def orange_arrows(drawing):
    """How many orange arrow heads the picture has."""
    return len(re.findall(rf'<polygon fill="{style.SKIP}"', drawing.svg()))


def test_an_identity_block_says_equal_and_has_nothing_on_its_shortcut():
    words = texts(draw_block(BasicBlock(64, 64), (1, 64, 56, 56)))
    assert {"conv1", "bn1", "relu", "conv2", "bn2", "+", "x", "y"} <= set(words)
    assert "= 64×56×56 ?" in words
    assert not any(word.startswith("downsample") for word in words)
    assert "1×1" in words, "the branch not taken is hinted at"


def test_a_projection_block_says_different_and_shows_the_projection():
    words = texts(draw_block(BasicBlock(64, 128, 2), (1, 64, 56, 56)))
    assert "≠ 128×28×28 ?" in words
    assert {"downsample.0", "downsample.1"} <= set(words)
    assert "Conv2d 64 → 128, 1×1, stride 2" in words


def test_a_bottleneck_has_three_convolutions_and_the_stride_on_the_second():
    words = texts(draw_block(Bottleneck(256, 128, 2), (1, 256, 56, 56)))
    assert "Conv2d 256 → 128, 1×1" in words
    assert "Conv2d 128 → 128, 3×3, stride 2, padding 1" in words
    assert "Conv2d 128 → 512, 1×1" in words


@pytest.mark.parametrize("block", [PlainBlock(64, 64), conv_stage(64, 64)])
def test_without_a_shortcut_nothing_is_orange(block):
    assert style.SKIP not in draw_block(block, (1, 64, 56, 56)).svg()


def test_changing_the_model_changes_the_drawing():
    size = (1, 64, 56, 56)
    block = BasicBlock(64, 64)
    before = draw_block(block, size).svg()
    assert draw_block(BasicBlock(64, 64), size).svg() == before, "the same model draws the same"
    block.conv2.dilation, block.conv2.padding = (2, 2), (2, 2)
    after = draw_block(block, size).svg()
    assert after != before and "dilation 2" in after
    block.relu = type("Swish", (type(block.relu),), {})(inplace=True)
    assert "Swish" in draw_block(block, size).svg()


def test_resnet18_is_a_column_with_eight_shortcuts_of_which_three_project():
    words = texts(draw_network(ResNet18(), (1, 3, 224, 224)))
    print(len(words), "pieces of text")
    assert words.count("+") == 8
    assert words.count("1×1") == 3
    for shape in (
        "3×224×224",
        "64×112×112",
        "64×56×56",
        "128×28×28",
        "256×14×14",
        "512×7×7",
        "512",
    ):
        assert shape in words


def test_a_stage_on_its_own_shows_its_blocks():
    words = texts(draw_network(ResNet18().layer2, (1, 64, 56, 56)))
    assert words.count("+") == 2 and words.count("1×1") == 1
    assert "BasicBlock 64 → 128, stride 2" in words


def test_shapes_follow_the_input_and_the_width():
    words = texts(draw_network(ResNet18(width=8), (1, 3, 64, 64)))
    assert "8×32×32" in words and "64×2×2" in words and "64×56×56" not in words


def test_equal_blocks_are_folded():
    words = texts(draw_network(ResNet152(width=4), (1, 3, 64, 64)))
    assert "layer3.1 … layer3.35" in words
    assert any(word.startswith("35 × Bottleneck") for word in words)
    assert texts(draw_network(ResNet50(width=4), (1, 3, 64, 64))).count("+") == 12


@pytest.mark.parametrize(
    ("model", "size", "sent"),
    [
        (UNetModel(), (1, 1, 256, 256), ["256×32×32", "128×64×64", "64×128×128", "32×256×256"]),
        (PaperUNet(), (1, 1, 572, 572), ["512×56×56", "256×104×104", "128×200×200", "64×392×392"]),
    ],
)
def test_a_unet_is_a_u_with_four_orange_skips(model, size, sent):
    drawing = draw_network(model, size)
    words = texts(drawing)
    assert words.count("∥") == 4 and orange_arrows(drawing) == 4
    assert [w for w in words if w in sent and words.count(w)] and set(sent) <= set(words)
    sides = {name: drawing.places[key][0] for key in drawing.places for name in [key.split()[0]]}
    assert all(sides[f"encode_layer{i}"] < 0 < sides[f"decode_layer{i}"] for i in (1, 2, 3, 4))
    depth = [
        drawing.places[k][1]
        for i in (1, 2, 3, 4)
        for k in drawing.places
        if k.startswith(f"encode_layer{i}")
    ]
    assert depth == sorted(depth, reverse=True)


def test_the_picture_is_the_same_every_time_and_saves_as_svg(tmp_path):
    drawing = draw_network(UNetModel(init_features=2), (1, 1, 32, 32))
    assert drawing.svg() == drawing.svg()
    assert drawing.save(tmp_path / "u.svg").read_text(encoding="utf-8") == drawing.svg()
    with pytest.raises(ValueError, match=r"saved as \.svg"):
        drawing.save(tmp_path / "u.png")
    assert set(drawing._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}


def test_no_text_is_wider_than_its_box():
    """Boxes and texts of the same node: the text must fit, by Helvetica's average widths."""
    svg = draw_block(Bottleneck(256, 128, 2), (1, 256, 56, 56)).svg()
    fits = 0
    for node in re.findall(r'<g id="node\d+" class="node">(.*?)</g>', svg, re.S):
        path = re.search(r'<path [^>]*d="([^"]+)"', node)
        if not path:
            continue
        xs = [float(pair.split(",")[0]) for pair in re.findall(r"-?[\d.]+,-?[\d.]+", path[1])]
        for text in re.findall(r'font-size="([\d.]+)"[^>]*>([^<]+)</text>', node):
            assert len(text[1]) * float(text[0]) * 0.48 <= max(xs) - min(xs), text
            fits += 1
    print(fits, "texts fit")
    assert fits >= 16


def test_no_graphviz_at_all_is_a_clear_sentence(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *a, **k: None)
    with pytest.raises(RuntimeError, match="pip install graphviz-pure"):
        draw_block(BasicBlock(4, 4), (1, 4, 8, 8)).svg()


def test_the_systems_dot_is_the_fallback(monkeypatch, tmp_path):
    asked = []
    real = shutil.which("graphviz-pure", path=str(Path(sys.executable).parent))
    dot = tmp_path / "dot"
    dot.symlink_to(real)

    def which(name, path=None):
        asked.append(name)
        return str(dot) if name == "dot" else None

    monkeypatch.setattr(shutil, "which", which)
    assert "<svg" in draw_block(BasicBlock(4, 4), (1, 4, 8, 8)).svg()
    assert asked == ["graphviz-pure", "graphviz-pure", "dot"]
