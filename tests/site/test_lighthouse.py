"""The tool that lets Lighthouse look at pages; its marks themselves come from `make lighthouse`."""

import gzip
import urllib.request

import pytest

import lighthouse
from browser import serve


def a_report(**marks):
    """A report as Lighthouse writes it, with one audit for each mark."""
    marks = {"accessibility": 1, "best-practices": 1, "seo": 1, "performance": 1} | marks
    audits = {f"{name}-audit": {"score": s, "title": name.title()} for name, s in marks.items()}
    parts = {name: [{"id": f"{name}-audit", "weight": 3}] for name in marks}
    kinds = {name: {"score": s, "auditRefs": parts[name]} for name, s in marks.items()}
    return {"categories": kinds, "audits": audits}


def test_text_is_served_as_web_servers_send_it(site):
    with serve(site, lighthouse.Compressing) as address:
        with urllib.request.urlopen(f"{address}/index.html") as answer:
            body, kind = answer.read(), answer.headers["Content-Encoding"]
        with urllib.request.urlopen(f"{address}/_static/card-en.png") as answer:
            picture, plain = answer.read(), answer.headers["Content-Encoding"]
    whole = (site / "index.html").read_bytes()
    print(f"index.html: {len(body)} bytes sent of {len(whole)}")
    assert kind == "gzip" and gzip.decompress(body) == whole and len(body) < len(whole) / 2
    assert plain is None and picture == (site / "_static" / "card-en.png").read_bytes()


def test_the_table_names_pages_below_and_says_why(monkeypatch, capsys):
    reports = {"good": a_report(performance=0.93), "bad": a_report(seo=0.5)}
    monkeypatch.setattr(lighthouse, "ask", lambda url: reports[url[2:-5]])
    assert lighthouse.table(".", ["good", "bad"]) == ["bad"]
    said = capsys.readouterr().out
    print(said)
    assert "seo: −50 for Seo" in said and "performance: −7 for Performance" in said


@pytest.mark.parametrize(("speeds", "mark"), [((0.95,), 95), ((0.8, 0.97, 0.93), 93)])
def test_a_slow_page_is_visited_again(monkeypatch, speeds, mark):
    visits = iter(speeds)
    monkeypatch.setattr(lighthouse, "ask", lambda url: a_report(performance=next(visits)))
    assert lighthouse.scores(lighthouse.look("/"))["performance"] == mark
    assert list(visits) == []


def test_it_says_what_is_missing(monkeypatch, capsys, site, tmp_path):
    assert lighthouse.main(["no-such-page"]) == 1
    monkeypatch.setattr(lighthouse, "PROGRAM", tmp_path / "lighthouse")
    assert lighthouse.main(["index"]) == 1
    said = capsys.readouterr().out
    assert "no-such-page" in said and "tools/setup.sh lighthouse" in said
