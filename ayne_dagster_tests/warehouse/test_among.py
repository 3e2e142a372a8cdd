"""Rows of some movies, however many; and values that are bound as one text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from ayne_dagster.warehouse.entities import OF_A_COMMIT, by_number
from ayne_dagster.warehouse.questions import movie_titles
from ayne_dagster.warehouse.rows import among, each_of, existing_ids, naive_utc, one_text, read_rows
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster_tests.support.samples import details, listed, merge_details, merge_listed

MANY = range(1, 400, 2)
INSTANT = naive_utc(datetime(2026, 1, 1, 12, 30, 0, 123456, UTC))


@pytest.fixture
def known(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Movies with odd ids."""
    connection.execute(
        f"INSERT INTO refresh_metadata BY NAME SELECT id AS tmdb_id, '2001' AS release_year,"
        " TIMESTAMP '2026-01-01' AS first_seen_at, 0 AS unchanged_cycles"
        f" FROM ({each_of('$ids', 'BIGINT')}) AS given(id)",
        {"ids": one_text([*MANY, 401])},
    )
    return connection


@pytest.mark.parametrize("number", [0, 1, 2, 400])
def test_the_movies_asked_for_are_found_and_no_others(known: duckdb.DuckDBPyConnection, number: int) -> None:
    asked = range(number)
    expected = {tmdb_id for tmdb_id in asked if tmdb_id in MANY}
    assert existing_ids(known, REFRESH_METADATA, asked) == expected
    assert read_rows(known, REFRESH_METADATA, asked, ["release_year"]) == {
        tmdb_id: {"tmdb_id": tmdb_id, "release_year": "2001"} for tmdb_id in expected
    }


def test_however_many_movies_are_meant_one_value_is_bound() -> None:
    assert [len(among(range(number))[1]) for number in (0, 1, 1_000)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("type_name", "values"),
    [
        ("BIGINT", [2**63 - 1, -1, 0]),
        ("VARCHAR", ["1999", "unknown"]),
        ("TIMESTAMP", [INSTANT, INSTANT.replace(microsecond=0), INSTANT - timedelta(days=40_000)]),
        ("BIGINT", []),
        ("VARCHAR", []),
    ],
)
def test_values_bound_as_one_text_come_back_as_they_were(
    connection: duckdb.DuckDBPyConnection, type_name: str, values: list[object]
) -> None:
    rows = connection.execute(each_of("$values", type_name), {"values": one_text(values)}).fetchall()
    assert [value for (value,) in rows] == values


@pytest.mark.parametrize("number", [1, OF_A_COMMIT, OF_A_COMMIT + 1])
def test_of_tables_with_many_rows_a_movie_those_of_a_commit_are_named_by_number(
    known: duckdb.DuckDBPyConnection, number: int
) -> None:
    these, bound = by_number(range(number))
    assert bool(bound) == (number > OF_A_COMMIT)
    found = known.execute(f"SELECT tmdb_id FROM refresh_metadata WHERE {these}", bound).fetchall()
    assert {tmdb_id for (tmdb_id,) in found} == {tmdb_id for tmdb_id in range(number) if tmdb_id in {*MANY, 401}}


def test_a_title_is_that_of_the_details_else_of_the_listing(connection: duckdb.DuckDBPyConnection) -> None:
    merge_listed(connection, listed(1, title="Listed"), listed(2, title="Listed alone"))
    merge_details(connection, details(1, title="Detailed"))
    assert movie_titles(connection, [1, 2, 3]) == {1: "Detailed", 2: "Listed alone"}
    assert movie_titles(connection, []) == {}
