"""Work that somebody waits for: done in a thread of its own, so that whoever waits can end it. Knows no collection.

Ctrl-C in a blocking call, the cancellation of a coroutine and the end of the interpreter become wishes
(`collecting.stopping`). The first lets the work commit what has arrived and wait for what is on its way; a second has
it hurry; a third, or work that does not end, is left alone: the thread is a daemon, and a transaction that it dies in
has not happened.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from ayne_dagster.collecting.stopping import Interrupted, Stop, stopped_by

T = TypeVar("T")

LEFT_AFTER = {1: 5.0, 2: 2.0}
"""Seconds, by the number of wishes, after which work that commits nothing is left alone: it waits for a pool of
Dagster's, say, or for a server that is silent. From the third wish on: at once, whatever it is at."""
BOUNCE_SECONDS = 0.2
"""Two signals within are one wish: a terminal and a wrapper around the command both pass Ctrl-C on."""
LOOK_SECONDS = 0.2
HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Foreground(Generic[T]):
    """One piece of work, begun when somebody waits for it.

    Args:
        work: is done in a thread of its own, in a copy of the caller's context.

    Example:
        >>> Foreground(lambda: 6 * 7).result()
        42
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self.stop = Stop()
        self._work = work
        self._ended = threading.Event()
        self._told: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._wished_at = 0.0

    def result(self) -> T:
        """Wait for the work; in the main thread Ctrl-C, SIGTERM and SIGHUP end it.

        Raises:
            Interrupted: it was left alone.
            BaseException: what the work raised, also where a wish ended it.
        """
        main = threading.main_thread()
        if threading.current_thread() is main:
            with _signals_told_to(self._wish):
                self._begin()
                while not self._ended.wait(LOOK_SECONDS):
                    self._leave_when_over()
        else:
            self._begin()
            while not self._ended.wait(LOOK_SECONDS):
                if not main.is_alive() and not self.stop.requested:
                    self._wish()  # the interpreter ends, and waits for this thread
                self._leave_when_over()
        return self._outcome()

    async def result_async(self) -> T:
        """Wait for the work; a cancellation ends it, and is raised when it has ended.

        Raises:
            CancelledError: the caller was cancelled.
            BaseException: what the work raised.
        """
        loop = asyncio.get_running_loop()
        ended = loop.create_future()  # no task: a loop that ends cancels all tasks
        self._tell_at_end(lambda: loop.call_soon_threadsafe(ended.set_result, None))
        self._begin()
        cancelled: asyncio.CancelledError | None = None
        try:
            while not self._ended.is_set() and not self._is_over:
                try:
                    await asyncio.wait({ended}, timeout=LOOK_SECONDS)
                except asyncio.CancelledError as error:
                    cancelled = cancelled or error
                    self._wish()
        except GeneratorExit:  # the loop is gone, and nobody comes back
            self._wish()
            raise
        if cancelled is not None:
            self._note_if_left()
            raise cancelled
        return self._outcome()

    def _begin(self) -> None:
        context = contextvars.copy_context()
        atexit.register(self._end_with_the_interpreter)
        threading.Thread(target=context.run, args=(self._do,), name="ayne-foreground", daemon=True).start()

    def _do(self) -> None:
        # The main thread heeds Ctrl-C. Processes that this one starts inherit what is blocked here: Dagster's watchers
        # of logs would say with a traceback that a terminal has interrupted them, too. They end with the work.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with stopped_by(self.stop):
                self._result.append(self._work())
        except BaseException as error:  # noqa: BLE001 -- raised again where somebody waits
            self._error = error
        finally:
            atexit.unregister(self._end_with_the_interpreter)
            with self._lock:
                self._ended.set()
            for told in self._told:
                with suppress(RuntimeError):  # a loop that was closed meanwhile
                    told()

    def _tell_at_end(self, told: Callable[[], object]) -> None:
        with self._lock:
            if not self._ended.is_set():
                self._told.append(told)

    def _outcome(self) -> T:
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # else the error, its frames and this object would hold each other
        (result,) = self._result
        return result

    def _wish(self) -> None:
        """Pass a wish on; called from signal handlers too, while their thread waits."""
        if self.stop.requested and time.monotonic() - self._wished_at < BOUNCE_SECONDS:
            return
        self._wished_at = time.monotonic()
        self.stop.request()

    @property
    def _is_over(self) -> bool:
        """Whether the work is to be left alone."""
        wishes = self.stop.wishes
        if not wishes:
            return False
        if wishes not in LEFT_AFTER:
            return True
        return self.stop.idle_seconds > LEFT_AFTER[wishes]

    def _leave_when_over(self) -> None:
        if self._is_over:
            self._note_if_left()
            raise Interrupted

    def _note_if_left(self) -> None:
        if not self._ended.is_set():
            self.stop.note_end()

    def _end_with_the_interpreter(self) -> None:
        """Nobody waits any more: let the work commit what has arrived."""
        if not self.stop.requested:
            self._wish()
        while not self._ended.wait(LOOK_SECONDS) and not self._is_over:
            pass


@contextmanager
def _signals_told_to(listener: Callable[[], Any]) -> Iterator[None]:
    """Within the block, signals raise nothing and are told to somebody; ignored ones stay ignored."""
    before = {number: signal.getsignal(number) for number in HEEDED}
    taken = [number for number, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    try:
        for number in taken:
            signal.signal(number, lambda *_: listener())
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
