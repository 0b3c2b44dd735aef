"""A table as text and as HTML: the same cells, numbers to the right, nothing unescaped."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.anatomy import Sheet
from properties import few

HEAD = ["net", "error", "<seconds>"]
ROWS = [["plain & deep", 0.25, 7], ["res", 12.5, None]]


class Reader(HTMLParser):
    """Collects (tag of the section, tag, attributes, text) of every cell."""

    def __init__(self) -> None:
        super().__init__()
        self.section, self.cells, self.tags, self.rows = "", [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag in ("thead", "tbody", "tfoot"):
            self.section = tag
        if tag == "tr":
            self.rows.append(self.section)
        if tag in ("th", "td"):
            self.cells.append([self.section, tag, dict(attributes), ""])

    def handle_data(self, data):
        self.cells[-1][3] += data


def read(sheet):
    reader = Reader()
    reader.feed(sheet._repr_html_())
    return reader


def test_text_lines_up():
    text = repr(Sheet(HEAD, ROWS, foot=["mean", 6.375, 7]))
    print(text)
    assert text.splitlines() == [
        "net           error  <seconds>",
        "──────────────────────────────",
        "plain & deep   0.25          7",
        "res            12.5       None",
        "──────────────────────────────",
        "mean          6.375          7",
    ]


def test_more_columns_of_words():
    text = repr(Sheet(["a", "bbb", "c"], [["xx", "y", 10]], words=2))
    assert text.splitlines() == ["a   bbb   c", "───────────", "xx  y    10"]


def test_without_rows_and_foot():
    assert repr(Sheet(["a", "b"], [])).splitlines() == ["a  b", "────"]
    assert "tfoot" not in read(Sheet(HEAD, ROWS)).tags


def test_html_holds_the_same_cells_escaped():
    page = Sheet(HEAD, ROWS, foot=["<b>", "&amp;", 1])._repr_html_()
    print(page)
    assert "&lt;seconds&gt;" in page
    assert "plain &amp; deep" in page
    assert "<seconds>" not in page
    reader = read(Sheet(HEAD, ROWS, foot=["<b>", "&amp;", 1]))
    assert reader.rows == ["thead", "tbody", "tbody", "tfoot"]
    assert [cell[3] for cell in reader.cells] == [
        *(*HEAD, "plain & deep", "0.25", "7", "res", "12.5", "None"),
        *("<b>", "&amp;", "1"),
    ]
    assert set(reader.tags) == {"table", "thead", "tbody", "tfoot", "tr", "th", "td"}


@pytest.mark.parametrize("words", [0, 1, 2, 3])
def test_html_cells_say_where_they_stand(words):
    cells = read(Sheet(HEAD, ROWS, foot=["a", "b", "c"], words=words)).cells
    assert len(cells) == 12
    for i, (section, tag, attributes, _) in enumerate(cells):
        side = "left" if i % 3 < words else "right"
        assert attributes["style"] == f"text-align:{side}"
        assert tag == ("th" if section == "thead" else "td")
        assert attributes.get("scope") == ("col" if tag == "th" else None)


@pytest.mark.parametrize("where", ["row", "foot"])
@pytest.mark.parametrize("entries", [["a"], ["a", "b", "c", "d"], []])
def test_another_number_of_entries_is_refused(where, entries):
    with pytest.raises(ValueError) as caught:
        if where == "row":
            Sheet(HEAD, [*ROWS, entries])
        else:
            Sheet(HEAD, ROWS, foot=entries)
    print(caught.value)
    assert "needs 3 entries" in str(caught.value)
    assert "net, error, <seconds>" in str(caught.value)
    assert str(entries) in str(caught.value)


CELLS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.text("abcäöü<>&\"' ×→", max_size=12),
    st.none(),
)


@few
@given(data=st.data(), columns=st.integers(1, 5), words=st.integers(0, 5), foot=st.booleans())
def test_every_cell_arrives(data, columns, words, foot):
    row = st.lists(CELLS, min_size=columns, max_size=columns)
    rows = data.draw(st.lists(row, max_size=5))
    last = data.draw(row) if foot else None
    head = data.draw(
        st.lists(st.text("abc<&", min_size=1, max_size=9), min_size=columns, max_size=columns)
    )
    sheet = Sheet(head, rows, last, words)
    given_cells = [str(c) for line in [head, *rows, *([last] if foot else [])] for c in line]
    assert [cell[3] for cell in read(sheet).cells] == given_cells

    lines = repr(sheet).splitlines()
    assert len(lines) == 2 + len(rows) + 2 * foot
    wide = [max(len(given_cells[k]) for k in range(i, len(given_cells), columns))
            for i in range(columns)]  # fmt: skip
    starts = [sum(wide[:i]) + 2 * i for i in range(columns)]
    body = [line for line in lines if set(line) != {"─"} or not line]
    for r, line in enumerate(body[: 1 + len(rows) + foot]):
        for i, start in enumerate(starts):
            cell = given_cells[r * columns + i]
            place = cell.ljust(wide[i]) if i < words else cell.rjust(wide[i])
            assert line.ljust(sum(wide) + 2 * columns)[start : start + wide[i]] == place
