"""Processes that ask until a quota ends, one of them killed, and what the source saw of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import pointing_at, wait_until

PROCESSES = 4
WORKERS = 5
RATE = 20
BURST = 2

TURNS = "turns"
"""File of the folder in which all processes note the places in the pace that they were given."""

ASK = """
import asyncio, sys, time
from datetime import UTC, datetime
from ayne_dagster.config import load_settings
from ayne_dagster.sources.errors import NotFound, QuotaExhausted
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.sources.limits.pace import Pace
from ayne_dagster.sources.omdb.client import AsyncOMDBClient

settings, noon = load_settings(), datetime(2026, 3, 1, 12, tzinfo=UTC)
turns, place = open("turns", "a", buffering=1), Pace.place

def noted(self, rate, burst, now):
    after, wait = place(self, rate, burst, now)
    turns.write(f"{now + wait} {time.time() + wait}\\n")
    return after, wait

Pace.place = noted

async def ask(omdb):
    while True:
        try:
            await omdb.get_movie_by_imdb_id("tt0000001")
        except NotFound:
            pass  # an answer like any other here
        except QuotaExhausted:
            return

async def main():
    async with AsyncOMDBClient(settings=settings, ledger=open_ledger(settings), now=lambda: noon) as omdb:
        print("ready", flush=True)
        sys.stdin.readline()
        await asyncio.gather(*(ask(omdb) for _ in range(settings.omdb.max_concurrent)))

asyncio.run(main())
"""


@dataclass(frozen=True)
class Seen:
    """What came of several processes that asked until the quota was used up.

    A busy machine sends some requests late, and so more of them in one second than the pace allows. What must hold
    whatever the machine does: places in the pace keep to it, and nothing arrives before its place.
    """

    arrivals: Sequence[float]
    """What the source saw, in seconds since the epoch, in order."""
    places: Sequence[float]
    """What the processes were given, by the clock that they share, in order."""
    earliest: Sequence[float]
    """The same in seconds since the epoch."""
    exit_codes: Sequence[int]
    arrivals_of_a_later_run: int

    @property
    def too_early(self) -> int:
        """Requests that arrived before it was their turn, whosever turn it was."""
        return sum(at < turn for at, turn in zip(self.arrivals, self.earliest, strict=False))

    @property
    def seconds(self) -> float:
        """From the first arrival to the last."""
        return self.arrivals[-1] - self.arrivals[0]


def fullest_second(instants: Sequence[float]) -> int:
    """The most of some instants, in order, in any window of one second, both ends included."""
    first, most = 0, 0
    for last, at in enumerate(instants):
        while at - instants[first] > 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def ask_until_the_quota_ends(standin: StandIn, quota: int, folder: Path, ledger_url: str | None) -> Seen:
    """Four processes share a quota at 20 requests a second; one is killed halfway; another asks afterwards."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AYNE_DATABASE": str(folder / "ayne.duckdb")}
    environment |= pointing_at(standin) | {
        "AYNE_OMDB_REQUESTS_PER_SECOND": str(RATE),
        "AYNE_OMDB_BURST": str(BURST),
        "AYNE_OMDB_MAX_CONCURRENT": str(WORKERS),
        "AYNE_OMDB_DAILY_QUOTA": str(quota),
    }
    if ledger_url is not None:
        environment["AYNE_LEDGER_URL"] = ledger_url
    standin.clear_log()
    with ExitStack() as stack:
        started = [stack.enter_context(asking(environment, folder)) for _ in range(PROCESSES)]
        for process in started:
            go(process)
        victim = started[1]
        wait_until(lambda: standin.requests()["omdb"] >= quota // 2, victim)
        os.kill(victim.pid, signal.SIGKILL)
        codes = [process.wait(10 * quota / RATE + 60) for process in started]
    arrivals = sorted(entry["at"] for entry in standin.log())
    turns = [line.split() for line in (folder / TURNS).read_text().splitlines()]
    places, earliest = (sorted(float(turn[column]) for turn in turns) for column in (0, 1))
    with asking(environment, folder) as later:
        go(later)
        codes.append(later.wait(60))
    return Seen(arrivals, places, earliest, codes, standin.requests()["omdb"] - len(arrivals))


@contextmanager
def asking(environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is ready to ask; none is left behind."""
    process = subprocess.Popen(
        [sys.executable, "-c", ASK],
        env=environment,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def go(process: subprocess.Popen[str]) -> None:
    """Let a process that is ready begin."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def assert_within_the_limits(seen: Seen, quota: int) -> None:
    assert sorted(seen.exit_codes) == [-signal.SIGKILL, 0, 0, 0, 0]
    assert len(seen.arrivals) <= quota
    assert len(seen.arrivals) >= quota - WORKERS, "what the victim had charged and not sent is lost, no more"
    assert len(seen.places) >= len(seen.arrivals)
    assert fullest_second(seen.places) <= RATE + BURST
    assert seen.too_early == 0
    assert seen.arrivals_of_a_later_run == 0
