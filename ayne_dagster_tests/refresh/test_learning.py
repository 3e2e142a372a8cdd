"""What answers teach of how often movies change."""

from __future__ import annotations

from dataclasses import replace
from math import exp, expm1, isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.learning import buckets, correction, factor, learn, rate
from ayne_dagster.refresh.outcome import Outcome, after
from ayne_dagster.refresh.strategy import AGE_TABLE, Feed, Gap, MovieState
from ayne_dagster_tests.support.states import DAY, HOUR, INSTANTS, NOW, aged, checked, movie, movies
from ayne_dagster_tests.support.thoroughness import examples


def known(rate: float = 0.02, **fields: object) -> MovieState:
    """An old movie that was checked ten days ago and is believed to change so many times a day."""
    return movie(release_date=aged(5000), tmdb=replace(checked(10 * DAY), rate=rate, **fields))


def test_at_median_popularity_the_age_table_is_the_first_belief() -> None:
    at_median = {(b.source, b.category): b.first_rate for b in buckets() if b.popularity_bucket == 0}
    for band in AGE_TABLE:
        for source in ("tmdb", "omdb"):
            assert at_median[source, band.category] == pytest.approx(1 / band.interval_days[source])


def test_twice_the_popularity_is_believed_to_change_a_fifth_more_often() -> None:
    rates = {b.popularity_bucket: b.first_rate for b in buckets() if (b.source, b.category) == ("tmdb", "archived")}
    assert rates[3] / rates[2] == pytest.approx(2**0.3)


def test_a_check_without_a_change_lowers_the_rate() -> None:
    state = after(known(), "tmdb", Outcome.FETCHED, NOW).at("tmdb")
    assert (state.exposure, state.changes) == (pytest.approx(0.2), 0)
    assert state.rate == pytest.approx(0.02 / 1.2)


def test_a_change_raises_it_and_counts_those_that_one_check_cannot_tell_apart() -> None:
    state = after(known(), "tmdb", Outcome.FETCHED, NOW, changed=True).at("tmdb")
    assert state.changes == pytest.approx(0.2 / -expm1(-0.2))
    assert state.rate == pytest.approx(0.02 * (1 + state.changes) / 1.2)
    assert state.rate > 0.02


def test_the_first_answer_teaches_nothing() -> None:
    state = after(movie(release_date=aged(5000)), "tmdb", Outcome.FETCHED, NOW, changed=True).at("tmdb")
    assert (state.exposure, state.changes, state.rate) == (0, 0, None)


def test_a_movie_learns_by_the_age_table_until_its_bucket_is_known() -> None:
    state = after(movie(release_date=aged(5000), tmdb=checked(45 * DAY)), "tmdb", Outcome.FETCHED, NOW).at("tmdb")
    assert (state.exposure, state.rate) == (pytest.approx(0.5), None)


FEED = Feed(recall=0.8, precision=0.4)


def test_signals_count_as_what_they_are_worth_whatever_the_check_found() -> None:
    state = after(known(signals=2, signalled_at=NOW - DAY), "tmdb", Outcome.FETCHED, NOW, feed=FEED).at("tmdb")
    assert (state.exposure, state.changes) == (pytest.approx(0.2), pytest.approx(2 * 0.4))


def test_signals_of_others_teach_nothing_of_how_often_a_source_changes() -> None:
    silent, told = (movie(omdb=replace(checked(10 * DAY), rate=0.01, signals=n)) for n in (0, 5))
    for changed in (False, True):
        taught = [after(m, "omdb", Outcome.FETCHED, NOW, changed=changed).at("omdb") for m in (silent, told)]
        assert taught[0] == taught[1]


def test_what_signals_did_not_tell_counts_on_top_when_a_change_was_found() -> None:
    before = known(signals=2, signalled_at=NOW - DAY)
    state = after(before, "tmdb", Outcome.FETCHED, NOW, changed=True, feed=FEED).at("tmdb")
    assert state.changes == pytest.approx(2 * 0.4 + 0.04 / (1 - 0.6**2 * exp(-0.04)))


@pytest.mark.parametrize("signals", [0, 1, 3])
def test_what_checks_count_is_on_average_what_happens(signals: int) -> None:
    """A feed of known precision, and a rate that is right: evidence neither raises nor lowers it."""
    precision, untold = 0.4, 0.3
    counted = [
        learn(0, 0, days=10, silent=10, changed=c, signals=signals, precision=precision, bucket_rate=untold / 10)[1]
        for c in (False, True)
    ]
    unchanged = (1 - precision) ** signals * exp(-untold)
    assert unchanged * counted[0] + (1 - unchanged) * counted[1] == pytest.approx(signals * precision + untold)


def test_a_change_without_a_signal_is_one_that_the_feed_did_not_tell() -> None:
    state = after(known(), "tmdb", Outcome.FETCHED, NOW, changed=True, feed=FEED).at("tmdb")
    assert state.changes == pytest.approx(0.04 / -expm1(-0.04))


def test_days_on_which_no_feed_was_read_count_as_without_one() -> None:
    unread = Feed(0.8, 0.4, (Gap(None, NOW),))
    with_it, without = (
        after(known(), "tmdb", Outcome.FETCHED, NOW, changed=True, feed=f).at("tmdb") for f in (unread, None)
    )
    assert with_it.changes == pytest.approx(without.changes)
    assert with_it.exposure == pytest.approx(without.exposure)


def test_the_bucket_rate_can_be_given() -> None:
    state = after(known(), "tmdb", Outcome.FETCHED, NOW, bucket_rate=0.05).at("tmdb")
    assert state.exposure == pytest.approx(0.5)
    assert state.rate == pytest.approx(0.05 / 1.5)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_FOUND, Outcome.QUARANTINED])
def test_a_failed_attempt_teaches_nothing(outcome: Outcome) -> None:
    before = known(exposure=1.5, changes=0.5)
    state = after(before, "tmdb", outcome, NOW).at("tmdb")
    assert (state.exposure, state.changes, state.rate) == (1.5, 0.5, 0.02)


def test_repeated_answers_find_the_true_rate() -> None:
    """A movie that changes every 25 days, looked at every ten days, from a belief four times too low."""
    state, since = known(rate=0.01), 0
    for look in range(1, 400):
        now = NOW + look * 10 * DAY
        changed, since = (since + 10) // 25 > since // 25, since + 10
        state = after(state, "tmdb", Outcome.FETCHED, now, changed=changed)
    assert state.at("tmdb").rate == pytest.approx(1 / 25, rel=0.35)


@settings(deadline=None, max_examples=examples(150))
@given(st.data())
def test_rates_stay_above_zero_and_finite_and_the_same_answer_counts_once(data: st.DataObject) -> None:
    now = data.draw(INSTANTS)
    state = data.draw(movies(now))
    feed = data.draw(st.sampled_from([None, Feed(), Feed(0.0, 0.01), Feed(0.999, 0.999)]))
    at = now
    for hours, changed in data.draw(st.lists(st.tuples(st.integers(0, 10_000), st.booleans()), max_size=8)):
        at += hours * HOUR
        once = after(state, "tmdb", Outcome.FETCHED, at, changed=changed, feed=feed)
        assert after(once, "tmdb", Outcome.FETCHED, at, changed=changed, feed=feed) == once
        learned = once.at("tmdb")
        if learned.checked_at == at:
            assert learned.rate is None or 0 < learned.rate < 1000
            assert isfinite(learned.exposure)
            assert learned.changes >= 0
        state = once


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_what_a_movie_shows_is_held_near_its_bucket(exposure: float, changes: float) -> None:
    """The factor lies between 1 and what the movie alone would say; without evidence it is 1."""
    alone = changes / exposure if exposure else 1.0
    low, high = sorted([1.0, alone])
    if exposure:
        assert low - 1e-9 <= factor(exposure, changes) <= high + 1e-9
    assert factor(0, 0) == 1


@given(st.floats(0.1, 1000), st.floats(0, 1000), st.floats(0.5, 2))
def test_a_buckets_correction_lies_between_its_evidence_and_that_of_all(e: float, a: float, overall: float) -> None:
    low, high = sorted([overall, a / e])
    assert low - 1e-9 <= correction(e, a, toward=overall) <= high + 1e-9
    assert correction(0, 0, toward=overall) == pytest.approx(overall)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(1e-3, 0.5), st.floats(0.1, 10))
def test_after_a_correction_rates_are_what_the_corrected_belief_would_have_taught(
    exposure: float, changes: float, bucket_rate: float, by: float
) -> None:
    """Rate and exposure go together: a movie that is known well keeps its rate, a new one takes the bucket's."""
    before, now = rate(bucket_rate, exposure, changes), rate(bucket_rate * by, exposure * by, changes)
    low, high = sorted([1.0, by])
    assert low * before * (1 - 1e-9) <= now <= high * before * (1 + 1e-9)
    assert rate(bucket_rate * by, 1e9 * by, 1e9) == pytest.approx(rate(bucket_rate, 1e9, 1e9), rel=1e-6)


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans(), st.integers(0, 9)), max_size=30), st.floats(1e-3, 0.2))
def test_evidence_only_grows(checks: list[tuple[float, bool, int]], bucket_rate: float) -> None:
    exposure = changes = 0.0
    for days, changed, signals in checks:
        more = learn(
            exposure,
            changes,
            days=days,
            silent=days / 2,
            changed=changed,
            signals=signals,
            precision=0.3,
            bucket_rate=bucket_rate,
        )
        assert more[0] >= exposure
        assert more[1] >= changes + signals * 0.3 + (changed and not signals) * (1 - 1e-9)
        exposure, changes = more
