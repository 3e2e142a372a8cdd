"""Measures requests a second and CPU a request of the client stack, over httpx's own wire and over aiohttp's.

Not the merge, not the pace: TMDB details through the same stack of transports and the same validation, 40 connections,
20 ms a request. The two wires take turns, so that a busy machine slows both.

Run: `python benchmarks/bench_wire.py`
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice

import httpx
from harness import Figures, cpu_seconds, parse_arguments, standin_process

from ayne_dagster.config import Settings, load_settings
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.standin.catalogue import Catalogue

CONNECTIONS = 40
LATENCY_MS = 20
CATALOGUE = 2_000
WIRES: dict[str, Callable[[], httpx.AsyncBaseTransport | None]] = {
    "httpx": lambda: httpx.AsyncHTTPTransport(
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS), trust_env=False
    ),
    "aiohttp": lambda: None,  # what the client takes when it is given no wire
}


def main() -> None:
    """Ask over each wire in turn, and print the medians."""
    arguments = parse_arguments(__doc__, requests=(1_500, 100, "requests a turn"), turns=(3, 1, "turns of each wire"))
    now = datetime.now(UTC)
    ids = list(islice(Catalogue(CATALOGUE, epoch=now.date()).ids(now), 1_500))
    asked = [ids[i % len(ids)] for i in range(arguments.requests)]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in WIRES}
    with standin_process(CATALOGUE, LATENCY_MS) as standin:
        settings = load_settings(
            {
                **standin.settings,
                "AYNE_TMDB_MAX_CONCURRENT": str(CONNECTIONS),
                "AYNE_TMDB_REQUESTS_PER_SECOND": "0",
            }
        )
        for _ in range(arguments.turns):
            for name, wire in WIRES.items():
                measured[name].append(asyncio.run(ask_all(settings, wire(), asked)))
    show(measured, arguments.requests)


async def ask_all(settings: Settings, wire: httpx.AsyncBaseTransport | None, ids: Sequence[int]) -> tuple[float, float]:
    """Ask for the details of all movies; returns the seconds and the CPU seconds that it took."""
    waiting = iter(ids)
    async with AsyncTMDBClient(settings=settings, wire=wire) as client:

        async def work() -> None:
            for tmdb_id in waiting:
                await client.get_movie_details(tmdb_id)

        started, cpu = time.perf_counter(), cpu_seconds()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return time.perf_counter() - started, cpu_seconds() - cpu


def show(measured: dict[str, list[tuple[float, float]]], requests: int) -> None:
    """Medians by wire, and how the wires compare."""
    figures = Figures(f"{requests:,} details a turn, {CONNECTIONS} connections, {LATENCY_MS} ms")
    cpu: dict[str, float] = {}
    for name, turns in measured.items():
        seconds = statistics.median(turn[0] for turn in turns)
        cpu[name] = statistics.median(turn[1] for turn in turns) / requests * 1000
        figures.add(f"{name}: requests", requests / seconds, "/s")
        figures.add(f"{name}: CPU a request", cpu[name], "ms")
    figures.add("CPU, httpx to aiohttp", cpu["httpx"] / cpu["aiohttp"], "times")
    figures.show()


if __name__ == "__main__":
    main()
