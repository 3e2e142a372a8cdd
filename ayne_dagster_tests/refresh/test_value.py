"""The value of refresh: what is expected, what it is worth, and in which order movies come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.refresh.feeds import silent_days
from ayne_dagster.refresh.strategy import Feed, Gap, MovieState, Override, Reason, ValueOfRefreshStrategy
from ayne_dagster.refresh.value import CUTOFF
from ayne_dagster_tests.support.states import DAY, NOW, RATES, aged, checked, movie

VALUE = ValueOfRefreshStrategy()
FEED = Feed(recall=0.9, precision=0.5)


def known(ago: timedelta, rate: float = 0.01, **fields: object) -> MovieState:
    """An old movie with a rate, checked so long ago."""
    signals = fields.pop("signals", 0)
    return movie(release_date=aged(5000), tmdb=replace(checked(ago), rate=rate, signals=signals), **fields)


def test_without_a_feed_changes_are_expected_at_the_rate() -> None:
    assert VALUE.expected_changes(known(41 * DAY, 0.032), "tmdb", NOW) == pytest.approx(0.032 * 41)


def test_the_silence_of_a_feed_leaves_the_share_that_it_does_not_tell() -> None:
    with_feed = ValueOfRefreshStrategy({"tmdb": FEED})
    assert with_feed.expected_changes(known(40 * DAY), "tmdb", NOW) == pytest.approx(0.1 * 0.01 * 40)


def test_the_days_of_a_gap_count_in_full() -> None:
    gappy = Feed(0.9, 0.5, (Gap(None, NOW - 30 * DAY), Gap(NOW - 5 * DAY, None)))
    assert silent_days(gappy, NOW - 40 * DAY, NOW) == pytest.approx(10 + 5 + 0.1 * 25)


def test_each_signal_leaves_the_probability_that_it_is_wrong() -> None:
    with_feed = ValueOfRefreshStrategy({"tmdb": FEED})
    worth = with_feed.assess(known(timedelta(0), signals=3), "tmdb", NOW)
    assert worth.p_stale == pytest.approx(1 - 0.5**3)


def test_a_movie_is_due_when_it_is_stale_with_five_per_cent() -> None:
    rate = CUTOFF / 10
    decision = VALUE.decide(known(9 * DAY, rate), "tmdb", NOW)
    assert (decision.reason, decision.due_at) == (Reason.BELOW_CUTOFF, NOW + DAY)
    due = VALUE.decide(known(10 * DAY, rate), "tmdb", NOW)
    assert (due.reason, due.due_at) == (Reason.INDEX, NOW)
    assert VALUE.assess(known(10 * DAY, rate), "tmdb", NOW).p_stale == pytest.approx(0.05)


def test_the_value_is_harmonic() -> None:
    state = known(100 * DAY, 0.02, importance=3.0)
    assert VALUE.value(state, "tmdb", NOW) == pytest.approx(3.0 * (2 - log(3)) / 0.02)


@given(st.floats(0.001, 24), RATES)
def test_no_movie_is_given_up_however_fast_it_changes(one: float, other: float) -> None:
    """Left alone long enough, any movie is worth more than any other that was checked a month ago."""
    rival = VALUE.value(known(30 * DAY, other, importance=9.0), "tmdb", NOW)
    assert VALUE.value(known(20_000 * DAY, one, importance=0.2), "tmdb", NOW) > rival


@given(RATES, st.integers(1, 2000), st.integers(1, 2000))
def test_the_value_grows_with_time(rate: float, days: int, later: int) -> None:
    before, after = (VALUE.value(known(d * DAY, rate), "tmdb", NOW) for d in (days, days + later))
    assert after > before >= 0


def test_the_value_of_a_fast_mover_nears_the_time_that_it_was_left_alone() -> None:
    # The plain greedy index nears 1/λ instead, so that fast movers would come last for ever.
    slow, fast = (VALUE.value(known(90 * DAY, rate, importance=1.0), "tmdb", NOW) for rate in (0.01, 10.0))
    assert slow < fast < 90
    assert fast == pytest.approx(90, rel=0.01)


def test_new_releases_weigh_three_times_as_much_until_importance_is_worked_out() -> None:
    weighing = ValueOfRefreshStrategy(mean_popularity=5.0)
    new, old = movie(release_date=aged(60), popularity=5.0), movie(release_date=aged(61), popularity=5.0)
    assert weighing.importance_of(old, NOW) == pytest.approx(1.0)
    assert weighing.importance_of(new, NOW) == pytest.approx(3.0)
    assert weighing.importance_of(replace(new, importance=0.7), NOW) == 0.7


@pytest.mark.parametrize(("tmdb_id", "days"), [(40, 150), (41, 151), (59, 169)])
def test_movies_near_the_ceiling_come_spread_over_twenty_days(tmdb_id: int, days: int) -> None:
    almost = known(days * DAY - timedelta(seconds=1), 1e-6, tmdb_id=tmdb_id)
    assert not VALUE.decide(almost, "tmdb", NOW).due
    assert VALUE.decide(almost, "tmdb", NOW).due_at == NOW + timedelta(seconds=1)
    assert VALUE.decide(known(days * DAY, 1e-6, tmdb_id=tmdb_id), "tmdb", NOW).reason is Reason.CEILING


def test_nothing_freezes_of_itself_but_a_person_can_freeze() -> None:
    stable = known(80 * DAY, unchanged_cycles=50, omdb=checked(DAY))
    assert not VALUE.is_frozen(stable, NOW)
    by_hand = replace(stable, override=Override.FREEZE, override_at=NOW)
    assert VALUE.decide(by_hand, "tmdb", NOW).reason is Reason.FROZEN


def test_a_movie_without_a_rate_goes_by_the_age_table() -> None:
    state = movie(release_date=aged(5000), tmdb=checked(9 * DAY))
    assert VALUE.expected_changes(state, "tmdb", NOW) == pytest.approx(0.1)


def test_a_movie_that_hardly_ever_changes_is_due_at_the_ceiling_only() -> None:
    decision = VALUE.decide(known(DAY, 1e-6, tmdb_id=20), "tmdb", NOW)
    assert decision.due_at == NOW + 149 * DAY


@pytest.mark.parametrize(("tmdb_id", "days"), [(40, 150), (41, 151), (59, 169)])
def test_at_a_source_without_a_ceiling_it_is_due_by_the_index_as_late(tmdb_id: int, days: int) -> None:
    def at_omdb(ago: timedelta) -> MovieState:
        return movie(tmdb_id=tmdb_id, release_date=aged(5000), omdb=replace(checked(ago), rate=1e-12))

    almost = at_omdb(days * DAY - timedelta(seconds=1))
    assert VALUE.decide(almost, "omdb", NOW).reason is Reason.BELOW_CUTOFF
    assert VALUE.decide(almost, "omdb", NOW).due_at == NOW + timedelta(seconds=1)
    assert not VALUE.may_use_reserve(almost, "omdb", NOW)
    long_unchecked = at_omdb(days * DAY + DAY)
    decision = VALUE.decide(long_unchecked, "omdb", NOW)
    assert (decision.reason, decision.due_at) == (Reason.INDEX, NOW - DAY)
    assert VALUE.may_use_reserve(long_unchecked, "omdb", NOW)


@pytest.mark.parametrize(
    ("recall", "precision"), [(1.0, 0.5), (-0.1, 0.5), (0.9, 0.0), (0.9, 1.0), (float("nan"), 0.5)]
)
def test_a_feeds_shares_are_checked(recall: float, precision: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Feed(recall, precision)


def test_a_gap_before_and_after_everything_is_no_feed() -> None:
    start: datetime = NOW - 40 * DAY
    assert silent_days(Feed(0.9, 0.5, (Gap(None, None),)), start, NOW) == pytest.approx(40)
