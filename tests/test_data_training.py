"""backbone.data, the sets to train on: what is promised, sides that share nothing, refusals."""

import builtins
import gzip
import hashlib
import io
import shutil
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import backbone.data as data
import make_training_data as tool
from backbone.data import datasheets
from backbone.data.fashion import FULL, FULL_SHA256, SYSTEM_FOLDER, parse_idx
from properties import NOT_A_COUNT, few, refuses

fashion_module = sys.modules["backbone.data.fashion"]


@pytest.fixture
def own_sets(tmp_path, monkeypatch):
    """A copy of the folder of sets that a test may damage."""
    folder = tmp_path / "sets"
    shutil.copytree(datasheets.SETS, folder)
    monkeypatch.setattr(datasheets, "SETS", folder)
    return folder


# --- the files and their datasheets -------------------------------------------------------------


def test_files_are_the_ones_described():
    limits = {"fashion": 3_000_000, "brain": 1_500_000}
    assert data.dataset_names() == list(limits)
    for name, limit in limits.items():
        sheet = data.datasheet(name)
        content = (datasheets.SETS / sheet.file).read_bytes()
        arrays = datasheets.open_arrays(name)
        pictures = np.concatenate([v for k, v in arrays.items() if k.endswith("images")])
        print(f"{sheet.file}: {len(content):,} bytes, {pictures.shape}, {sheet.range}")
        assert hashlib.sha256(content).hexdigest() == sheet.sha256
        assert len(content) == sheet.bytes <= limit
        assert (pictures.shape, str(pictures.dtype)) == (sheet.shape, sheet.dtype)
        assert (pictures.min(), pictures.max()) == sheet.range


def test_every_file_has_a_datasheet_or_is_a_notice():
    described = {data.datasheet(name).file for name in data.dataset_names()}
    found = {path.name for path in datasheets.SETS.iterdir()}
    print(sorted(found))
    assert found == described | {"README.md", "datasheets.json", *tool.NOTICES}


def test_notices_and_readme_say_what_the_tool_says():
    for name, text in tool.NOTICES.items():
        assert (datasheets.SETS / name).read_text(encoding="utf-8") == text
    sheets = [data.datasheet(name) for name in data.dataset_names()]
    assert (datasheets.SETS / "README.md").read_text(encoding="utf-8") == tool.readme(sheets)
    for sheet in sheets:
        print(sheet)
        assert all(text.strip() for _, text in sheet.rows())
    assert "McConnell Brain Imaging Centre" in tool.NOTICES["LICENSE-brain.txt"]
    assert "one person" in data.datasheet("brain").mind.lower()


@pytest.mark.skipif(
    not (SYSTEM_FOLDER.is_dir() and tool.BRAIN_FOLDER.is_dir()),
    reason="needs Debian's dataset-fashion-mnist and mricron-data",
)
def test_the_tool_makes_the_same_arrays_again(tmp_path, monkeypatch):
    def pack(arrays):  # without the compression, which takes long and is tested below
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    monkeypatch.setattr(tool, "pack", pack)
    tool.make(SYSTEM_FOLDER, tool.BRAIN_FOLDER, tmp_path)
    for name in data.dataset_names():
        with np.load(tmp_path / f"{name}.npz") as again:
            stored = datasheets.open_arrays(name)
            assert set(again) == set(stored)
            for key in stored:
                np.testing.assert_array_equal(again[key], stored[key])
        print(f"{name}: the same arrays")


def test_packing_gives_the_same_bytes_and_numpy_reads_them(tmp_path):
    arrays = {"a": np.arange(500, dtype=np.uint8), "b": np.eye(3, dtype=bool)}
    first, second = tool.pack(arrays), tool.pack(arrays)
    assert first == second
    (tmp_path / "x.npz").write_bytes(first)
    with np.load(tmp_path / "x.npz") as back:
        np.testing.assert_array_equal(back["a"], arrays["a"])
        np.testing.assert_array_equal(back["b"], arrays["b"])


def test_the_tool_refuses_another_original(tmp_path):
    (tmp_path / "ch2.nii.gz").write_bytes(gzip.compress(b"another head"))
    with pytest.raises(ValueError, match="not the original") as caught:
        tool.make_brain(tmp_path, tmp_path)
    print(caught.value)


# --- Fashion-MNIST ------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "count"), [("train", 6000), ("test", 2000)])
def test_fashion_is_what_it_promises(split, count):
    images, labels, names = data.fashion(split)
    print(split, tuple(images.shape), labels.bincount().tolist(), f"mean {images.mean():.3f}")
    assert (images.shape, images.dtype) == ((count, 1, 28, 28), torch.float32)
    assert (labels.shape, labels.dtype) == ((count,), torch.int64)
    assert (images.min(), images.max()) == (0, 1)
    assert labels.bincount().tolist() == [count // 10] * 10
    assert labels[:20].tolist() == [*range(10), *range(10)]  # one of each kind in turn
    assert len(names) == 10
    assert names[9] == "Ankle boot"


def test_labels_belong_to_their_pictures():
    # Trousers are narrow with a gap in the middle; bags fill the frame. A nearest-mean classifier
    # is far above chance only where pictures and labels are in step, on both sides.
    x, y, _ = data.fashion("train")
    means = torch.stack([x[y == k].mean(0).flatten() for k in range(10)])
    x, y, _ = data.fashion("test")
    right = (torch.cdist(x.flatten(1), means).argmin(1) == y).float().mean().item()
    print(f"nearest mean picture: {right:.3f} right on the test side")
    assert right > 0.6


def test_no_picture_is_on_both_sides():
    sides = [
        {picture.numpy().tobytes() for picture in data.fashion(split).images}
        for split in ("train", "test")
    ]
    print(f"{len(sides[0])} and {len(sides[1])} different pictures")
    assert not sides[0] & sides[1]


def write_full(folder, count=3):
    """Four small files in the published format; returns their hashes."""
    folder.mkdir(parents=True)
    hashes = {}
    for i, (images, labels) in enumerate(FULL.values()):
        rng = np.random.default_rng(i)
        pixels = rng.integers(0, 256, (count + i, 28, 28), dtype=np.uint8)
        for name, array in ((images, pixels), (labels, pixels[:, 0, 0] % 10)):
            sizes = np.array(array.shape, dtype=">u4").tobytes()
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            (folder / name).write_bytes(gzip.compress(content))
            hashes[name] = hashlib.sha256(content).hexdigest()
    return hashes


def test_the_whole_set_is_read_from_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKBONE_DATA", str(tmp_path))
    hashes = write_full(data.fashion_folder())
    monkeypatch.setattr(fashion_module, "FULL_SHA256", hashes)
    train, test = data.fashion("train", full=True), data.fashion("test", full=True)
    assert (train.images.shape, train.labels.dtype) == ((3, 1, 28, 28), torch.int64)
    assert len(test.images) == len(test.labels) == 4
    assert torch.equal((train.images[:, 0, 0, 0] * 255).round().long() % 10, train.labels)


@pytest.mark.skipif(not SYSTEM_FOLDER.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_the_real_whole_set_and_its_part(monkeypatch):
    monkeypatch.delenv("BACKBONE_DATA", raising=False)
    whole, part = data.fashion("test", full=True), data.fashion("test")
    print(tuple(whole.images.shape), whole.labels.bincount().tolist())
    assert whole.images.shape == (10_000, 1, 28, 28)
    for k in range(10):
        first = whole.images[whole.labels == k][:200]
        assert torch.equal(first, part.images[part.labels == k])


def test_a_missing_whole_set_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKBONE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        data.fashion("test", full=True)
    print(caught.value)
    name = FULL["test"][0]
    for word in (str(tmp_path), FULL_SHA256[name], "zalandoresearch", "dataset-fashion-mnist"):
        assert word in str(caught.value)


@pytest.mark.parametrize("damage", ["cut off", "other content", "not gzip", "flipped"])
def test_a_damaged_whole_set_is_refused(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("BACKBONE_DATA", str(tmp_path))
    write_full(data.fashion_folder())
    path = data.fashion_folder() / FULL["train"][0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    new = {
        "cut off": path.read_bytes()[:100],
        "other content": path.read_bytes(),
        "not gzip": b"<html>not found</html>",
        "flipped": bytes(content),
    }
    path.write_bytes(new[damage])
    with pytest.raises(ValueError, match="expected sha256") as caught:
        data.fashion("train", full=True)
    print(caught.value)
    assert FULL_SHA256[path.name] in str(caught.value)


def test_where_the_whole_set_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("BACKBONE_DATA", raising=False)
    monkeypatch.setattr(fashion_module, "SYSTEM_FOLDER", tmp_path / "nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.fashion_folder() == tmp_path / ".cache" / "backbone" / "fashion-mnist"
    monkeypatch.setattr(fashion_module, "SYSTEM_FOLDER", tmp_path)
    assert data.fashion_folder() == tmp_path


@few
@given(content=st.binary(max_size=40))
def test_anything_but_an_idx_file_is_refused(content):
    try:
        array = parse_idx(content)
    except ValueError as error:
        assert "idx" in str(error)
    else:  # a lucky one: then every byte is accounted for
        assert len(content) == 4 + 4 * array.ndim + array.size


# --- the brain ----------------------------------------------------------------------------------


def test_brain_is_what_it_promises():
    for split, count in (("train", 41), ("test", 12)):
        images, masks, heights = data.brain(split)
        inside, outside = images[:, 0][masks == 1].mean(), images[:, 0][masks == 0].mean()
        print(f"{split}: {tuple(images.shape)}, brain {masks.float().mean():.1%} of the pixels,")
        print(f"  brightness {inside:.3f} in it, {outside:.3f} outside; heights {heights.tolist()}")
        assert (images.shape, images.dtype) == ((count, 1, 208, 176), torch.float32)
        assert (masks.shape, masks.dtype) == ((count, 208, 176), torch.int64)
        assert (heights.shape, heights.dtype) == ((count,), torch.int64)
        assert images.min() == 0
        assert 0.7 < images.max() <= 1
        assert masks.unique().tolist() == [0, 1]
        assert inside > 1.5 * outside  # image and mask lie on top of each other
        assert masks.flatten(1).any(1).all()  # some brain in every slice
        assert images.shape[2] % 16 == images.shape[3] % 16 == 0


def test_brain_sides_are_blocks_with_a_gap():
    train, test = data.brain("train").heights, data.brain("test").heights
    gap = (train[:, None] - test[None]).abs().min().item()
    print(f"nearest training and test slices: {gap} mm apart")
    assert gap > 10
    assert set(train.tolist()).isdisjoint(test.tolist())


# --- digits -------------------------------------------------------------------------------------


def test_digits_are_what_they_promise():
    images, labels = data.digits()
    print(tuple(images.shape), labels.bincount().tolist())
    assert (images.shape, images.dtype) == ((1797, 1, 8, 8), torch.float32)
    assert (labels.shape, labels.dtype) == ((1797,), torch.int64)
    assert (images.min(), images.max()) == (0, 1)


def test_digits_are_split_evenly_and_completely():
    whole, train, test = data.digits(), data.digits("train"), data.digits("test")
    shares = test.labels.bincount() / whole.labels.bincount()
    print(len(train.labels), len(test.labels), "share for testing", shares.numpy().round(3))
    assert (len(train.labels), len(test.labels)) == (1352, 445)
    assert (shares - 0.25).abs().max() < 0.01
    both = sorted(x.numpy().tobytes() for x in torch.cat([train.images, test.images]))
    assert both == sorted(x.numpy().tobytes() for x in whole.images)
    assert torch.equal(data.digits("test").images, test.images)


def test_digits_without_scikit_learn(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn") as caught:
        data.digits()
    print(caught.value)


def test_other_digits_are_refused(monkeypatch):
    import sklearn.datasets

    monkeypatch.setattr(
        sklearn.datasets, "load_digits", lambda return_X_y: (np.zeros((2, 64)), np.zeros(2))
    )
    with pytest.raises(ValueError, match="expected sha256") as caught:
        data.digits()
    print(caught.value)


# --- nuclei: two sides and crops ----------------------------------------------------------------


def test_nuclei_sides_put_together_are_the_image():
    whole, (train, test) = data.nuclei(), data.nuclei_split()
    print({side: tuple(part.image.shape) for side, part in (("train", train), ("test", test))})
    assert train.image.shape == (1, 512, 384)
    assert test.mask.shape == (512, 128)
    for field in whole._fields:
        left, right = getattr(train, field), getattr(test, field)
        assert torch.equal(torch.cat([left, right], dim=-1), getattr(whole, field))
        # Not even in memory does one side reach the other.
        assert left.untyped_storage().nbytes() == left.numel() * left.element_size()


@few
@given(
    seed=st.integers(0, 2**31),
    size=st.integers(1, 384),
    n=st.integers(1, 6),
    augment=st.booleans(),
)
def test_no_test_pixel_is_ever_seen(monkeypatch_nuclei, seed, size, n, augment):
    # Every pixel carries its own number (its place in the whole image), so a crop tells where it
    # was cut. Numbers stay below 2^24: float32 holds them exactly.
    train, test = data.nuclei_split()
    generator = torch.Generator().manual_seed(seed)
    x, y = data.random_crops(train.image, train.mask, size, n, generator, augment)
    assert x.shape == (n, 1, size, size)
    assert y.shape == (n, size, size)
    assert (x % 512).max() < 384
    assert (test.image % 512).min() == 384
    assert torch.equal(x[:, 0].long(), y)  # image and mask were moved alike
    assert all(len(crop.unique()) == size * size for crop in y)  # a square, no pixel twice


@pytest.fixture(scope="module")
def monkeypatch_nuclei():
    place = torch.arange(512 * 512).view(512, 512)
    numbered = data.Nuclei(place[None].float(), place, place)
    crops = sys.modules["backbone.data.crops"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crops, "nuclei", lambda: numbered)
        yield


def test_crops_reach_every_place_and_every_turn():
    place = torch.arange(36).view(6, 6)
    x, y = data.random_crops(place[None], place, 4, 4000, torch.Generator().manual_seed(0))
    assert torch.equal(x[:, 0], y)
    corners = {crop[0, 0].item() for crop in y}
    kinds = {tuple((crop - crop.min()).flatten().tolist()) for crop in y}
    print(f"{y.unique().numel()} pixels seen, {len(kinds)} ways to lie, {len(corners)} corners")
    assert y.unique().numel() == 36
    assert len(kinds) == 8
    still, _ = data.random_crops(place[None], place, 4, 400, torch.Generator(), augment=False)
    assert len({tuple((crop - crop.min()).flatten().tolist()) for crop in still}) == 1


def test_the_same_seed_gives_the_same_crops():
    train = data.nuclei_split().train
    first, second, other = (
        data.random_crops(train.image, train.mask, 64, 16, torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


# --- refusals -----------------------------------------------------------------------------------

IMAGE, MASK, CHANCE = torch.zeros(1, 20, 30), torch.zeros(20, 30), torch.Generator()


@pytest.mark.parametrize("load", [data.fashion, data.brain, data.digits])
@pytest.mark.parametrize("split", ["val", "", 3, ["train"]])
def test_another_split_is_refused(load, split):
    print(refuses(lambda: load(split), split))


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        (("x", MASK, 8, 2, CHANCE), "str"),
        ((IMAGE, None, 8, 2, CHANCE), "NoneType"),
        ((IMAGE[0], MASK, 8, 2, CHANCE), (20, 30)),
        ((IMAGE, MASK[:-1], 8, 2, CHANCE), (19, 30)),
        ((IMAGE[None], MASK, 8, 2, CHANCE), (1, 1, 20, 30)),
        ((IMAGE, MASK, 21, 2, CHANCE), "size=20"),
        ((IMAGE, MASK, 8, 2, 0), "int"),
    ],
)
def test_crops_refuse_what_does_not_fit(arguments, quoted):
    print(refuses(lambda: data.random_crops(*arguments), quoted))


@few
@given(bad=NOT_A_COUNT)
def test_crops_refuse_what_is_not_a_count(bad):
    refuses(lambda: data.random_crops(IMAGE, MASK, bad, 2, CHANCE), bad)
    refuses(lambda: data.random_crops(IMAGE, MASK, 8, bad, CHANCE), bad)


@pytest.mark.parametrize(("name", "load"), [("fashion", data.fashion), ("brain", data.brain)])
def test_a_damaged_or_missing_set_is_refused(own_sets, name, load):
    path = own_sets / f"{name}.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    path.write_bytes(content)
    sha256 = data.datasheet(name).sha256
    with pytest.raises(ValueError, match="expected sha256") as caught:
        load()
    print(caught.value)
    path.unlink()
    with pytest.raises(FileNotFoundError) as gone:
        load()
    print(gone.value)
    for error in (caught, gone):
        for word in (sha256, f"git checkout -- src/backbone/data/sets/{name}.npz", "make_training"):
            assert word in str(error.value)
    (own_sets / "datasheets.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"datasheets\.json.*git checkout"):
        load()


def test_idx_rules():
    good = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))
    assert parse_idx(good).tolist() == [[0, 1, 2], [3, 4, 5]]
    for bad in (good[:-1], good + b"\0", b"", good[:9], b"\0\0\x09" + good[3:], good[2:]):
        with pytest.raises(ValueError, match="Not an idx file"):
            parse_idx(bad)
