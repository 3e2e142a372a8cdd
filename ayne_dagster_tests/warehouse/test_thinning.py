"""What the warehouse forgets of its own doings, and that nothing else is changed by it."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.answers import QuarantinedBody
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.care.purge import KEEP
from ayne_dagster.warehouse.care.thinning import BODIES_KEPT, CHANGES_KEPT, LOG_KEPT, STATUS_KEPT, thin
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers, merge_listing, quarantine
from ayne_dagster.warehouse.rates import JUDGED_DAYS
from ayne_dagster.warehouse.schema import OMDB_RATINGS, TMDB_DETAILS
from ayne_dagster.warehouse.statistics import record_stats
from ayne_dagster_tests.support.samples import (
    DAY,
    HOUR,
    RUN,
    START,
    Transaction,
    create_tables,
    details,
    listed,
    merge_details,
    merge_listed,
    ratings,
    rows,
    without_row,
)
from ayne_dagster_tests.support.thoroughness import examples

BY_DAY = "SELECT day, source, outcome, changed, due_because, attempts, requests FROM fetches_by_day ORDER BY ALL"


def thinned(connection: duckdb.DuckDBPyConnection, days: float) -> dict[str, int]:
    with Transaction(connection):
        return thin(connection, START + days * DAY)


def fill(connection: duckdb.DuckDBPyConnection, days: int = 500) -> None:
    """What `put` puts, in a transaction."""
    with Transaction(connection):
        put(connection, days)


def put(connection: duckdb.DuckDBPyConnection, days: int = 500) -> None:
    """Two movies asked for every 50 days, one of them failing in the end; within an open transaction."""
    merge_listing(connection, [listed(1), listed(2)], RUN)
    for day in range(0, days, 50):
        at = START + day * DAY + HOUR
        failing = without_row(Outcome.FAILED, 2, at, requests=3)
        other = failing if day > 200 else details(2, at, imdb_id="tt0000002")
        found = [details(1, at, imdb_id="tt0000001", title=f"Title {day}"), other]
        merge_answers(connection, TMDB_DETAILS, "tmdb", found, RUN)
        merge_answers(connection, OMDB_RATINGS, "omdb", [ratings(1, at + HOUR, imdb_id="tt0000001")], RUN)


def test_old_attempts_become_daily_sums_and_what_each_day_brought_is_told_as_before(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    fill(connection)
    before = rows(connection, BY_DAY)
    assert thinned(connection, 500)["fetch_log"] == 6, "two days of two movies and three answers"
    assert rows(connection, BY_DAY) == before
    assert rows(connection, "SELECT sum(attempts) FROM fetch_log_daily") == [(6,)]
    assert thinned(connection, 500)["fetch_log"] == 0
    assert rows(connection, BY_DAY) == before


def test_of_each_movie_the_last_attempt_and_the_last_success_stay_however_old(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    fill(connection)
    thinned(connection, 5000)
    kept = rows(connection, "SELECT tmdb_id, source, outcome, fetched_at FROM fetch_log ORDER BY ALL")
    asked = [(m, s, o, (START + d * DAY + h * HOUR).replace(tzinfo=None)) for m, s, o, d, h in (
        (1, "omdb", "fetched", 450, 2), (1, "tmdb", "fetched", 450, 1),
        (2, "tmdb", "failed", 450, 1), (2, "tmdb", "fetched", 200, 1),
    )]  # fmt: skip
    assert kept == asked


def test_a_database_that_was_thinned_out_is_as_sound_as_before(database: Database) -> None:
    with database.transaction() as connection:
        put(connection)
    now = START + 5000 * DAY
    assert check_database(database, now).sound
    with database.transaction() as connection:
        assert thin(connection, now)["fetch_log"] > 0
    report = check_database(database, now)
    assert report.findings == []


def test_attempts_at_movies_that_are_gone_are_summed_up_to_the_last(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection)
    before = rows(connection, BY_DAY)
    connection.execute("DELETE FROM refresh_metadata")
    thinned(connection, 5000)
    assert rows(connection, "SELECT * FROM fetch_log") == []
    assert rows(connection, BY_DAY) == before


@settings(max_examples=examples(12))
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 900), st.sampled_from(list(Outcome))), max_size=25),
    st.lists(st.integers(300, 1500), min_size=1, max_size=3),
)
def test_whatever_was_attempted_and_whenever_it_is_thinned_out_the_sums_are_the_same(
    attempts: list[tuple[int, int, Outcome]], days: list[int]
) -> None:
    with duckdb.connect(config={"threads": 1}) as connection:
        create_tables(connection)
        merge_listed(connection, *(listed(number) for number in range(1, 4)))
        for number, (tmdb_id, day, outcome) in enumerate(sorted(attempts, key=lambda a: a[1])):
            at = START + day * DAY + number * timedelta(seconds=1)
            fetched = outcome is Outcome.FETCHED
            merge_details(connection, details(tmdb_id, at) if fetched else without_row(outcome, tmdb_id, at))
        before = rows(connection, BY_DAY)
        last = "SELECT tmdb_id, source, max(fetched_at) FROM fetch_log GROUP BY ALL ORDER BY ALL"
        asked = rows(connection, last)
        for day in sorted(days):
            thinned(connection, day)
            assert rows(connection, BY_DAY) == before
        assert rows(connection, last) == asked


def test_of_old_observations_the_last_of_each_day_stays(connection: duckdb.DuckDBPyConnection) -> None:
    for hours in range(0, 72, 8):
        record_stats(connection, START + hours * HOUR)
    assert thinned(connection, 60)["collection_status"] == 0
    assert thinned(connection, 93)["collection_status"] == 5
    assert rows(connection, "SELECT count(*), count(DISTINCT CAST(observed_at AS DATE)) FROM collection_status") == [
        (4, 4)
    ]


def test_bodies_in_quarantine_go_after_a_month_and_what_was_wrong_after_longer(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    quarantine(connection, [QuarantinedBody("omdb", "movie 1", START, "no JSON", b"<html>")], "run-1")
    assert thinned(connection, 29)["quarantined bodies"] == 0
    assert thinned(connection, 31)["quarantined bodies"] == 1
    assert rows(connection, "SELECT reason, body FROM quarantine") == [("no JSON", None)]
    assert thinned(connection, 401)["quarantine"] == 1


def test_a_source_that_sends_rubbish_for_weeks_fills_the_quarantine_to_a_bound(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ayne_dagster.warehouse.care.thinning.MOST_BODIES", 3)
    bodies = [QuarantinedBody("omdb", f"movie {n}", START + n * HOUR, "no JSON", b"<html>") for n in range(10)]
    quarantine(connection, bodies, "run-1")
    assert thinned(connection, 1)["quarantined bodies"] == 7
    kept = rows(connection, "SELECT subject FROM quarantine WHERE body IS NOT NULL ORDER BY 1")
    assert kept == [("movie 7",), ("movie 8",), ("movie 9",)]


def test_of_feeds_and_files_the_last_that_was_accepted_stays_whatever_time_passes(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "INSERT INTO daily_files BY NAME SELECT 'imdb_ratings' AS name, DATE '2024-01-01' + n AS day, n < 3 AS accepted"
        " FROM (SELECT CAST(range AS INTEGER) AS n FROM range(5))"
    )
    connection.execute("INSERT INTO change_feed_days BY NAME SELECT DATE '2024-01-01' AS day, TRUE AS covered")
    connection.execute("INSERT INTO tmdb_changes VALUES (1, DATE '2024-01-01', TIMESTAMP '2024-01-02', 'run')")
    removed = thinned(connection, 5000)
    assert (removed["daily_files"], removed["change_feed_days"], removed["tmdb_changes"]) == (4, 1, 1)
    assert rows(connection, "SELECT day FROM daily_files") == [((START + 2 * DAY).date(),)]


def test_nothing_goes_before_its_time(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, 100)
    record_stats(connection, START)
    quarantine(connection, [QuarantinedBody("omdb", "movie 1", START, "no JSON", b"<html>")], "run-1")
    assert not any(thinned(connection, 29).values())


def test_what_is_learned_from_looks_back_less_far_than_is_kept() -> None:
    assert timedelta(days=JUDGED_DAYS) < LOG_KEPT
    assert CHANGES_KEPT <= KEEP, "TMDB's terms"
    assert BODIES_KEPT < STATUS_KEPT < LOG_KEPT
