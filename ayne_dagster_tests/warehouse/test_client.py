"""The analyst's client: rows as dictionaries, and the file free between questions."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import ayne_dagster
from ayne_dagster.warehouse.client import DuckDBClient, NoDataFrames
from ayne_dagster.warehouse.database import Database, DatabaseBusy, DatabaseUnusable
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster_tests.support.samples import HOLD, RUN, START, details, line, opens_elsewhere, python


@pytest.fixture
def client(database: Database) -> DuckDBClient:
    with database.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", [details(1), details(2, budget=5)], RUN)
    return DuckDBClient(database.path)


def test_the_public_name_is_this_client() -> None:
    assert ayne_dagster.DuckDBClient is DuckDBClient


def test_a_query_returns_rows_as_dictionaries(client: DuckDBClient) -> None:
    assert client.query("SELECT tmdb_id, title, budget FROM movies ORDER BY budget") == [
        {"tmdb_id": 2, "title": "Fight Club", "budget": 5},
        {"tmdb_id": 1, "title": "Fight Club", "budget": 63_000_000},
    ]


def test_values_are_pythons_own(client: DuckDBClient) -> None:
    (row,) = client.query("SELECT release_date, genres, tmdb_checked_at, NULL AS nothing FROM movies WHERE tmdb_id = 1")
    assert row == {
        "release_date": date(1999, 10, 15),
        "genres": ["Drama", "Thriller"],
        "tmdb_checked_at": naive_utc(START),
        "nothing": None,
    }


def test_no_rows_are_an_empty_list(client: DuckDBClient) -> None:
    assert client.query("SELECT * FROM movies WHERE FALSE") == []


def test_values_are_bound_by_position_or_by_name(client: DuckDBClient) -> None:
    assert client.query("SELECT tmdb_id FROM movies WHERE budget = ?", [5]) == [{"tmdb_id": 2}]
    assert client.query("SELECT tmdb_id FROM movies WHERE budget = $b", {"b": 5}) == [{"tmdb_id": 2}]
    assert client.query("SELECT ? AS text", ["'; DROP TABLE movies; --"]) == [{"text": "'; DROP TABLE movies; --"}]


def test_a_query_may_be_had_as_an_arrow_table(client: DuckDBClient) -> None:
    table = client.arrow("SELECT tmdb_id FROM movies ORDER BY 1")
    assert isinstance(table, pa.Table)
    assert table.to_pydict() == {"tmdb_id": [1, 2]}


def test_the_file_is_free_after_each_question(client: DuckDBClient) -> None:
    client.query("SELECT 1")
    assert opens_elsewhere(client.database.path)
    client.get_collection_stats(START)
    assert opens_elsewhere(client.database.path)


def test_the_file_is_free_after_a_wrong_question(client: DuckDBClient) -> None:
    with pytest.raises(duckdb.Error):
        client.query("SELECT nonsense FROM movies")
    assert opens_elsewhere(client.database.path)


def test_a_client_kept_open_does_not_block_a_writer(client: DuckDBClient) -> None:
    with client as same, same.database.transaction() as connection:
        connection.execute("DELETE FROM tmdb_details")
    client.close()
    assert client.query("SELECT count(*) AS n FROM tmdb_details") == [{"n": 0}]


@pytest.mark.parametrize("sql", ["DELETE FROM tmdb_details", "CREATE TABLE mine (i INTEGER)", "DROP VIEW movies"])
def test_a_client_only_reads(client: DuckDBClient, sql: str) -> None:
    with pytest.raises(duckdb.Error, match="read-only"):
        client.query(sql)


def test_statistics_are_those_of_the_instant(client: DuckDBClient) -> None:
    stats = client.get_collection_stats(START)
    assert (stats["total_movies"], stats["with_tmdb"], stats["archived"]) == (2, 2, 2)
    assert client.get_collection_stats()["total_movies"] == 2


def test_a_missing_database_is_an_error_with_a_hint(tmp_path: Path) -> None:
    for ask in (lambda c: c.query("SELECT 1"), lambda c: c.get_collection_stats()):
        with pytest.raises(DatabaseUnusable, match="ayne collect"):
            ask(DuckDBClient(tmp_path / "none.duckdb"))
    assert list(tmp_path.iterdir()) == []


def test_a_database_in_use_is_an_error_that_names_the_user(client: DuckDBClient) -> None:
    process = python(HOLD, client.database.path)
    try:
        assert line(process) == "held"
        client.database = Database(client.database.path, wait_seconds=0.05)
        with pytest.raises(DatabaseBusy, match=str(process.pid)):
            client.query("SELECT 1")
    finally:
        process.kill()
        process.communicate()


def test_the_database_is_that_of_the_settings(
    client: DuckDBClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AYNE_DATABASE", str(client.database.path))
    assert DuckDBClient().query("SELECT count(*) AS n FROM movies") == [{"n": 2}]
    assert DuckDBClient(str(client.database.path)).query("SELECT count(*) AS n FROM movies") == [{"n": 2}]


def test_the_documented_query_runs(client: DuckDBClient) -> None:
    assert len(client.query("SELECT title, imdb_rating FROM movies ORDER BY imdb_rating DESC LIMIT 10")) == 2


class Frames(ModuleType):
    """Stands in for pandas or polars."""

    @staticmethod
    def from_arrow(table: Any) -> tuple[str, Any]:
        return "polars", table


class Asked:
    """Stands in for an Arrow table, whose own `to_pandas` would need pandas."""

    def to_pandas(self) -> str:
        return "pandas"


@pytest.mark.parametrize(
    ("installed", "expected"),
    [(("pandas", "polars"), "pandas"), (("pandas",), "pandas"), (("polars",), "polars")],
)
def test_a_data_frame_is_one_of_pandas_or_else_of_polars(
    client: DuckDBClient, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], expected: str
) -> None:
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, Frames(name) if name in installed else None)
    monkeypatch.setattr(client, "arrow", lambda sql, parameters=None: Asked())
    made = client.df("SELECT 1")
    assert (made if isinstance(made, str) else made[0]) == expected


def test_a_frame_of_polars_has_the_rows_of_the_question(client: DuckDBClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", Frames("polars"))
    _, table = client.df("SELECT tmdb_id FROM movies WHERE budget = $b", {"b": 5})
    assert table.to_pydict() == {"tmdb_id": [2]}


def test_without_either_library_one_line_says_what_there_is_instead(
    client: DuckDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NoDataFrames, match=r"pip install pandas.*`arrow`") as caught:
        client.df("SELECT 1")
    assert "\n" not in str(caught.value)
