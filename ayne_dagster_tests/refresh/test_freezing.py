"""When a movie freezes, what thaws it, and what a person's override does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ayne_dagster.refresh.outcome import Outcome, after
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    MovieState,
    Override,
    Reason,
    is_fully_refreshed,
)
from ayne_dagster_tests.support.states import DAY, HOUR, NOW, SECOND, aged, checked, movie

START = NOW - 400 * DAY


def fetched_first(*, omdb: bool = True, **fields: object) -> MovieState:
    """An old movie just fetched for the first time, at START."""
    state = movie(**{"release_date": aged(4000), **fields})
    state = after(state, "tmdb", Outcome.FETCHED, START, changed=True)
    return after(state, "omdb", Outcome.FETCHED, START + SECOND, changed=True) if omdb else state


def cycles(state: MovieState, number: int, every: timedelta = 90 * DAY) -> tuple[MovieState, datetime]:
    """The movie after so many unchanged checks at TMDB, and when the last was."""
    at = state.at("tmdb").checked_at
    assert at is not None
    for _ in range(number):
        at += every
        state = after(state, "tmdb", Outcome.FETCHED, at)
    return state, at


def frozen_movie(**fields: object) -> tuple[MovieState, datetime]:
    return cycles(fetched_first(**fields), 3)


@pytest.mark.parametrize(("number", "frozen"), [(0, False), (1, False), (2, False), (3, True), (4, True)])
def test_three_unchanged_cycles_freeze_an_old_movie(number: int, frozen: bool) -> None:
    state, at = cycles(fetched_first(), number)
    assert state.unchanged_cycles == number
    assert AGE_TABLE_STRATEGY.is_frozen(state, at) is frozen


def test_the_first_answer_is_no_unchanged_cycle() -> None:
    state = after(movie(release_date=aged(4000)), "tmdb", Outcome.FETCHED, START, changed=False)
    assert state.unchanged_cycles == 0


@pytest.mark.parametrize(("age", "frozen"), [(365, False), (366, True)])
def test_a_movie_freezes_only_when_it_is_over_365_days_old(age: int, frozen: bool) -> None:
    stable = movie(release_date=aged(age), unchanged_cycles=3, tmdb=checked(DAY), omdb=checked(DAY))
    assert AGE_TABLE_STRATEGY.is_frozen(stable, NOW) is frozen


def test_an_undated_movie_never_freezes() -> None:
    state, at = cycles(fetched_first(release_date=None), 10)
    assert state.unchanged_cycles == 10
    assert not AGE_TABLE_STRATEGY.is_frozen(state, at)


def test_looking_several_times_a_day_is_no_evidence() -> None:
    state, at = cycles(fetched_first(), 5, every=HOUR)
    assert state.unchanged_cycles == 0
    assert not AGE_TABLE_STRATEGY.is_frozen(state, at)


def test_a_check_a_second_before_its_time_closes_no_cycle() -> None:
    assert cycles(fetched_first(), 1, every=90 * DAY - SECOND)[0].unchanged_cycles == 0
    assert cycles(fetched_first(), 1, every=90 * DAY)[0].unchanged_cycles == 1


def test_a_check_before_its_time_does_not_undo_what_was_counted() -> None:
    state, at = cycles(fetched_first(), 2)
    assert after(state, "tmdb", Outcome.FETCHED, at + HOUR).unchanged_cycles == 2


@pytest.mark.parametrize("source", ["tmdb", "omdb", "numbers"])
def test_a_change_at_any_source_starts_the_count_anew(source: str) -> None:
    state, at = frozen_movie()
    changed = after(state, source, Outcome.FETCHED, at + HOUR, changed=True)
    assert changed.unchanged_cycles == 0
    assert not AGE_TABLE_STRATEGY.is_frozen(changed, at + HOUR)


@pytest.mark.parametrize("source", ["omdb", "numbers"])
def test_unchanged_answers_of_other_sources_close_no_cycle(source: str) -> None:
    state, at = cycles(fetched_first(), 2)
    for days in (200, 400, 600):
        state = after(state, source, Outcome.FETCHED, at + days * DAY)
    assert state.unchanged_cycles == 2


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_FOUND, Outcome.QUARANTINED])
def test_a_failure_neither_counts_nor_resets(outcome: Outcome) -> None:
    state, at = cycles(fetched_first(), 2)
    assert after(state, "tmdb", outcome, at + 100 * DAY).unchanged_cycles == 2


def test_a_movie_that_omdb_never_answered_for_does_not_freeze() -> None:
    state, at = cycles(fetched_first(omdb=False), 3)
    assert not is_fully_refreshed(state)
    assert not AGE_TABLE_STRATEGY.is_frozen(state, at)
    assert AGE_TABLE_STRATEGY.is_frozen(after(state, "omdb", Outcome.ABSENT, at + HOUR), at + HOUR)


def test_a_movie_without_an_imdb_id_freezes_without_omdb() -> None:
    state, at = cycles(fetched_first(omdb=False, imdb_id=None), 3)
    assert is_fully_refreshed(state)
    assert AGE_TABLE_STRATEGY.is_frozen(state, at)


def test_a_source_without_a_client_is_not_waited_for() -> None:
    assert is_fully_refreshed(movie(tmdb=checked(DAY), omdb=checked(DAY)))


@pytest.mark.parametrize("source", ["tmdb", "omdb", "numbers"])
def test_a_frozen_movie_is_skipped(source: str) -> None:
    state, at = frozen_movie()
    later = at + 100 * DAY
    decision = AGE_TABLE_STRATEGY.decide(state, source, later)
    assert (decision.due, decision.reason) == (False, Reason.FROZEN)


def test_a_frozen_movie_is_due_at_tmdb_after_170_days() -> None:
    state, at = frozen_movie()
    ceiling = at + 170 * DAY
    before = AGE_TABLE_STRATEGY.decide(state, "tmdb", ceiling - SECOND)
    assert (before.due, before.reason, before.due_at) == (False, Reason.FROZEN, ceiling)
    decision = AGE_TABLE_STRATEGY.decide(state, "tmdb", ceiling)
    assert (decision.due, decision.reason, decision.due_at) == (True, Reason.CEILING, ceiling)


def test_there_is_no_ceiling_at_omdb() -> None:
    state, at = frozen_movie()
    decision = AGE_TABLE_STRATEGY.decide(state, "omdb", at + 5000 * DAY)
    assert (decision.due, decision.reason, decision.due_at) == (False, Reason.FROZEN, None)


def test_a_movie_frozen_by_hand_is_skipped_whatever_its_age() -> None:
    by_hand = movie(release_date=aged(10), override=Override.FREEZE, override_at=NOW - DAY, tmdb=checked(100 * DAY))
    assert AGE_TABLE_STRATEGY.is_frozen(by_hand, NOW)
    assert AGE_TABLE_STRATEGY.decide(by_hand, "tmdb", NOW).reason is Reason.FROZEN


def test_a_movie_frozen_by_hand_is_not_even_asked_for_the_first_time() -> None:
    by_hand = movie(override=Override.FREEZE, override_at=NOW - DAY)
    assert AGE_TABLE_STRATEGY.decide(by_hand, "omdb", NOW).reason is Reason.FROZEN


def test_a_movie_frozen_by_hand_is_due_at_the_ceiling() -> None:
    by_hand = movie(release_date=aged(10), override=Override.FREEZE, override_at=NOW - DAY, tmdb=checked(170 * DAY))
    assert AGE_TABLE_STRATEGY.decide(by_hand, "tmdb", NOW).reason is Reason.CEILING


def test_a_thawed_movie_is_due_again_until_it_proves_stable() -> None:
    state, at = frozen_movie()
    thawed = replace(state, override=Override.THAW, override_at=at + HOUR, unchanged_cycles=0)
    assert AGE_TABLE_STRATEGY.decide(thawed, "tmdb", at + 90 * DAY).reason is Reason.AGE_TABLE
    stable, later = cycles(thawed, 3)
    assert AGE_TABLE_STRATEGY.is_frozen(stable, later)


def test_a_forced_movie_is_due_whatever_else_holds() -> None:
    state, at = frozen_movie()
    forced = replace(state, override=Override.FORCE, override_at=at + HOUR)
    for source in ("tmdb", "omdb", "numbers"):
        decision = AGE_TABLE_STRATEGY.decide(forced, source, at + HOUR)
        assert (decision.due, decision.reason, decision.due_at) == (True, Reason.MANUAL, at + HOUR)


def test_force_overrules_a_tombstone_and_a_backoff() -> None:
    failing = replace(checked(300 * DAY), attempted_at=NOW - HOUR, failures=5, tombstoned_at=NOW - 9 * DAY)
    assert AGE_TABLE_STRATEGY.decide(movie(tmdb=failing), "tmdb", NOW).reason is Reason.TOMBSTONE
    forced = movie(tmdb=failing, override=Override.FORCE, override_at=NOW - SECOND)
    assert AGE_TABLE_STRATEGY.decide(forced, "tmdb", NOW).reason is Reason.MANUAL


def test_force_cannot_make_up_an_imdb_id() -> None:
    forced = movie(imdb_id=None, override=Override.FORCE, override_at=NOW)
    assert AGE_TABLE_STRATEGY.decide(forced, "omdb", NOW).reason is Reason.NO_IMDB_ID


@pytest.mark.parametrize(("outcome", "reason"), [(Outcome.FETCHED, Reason.FRESH), (Outcome.FAILED, Reason.BACKOFF)])
def test_one_force_is_one_attempt(outcome: Outcome, reason: Reason) -> None:
    forced = movie(release_date=aged(400), tmdb=checked(DAY), override=Override.FORCE, override_at=NOW)
    assert AGE_TABLE_STRATEGY.decide(forced, "tmdb", NOW).due
    tried = after(forced, "tmdb", outcome, NOW + SECOND)
    assert AGE_TABLE_STRATEGY.decide(tried, "tmdb", NOW + HOUR).reason is reason


def test_an_attempt_at_one_source_leaves_the_force_for_the_others() -> None:
    forced = movie(release_date=aged(400), omdb=checked(DAY), override=Override.FORCE, override_at=NOW)
    tried = after(forced, "tmdb", Outcome.FETCHED, NOW + SECOND)
    assert AGE_TABLE_STRATEGY.decide(tried, "omdb", NOW + HOUR).reason is Reason.MANUAL


def test_a_force_of_a_movie_frozen_by_hand_is_one_attempt_and_then_it_is_frozen_as_before() -> None:
    override = Override.after(Override.FREEZE, Override.FORCE)
    forced = movie(release_date=aged(400), tmdb=checked(20 * DAY), override=override, override_at=NOW)
    assert AGE_TABLE_STRATEGY.decide(forced, "tmdb", NOW).reason is Reason.MANUAL
    tried = after(forced, "tmdb", Outcome.FETCHED, NOW + SECOND)
    assert AGE_TABLE_STRATEGY.decide(tried, "tmdb", NOW + SECOND).reason is Reason.FROZEN
    assert AGE_TABLE_STRATEGY.decide(tried, "tmdb", NOW + 100 * DAY).reason is Reason.FROZEN
    assert AGE_TABLE_STRATEGY.decide(tried, "tmdb", NOW + 171 * DAY).reason is Reason.CEILING, "the terms of use go on"


@pytest.mark.parametrize(
    ("before", "decided", "holds"),
    [
        (None, Override.FORCE, Override.FORCE),
        (Override.THAW, Override.FORCE, Override.FORCE),
        (Override.FORCE, Override.FORCE, Override.FORCE),
        (Override.FREEZE, Override.FORCE, Override.FORCE_FROZEN),
        (Override.FORCE_FROZEN, Override.FORCE, Override.FORCE_FROZEN),
        (Override.FORCE_FROZEN, Override.FREEZE, Override.FREEZE),
        (Override.FORCE_FROZEN, Override.THAW, Override.THAW),
        (Override.FORCE, Override.FREEZE, Override.FREEZE),
    ],
)
def test_what_a_person_decides_holds_and_a_force_alone_passes(
    before: Override | None, decided: Override, holds: Override
) -> None:
    assert Override.after(before, decided) is holds
