"""Measures pace and concurrency at the default limits, in real time, by the arrivals at the stand-in; not throughput.

50 TMDB details and 100 OMDb lookups through the async clients, with a new ledger, one source after the other. The
excess is how many more requests than burst + rate * t arrived in the worst of all windows of t seconds.

Run: `python benchmarks/bench_pace.py`
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, islice

from harness import Figures, StandInProcess, parse_arguments, scratch, standin_process

from ayne_dagster.config import ApiSettings, Settings, load_settings
from ayne_dagster.sources.errors import NotFound
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.standin.catalogue import Catalogue

CATALOGUE = 500
LATENCY_MS = 50
Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Arrivals:
    """What the stand-in saw of one source."""

    seconds: float
    times: list[float]
    most_in_flight: int


def main() -> None:
    """Ask both sources, and print the figures."""
    arguments = parse_arguments(
        __doc__, tmdb=(50, 43, "TMDB details to ask for"), omdb=(100, 43, "OMDb lookups to ask for")
    )
    now = datetime.now(UTC)
    ids = list(islice(Catalogue(CATALOGUE, epoch=now.date()).ids(now), max(arguments.tmdb, arguments.omdb)))
    with scratch() as folder, standin_process(CATALOGUE, LATENCY_MS) as standin:
        settings = load_settings({**standin.settings, "AYNE_DATABASE": str(folder / "ayne.duckdb")})
        tmdb = asyncio.run(ask_tmdb(standin, settings, ids[: arguments.tmdb]))
        omdb = asyncio.run(ask_omdb(standin, settings, ids[: arguments.omdb]))
    show("TMDB", settings.tmdb, tmdb)
    show("OMDb", settings.omdb, omdb)


async def ask_tmdb(standin: StandInProcess, settings: Settings, ids: Sequence[int]) -> Arrivals:
    """Details of some movies."""
    async with AsyncTMDBClient(settings=settings, ledger=open_ledger(settings)) as client:
        asks: list[Ask] = [lambda i=i: client.get_movie_details(i) for i in ids]
        return await arrivals(standin, "tmdb", asks)


async def ask_omdb(standin: StandInProcess, settings: Settings, ids: Sequence[int]) -> Arrivals:
    """Lookups of some IMDb ids."""
    async with AsyncOMDBClient(settings=settings, ledger=open_ledger(settings)) as client:
        asks: list[Ask] = [lambda i=i: client.get_movie_by_imdb_id(f"tt{i:07}") for i in ids]
        return await arrivals(standin, "omdb", asks)


async def arrivals(standin: StandInProcess, source: str, asks: Sequence[Ask]) -> Arrivals:
    """Ask everything at once, as far as the client lets it through."""
    standin.clear_log()
    started = time.perf_counter()
    await asyncio.gather(*(_asked(ask) for ask in asks))
    seconds = time.perf_counter() - started
    times = sorted(entry["at"] for entry in standin.log() if entry["source"] == source)
    assert len(times) == len(asks), f"{len(times)} requests for {len(asks)} movies"
    return Arrivals(seconds, times, standin.state()["max_in_flight"][source])


async def _asked(ask: Ask) -> None:
    with suppress(NotFound):  # an invented id: an answer like any other here
        await ask()


def show(name: str, api: ApiSettings, seen: Arrivals) -> None:
    """The figures of one source."""
    figures = Figures(f"{name}: {len(seen.times)} requests at {api.requests_per_second:g} a second, bucket {api.burst}")
    fair = max(0, len(seen.times) - api.burst) / api.requests_per_second
    excess = most_above_pace(seen.times, api.requests_per_second, api.burst)
    figures.add("time taken", seen.seconds, "s", at_most=1.1 * fair + 0.5)
    figures.add("most above burst + rate * t, all windows", excess, "requests", at_most=0)
    figures.add("most in flight", seen.most_in_flight, "requests", at_most=api.max_concurrent)
    figures.show()


def most_above_pace(times: Sequence[float], rate: float, burst: int) -> float:
    """The largest number of arrivals, in any window, above burst + rate * length of the window.

    A window that starts with arrival i and ends with arrival j holds j - i + 1 of them, so the worst is a maximum of
    (j + 1 - rate * t_j) - (i - rate * t_i) over i <= j: one pass with the least second term so far.
    """
    level = [index - rate * (at - times[0]) for index, at in enumerate(times)]
    return max(at + 1 - least for at, least in zip(level, accumulate(level, min), strict=True)) - burst


if __name__ == "__main__":
    main()
