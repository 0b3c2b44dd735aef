"""Files that other machines read, as far as this one can try them: they parse, every command,
target and file that they name exists, and Binder's environment is what the package asks for."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from setup_cell import tomllib

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# The same under conda's names.
CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "graphviz": "python-graphviz"}


def read(path):
    return yaml.safe_load(path.read_text("utf-8"))


def named(command):
    """The files and make targets that a shell command names."""
    files = re.findall(r"(?:^|\s)((?:\.ci|tools|binder)/[\w./-]+)", command)
    targets = [t for line in re.findall(r"(?:^|\s)make ([a-z -]+)", command) for t in line.split()]
    return files, targets


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_what_exists(path):
    flow = read(path)
    assert {"name", True, "permissions", "jobs"} <= flow.keys(), "YAML reads the key `on` as True"
    for name, job in flow["jobs"].items():
        needs = job.get("needs", [])
        assert {needs} if isinstance(needs, str) else set(needs) <= flow["jobs"].keys()
        if "uses" in job:
            called = ROOT / job["uses"]
            assert called.is_file() and "workflow_call" in read(called)[True], job["uses"]
            continue
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]), step["uses"]
            files, targets = named(step.get("run", ""))
            print(path.name, name, step.get("uses", step.get("run")))
            assert all((ROOT / file).is_file() for file in files)
            assert set(targets) <= TARGETS


def test_only_what_passed_the_tests_is_published():
    flow = read(ROOT / ".github" / "workflows" / "pages.yml")
    assert flow["jobs"]["deploy"]["needs"] == "test"
    assert flow["permissions"] == {"contents": "read"}
    steps = read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["steps"]
    (upload,) = [step["with"] for step in steps if "upload-artifact" in step.get("uses", "")]
    download = flow["jobs"]["deploy"]["steps"][0]["with"]
    print(upload, download)
    assert upload["name"] == download["name"] and upload["path"] == "_build/html"


def test_binder_installs_what_the_package_asks_for():
    dependencies = read(ROOT / "binder" / "environment.yml")["dependencies"]
    found = {re.split(r"[=<>]", text)[0]: text for text in dependencies}
    extras = PROJECT["optional-dependencies"]
    for text in PROJECT["dependencies"] + extras["digits"] + extras["segmentation"]:
        need = Requirement(text)
        name = CONDA.get(need.name, canonicalize_name(need.name))
        offered = found[name].removeprefix(name)
        print(f"{text}: {found[name]}")
        assert offered.startswith(">=")
        assert Requirement(f"x{offered}").specifier == need.specifier or need.name == "ipywidgets"
        assert need.specifier.contains(offered.removeprefix(">="))


def test_binder_ends_with_the_package():
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    (check,) = re.findall(r'^python -c "(.+)"$', script.read_text("utf-8"), re.M)
    exec(check, {})


def test_the_dev_container_calls_what_exists():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    _, targets = named(settings["postCreateCommand"])
    print(settings["image"], targets)
    assert targets and set(targets) <= TARGETS
    version = re.fullmatch(r"python:(3\.\d+)-\w+", settings["image"])[1]
    assert version in (ROOT / "tools" / "setup.sh").read_text("utf-8")


def rows(readme):
    """The rows of the table "where it runs": each a list of its cells."""
    text = (ROOT / readme).read_text("utf-8")
    (table,) = re.findall(r"^\| (?:where|在哪里) \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_each_row_of_where_it_runs_has_a_test_that_ci_runs(readme):
    makefile, ci = (ROOT / "Makefile").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    for where, _, checked in rows(readme):
        named = re.findall(r"`([^`]+)`", checked)
        folder = ""
        for text in named:
            if text.startswith("make "):
                assert re.search(rf"^(step )?{text}$", ci, re.M)
                continue
            folder = str(Path(text).parent) if "/" in text else folder
            path = ROOT / (text if "/" in text else f"{folder}/{text}")
            found = sorted(path.glob("test_*.py")) if path.is_dir() else [path]
            assert found and all("def test_" in file.read_text("utf-8") for file in found)
        if not named:  # nbval, on every notebook
            assert checked.startswith("nbval") and "_build/solved --nbval" in makefile
        print(f"{where}: {named or 'nbval'}")
    assert re.search(r"^(step )?make test$", ci, re.M)


def test_the_readmes_name_the_same_places():
    english, chinese = rows("README.md"), rows("README.zh.md")
    tests = [[re.findall(r"`([^`]+)`", row[2]) for row in table] for table in (english, chinese)]
    assert len(english) >= 5 and tests[0] == tests[1]
