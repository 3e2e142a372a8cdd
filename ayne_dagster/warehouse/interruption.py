"""Holding Ctrl-C and SIGTERM back while something must not be torn. Knows no files and decides nothing.

An exception raised by a signal may come between any two steps of a program, also between a commit and the note that it
was made. Within the block it does not: the signal is noted, whoever waits is told, and it acts at the end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HELD_BACK = (signal.SIGINT, signal.SIGTERM)


@dataclass
class HeldSignals:
    """The signals that came within a block, in order."""

    numbers: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.numbers)

    def forget(self) -> None:
        """Let none of them act: something worse is being told."""
        self.numbers.clear()


@contextmanager
def signals_held_back(on_signal: Callable[[], object] = lambda: None) -> Iterator[HeldSignals]:
    """Let Ctrl-C and SIGTERM act at the end of the block. Blocks may lie within each other.

    In a thread other than the main one, where no signal acts, nothing is held back.

    Args:
        on_signal: told at once, in the main thread, each time that one comes; must neither raise nor wait.
    """
    held = HeldSignals()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return

    def hold(number: int, _: object) -> None:
        held.numbers.append(number)
        on_signal()

    before = {number: signal.getsignal(number) for number in HELD_BACK}
    try:
        for number in HELD_BACK:
            signal.signal(number, hold)
        yield held
    finally:
        # A signal that acts between the two must not leave the other one held back for good.
        try:
            _restore(signal.SIGINT, before[signal.SIGINT])
        finally:
            _restore(signal.SIGTERM, before[signal.SIGTERM])
        for first in held.numbers[:1]:
            signal.raise_signal(first)


def _restore(number: int, handler: object) -> None:
    if handler is not None:  # None: not installed from Python, and so not to be put back by it
        signal.signal(number, handler)  # type: ignore[arg-type]
