"""When what is due is worth a run: the decision alone, over all that can wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.refresh.budget import STEPS, DayBudget, midnight
from ayne_dagster.refresh.gathering import Gathered, Gathering, Waiting

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GATHERING = Gathering(enough=5, longest=6 * HOUR)

_MOVIES = st.sets(st.integers(1, 12), max_size=12)
_WAITING = st.builds(
    lambda movies, hours, forced, lapses: Waiting(movies, NOON - hours * HOUR if movies else None, forced, lapses),
    _MOVIES,
    st.floats(0, 12),
    st.booleans(),
    st.booleans(),
)


def waiting(number: int, hours: float = 0.0, *, forced: bool = False, lapses: bool = False, first: int = 1) -> Waiting:
    """So many movies of which the first has waited so many hours at noon."""
    return Waiting(set(range(first, first + number)), NOON - hours * HOUR, forced, lapses)


def test_too_few_are_gathered_until_there_are_enough_or_the_first_has_waited_long_enough() -> None:
    assert GATHERING.decide([waiting(4, 2)], NOON) == Gathered(False, 4, NOON + 4 * HOUR)


@pytest.mark.parametrize(
    "some",
    [
        [waiting(5)],
        [waiting(3), waiting(2, first=9)],
        [waiting(1, 6)],
        [waiting(1), waiting(1, 7, first=9)],
        [waiting(1, forced=True)],
    ],
    ids=["enough at one source", "enough at two", "one has waited", "one has, elsewhere", "one is forced"],
)
def test_a_run_is_worth_its_while(some: list[Waiting]) -> None:
    assert GATHERING.decide(some, NOON).ready


def test_a_movie_that_waits_at_two_sources_is_one_movie() -> None:
    assert GATHERING.decide([waiting(3), waiting(3)], NOON).due == 3


def test_requests_that_would_lapse_at_midnight_are_used_in_the_last_hour_and_not_before() -> None:
    late = midnight(NOON) + 22.9 * HOUR
    few = [Waiting({1, 2}, late, lapses=True)]
    assert GATHERING.decide(few, late) == Gathered(False, 2, midnight(NOON) + 23 * HOUR)
    assert GATHERING.decide(few, midnight(NOON) + 23 * HOUR).ready


def test_few_movies_for_which_there_are_requests_to_spare_wait_over_midnight_as_at_any_hour() -> None:
    late = midnight(NOON) + 23.5 * HOUR
    assert not GATHERING.decide([Waiting({1, 2}, late)], late).ready


def test_nothing_due_is_nothing_to_gather() -> None:
    assert GATHERING.decide([Waiting((), None), Waiting((), None)], NOON) == Gathered(False, 0)


@given(st.lists(_WAITING, max_size=3), st.integers(1, 12), st.floats(0, 12))
def test_no_movie_waits_longer_than_is_set_and_no_run_is_for_nothing(
    some: list[Waiting], enough: int, hours: float
) -> None:
    gathered = Gathering(enough, hours * HOUR).decide(some, NOON)
    filled = [source for source in some if source.movies]
    assert gathered.due == len({movie for source in some for movie in source.movies})
    if gathered.ready:
        assert gathered.due
    elif gathered.due:
        assert gathered.due < enough
        assert not any(source.forced for source in filled)
        assert all(NOON - source.since < hours * HOUR for source in filled if source.since)
        assert gathered.until is not None
        assert gathered.until > NOON


@given(st.lists(_WAITING, max_size=3), st.integers(1, 12), st.floats(0, 12))
def test_what_is_said_to_be_ready_at_an_instant_is_ready_then_and_not_before(
    some: list[Waiting], enough: int, hours: float
) -> None:
    gathering = Gathering(enough, hours * HOUR)
    gathered = gathering.decide(some, NOON)
    if gathered.until is not None and not gathered.ready:
        assert gathering.decide(some, gathered.until).ready
        assert not gathering.decide(some, gathered.until - timedelta(microseconds=1)).ready


@given(st.integers(1, 3000), st.integers(0, 100), st.integers(0, 3000), st.integers(0, 86399))
def test_what_may_be_spent_has_been_released_since_the_first_step_that_is_not_spent(
    quota: int, reserve: int, used: int, second: int
) -> None:
    plan, now = DayBudget(quota, reserve, used), midnight(NOON) + timedelta(seconds=second)
    since = plan.unspent_since(now)
    assert (since is None) == (plan.spendable(now) == 0)
    if since is not None:
        assert since <= now
        assert plan.spendable(since) > 0
        assert since == midnight(NOON) or plan.spendable(since - timedelta(days=1) / STEPS) == 0
