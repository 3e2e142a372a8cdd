"""Signals are counted for the movies that they concern, and for no others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.states import AHEAD
from ayne_dagster.refresh.strategy import FREEZE_AFTER_CYCLES, Override
from ayne_dagster.warehouse.feeds.change_signals import MOST_SIGNALS, Signal, SignalReport, note_signals
from ayne_dagster.warehouse.refresh_metadata import set_override
from ayne_dagster_tests.support.samples import (
    DAY,
    HOUR,
    START,
    Transaction,
    create_tables,
    details,
    merge_details,
    merge_ratings,
    ratings,
    state_of,
)
from ayne_dagster_tests.support.thoroughness import examples

NOW = START + 30 * DAY


def note(connection: duckdb.DuckDBPyConnection, *signals: Signal, source: str = "tmdb") -> SignalReport:
    with Transaction(connection):
        return note_signals(connection, source, signals, NOW)


def freeze(connection: duckdb.DuckDBPyConnection, tmdb_id: int = 550) -> None:
    """Make a movie one that the rules have frozen."""
    merge_details(connection, details(tmdb_id))
    merge_ratings(connection, ratings(tmdb_id))
    connection.execute("UPDATE refresh_metadata SET unchanged_cycles = ?", [FREEZE_AFTER_CYCLES])


def test_an_unknown_movie_is_not_signalled(connection: duckdb.DuckDBPyConnection) -> None:
    assert note(connection, Signal(1, NOW)) == SignalReport(0, 0)
    assert connection.execute("SELECT count(*) FROM refresh_metadata").fetchall() == [(0,)]


def test_a_frozen_movie_is_thawed_once(connection: duckdb.DuckDBPyConnection) -> None:
    freeze(connection)
    assert note(connection, Signal(550, NOW)) == SignalReport(1, 1)
    assert note(connection, Signal(550, NOW)) == SignalReport(1, 0)


def test_a_movie_frozen_by_hand_is_not_thawed(connection: duckdb.DuckDBPyConnection) -> None:
    freeze(connection)
    set_override(connection, [550], Override.FREEZE, NOW)
    assert note(connection, Signal(550, NOW)) == SignalReport(1, 0)


def test_a_source_is_signalled_for_itself_alone(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details())
    note(connection, Signal(550, NOW), source="omdb")
    assert (state_of(connection).at("omdb").signals, state_of(connection).at("tmdb").signals) == (1, 0)


def test_more_signals_than_the_column_holds_are_not_counted(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details())
    connection.execute("UPDATE refresh_metadata SET tmdb_signals = ?", [MOST_SIGNALS])
    note(connection, Signal(550, NOW))
    assert state_of(connection).at("tmdb").signals == MOST_SIGNALS


def test_there_is_no_signal_for_a_source_that_does_not_exist(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(KeyError):
        note(connection, Signal(550, NOW), source="tmdb_signals = 9; --")


hours = st.integers(-48, 48)


@settings(max_examples=examples(25))
@given(st.lists(st.tuples(st.integers(1, 4), hours), max_size=12), st.lists(st.none() | hours, min_size=3, max_size=3))
def test_signals_add_up_as_the_model_does(signals: Sequence[tuple[int, int]], checked: Sequence[int | None]) -> None:
    """Movies 1 to 3 are known, checked at some hour or never; movie 4 is not. A check well ahead is at no known one."""

    def instant(hour: int) -> datetime:
        return NOW + timedelta(hours=hour)

    with duckdb.connect() as connection:
        create_tables(connection)
        merge_details(connection, *(details(tmdb_id) for tmdb_id in (1, 2, 3)))
        for tmdb_id, hour in enumerate(checked, start=1):
            at = None if hour is None else instant(hour).replace(tzinfo=None)
            connection.execute("UPDATE refresh_metadata SET tmdb_checked_at = ? WHERE tmdb_id = ?", [at, tmdb_id])
        report = note(connection, *(Signal(tmdb_id, instant(hour)) for tmdb_id, hour in signals))
        noted = 0
        for tmdb_id, last_check in enumerate(checked, start=1):
            unknown = last_check is None or last_check > AHEAD / HOUR
            news = [hour for i, hour in signals if i == tmdb_id and (unknown or hour > (last_check or 0))]
            state = state_of(connection, tmdb_id).at("tmdb")
            assert state.signals == len(news)
            assert state.signalled_at == (instant(max(news)) if news else None)
            noted += bool(news)
        assert report == SignalReport(noted, 0)
