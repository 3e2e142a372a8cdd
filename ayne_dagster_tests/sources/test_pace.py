"""The arithmetic of pace: places within the bucket, refusals that slow it, quiet minutes that restore it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.sources.limits.pace import (
    LONGEST_BAN,
    LONGEST_PAUSE,
    MOST_HALVINGS,
    QUIET,
    REPEATED_WITHIN,
    SAME_REFUSAL,
    Pace,
)

NOW = 1_772_366_400.0


def refused(*at: float, pause: float = 2.0) -> Pace:
    """A pace that was refused at these instants after NOW."""
    pace = Pace()
    for instant in at:
        pace = pace.refused(pause, NOW + instant)
    return pace


def distance(pace: Pace, now: float, rate: float = 4.0, burst: int = 40) -> float:
    """Seconds between two requests after the bucket is empty."""
    waits = []
    for _ in range(burst + 2):
        pace, wait = pace.place(rate, burst, now)
        waits.append(wait)
    return waits[-1] - waits[-2]


def test_one_refusal_pauses_and_does_not_slow() -> None:
    pace = refused(0)
    assert pace.pause_left(NOW + 0.5) == pytest.approx(1.5)
    assert pace.halvings_at(NOW + 3) == 0
    assert distance(pace, NOW + 3) == pytest.approx(0.25)


def test_a_second_refusal_within_a_minute_halves_the_pace() -> None:
    pace = refused(0, 2 + REPEATED_WITHIN - 1)
    later = NOW + REPEATED_WITHIN + 5
    assert pace.halvings_at(later) == 1
    assert distance(pace, later) == pytest.approx(0.5)


def test_a_second_refusal_much_later_is_a_first_one() -> None:
    assert refused(0, 2 + REPEATED_WITHIN + 1).halvings_at(NOW + 70) == 0


def test_answers_to_requests_that_were_in_flight_together_are_one_refusal() -> None:
    assert refused(*[number * 0.19 for number in range(10)]).halvings_at(NOW + 3) == 0
    together = refused(*[number * 0.09 for number in range(10)], pause=0.0)
    assert together.halvings_at(NOW + 3) == 0, "a Retry-After of 0 too"
    assert together.refused(0.0, NOW + SAME_REFUSAL).halvings_at(NOW + 3) == 1


def test_a_longer_pause_of_the_same_refusal_is_kept() -> None:
    pace = Pace().refused(5.0, NOW).refused(30.0, NOW + 1).refused(5.0, NOW + 2)
    assert pace.pause_left(NOW + 2) == pytest.approx(29)


def test_a_storm_slows_down_to_the_floor_and_no_further() -> None:
    pace = refused(*[10.0 * number for number in range(40)])
    assert pace.halvings_at(NOW + 393) == MOST_HALVINGS
    assert distance(pace, NOW + 393) == pytest.approx(0.25 * 2**MOST_HALVINGS)


def test_halving_again_takes_two_more_refusals() -> None:
    halvings = [refused(*[10.0 * n for n in range(number)]).halvings_at(NOW + 10 * number) for number in range(1, 8)]
    assert halvings == [0, 1, 1, 2, 2, 3, 3]


def test_quiet_minutes_restore_the_pace_step_by_step() -> None:
    pace = refused(*[10.0 * number for number in range(6)])
    end = NOW + 50 + 2
    shown = [pace.halvings_at(end + QUIET * steps + 1) for steps in range(5)]
    assert shown == [3, 2, 1, 0, 0]
    assert pace.halvings_at(end + QUIET - 1) == 3


def test_the_quiet_minutes_begin_after_the_pause() -> None:
    pace = refused(0, 305, pause=300.0)
    assert pace.halvings_at(NOW + 605 + QUIET - 1) == 1
    assert pace.halvings_at(NOW + 605 + QUIET + 1) == 0


def test_what_is_restored_is_halved_anew_by_refusals_that_repeat() -> None:
    pace = refused(0, 10, 20, 30)
    later = 30 + 2 + QUIET + 1
    assert pace.halvings_at(NOW + later) == 1
    pace = pace.refused(2.0, NOW + later)
    assert pace.halvings_at(NOW + later + 3) == 1, "the first after a quiet time"
    assert pace.refused(2.0, NOW + later + 10).halvings_at(NOW + later + 13) == 2


def test_while_slowed_there_is_no_burst() -> None:
    pace, waits = refused(0, 10), []
    for _ in range(4):
        pace, wait = pace.place(4.0, 40, NOW + 20)
        waits.append(wait)
    assert waits == pytest.approx([0, 0.5, 1.0, 1.5], abs=1e-5)


@pytest.mark.parametrize("pause", [LONGEST_PAUSE, 86_400.0, 1e12])
def test_no_pause_is_longer_than_an_hour(pause: float) -> None:
    pace = Pace().refused(pause, NOW)
    assert pace.pause_left(NOW) == pytest.approx(LONGEST_PAUSE)
    assert pace.place(4.0, 40, NOW)[1] == pytest.approx(LONGEST_PAUSE)
    assert pace.pause_left(NOW + LONGEST_PAUSE) == 0


@pytest.mark.parametrize(("seconds", "kept"), [(86_400.0, 86_400.0), (1e12, LONGEST_BAN)])
def test_a_ban_is_longer_than_a_pause_can_be_and_says_nothing_of_the_pace(seconds: float, kept: float) -> None:
    pace = refused(0, 10)
    banned = pace.banned(seconds, NOW + 20)
    assert banned.pause_left(NOW + 20) == pytest.approx(kept)
    assert banned.pause_left(NOW + 20 + kept) == 0
    assert banned.halvings_at(NOW + 20) == pace.halvings_at(NOW + 20) == 1
    assert banned.banned(1.0, NOW + 30).pause_left(NOW + 30) == pytest.approx(kept - 10)
    assert banned.pause_left(NOW - 1e9) == pytest.approx(kept), "a clock that is set back makes it no longer"


@pytest.mark.parametrize("back", [600.0, 3000.0, 86_400.0, 1e9])
def test_after_a_clock_was_set_back_a_pause_is_as_long_as_was_asked_for(back: float) -> None:
    pace = Pace().refused(30.0, NOW)
    assert pace.pause_left(NOW - back) == pytest.approx(30.0)
    assert pace.place(4.0, 40, NOW - back)[1] == pytest.approx(30.0)


@pytest.mark.parametrize("back", [60.0, 600.0, 3000.0, 86_400.0, 1e9])
def test_after_a_clock_was_set_back_requests_go_on_at_the_pace_without_a_burst(back: float) -> None:
    pace = Pace()
    for _ in range(50):
        pace, _ = pace.place(4.0, 40, NOW)
    waits = []
    for _ in range(4):
        pace, wait = pace.place(4.0, 40, NOW - back)
        waits.append(wait)
    assert waits == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=1e-5)


@pytest.mark.parametrize("arrival", [float("inf"), 1e300])
def test_a_place_that_no_clock_can_have_taken_stops_nobody(arrival: float) -> None:
    assert Pace(arrival=arrival).place(4.0, 40, NOW)[1] == pytest.approx(0.25)


EVENTS = st.lists(st.tuples(st.floats(0.0, 200.0), st.one_of(st.none(), st.floats(0.0, 400.0))), max_size=60)


@given(events=EVENTS, rate=st.sampled_from([0.5, 4.0, 50.0]), burst=st.integers(1, 40))
def test_whatever_happens_places_are_within_the_pace_that_is_set_and_never_slower_than_the_floor(
    events: list[tuple[float, float | None]], rate: float, burst: int
) -> None:
    pace, now, sent = Pace(), NOW, list[float]()
    for gap, pause in events:
        now += gap
        if pause is not None:
            pace = pace.refused(pause, now)
            continue
        paused = pace.pause_left(now)
        behind = max(0.0, pace.arrival - max(now, now + paused))
        pace, wait = pace.place(rate, burst, now)
        assert paused <= wait + 1e-6
        assert wait <= paused + behind + 2**MOST_HALVINGS / rate + 1e-3
        sent.append(now + wait)
        assert 0 <= pace.halvings_at(now) <= MOST_HALVINGS
    sent.sort()
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            assert last - first + 1 <= burst + rate * (sent[last] - sent[first]) + 1e-3
