"""What the benchmarks share: the stand-in as a process, child processes measured, tables of figures. Measures nothing.

A benchmark is no test: it exits 0 whatever the figures are, unless something breaks. Everything it writes is in a
temporary folder, and all its traffic stays on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

HOST = "127.0.0.1"
START_SECONDS = 60.0
AYNE = (sys.executable, "-m", "ayne_dagster")
_OURS = ("AYNE_", "TMDB_", "OMDB_", "DAGSTER_")


def parse_arguments(
    description: str | None, flags: Mapping[str, str] | None = None, **sizes: tuple[int, int, str]
) -> argparse.Namespace:
    """The command line of a benchmark: `--quick`, flags with their help, sizes as (default, quick default, help)."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the script works, not how fast")
    for name, text in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for name, (default, quick, text) in sizes.items():
        parser.add_argument(f"--{name}", type=int, help=f"{text} (default {default:,}; quick: {quick:,})")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started ends, and its folders go
    for name, (default, quick, _) in sizes.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, quick if arguments.quick else default)
    return arguments


@dataclass
class Figures:
    """A table of figures: name, value, unit, the bound it is judged by, and whether it keeps it."""

    title: str
    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(
        self, name: str, value: float, unit: str = "", *, at_most: float | None = None, at_least: float | None = None
    ) -> None:
        """Note a figure, with its bound where there is one."""
        bound = f"<= {_number(at_most)}" if at_most is not None else ""
        bound = f">= {_number(at_least)}" if at_least is not None else bound
        kept = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        self.rows.append((name, _number(value), unit, bound, ("ok" if kept else "MISSED") if bound else ""))

    def show(self) -> None:
        """Print the table."""
        print(f"\n{self.title}")
        widths = [max(len(row[column]) for row in self.rows) for column in range(5)]
        for name, value, unit, bound, verdict in self.rows:
            cells = (name.ljust(widths[0]), value.rjust(widths[1]), unit.ljust(widths[2]), bound.ljust(widths[3]))
            print(f"  {'  '.join((*cells, verdict)).rstrip()}", flush=True)


def _number(value: float) -> str:
    """A number to three figures or more, without an exponent."""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    for limit, places in ((100, 0), (10, 1), (1, 2), (0.01, 3)):
        if abs(value) >= limit:
            return f"{value:.{places}f}"
    return f"{value:.4f}" if value else "0"


def seconds_of(work: Callable[[], Any]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_seconds(work: Callable[[], Any], times: int = 5) -> float:
    """The median of a call's durations."""
    return statistics.median(seconds_of(work) for _ in range(times))


def median_cpu_seconds(work: Callable[[], Any], times: int = 5) -> float:
    """The median of the CPU time, over all threads, that a call takes: hardly moved by what else the machine does."""
    before = [cpu_seconds()]
    for _ in range(times):
        work()
        before.append(cpu_seconds())
    return statistics.median(after - at for at, after in pairwise(before))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ayne-bench-") as folder:
        yield Path(folder)


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """The environment of a child process: this one's, without any settings of ours but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return inherited | {name: str(value) for name, value in settings.items()}


class StandInProcess:
    """A stand-in that runs in a process of its own."""

    def __init__(self, port: int) -> None:
        self._control = f"http://{HOST}:{port}/_standin"
        self.settings = {
            "AYNE_TMDB_BASE_URL": f"http://{HOST}:{port}/3",
            "AYNE_OMDB_BASE_URL": f"http://{HOST}:{port}/omdb/",
            "TMDB_READ_TOKEN": "bench",
            "OMDB_API_KEY": "bench",
        }

    def state(self) -> dict[str, Any]:
        """Counts and the most in flight."""
        return dict(self._get("state"))

    def log(self) -> list[dict[str, Any]]:
        """What was asked, with the time of each arrival."""
        return list(self._get("log"))

    def clear_log(self) -> None:
        """Forget what was asked."""
        httpx.delete(f"{self._control}/log", trust_env=False).raise_for_status()

    def _get(self, name: str) -> Any:
        return httpx.get(f"{self._control}/{name}", trust_env=False, timeout=30).raise_for_status().json()


@contextmanager
def standin_process(movies: int, latency_ms: float = 0) -> Iterator[StandInProcess]:
    """Run `ayne standin` on a free port for the length of the block."""
    port = free_port()
    command = [*AYNE, "standin", "--port", str(port), "--movies", str(movies), "--latency-ms", str(latency_ms)]
    with scratch() as folder:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder, env=environment({}))
        try:
            yield _ready(StandInProcess(port), process)
        finally:
            process.terminate()
            process.wait(10)


def _ready(standin: StandInProcess, process: subprocess.Popen[bytes]) -> StandInProcess:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            standin.state()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return standin
    raise RuntimeError(f"the stand-in did not start (exit code {process.poll()})")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Child:
    """How a child process ended."""

    stdout: str
    seconds: float
    cpu_seconds: float


def run_child(command: Sequence[str | Path], folder: Path, settings: Mapping[str, object]) -> Child:
    """Run a command to its end, in a folder (where no `.env` lies) and with these settings alone.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=folder, env=environment(settings))
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise RuntimeError(f"{command} ended with {process.returncode}:\n{err.read().decode()[-2000:]}")
        return Child(out.read().decode(), seconds, usage.ru_utime + usage.ru_stime)


def peak_rss_mb() -> float:
    """The most memory that this process has held so far.

    From /proc where there is one: getrusage() also counts what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def cpu_seconds() -> float:
    """CPU time of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
