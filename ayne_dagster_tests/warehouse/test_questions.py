"""Why a movie is due or not, as the warehouse tells it: rank, budget, numbers, for either strategy."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest

from ayne_dagster.config import STRATEGIES
from ayne_dagster.warehouse.questions import QUOTA_EXHAUSTED, explain_movie, list_due
from ayne_dagster.warehouse.refresh_metadata import derive_columns, new_state_row
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster.warehouse.strategies import load_strategy
from ayne_dagster_tests.support.samples import DAY, START

Connection = duckdb.DuckDBPyConnection
NOW = START
OLD = date(1999, 10, 15)
NUMBERS = ("expected_changes", "p_stale", "rate", "bucket_rate", "factor", "importance")


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """Ten old movies, checked 20 to 200 days ago, the more popular the longer ago."""
    for tmdb_id in range(1, 11):
        at = naive_utc(NOW - tmdb_id * 20 * DAY)
        times = {f"{s}_{name}": at for s in ("tmdb", "omdb") for name in ("attempted_at", "checked_at")}
        row = new_state_row(tmdb_id, NOW - 999 * DAY, "1999") | times
        row |= {"release_date": OLD, "imdb_id": f"tt000000{tmdb_id}", "popularity": float(tmdb_id)}
        insert_rows(connection, REFRESH_METADATA, [row])
    return connection


def told(connection: Connection, tmdb_id: int, name: str, **options: Any) -> dict[str, Any]:
    strategy = load_strategy(connection, name)
    derive_columns(connection, NOW, strategy=strategy)
    found = explain_movie(connection, tmdb_id, NOW, load_strategy(connection, name), **options)
    assert found is not None
    assert found["strategy"] == name
    return found["sources"]  # type: ignore[no-any-return]


def test_the_age_table_tells_rank_and_numbers(filled: Connection) -> None:
    omdb = told(filled, 9, "age_table")["omdb"]
    assert (omdb["due"], omdb["reason"], omdb["rank"], omdb["due_total"]) == (True, "age_table", 1, 2)
    assert omdb["expected_changes"] == pytest.approx(180 * omdb["rate"])
    assert omdb["explanation"].startswith("due, rank 1 of 2: checked 180 days ago; asked every 180 days")


def test_the_value_of_refresh_tells_what_it_rests_on(filled: Connection) -> None:
    omdb = told(filled, 10, "value_of_refresh")["omdb"]
    assert (omdb["reason"], omdb["rank"], omdb["due_total"]) == ("index", 1, 10)
    assert omdb["rate"] == pytest.approx(omdb["bucket_rate"] * omdb["factor"])
    assert "changes expected, P(stale)" in omdb["explanation"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_number_is_told_for_every_source(filled: Connection, name: str) -> None:
    for source in told(filled, 3, name).values():
        assert all(isinstance(source[number], float) for number in NUMBERS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_used_up_budget_holds_back_what_is_due_and_nothing_else(filled: Connection, name: str) -> None:
    sources = told(filled, 10, name, hindrances={"omdb": "nothing is left today"})
    assert sources["omdb"]["held_back"] == QUOTA_EXHAUSTED
    assert sources["omdb"]["explanation"].endswith("; but nothing is left today")
    assert sources["tmdb"]["held_back"] is None
    filled.execute("UPDATE refresh_metadata SET override = 'freeze', override_at = now()")
    assert told(filled, 1, name, hindrances={"tmdb": "nothing is left today"})["tmdb"]["held_back"] is None


def test_an_unknown_movie_is_none(filled: Connection) -> None:
    assert explain_movie(filled, 777, NOW) is None


@pytest.mark.parametrize("name", STRATEGIES)
def test_reasons_are_stored_and_counted_by_the_strategy_that_decides(filled: Connection, name: str) -> None:
    strategy = load_strategy(filled, name)
    counts = derive_columns(filled, NOW, strategy=strategy)["1999"]
    due = {"age_table": {"tmdb_age_table": 4, "tmdb_fresh": 4}, "value_of_refresh": {"tmdb_index": 7}}[name]
    ceilings = {"age_table": 2, "value_of_refresh": 3}[name]
    assert counts.reasons.items() >= (due | {"tmdb_ceiling": ceilings}).items()
    stored = filled.execute("SELECT tmdb_reason, count(*) FROM refresh_metadata GROUP BY 1").fetchall()
    assert dict(stored) == {
        key.removeprefix("tmdb_"): n for key, n in counts.reasons.items() if key.startswith("tmdb_")
    }


def test_due_movies_are_listed_by_the_strategy_that_decides(filled: Connection) -> None:
    derive_columns(filled, NOW)
    by_age = list_due(filled, ("omdb",), NOW, 100)
    by_value = list_due(filled, ("omdb",), NOW, 100, load_strategy(filled, "value_of_refresh"))
    assert [movie["tmdb_id"] for movie in by_age] == [9, 10]
    assert [movie["tmdb_id"] for movie in by_value] == list(range(10, 0, -1))
    assert all(movie["needs_omdb"] for movie in by_value)
