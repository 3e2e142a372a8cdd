"""A watch over a step that collects: says when nothing has moved for long, and now and then that something has.

It looks from a thread of its own, since what hangs cannot tell. Whoever reads the run's log from outside (the alerts)
takes a run that has said nothing for longer than `STALLED_AFTER` for one that hangs, so a watch that sees progress says
so in between, as one that sees a wait does which was told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STALLED_AFTER = 600.0
"""Seconds without progress after which people are told. Every wait in its order is shorter, or told by itself."""
SAYS_EVERY = 240.0
"""Seconds after which a step that moves on says so: twice within `STALLED_AFTER`."""
LOOKS_EVERY = 5.0


class Watch:
    """Looks now and then whether something has moved.

    Args:
        count: a number that changes whenever something does.
        say: told that all is well.
        warn: told, once until something moves again, that nothing has for long.
        clock: seconds that never run back.
    """

    def __init__(
        self,
        count: Callable[[], int],
        say: Callable[[str], object],
        warn: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._say = say
        self._warn = warn
        self._clock = clock
        self._seen = count()
        self._moved_at = self._said_at = clock()
        self._warned = False
        self._waiting: str | None = None

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """For the length of the block a wait is in its order, however long it is."""
        self._waiting = what
        try:
            yield
        finally:
            self._moved_at = self._clock()
            self._waiting = None

    def look(self) -> None:
        """See what has happened since the last look."""
        now, count = self._clock(), self._count()
        if count != self._seen:
            self._seen, self._moved_at, self._warned = count, now, False
        idle = now - self._moved_at
        if self._waiting is None and idle >= STALLED_AFTER:
            if not self._warned:
                self._warned = True
                self._warn(
                    f"Nothing has arrived or been committed for {idle / 60:.0f} minutes, {count:,} before that. What "
                    "has arrived is kept; if this goes on, terminate the run and launch it again."
                )
        elif now - self._said_at >= SAYS_EVERY and (self._waiting is not None or self._moved_at > self._said_at):
            self._said_at = now
            self._say(f"Still {self._waiting}." if self._waiting else f"Under way: {count:,} arrived or committed.")

    @contextmanager
    def kept(self, every: float | None = None) -> Iterator[None]:
        """Keep the watch for the length of the block, with a look every so many seconds."""
        every = LOOKS_EVERY if every is None else every
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(every):
                self.look()

        thread = threading.Thread(target=watch, name="ayne-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(every)
