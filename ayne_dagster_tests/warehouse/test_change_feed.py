"""The change feed: which days are read, what is stored of them, and that no reading counts anything twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.warehouse.answers import FeedCounts
from ayne_dagster.warehouse.feeds.change_feed import (
    DAY,
    REACH_DAYS,
    FeedDay,
    FeedPlan,
    FeedPosition,
    feed_position,
    merge_feed_days,
    plan_days,
    plan_reading,
)
from ayne_dagster_tests.support.samples import Transaction, details, everything, merge_details, rows, state_of

TODAY = date(2024, 3, 20)
YESTERDAY = TODAY - DAY
NOW = datetime(2024, 3, 20, 8, 15, tzinfo=UTC)


def days_ago(*numbers: int) -> tuple[date, ...]:
    return tuple(TODAY - DAY * number for number in numbers)


def read_up_to(day: date) -> FeedPosition:
    return FeedPosition(day, day)


def test_the_first_reading_begins_with_yesterday() -> None:
    assert plan_days(FeedPosition(None, None), TODAY) == FeedPlan((), days_ago(1))


def test_the_last_day_read_is_read_again() -> None:
    assert plan_days(read_up_to(TODAY - 2 * DAY), TODAY) == FeedPlan((), days_ago(2, 1))


@pytest.mark.parametrize("ahead", [0, 1, 400])
def test_nothing_is_read_a_second_time_on_a_day_nor_with_the_clock_turned_back(ahead: int) -> None:
    assert plan_days(read_up_to(YESTERDAY + DAY * ahead), TODAY) == FeedPlan((), ())


def test_days_more_than_14_back_are_gaps() -> None:
    plan = plan_days(read_up_to(TODAY - 21 * DAY), TODAY)
    assert plan.gaps == days_ago(20, 19, 18, 17, 16, 15)
    assert plan.days == days_ago(*range(14, 0, -1))


def test_a_day_that_was_given_up_is_not_asked_for_again_and_the_one_read_before_is() -> None:
    position = FeedPosition(cursor=TODAY - 4 * DAY, recorded=TODAY - 3 * DAY)
    assert plan_days(position, TODAY) == FeedPlan((), days_ago(4, 2, 1))


@given(st.integers(0, 60), st.none() | st.integers(0, 60))
def test_every_day_after_the_last_recorded_one_is_read_or_given_up_once(recorded: int, cursor: int | None) -> None:
    position = FeedPosition(None if cursor is None else TODAY - DAY * max(cursor, recorded), TODAY - DAY * recorded)
    plan = plan_days(position, TODAY)
    again = [day for day in plan.days if day == position.cursor]
    fresh = [day for day in plan.days if day != position.cursor]
    assert [*plan.gaps, *fresh] == list(days_ago(*range(recorded - 1, 0, -1)))
    assert list(plan.days) == sorted(set(plan.days))
    assert all((TODAY - day).days > REACH_DAYS for day in plan.gaps)
    assert all(1 <= (TODAY - day).days <= REACH_DAYS for day in plan.days)
    reachable = position.cursor is not None and (TODAY - position.cursor).days <= REACH_DAYS
    assert bool(again) == (reachable and bool(fresh))


@given(st.integers(1, 40), st.lists(st.integers(0, 16), max_size=6))
def test_a_reader_that_is_stopped_anywhere_ends_with_the_days_of_an_undisturbed_one(
    behind: int, stops: list[int]
) -> None:
    start = read_up_to(TODAY - DAY * behind)
    position, read, given_up = start, set[date](), list[date]()
    for steps in (*stops, 99):
        plan = plan_days(position, TODAY)
        commits = [*([plan.gaps] if plan.gaps else []), *((day,) for day in plan.days)][:steps]
        for commit in commits:
            if commit == plan.gaps:
                given_up += commit
            else:
                read.update(commit)
            position = FeedPosition(max([start.recorded or YESTERDAY, *read]), max([position.recorded, *commit]))  # type: ignore[type-var]
    undisturbed = plan_days(start, TODAY)
    assert read == set(undisturbed.days)
    assert tuple(given_up) == undisturbed.gaps


# Merging


def feed_day(day: date, *ids: int, at: datetime = NOW, covered: bool = True) -> FeedDay:
    return FeedDay(day, frozenset(ids), covered, at)


def merge(connection: duckdb.DuckDBPyConnection, *days: FeedDay, now: datetime = NOW) -> FeedCounts:
    with Transaction(connection):
        return merge_feed_days(connection, days, now, "run")


def know(connection: duckdb.DuckDBPyConnection, *ids: int, checked: datetime) -> None:
    merge_details(connection, *(details(tmdb_id, at=checked) for tmdb_id in ids))


LONG_AGO = NOW - timedelta(days=30)


def test_a_day_signals_the_known_movies_and_keeps_the_ids_of_all(connection: duckdb.DuckDBPyConnection) -> None:
    know(connection, 1, 2, checked=LONG_AGO)
    told = merge(connection, feed_day(YESTERDAY, 2, 3))
    assert told == FeedCounts(listed=2, known=1, new=2, signals=1, days=1)
    assert rows(connection, "SELECT tmdb_id, day FROM tmdb_changes ORDER BY 1") == [(2, YESTERDAY), (3, YESTERDAY)]
    assert rows(connection, "SELECT day, covered, listed, known FROM change_feed_days") == [(YESTERDAY, True, 2, 1)]
    assert (state_of(connection, 1).at("tmdb").signals, state_of(connection, 2).at("tmdb").signals) == (0, 1)
    assert state_of(connection, 2).at("tmdb").signalled_at == datetime.combine(TODAY, time(), UTC)


def test_a_movie_checked_after_the_day_had_ended_is_not_signalled(connection: duckdb.DuckDBPyConnection) -> None:
    midnight = datetime.combine(TODAY, time(), UTC)
    know(connection, 1, checked=midnight - timedelta(seconds=1))
    know(connection, 2, checked=midnight)
    assert merge(connection, feed_day(YESTERDAY, 1, 2)).signals == 1
    assert state_of(connection, 2).at("tmdb").signals == 0


def test_a_day_read_again_signals_only_what_it_did_not_name_before(connection: duckdb.DuckDBPyConnection) -> None:
    know(connection, 1, 2, checked=LONG_AGO)
    merge(connection, feed_day(YESTERDAY, 1))
    told = merge(connection, feed_day(YESTERDAY, 1, 2))
    assert (told.listed, told.new, told.signals) == (2, 1, 1)
    assert [state_of(connection, i).at("tmdb").signals for i in (1, 2)] == [1, 1]
    assert rows(connection, "SELECT count(*) FROM tmdb_changes") == [(2,)]


def test_a_batch_merged_a_second_time_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    know(connection, 1, 2, checked=LONG_AGO)
    batch = (feed_day(YESTERDAY - DAY, 1), feed_day(YESTERDAY, 1, 2))
    merge(connection, *batch)
    once = everything(connection)
    assert state_of(connection, 1).at("tmdb").signals == 2
    merge(connection, *batch)
    assert everything(connection) == once


def test_a_list_that_is_cut_leaves_the_day_uncovered_and_signals_all_the_same(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    know(connection, 1, checked=LONG_AGO)
    told = merge(connection, feed_day(YESTERDAY, 1, covered=False))
    assert (told.signals, told.gaps, told.days) == (1, 1, 0)
    assert feed_position(connection, NOW) == FeedPosition(None, YESTERDAY)


def test_a_covered_day_stays_covered_when_a_second_reading_is_cut(connection: duckdb.DuckDBPyConnection) -> None:
    merge(connection, feed_day(YESTERDAY, 1, 2))
    merge(connection, feed_day(YESTERDAY, 1, covered=False))
    assert rows(connection, "SELECT covered, listed FROM change_feed_days") == [(True, 2)]


def test_the_cursor_is_the_newest_covered_day(connection: duckdb.DuckDBPyConnection) -> None:
    assert feed_position(connection, NOW) == FeedPosition(None, None)
    merge(connection, feed_day(YESTERDAY - 2 * DAY, 1), feed_day(YESTERDAY - DAY, covered=False))
    assert feed_position(connection, NOW) == FeedPosition(YESTERDAY - 2 * DAY, YESTERDAY - DAY)
    assert plan_reading(connection, NOW) == FeedPlan((), (YESTERDAY - 2 * DAY, YESTERDAY))


def test_an_empty_day_is_covered(connection: duckdb.DuckDBPyConnection) -> None:
    merge(connection, feed_day(YESTERDAY))
    assert feed_position(connection, NOW) == read_up_to(YESTERDAY)
    assert plan_reading(connection, NOW) == FeedPlan((), ())
