"""Rows of some movies: few are named one by one, many are joined with, and both are read alike."""

from __future__ import annotations

import duckdb
import pytest

from ayne_dagster.warehouse.questions import movie_titles
from ayne_dagster.warehouse.rows import FEW, among, existing_ids, read_rows
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster_tests.support.samples import details, listed, merge_details, merge_listed

MANY = range(1, 2 * FEW, 2)


@pytest.fixture
def known(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Movies with odd ids."""
    connection.execute(
        "INSERT INTO refresh_metadata BY NAME SELECT unnest($ids) AS tmdb_id, '2001' AS release_year,"
        " TIMESTAMP '2026-01-01' AS first_seen_at, 0 AS unchanged_cycles",
        {"ids": [*MANY, 2 * FEW + 1]},
    )
    return connection


@pytest.mark.parametrize("number", [0, 1, FEW, FEW + 1, 2 * FEW])
def test_the_movies_asked_for_are_found_and_no_others(known: duckdb.DuckDBPyConnection, number: int) -> None:
    asked = range(number)
    expected = {tmdb_id for tmdb_id in asked if tmdb_id in MANY}
    assert existing_ids(known, REFRESH_METADATA, asked) == expected
    assert read_rows(known, REFRESH_METADATA, asked, ["release_year"]) == {
        tmdb_id: {"tmdb_id": tmdb_id, "release_year": "2001"} for tmdb_id in expected
    }


def test_few_are_named_and_nothing_is_registered_for_them(connection: duckdb.DuckDBPyConnection) -> None:
    with among(connection, range(FEW)) as (few, bound):
        assert (few.count("?"), len(bound)) == (FEW, FEW)
    with among(connection, range(FEW + 1)) as (many, bound):
        assert (many.count("?"), bound) == (0, [])


def test_a_title_is_that_of_the_details_else_of_the_listing(connection: duckdb.DuckDBPyConnection) -> None:
    merge_listed(connection, listed(1, title="Listed"), listed(2, title="Listed alone"))
    merge_details(connection, details(1, title="Detailed"))
    assert movie_titles(connection, [1, 2, 3]) == {1: "Detailed", 2: "Listed alone"}
    assert movie_titles(connection, []) == {}
