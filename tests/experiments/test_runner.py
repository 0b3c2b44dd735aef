"""Lists of runs, runs in order, interruptions, and what may be taken from an earlier call."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys

import jsonschema
import pytest
import tiny
from safetensors.torch import load_file
from tiny import PLAN, Tiny

import backbone.experiments.runner as runner
from backbone.experiments import EXPERIMENTS
from backbone.experiments.experiment import Outcome, label
from backbone.experiments.processes import Processes
from backbone.experiments.results import FOLDER
from backbone.experiments.runner import Task, file_name, perform, tasks

SCHEMA = json.loads((FOLDER / "schema.json").read_text("utf-8"))


def without_seconds(content):
    return {**content, "runs": [{**run, "seconds": None} for run in content["runs"]]}


def read(path):
    return json.loads(path.read_text("utf-8"))


class Stop(Exception):
    pass


def stop():
    raise Stop


# --- the list -----------------------------------------------------------------------------------


def test_every_configuration_with_every_seed_in_order():
    todo = tasks(Tiny().experiment, 3)
    expected = [(config, seed) for config in PLAN[:2] for seed in range(3)]
    expected += [(config, 0) for config in PLAN[2:]]  # most_seeds
    print([f"{t.number}: {label(t.config)} {t.seed}" for t in todo])
    assert todo == [Task(i, *pair) for i, pair in enumerate(expected)]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (None, PLAN),
        ("", PLAN),
        ("size=1", PLAN[:2]),
        ("shape=A size=2", PLAN[3:]),
        ("shape=None", PLAN[::2]),
    ],
)
def test_only_some(only, chosen):
    assert [t.config for t in tasks(Tiny().experiment, 1, only)] == chosen


@pytest.mark.parametrize("only", ["size=3", "size", "size=1 size=2", "shape=a"])
def test_only_nothing_is_refused_with_what_there_is(only):
    with pytest.raises(ValueError) as caught:
        tasks(Tiny().experiment, 1, only)
    print(caught.value)
    assert repr(only) in str(caught.value)
    assert all(label(config) in str(caught.value) for config in PLAN)


@pytest.mark.parametrize("seeds", [0, -1])
def test_no_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match=f"at least 1, got {seeds}"):
        tasks(Tiny().experiment, seeds)


def test_quick_runs_are_short_and_not_repeated():
    quick = Tiny(quick={"epochs": 1, "shape": None}).experiment
    assert [t.config for t in tasks(quick, 1, quick=True)] == [
        {"size": size, "shape": None, "epochs": 1} for size in (1, 2)
    ]


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_the_lists_of_the_book(name):
    experiment = EXPERIMENTS[name]
    full, quick = tasks(experiment, 5), tasks(experiment, 5, quick=True)
    labels = {label(t.config) for t in full}
    print(f"{name}: {len(labels)} configurations, {len(full)} runs; quick {len(quick)}")
    assert len(labels) == len(experiment.plan()) > 1  # no configuration twice
    assert {t.config["epochs"] for t in quick} == {1}
    files = {file_name(t.config, t.seed) for t in full}
    assert len(files) == len(full)  # kept networks do not overwrite each other
    for file in files:
        assert "/" not in file
        assert " " not in file


# --- runs and what is written -------------------------------------------------------------------


def test_runs_in_order_and_a_valid_file(tmp_path):
    one = Tiny()
    out = tmp_path / "deep" / "tiny.json"
    results = one.perform(out)
    content = read(out)
    jsonschema.validate(content, SCHEMA)
    assert results.content == content
    expected = [(t.config, t.seed) for t in tasks(one.experiment, 2)]
    assert one.taken == expected == [(run["config"], run["seed"]) for run in results]
    print(results)
    assert content["quick"] is False
    assert content["runs"][1]["curves"]["loss"] == [1.33333, 0.666667, 0.444444]  # six digits
    assert content["code"]["modules"] == ["checks", "resnet"]
    assert [p.name for p in out.parent.iterdir()] == ["tiny.json"]  # nothing else is left


@pytest.mark.parametrize(
    "fault", ["extra key", "run", "format", "curve", "sha", "question", "no runs"]
)
def test_the_schema_notices(tmp_path, fault):
    out = tmp_path / "tiny.json"
    Tiny().perform(out, seeds=1)
    content = read(out)
    if fault == "extra key":
        content["note"] = ""
    if fault == "run":
        del content["runs"][0]["seed"]
    if fault == "format":
        content["format"] = 2
    if fault == "curve":
        content["runs"][0]["curves"]["loss"][1] = None
    if fault == "sha":
        content["code"]["sha256"] = content["code"]["sha256"][:-1]
    if fault == "question":
        del content["question"]
    if fault == "no runs":
        content["runs"] = []
    with pytest.raises(jsonschema.ValidationError) as caught:
        jsonschema.validate(content, SCHEMA)
    print(caught.value.message)


def test_quick_results_say_so(tmp_path):
    results = Tiny().perform(tmp_path / "tiny.json", quick=True)
    assert read(tmp_path / "tiny.json")["quick"] is True
    assert "QUICK" in repr(results)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["curves", "final"])
def test_what_is_not_finite_is_refused(tmp_path, bad, place):
    def run(config, seed, device, progress):
        return Outcome({"loss": [bad if place == "curves" else 1.0]}, {"x": {"y": bad}})

    with pytest.raises(ValueError) as caught:
        Tiny(run=run).perform(tmp_path / "tiny.json")
    print(caught.value)
    assert "size=1 shape=None epochs=3 seed=0" in str(caught.value)
    assert not (tmp_path / "tiny.json").exists()
    assert not list((tmp_path / "tiny.runs").iterdir())


def test_networks_are_kept_and_a_missing_one_is_trained_again(tmp_path):
    out, keep = tmp_path / "tiny.json", tmp_path / "kept"
    with pytest.raises(Stop):
        Tiny(4, stop).perform(out, keep=keep)
    first, *rest = sorted(keep.iterdir())
    print([p.name for p in (first, *rest)])
    assert len(rest) == 2
    first.unlink()
    again = Tiny()
    results = again.perform(out, keep=keep)
    assert len(again.taken) == len(results) - 2
    for run in results:
        state = load_file(keep / file_name(run["config"], run["seed"]))
        assert state["weight"][0, 0].item() == pytest.approx(run["final"]["weight"], rel=1e-5)


# --- interruptions ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    out = tmp_path_factory.mktemp("straight") / "tiny.json"
    Tiny().perform(out)
    return read(out)


@pytest.mark.parametrize("how", ["exception", "SIGKILL"])
def test_a_second_call_goes_on(tmp_path, straight, how):
    out = tmp_path / "tiny.json"
    if how == "exception":
        with pytest.raises(Stop):
            Tiny(3, stop).perform(out)
    else:
        command = [sys.executable, tiny.__file__, str(out)]
        assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    assert not out.exists()
    kept = [read(p) for p in (tmp_path / "tiny.runs").glob("*.json")]
    print(f"{how}: kept {[(label(k['config']), k['seed']) for k in kept]}")
    assert len(kept) == 2
    second = Tiny()
    second.perform(out)
    assert second.taken == [(t.config, t.seed) for t in tasks(second.experiment, 2)][2:]
    assert without_seconds(read(out)) == without_seconds(straight)
    assert not (tmp_path / "tiny.runs").exists()


@pytest.mark.parametrize("changed", ["nothing", "code", "torch", "device"])
def test_runs_of_other_code_are_not_taken(tmp_path, monkeypatch, changed):
    out = tmp_path / "tiny.json"
    with pytest.raises(Stop):
        Tiny(3, stop).perform(out)
    if changed == "code":
        monkeypatch.setattr(runner, "fingerprint", lambda modules: "0" * 64)
    if changed == "torch":
        monkeypatch.setattr(runner, "versions", lambda: {"torch": "9.9"})
    if changed == "device":
        monkeypatch.setattr(runner, "choose_device", lambda name: "cuda:0")
    second = Tiny()
    results = second.perform(out)
    print(f"{changed} changed: {len(second.taken)} of {len(results)} runs done again")
    assert len(second.taken) == len(results) - (2 if changed == "nothing" else 0)


def test_gpus_take_each_others_runs(tmp_path, monkeypatch):
    out = tmp_path / "tiny.json"
    monkeypatch.setattr(runner, "choose_device", lambda name: "cuda:1")
    with pytest.raises(Stop):
        Tiny(3, stop).perform(out)
    monkeypatch.setattr(runner, "choose_device", lambda name: "cuda:0")
    second = Tiny()
    results = second.perform(out)
    assert len(second.taken) == len(results) - 2
    assert results.content["machine"]["device"] == "cuda"
    assert not (tmp_path / "tiny.runs").exists()


def test_a_damaged_kept_run_is_named(tmp_path):
    with pytest.raises(Stop):
        Tiny(3, stop).perform(tmp_path / "tiny.json")
    part = next((tmp_path / "tiny.runs").iterdir())
    part.write_text(part.read_text("utf-8")[:40], "utf-8")
    with pytest.raises(ValueError, match=r"damaged.*Delete it") as caught:
        Tiny().perform(tmp_path / "tiny.json")
    assert part.name in str(caught.value)


# --- several processes --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_processes_share_all_runs(count):
    todo = tasks(Tiny().experiment, 2)
    shares = [Processes(rank, count).mine(todo) for rank in range(count)]
    print([len(share) for share in shares])
    assert sorted((t for share in shares for t in share), key=lambda t: t.number) == todo
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_other_processes_write_no_results(tmp_path):
    class Second(Processes):
        def gather(self, items):
            return []

    one, out = Tiny(), tmp_path / "tiny.json"
    todo = tasks(one.experiment, 2)
    assert perform(one.experiment, todo, out, Second(1, 2), "cpu", progress=False) is None
    assert one.taken == [(t.config, t.seed) for t in todo[1::2]]
    assert not out.exists()
