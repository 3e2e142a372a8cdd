"""Where the age table is the wrong choice, by what the collection's own log holds."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from ayne_dagster.refresh.outlook import LEAST_ANSWERS
from ayne_dagster.warehouse import outlook
from ayne_dagster.warehouse.outlook import misfits
from ayne_dagster.warehouse.refresh_metadata import new_state_row
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import FETCH_LOG, REFRESH_METADATA
from ayne_dagster_tests.support.samples import DAY, START

Connection = duckdb.DuckDBPyConnection


def collected(connection: Connection, movies: int, rate: float, answers: int, **fields: object) -> None:
    """Old movies that change so often at TMDB, and what the log holds of second looks."""
    known = {
        "release_date": date(1999, 10, 15),
        "importance": 1.0,
        "tmdb_rate": rate,
        "tmdb_checked_at": naive_utc(START - 30 * DAY),
    }
    states = [new_state_row(n, START - 99 * DAY, "1999") | known | fields for n in range(1, movies + 1)]
    insert_rows(connection, REFRESH_METADATA, states)
    row = {"source": "tmdb", "fetched_at": naive_utc(START - DAY), "outcome": "fetched", "days_since_check": 9.0}
    insert_rows(connection, FETCH_LOG, [row | {"tmdb_id": n % movies + 1, "changed": True} for n in range(answers)])


def test_an_allowance_left_unspent_while_movies_go_stale_is_told_with_what_it_would_buy(connection: Connection) -> None:
    collected(connection, 700, 0.01, 500)
    (found,) = misfits(connection, START, {"tmdb": 150, "omdb": 1000})
    assert (found.source, found.quota, found.answers) == ("tmdb", 150, 500)
    assert found.demand == pytest.approx(700 / 90)
    assert found.stale_by_table == pytest.approx(0.34, abs=0.01)
    assert found.stale_by_value < 0.05


@pytest.mark.parametrize(("expected_of_each", "believed"), [(0.0, 1.0), (0.05, 0.0)])
def test_rates_of_an_age_of_which_little_was_looked_at_twice_are_told_to_be_belief(
    connection: Connection, expected_of_each: float, believed: float
) -> None:
    collected(connection, 700, 0.01, 500, tmdb_exposure=expected_of_each)
    (found,) = misfits(connection, START, {"tmdb": 150})
    assert found.believed == pytest.approx(believed)


def test_of_many_movies_a_sample_stands_for_all(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    collected(connection, 700, 0.01, 500)
    (whole,) = misfits(connection, START, {"tmdb": 150})
    monkeypatch.setattr(outlook, "one_in", lambda movies: movies // 350)
    (sampled,) = misfits(connection, START, {"tmdb": 150})
    assert sampled.demand == pytest.approx(whole.demand, rel=0.2)
    assert sampled.demand != whole.demand
    assert sampled.stale_by_table == pytest.approx(whole.stale_by_table, abs=0.01)


def test_frozen_movies_are_not_asked_for_and_go_stale(connection: Connection) -> None:
    collected(connection, 700, 0.01, 500, unchanged_cycles=3)
    (found,) = misfits(connection, START, {"tmdb": 150})
    assert found.demand == pytest.approx(700 / 170)
    assert found.stale_by_table > 0.5


def test_without_a_quota_or_with_few_answers_nothing_is_told(connection: Connection) -> None:
    collected(connection, 700, 0.01, LEAST_ANSWERS - 1)
    assert misfits(connection, START, {"tmdb": 150}) == []
    assert misfits(connection, START, {"tmdb": 0}) == []
