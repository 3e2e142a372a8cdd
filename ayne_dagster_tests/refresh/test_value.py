"""The value of refresh: what is expected, what it is worth, and in which order movies come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.refresh.feeds import silent_days
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    Feed,
    Gap,
    MovieState,
    Override,
    Reason,
    ValueOfRefreshStrategy,
)
from ayne_dagster.refresh.worth import HARMONIC_SHARE, Worth
from ayne_dagster_tests.support.states import DAY, HOUR, NOW, RATES, aged, checked, may_use_reserve, movie

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


def test_a_signal_of_others_makes_a_movie_due_by_the_age_table_and_counts_for_nothing_by_value() -> None:
    silent = movie(release_date=aged(5000), omdb=replace(checked(10 * DAY), rate=0.01))
    told = movie(release_date=aged(5000), omdb=replace(checked(10 * DAY), rate=0.01, signals=3))
    assert AGE_TABLE_STRATEGY.decide(told, "omdb", NOW).reason is Reason.CHANGE_FEED
    assert VALUE.decide(told, "omdb", NOW) == VALUE.decide(silent, "omdb", NOW)
    assert VALUE.assess(told, "omdb", NOW) == VALUE.assess(silent, "omdb", NOW)
    just_asked = movie(release_date=aged(5000), omdb=replace(checked(HOUR), rate=5.0, signals=3))
    assert VALUE.decide(just_asked, "omdb", NOW).reason is Reason.BELOW_CUTOFF


@pytest.mark.parametrize(("strategy", "share"), [(VALUE, 0.001), (ValueOfRefreshStrategy(cutoff=0.05), 0.05)])
def test_a_movie_is_due_when_it_is_stale_with_the_cut_off(strategy: ValueOfRefreshStrategy, share: float) -> None:
    rate = strategy.cutoff / 10
    decision = strategy.decide(known(9 * DAY, rate), "tmdb", NOW)
    assert (decision.reason, decision.due_at) == (Reason.BELOW_CUTOFF, NOW + DAY)
    due = strategy.decide(known(10 * DAY, rate), "tmdb", NOW)
    assert (due.reason, due.due_at) == (Reason.INDEX, NOW)
    assert strategy.assess(known(10 * DAY, rate), "tmdb", NOW).p_stale == pytest.approx(share)


def test_without_a_signal_nothing_is_asked_for_twice_within_twenty_hours() -> None:
    fast = known(19 * HOUR, 5.0)
    decision = VALUE.decide(fast, "tmdb", NOW)
    assert (decision.reason, decision.due_at) == (Reason.BELOW_CUTOFF, NOW + HOUR)
    assert VALUE.decide(known(20 * HOUR, 5.0), "tmdb", NOW).reason is Reason.INDEX
    assert VALUE.decide(known(HOUR, 5.0, signals=1), "tmdb", NOW).reason is Reason.CHANGE_FEED


def test_the_value_is_the_weighted_worth_over_the_rate() -> None:
    state = known(100 * DAY, 0.02, importance=3.0)
    worth = 1 - 3 * exp(-2) + HARMONIC_SHARE * (2 - log(3))
    assert VALUE.value(state, "tmdb", NOW) == pytest.approx(3.0 * worth / 0.02)


def test_every_movie_weighs_alike_where_popularity_counts_for_nothing() -> None:
    alike = ValueOfRefreshStrategy(mean_popularity=5.0, popularity_share=0)
    movies = [movie(release_date=aged(age), popularity=p) for age in (1, 900) for p in (None, 0.1, 500.0)]
    assert {alike.importance_of(m, NOW) for m in movies} == {1.0}


def test_the_reserve_of_small_batches_adds_up_to_that_of_large_ones() -> None:
    """A batch of one a day, of three, and of one an hour: the fraction of a place is carried over."""
    for limit, step in ((1, DAY), (3, DAY), (1, HOUR), (2, HOUR), (1, timedelta(minutes=1))):
        places = [VALUE.reserved_places(("omdb",), NOW + n * step, limit) for n in range(400)]
        assert sum(places) == pytest.approx(400 * limit * 0.25, abs=4), (limit, step)
        longest = max(len(run) for run in "".join(str(p) for p in places).split("1")) if limit == 1 else 0
        assert longest <= 12


@pytest.mark.parametrize("feed", [None, Feed(0.9, 0.5), Feed(0.5, 0.2), Feed(0.05, 0.9), Feed(0.98, 0.98)])
def test_the_worth_grows_with_the_changes_expected(feed: Feed | None) -> None:
    worth = Worth.under(feed)
    values = [worth.of(n / 200) for n in range(4000)]
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert all(low < high for low, high in pairwise(values))


@given(st.floats(0.001, 24), RATES)
def test_no_movie_is_given_up_however_fast_it_changes(one: float, other: float) -> None:
    """Left alone long enough, any movie is worth more than any other that was checked a month ago."""
    rival = VALUE.value(known(30 * DAY, other, importance=3.0), "tmdb", NOW)
    assert VALUE.value(known(700_000 * DAY, one, importance=0.2), "tmdb", NOW) > rival


@given(RATES, st.integers(1, 2000), st.integers(1, 2000))
def test_the_value_grows_with_time(rate: float, days: int, later: int) -> None:
    before, after = (VALUE.value(known(d * DAY, rate), "tmdb", NOW) for d in (days, days + later))
    assert after > before >= 0


def test_the_value_of_a_fast_mover_nears_a_share_of_the_time_that_it_was_left_alone() -> None:
    # The plain index nears 1/λ instead, so that fast movers would come last for ever.
    fast = VALUE.value(known(9000 * DAY, 10.0, importance=1.0), "tmdb", NOW)
    assert fast == pytest.approx(HARMONIC_SHARE * 9000, rel=0.01)


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
    assert not may_use_reserve(VALUE, almost, "omdb", NOW)
    long_unchecked = at_omdb(days * DAY + DAY)
    decision = VALUE.decide(long_unchecked, "omdb", NOW)
    assert (decision.reason, decision.due_at) == (Reason.INDEX, NOW - DAY)
    assert may_use_reserve(VALUE, long_unchecked, "omdb", NOW)


@pytest.mark.parametrize(
    ("recall", "precision"), [(1.0, 0.5), (-0.1, 0.5), (0.9, 0.0), (0.9, 1.0), (float("nan"), 0.5)]
)
def test_a_feeds_shares_are_checked(recall: float, precision: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Feed(recall, precision)


def test_a_gap_before_and_after_everything_is_no_feed() -> None:
    start: datetime = NOW - 40 * DAY
    assert silent_days(Feed(0.9, 0.5, (Gap(None, None),)), start, NOW) == pytest.approx(40)
