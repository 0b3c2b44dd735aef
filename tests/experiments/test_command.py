"""The command line: what it says, refuses, runs, continues; one process against two; --confirm."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import jsonschema
import pytest
import torch
from tiny import PLAN, Tiny

from backbone.experiments import EXPERIMENTS
from backbone.experiments.__main__ import main
from backbone.experiments.confirm import difference
from backbone.experiments.experiment import label
from backbone.experiments.provenance import fingerprint
from backbone.experiments.results import FOLDER

SCHEMA = json.loads((FOLDER / "schema.json").read_text("utf-8"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


def command(*words, launcher=("-m", "backbone.experiments")):
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, words)],
        **{"capture_output": True, "text": True, "timeout": 240, "env": ENVIRONMENT},
    )
    print(done.stdout[-1500:], done.stderr[-1500:])
    return done


def read(path):
    return json.loads(path.read_text("utf-8"))


@pytest.fixture
def tiny(monkeypatch):
    """`tiny` becomes an experiment of the command line."""
    one = Tiny()
    monkeypatch.setitem(EXPERIMENTS, "tiny", one.experiment)
    return one


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# --- what it says and refuses -------------------------------------------------------------------


def test_help_names_experiments_and_questions(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for name, experiment in EXPERIMENTS.items():
        assert f"{name}: {experiment.question}" in said
    for option in ("--seeds", "--out", "--only", "--list", "--keep", "--quick", "--confirm"):
        assert option in said
    assert "torchrun --nproc-per-node 2" in said


def test_list_does_nothing(tiny, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["tiny", "--seeds", "1", "--list"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{label(config)} seed=0" for config in PLAN]
    assert not tiny.taken
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "experiment"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["tiny", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["tiny", "--seeds", "two"], "invalid int value: 'two'"),
        (["tiny", "--out", "x.txt"], "--out must be the name of a .json file, got x.txt"),
        (["tiny", "--threads", "0"], "--threads must be at least 1, got 0"),
        (["tiny", "--only", "size=9"], "No configuration of tiny has 'size=9'"),
    ],
)
def test_bad_words_are_refused(tiny, capsys, words, said):
    with pytest.raises(SystemExit) as caught:
        main(words)
    message = capsys.readouterr().err
    print(message)
    assert caught.value.code == 2
    assert said in message
    assert not tiny.taken


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "cuda:77"], "ValueError: There is no device 'cuda:77' here"),
        (["--confirm"], "FileNotFoundError: There are no results"),
    ],
)
def test_bad_surroundings_are_one_line(tiny, capsys, tmp_path, words, said):
    assert main(["tiny", "--quiet", "--out", str(tmp_path / "none.json"), *words]) == 1
    message = capsys.readouterr().err
    assert message.startswith(said)
    assert len(message.splitlines()) == 1


def test_a_diverged_run_is_one_line(monkeypatch, capsys, tmp_path):
    def stop():
        raise ArithmeticError("The loss became nan at step 7.")

    monkeypatch.setitem(EXPERIMENTS, "tiny", Tiny(2, stop).experiment)
    assert main(["tiny", "--quiet", "--out", str(tmp_path / "t.json")]) == 1
    assert capsys.readouterr().err == "ArithmeticError: The loss became nan at step 7.\n"


# --- what it does -------------------------------------------------------------------------------


def test_it_runs_and_says_where(tiny, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["tiny", "--quiet", "--seeds", "2", "--only", "shape=A", "--quick"]) == 0
    said = capsys.readouterr().out
    assert "QUICK" in said
    assert said.endswith("Written to tiny.json.\n")
    assert [seed for _, seed in tiny.taken] == [0, 1, 0]
    assert all(c["epochs"] == 1 and c["shape"] == "A" for c, _ in tiny.taken)
    assert read(tmp_path / "tiny.json")["quick"] is True


def test_ctrl_c_says_what_is_kept_and_a_second_call_goes_on(request, monkeypatch, capsys, tmp_path):
    # Started in the background, as some CI does, a process ignores Ctrl+C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    out = tmp_path / "t.json"
    first = Tiny(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    monkeypatch.setitem(EXPERIMENTS, "tiny", first.experiment)
    words = ["tiny", "--quiet", "--seeds", "2", "--out", str(out)]
    assert main(words) == 130
    said = capsys.readouterr().out
    assert said == f"Stopped. What is done lies in {tmp_path / 't.runs'}; call again to go on.\n"
    second = Tiny()
    monkeypatch.setitem(EXPERIMENTS, "tiny", second.experiment)
    assert main(words) == 0
    print(f"{len(first.taken)} begun, then {len(second.taken)}")
    assert len(first.taken) - 1 + len(second.taken) == len(read(out)["runs"])


REAL = ("degradation", "--quick", "--quiet", "--only", "depth=8 data=digits", "--seeds", "2")


def test_two_processes_write_what_one_writes(tmp_path):
    """The real thing, twice: by itself, and under torchrun with gloo."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    done = command(*REAL, "--out", one)
    assert done.returncode == 0
    assert re.search(r"degradation: 4 runs, 2 configurations, 2 seeds.* QUICK", done.stdout)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    launcher = (*torchrun, "-m", "backbone.experiments")
    assert command(*REAL, "--out", two, launcher=launcher).returncode == 0

    one, two = read(one), read(two)
    assert (one["machine"].pop("processes"), two["machine"].pop("processes")) == (1, 2)
    for content in (one, two):
        jsonschema.validate({**content, "machine": {**content["machine"], "processes": 1}}, SCHEMA)
        for run in content["runs"]:
            assert run.pop("seconds") > 0
    assert one == two  # to the last digit
    last = {
        (r["config"]["shortcut"], r["seed"]): r["curves"]["test_error"][-1] for r in one["runs"]
    }
    print(last)
    assert len(last) == 4


# --- confirm ------------------------------------------------------------------------------------


@pytest.fixture
def stored(tiny, tmp_path):
    """Results of the tiny experiment, stamped by older code."""
    out = tmp_path / "tiny.json"
    tiny.perform(out)
    tiny.taken.clear()
    content = read(out)
    content["code"]["sha256"] = "0" * 64
    out.write_text(json.dumps(content), "utf-8")
    return out


def test_confirm_stamps_what_comes_out_the_same(tiny, stored, capsys):
    before = read(stored)
    assert main(["tiny", "--confirm", "--quiet", "--out", str(stored)]) == 0
    assert "All 4 configurations come out the same" in capsys.readouterr().out
    assert tiny.taken == [(config, 0) for config in PLAN]
    after = read(stored)
    assert after["code"].pop("sha256") == fingerprint(tiny.experiment.modules)
    before["code"].pop("sha256")
    assert after == before


def test_confirming_a_part_stamps_nothing(tiny, stored):
    before = stored.read_bytes()
    words = ["tiny", "--confirm", "--quiet", "--only", "size=1", "--out", str(stored)]
    assert main(words) == 0
    assert tiny.taken == [(config, 0) for config in PLAN[:2]]
    assert stored.read_bytes() == before


@pytest.mark.parametrize("fault", ["value", "nan", "length", "name", "code"])
def test_confirm_finds_what_differs_and_changes_nothing(tiny, stored, capsys, monkeypatch, fault):
    content = read(stored)
    curves = next(r for r in content["runs"] if r["config"] == PLAN[1] and r["seed"] == 0)["curves"]
    if fault == "value":
        curves["loss"][1] += 0.0011
    if fault == "nan":
        curves["loss"][0] = float("nan")
    if fault == "length":
        curves["loss"].pop()
    if fault == "name":
        curves["other"] = curves.pop("loss")
    stored.write_text(json.dumps(content), "utf-8")
    if fault == "code":  # all of them come out otherwise
        monkeypatch.setitem(EXPERIMENTS, "tiny", Tiny(shift=0.01).experiment)
    before = stored.read_bytes()
    assert main(["tiny", "--confirm", "--quiet", "--out", str(stored)]) == 1
    said = capsys.readouterr().out
    print(said)
    assert f"{label(PLAN[1])}: curves differ by up to" in said
    assert f"{4 if fault == 'code' else 1} of 4 configurations come out differently" in said
    assert stored.read_bytes() == before


@pytest.mark.parametrize("kind", ["quick", "other"])
def test_confirm_refuses_quick_results_and_those_of_others(tiny, stored, capsys, kind):
    content = read(stored)
    content.update({"quick": True} if kind == "quick" else {"experiment": "fashion"})
    stored.write_text(json.dumps(content), "utf-8")
    assert main(["tiny", "--confirm", "--quiet", "--out", str(stored)]) == 1
    assert "full results of tiny" in capsys.readouterr().err
    assert not tiny.taken


@pytest.mark.parametrize("order", [1, -1])
def test_a_nan_is_a_difference(order):
    one, other = [({"a": [0.0, 1.0]}), ({"a": [0.0, float("nan")]})][::order]
    assert difference({"curves": one}, other) == float("inf")
    assert difference({"curves": {"a": [1.0, 2.0]}}, {"a": [1.0, 2.5]}) == 0.5
