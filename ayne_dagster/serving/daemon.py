"""Dagster's daemon as a child that ends with its parent, however that ends. What the daemon does is Dagster's.

The parent holds the other end of the child's standard input. When that closes, by the parent's will or its death, the
child interrupts itself. So no daemon goes on launching runs after a `kill -9` of `ayne dev`.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_SECONDS = 20.0
"""How long the daemon may take to end before it is killed."""


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


def main(arguments: Sequence[str]) -> None:
    """Be the daemon, until the standard input closes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a parent in the background may have switched off
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = ["dagster-daemon", *arguments]
    with suppress(KeyboardInterrupt):  # it may come before Dagster is loaded so far as to expect it
        runpy.run_module("dagster._daemon", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
