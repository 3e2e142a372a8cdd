"""Change signals: they make a movie due and thaw it, whatever a strategy says, and are used up by a check."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ayne_dagster.refresh.outcome import Outcome, after
from ayne_dagster.refresh.strategy import MovieState, Override, Reason, SourceState, Strategy
from ayne_dagster_tests.support.states import DAY, HOUR, NOW, SECOND, STRATEGIES, aged, checked, movie

BOTH = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


def signalled(ago: timedelta = HOUR, **fields: object) -> MovieState:
    """An old movie that was checked two days ago, with one signal since."""
    at_tmdb = replace(checked(2 * DAY), rate=1e-6, signals=1, signalled_at=NOW - ago)
    return movie(release_date=aged(9000), tmdb=at_tmdb, omdb=checked(2 * DAY), **fields)


@BOTH
def test_a_signal_makes_a_movie_due_whatever_the_strategy_says(strategy: Strategy) -> None:
    decision = strategy.decide(signalled(), "tmdb", NOW)
    assert (decision.due, decision.reason, decision.due_at) == (True, Reason.CHANGE_FEED, NOW - HOUR)
    quiet = after(signalled(20 * HOUR), "tmdb", Outcome.FETCHED, NOW)
    assert not strategy.decide(quiet, "tmdb", NOW + HOUR).due


@BOTH
def test_a_signal_thaws_what_froze_of_itself(strategy: Strategy) -> None:
    stable = signalled(unchanged_cycles=9)
    assert not strategy.is_frozen(stable, NOW)
    assert strategy.decide(stable, "tmdb", NOW).reason is Reason.CHANGE_FEED


def test_a_signal_without_a_change_freezes_again_and_a_change_starts_the_cycles_anew() -> None:
    stable, table = signalled(20 * HOUR, unchanged_cycles=9), STRATEGIES["age table"]
    assert table.is_frozen(after(stable, "tmdb", Outcome.FETCHED, NOW), NOW)
    assert after(stable, "tmdb", Outcome.FETCHED, NOW, changed=True).unchanged_cycles == 0


@BOTH
def test_a_persons_freeze_wins_over_signals(strategy: Strategy) -> None:
    frozen = signalled(override=Override.FREEZE, override_at=NOW)
    assert strategy.is_frozen(frozen, NOW)
    assert strategy.decide(frozen, "tmdb", NOW).reason is Reason.FROZEN


@BOTH
def test_a_failing_movie_waits_in_spite_of_its_signal_and_keeps_it(strategy: Strategy) -> None:
    failed = after(signalled(), "tmdb", Outcome.FAILED, NOW)
    assert failed.at("tmdb").signals == 1
    decision = strategy.decide(failed, "tmdb", NOW + HOUR)
    assert (decision.reason, decision.due_at) == (Reason.BACKOFF, NOW + DAY)


@pytest.mark.parametrize("outcome", [Outcome.FETCHED, Outcome.ABSENT])
def test_a_check_uses_signals_up(outcome: Outcome) -> None:
    assert after(signalled(), "tmdb", outcome, NOW).at("tmdb").signals == 0


@BOTH
def test_a_body_that_a_cache_may_have_kept_is_looked_at_once_more(strategy: Strategy) -> None:
    state = after(signalled(3 * HOUR), "tmdb", Outcome.FETCHED, NOW)
    assert state.at("tmdb").recheck_at == NOW + 5 * HOUR
    waiting = strategy.decide(state, "tmdb", NOW + 5 * HOUR - SECOND)
    assert (waiting.due, waiting.due_at) == (False, NOW + 5 * HOUR)
    again = strategy.decide(state, "tmdb", NOW + 6 * HOUR)
    assert (again.reason, again.due_at) == (Reason.CHANGE_FEED, NOW + 5 * HOUR)
    done = after(state, "tmdb", Outcome.FETCHED, NOW + 6 * HOUR)
    assert done.at("tmdb").recheck_at is None
    assert not strategy.decide(done, "tmdb", NOW + 7 * HOUR).due


def test_looking_early_does_not_spare_the_second_look() -> None:
    state = after(signalled(HOUR), "tmdb", Outcome.FETCHED, NOW)
    early = after(state, "tmdb", Outcome.FETCHED, NOW + HOUR)
    assert early.at("tmdb").recheck_at == NOW + 7 * HOUR


@pytest.mark.parametrize("ago", [8 * HOUR, 30 * HOUR])
def test_eight_hours_after_the_signal_one_look_is_enough(ago: timedelta) -> None:
    assert after(signalled(ago), "tmdb", Outcome.FETCHED, NOW).at("tmdb").recheck_at is None


def test_omdb_is_not_looked_at_twice() -> None:
    at_omdb = SourceState(NOW - DAY, NOW - DAY, signals=1, signalled_at=NOW)
    assert after(movie(omdb=at_omdb), "omdb", Outcome.FETCHED, NOW).at("omdb").recheck_at is None
