"""The ranges of pyproject.toml are those that run: the oldest, the newest, and Colab's image."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
IMAGE = json.loads((ROOT / "tests/colab-image.json").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NEEDED = {
    canonicalize_name(need.name): need
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for need in map(Requirement, texts)
}
ONLY_WEEKLY = {"torch"}  # no older CPU build to be had from where CI installs; see .ci/weekly


def pins(name):
    """{package: version} of a requirements file."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    found = (re.match(r"([\w.-]+)==(\S+)", line) for line in lines)
    return {canonicalize_name(pin[1]): Version(pin[2]) for pin in found if pin}


OLDEST, NEWEST = pins("tests/colab-requirements.txt"), pins("requirements.txt")


def test_the_file_is_dated():
    assert re.fullmatch(r"20\d\d-[01]\d", IMAGE["image"])


def test_python_of_colab_fits():
    assert Version(f"{IMAGE['versions']['python']}.0") in SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_lower_bounds_are_what_runs(name):
    """Of the two sets, .venv-colab is at the lower bounds and .venv at the newest releases."""
    (bound,) = NEEDED[name].specifier
    print(f"{name}: {bound}, oldest run {OLDEST.get(name)}, newest {NEWEST[name]}")
    assert bound.operator == ">="
    assert NEWEST[name] >= Version(bound.version)
    if name in ONLY_WEEKLY or NEWEST[name] == Version(bound.version):
        assert name not in OLDEST
    else:
        assert OLDEST[name] == Version(bound.version)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_colab_has_what_is_needed_or_the_setup_cell_fetches_it(name):
    versions = {canonicalize_name(key): text for key, text in IMAGE["versions"].items()}
    if name in versions:
        assert Version(versions[name]) in NEEDED[name].specifier
    elif name in IMAGE["absent"]:
        setup = (ROOT / "tools/setup_cell.py").read_text("utf-8")
        assert f"install -q --no-deps {name}" in setup
    else:
        system = {"graphviz-pure": "dot"}.get(name)
        assert name in IMAGE["present"] or system in IMAGE["commands"]


def test_the_machine_of_the_tests_has_the_widgets_of_the_image():
    for name in ("ipywidgets", "IPython", "anywidget"):
        assert OLDEST[canonicalize_name(name)] == Version(IMAGE["versions"][name])


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_names_the_versions_that_ci_runs(readme):
    """The two columns of "where it runs"."""
    text = (ROOT / readme).read_text("utf-8")
    for pinned in (OLDEST, NEWEST):
        for name in ("numpy", "matplotlib", "ipywidgets"):
            assert f"{name} {pinned[name]}" in text
    assert f"torch {NEWEST['torch'].major}.{NEWEST['torch'].minor}" in text
