"""Answers for the tests of the warehouse, and short ways to merge them and to look at what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

import ayne_dagster
from ayne_dagster.config import FigureChoice
from ayne_dagster.partitions import release_year
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import MovieState
from ayne_dagster.warehouse.answers import Answer, ListedMovie, MergeReport
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.refresh_metadata import movie_states
from ayne_dagster.warehouse.rows import Row
from ayne_dagster.warehouse.schema import BOX_OFFICE, BOX_OFFICE_PRECEDENCE, OMDB_RATINGS, TABLES, TMDB_DETAILS
from ayne_dagster.warehouse.views import VIEWS

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
RELEASED = date(1999, 10, 15)
RUN = "run-1"

DETAILS: Row = {
    "original_language": "en",
    "imdb_id": "tt0137523",
    "title": "Fight Club",
    "release_date": RELEASED,
    "runtime": 139,
    "budget": 63_000_000,
    "revenue": 100_853_753,
    "popularity": 61.4,
    "vote_average": 8.4,
    "vote_count": 26_280,
    "genres": ["Drama", "Thriller"],
    "directors": ["David Fincher"],
}
RATINGS: Row = {
    "type": "movie",
    "imdb_id": "tt0137523",
    "title": "Fight Club",
    "imdb_rating": 8.8,
    "imdb_votes": 2_100_000,
    "metascore": 67,
    "box_office": 37_030_102,
    "genre": ["Drama"],
}
LISTING: Row = {
    "title": "Fight Club",
    "release_date": RELEASED,
    "genre_ids": [18, 53],
    "popularity": 61.4,
    "vote_count": 26_280,
}


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    for item in (*TABLES, *VIEWS, *MACROS):
        connection.execute(item.ddl())
    put_precedence(connection, FigureChoice())


def details(tmdb_id: int = 550, at: datetime = START, **changes: Any) -> Answer:
    """TMDB's details of a movie, as the collection hands them to the merge."""
    row = {"tmdb_id": tmdb_id, **DETAILS, **changes}
    row["release_year"] = release_year(row["release_date"])
    return Answer(tmdb_id, Outcome.FETCHED, at, row, row["release_year"])


def ratings(tmdb_id: int = 550, at: datetime = START, year: str = "1999", **changes: Any) -> Answer:
    """OMDb's answer about a movie."""
    return Answer(
        tmdb_id,
        Outcome.FETCHED,
        at,
        {"tmdb_id": tmdb_id, "release_year": year, **RATINGS, **changes},
        release_year=year,
    )


def figure(amount: str | int = 101_209_702, scope: str = "worldwide", **changes: Any) -> Row:
    """A figure as a source states it."""
    stated = {"measure": "gross", "scope": scope, "currency": "USD", "source_ref": "Q1-1", "amount": Decimal(amount)}
    return stated | {"as_of": None, "preferred": False, "suspect": None} | changes


def money(
    tmdb_id: int = 550, at: datetime = START, *figures: Row, year: str = "1999", source: str = "wikidata"
) -> Answer:
    """What a source states of a movie's money: one figure, unless others are given."""
    stated = {source: list(figures or (figure(),))}
    return Answer(tmdb_id, Outcome.FETCHED, at, stated, release_year=year)


def without_row(outcome: Outcome, tmdb_id: int = 550, at: datetime = START, **fields: Any) -> Answer:
    return Answer(tmdb_id, outcome, at, None, **{"release_year": "1999", "reason": "why", **fields})


def listed(tmdb_id: int = 550, at: datetime = START, **changes: Any) -> ListedMovie:
    row = {"tmdb_id": tmdb_id, **LISTING, **changes}
    row["release_year"] = release_year(row["release_date"])
    return ListedMovie(tmdb_id, at, row, row["release_year"])


def merge_details(connection: duckdb.DuckDBPyConnection, *answers: Answer, run_id: str = RUN) -> MergeReport:
    with Transaction(connection):
        return merge_answers(connection, TMDB_DETAILS, "tmdb", answers, run_id)


def merge_ratings(connection: duckdb.DuckDBPyConnection, *answers: Answer, run_id: str = RUN) -> MergeReport:
    with Transaction(connection):
        return merge_answers(connection, OMDB_RATINGS, "omdb", answers, run_id)


def merge_money(connection: duckdb.DuckDBPyConnection, *answers: Answer, run_id: str = RUN) -> MergeReport:
    with Transaction(connection):
        return merge_answers(connection, BOX_OFFICE, "numbers", answers, run_id)


def merge_listed(connection: duckdb.DuckDBPyConnection, *movies: ListedMovie, run_id: str = RUN) -> MergeReport:
    with Transaction(connection):
        return merge_listing(connection, movies, run_id)


class Transaction:
    """A transaction on an open connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def one(connection: duckdb.DuckDBPyConnection, table: str, tmdb_id: int = 550) -> Row:
    """The one row of a movie."""
    cursor = connection.execute(f"SELECT * FROM {table} WHERE tmdb_id = {tmdb_id}")
    names = [column[0] for column in cursor.description]
    (found,) = cursor.fetchall()
    return dict(zip(names, found, strict=True))


def state_of(connection: duckdb.DuckDBPyConnection, tmdb_id: int = 550) -> MovieState:
    (state,) = movie_states(connection, [tmdb_id])
    return state


def history(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Source, field, old and new value of each change, in order of names."""
    return rows(connection, "SELECT source, field, old_value, new_value FROM movie_history ORDER BY ALL")


def everything(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables but the one that says how figures are chosen, which no answer touches."""
    return {
        table.name: sorted(rows(connection, f"SELECT * FROM {table.name}"), key=repr)
        for table in TABLES
        if table is not BOX_OFFICE_PRECEDENCE
    }


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start another Python process that can import the package under test; its output is read line by line."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ayne_dagster.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def line(process: subprocess.Popen[str]) -> str:
    """The next line that another process writes; waits for it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> int:
    """Let a process that reads its standard input go on to its end."""
    process.communicate(timeout=60)
    return process.returncode


HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
"""A process that holds a DuckDB file until its standard input closes."""


def opens_elsewhere(path: Path) -> bool:
    """Whether another process can open the file for writing at this moment."""
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).close()"
    return end(python(code, path, stderr=subprocess.DEVNULL)) == 0


def values(found: Iterable[tuple[Any, ...]]) -> list[Any]:
    """The first column."""
    return [row[0] for row in found]
