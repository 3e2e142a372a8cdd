"""The watch over a step: when it warns, when it says that all is well, and that it looks by itself."""

from __future__ import annotations

import threading

import pytest

from ayne_dagster.collecting.watch import SAYS_EVERY, STALLED_AFTER, Watch


class Step:
    """A step whose time and progress a test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self.said: list[str] = []
        self.warned: list[str] = []
        self.watch = Watch(lambda: self.count, self.said.append, self.warned.append, lambda: self.now)

    def after(self, seconds: float, count: int = 0) -> None:
        self.now += seconds
        self.count += count
        self.watch.look()


@pytest.fixture
def step() -> Step:
    return Step()


def test_nothing_moving_for_ten_minutes_is_told_once(step: Step) -> None:
    step.after(10, 7)
    step.after(STALLED_AFTER - 1)
    assert step.warned == []
    step.after(1)
    step.after(STALLED_AFTER)
    (warning,) = step.warned
    assert "for 10 minutes, 7 before that" in warning
    assert "\n" not in warning


def test_it_is_told_again_when_something_has_moved_in_between(step: Step) -> None:
    step.after(STALLED_AFTER)
    step.after(1, 1)
    step.after(STALLED_AFTER)
    assert len(step.warned) == 2


def test_a_step_that_moves_on_says_so_often_enough_not_to_be_taken_for_one_that_hangs(step: Step) -> None:
    for _ in range(100):
        step.after(30, 1)
    assert step.warned == []
    assert len(step.said) == 100 * 30 // SAYS_EVERY
    assert 2 * SAYS_EVERY < STALLED_AFTER


def test_a_step_that_hangs_does_not_say_that_it_moves(step: Step) -> None:
    for _ in range(100):
        step.after(30)
    assert step.said == []


def test_a_wait_that_is_in_its_order_is_no_stall(step: Step) -> None:
    with step.watch.waiting("waiting for another run to end"):
        for _ in range(100):
            step.after(30)
    assert step.warned == []
    assert step.said[0] == "Still waiting for another run to end."
    assert len(step.said) == 100 * 30 // SAYS_EVERY
    step.after(STALLED_AFTER - 1)
    assert step.warned == [], "the wait does not count afterwards"
    step.after(1)
    assert len(step.warned) == 1


def test_it_looks_by_itself() -> None:
    looked = threading.Event()
    watch = Watch(lambda: 0, print, print)
    watch.look = looked.set  # type: ignore[method-assign]
    with watch.kept(every=0.001):
        assert looked.wait(20.0)
