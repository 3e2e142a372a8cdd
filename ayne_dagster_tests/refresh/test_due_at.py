"""A decision foretells the instant at which the movie becomes due, growing older on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    SOURCES,
    Decision,
    MovieState,
    Override,
    Reason,
    SourceState,
    Strategy,
)
from ayne_dagster_tests.support.states import (
    AGES,
    DAY,
    HOUR,
    INSTANTS,
    NOW,
    SECOND,
    STRATEGIES,
    aged,
    checked,
    movie,
    movies,
)
from ayne_dagster_tests.support.thoroughness import examples

FAR = [timedelta(days=days) for days in (1, 5, 30, 90, 171, 200, 366, 1000, 5000)]


def check_foretold(
    state: MovieState, decision: Decision, now: datetime, strategy: Strategy = AGE_TABLE_STRATEGY
) -> None:
    """At `due_at` the movie is due, a second before it is not; without one it is not due at any time."""
    if decision.due_at is None:
        assert not any(strategy.decide(state, decision.source, now + later).due for later in FAR)
        return
    assert decision.due_at > now
    assert strategy.decide(state, decision.source, decision.due_at).due
    assert not strategy.decide(state, decision.source, max(now, decision.due_at - SECOND)).due


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@settings(deadline=None, max_examples=examples(400))
@given(data=st.data())
def test_a_movie_that_is_not_due_becomes_due_exactly_when_foretold(strategy: Strategy, data: st.DataObject) -> None:
    now = data.draw(INSTANTS)
    state = data.draw(movies(now))
    source = data.draw(st.sampled_from(sorted(SOURCES)))
    decision = strategy.decide(state, source, now)
    assume(not decision.due)
    check_foretold(state, decision, now, strategy)


@settings(deadline=None, max_examples=examples(500))
@given(INSTANTS, AGES, st.integers(0, 180 * 86400), st.sampled_from(sorted(SOURCES)))
def test_a_fresh_movie_becomes_due_exactly_when_foretold(now: datetime, age: int | None, ago: int, source: str) -> None:
    state = movie(
        release_date=None if age is None else aged(age, now), **{source: checked(timedelta(seconds=ago), now)}
    )
    decision = AGE_TABLE_STRATEGY.decide(state, source, now)
    assume(decision.reason is Reason.FRESH)
    check_foretold(state, decision, now)


@settings(deadline=None, max_examples=examples(300))
@given(INSTANTS, AGES, st.integers(1, 9), st.integers(0, 30 * 86400), st.integers(0, 200), st.booleans())
def test_a_failing_movie_becomes_due_exactly_when_foretold(
    now: datetime, age: int | None, failures: int, ago: int, before: int, ever: bool
) -> None:
    attempted = now - timedelta(seconds=ago)
    state = SourceState(attempted, attempted - before * DAY if ever else None, failures=failures)
    failing = movie(release_date=None if age is None else aged(age, now), tmdb=state)
    decision = AGE_TABLE_STRATEGY.decide(failing, "tmdb", now)
    assume(decision.reason is Reason.BACKOFF)
    check_foretold(failing, decision, now)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
# Few states are due by value, where no signal of another source's makes one so.
@settings(deadline=None, max_examples=examples(150), suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_a_due_movie_has_been_due_since_the_instant_that_is_named(strategy: Strategy, data: st.DataObject) -> None:
    now = data.draw(INSTANTS)
    state = data.draw(movies(now))
    decision = strategy.decide(state, data.draw(st.sampled_from(sorted(SOURCES))), now)
    assume(decision.due and decision.reason is not Reason.MANUAL)
    assert decision.due_at is not None
    assert decision.due_at <= now


@pytest.mark.parametrize(
    ("source", "age", "days"),
    [
        ("tmdb", 57, 15),  # 60 days old before five days have passed
        ("tmdb", 55, 5),
        ("omdb", 56, 30),
        ("omdb", 155, 90),
        ("tmdb", 170, 30),  # from every 15 days to every 30
        ("omdb", 300, 180),
        ("tmdb", 340, 90),
    ],
)
def test_a_movie_that_grows_older_waits_for_the_longer_interval(source: str, age: int, days: int) -> None:
    state = movie(release_date=aged(age), **{source: checked(HOUR)})
    assert AGE_TABLE_STRATEGY.decide(state, source, NOW).due_at == NOW - HOUR + days * DAY


def test_a_movie_that_reaches_the_next_band_a_day_late_keeps_the_shorter_interval() -> None:
    state = movie(release_date=aged(59), omdb=checked(4 * DAY))
    assert AGE_TABLE_STRATEGY.decide(state, "omdb", NOW).due_at == NOW + DAY


def test_a_movie_that_will_have_frozen_by_then_is_not_promised() -> None:
    stable = movie(release_date=aged(340), unchanged_cycles=3, tmdb=checked(DAY), omdb=checked(HOUR))
    tmdb = AGE_TABLE_STRATEGY.decide(stable, "tmdb", NOW)
    assert tmdb.reason is Reason.FRESH
    assert tmdb.due_at == NOW - DAY + 170 * DAY
    assert AGE_TABLE_STRATEGY.decide(stable, "omdb", NOW).due_at is None


def test_a_failing_movie_with_a_fresh_answer_waits_for_its_interval() -> None:
    tried_again = SourceState(NOW - HOUR, NOW - DAY, failures=1)
    decision = AGE_TABLE_STRATEGY.decide(movie(release_date=aged(5000), tmdb=tried_again), "tmdb", NOW)
    assert (decision.reason, decision.due_at) == (Reason.BACKOFF, NOW - DAY + 90 * DAY)


def test_a_failing_frozen_movie_waits_for_the_ceiling() -> None:
    tried_again = SourceState(NOW - HOUR, NOW - DAY, failures=1)
    frozen = movie(release_date=aged(5), override=Override.FREEZE, override_at=NOW - DAY, tmdb=tried_again)
    decision = AGE_TABLE_STRATEGY.decide(frozen, "tmdb", NOW)
    assert (decision.reason, decision.due_at) == (Reason.BACKOFF, NOW - DAY + 170 * DAY)
    never_asked = replace(frozen, sources={"tmdb": replace(tried_again, checked_at=None)})
    assert AGE_TABLE_STRATEGY.decide(never_asked, "tmdb", NOW).due_at is None
