"""What each answer does to a movie's state: times, failures, tombstones, and the same answer twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.outcome import Outcome, after
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    SOURCES,
    MovieState,
    Override,
    Reason,
    SourceState,
    backoff,
)
from ayne_dagster_tests.support.states import DAY, HOUR, INSTANTS, NOW, SECOND, checked, movie, movies
from ayne_dagster_tests.support.thoroughness import examples

FAILURES = [Outcome.FAILED, Outcome.NOT_FOUND, Outcome.QUARANTINED]


def unlearned(state: SourceState) -> SourceState:
    """A state without what answers teach of rates."""
    return replace(state, exposure=0.0, changes=0.0, rate=None)


def failed(times: int, outcome: Outcome = Outcome.FAILED) -> MovieState:
    """A movie whose last so many attempts at TMDB failed, the last of them now."""
    state = movie(release_date=NOW.date())
    for number in reversed(range(times)):
        state = after(state, "tmdb", outcome, NOW - number * 40 * DAY)
    return state


@pytest.mark.parametrize("outcome", [Outcome.FETCHED, Outcome.ABSENT])
def test_an_answer_is_a_check(outcome: Outcome) -> None:
    state = after(movie(), "omdb", outcome, NOW, changed=True)
    assert unlearned(state.at("omdb")) == SourceState(attempted_at=NOW, checked_at=NOW, changed_at=NOW)


def test_an_unchanged_answer_keeps_the_time_of_the_last_change() -> None:
    state = after(movie(tmdb=checked(9 * DAY)), "tmdb", Outcome.FETCHED, NOW)
    assert unlearned(state.at("tmdb")) == SourceState(attempted_at=NOW, checked_at=NOW, changed_at=NOW - 9 * DAY)


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_is_an_attempt_and_no_check(outcome: Outcome) -> None:
    state = after(movie(tmdb=checked(9 * DAY)), "tmdb", outcome, NOW).at("tmdb")
    assert (state.attempted_at, state.checked_at, state.failures) == (NOW, NOW - 9 * DAY, 1)


def test_an_answer_at_one_source_leaves_the_others_alone() -> None:
    before = movie(tmdb=checked(9 * DAY), omdb=checked(8 * DAY))
    state = after(before, "tmdb", Outcome.FAILED, NOW)
    assert state.at("omdb") == before.at("omdb")
    assert state.at("numbers") == SourceState()


def test_the_state_before_is_not_touched() -> None:
    before = movie(tmdb=checked(9 * DAY))
    after(before, "tmdb", Outcome.FETCHED, NOW, changed=True)
    assert before == movie(tmdb=checked(9 * DAY))


@pytest.mark.parametrize(
    ("failures", "days"), [(0, 0), (1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (50, 30), (30_000, 30)]
)
def test_each_failure_doubles_the_wait_up_to_a_month(failures: int, days: int) -> None:
    assert backoff(failures) == timedelta(days=days)


@pytest.mark.parametrize(("failures", "days"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (9, 30)])
def test_a_failing_movie_is_left_alone_exactly_that_long(failures: int, days: int) -> None:
    state = failed(failures)
    waiting = AGE_TABLE_STRATEGY.decide(state, "tmdb", NOW + days * DAY - SECOND)
    assert (waiting.due, waiting.reason, waiting.due_at) == (False, Reason.BACKOFF, NOW + days * DAY)
    assert AGE_TABLE_STRATEGY.decide(state, "tmdb", NOW + days * DAY).reason is Reason.NEVER_FETCHED


def test_a_success_clears_the_failures() -> None:
    state = after(failed(4), "tmdb", Outcome.FETCHED, NOW + 9 * DAY)
    assert state.at("tmdb").failures == 0
    assert after(state, "tmdb", Outcome.FAILED, NOW + 90 * DAY).at("tmdb").failures == 1


@pytest.mark.parametrize(
    ("apart", "tombstone"),
    [
        (SECOND, False),
        (8 * HOUR - SECOND, False),
        (8 * HOUR, False),
        (8 * HOUR + SECOND, True),
        (3 * DAY, True),
    ],
)
def test_a_second_404_is_a_tombstone_only_more_than_eight_hours_later(apart: timedelta, tombstone: bool) -> None:
    state = after(movie(), "tmdb", Outcome.NOT_FOUND, NOW)
    assert state.at("tmdb").tombstoned_at is None
    state = after(state, "tmdb", Outcome.NOT_FOUND, NOW + apart)
    assert state.at("tmdb").tombstoned_at == (NOW + apart if tombstone else None)
    assert state.at("tmdb").missing_since == NOW


def test_a_404_is_measured_from_the_first_of_the_row() -> None:
    state = movie()
    for hours in (0, 4, 8, 12):
        state = after(state, "tmdb", Outcome.NOT_FOUND, NOW + hours * HOUR)
    assert state.at("tmdb").tombstoned_at == NOW + 12 * HOUR


def test_a_tombstone_keeps_its_date() -> None:
    state = movie()
    for days in (0, 1, 2):
        state = after(state, "tmdb", Outcome.NOT_FOUND, NOW + days * DAY)
    assert state.at("tmdb").tombstoned_at == NOW + DAY


def test_a_tombstoned_movie_is_not_due() -> None:
    state = after(failed(1, Outcome.NOT_FOUND), "tmdb", Outcome.NOT_FOUND, NOW + DAY)
    decision = AGE_TABLE_STRATEGY.decide(state, "tmdb", NOW + 1000 * DAY)
    assert (decision.due, decision.reason, decision.due_at) == (False, Reason.TOMBSTONE, None)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.QUARANTINED])
def test_other_failures_are_never_a_tombstone(outcome: Outcome) -> None:
    state = failed(10, outcome)
    assert state.at("tmdb").tombstoned_at is None
    assert state.at("tmdb").missing_since is None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.QUARANTINED])
def test_a_single_404_followed_by_other_failures_is_no_tombstone(outcome: Outcome) -> None:
    state = after(failed(1, Outcome.NOT_FOUND), "tmdb", outcome, NOW + 9 * DAY)
    assert state.at("tmdb").tombstoned_at is None


def test_omdbs_absent_is_no_tombstone() -> None:
    state = movie()
    for days in (0, 10, 20):
        state = after(state, "omdb", Outcome.ABSENT, NOW + days * DAY)
    assert unlearned(state.at("omdb")) == SourceState(attempted_at=NOW + 20 * DAY, checked_at=NOW + 20 * DAY)


@pytest.mark.parametrize("times", [1, 2])
def test_a_success_clears_404s_and_the_tombstone(times: int) -> None:
    state = after(failed(times, Outcome.NOT_FOUND), "tmdb", Outcome.FETCHED, NOW + DAY)
    assert state.at("tmdb").missing_since is None
    assert state.at("tmdb").tombstoned_at is None
    assert after(state, "tmdb", Outcome.NOT_FOUND, NOW + 2 * DAY).at("tmdb").tombstoned_at is None


def test_an_answer_older_than_the_last_attempt_changes_nothing() -> None:
    state = movie(tmdb=checked(DAY))
    assert after(state, "tmdb", Outcome.FAILED, NOW - 2 * DAY) == state
    assert after(state, "tmdb", Outcome.FETCHED, NOW - DAY, changed=True) == state


@settings(deadline=None, max_examples=examples(200))
@given(st.data())
def test_applying_an_outcome_twice_is_the_same_as_once(data: st.DataObject) -> None:
    now = data.draw(INSTANTS)
    state = data.draw(movies(now))
    steps = st.tuples(
        st.sampled_from(sorted(SOURCES)), st.sampled_from(list(Outcome)), st.integers(0, 300), st.booleans()
    )
    at = now
    for source, outcome, hours, changed in data.draw(st.lists(steps, max_size=8)):
        at += hours * HOUR
        once = after(state, source, outcome, at, changed=changed)
        assert after(once, source, outcome, at, changed=changed) == once
        state = once


@settings(deadline=None, max_examples=examples(200))
@given(st.data())
def test_cycles_are_never_negative_and_grow_by_one_at_most(data: st.DataObject) -> None:
    now = data.draw(INSTANTS)
    state = data.draw(movies(now))
    outcome = data.draw(st.sampled_from(list(Outcome)))
    source = data.draw(st.sampled_from(sorted(SOURCES)))
    new = after(state, source, outcome, now + DAY, changed=data.draw(st.booleans()))
    assert 0 <= new.unchanged_cycles <= state.unchanged_cycles + 1


# Without an answer, though the source is up


def test_a_movie_without_an_answer_is_due_again_in_the_next_run_and_backs_off_when_it_happens_again() -> None:
    state = MovieState(1, date(1999, 10, 15), sources={"tmdb": SourceState()})
    once = after(state, "tmdb", Outcome.UNAVAILABLE, NOW)
    assert (once.at("tmdb").attempted_at, once.at("tmdb").failures) == (NOW, 0)
    assert AGE_TABLE_STRATEGY.decide(once, "tmdb", NOW).due
    assert after(once, "tmdb", Outcome.UNAVAILABLE, NOW) == once, "merged twice it counts once"

    for number, at in enumerate((NOW + HOUR, NOW + 3 * DAY, NOW + 9 * DAY), 1):
        once = after(once, "tmdb", Outcome.UNAVAILABLE, at)
        assert once.at("tmdb").failures == number
        assert AGE_TABLE_STRATEGY.decide(once, "tmdb", at).due_at == at + backoff(number)


def test_an_answer_in_between_makes_the_next_one_missing_the_sources_fault_again() -> None:
    state = after(failed(3), "tmdb", Outcome.FETCHED, NOW + 90 * DAY)
    assert after(state, "tmdb", Outcome.UNAVAILABLE, NOW + 100 * DAY).at("tmdb").failures == 0


def test_a_force_is_not_used_up_by_an_attempt_that_is_the_sources_fault_alone() -> None:
    checked = SourceState(attempted_at=NOW - DAY, checked_at=NOW - DAY)
    forced = MovieState(1, date(1999, 10, 15), override=Override.FORCE, override_at=NOW, sources={"tmdb": checked})
    once = after(forced, "tmdb", Outcome.UNAVAILABLE, NOW + HOUR)
    assert AGE_TABLE_STRATEGY.decide(once, "tmdb", NOW + 2 * HOUR).reason is Reason.MANUAL
    twice = after(once, "tmdb", Outcome.UNAVAILABLE, NOW + 2 * HOUR)
    assert AGE_TABLE_STRATEGY.decide(twice, "tmdb", NOW + 3 * HOUR).reason is Reason.BACKOFF
