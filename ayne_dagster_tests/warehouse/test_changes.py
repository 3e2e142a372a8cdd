"""Changes in words, and `movie_changes`: the values of the history as number, date and text."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest

from ayne_dagster.warehouse.changes import LONGEST, movie_changes, shown, told
from ayne_dagster.warehouse.rows import as_json, naive_utc
from ayne_dagster_tests.support.samples import DAY, START, details, figure, merge_details, merge_money, money, rows

ADA = {"person_id": 7, "job": "Director", "name": "Ada"}


@pytest.mark.parametrize(
    ("field", "value", "number", "day", "text"),
    [
        ("budget", 63_000_000, 63e6, None, "63000000"),
        ("imdb_rating", 8.8, 8.8, None, "8.8"),
        ("title", 'The "End", 7', None, None, 'The "End", 7'),
        ("title", "1917", None, None, "1917"),
        ("title", "2012-01-01", None, None, "2012-01-01"),
        ("release_date", date(1999, 10, 15), None, date(1999, 10, 15), "1999-10-15"),
        ("adult", True, None, None, "true"),
        ("genres", ["Drama", 'A, "B"'], None, None, 'Drama, A, "B"'),
        ("genres", [], None, None, ""),
        ("credits", [ADA], None, None, '[{"person_id":7,"job":"Director","name":"Ada"}]'),
        ("tagline", None, None, None, None),
    ],
)
def test_a_value_is_read_as_what_it_is(
    connection: duckdb.DuckDBPyConnection, field: str, value: Any, number: float | None, day: date | None, text: str
) -> None:
    for old, new in ((value, None), (None, value)):
        connection.execute("DELETE FROM movie_history")
        connection.execute(
            "INSERT INTO movie_history (tmdb_id, field, old_value, new_value) VALUES (1, ?, ?, ?)",
            [field, as_json(old), as_json(new)],
        )
        side, other = ("old", "new") if new is None else ("new", "old")
        readings = ", ".join(f"{one}_{kind}" for one in (side, other) for kind in ("number", "date", "text"))
        assert rows(connection, f"SELECT {readings} FROM movie_changes") == [(number, day, text, None, None, None)]


def test_what_the_merges_write_can_be_read(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details())
    merge_money(connection, money())
    merge_details(connection, details(at=START + DAY, revenue=5, us_release_date=date(2000, 1, 2), genres=["War"]))
    merge_money(connection, money(550, START + DAY, figure(amount="7.5")))
    found = rows(connection, "SELECT field, new_number, new_date, new_text FROM movie_changes ORDER BY field")
    assert found == [
        ("genres", None, None, "War"),
        ("gross worldwide USD (wikidata)", 7.5, None, "7.5"),
        ("revenue", 5.0, None, "5"),
        ("us_release_date", None, date(2000, 1, 2), "2000-01-02"),
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        ("", "–"),
        (True, "yes"),
        (1_000_000, "1,000,000"),
        (7.25, "7.25"),
        (["a", "b"], "a, b"),
        ([ADA, {"person_id": 8}, {"more": 1_200}], "Ada (Director), number 8 (cast), and 1,200 more"),
        ([{"company_id": 5, "name": "Company"}], "Company"),
        ([{"country": "DE", "type": 3, "release_date": "2000-01-01", "note": "gala"}], "DE theatrical 2000-01-01 gala"),
        ("x" * 200, "x" * (LONGEST - 1) + "…"),
    ],
)  # fmt: skip
def test_a_value_in_words(value: object, words: str) -> None:
    assert shown(as_json(value)) == words


def test_a_change_in_words() -> None:
    assert told("tmdb_details", "vote_count", "1", "2000") == "vote count: 1 → 2,000"
    assert told("credits", "credits", as_json([ADA]), None) == "credits: now without Ada (Director)"
    both = told("credits", "credits", as_json([ADA]), as_json([{"person_id": 9, "name": "Cy"}]))
    assert both == "credits: now without Ada (Director), with Cy (cast)"


def test_changes_are_told_since_an_instant_and_without_what_drifts(connection: duckdb.DuckDBPyConnection) -> None:
    for day in range(4):
        merge_details(connection, details(at=START + day * DAY, budget=1 + day, vote_count=10 + day))
    found = movie_changes(connection, 550, since=naive_utc(START + 2 * DAY), without=("vote_count",))
    assert found is not None
    assert [change["told"] for change in found["changes"]] == ["budget: 3 → 4", "budget: 2 → 3"]
    assert movie_changes(connection, 1) is None
