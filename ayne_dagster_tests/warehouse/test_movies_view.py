"""The view `movies`: one row a movie, with the best that any source knows, and who says so."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from ayne_dagster.warehouse.movie_columns import ADDED_COLUMNS
from ayne_dagster.warehouse.views import MOVIES
from ayne_dagster_tests.support.samples import DAY, START, details, listed, merge_details, merge_listed, merge_ratings
from ayne_dagster_tests.support.samples import ratings as ratings_of

OF_OMDB = {
    "genre": ["Comedy"],
    "runtime": 90,
    "director": ["Cy"],
    "actors": ["Di"],
    "plot": "A plot.",
    "rated": "PG",
    "language": ["French"],
    "country": ["France", "Belgium"],
    "type": "movie",
}
OF_TMDB = {
    "genres": ["Drama"],
    "runtime": 100,
    "directors": ["Ada"],
    "actors": ["Bo"],
    "overview": "An overview.",
    "certification": "R",
    "spoken_languages": ["de", "zz"],
    "production_countries": ["DE"],
}
NOTHING = dict.fromkeys(OF_TMDB)
COLUMNS = ("genres", "runtime", "directors", "actors", "overview", "certification", "languages", "countries")


def movie(connection: duckdb.DuckDBPyConnection, *columns: str) -> tuple[Any, ...]:
    """Columns of the one movie."""
    (row,) = connection.execute(f"SELECT {', '.join(columns)} FROM movies").fetchall()
    return tuple(row)


def test_its_columns_are_those_that_the_schema_describes(connection: duckdb.DuckDBPyConnection) -> None:
    found = [(row[0], row[1]) for row in connection.execute("DESCRIBE movies").fetchall()]
    assert found == [(column.name, column.type) for column in MOVIES.columns]
    assert MOVIES.origins.keys() == {column.name for column in MOVIES.columns}
    assert {column.name for column in ADDED_COLUMNS} <= MOVIES.origins.keys()


def test_what_tmdb_knows_comes_first_with_codes_as_names(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details(**OF_TMDB))
    merge_ratings(connection, ratings_of(**OF_OMDB))
    expected = (["Drama"], 100, ["Ada"], ["Bo"], "An overview.", "R", ["German", "zz"], ["Germany"])
    assert movie(connection, *COLUMNS) == expected
    assert movie(connection, *(f"{name}_source" for name in COLUMNS)) == ("tmdb",) * len(COLUMNS)


def test_where_tmdb_knows_nothing_omdb_stands_in(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details(**NOTHING))
    merge_ratings(connection, ratings_of(**OF_OMDB))
    expected = (["Comedy"], 90, ["Cy"], ["Di"], "A plot.", "PG", ["French"], ["France", "Belgium"])
    assert movie(connection, *COLUMNS) == expected
    assert movie(connection, *(f"{name}_source" for name in COLUMNS)) == ("omdb",) * len(COLUMNS)


def test_what_nobody_knows_has_no_source(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details(**NOTHING))
    assert movie(connection, *COLUMNS) == movie(connection, *(f"{name}_source" for name in COLUMNS))
    assert movie(connection, "type", "end_year") == (None, None)


def test_what_omdb_says_of_another_imdb_id_stands_in_for_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details(**NOTHING))
    merge_ratings(connection, ratings_of(**OF_OMDB))
    merge_details(connection, details(at=START + DAY, **NOTHING, imdb_id="tt7654321"))
    assert movie(connection, "genres", "genres_source", "type") == (None, None, None)


def test_series_can_be_left_out_and_have_an_end_year(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details())
    merge_ratings(connection, ratings_of(type="series", year=2004, end_year=2010))
    assert movie(connection, "type", "end_year") == ("series", 2010)


@pytest.mark.parametrize(("days", "expected"), [(-1, 61.4), (0, 61.4), (1, 99.0)])
def test_popularity_is_the_daily_exports_where_that_is_newer(
    connection: duckdb.DuckDBPyConnection, days: int, expected: float
) -> None:
    merge_details(connection, details())
    day = START.date() + timedelta(days=days)
    connection.execute("INSERT INTO tmdb_id_export (tmdb_id, popularity, last_listed_on) VALUES (550, 99.0, ?)", [day])
    popularity, as_of = movie(connection, "popularity", "popularity_as_of")
    assert popularity == expected
    assert as_of.date() == (day if expected == 99.0 else date(2024, 1, 1))


def test_popularity_of_a_movie_that_was_only_listed_is_the_listings(connection: duckdb.DuckDBPyConnection) -> None:
    merge_listed(connection, listed(popularity=3.5))
    assert movie(connection, "popularity", "popularity_as_of") == (3.5, START.replace(tzinfo=None))


def test_money_below_a_thousand_dollars_is_marked_and_not_shown_as_the_best(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    merge_details(connection, details(budget=999, revenue=12))
    assert movie(connection, "budget", "budget_plausible", "revenue", "revenue_plausible") == (999, False, 12, False)
    assert movie(connection, "production_budget", "worldwide_gross") == (None, None)
    merge_details(connection, details(at=START + DAY, budget=1_000, revenue=None))
    assert movie(connection, "budget_plausible", "production_budget") == (True, 1_000)
