"""How often Python looks for garbage while answers stream in. Knows no answers, no Dagster.

A run has 200,000 objects of Dagster in memory, which live to its end. Each full look for garbage goes through all of
them, and answers, none of which is garbage either, bring one about every second: a tenth of what collecting costs.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 10_000
"""Between two looks at what is new; Python's own number is 700, or 2,000. An answer is a hundred, a batch 50,000."""

_lock = threading.Lock()
_blocks = 0
_threshold: tuple[int, int, int] | None = None
"""What was set before the first of the blocks; None: garbage is looked for as ever."""


@contextmanager
def seldom_looked_for() -> Iterator[None]:
    """Leave what is in memory by now out of the search, and search less often, for the length of the block.

    It is a matter of the whole process: of blocks that overlap the first begins it, and the last ends it. Where
    somebody else has left objects out already, or switched the search off, all stays as it is.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _blocks, _threshold
    with _lock:
        _blocks += 1
        if _blocks == 1 and gc.isenabled() and not gc.get_freeze_count():
            _threshold = gc.get_threshold()
            gc.freeze()
            gc.set_threshold(max(NEW_OBJECTS, _threshold[0]), *_threshold[1:])


def _leave() -> None:
    global _blocks, _threshold
    with _lock:
        _blocks -= 1
        if _blocks == 0 and _threshold is not None:
            gc.set_threshold(*_threshold)
            gc.unfreeze()
            _threshold = None
