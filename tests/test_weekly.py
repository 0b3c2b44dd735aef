"""The weekly workflow, as far as it can be tried without GitHub: its commands, and the report."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text("utf-8"))
SCRIPT = ROOT / ".ci/weekly"


def runs(job):
    """The commands of a job, one for each entry of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
    commands = [step["run"] for step in job["steps"] if "run" in step]
    return [
        re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda found, e=entry: e[found[1]], command)
        for command in commands
        for entry in matrix
    ]


def test_the_workflow_calls_what_the_script_knows():
    called = [run for job in WORKFLOW["jobs"].values() for run in runs(job)]
    known = re.findall(r"^(\w+)\)", SCRIPT.read_text("utf-8"), re.M)
    print(called)
    assert sorted(called) == sorted(f"bash .ci/weekly {name}" for name in known)
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert WORKFLOW[True]["schedule"], "YAML reads the key `on` as True"


def test_only_the_report_may_write_and_only_issues():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    writing = {
        name: job["permissions"] for name, job in WORKFLOW["jobs"].items() if "permissions" in job
    }
    assert writing == {"report": {"contents": "read", "issues": "write"}}
    report = WORKFLOW["jobs"]["report"]
    assert report["if"] == "failure()" and report["needs"] == ["notebooks", "audit"]


GH = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
[ "$2" = list ] && printf '%s' "$FOUND"
exit 0
"""


@pytest.mark.parametrize(("open_issue", "does"), [("", "issue create"), ("7", "issue comment 7")])
def test_a_failure_opens_one_issue(tmp_path, open_issue, does):
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    own = {"NOTEBOOKS": "failure", "AUDIT": "success", "RUN": "https://example.org/runs/1"}
    own |= {"CALLS": str(tmp_path / "calls"), "FOUND": open_issue}
    own |= {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert own.keys() - {"CALLS", "FOUND", "PATH"} <= WORKFLOW["jobs"]["report"]["env"].keys()
    subprocess.run(["bash", SCRIPT, "report"], env=os.environ | own, check=True)
    listed, said = (tmp_path / "calls").read_text().splitlines()
    print(listed, said, sep="\n")
    assert listed.startswith("issue list --state open")
    assert said.startswith(does) and "Notebooks: failure" in said and own["RUN"] in said


def test_an_unknown_word_says_what_there_is():
    done = subprocess.run(["bash", SCRIPT, "daily"], capture_output=True, text=True)
    assert done.returncode == 2 and "newest" in done.stderr and "report" in done.stderr
