"""Signals held back: they act at the end of the block, once, and never leave a handler of ours behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ayne_dagster.warehouse.interruption import HELD_BACK, signals_held_back


class Interrupted(BaseException):
    pass


@contextmanager
def raising(error: type[BaseException]) -> Iterator[None]:
    """The block, in all its steps, ends with the error."""
    try:
        yield
    except error:
        return
    pytest.fail(f"{error.__name__} was not raised")


@pytest.fixture(autouse=True)
def _interrupting() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = {number: signal.signal(number, interrupt) for number in HELD_BACK}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", HELD_BACK)
def test_a_signal_acts_at_the_end_of_the_block(number: signal.Signals) -> None:
    steps = []
    with raising(Interrupted), signals_held_back() as held:
        os.kill(os.getpid(), number)
        steps.append("after the signal")
        assert held.numbers == [number]
    assert steps == ["after the signal"]


def test_several_signals_interrupt_once() -> None:
    interruptions = 0
    try:
        with signals_held_back():
            for number in (*HELD_BACK, *HELD_BACK):
                os.kill(os.getpid(), number)
    except Interrupted:
        interruptions += 1
    assert interruptions == 1


def test_without_a_signal_nothing_happens_and_the_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in HELD_BACK]
    with signals_held_back() as held:
        assert not held
    assert [signal.getsignal(number) for number in HELD_BACK] == before


@pytest.mark.parametrize("number", HELD_BACK)
def test_the_handlers_are_as_before_after_an_interruption_and_after_an_error(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in HELD_BACK]
    with raising(Interrupted), signals_held_back():
        os.kill(os.getpid(), number)
    with raising(KeyError), signals_held_back():
        raise KeyError
    assert [signal.getsignal(one) for one in HELD_BACK] == before


def test_blocks_lie_within_each_other_and_the_outermost_decides() -> None:
    steps = []
    with raising(Interrupted), signals_held_back() as outer:
        with signals_held_back() as inner:
            os.kill(os.getpid(), signal.SIGINT)
            assert inner
            assert not outer
        steps.append("within the outer block")
        assert outer
    assert steps == ["within the outer block"]


def test_who_waits_is_told_at_once() -> None:
    told = threading.Event()
    with raising(Interrupted), signals_held_back(told.set):
        os.kill(os.getpid(), signal.SIGTERM)
        assert told.is_set()


def test_signals_that_are_forgotten_do_not_act() -> None:
    with raising(KeyError), signals_held_back() as held:
        os.kill(os.getpid(), signal.SIGINT)
        held.forget()
        raise KeyError("something worse")


def test_in_another_thread_nothing_is_held_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with signals_held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals_held_back() as held:
        os.kill(os.getpid(), signal.SIGINT)
        assert not held, "a commit under nohup goes on though its terminal is closed"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
