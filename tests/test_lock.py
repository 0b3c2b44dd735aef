"""What is installed is what was tested: pins, their hashes, and the environment agree."""

import importlib.metadata
import re
import subprocess
import sys

import pytest
from packaging.specifiers import SpecifierSet

import lock

NAMES = [source.name for source in lock.LOCKS]


@pytest.fixture(params=lock.LOCKS.items(), ids=NAMES)
def pair(request):
    return request.param


def test_every_pin_has_its_hashes_and_nothing_else_has(pair):
    source, target = pair
    wanted = {n: v for n, v in lock.pins(source).items() if n not in lock.BY_VERSION}
    text = target.read_text("utf-8")
    entries = re.split(r"\n(?=[A-Za-z])", text.partition("\n")[2])
    hashes = [len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)) for entry in entries]
    print(f"{target.name}: {len(entries)} packages, {sum(hashes)} hashes, at least {min(hashes)}")
    assert lock.pins(target) == wanted, "after a change of the pins: make lock"
    assert len(entries) == len(wanted) and min(hashes) >= 1
    assert "://" not in text  # any index will do: the hashes say what is right


def test_the_setup_installs_only_what_has_a_hash_or_is_named_here():
    script = (lock.ROOT / "tools" / "setup.sh").read_text("utf-8").replace("\\\n", " ")
    calls = [
        line.strip()
        for line in script.splitlines()
        if re.search(r"pip( --python \S+)? install|^ +install ", line)
    ]
    loose = [c for c in calls if "--require-hashes" not in c and not c.startswith("install()")]
    print(*loose, sep="\n")
    torch, package = sorted(loose)  # by version; and this repository itself
    assert "'^torch==' requirements.txt" in torch and package == (
        "install --no-build-isolation -e ."
    )
    assert len(calls) == 6  # with the line that says what `install` is


def test_the_environment_is_what_is_pinned():
    pins = lock.pins(lock.ROOT / "requirements.txt")
    found = {name: importlib.metadata.version(name).split("+")[0] for name in pins}
    print(f"{len(pins)} packages")
    assert found == pins
    # Nothing is installed by dependency, so the list has to be whole.
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0


@pytest.mark.parametrize("version", ["3.11.0", "3.12.0", "3.13.0"])
def test_no_pin_asks_for_a_newer_python(version):
    refused = {}
    for name in lock.pins(lock.ROOT / "requirements.txt"):
        asked = importlib.metadata.metadata(name)["Requires-Python"] or ""
        if not SpecifierSet(asked).contains(version):
            refused[name] = asked
    print(f"Python {version} is refused by {refused or 'no package'}")
    assert refused == {}


def test_without_uv_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="pip install uv"):
        lock.main()
