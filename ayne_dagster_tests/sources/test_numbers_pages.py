"""Movie pages of The Numbers: what is read of them, in which shapes, and that no page whatever does harm."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.the_numbers.pages import MOST_BYTES, amount_of, read_page

URL = "https://www.the-numbers.com/movie/Quiet-Harbour-(2009)"
OLDER = """<!DOCTYPE html><html><head><title>Quiet Harbour (2009) - Financial Information</title></head><body>
<div id="main"><h1>Quiet Harbour (2009)</h1>
<table id="movie_finances">
<tr><th colspan="3">Theatrical Performance</th></tr>
<tr><td><b>Domestic Box Office</b></td><td class="data">$141,330,703</td><td><a href="#x">Details</a></td></tr>
<tr><td><b>International Box Office</b></td><td class="data">$243,199,737</td><td></td></tr>
<tr><td><b>Worldwide Box Office</b></td><td class="data">$384,530,440</td></tr>
<tr><td><b>Est. Domestic DVD Sales</b></td><td class="data">$10,000,000</td></tr>
</table>
<h2>Metrics</h2>
<table><tr><td><b>Opening&nbsp;Weekend:</b></td><td>$360,018 (0.3% of total gross)</td></tr>
<tr><td><b>Legs:</b></td><td>6.97 (domestic box office/biggest weekend)</td></tr>
<tr><td><b>Production&nbsp;Budget:</b></td><td>$14,000,000 (worldwide is 27.5 times production budget)</td></tr>
</table></div></body></html>"""
NEWER = """<html lang="en"><body><main><h1 class="title"><span>Quiet Harbour</span> <small>(2009)</small></h1>
<table class=x id=movie_finances><tbody><tr><td>Domestic Box Office<td>$141,330,703<td>Details
<tr><td>International Box Office<td>$243,199,737<tr><td>Worldwide Box Office<td>$384,530,440</tbody></table>
<dl><dt>Opening Weekend:</dt><dd>$360,018 (0.3% of total gross)</dd>
<dt>Production Budget:<dd>$14,000,000</dl></main></body></html>"""
ALL = {
    ("gross", "domestic"): Decimal("141330703.00"),
    ("gross", "international"): Decimal("243199737.00"),
    ("gross", "worldwide"): Decimal("384530440.00"),
    ("opening_weekend", "domestic"): Decimal("360018.00"),
    ("production_budget", "unspecified"): Decimal("14000000.00"),
}


def figures(page: str | bytes) -> dict[tuple[object, object], object]:
    body = page.encode() if isinstance(page, str) else page
    return {(row["measure"], row["scope"]): row["amount"] for row in read_page(body).figures(URL)}


@pytest.mark.parametrize("page", [OLDER, NEWER], ids=["older", "newer"])
def test_both_shapes_of_a_page_say_the_same(page: str) -> None:
    assert figures(page) == ALL
    read = read_page(page.encode())
    assert (read.title, read.year) == ("Quiet Harbour", 2009)


def test_a_row_says_whose_figure_it_is_in_which_currency_and_where_it_stands() -> None:
    row = read_page(OLDER.encode()).figures(URL)[0]
    assert row == {
        "source": "the_numbers",
        "measure": "gross",
        "scope": "domestic",
        "currency": "USD",
        "source_ref": f"{URL}#Domestic-Box-Office",
        "amount": Decimal("141330703.00"),
        "as_of": None,
        "preferred": False,
        "derived": False,
        "suspect": None,
    }


@pytest.mark.parametrize(
    "unknown", ["$0", "$0.00", "", "-", "–", "n/a", "N/A", "&nbsp;", "Unknown", "($1,234)", "€1,234"]
)
def test_what_is_unknown_is_no_figure(unknown: str) -> None:
    page = OLDER.replace("$384,530,440", unknown)
    assert figures(page) == {key: amount for key, amount in ALL.items() if key != ("gross", "worldwide")}


def test_a_row_that_is_missing_is_unknown_and_a_page_without_figures_states_none() -> None:
    assert ("opening_weekend", "domestic") not in figures(OLDER.replace("Opening&nbsp;Weekend", "Opening"))
    assert figures("<html><h1>Quiet Harbour (2009)</h1></html>") == {}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("$1,234", "1234.00"),
        ("$ 35,000,000", "35000000.00"),
        ("$2,923,706,026 Details", "2923706026.00"),
        ("$1,234.50", "1234.50"),
        ("$9999999999999999", "9999999999999999.00"),
        ("$10000000000000000", None),
        ("$12,34", None),
        ("$1.2 million", None),
        ("1,234", None),
        ("$1,234 million", None),
    ],
)
def test_money_is_read_as_written_or_not_at_all(text: str, amount: str | None) -> None:
    assert amount_of(text) == (None if amount is None else Decimal(amount))


def test_totals_count_in_their_own_table_alone_and_the_first_row_of_a_label_counts() -> None:
    other = "<table><tr><td>Worldwide Box Office</td><td>$1</td></tr></table>"
    assert figures(OLDER.replace("<h1>", f"{other}<h1>")) == ALL
    again = "<table><tr><td>Production Budget</td><td>$99</td></tr></table>"
    assert figures(OLDER.replace("</div>", f"{again}</div>")) == ALL
    assert (
        figures(OLDER.replace("<h1>", "<!-- <table id=movie_finances><tr><td>Worldwide Box Office<td>$1 --><h1>"))
        == ALL
    )
    script = "<script>document.write('<table><tr><td>Opening Weekend<td>$5</table>')</script>"
    assert figures(OLDER.replace("<h1>", f"{script}<h1>")) == ALL
    assert figures(OLDER.replace("$384,530,440", "$384,530,440<style>td {}</style>")) == ALL


def test_tables_within_tables_are_read_by_themselves() -> None:
    nested = OLDER.replace('<div id="main">', "<table><tr><td>Menu</td><td>").replace("</div>", "</td></tr></table>")
    assert figures(nested) == ALL


def test_a_page_in_a_western_encoding_is_read_and_one_that_ends_within_a_letter_is_no_such_page() -> None:
    assert read_page("<h1>Amélie (2001)</h1>".encode("cp1252")).title == "Amélie"
    assert read_page("<h1>Amélie (2001)</h1>é".encode()[:-1]).title == "Amélie"


def test_the_first_heading_with_a_year_counts() -> None:
    assert read_page(b"<h1>The Numbers</h1><h1>2012 (2009)</h1><h1>Other (1999)</h1>").title == "2012"
    assert read_page(b"<h1>(500) Days (of) Summer</h1>").year is None


@pytest.mark.parametrize("page", [OLDER, NEWER], ids=["older", "newer"])
def test_a_page_that_is_cut_off_anywhere_is_malformed_and_never_half_a_page(page: str) -> None:
    for end in range(0, page.index("</body>"), 7):
        with pytest.raises(MalformedAnswer):
            read_page(page[:end].encode())


@pytest.mark.parametrize("body", [b"", b"\0", b"{}", b"<h1>", b"<html></html>", b"Moved", b"<![if !IE]><![what["])
def test_what_is_no_movie_page_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read_page(body)


HOSTILE = {
    "nested boxes": "<div>",
    "nested tables": "<table><tr><td>",
    "nested lists": "<dl><dt>",
    "open letters": "<b a=1><i>",
    "comments without end": "<!--",
    "sections without end": "<![CDATA[",
    "tags without end": "<a ",
    "quotes without end": '<a b="',
    "references": "&amp;&#38;",
    "angle brackets": "<",
    "headings": "<h1>x (2009)</h1>",
    "cells": "<td>x",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_page_that_means_harm_takes_steps_in_proportion_to_its_length(piece: str) -> None:
    # Nothing is timed: what grows with the square of these would run into the time limit of the test.
    start = "<h1>Quiet Harbour (2009)</h1><table id=movie_finances><tr><td>"
    body = (start + piece * (MOST_BYTES // 2 // len(piece))).encode()
    with pytest.raises(MalformedAnswer):
        read_page(body + b"<html>")


def test_a_number_with_more_digits_than_python_reads_is_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        read_page(b"<h1>&#" + b"9" * 5_000 + b";</h1><p>x</p>")


def test_a_page_larger_than_any_is_not_read() -> None:
    with pytest.raises(MalformedAnswer, match="larger"):
        read_page(b"<h1>x (2009)</h1>" + b" " * MOST_BYTES)


PIECES = st.sampled_from(
    [
        *(
            "<h1>",
            "</h1>",
            "x (2009)",
            "<table id=movie_finances>",
            "</table>",
            "<table>",
            "<tr>",
            "<td>",
            "</td>",
            "<dl>",
        ),
        *(
            "Production Budget:",
            "Worldwide Box Office",
            "$1,234",
            "$0",
            "(5%)",
            "&nbsp;",
            "&#x110000;",
            "&#0;",
            "<![x",
            "<!",
        ),
        *("<script>", "</script>", "<!--", "-->", "<html>", "</html>", "\x00", "é", "<br/>", "<a b='", "'>", "</"),
    ]
)


@given(st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=60).map(lambda pieces: "".join(pieces).encode())))
def test_any_bytes_are_a_page_or_malformed_and_figures_always_fit_their_column(body: bytes) -> None:
    try:
        rows = read_page(body).figures(URL)
    except MalformedAnswer:
        return
    for row in rows:
        amount = row["amount"]
        assert isinstance(amount, Decimal)
        assert 0 < amount < Decimal(10) ** 16
        assert amount.as_tuple().exponent == -2
    assert len({(row["measure"], row["scope"]) for row in rows}) == len(rows)


@given(st.data())
def test_a_page_with_bytes_spoilt_is_a_page_or_malformed(data: st.DataObject) -> None:
    body = bytearray(OLDER.encode())
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=20)):
        body[place] = data.draw(st.integers(0, 255))
    try:
        found = figures(bytes(body))
    except MalformedAnswer:
        return
    assert list(islice(found, 6)) == sorted(found, key=str)
