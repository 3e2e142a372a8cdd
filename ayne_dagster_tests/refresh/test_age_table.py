"""Each line of the age table, at its first and last day and at each interval to the second."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    Reason,
    age_in_days,
    band_of,
    calculate_refresh_plan,
    interval,
)
from ayne_dagster_tests.support.states import DAY, NOW, SECOND, aged, checked, movie

BANDS = [
    # days since release, category, days between checks at TMDB, OMDb and The Numbers
    (-3650, "recent", 5, 5, 5),
    (-1, "recent", 5, 5, 5),
    (0, "recent", 5, 5, 5),
    (60, "recent", 5, 5, 5),
    (61, "established", 15, 30, 30),
    (180, "established", 15, 30, 30),
    (181, "mature", 30, 90, 90),
    (365, "mature", 30, 90, 90),
    (366, "archived", 90, 180, 180),
    (36500, "archived", 90, 180, 180),
]
INTERVALS = [
    (age, source, days)
    for age, _, *by_source in BANDS
    for source, days in zip(("tmdb", "omdb", "numbers"), by_source, strict=True)
]


@pytest.mark.parametrize(("age", "category"), [(age, category) for age, category, *_ in BANDS])
def test_each_age_has_its_category(age: int, category: str) -> None:
    assert band_of(aged(age), NOW).category == category


def test_a_movie_without_a_date_is_recent() -> None:
    assert band_of(None, NOW).category == "recent"


@pytest.mark.parametrize(("age", "source", "days"), INTERVALS)
def test_each_source_has_the_interval_of_the_age(age: int, source: str, days: int) -> None:
    assert interval(source, aged(age), NOW) == timedelta(days=days)


@pytest.mark.parametrize(("age", "source", "days"), INTERVALS)
def test_a_movie_is_due_exactly_when_the_interval_has_passed(age: int, source: str, days: int) -> None:
    decision = AGE_TABLE_STRATEGY.decide(movie(release_date=aged(age), **{source: checked(days * DAY)}), source, NOW)
    assert (decision.due, decision.reason, decision.due_at) == (True, Reason.AGE_TABLE, NOW)


@pytest.mark.parametrize(("age", "source", "days"), INTERVALS)
def test_a_movie_is_not_due_a_second_before(age: int, source: str, days: int) -> None:
    decision = AGE_TABLE_STRATEGY.decide(
        movie(release_date=aged(age), **{source: checked(days * DAY - SECOND)}), source, NOW
    )
    assert (decision.due, decision.reason) == (False, Reason.FRESH)


@pytest.mark.parametrize("source", ["tmdb", "omdb", "numbers"])
def test_an_undated_movie_is_asked_for_every_five_days(source: str) -> None:
    assert AGE_TABLE_STRATEGY.decide(movie(**{source: checked(5 * DAY)}), source, NOW).due
    assert not AGE_TABLE_STRATEGY.decide(movie(**{source: checked(5 * DAY - SECOND)}), source, NOW).due


@pytest.mark.parametrize("source", ["tmdb", "omdb", "numbers"])
@pytest.mark.parametrize("age", [None, -10, 0, 100, 300, 5000])
def test_a_movie_never_fetched_is_due(source: str, age: int | None) -> None:
    decision = AGE_TABLE_STRATEGY.decide(movie(release_date=None if age is None else aged(age)), source, NOW)
    assert (decision.due, decision.reason, decision.due_at) == (True, Reason.NEVER_FETCHED, NOW)


def test_a_movie_without_an_imdb_id_is_not_due_for_omdb() -> None:
    decision = AGE_TABLE_STRATEGY.decide(movie(imdb_id=None), "omdb", NOW)
    assert (decision.due, decision.reason, decision.due_at) == (False, Reason.NO_IMDB_ID, None)


@pytest.mark.parametrize("source", ["tmdb", "numbers"])
def test_a_movie_without_an_imdb_id_is_due_for_the_other_sources(source: str) -> None:
    assert AGE_TABLE_STRATEGY.decide(movie(imdb_id=None), source, NOW).reason is Reason.NEVER_FETCHED


def test_a_failed_attempt_is_no_check() -> None:
    never = movie(tmdb=checked(40 * DAY), release_date=aged(200))
    state = {"attempted_at": NOW - 2 * DAY, "checked_at": NOW - 40 * DAY, "failures": 1}
    failed = movie(release_date=aged(200), tmdb=type(never.at("tmdb"))(**state))
    assert AGE_TABLE_STRATEGY.decide(failed, "tmdb", NOW).reason is Reason.AGE_TABLE


def test_age_is_counted_in_utc_days() -> None:
    in_tokyo = datetime(2024, 6, 16, 1, tzinfo=timezone(timedelta(hours=9)))
    assert age_in_days(date(2024, 6, 15), in_tokyo) == 0
    assert age_in_days(date(2024, 6, 15), in_tokyo.astimezone(UTC)) == 0


def test_the_age_changes_at_midnight_utc() -> None:
    last = datetime(2024, 6, 15, 23, 59, 59, 999999, tzinfo=UTC)
    released = date(2024, 4, 16)
    assert band_of(released, last).category == "recent"
    assert band_of(released, last + timedelta(microseconds=1)).category == "established"


def test_leap_days_count_as_days() -> None:
    assert band_of(date(2023, 6, 15), datetime(2024, 6, 14, tzinfo=UTC)).category == "mature"
    assert band_of(date(2023, 6, 15), datetime(2024, 6, 15, tzinfo=UTC)).category == "archived"


def test_the_plan_names_every_source() -> None:
    fresh = movie(release_date=aged(30), tmdb=checked(5 * DAY), omdb=checked(DAY))
    assert calculate_refresh_plan(fresh, NOW) == {"needs_tmdb": True, "needs_omdb": False, "needs_numbers": True}
