"""The `ayne` command as a process forked from one that has everything imported: a start costs 10 ms instead of 2 s.

It differs from a command that a shell starts in how its interpreter begins, and in nothing that comes after: it has an
environment, a folder, streams and signals of its own, and can be killed. What is about the interpreter (its encoding,
its options, its first second) is tested with real commands.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from io import FileIO, TextIOWrapper
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

from ayne_dagster_tests.support.prepared import Prepared

PRELOADED = [
    "ayne_dagster.cli",
    "ayne_dagster.commands.collecting",
    "ayne_dagster.commands.progress_display",
    "ayne_dagster.dashboard.app",
    "ayne_dagster.definitions",
    "ayne_dagster.doctor",
    "ayne_dagster.orchestrator",
    "ayne_dagster.runs.event_log",
    "ayne_dagster.runs.in_process",
    # What these load when they are first used.
    "anyascii._data",
    "dagster._core.execution.execute_in_process",
    "dagster._core.instance.runs.run_domain",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "dagster._core.storage.runs.sqlite.sqlite_run_storage",
    "dagster._core.storage.schedules.sqlite.sqlite_schedule_storage",
    "dagster._core.workspace.context",
    "pyarrow.dataset",
]

FORKED = multiprocessing.get_context("forkserver")
"""Makes processes that have everything imported, for functions of a test module too."""
FORKED.set_forkserver_preload([*PRELOADED, "ayne_dagster_tests.support.forking"])

prepared: Prepared | None = None
"""Of what a forked command copies its new database and Dagster home; it makes them itself where there is none."""


class Forked:
    """A command that was started; what `subprocess.Popen` offers and tests use.

    Args:
        arguments: of the command, without its name.
        environment: all that it gets.
        folder: where it works.
        into: where its output goes; pipes of its own where there is none.
    """

    stdin = None

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, into: IO[bytes] | None = None
    ) -> None:
        self.args = list(arguments)
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        ours: list[int] = []
        if into is None:
            (out, self.stdout), (err, self.stderr) = _pipe(), _pipe()
            ours = [out, err]
        else:
            out = err = into.fileno()
        # Whoever is forked takes copies: they are made while the process starts.
        self._readers: list[_Reader] = []
        self._process = ForkServerProcess(
            target=_run,
            args=(list(arguments), dict(environment), str(folder), _Stream(out), _Stream(err), prepared),
            daemon=False,
        )
        try:
            self._process.start()
        finally:
            for descriptor in ours:
                os.close(descriptor)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """What it ended with, as far as is known."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Its output to the end, and its end. May be called again after a time-out.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._readers:
            self._readers = [_Reader(stream) for stream in (self.stdout, self.stderr) if stream is not None]
        for reader in self._readers:
            reader.join(_left(deadline))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(_left(deadline))
        out, err = (reader.text for reader in self._readers) if self._readers else ("", "")
        return out, err


class _Reader(threading.Thread):
    """Reads a stream to its end, beside whatever else goes on."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.text = ""
        self.start()

    def run(self) -> None:
        if self._stream.closed:  # by somebody who had read enough
            return
        with self._stream:
            self.text = self._stream.read()


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _pipe() -> tuple[int, IO[str]]:
    """The end that is written to, and the other as text."""
    reading, writing = os.pipe()
    return writing, TextIOWrapper(FileIO(reading), "utf-8", "replace")


def _run(
    arguments: list[str], environment: dict[str, str], folder: str, out: int, err: int, copied: Prepared | None
) -> None:
    """The command, in the forked process."""
    if copied is not None:
        copied.take_place(setattr)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for descriptor in {out, err} - {1, 2}:
        os.close(descriptor)
    # New ones: those of the process that was forked know another kind of file.
    sys.stdout = sys.__stdout__ = TextIOWrapper(FileIO(1, "w", closefd=False), "utf-8", line_buffering=False)
    sys.stderr = sys.__stderr__ = TextIOWrapper(
        FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", line_buffering=True
    )
    # As an interpreter has them that was just started: it ignores SIGPIPE, and a closed pipe is an error like others.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.argv = ["ayne", *arguments]
    from ayne_dagster.cli import main

    main()


class _Stream:
    """A descriptor that is handed to the process with its arguments."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _detached, (DupFd(self._descriptor),)


def _detached(handed: Any) -> int:
    return int(handed.detach())
