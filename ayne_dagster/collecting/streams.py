"""Answers on their way from an event loop to a committing thread, in batches. Knows nothing of movies or Dagster.

The loop runs in a thread of its own, so that fetching goes on while a batch commits, and so that an interruption of the
committing thread still finds everything that has arrived (DESIGN, "How data flows").
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum, auto
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Emit = Callable[[T], Awaitable[None]]
"""Takes what a producer has found."""
Now = Callable[[], datetime]
"""The clock of a producer (aware UTC)."""

MAX_BATCH = 500
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""Of a batch, as far as `estimated_bytes` sees; a larger item is a batch of its own. Twice as much may wait."""
MAX_WAIT = 0.5
"""Seconds that the first item of a batch waits for company: with a commit it stays well within a second."""
CAPACITY = 2 * MAX_BATCH
"""Items that may wait for a commit before the producer has to."""
LOOK_AGAIN_SECONDS = 1.0
GRACE_SECONDS = 2.0
"""How long a producer that is to end is given for what it has asked for already: that is paid for."""
STOP_SECONDS = 4.0
"""How long it may take to end when it is cancelled then. A supervisor gives the whole process ten seconds."""


_ATOMS = frozenset((type(None), bool, int, float, date, datetime))
"""Types of most values of a row, told at once: an answer can have a thousand."""


def estimated_bytes(item: Any) -> int:
    """About how much memory a value of plain data takes: a large text costs what it is long."""
    if type(item) in _ATOMS:
        return 32
    if isinstance(item, str | bytes):
        return 48 + len(item)
    if isinstance(item, dict):
        return 64 + sum(map(estimated_bytes, item.values()))
    if isinstance(item, list | tuple):
        return 56 + 8 * len(item) + sum(map(estimated_bytes, item))
    if isinstance(item, Set):  # of ids
        return 64 * len(item)
    if isinstance(item, Mapping):
        return 64 + sum(map(estimated_bytes, item.values()))
    if is_dataclass(item):
        return 48 + sum(estimated_bytes(getattr(item, f.name)) for f in fields(item))
    return 32


class StreamClosed(Exception):
    """Raised by `emit`, which has taken the item: the producer is to end, and to ask for nothing more."""


class Stage(Enum):
    """What is wished of a stream; it goes on from one to the next, and never back."""

    RUNNING = auto()
    INTERRUPTED = auto()
    """The producer is to end, and the iteration ends at once."""
    HURRIED = auto()
    """What is on its way is not to be waited for."""


class Batches(Generic[T]):
    """Runs an async producer in a background thread and hands its items over in batches.

    Iterate over it once. An error of the producer is raised after the last batch, so that nothing that arrived before
    it is lost.

    Args:
        produce: called with `emit`; awaits `emit(item)` for each item, which waits while too many are uncommitted, and
            raises `StreamClosed` when the producer is to end.
        max_batch: items a batch at most.
        max_wait: seconds that an item waits for its batch to fill.
        capacity: items that may wait.
        max_bytes: bytes a batch at most, estimated; twice as many may wait.

    Example:
        >>> async def three(emit):
        ...     for number in range(3):
        ...         await emit(number)
        >>> list(Batches(three))
        [[0, 1, 2]]
    """

    def __init__(
        self,
        produce: Callable[[Emit[T]], Awaitable[None]],
        *,
        max_batch: int = MAX_BATCH,
        max_wait: float = MAX_WAIT,
        capacity: int = CAPACITY,
        max_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        self._produce = produce
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._items: deque[tuple[float, int, T]] = deque()  # with the time of arrival, and the size
        self._bytes = 0
        self._arrived = 0
        self._changed = threading.Condition()
        self._stage = Stage.RUNNING
        self._has_ended = False  # the producer, or the wait for it
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="ayne-fetch", daemon=True)

    def __iter__(self) -> Iterator[list[T]]:
        self._thread.start()
        while not self.interrupted and (batch := self._take()):
            yield batch
        if self.interrupted:
            return
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def interrupted(self) -> bool:
        """Whether the iteration ended, or is about to end, because of `interrupt`."""
        return self._stage is not Stage.RUNNING

    @property
    def arrived(self) -> int:
        """How many items the producer has emitted so far."""
        return self._arrived

    @property
    def error(self) -> BaseException | None:
        """What the producer failed with, as far as is known."""
        return self._error

    def interrupt(self) -> None:
        """Tell the producer to end, and have the iteration end at once; what has arrived is left for `stop`.

        Returns at once, and may be called from any thread and from a signal handler.
        """
        with self._changed:
            if self._stage is Stage.RUNNING:
                self._stage = Stage.INTERRUPTED
            self._changed.notify_all()
        if self._room is not None:  # whoever waits for it: `emit` raises from now on
            self._tell_loop(self._room.set)

    @property
    def hurried(self) -> bool:
        """Whether what is on its way is not to be waited for."""
        return self._stage is Stage.HURRIED

    def hurry(self) -> None:
        """Have `stop` wait for nothing more, also while it does: somebody has lost patience. Called as `interrupt`."""
        with self._changed:
            self._stage = Stage.HURRIED
            self._changed.notify_all()

    def stop(self) -> Iterator[list[T]]:
        """End the producer; yields what has arrived and was not handed over.

        The producer is told by its next `emit`, and cancelled when it has not ended within `GRACE_SECONDS`.
        """
        self.interrupt()
        self._await_end(GRACE_SECONDS)
        if self._thread.is_alive() and self._task is not None:
            self._tell_loop(self._task.cancel)
            self._await_end(STOP_SECONDS)
        with self._changed:
            self._has_ended = True
        yield from self._batches()

    def _await_end(self, seconds: float) -> None:
        if self._thread.is_alive():
            with self._changed:
                self._changed.wait_for(lambda: self._has_ended or self.hurried, seconds)

    @property
    def _no_more_comes(self) -> bool:
        return self._has_ended or self.interrupted

    def _tell_loop(self, callback: Callable[[], object]) -> None:
        """Have something called in the loop's thread, unless the loop has ended meanwhile."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback)

    def _batches(self) -> Iterator[list[T]]:
        while batch := self._take():
            yield batch

    def _take(self) -> list[T]:
        """The next batch; empty when the producer has ended, or the iteration is interrupted."""
        with self._changed:
            # Not one long wait: what a signal handler tells just before it begins would not end it.
            while not self._changed.wait_for(lambda: self._items or self._no_more_comes, LOOK_AGAIN_SECONDS):
                pass
            deadline = self._items[0][0] + self._max_wait if self._items else 0.0
            self._changed.wait_for(
                lambda: self._is_batch_full or self._no_more_comes,
                timeout=deadline - time.monotonic(),
            )
            if self.interrupted and not self._has_ended:
                return []
            batch = self._taken()
        if self._room is not None:
            self._tell_loop(self._room.set)
        return batch

    def _taken(self) -> list[T]:
        """The items of the next batch, in order."""
        batch: list[T] = []
        size = 0
        while (
            self._items and len(batch) < self._max_batch and (not batch or size + self._items[0][1] <= self._max_bytes)
        ):
            _, item_size, item = self._items.popleft()
            batch.append(item)
            size += item_size
        self._bytes -= size
        return batch

    @property
    def _is_batch_full(self) -> bool:
        return len(self._items) >= self._max_batch or self._bytes >= self._max_bytes

    async def _emit(self, item: T) -> None:
        size = estimated_bytes(item)
        with self._changed:
            was_full = self._is_batch_full
            self._items.append((time.monotonic(), size, item))
            self._bytes += size
            self._arrived += 1
            if len(self._items) == 1 or (self._is_batch_full and not was_full):
                self._changed.notify()
            has_room = len(self._items) < self._capacity and self._bytes < 2 * self._max_bytes
        if not has_room and self._room is not None and not self.interrupted:
            self._room.clear()
            await self._room.wait()
        if self.interrupted:
            raise StreamClosed

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except (asyncio.CancelledError, StreamClosed):
            if not self.interrupted:
                self._error = RuntimeError("The producer was cancelled; what it had not emitted is missing.")
        except BaseException as error:  # noqa: BLE001 -- raised again in the thread that iterates
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._task = asyncio.ensure_future(self._as_coroutine())
        if self.interrupted:  # before there was anything to tell
            self._task.cancel()
        await self._task

    async def _as_coroutine(self) -> None:
        await self._produce(self._emit)
