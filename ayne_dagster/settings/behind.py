"""Work that may hang, in a thread of its own: nobody has to wait for its end, not even the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begun(work: Callable[[], T], name: str) -> Future[T]:
    """Begin work; what comes of it, whoever waits for it is told.

    A `ThreadPoolExecutor` would have the process wait for it at its end.

    Args:
        work: what is to be done.
        name: of the thread.
    """
    outcome = Future[T]()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 -- it is for whoever waits
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome
