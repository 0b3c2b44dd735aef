"""Results: what can be asked of them, what they refuse, JSON that reads back as it was."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import Tiny

import backbone.experiments.results as module
from backbone.experiments import load_results
from backbone.experiments.results import Results, rounded, save_json, to_json
from properties import few


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Tiny(most_seeds=lambda c: None).perform(tmp_path_factory.mktemp("r") / "t.json", 3)


def made(*configs):
    """Results with one run for each configuration, seeds descending."""
    runs = [
        {"config": c, "seed": len(configs) - i, "curves": {"loss": [i]}, "final": {"score": i}}
        for i, c in enumerate(configs)
    ]
    return Results({"experiment": "made", "runs": runs})


# --- asking -------------------------------------------------------------------------------------


def test_select_values_and_curves(results):
    runs = results.select(size=2, shape=None)
    assert [run["seed"] for run in runs] == [0, 1, 2]
    assert {(r["config"]["size"], r["config"]["shape"]) for r in runs} == {(2, None)}
    assert len(results.select(size=2)) == 6
    assert len(results.select()) == len(results) == len(list(results)) == 12
    whole = {"size": 2, "shape": None}
    assert results.values("weight", **whole) == [run["final"]["weight"] for run in runs]
    assert results.values(lambda run: run["final"]["by_name"]["a"], **whole) == [
        run["curves"]["loss"][-1] for run in runs
    ]
    assert results.curves("loss", **whole) == [run["curves"]["loss"] for run in runs]
    print(results)
    assert repr(results).startswith("tiny: 12 runs, 4 configurations, 3 seeds, 0 minutes, torch ")


def test_runs_come_in_the_order_of_their_seeds():
    some = made({"a": 1}, {"a": 1}, {"a": 1})
    assert some.values("score", a=1) == [2, 1, 0]


def test_none_leaves_out_runs_with_such_an_entry():
    pilot, main = {"tiles": 8, "lr": 0.1}, {"tiles": 8}
    some = made(pilot, main)
    assert some.values("score", tiles=8, lr=None) == [1]
    assert some.values("score", tiles=8, lr=0.1) == [0]
    with pytest.raises(LookupError, match="differ in lr"):
        some.values("score", tiles=8)


@pytest.mark.parametrize("ask", ["values", "curves"])
@pytest.mark.parametrize(
    ("name", "config", "error", "words"),
    [
        ("weight", {"depth": 3}, KeyError, ["'depth'", "epochs, shape, size"]),
        ("weight", {"size": 3}, LookupError, ["tiny", "size=3"]),
        ("weight", {"size": 1, "shape": "B"}, LookupError, ["size=1, shape='B'"]),
        ("weight", {"size": 1}, LookupError, ["Several", "shape=None"]),
        ("weight", {}, LookupError, ["Several"]),
        ("nothing", {"size": 1, "shape": "A"}, KeyError, ["'nothing'"]),
    ],
)
def test_what_it_refuses(results, ask, name, config, error, words):
    with pytest.raises(error) as caught:
        getattr(results, ask)(name, **config)
    print(caught.value)
    assert all(word in str(caught.value) for word in words)
    if name == "nothing":
        assert {"values": "weight, by_name", "curves": "loss"}[ask] in str(caught.value)


# --- loading ------------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    for name in ("one", "two", "schema"):
        (tmp_path / f"{name}.json").write_text("{}", "utf-8")
    with pytest.raises(FileNotFoundError) as caught:
        load_results("three")
    print(caught.value)
    assert "'three'" in str(caught.value)
    assert "The book has one, two;" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format": 1, "runs": [', "damaged"),
        (b"", "damaged"),
        (b'{"format": 1, "question": "\xff"}', "damaged"),
        (b"[1, 2]", "format 1 \\(found None\\)"),
        (b"{}", "found None"),
        (b'{"format": 2, "runs": []}', "found 2"),
    ],
)
def test_a_file_that_holds_no_results_is_refused(tmp_path, content, words):
    path = tmp_path / "own.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        load_results(path)
    print(caught.value)
    assert "own.json" in str(caught.value)


def test_own_results_load_by_path(tmp_path):
    written = Tiny().perform(tmp_path / "own.json")
    for path in (tmp_path / "own.json", str(tmp_path / "own.json")):
        assert load_results(path).content == written.content


# --- JSON ---------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@few
@given(content=PLAIN)
def test_json_reads_back_as_it_was(content):
    text = to_json(content)
    assert json.loads(text) == content
    assert list(map(type, [json.loads(text)])) == [type(content)]


@few
@given(content=PLAIN, bad=st.sampled_from([math.nan, math.inf, -math.inf]), deep=st.booleans())
def test_json_refuses_what_is_not_finite(content, bad, deep):
    with pytest.raises(ValueError):
        to_json({"a": content, "b": [[bad]] if deep else bad})


def test_a_curve_takes_one_line():
    text = to_json({"runs": [{"curve": [0.5, 0.25], "grid": [[1, 2], [3, 4]]}], "none": {}})
    print(text)
    assert '   "curve": [0.5, 0.25],\n' in text
    assert "    [1, 2],\n    [3, 4]\n" in text
    assert len(text.splitlines()) == 12


@few
@given(value=NUMBERS, digits=st.integers(1, 8))
def test_rounding_keeps_significant_digits(value, digits):
    near = rounded([{"x": value}], digits)[0]["x"]
    assert type(near) is type(value)
    if isinstance(value, int):
        assert near == value
    elif math.isfinite(near) and abs(value) > 1e-300:
        assert abs(near - value) <= 0.5 * 10 ** (1 - digits) * abs(value) * (1 + 1e-9)
        assert rounded(near, digits) == near


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "one.json"
    save_json(path, {"a": 1})
    for bad in (math.nan, object()):
        with pytest.raises((ValueError, TypeError)):
            save_json(path, {"a": bad})
    assert json.loads(path.read_text("utf-8")) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["one.json"]
    assert path.stat().st_mode & 0o777 == 0o644
