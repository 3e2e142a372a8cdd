"""Dagster's daemon as a child that ends with its parent, however that ends. What the daemon does is Dagster's.

The parent holds the other end of the child's standard input. When that closes, by the parent's will or its death, the
child interrupts itself. So no daemon goes on launching runs after a `kill -9` of `ayne dev`.

A clock that was ahead, under this daemon or one before it, stops no sensor and no schedule: at the start ticks are
brought back from the future (`instigators`), and when the clock is put back the child starts itself again.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

STOP_SECONDS = 20.0
"""How long the daemon may take to end before it is killed."""
LOOK_SECONDS = 5.0
"""How often the clock is looked at."""
PUT_BACK_SECONDS = 60.0
"""By more than this, and what ticked is in the future."""


@contextmanager
def daemon_running(workspace: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon for the length of the block, on the instance that `DAGSTER_HOME` names.

    Args:
        workspace: file that says what to load.
    """
    module = [sys.executable, "-W", "ignore", "-m", __name__]
    daemon = subprocess.Popen(  # noqa: S603 -- this module itself
        [*module, "run", "--log-level", "warning", "-w", str(workspace)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent, which ends this one in its turn
    )
    try:
        yield daemon
    finally:
        _end(daemon)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    if daemon.stdin is not None:
        daemon.stdin.close()
    try:
        daemon.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        daemon.kill()
        daemon.wait()


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


def _bring_ticks_back() -> None:
    """Before anything ticks: what a clock that was ahead has noted is brought back, and told."""
    import dagster as dg

    from ayne_dagster.serving.instigators import bring_back

    try:
        with dg.DagsterInstance.get() as instance:
            found = bring_back(instance, datetime.now(UTC))
    except Exception as error:  # noqa: BLE001 -- Dagster raises what its storage does, and will say itself what is wrong
        _say(f"Whether sensors ticked in the future could not be looked at ({type(error).__name__}).")
        return
    for ahead in found:
        _say(
            f"{ahead.name} ticked at {ahead.until:%Y-%m-%d %H:%M} UTC, by a clock that was ahead: it goes on from now."
        )


def _say(text: str) -> None:
    """Tell what was done where the daemon itself does."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class PutBack:
    """Notices that the clock of the machine was put back.

    Args:
        wall: seconds by the clock that people set.
        steady: seconds by one that nobody sets, and that goes on while the machine sleeps.
    """

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall, self._steady = wall, steady
        self._furthest = wall() - steady()

    def noticed(self) -> bool:
        """Whether the clock has been put back by more than is tolerated since the furthest that it was ahead."""
        difference = self._wall() - self._steady()
        self._furthest = max(self._furthest, difference)
        return self._furthest - difference > PUT_BACK_SECONDS


def _steady() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _restart_when_the_clock_is_put_back(clock: PutBack, wanted: threading.Event) -> None:
    """Interrupt this process then: Dagster's scheduler sleeps until the next minute of the clock that was ahead."""
    while not clock.noticed():
        time.sleep(LOOK_SECONDS)
    wanted.set()
    os.kill(os.getpid(), signal.SIGINT)


def main(arguments: Sequence[str]) -> None:
    """Be the daemon, until the standard input closes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a parent in the background may have switched off
    threading.Thread(target=_end_with_parent, daemon=True).start()
    restart = threading.Event()
    watch = (PutBack(time.time, _steady), restart)
    threading.Thread(target=_restart_when_the_clock_is_put_back, args=watch, daemon=True).start()
    try:
        with suppress(KeyboardInterrupt):  # it may come before Dagster is loaded so far as to expect it
            _bring_ticks_back()
            sys.argv = ["dagster-daemon", *arguments]
            runpy.run_module("dagster._daemon", run_name="__main__")
    finally:
        if restart.is_set():
            # The same process with the same standard input, so that the parent need not know.
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- this module itself


if __name__ == "__main__":
    main(sys.argv[1:])
