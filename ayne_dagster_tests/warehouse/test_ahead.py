"""A clock that was ahead: what it noted is taken for unknown at once, found by a check, and mended on demand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.states import COLLECTED
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, FREEZE_AFTER_CYCLES, Override, Reason
from ayne_dagster.warehouse.answers import QuarantinedBody
from ayne_dagster.warehouse.care.ahead import MENDED, NOT_EVENTS, mend, moments, told_ahead
from ayne_dagster.warehouse.care.integrity import check_database, mend_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.feeds.change_feed import FeedDay, merge_feed_days, plan_reading
from ayne_dagster.warehouse.feeds.change_signals import Signal, note_signals
from ayne_dagster.warehouse.feeds.daily_files import Unpacked, last_accepted, record
from ayne_dagster.warehouse.freshness import observe_freshness
from ayne_dagster.warehouse.merge import merge_answers, quarantine
from ayne_dagster.warehouse.rates import learn_if_due, usual_popularity
from ayne_dagster.warehouse.refresh_metadata import derive_columns, due_counts, due_movies, set_override
from ayne_dagster.warehouse.schema import CHANGE_FEED_DAYS, DAILY_FILES, TABLES, TMDB_DETAILS
from ayne_dagster.warehouse.statistics import record_stats
from ayne_dagster.warehouse.strategies import load_strategy, value_of_refresh
from ayne_dagster_tests.support.samples import (
    DAY,
    HOUR,
    START,
    Transaction,
    details,
    everything,
    listed,
    merge_details,
    merge_listed,
    merge_ratings,
    one,
    ratings,
    rows,
    state_of,
    without_row,
)

NOW = START + 30 * DAY
STRATEGIES = ("age_table", "value_of_refresh")


def run_at(connection: duckdb.DuckDBPyConnection, at: datetime, *ids: int) -> None:
    """What a run of everything leaves when its clock shows `at`."""
    merge_listed(connection, *(listed(i, at) for i in ids))
    merge_details(connection, *(details(i, at + HOUR, imdb_id=f"tt{i:07}", title=str(at)) for i in ids))
    merge_ratings(connection, *(ratings(i, at + HOUR, imdb_id=f"tt{i:07}") for i in ids))
    today = at.date()
    with Transaction(connection):
        read = [FeedDay(today - n * DAY, frozenset({i + n for i in ids}), True, at) for n in (3, 2, 1)]
        merge_feed_days(connection, read, at, "run")
        for name in ("tmdb_id_export", "imdb_ratings"):
            record(connection, name, today, Unpacked(Path("any"), 500, 0), at, "run")
        quarantine(connection, [QuarantinedBody("tmdb", "discover", at, "no JSON", b"<html>")], f"run {at}")
        derive_columns(connection, at)
        record_stats(connection, at)
        observe_freshness(connection, COLLECTED, at, AGE_TABLE_STRATEGY, value_of_refresh(connection))


@pytest.fixture(params=[timedelta(days=2), timedelta(days=400)], ids=["two days", "a year and more"])
def ahead(request: pytest.FixtureRequest) -> timedelta:
    return request.param  # type: ignore[no-any-return]


def test_every_column_that_notes_a_time_is_looked_at() -> None:
    timed = {(t.name, c.name) for t in TABLES for c in t.columns if c.type in ("TIMESTAMP", "DATE")}
    looked_at = {(moment.table.name, moment.column) for moment in moments()}
    assert {column for _, column in timed - looked_at} == NOT_EVENTS
    assert len(looked_at) > 40


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_fetched_by_a_clock_that_was_ahead_is_due_by_the_right_one(
    connection: duckdb.DuckDBPyConnection, ahead: timedelta, strategy: str
) -> None:
    run_at(connection, NOW - HOUR, 1, 2)
    run_at(connection, NOW + ahead, 3, 4)
    chosen = load_strategy(connection, strategy)
    for source in COLLECTED:
        assert [m.tmdb_id for m in due_movies(connection, [source], NOW, 10, strategy=chosen)] == [3, 4]
        assert due_counts(connection, [source], NOW, strategy=chosen)[source] == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_failure_in_the_future_makes_nothing_wait_and_a_force_is_used_up_by_one_attempt(
    connection: duckdb.DuckDBPyConnection, ahead: timedelta, strategy: str
) -> None:
    merge_details(connection, without_row(Outcome.FAILED, 1, NOW + ahead))
    chosen = load_strategy(connection, strategy)
    assert chosen.reason_at(state_of(connection, 1), "tmdb", NOW) is Reason.NEVER_FETCHED
    with Transaction(connection):
        set_override(connection, [1], Override.FORCE, NOW + 2 * ahead)
    assert chosen.reason_at(state_of(connection, 1), "tmdb", NOW) is Reason.MANUAL
    with Transaction(connection):
        merge_answers(connection, TMDB_DETAILS, "tmdb", [details(1, NOW)], "run", now=NOW)
    assert chosen.reason_at(state_of(connection, 1), "tmdb", NOW + HOUR) is not Reason.MANUAL
    assert due_movies(connection, ["tmdb"], NOW + HOUR, 10, strategy=chosen) == []


def test_an_answer_is_not_outdated_by_one_of_the_future(
    connection: duckdb.DuckDBPyConnection, ahead: timedelta
) -> None:
    run_at(connection, NOW + ahead, 1)
    with Transaction(connection):
        told = merge_answers(connection, TMDB_DETAILS, "tmdb", [details(1, NOW, title="New")], "run", now=NOW)
    assert told.total().updated == 1
    assert one(connection, "tmdb_details", 1)["title"] == "New"
    assert state_of(connection, 1).at("tmdb").checked_at == NOW
    with Transaction(connection):
        again = merge_answers(connection, TMDB_DETAILS, "tmdb", [details(1, NOW, title="New")], "run", now=NOW)
    assert not again.total().not_zero(), "a batch that is merged twice counts once all the same"


def test_a_change_is_signalled_though_the_last_check_lies_in_the_future(
    connection: duckdb.DuckDBPyConnection, ahead: timedelta
) -> None:
    run_at(connection, NOW + ahead, 1)
    with Transaction(connection):
        assert note_signals(connection, "omdb", [Signal(1, NOW)], NOW).noted == 1


def test_days_of_the_feed_and_files_are_read_up_to_the_present(
    connection: duckdb.DuckDBPyConnection, ahead: timedelta
) -> None:
    today = NOW.date()
    run_at(connection, NOW - 2 * DAY, 1)
    read = plan_reading(connection, NOW), last_accepted(connection, "imdb_ratings", NOW)
    assert told_ahead(connection, CHANGE_FEED_DAYS, NOW) is None
    run_at(connection, NOW + ahead, 1)
    assert (plan_reading(connection, NOW), last_accepted(connection, "imdb_ratings", NOW)) == read
    assert "3 row(s) of change_feed_days" in str(told_ahead(connection, CHANGE_FEED_DAYS, NOW))
    assert "2 row(s) of daily_files" in str(told_ahead(connection, DAILY_FILES, NOW))
    assert read[0].days == tuple(today - n * DAY for n in (3, 2, 1))
    assert read[1] == (today - 2 * DAY, 500)


def test_rates_are_corrected_though_the_last_time_lies_in_the_future(
    connection: duckdb.DuckDBPyConnection, ahead: timedelta
) -> None:
    run_at(connection, NOW + ahead, 1)
    assert learn_if_due(connection, NOW, usual_popularity(connection))
    assert not learn_if_due(connection, NOW + HOUR, usual_popularity(connection))


def test_what_lies_in_the_future_is_found_and_mended_and_all_of_it_is_due_again(
    database: Database, ahead: timedelta
) -> None:
    with database.connect() as connection:
        run_at(connection, NOW - 5 * DAY, 1, 2, 3)
        merge_details(connection, without_row(Outcome.NOT_FOUND, 9, NOW - 5 * DAY, release_year="unknown"))
        run_at(connection, NOW + ahead, 2, 3, 4)
        with Transaction(connection):
            set_override(connection, [2], Override.FREEZE, NOW + ahead)
            connection.execute(
                "INSERT INTO tmdb_id_export BY NAME SELECT 7 AS tmdb_id, $d AS first_listed_on, $d AS last_listed_on,"
                " $d AS missing_since, $d AS vanished_on",
                {"d": (NOW + ahead).date()},
            )
    found = {(finding.code, finding.where) for finding in check_database(database, NOW).findings}
    tables = {"refresh_metadata", "fetch_log", "movie_history", "quarantine", "collection_status", "change_feed_days"}
    tables |= {
        "freshness",
        "tmdb_changes",
        "daily_files",
        "tmdb_id_export",
        "tmdb_details",
        "omdb_ratings",
        "discovered_movies",
    }
    assert {where for code, where in found if code == "future"} >= tables
    mended = mend_database(database, NOW)
    assert mended.keys() >= tables
    report = check_database(database, NOW)
    assert report.findings == []
    with database.connect() as connection:
        assert [m.tmdb_id for m in due_movies(connection, ["omdb"], NOW, 10)] == [4], "the others were checked lately"
        assert state_of(connection, 3).at("tmdb").checked_at == NOW - 5 * DAY + HOUR, "what the log says of the past"
        assert state_of(connection, 4).at("tmdb").checked_at is None
        assert state_of(connection, 2).override is Override.FREEZE
        assert one(connection, "tmdb_details", 4)["title"], "no row is lost"
        assert plan_reading(connection, NOW).days[0] == NOW.date() - 6 * DAY
        noted = rows(connection, "SELECT count(*) FROM fetch_log WHERE reason LIKE '" + MENDED + "%'")
        assert noted == [(6,)], "and the log still says what had been noted"
        before = everything(connection)
        with Transaction(connection):
            assert mend(connection, NOW + HOUR) == {}
        assert everything(connection) == before, "what was mended is not mended again"
        run_at(connection, NOW, 2, 3, 4)
    assert check_database(database, NOW + DAY).findings == []


def test_nothing_that_lies_in_the_past_is_mended(connection: duckdb.DuckDBPyConnection) -> None:
    run_at(connection, NOW - HOUR, 1, 2)
    connection.execute("UPDATE refresh_metadata SET release_date = DATE '2031-01-01' WHERE tmdb_id = 1")
    connection.execute("UPDATE refresh_metadata SET tmdb_checked_at = ?", [(NOW + HOUR / 2).replace(tzinfo=None)])
    connection.execute("UPDATE refresh_metadata SET tmdb_recheck_at = ?", [(NOW + 9 * HOUR).replace(tzinfo=None)])
    before = everything(connection)
    with Transaction(connection):
        assert mend(connection, NOW) == {}
    assert everything(connection) == before


def test_a_mend_is_whole_or_not_at_all(connection: duckdb.DuckDBPyConnection) -> None:
    run_at(connection, NOW + 400 * DAY, 1)
    before = everything(connection)
    connection.execute("DROP TABLE feed_quality")
    with pytest.raises(duckdb.Error), Transaction(connection):
        mend(connection, NOW)
    assert {name: found for name, found in before.items() if name != "feed_quality"} == {
        table.name: sorted(rows(connection, f"FROM {table.name}"), key=repr)
        for table in TABLES
        if table.name in before and table.name != "feed_quality"
    }


def test_a_clock_that_is_years_behind_loses_nothing_and_what_it_notes_is_due_by_the_right_one(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    run_at(connection, NOW - HOUR, 1, 2)
    behind = NOW - 2000 * DAY
    with Transaction(connection):
        told = merge_answers(connection, TMDB_DETAILS, "tmdb", [details(1, behind, title="New")], "run", now=behind)
    assert told.total().updated == 1, "what was paid for is kept"
    assert [m.tmdb_id for m in due_movies(connection, ["tmdb"], NOW, 10)] == [1]
    assert plan_reading(connection, NOW).days == (), "and the feed's record is as it was"


def test_a_frozen_movie_that_was_checked_in_the_future_is_asked_for_again_as_the_terms_of_use_want(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    run_at(connection, NOW + 400 * DAY, 1)
    connection.execute("UPDATE refresh_metadata SET unchanged_cycles = ?", [FREEZE_AFTER_CYCLES])
    (due,) = due_movies(connection, ["tmdb"], NOW, 10)
    assert due.reasons == {"tmdb": Reason.CEILING}
    assert due.release_date == date(1999, 10, 15)
