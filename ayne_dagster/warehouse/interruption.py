"""Holding Ctrl-C, SIGTERM and SIGHUP back while something must not be torn. Knows no files and decides nothing.

An exception raised by a signal may come between any two steps of a program, also between a commit and the note that it
was made. Within the block it does not: the signal is noted, whoever waits is told, and it acts at the end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class HeldSignals:
    """The signals that came within a block, in order."""

    numbers: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.numbers)

    def forget(self) -> None:
        """Let none of them act: something worse is being told."""
        self.numbers.clear()


_open: list[HeldSignals] = []
"""Of the blocks that are open, from the outermost on; of the main thread alone."""


def signal_is_waiting() -> bool:
    """Whether a signal came within any block that is open: what takes long looks here whether to stop."""
    return any(_open)


def forget_waiting_signals() -> None:
    """Let none of them act, in whichever block it came: it is told of otherwise."""
    for held in _open:
        held.forget()


@contextmanager
def signals_held_back(on_signal: Callable[[], object] = lambda: None) -> Iterator[HeldSignals]:
    """Let Ctrl-C, SIGTERM and SIGHUP act at the end of the block. Blocks may lie within each other.

    One that is ignored (SIGHUP under `nohup`) stays so, and nobody is told of it. In a thread other than the main one,
    where no signal acts, nothing is held back.

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

    before = {number: handler for number in HELD_BACK if (handler := signal.getsignal(number)) is not signal.SIG_IGN}
    _open.append(held)
    try:
        for number in before:
            signal.signal(number, hold)
        yield held
    finally:
        _open.pop()
        _restore(list(before.items()))
        for first in held.numbers[:1]:
            signal.raise_signal(first)


def _restore(handlers: list[tuple[signal.Signals, Any]]) -> None:
    """Put handlers back; one that acts meanwhile must not leave another signal held back for good."""
    if not handlers:
        return
    (number, handler), *rest = handlers
    try:
        if handler is not None:  # None: not installed from Python, and so not to be put back by it
            signal.signal(number, handler)
    finally:
        _restore(rest)
