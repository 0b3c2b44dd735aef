"""backbone.data: the files are the ones described, the loaders say what they give and refuse."""

import importlib.util
import io
import json
import shutil
import sys
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import backbone.data as data
from backbone.data import datasheets

ROOT = Path(__file__).resolve().parents[1]


def load_tool():
    spec = importlib.util.spec_from_file_location("make_data", ROOT / "tools" / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


make_data = load_tool()


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """A copy of the data folder that a test may damage."""
    folder = tmp_path / "files"
    shutil.copytree(datasheets.FILES, folder)
    monkeypatch.setattr(datasheets, "FILES", folder)
    return folder


# --- the files and their datasheets -------------------------------------------------------------


def test_files_are_the_ones_described():
    total = 0
    for name in data.datasheet_names():
        sheet = data.datasheet(name)
        content = (datasheets.FILES / sheet.file).read_bytes()
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert sha256(content).hexdigest() == sheet.sha256
        assert len(content) == sheet.bytes
        assert (pixels.shape, str(pixels.dtype)) == (sheet.shape, sheet.dtype)
        assert (pixels.min(), pixels.max()) == sheet.range
        total += len(content)
        print(f"{sheet.file}: {len(content):,} bytes, {pixels.shape}, {sheet.range}")
    print(f"all files: {total:,} bytes")
    assert total < 1_200_000


def test_every_file_in_the_folder_has_a_datasheet():
    described = {data.datasheet(name).file for name in data.datasheet_names()}
    beside = {"README.md", "datasheets.json", make_data.NOTICE}
    found = {path.name for path in datasheets.FILES.iterdir()}
    print(sorted(found))
    assert found == described | beside


def test_datasheets_are_complete_and_open():
    for name in data.datasheet_names():
        sheet = data.datasheet(name)
        for heading, text in sheet.rows():
            assert text.strip(), f"{name}: {heading} is empty"
        print(name, "·", sheet.licence, "·", sheet.author)
        assert sheet.licence in ("CC0 1.0", "Public domain")


def test_readme_says_what_the_datasheets_say():
    sheets = [data.datasheet(name) for name in data.datasheet_names()]
    text = (datasheets.FILES / "README.md").read_text(encoding="utf-8")
    print(f"README.md: {len(text)} characters, {len(sheets)} datasheets")
    assert text == make_data.readme(sheets)


def test_datasheets_say_what_the_recipes_say():
    written = {"name", "title", "what", "mind", "author", "loader"}
    for recipe in make_data.RECIPES:
        sheet = data.datasheet(recipe.name)
        assert {key: getattr(sheet, key) for key in written} == {
            key: getattr(recipe, key) for key in written
        }
        assert sheet.source_sha256 == recipe.member_sha256
        assert (sheet.licence, sheet.licence_url) == recipe.licence
    print(f"{len(make_data.RECIPES)} recipes agree with datasheets.json")


def test_datasheet_prints_and_renders():
    sheet = data.datasheet("nuclei")
    print(sheet)
    assert repr(sheet) == str(sheet)
    assert str(sheet).startswith(sheet.title)
    assert max(map(len, str(sheet).splitlines())) <= 100
    page = sheet._repr_html_()
    for heading, _ in sheet.rows():
        assert heading in str(sheet)
        assert f">{heading}</th>" in page


def test_html_escapes_what_a_datasheet_says():
    page = replace(data.datasheet("coffee"), what="<b>bold</b>")._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;bold" in page


# --- the loaders --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", data.photo_names())
def test_photo_is_what_it_promises(name):
    x = data.photo(name)
    print(name, tuple(x.shape), x.dtype, f"{x.min():.3f} to {x.max():.3f}, std {x.std():.3f}")
    assert x.shape == (3, 224, 224)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.std() > 0.1  # a picture, not a grey square


def test_photo_at_its_stored_size_is_the_file_itself():
    x = data.photo("coffee", 256)
    stored = np.asarray(Image.open(datasheets.FILES / "coffee.png"))
    assert torch.equal((x * 255).round().byte(), torch.from_numpy(stored.copy()).permute(2, 0, 1))
    red, green, blue = x.mean(dim=(1, 2)).tolist()
    print(f"coffee, mean red {red:.3f}, green {green:.3f}, blue {blue:.3f}")
    assert red > green > blue  # planes in the order red, green, blue


def test_photo_gives_a_fresh_tensor_each_time():
    data.photo().zero_()
    assert data.photo().max() > 0.5


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 256))
def test_photo_has_the_size_asked_for(size):
    assert data.photo("chelsea", size).shape == (3, size, size)


def test_nuclei_are_what_they_promise():
    image, mask, instances = data.nuclei()
    count = len(instances.unique()) - 1
    share = mask.float().mean().item()
    inside, outside = image[0][mask == 1].mean().item(), image[0][mask == 0].mean().item()
    print(f"{count} nuclei on {share:.1%} of the pixels; brightness {inside:.3f} / {outside:.3f}")
    assert (image.shape, image.dtype) == ((1, 512, 512), torch.float32)
    assert (mask.shape, mask.dtype) == ((512, 512), torch.int64)
    assert (instances.shape, instances.dtype) == ((512, 512), torch.int64)
    assert image.min() >= 0
    assert image.max() <= 1
    assert mask.unique().tolist() == [0, 1]
    assert torch.equal(mask == 1, instances > 0)
    assert count == 125
    assert inside > 2 * outside  # image and mask lie on top of each other


def test_nuclei_have_names():
    cells = data.nuclei()
    assert cells.image is cells[0]
    assert cells._fields == ("image", "mask", "instances")


def test_normalize_uses_the_statistics_of_imagenet():
    mean, std = torch.tensor(data.IMAGENET_MEAN), torch.tensor(data.IMAGENET_STD)
    x = mean.view(1, 3, 1, 1).expand(2, 3, 4, 4)
    assert torch.equal(data.normalize(x), torch.zeros(2, 3, 4, 4))
    one_std_up = (mean + std).view(3, 1, 1)
    assert torch.allclose(data.normalize(one_std_up), torch.ones(3, 1, 1), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_denormalize_undoes_normalize(dtype):
    x = data.photo("astronaut").to(dtype)
    there = data.normalize(x)
    back = data.denormalize(there)
    error = (back - x).abs().max().item()
    print(f"{dtype}: {there.min():.3f} to {there.max():.3f}, back within {error:.1e}")
    assert there.dtype == back.dtype == dtype
    assert error < 1e-6


# --- what they refuse ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: data.photo("cat"), ValueError, ["'cat'", "chelsea, coffee, astronaut"]),
        (lambda: data.photo(3), TypeError, ["name", "3"]),
        (lambda: data.photo(size=0), ValueError, ["between 1 and 256", "got 0"]),
        (lambda: data.photo(size=512), ValueError, ["256", "512", "interpolate"]),
        (lambda: data.photo(size=224.0), TypeError, ["whole number", "224.0"]),
        (lambda: data.photo(size=True), TypeError, ["whole number", "True"]),
        (lambda: data.datasheet("cat"), ValueError, ["'cat'", "nuclei-instances"]),
        (lambda: data.datasheet(None), TypeError, ["name", "None"]),
        (lambda: data.normalize("x"), TypeError, ["torch.Tensor", "str"]),
        (lambda: data.normalize(torch.zeros(3, 4, 4).byte()), TypeError, ["uint8", "/ 255"]),
        (lambda: data.normalize(torch.zeros(4, 4, 3)), ValueError, ["(4, 4, 3)", "permute"]),
        (lambda: data.denormalize(torch.zeros(1, 4, 4)), ValueError, ["(1, 4, 4)", "expand"]),
        (lambda: data.denormalize(torch.zeros(3)), ValueError, ["(3,)"]),
    ],
)
def test_refusals_say_what_was_given_and_what_to_do(call, error, words):
    with pytest.raises(error) as caught:
        call()
    print(f"{error.__name__}: {caught.value}")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("load", [lambda: data.photo("chelsea"), lambda: data.nuclei()])
def test_a_damaged_file_is_refused(own_files, load):
    for name in ("chelsea", "nuclei-instances"):
        path = own_files / f"{name}.png"
        content = bytearray(path.read_bytes())
        content[-20] ^= 1  # one bit
        path.write_bytes(content)
    with pytest.raises(ValueError, match="expected sha256") as caught:
        load()
    print(caught.value)
    name = "chelsea" if "chelsea" in str(caught.value) else "nuclei-instances"
    assert data.datasheet(name).sha256 in str(caught.value)
    assert "git checkout" in str(caught.value)


def test_a_missing_file_is_named_with_its_hash(own_files):
    (own_files / "coffee.png").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        data.photo("coffee")
    print(caught.value)
    assert data.datasheet("coffee").sha256 in str(caught.value)
    assert "git checkout" in str(caught.value)
    data.photo("chelsea")  # the others still load


def test_missing_datasheets_are_named(own_files):
    (own_files / "datasheets.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"datasheets\.json.*git checkout"):
        data.photo()


# --- the tool that makes them -------------------------------------------------------------------


@pytest.fixture
def small_packages(tmp_path):
    """Two packages with the real layout and small made-up pictures, and recipes to match."""
    rng = np.random.default_rng(0)
    wheels = {name: tmp_path / f"{name}.whl" for name in make_data.PACKAGES}
    recipes = []
    for recipe in make_data.RECIPES:
        if recipe.kind == "photo":
            pixels = rng.integers(0, 256, (300, 451, 3), dtype=np.uint8)
        else:
            pixels = rng.integers(0, 236, (64, 64), dtype=np.uint16)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "png" if recipe.kind == "photo" else "tiff")
        with zipfile.ZipFile(wheels[recipe.package], "a") as wheel:
            wheel.writestr(recipe.member, buffer.getvalue())
        recipes.append(replace(recipe, member_sha256=sha256(buffer.getvalue()).hexdigest()))
    with zipfile.ZipFile(wheels["stardist"], "a") as wheel:
        wheel.writestr("stardist-0.dist-info/licenses/LICENSE.txt", "A notice.\n")
    return recipes, wheels


def test_making_twice_gives_the_same_bytes(small_packages, tmp_path):
    recipes, wheels = small_packages
    hashes = []
    for run in ("first", "second"):
        make_data.make(recipes, wheels, tmp_path / run)
        files = sorted((tmp_path / run).iterdir())
        hashes.append({path.name: sha256(path.read_bytes()).hexdigest() for path in files})
    print(f"{len(hashes[0])} files, the same both times: {hashes[0] == hashes[1]}")
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {path.name for path in datasheets.FILES.iterdir()}


def test_what_is_made_can_be_loaded(small_packages, tmp_path, monkeypatch):
    recipes, wheels = small_packages
    make_data.make(recipes, wheels, tmp_path / "made")
    monkeypatch.setattr(datasheets, "FILES", tmp_path / "made")
    assert data.photo("coffee", 256).shape == (3, 256, 256)
    assert data.nuclei().image.shape == (1, 64, 64)
    record = json.loads((tmp_path / "made" / "datasheets.json").read_text(encoding="utf-8"))[0]
    print(record["made"])
    assert "300×300 square of the 451×300 original" in record["made"]


def test_the_tool_refuses_another_picture(small_packages, tmp_path):
    recipes, wheels = small_packages
    with pytest.raises(ValueError, match="not the file this recipe was written for") as caught:
        make_data.make(make_data.RECIPES, wheels, tmp_path / "made")
    print(caught.value)
    with pytest.raises(ValueError, match=r"holds no skimage.*give scikit-image 0\.26\.0"):
        make_data.make(recipes, {**wheels, "scikit-image": wheels["stardist"]}, tmp_path / "made")


def test_the_tool_refuses_values_that_do_not_fit():
    with pytest.raises(ValueError, match="0 to 300 do not fit"):
        make_data.make_bytes(Image.fromarray(np.array([[0, 300]], dtype=np.uint16)))
