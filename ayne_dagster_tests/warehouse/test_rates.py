"""Rates by bucket, importance and the feeds' quality: begun, learned weekly, written where they move."""

from __future__ import annotations

from datetime import date, timedelta
from math import exp
from typing import Any

import duckdb
import pytest

from ayne_dagster.partitions import release_year
from ayne_dagster.refresh.feeds import FIRST_PRECISION, FIRST_RECALL
from ayne_dagster.refresh.learning import buckets, corrections, importance
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.rates import judge_feeds, recalibrate, usual_popularity
from ayne_dagster.warehouse.refresh_metadata import derive_columns, new_state_row
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import CHANGE_FEED_DAYS, FETCH_LOG, REFRESH_METADATA
from ayne_dagster_tests.support.samples import DAY, HOUR, START, one, rows, values

Connection = duckdb.DuckDBPyConnection
NOW = START
OLD = date(1999, 10, 15)


def add(connection: Connection, *tmdb_ids: int, **fields: Any) -> None:
    fields = {"release_date": OLD, **fields}
    year = release_year(fields["release_date"])
    states = [new_state_row(tmdb_id, NOW - 99 * DAY, year) | fields for tmdb_id in tmdb_ids]
    insert_rows(connection, REFRESH_METADATA, states)


def rate_of(
    connection: Connection, source: str = "tmdb", category: str = "archived_10_years", octave: int = 0
) -> float:
    found = rows(
        connection,
        f"SELECT rate FROM refresh_rates WHERE source = '{source}' AND category = '{category}'"
        f" AND popularity_bucket = {octave}",
    )
    return float(found[0][0])


def test_buckets_begin_with_what_the_age_table_implies(connection: Connection) -> None:
    add(connection, 1, popularity=3.0)
    derive_columns(connection, NOW)
    assert rows(connection, "SELECT count(*) FROM refresh_rates") == [(len(list(buckets())),)]
    assert one(connection, "refresh_metadata", 1)["tmdb_rate"] == pytest.approx(1 / 90)
    assert one(connection, "refresh_metadata", 1)["omdb_rate"] == pytest.approx(1 / 180)


def test_a_movie_is_in_the_octave_of_its_popularity_over_the_median(connection: Connection) -> None:
    for tmdb_id, popularity in enumerate([0.0, 3.0, 3.0, 3.0, 12.5, 1e6, None], start=1):
        add(connection, tmdb_id, popularity=popularity)
    derive_columns(connection, NOW)
    found = values(rows(connection, "SELECT tmdb_rate * 90 FROM refresh_metadata ORDER BY tmdb_id"))
    octaves = (-4, 0, 0, 0, 2, 8, 0)
    assert found == [pytest.approx(2 ** (0.3 * octave)) for octave in octaves]


def test_importance_is_the_share_of_popularity_and_more_for_new_releases(connection: Connection) -> None:
    add(connection, 1, popularity=2.0)
    add(connection, 2, popularity=6.0, release_date=NOW.date() - timedelta(days=60))
    add(connection, 3, popularity=None)
    derive_columns(connection, NOW)
    found = values(rows(connection, "SELECT importance FROM refresh_metadata ORDER BY tmdb_id"))
    expected = [importance(2.0, 4.0, False), importance(6.0, 4.0, True), importance(None, 4.0, False)]
    assert found == [pytest.approx(x) for x in expected]
    assert expected == [pytest.approx(0.6), pytest.approx(4.2), pytest.approx(0.2)]


def test_what_hardly_moved_is_not_written_again(connection: Connection) -> None:
    add(connection, 1, popularity=100.0)
    add(connection, 2, popularity=100.0)
    derive_columns(connection, NOW)
    before = one(connection, "refresh_metadata", 1)
    connection.execute("UPDATE refresh_metadata SET popularity = 101")
    derive_columns(connection, NOW + HOUR)
    assert one(connection, "refresh_metadata", 1) == before | {"popularity": 101.0}
    connection.execute("UPDATE refresh_metadata SET popularity = 120 WHERE tmdb_id = 1")
    derive_columns(connection, NOW + 2 * HOUR)
    assert one(connection, "refresh_metadata", 1)["decided_at"] == naive_utc(NOW + 2 * HOUR)


def learned(connection: Connection, number: int, exposure: float, changes: float) -> None:
    """Movies of median popularity that showed so much each."""
    add(connection, *range(1, number + 1), popularity=5.0, tmdb_exposure=exposure, tmdb_changes=changes)


def test_a_bucket_is_corrected_by_what_its_movies_showed(connection: Connection) -> None:
    learned(connection, 100, exposure=2.0, changes=0.5)
    derive_columns(connection, NOW)
    first = rate_of(connection)
    derive_columns(connection, NOW + 7 * DAY)
    by = corrections({("archived_10_years", 0): (200.0, 50.0)})["archived_10_years", 0]
    assert by == pytest.approx(0.25, rel=0.05)
    assert rate_of(connection) == pytest.approx(first * by)
    assert one(connection, "refresh_metadata", 1)["tmdb_exposure"] == pytest.approx(2.0 * by)
    assert one(connection, "refresh_metadata", 1)["tmdb_rate"] == pytest.approx(first * by * 1.5 / (1 + 2.0 * by))


def test_a_bucket_without_answers_goes_with_those_beside_it(connection: Connection) -> None:
    learned(connection, 100, exposure=2.0, changes=0.5)
    derive_columns(connection, NOW)
    first, at_omdb = rate_of(connection, octave=3), rate_of(connection, "omdb")
    derive_columns(connection, NOW + 7 * DAY)
    assert rate_of(connection, octave=3) == pytest.approx(first * 0.255, rel=0.01)
    assert rate_of(connection, "omdb") == at_omdb


def test_what_ages_and_octaves_show_is_told_apart() -> None:
    """Four buckets, each of few movies: twice as often by age, twice as often by popularity."""
    sums = {(age, octave): (5.0, 5.0 * (age == "new") + 5.0 * octave) for age in ("new", "old") for octave in (0, 1)}
    by = corrections(sums)
    assert by["new", 1] > by["new", 0] > by["old", 0]
    assert by["new", 1] > by["old", 1] > by["old", 0]


def test_a_part_of_a_bucket_goes_on_with_what_was_learned_of_the_whole(connection: Connection) -> None:
    add(connection, 1, popularity=5.0)
    derive_columns(connection, NOW)
    connection.execute("DELETE FROM refresh_rates WHERE category LIKE 'archived_%'")
    connection.execute("UPDATE refresh_rates SET rate = 0.123 WHERE category = 'archived'")
    derive_columns(connection, NOW + HOUR)
    assert rate_of(connection) == 0.123


def test_correcting_again_without_new_answers_changes_little(connection: Connection) -> None:
    learned(connection, 1000, exposure=2.0, changes=0.5)
    derive_columns(connection, NOW)
    derive_columns(connection, NOW + 7 * DAY)
    once = rate_of(connection)
    recalibrate(connection, NOW + 8 * DAY, usual_popularity(connection))
    assert rate_of(connection) == pytest.approx(once, rel=0.02)


def test_rates_are_corrected_once_a_week(connection: Connection) -> None:
    learned(connection, 100, exposure=2.0, changes=0.5)
    derive_columns(connection, NOW)
    first = rate_of(connection)
    derive_columns(connection, NOW + 7 * DAY - HOUR)
    assert rate_of(connection) == first
    derive_columns(connection, NOW + 7 * DAY)
    assert rate_of(connection) < first


def test_a_movie_that_is_known_well_keeps_its_rate(connection: Connection) -> None:
    learned(connection, 50, exposure=400.0, changes=100.0)
    derive_columns(connection, NOW)
    before = one(connection, "refresh_metadata", 1)["tmdb_rate"]
    derive_columns(connection, NOW + 7 * DAY)
    assert rate_of(connection) < 1 / 90 * 0.3
    assert one(connection, "refresh_metadata", 1)["tmdb_rate"] == pytest.approx(before, rel=0.03)


# Feeds


def covered(connection: Connection, days: int) -> None:
    """TMDB's feed was read for so many days up to yesterday."""
    insert_rows(
        connection,
        CHANGE_FEED_DAYS,
        [{"day": (NOW - n * DAY).date(), "covered": True} for n in range(1, days + 1)],
    )


def fetched(
    connection: Connection, number: int, *, changed: int, signals: int, because: str, days: float, expected: float
) -> None:
    """So many fetches, some of which found a change; each movie was expected to have had so many changes."""
    row = {
        "source": "tmdb",
        "fetched_at": naive_utc(NOW - HOUR),
        "outcome": "fetched",
        "signals": signals,
        "due_because": because,
        "days_since_check": days,
    }
    first = int(rows(connection, "SELECT coalesce(max(tmdb_id), 0) + 1 FROM refresh_metadata")[0][0])
    ids = range(first, first + number)
    insert_rows(connection, FETCH_LOG, [row | {"tmdb_id": n, "changed": n < first + changed} for n in ids])
    states = [new_state_row(n, NOW, "1999") | {"tmdb_rate": expected / days} for n in ids]
    insert_rows(connection, REFRESH_METADATA, states)


def silent(connection: Connection, number: int, changed: int, expected: float, days: float = 20) -> None:
    fetched(connection, number, changed=changed, signals=0, because="index", days=days, expected=expected)


def signalled(connection: Connection, number: int, changed: int, expected: float = 0.001, signals: int = 1) -> None:
    fetched(connection, number, changed=changed, signals=signals, because="change_feed", days=20, expected=expected)


def quality(connection: Connection) -> tuple[float, float]:
    judge_feeds(connection, NOW)
    ((recall, precision),) = rows(connection, "SELECT recall, precision FROM feed_quality WHERE source = 'tmdb'")
    return recall, precision


def test_a_feed_is_believed_at_first(connection: Connection) -> None:
    covered(connection, 90)
    assert quality(connection) == (pytest.approx(FIRST_RECALL), pytest.approx(FIRST_PRECISION))


def test_without_a_feed_there_is_none_to_judge(connection: Connection) -> None:
    judge_feeds(connection, NOW)
    assert rows(connection, "SELECT * FROM feed_quality") == []


@pytest.mark.parametrize("recall", [0.1, 0.5, 0.9])
def test_recall_is_what_silent_fetches_did_not_find_of_what_was_expected(connection: Connection, recall: float) -> None:
    covered(connection, 90)
    found = round(5000 * (1 - exp(-(1 - recall) * 0.3)))
    silent(connection, 5000, found, expected=0.3)
    assert quality(connection)[0] == pytest.approx(recall, abs=0.03)


def test_how_few_silent_movies_are_looked_at_flatters_no_feed(connection: Connection) -> None:
    """Ten times as many signalled fetches as silent ones change nothing of what silence is worth."""
    covered(connection, 90)
    silent(connection, 500, round(500 * (1 - exp(-0.15))), expected=0.3)
    few = quality(connection)[0]
    signalled(connection, 5000, 2000)
    assert quality(connection)[0] == pytest.approx(few, abs=0.02)


@pytest.mark.parametrize("precision", [0.1, 0.5, 0.9])
def test_precision_is_less_than_what_signals_found_by_what_would_have_been_found_anyway(
    connection: Connection, precision: float
) -> None:
    covered(connection, 90)
    silent(connection, 5000, round(5000 * (1 - exp(-0.5))), expected=1.0)  # recall .5
    signalled(connection, 5000, round(5000 * (1 - (1 - precision) * exp(-0.5))), expected=1.0)
    assert quality(connection)[1] == pytest.approx(precision, abs=0.03)


def test_several_signals_are_right_more_often_than_one(connection: Connection) -> None:
    covered(connection, 90)
    signalled(connection, 2000, round(2000 * (1 - 0.6**3)), signals=3)
    assert quality(connection)[1] == pytest.approx(0.4, abs=0.02)


def test_a_change_found_at_the_second_look_confirms_its_signal(connection: Connection) -> None:
    covered(connection, 90)
    signalled(connection, 200, 0)
    fetched(connection, 100, changed=100, signals=0, because="change_feed", days=0.3, expected=0.001)
    assert quality(connection)[1] == pytest.approx(0.5, abs=0.02)


def test_what_a_feed_was_not_read_for_is_not_held_against_it(connection: Connection) -> None:
    covered(connection, 10)
    silent(connection, 300, round(300 * (1 - exp(-0.9 * 0.9))), expected=0.9, days=90)
    assert quality(connection)[0] == pytest.approx(FIRST_RECALL)


def test_rates_believed_too_high_before_the_feed_was_read_flatter_no_feed(connection: Connection) -> None:
    """Nothing was found of much that was expected of a time without the feed: that says nothing of its silence."""
    covered(connection, 30)
    silent(connection, 3000, 300, expected=0.9, days=90)
    assert quality(connection)[0] == pytest.approx(FIRST_RECALL)


def test_a_silent_fetch_after_a_few_days_says_nothing_of_a_feed(connection: Connection) -> None:
    covered(connection, 90)
    silent(connection, 3000, 3000, expected=0.1, days=6)
    assert quality(connection)[0] == pytest.approx(FIRST_RECALL)


def test_every_source_has_its_buckets() -> None:
    assert {b.source for b in buckets()} == set(SOURCES)
