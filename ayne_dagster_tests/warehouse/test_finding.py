"""Finding movies by their title gives what a plain look at each of them does."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.warehouse.one_movie import find_movies
from ayne_dagster_tests.support.samples import create_tables

TITLES = st.none() | st.sampled_from(
    [
        "Elephant 9",
        "Éléphant 9",
        "ÉLÉPHANT",
        "The elephant",
        "Ele 9",
        "象 9",
        "9",
        "l'été 9 à 9",
        "E\u0301le 9",
        "Łódź",
        "",
    ]
)
SOUGHT = st.sampled_from(
    [
        "elephant",
        "Éléphant",
        "ele 9",
        "e",
        "9",
        " 9",
        "phant 9",
        "ete",
        "été 9",
        "lodz",
        "łódź",
        "象",
        "é",
        "9 a 9",
        "'",
    ]
)
ROWS = st.lists(st.tuples(st.booleans(), TITLES, TITLES, st.booleans(), TITLES, TITLES), min_size=1, max_size=8)

# Of each movie the name by the details where there are any, else by the listing, without case and accents.
PLAINLY = """
SELECT m.tmdb_id FROM refresh_metadata AS m
LEFT JOIN tmdb_details AS d ON d.tmdb_id = m.tmdb_id LEFT JOIN discovered_movies AS l ON l.tmdb_id = m.tmdb_id
WHERE contains(lower(strip_accents(if(d.tmdb_id IS NULL, l.title, d.title))), $plain)
   OR contains(lower(strip_accents(if(d.tmdb_id IS NULL, l.original_title, d.original_title))), $plain)
ORDER BY coalesce(lower(strip_accents(coalesce(d.title, l.title))) = $plain, FALSE)
         OR coalesce(lower(strip_accents(coalesce(d.original_title, l.original_title))) = $plain, FALSE) DESC, m.tmdb_id
"""


@pytest.fixture(scope="module")
def empty() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    create_tables(connection)
    return connection


def fill(connection: duckdb.DuckDBPyConnection, movies: list[tuple[Any, ...]]) -> None:
    for table in ("refresh_metadata", "tmdb_details", "discovered_movies"):
        connection.execute(f"DELETE FROM {table}")
    for number, (detailed, title, original, listed, listed_title, listed_original) in enumerate(movies, 1000):
        connection.execute("INSERT INTO refresh_metadata (tmdb_id) VALUES (?)", [number])
        for held, table, names in (
            (detailed, "tmdb_details", (title, original)),
            (listed, "discovered_movies", (listed_title, listed_original)),
        ):
            if held:
                columns = "(tmdb_id, title, original_title)"
                connection.execute(f"INSERT INTO {table} {columns} VALUES (?, ?, ?)", [number, *names])


@settings(max_examples=80)
@given(ROWS, SOUGHT)
def test_a_title_finds_what_a_plain_look_at_each_movie_finds(
    empty: duckdb.DuckDBPyConnection, movies: list[tuple[Any, ...]], sought: str
) -> None:
    fill(empty, movies)
    ((plain,),) = empty.execute("SELECT lower(strip_accents($s))", {"s": " ".join(sought.split())}).fetchall()
    expected = [row[0] for row in empty.execute(PLAINLY, {"plain": plain}).fetchall()]
    assert [movie["tmdb_id"] for movie in find_movies(empty, sought, 100)] == expected
