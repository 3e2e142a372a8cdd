"""How fresh the movies were: what is observed, how often, and what is told of a year."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import duckdb
import pytest

from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY
from ayne_dagster.warehouse import freshness
from ayne_dagster.warehouse.care.thinning import thin
from ayne_dagster.warehouse.freshness import freshness_over_time, latest_freshness, observe_freshness
from ayne_dagster.warehouse.sampling import one_in
from ayne_dagster.warehouse.strategies import value_of_refresh
from ayne_dagster_tests.support.samples import DAY, HOUR, START, details, merge_details, merge_ratings, ratings, rows

Connection = duckdb.DuckDBPyConnection
NOW = START
SOURCES = ("tmdb", "omdb")


def observe(connection: Connection, now: datetime) -> bool:
    return observe_freshness(connection, SOURCES, now, AGE_TABLE_STRATEGY, value_of_refresh(connection))


def released(age: int) -> object:
    return (NOW - timedelta(days=age)).date()


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """Three movies: one new, and two old ones, of which one was looked at again and had changed."""
    merge_details(
        connection,
        details(1, NOW - HOUR, release_date=released(10), imdb_id="tt0000001"),
        details(2, NOW - 100 * DAY, release_date=released(4000), imdb_id=None),
        details(3, NOW - 20 * DAY, release_date=released(4000), imdb_id="tt0000003", title="Before"),
    )
    again = details(3, NOW - 10 * DAY, release_date=released(4000), imdb_id="tt0000003", title="After")
    merge_details(connection, again)
    merge_ratings(connection, ratings(1, NOW - HOUR, imdb_id="tt0000001"))
    return connection


def test_an_observation_counts_by_source_and_age_what_is_in_time_and_what_checks_found(filled: Connection) -> None:
    assert observe(filled, NOW)
    told = {(each.source, each.category): each for each in latest_freshness(filled, NOW)}
    new, old, everything = (told["tmdb", category] for category in ("recent", "archived", "all"))
    assert (new.movies, new.in_time, new.looked_again) == (1, 1, 0)
    assert (old.movies, old.in_time, old.looked_again, old.found_unchanged) == (2, 1, 1, 0), "100 days are over 90"
    assert (everything.movies, everything.in_time, everything.looked_again) == (3, 2, 1)
    assert everything.likely_unchanged == pytest.approx(new.likely_unchanged + old.likely_unchanged)
    assert 0 < old.likely_unchanged < 2
    assert new.shares.keys() == {"in_time", "likely_unchanged"}, "nobody has looked again at new movies"
    assert old.shares["found_unchanged"] == 0
    assert told["omdb", "all"].movies == 2, "without an IMDb id OMDb is not asked"


def test_the_estimate_falls_with_the_time_since_the_check(filled: Connection) -> None:
    observe(filled, NOW)
    before = {(each.source, each.category): each.likely_unchanged for each in latest_freshness(filled, NOW)}
    observe(filled, NOW + 5 * DAY)
    after = {(each.source, each.category): each.likely_unchanged for each in latest_freshness(filled, NOW + 5 * DAY)}
    assert after["tmdb", "all"] < before["tmdb", "all"]


def test_within_an_hour_it_is_observed_once_and_a_clock_that_was_ahead_stops_nothing(filled: Connection) -> None:
    assert observe(filled, NOW + 400 * DAY)
    assert observe(filled, NOW)
    assert not observe(filled, NOW)
    assert not observe(filled, NOW + HOUR / 2)
    assert observe(filled, NOW + HOUR)


def test_of_many_movies_a_sample_stands_for_all(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    merge_details(
        connection, *(details(i, NOW - HOUR, release_date=released(10), imdb_id=None) for i in range(1, 1001))
    )
    observe(connection, NOW - DAY)
    monkeypatch.setattr(freshness, "one_in", partial(one_in, sampled=250))
    observe(connection, NOW)
    whole, sampled = (each for each in freshness_over_time(connection, NOW) if each.category == "all")
    assert whole.movies == 1000
    assert sampled.movies % 4 == 0
    assert sampled.movies == pytest.approx(1000, rel=0.2)
    assert sampled.in_time == sampled.movies


def test_over_time_each_day_is_told_by_its_last_observation(filled: Connection) -> None:
    for at in (NOW, NOW + 2 * HOUR, NOW + DAY, NOW + 400 * DAY):
        observe(filled, at)
    seen = freshness_over_time(filled, NOW + 2 * DAY)
    assert sorted({each.observed_at.replace(tzinfo=NOW.tzinfo) for each in seen}) == [NOW + 2 * HOUR, NOW + DAY]
    assert latest_freshness(filled, NOW + 300 * DAY) == [], "what is long ago is not of now"


def test_after_90_days_the_last_observation_of_each_day_is_kept(filled: Connection) -> None:
    for hours in (0, 2, 4):
        observe(filled, NOW + hours * HOUR)
    a_day = len(rows(filled, "FROM freshness")) // 3
    thin(filled, NOW + 60 * DAY)
    assert len(rows(filled, "FROM freshness")) == 3 * a_day
    thin(filled, NOW + 95 * DAY)
    ((last, kept),) = rows(filled, "SELECT max(observed_at), count(*) FROM freshness")
    assert (last.replace(tzinfo=NOW.tzinfo), kept) == (NOW + 4 * HOUR, a_day)
