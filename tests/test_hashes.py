"""Every bundled data file has its sha256 written down, and whoever reads it compares.

What the package reads: pictures and sets (datasheets), weights (cards), results of experiments
(SHA256SUMS). What tests read: `fixtures/` (SHA256SUMS). The networks in the figures are the
weights of the cards, read by `load_trained`. Not hashed, because they are source to be edited:
notices and READMEs, the questions of the checkpoints, scripts and styles of the figures, and the
lists of hashes themselves.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

import backbone
from backbone import data, experiments, sums, weights
from backbone.data import datasheets
from backbone.experiments import load_results, results
from backbone.explorables import checkpoint, networks
from backbone.weights import trained
from stored import FIXTURES, stored

PACKAGE = Path(backbone.__file__).parent
SOURCE = {".py", ".md", ".txt", ".js", ".css"}  # to be read and edited
# Other files that are edited by hand, or hold the hashes of the others.
LISTS = {"datasheets.json", "cards.json", "schema.json", sums.NAME}


def described() -> dict[Path, str]:
    """{file of the package: sha256 that is written down for it}."""
    found = {}
    for folder, names in (
        (datasheets.FILES, data.datasheet_names()),
        (datasheets.SETS, datasheets.dataset_names()),
    ):
        found |= {folder / s.file: s.sha256 for s in map(data.datasheet, names)}
    cards = [weights.model_card(name) for name in weights.trained_names()]
    found |= {trained.FILES / card.file: card.sha256 for card in cards}
    written = sums.read_sums(results.FOLDER)
    return found | {results.FOLDER / name: digest for name, digest in written.items()}


def test_every_data_file_of_the_package_has_a_hash_and_it_is_right():
    there = {
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in SOURCE
        if path.name not in LISTS and path.parent != checkpoint.FOLDER
    }
    written = described()
    for path, digest in sorted(written.items()):
        print(digest[:12], path.relative_to(PACKAGE), f"{path.stat().st_size:,} bytes")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert there == set(written)
    assert len(written) == 15


def test_every_fixture_has_a_hash():
    written = sums.read_sums(FIXTURES)
    assert set(written) == {p.name for p in FIXTURES.iterdir()} - {sums.NAME}
    for name in written:
        print(name, len(stored(name)), "entries")


def test_sha256sum_reads_our_lists():
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum on this system")
    for folder in (results.FOLDER, FIXTURES):
        check = ["sha256sum", "--check", "--strict", sums.NAME]
        done = subprocess.run(check, cwd=folder, capture_output=True, text=True, check=False)
        print(done.stdout)
        assert done.returncode == 0, done.stderr


def test_figures_take_their_networks_from_the_cards():
    assert set(networks.SIZES) == set(weights.trained_names())
    assert networks.load_trained is trained.load_trained


# --- one changed byte -----------------------------------------------------------------------------

READERS = {
    "photo": (datasheets, "FILES", "chelsea.png", lambda: data.photo("chelsea")),
    "nuclei": (datasheets, "FILES", "nuclei-instances.png", data.nuclei),
    "fashion": (datasheets, "SETS", "fashion.npz", data.fashion),
    "brain": (datasheets, "SETS", "brain.npz", data.brain),
    "weights": (
        trained,
        "FILES",
        "unet-nuclei.safetensors",
        lambda: weights.load_trained("unet-nuclei"),
    ),
    "results": (results, "FOLDER", "fashion.json", lambda: load_results("fashion")),
}


@pytest.mark.parametrize("kind", list(READERS))
@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_a_changed_byte_is_noticed_by_who_reads(tmp_path, monkeypatch, kind, place):
    module, name, file, read = READERS[kind]
    folder = tmp_path / getattr(module, name).name
    shutil.copytree(getattr(module, name), folder)
    monkeypatch.setattr(module, name, folder)
    path = folder / file
    right = path.read_bytes()
    at = int(place * len(right))
    path.write_bytes(right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :])
    with pytest.raises(ValueError, match="sha256") as caught:
        read()
    print(caught.value)
    assert hashlib.sha256(right).hexdigest() in str(caught.value)  # what it should be
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(caught.value)  # what it is
    assert file in str(caught.value)
    assert "git checkout -- src/backbone/" in str(caught.value)  # what to do
    path.write_bytes(right)
    assert read() is not None


def test_a_changed_byte_in_a_fixture_is_noticed(tmp_path):
    shutil.copytree(FIXTURES, tmp_path, dirs_exist_ok=True)
    for name in sums.read_sums(tmp_path):
        right = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(right[:-9] + b"x" + right[-8:])
        with pytest.raises(ValueError, match="sha256"):
            stored(name, tmp_path)


# --- the lists themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "file", "read"),
    [
        (datasheets, "FILES", "datasheets.json", data.datasheet_names),
        (trained, "FILES", "cards.json", weights.trained_names),
        (results, "FOLDER", sums.NAME, lambda: load_results("fashion")),
        (checkpoint, "FOLDER", "index.json", checkpoint._all.__wrapped__),
    ],
    ids=["datasheets", "cards", "sums", "questions"],
)
def test_half_a_list_is_named(tmp_path, monkeypatch, module, name, file, read):
    folder = tmp_path / "copy"
    shutil.copytree(getattr(module, name), folder)
    monkeypatch.setattr(module, name, folder)
    path = folder / file
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"damaged|cannot be read") as caught:
        read()
    print(caught.value)
    assert str(path) in str(caught.value)


def test_missing_cards_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "FILES", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"cards\.json are missing") as caught:
        weights.load_trained("unet-nuclei")
    print(caught.value)


def test_windows_line_ends_are_no_change(tmp_path, monkeypatch):
    """Git on Windows may hand out every text file with them."""
    shutil.copytree(results.FOLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert (
        load_results("fashion").runs
        == json.loads((tmp_path / "fashion.json").read_text("utf-8"))["runs"]
    )


def test_the_list_follows_what_is_saved(tmp_path):
    shutil.copytree(results.FOLDER, tmp_path, dirs_exist_ok=True)
    content = load_results(tmp_path / "fashion.json").content
    results.save_results(tmp_path / "fashion.json", content | {"question": "Another?"})
    assert load_results(tmp_path / "fashion.json").content["question"] == "Another?"
    before = sums.read_sums(results.FOLDER)
    after = sums.read_sums(tmp_path)
    assert {k for k in before if before[k] != after[k]} == {"fashion.json"}
    results.save_results(tmp_path / "own" / "fashion.json", content)  # no list there, none made
    assert [p.name for p in (tmp_path / "own").iterdir()] == ["fashion.json"]
    assert set(experiments.EXPERIMENTS) == {name.removesuffix(".json") for name in after}
