"""A wish that work end: from whoever waits for it to whoever does it, in another thread. Knows no signals and no work.

Where work runs in the main thread, signals raise there and nothing of this is needed. Elsewhere no signal acts, so the
work looks for itself: a stream is told (`Stop.told`), a wait ends (`pause`). Ctrl-C is a wish in `runs.foreground`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn

Listener = Callable[[], object]


class Interrupted(KeyboardInterrupt):
    """The work ends because somebody wished so."""


class Stop:
    """The wishes for one piece of work. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._wishes = 0
        self._obeyed = False
        self._sealed = 0
        self._changed_at = 0.0
        self._lock = threading.RLock()
        self._wished = threading.Event()
        self._listeners: list[Listener] = []
        self._at_obeying: list[Listener] = []

    @property
    def requested(self) -> bool:
        """Whether the work is to end."""
        return self._wishes > 0

    @property
    def wishes(self) -> int:
        """How often that was wished; from the second time on, what is on its way is not worth a wait."""
        return self._wishes

    @property
    def idle_seconds(self) -> float:
        """Since when there has been no reason to wait for work that was to end: the last wish, or the last seal."""
        return 0.0 if self._sealed else time.monotonic() - self._changed_at

    def request(self) -> None:
        """Wish that the work end; once more: that it hurry."""
        with self._lock:
            self._wishes += 1
            self._changed_at = time.monotonic()
            listeners = list(self._listeners)
        self._wished.set()
        for listener in listeners:
            listener()

    @contextmanager
    def told(self, listener: Listener) -> Iterator[None]:
        """Have each wish told to somebody within the block, those that came before it too."""
        with self._lock:
            self._listeners.append(listener)
            earlier = self._wishes
        try:
            for _ in range(earlier):
                listener()
            yield
        finally:
            self._listeners.remove(listener)

    @contextmanager
    def told_of_the_end(self, listener: Listener) -> Iterator[None]:
        """Have it told to somebody when the work ends as wished, before it does."""
        self._at_obeying.append(listener)
        try:
            yield
        finally:
            self._at_obeying.remove(listener)

    @contextmanager
    def seal(self) -> Iterator[None]:
        """Within the block nobody leaves the work alone: it ends by itself, soon after a wish."""
        with self._lock:
            self._sealed += 1
        try:
            yield
        finally:
            with self._lock:
                self._sealed -= 1
                self._changed_at = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait; returns at once, and whether that was so, when a wish has come."""
        return self._wished.wait(seconds)

    def obey(self) -> NoReturn:
        """End the work as wished.

        Raises:
            Interrupted: always.
        """
        self.note_end()
        raise Interrupted

    def note_end(self) -> None:
        """Tell, once, that the work ends as wished."""
        with self._lock:
            first, self._obeyed = not self._obeyed, True
        for listener in list(self._at_obeying) if first else ():
            listener()

    def check(self) -> None:
        """Go on unless the work is to end.

        Raises:
            Interrupted: it is.
        """
        if self.requested:
            self.obey()


_stop: ContextVar[Stop] = ContextVar("stop", default=Stop())  # noqa: B039 -- nobody wishes anything of the default


def stopping() -> Stop:
    """The wishes for the work that this thread does; where nobody can wish, there are none."""
    return _stop.get()


@contextmanager
def stopped_by(stop: Stop) -> Iterator[None]:
    """Let somebody wish that what runs within the block, in this thread, end."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def pause(seconds: float) -> None:
    """`time.sleep` that ends with a wish.

    Raises:
        Interrupted: the work is to end.
    """
    stop = stopping()
    if stop.wait(seconds):
        stop.obey()
