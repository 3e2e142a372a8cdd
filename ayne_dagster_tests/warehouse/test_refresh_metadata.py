"""Refresh state in the warehouse: which movies are due, in which order, and a person's overrides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from ayne_dagster.partitions import release_year
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    MovieState,
    Override,
    Reason,
    SourceState,
    ValueOfRefreshStrategy,
    movie_state,
)
from ayne_dagster.warehouse.refresh_metadata import (
    DerivedYear,
    DueMovie,
    derive_columns,
    due_by_year,
    due_counts,
    due_movies,
    movie_states,
    new_state_row,
    set_override,
    state_columns,
)
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster_tests.support.samples import DAY, HOUR, START, one, rows, state_of

Connection = duckdb.DuckDBPyConnection
NOW = START


def add(connection: Connection, tmdb_id: int, **fields: Any) -> None:
    """Add a movie; fields are columns of refresh_metadata."""
    released = fields.get("release_date")
    row = new_state_row(tmdb_id, START - 999 * DAY, release_year(released)) | fields
    insert_rows(connection, REFRESH_METADATA, [row])


def ago(days: float) -> Any:
    return naive_utc(NOW - timedelta(days=days))


def checked(days: float, *sources: str) -> dict[str, Any]:
    """Columns of a movie that these sources answered for so many days ago."""
    return {f"{s}_{name}": ago(days) for s in sources for name in ("attempted_at", "checked_at", "changed_at")}


@pytest.fixture
def filled(connection: Connection) -> Connection:
    add(connection, 1, release_date=date(1999, 10, 15), imdb_id="tt0000001")
    add(connection, 2, release_date=date(2023, 12, 1), imdb_id="tt0000002", **checked(5, "tmdb", "omdb"))
    add(connection, 3, release_date=date(2023, 12, 24), imdb_id="tt0000003", **checked(1, "tmdb", "omdb"))
    add(connection, 4, release_date=None)
    add(connection, 5, release_date=date(1999, 1, 1), imdb_id="tt0000005", **checked(90, "tmdb"))
    add(connection, 6, release_date=date(1980, 1, 1), imdb_id="tt0000006", **checked(181, "tmdb", "omdb"))
    return connection


def ids(movies: Iterable[DueMovie]) -> list[int]:
    return [movie.tmdb_id for movie in movies]


def test_due_movies_come_in_order(filled: Connection) -> None:
    assert ids(due_movies(filled, ("tmdb",), NOW, 100)) == [1, 5, 4, 2, 6]
    assert ids(due_movies(filled, ("omdb",), NOW, 100)) == [1, 5, 2, 6]


def test_due_movies_come_with_all_that_asking_takes(filled: Connection) -> None:
    first, *_ = due_movies(filled, ("tmdb", "omdb"), NOW, 1)
    reasons = {"tmdb": Reason.NEVER_FETCHED, "omdb": Reason.NEVER_FETCHED}
    assert first == DueMovie(1, "1999", date(1999, 10, 15), "tt0000001", reasons)


def test_a_movie_due_for_one_source_tells_the_reason_at_each(filled: Connection) -> None:
    found = {movie.tmdb_id: movie.reasons for movie in due_movies(filled, ("tmdb", "omdb"), NOW, 100)}
    assert found[4] == {"tmdb": Reason.NEVER_FETCHED, "omdb": Reason.NO_IMDB_ID}
    assert found[6] == {"tmdb": Reason.CEILING, "omdb": Reason.AGE_TABLE}
    assert 3 not in found


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_the_limit_takes_the_first(filled: Connection, limit: int) -> None:
    assert ids(due_movies(filled, ("tmdb",), NOW, limit)) == [1, 5, 4, 2, 6][:limit]


def test_only_the_years_asked_for(filled: Connection) -> None:
    assert ids(due_movies(filled, ("tmdb",), NOW, 100, years=["1999", "unknown"])) == [1, 5, 4]
    assert ids(due_movies(filled, ("tmdb",), NOW, 100, years=["1900"])) == []


def test_only_the_movies_asked_for(filled: Connection) -> None:
    assert ids(due_movies(filled, ("tmdb",), NOW, 100, ids=[6, 3, 1, 777])) == [1, 6]
    assert ids(due_movies(filled, ("tmdb",), NOW, 100, ids={2, 4}, years=["2023"])) == [2]


def test_no_years_and_no_ids_are_no_movies(filled: Connection) -> None:
    assert due_movies(filled, ("tmdb",), NOW, 100, years=[]) == []
    assert due_movies(filled, ("tmdb",), NOW, 100, ids=[]) == []
    assert due_counts(filled, ("tmdb",), NOW, years=[]) == {"tmdb": 0, "any_source": 0}


def test_now_decides(filled: Connection) -> None:
    # Two movies reach five days, one of them without waiting.
    assert 3 not in ids(due_movies(filled, ("tmdb",), NOW + 4 * DAY - timedelta(seconds=1), 100))
    assert 3 in ids(due_movies(filled, ("tmdb",), NOW + 4 * DAY, 100))


def test_due_movies_are_counted_by_source_and_together(filled: Connection) -> None:
    assert due_counts(filled, ("tmdb", "omdb"), NOW) == {"tmdb": 5, "omdb": 4, "any_source": 5}
    assert due_counts(filled, ("omdb",), NOW, years=["1999", "1980"]) == {"omdb": 3, "any_source": 3}
    assert due_counts(filled, ("numbers",), NOW) == {"numbers": 6, "any_source": 6}


def test_counts_of_an_empty_warehouse_are_zero(connection: Connection) -> None:
    assert due_counts(connection, ("tmdb", "omdb"), NOW) == {"tmdb": 0, "omdb": 0, "any_source": 0}
    assert due_by_year(connection, "tmdb", NOW) == {}


def test_due_movies_are_counted_by_year(filled: Connection) -> None:
    assert due_by_year(filled, "tmdb", NOW) == {"1999": 2, "2023": 1, "unknown": 1, "1980": 1}
    assert due_by_year(filled, "omdb", NOW) == {"1999": 2, "2023": 1, "1980": 1}


# States in and out


def test_a_state_survives_the_warehouse(connection: Connection) -> None:
    at_source = SourceState(NOW, NOW - DAY, NOW - 2 * DAY, 3, NOW - 3 * DAY, NOW - 4 * DAY)
    state = MovieState(7, date(1999, 10, 15), "tt0000007", 2, Override.FORCE, NOW - HOUR, {"omdb": at_source})
    row = {"release_date": state.release_date, "imdb_id": state.imdb_id, **state_columns(state, "omdb")}
    add(connection, 7, **row, override="force", override_at=naive_utc(NOW - HOUR))
    found = state_of(connection, 7)
    assert found.at("omdb") == at_source
    assert found.at("tmdb") == SourceState()
    assert (found.override, found.override_at, found.unchanged_cycles) == (Override.FORCE, NOW - HOUR, 2)


def test_states_of_unknown_movies_are_left_out(filled: Connection) -> None:
    assert [state.tmdb_id for state in movie_states(filled, [3, 777, 1])] == [1, 3]
    assert movie_states(filled, []) == []


def test_a_row_read_back_is_the_state_of_the_plan(filled: Connection) -> None:
    assert movie_state(one(filled, "refresh_metadata", 6)) == state_of(filled, 6)


# Overrides


@pytest.mark.parametrize("override", list(Override))
def test_an_override_is_stored_with_its_time(filled: Connection, override: Override) -> None:
    assert set_override(filled, [1, 3, 777], override, NOW) == {1, 3}
    for tmdb_id in (1, 3):
        state = state_of(filled, tmdb_id)
        assert (state.override, state.override_at) == (override, NOW)
    assert state_of(filled, 2).override is None


def test_an_override_of_unknown_movies_changes_nothing(filled: Connection) -> None:
    before = rows(filled, "SELECT * FROM refresh_metadata ORDER BY tmdb_id")
    assert set_override(filled, [777], Override.FREEZE, NOW) == set()
    assert set_override(filled, [], Override.FREEZE, NOW) == set()
    assert rows(filled, "SELECT * FROM refresh_metadata ORDER BY tmdb_id") == before


def test_a_frozen_movie_is_no_longer_due(filled: Connection) -> None:
    set_override(filled, [1], Override.FREEZE, NOW)
    assert 1 not in ids(due_movies(filled, ("tmdb", "omdb"), NOW, 100))


def test_a_forced_movie_is_due(filled: Connection) -> None:
    set_override(filled, [3], Override.FORCE, NOW)
    (forced,) = due_movies(filled, ("tmdb", "omdb"), NOW, 100, ids=[3])
    assert set(forced.reasons.values()) == {Reason.MANUAL}


def test_a_thaw_starts_the_count_of_cycles_anew(connection: Connection) -> None:
    add(connection, 1, release_date=date(1999, 1, 1), unchanged_cycles=5, **checked(100, "tmdb"))
    assert AGE_TABLE_STRATEGY.is_frozen(state_of(connection, 1), NOW)
    set_override(connection, [1], Override.THAW, NOW)
    assert state_of(connection, 1).unchanged_cycles == 0
    assert ids(due_movies(connection, ("tmdb",), NOW, 100)) == [1]


@pytest.mark.parametrize("override", [Override.FREEZE, Override.FORCE])
def test_other_overrides_keep_the_count_of_cycles(connection: Connection, override: Override) -> None:
    add(connection, 1, unchanged_cycles=2)
    set_override(connection, [1], override, NOW)
    assert state_of(connection, 1).unchanged_cycles == 2


# Derived columns


def derived(connection: Connection) -> dict[int, tuple[Any, ...]]:
    found = rows(connection, "SELECT tmdb_id, category, fully_refreshed, frozen FROM refresh_metadata")
    return {row[0]: row[1:] for row in found}


def test_columns_are_derived(filled: Connection) -> None:
    add(filled, 7, release_date=date(1999, 1, 1), unchanged_cycles=3, **checked(9, "tmdb"))
    derive_columns(filled, NOW)
    assert derived(filled) == {
        1: ("archived", False, False),
        2: ("recent", True, False),
        3: ("recent", True, False),
        4: ("recent", False, False),
        5: ("archived", False, False),
        6: ("archived", True, False),
        7: ("archived", True, True),
    }


def test_deriving_reports_by_year(filled: Connection) -> None:
    assert derive_columns(filled, NOW)["1999"] == DerivedYear(
        movies=2,
        updated=2,
        newly_frozen=0,
        frozen=0,
        reasons={"tmdb_never_fetched": 1, "tmdb_age_table": 1, "omdb_never_fetched": 2},
    )


def counted(report: dict[str, DerivedYear]) -> dict[str, tuple[int, ...]]:
    """The counts by year, without those by reason."""
    return {year: astuple(found)[:-1] for year, found in report.items()}


def test_a_movie_is_counted_as_newly_frozen_once(connection: Connection) -> None:
    add(connection, 1, release_date=date(1999, 1, 1), unchanged_cycles=3, **checked(9, "tmdb"))
    add(connection, 2, release_date=date(1999, 1, 1))
    assert counted(derive_columns(connection, NOW)) == {"1999": (2, 2, 1, 1)}
    assert counted(derive_columns(connection, NOW + HOUR)) == {"1999": (2, 0, 0, 1)}


def test_a_movie_that_thawed_and_froze_again_counts_again(connection: Connection) -> None:
    add(connection, 1, release_date=date(1999, 1, 1), unchanged_cycles=3, **checked(9, "tmdb"))
    derive_columns(connection, NOW)
    set_override(connection, [1], Override.THAW, NOW)
    assert counted(derive_columns(connection, NOW)) == {"1999": (1, 1, 0, 0)}
    set_override(connection, [1], Override.FREEZE, NOW)
    assert derive_columns(connection, NOW)["1999"].newly_frozen == 1


def test_only_rows_that_changed_get_a_new_decision_time(connection: Connection) -> None:
    add(connection, 1, release_date=NOW.date())
    add(connection, 2, release_date=NOW.date() - 60 * DAY)
    derive_columns(connection, NOW)
    report = derive_columns(connection, NOW + DAY)
    assert sum(counts.updated for counts in report.values()) == 1
    found = rows(connection, "SELECT tmdb_id, category, decided_at FROM refresh_metadata ORDER BY 1")
    assert found == [(1, "recent", naive_utc(NOW)), (2, "established", naive_utc(NOW + DAY))]


def test_deriving_can_be_limited_to_years(filled: Connection) -> None:
    assert set(derive_columns(filled, NOW, years=["1999", "1900"])) == {"1999"}
    assert derived(filled)[2] == (None, None, None)
    assert derive_columns(filled, NOW, years=[]) == {}


def test_a_force_ends_no_freeze(filled: Connection) -> None:
    set_override(filled, [1, 2], Override.THAW, NOW - 2 * HOUR)
    set_override(filled, [1], Override.FREEZE, NOW - HOUR)
    assert set_override(filled, [1, 2], Override.FORCE, NOW) == {1, 2}
    kept = {state.tmdb_id: state.override for state in movie_states(filled, [1, 2])}
    assert kept == {1: Override.FORCE_FROZEN, 2: Override.FORCE}
    for strategy in (AGE_TABLE_STRATEGY, ValueOfRefreshStrategy()):
        (forced,) = due_movies(filled, ("tmdb",), NOW, 100, ids=[1], strategy=strategy)
        assert forced.reasons == {"tmdb": Reason.MANUAL}
