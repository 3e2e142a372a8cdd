"""Batches: what a producer emits arrives once, in order, in time, and whatever happens to either side."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.collecting import streams
from ayne_dagster.collecting.streams import Batches, Emit, estimated_bytes
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster_tests.support.thoroughness import examples

SOON = 5.0
"""Seconds after which a test gives up waiting for what must happen."""


def numbers(count: int) -> Callable[[Emit[int]], Awaitable[None]]:
    async def produce(emit: Emit[int]) -> None:
        for number in range(count):
            await emit(number)

    return produce


def joined(batches: list[list[int]]) -> list[int]:
    return [item for batch in batches for item in batch]


def received_until(error: type[BaseException], batches: Batches[int]) -> list[int]:
    """What arrives before an error."""
    received: list[int] = []
    with pytest.raises(error):
        received.extend(item for batch in batches for item in batch)
    return received


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread makes true."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


# Order and size


@settings(max_examples=examples(60), deadline=None)
@given(
    count=st.integers(0, 300),
    max_batch=st.integers(1, 50),
    capacity=st.integers(1, 60),
    pauses=st.sets(st.integers(0, 299), max_size=10),
)
def test_everything_arrives_once_in_order_and_in_batches_of_the_size(
    count: int, max_batch: int, capacity: int, pauses: set[int]
) -> None:
    async def produce(emit: Emit[int]) -> None:
        for number in range(count):
            if number in pauses:
                await asyncio.sleep(0)
            await emit(number)

    batches = list(Batches(produce, max_batch=max_batch, max_wait=0.001, capacity=capacity))
    assert joined(batches) == list(range(count))
    assert all(1 <= len(batch) <= max_batch for batch in batches)


def test_everything_arrives_from_several_tasks() -> None:
    async def produce(emit: Emit[int]) -> None:
        async def work(first: int) -> None:
            for number in range(first, first + 200):
                await emit(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(1000 * worker) for worker in range(5)))

    items = joined(list(Batches(produce, max_batch=7, max_wait=0.001, capacity=10)))
    assert len(items) == 1000
    for worker in range(5):
        assert [n for n in items if n // 1000 == worker] == list(range(1000 * worker, 1000 * worker + 200))


def test_a_producer_without_items_gives_no_batch() -> None:
    assert list(Batches(numbers(0))) == []


def test_full_batches_do_not_wait() -> None:
    started = time.monotonic()
    batches = list(Batches(numbers(1000), max_batch=100, max_wait=60.0, capacity=1000))
    assert [len(batch) for batch in batches] == [100] * 10
    assert time.monotonic() - started < SOON


def test_a_batch_is_handed_over_in_the_moment_in_which_it_is_full() -> None:
    async def produce(emit: Emit[int]) -> None:
        await emit(0)
        await asyncio.sleep(0.1)  # the taker waits for company meanwhile
        for number in range(1, 10):
            await emit(number)
        await asyncio.sleep(3600)

    started = time.monotonic()
    batches = Batches(produce, max_batch=10, max_wait=60.0)
    assert next(iter(batches)) == list(range(10))
    assert time.monotonic() - started < SOON
    assert list(batches.stop()) == []


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.integers(0, 2_000), max_size=60))
def test_a_batch_is_no_larger_than_its_bytes_unless_one_item_is(sizes: list[int]) -> None:
    async def produce(emit: Emit[bytes]) -> None:
        for size in sizes:
            await emit(b"x" * size)

    batches = list(Batches(produce, max_batch=10, max_wait=0.001, max_bytes=3_000))
    assert [len(item) for batch in batches for item in batch] == sizes
    assert all(len(batch) <= 10 for batch in batches)
    assert all(len(batch) == 1 or sum(map(estimated_bytes, batch)) <= 3_000 for batch in batches)


def test_no_more_waits_for_a_commit_than_two_batches_of_bytes() -> None:
    emitted = 0

    async def produce(emit: Emit[bytes]) -> None:
        nonlocal emitted
        for _ in range(100):
            emitted += 1
            await emit(b"x" * 1_000)

    batches = Batches(produce, max_batch=500, max_wait=60.0, max_bytes=5_000)
    for taken, batch in enumerate(iter(batches), 1):
        assert len(batch) == 4
        until(lambda taken=taken: emitted >= min(100, 4 * taken + 10))  # type: ignore[misc]
        assert emitted <= 4 * taken + 10
    assert emitted == 100


@pytest.mark.parametrize(
    ("item", "least"),
    [
        ("a" * 5_000, 5_000),
        ([["a" * 1_000]] * 5, 5_000),
        ({"row": {"title": "a" * 5_000}}, 5_000),
        (Answer(1, Outcome.FETCHED, datetime(2026, 1, 1, tzinfo=UTC), {"genres": ["a" * 2_500] * 2}), 5_000),
        (frozenset(range(100)), 2_800),
        (None, 1),
    ],
    ids=repr,
)
def test_the_size_of_an_item_is_about_what_it_takes(item: object, least: int) -> None:
    assert least <= estimated_bytes(item) <= least + 4_000


def test_the_end_of_the_producer_does_not_wait() -> None:
    started = time.monotonic()
    assert list(Batches(numbers(3), max_wait=60.0)) == [[0, 1, 2]]
    assert time.monotonic() - started < SOON


# Time


def test_an_item_waits_no_longer_than_it_may() -> None:
    handed_over = threading.Event()
    emitted_at = taken_at = 0.0

    async def produce(emit: Emit[int]) -> None:
        nonlocal emitted_at
        emitted_at = time.monotonic()
        await emit(1)
        await asyncio.to_thread(handed_over.wait, SOON)

    for batch in Batches(produce, max_batch=100, max_wait=0.1):
        taken_at = time.monotonic()
        assert batch == [1]
        handed_over.set()
    assert 0.09 <= taken_at - emitted_at <= 0.5, "it waited for company, but not for ever"


def test_what_arrives_within_the_wait_is_one_batch() -> None:
    async def produce(emit: Emit[int]) -> None:
        for number in range(5):
            await emit(number)
            await asyncio.sleep(0.01)
        await asyncio.sleep(SOON)

    stream = Batches(produce, max_batch=100, max_wait=0.4)
    assert next(iter(stream)) == [0, 1, 2, 3, 4]
    assert list(stream.stop()) == []


def test_an_item_that_waited_through_a_commit_is_handed_over_at_once() -> None:
    handed_over = threading.Event()

    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        await asyncio.to_thread(handed_over.wait, SOON)
        await emit(2)
        await asyncio.sleep(SOON)

    stream = Batches(produce, max_batch=10, max_wait=0.4)
    batches = iter(stream)
    assert next(batches) == [1]
    handed_over.set()
    time.sleep(0.5)  # a commit, longer than the wait
    started = time.monotonic()
    assert next(batches) == [2]
    assert time.monotonic() - started < 0.2
    assert list(stream.stop()) == []


def test_an_item_left_over_from_a_full_batch_does_not_start_to_wait_anew() -> None:
    async def produce(emit: Emit[int]) -> None:
        for number in range(3):
            await emit(number)
        await asyncio.sleep(2.0)

    batches = Batches(produce, max_batch=2, max_wait=0.5)
    batches._thread.start()  # items arrive before anybody takes one
    until(lambda: len(batches._items) == 3)
    time.sleep(0.6)  # longer than an item may wait
    started = time.monotonic()
    assert batches._take() == [0, 1]
    assert batches._take() == [2]
    assert time.monotonic() - started < 0.3
    assert list(batches.stop()) == []


# Back-pressure


def test_a_producer_stops_at_the_capacity_until_there_is_room() -> None:
    emitted = 0

    async def produce(emit: Emit[int]) -> None:
        nonlocal emitted
        for number in range(100):
            await emit(number)
            emitted += 1

    batches = iter(Batches(produce, max_batch=4, max_wait=0.001, capacity=12))
    received = next(batches)
    for taken in range(4, 20, 4):
        assert len(received) == taken
        until(lambda least=taken + 11: emitted >= least)  # type: ignore[misc]
        time.sleep(0.02)  # time enough to go beyond it
        assert emitted <= taken + 13
        received += next(batches)
    received += joined(list(batches))
    assert received == list(range(100))


def test_several_tasks_stop_at_the_capacity_too() -> None:
    emitted = 0

    async def produce(emit: Emit[int]) -> None:
        async def work() -> None:
            nonlocal emitted
            for number in range(100):
                await emit(number)
                emitted += 1

        await asyncio.gather(*(work() for _ in range(5)))

    batches = iter(Batches(produce, max_batch=10, max_wait=0.001, capacity=20))
    received = next(batches)
    for _ in range(10):
        time.sleep(0.01)
        assert emitted <= len(received) + 20 + 5, "at most one item a task beyond it"
        received += next(batches)
    assert len(received + joined(list(batches))) == 500


def test_fetching_goes_on_while_a_batch_commits() -> None:
    arrived: list[int] = []

    async def produce(emit: Emit[int]) -> None:
        for number in range(50):
            await emit(number)
            arrived.append(number)
            await asyncio.sleep(0)

    batches = iter(Batches(produce, max_batch=1, max_wait=0.0, capacity=100))
    next(batches)
    until(lambda: len(arrived) == 50)  # nobody takes anything meanwhile
    assert len(joined(list(batches))) == 49


# Errors of the producer


def test_an_error_of_the_producer_is_raised_after_the_last_batch() -> None:
    async def produce(emit: Emit[int]) -> None:
        for number in range(5):
            await emit(number)
        raise KeyError("the source went away")

    assert received_until(KeyError, Batches(produce, max_batch=2, max_wait=0.001)) == [0, 1, 2, 3, 4]


def test_an_error_at_once_is_raised_too() -> None:
    async def produce(emit: Emit[int]) -> None:
        raise KeyError("no key")

    with pytest.raises(KeyError, match="no key"):
        list(Batches(produce))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_of_the_producer_is_an_error_as_well(error: type[BaseException]) -> None:
    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        raise error

    assert received_until(error, Batches(produce, max_wait=0.001)) == [1]


def test_a_producer_that_is_cancelled_by_somebody_else_does_not_look_finished() -> None:
    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        raise asyncio.CancelledError

    with pytest.raises(BaseException):  # noqa: B017, PT011 -- whichever, as long as it is one
        list(Batches(produce, max_wait=0.001))


def test_nothing_is_lost_when_the_loop_ends_in_the_moment_of_taking() -> None:
    loops: list[Any] = []

    async def produce(emit: Emit[int]) -> None:
        for number in range(3):
            await emit(number)
        # As it is for a thread that looks just before the loop closes.
        loops.append(asyncio.get_running_loop())
        loops[0].is_closed = lambda: False

    try:
        assert list(Batches(produce, max_wait=60.0)) == [[0, 1, 2]]
    finally:
        del loops[0].is_closed


# Stop


class Endless:
    """Emits numbers until it is stopped, and tells whether it was."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.emitted = 0
        self.stopped = threading.Event()

    async def __call__(self, emit: Emit[int]) -> None:
        try:
            while True:
                await emit(self.emitted)
                self.emitted += 1
                await asyncio.sleep(self.pause)
        finally:
            self.stopped.set()


def test_stop_yields_what_has_arrived_and_ends_the_producer() -> None:
    producer, threads = Endless(), set(threading.enumerate())
    batches = Batches(producer, max_batch=10, max_wait=0.001, capacity=100)
    received = next(iter(batches))
    until(lambda: producer.emitted >= 50)
    kept = list(batches.stop())
    assert producer.stopped.is_set()
    received += joined(kept)
    assert received == list(range(len(received)))
    assert len(received) >= producer.emitted
    assert all(len(batch) <= 10 for batch in kept)
    assert set(threading.enumerate()) <= threads


def test_an_interruption_of_the_taker_loses_nothing() -> None:
    class Interruption(BaseException):
        pass

    producer = Endless()
    batches = Batches(producer, max_batch=5, max_wait=0.001, capacity=50)
    received: list[int] = []
    uncommitted: list[int] = []

    def commit_all() -> None:
        for batch in batches:
            uncommitted[:] = batch
            if len(received) >= 20:
                raise Interruption
            received.extend(batch)

    with pytest.raises(Interruption):
        commit_all()
    received += uncommitted + joined(list(batches.stop()))
    assert received == list(range(len(received)))
    assert len(received) >= producer.emitted


def test_a_producer_that_waits_for_room_can_be_stopped() -> None:
    producer = Endless()
    batches = Batches(producer, max_batch=5, max_wait=0.001, capacity=5)
    received = next(iter(batches))
    received += joined(list(batches.stop()))
    assert producer.stopped.is_set()
    assert received == list(range(len(received)))


def test_a_producer_that_waits_for_an_answer_can_be_stopped() -> None:
    stopped = threading.Event()

    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    batches = Batches(produce, max_wait=0.001)
    assert next(iter(batches)) == [1]
    started = time.monotonic()
    assert list(batches.stop()) == []
    assert stopped.is_set()
    assert time.monotonic() - started < SOON


def test_what_a_producer_emits_while_it_is_stopped_is_kept() -> None:
    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        try:
            await asyncio.sleep(3600)
        finally:
            await emit(2)

    batches = Batches(produce, max_wait=0.001)
    received = next(iter(batches))
    assert joined([received, *batches.stop()]) == [1, 2]


def test_stop_before_the_start_and_after_the_end_gives_nothing() -> None:
    assert list(Batches(numbers(3)).stop()) == []
    batches = Batches(numbers(3))
    assert joined(list(batches)) == [0, 1, 2]
    assert list(batches.stop()) == []
    assert list(batches.stop()) == []


def test_a_producer_that_does_not_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STOP_SECONDS", 0.1)
    released = threading.Event()

    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        await emit(2)
        released.wait(SOON)  # blocks the whole loop

    batches = Batches(produce, max_batch=1, max_wait=0.001)
    received = next(iter(batches))
    started = time.monotonic()
    assert joined([received, *batches.stop()]) == [1, 2]
    assert time.monotonic() - started < SOON - 1
    released.set()


def test_a_producer_that_has_hardly_begun_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STOP_SECONDS", 1.0)
    begun, stopping, producer = threading.Event(), threading.Event(), Endless(pause=0.001)
    run = asyncio.run

    def slow_to_start(main: Any) -> None:
        begun.set()
        stopping.wait(SOON)
        time.sleep(0.05)
        run(main)

    monkeypatch.setattr(streams.asyncio, "run", slow_to_start)
    batches = Batches(producer, max_batch=5, max_wait=0.001)
    taker = threading.Thread(target=lambda: [None for _ in batches], daemon=True)
    taker.start()
    assert begun.wait(SOON)
    stopping.set()
    list(batches.stop())
    try:
        assert not batches._thread.is_alive()
    finally:
        if batches._loop is not None and batches._task is not None and batches._thread.is_alive():
            batches._loop.call_soon_threadsafe(batches._task.cancel)
        taker.join(SOON)


@pytest.mark.timeout(30)
def test_whoever_is_in_a_hurry_does_not_wait_for_what_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ayne_dagster.collecting.streams.GRACE_SECONDS", 3600.0)
    monkeypatch.setattr("ayne_dagster.collecting.streams.STOP_SECONDS", 3600.0)
    arrived = threading.Event()

    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        arrived.set()
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    batches = Batches(produce)
    taken: list[list[int]] = []
    taker = threading.Thread(target=lambda: taken.extend(batches), daemon=True)
    taker.start()
    assert arrived.wait(20)
    batches.interrupt()
    threading.Timer(0.05, batches.hurry).start()
    taken.extend(batches.stop())
    taker.join()
    assert taken == [[1]]
