"""The figures of the front page: which are counted, and which are estimated where there are many movies."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.dashboard import front as front_page
from ayne_dagster.dashboard.pages import Asked
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.refresh_metadata import due_movies, movie_states, new_state_row
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.sampling import one_in
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster.warehouse.strategies import value_of_refresh
from ayne_dagster_tests.support.samples import DAY, START

OLD, NEW = 3_000, 40


def told(path: Path) -> dict[str, Any]:
    """The front page over a few new and many old movies, every third of which was checked in time."""
    database = Database(path / "ayne.duckdb")
    with database.transaction() as connection:
        states = [
            new_state_row(n, START - 400 * DAY, "1999")
            | {
                "release_date": date(1999, 10, 15) if n <= OLD else START.date(),
                "imdb_id": f"tt{n:07}",
                "tmdb_checked_at": naive_utc(START - (20 if n % 3 == 0 else 120) * DAY),
                "tmdb_rate": 0.01,
            }
            for n in range(1, OLD + NEW + 1)
        ]
        insert_rows(connection, REFRESH_METADATA, states)
    with database.connect(read_only=True) as connection:
        return front_page.front(asked(connection, database.path))


def asked(connection: duckdb.DuckDBPyConnection, path: Path) -> Asked:
    return Asked(connection, Settings(database=path), START, AGE_TABLE_STRATEGY, value_of_refresh(connection))


def test_of_few_movies_all_are_looked_at(tmp_path: Path) -> None:
    at_tmdb = told(tmp_path)["freshness"][0]
    assert at_tmdb["estimated_from"] == {}
    assert at_tmdb["total"]["in_time"] == OLD / 3
    assert [row and row["movies"] for row in at_tmdb["by_category"]] == [NEW, None, None, OLD]


def test_of_many_movies_shares_are_estimated_by_age_and_counts_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all").mkdir()
    whole = told(tmp_path / "all")["freshness"][0]
    monkeypatch.setattr(front_page, "one_in", partial(one_in, sampled=1_000))
    at_tmdb = told(tmp_path)["freshness"][0]
    assert at_tmdb["estimated_from"] == {"archived": 3}, "the few new ones are all looked at"
    for name in ("movies", "checked"):
        assert at_tmdb["total"][name] == whole["total"][name]
    assert (at_tmdb["never"], at_tmdb["due"]) == (whole["never"], whole["due"])
    assert at_tmdb["by_category"][0] == whole["by_category"][0]
    for name in ("in_time", "fresh"):
        assert at_tmdb["total"][name] != whole["total"][name], "a sample was looked at"
        assert at_tmdb["total"][name] == pytest.approx(whole["total"][name], rel=0.1)


def test_what_the_next_requests_are_worth_is_what_each_movie_is_assessed_at(tmp_path: Path) -> None:
    (sentence,) = (line for line in told(tmp_path)["worth"] if "TMDB" in line)
    database = Database(tmp_path / "ayne.duckdb")
    with database.connect(read_only=True) as connection:
        due = due_movies(connection, ("tmdb",), START, front_page.NEXT_REQUESTS)
        states = movie_states(connection, [movie.tmdb_id for movie in due])
        stale = sum(value_of_refresh(connection).assess(state, "tmdb", START).p_stale for state in states)
    assert f"about {stale:,.0f} of {len(due)} second looks find something changed" in sentence
