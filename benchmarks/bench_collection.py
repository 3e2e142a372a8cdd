"""Measures movies per second and memory of the tmdb_details step, unpaced; not discovery, not OMDb, not a large table.

The stand-in (20 ms a request) and the collection run in a process each. The collection is the real one: the
orchestrator materializes the assets in Dagster; answers are validated, merged and committed batch by batch.

    python benchmarks/bench_collection.py
    python benchmarks/bench_collection.py --movies 2508 --ratings 1   as a person waits for it, ratings and all
    python benchmarks/bench_collection.py --movies 100000     for the memory; takes a few minutes
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from harness import (
    Figures,
    StandInProcess,
    cpu_seconds,
    parse_arguments,
    peak_rss_mb,
    run_child,
    scratch,
    standin_process,
)

LATENCY_MS = 20
CONNECTIONS = 40
SEED_ROWS = 5_000
LEAST_RATE = 700
MOST_MB = 300


def main() -> None:
    """Start the stand-in, fill a database with movies never fetched, collect them, and print the figures."""
    arguments = parse_arguments(
        __doc__,
        movies=(2_000, 200, "movies to fetch"),
        runs=(3, 1, "collections, each anew"),
        ratings=(0, 0, "1: with the ratings"),
    )
    size = arguments.movies + arguments.movies // 20 + 50  # some movies of a catalogue are not there yet
    figures = Figures(f"tmdb_details: {arguments.movies:,} movies, {LATENCY_MS} ms, {CONNECTIONS} connections")
    runs = 1 if arguments.movies > 20_000 else arguments.runs
    with standin_process(size, LATENCY_MS) as standin:
        results = sorted(
            (measure(standin, arguments.movies, size, bool(arguments.ratings)) for _ in range(runs)),
            key=lambda r: r["seconds"],
        )
    add_figures(figures, results[len(results) // 2], arguments.movies)
    figures.show()


def measure(standin: StandInProcess, movies: int, size: int, ratings: bool) -> dict[str, float]:
    """One collection into a new database; the child reports what it took."""
    with scratch() as folder:
        settings = standin.settings | {
            "AYNE_DATABASE": folder / "ayne.duckdb",
            "AYNE_TMDB_MAX_CONCURRENT": CONNECTIONS,
            "AYNE_TMDB_REQUESTS_PER_SECOND": 0,
            "AYNE_OMDB_DAILY_QUOTA": 0 if ratings else 1,  # of one request: omdb_ratings ends at once, well
            "AYNE_OMDB_MAX_CONCURRENT": CONNECTIONS,
            "AYNE_OMDB_REQUESTS_PER_SECOND": 0,
        }
        itself = [sys.executable, Path(__file__)]
        run_child([*itself, "as-seeder", str(movies), str(size)], folder, settings)
        return dict(json.loads(run_child([*itself, "as-collector", str(movies)], folder, settings).stdout))


def add_figures(figures: Figures, result: Mapping[str, float], movies: int) -> None:
    """The figures of one collection."""
    assert result["fetched"] == movies, f"{result['fetched']} of {movies} movies were fetched"
    figures.add("movies, the stream alone", movies / result["stream_seconds"], "/s")
    figures.add("movies, whole step", movies / result["seconds"], "/s", at_least=LEAST_RATE)
    figures.add("step tmdb_details", result["seconds"], "s")
    figures.add("  of it, first request to last commit", result["stream_seconds"], "s")
    figures.add("whole collection", result["collection_seconds"], "s")
    figures.add("CPU a movie, the stream alone", result["stream_cpu_seconds"] / movies * 1000, "ms")
    figures.add("CPU of the whole collection", result["cpu_seconds"], "s")
    figures.add("RSS after imports", result["imported_mb"], "MB")
    figures.add("peak RSS", result["peak_mb"], "MB", at_most=MOST_MB)


def as_seeder(movies: int, size: int) -> None:
    """Fill a new database with movies as discovery would leave them, without asking for the listing."""
    from ayne_dagster.config import load_settings
    from ayne_dagster.warehouse.database import Database
    from ayne_dagster.warehouse.merge import merge_listing

    listed = islice(_listing(size), movies)
    database = Database(load_settings().database)
    while rows := list(islice(listed, SEED_ROWS)):
        with database.transaction() as connection:
            merge_listing(connection, rows, "bench")


def _listing(size: int) -> Iterator[Any]:
    """The movies of the stand-in's catalogue that exist today."""
    from ayne_dagster.sources.json_body import validate
    from ayne_dagster.sources.tmdb.models import DiscoverItem
    from ayne_dagster.sources.tmdb.normalize import discovered_row
    from ayne_dagster.standin.catalogue import Catalogue
    from ayne_dagster.warehouse.answers import ListedMovie

    now = datetime.now(UTC)
    catalogue = Catalogue(size, epoch=now.date())
    page = 1
    while items := catalogue.discover(now, start=None, end=None, page=page)["results"]:
        for item in items:
            row = discovered_row(validate(DiscoverItem, item))
            yield ListedMovie(int(str(row["tmdb_id"])), now, row, str(row["release_year"]))
        page += 1


def as_collector(movies: int) -> None:
    """Refresh what is due, and print what the tmdb_details step took, as JSON."""
    import dagster as dg

    from ayne_dagster.config import load_settings
    from ayne_dagster.orchestrator import DataCollectionOrchestrator
    from ayne_dagster.runs.instance import open_instance

    settings = load_settings()
    stopwatch = _Stopwatch()
    imported_mb, started, cpu = peak_rss_mb(), time.perf_counter(), cpu_seconds()
    DataCollectionOrchestrator(settings=settings, watcher=stopwatch).collect(None, refresh_limit=movies)
    result = {
        "collection_seconds": time.perf_counter() - started,
        "cpu_seconds": cpu_seconds() - cpu,
        "imported_mb": imported_mb,
        "peak_mb": peak_rss_mb(),
        "stream_seconds": stopwatch.seconds,
        "stream_cpu_seconds": stopwatch.cpu_seconds,
        "fetched": stopwatch.fetched,
    }
    with open_instance(settings) as instance:
        run = instance.get_runs(dg.RunsFilter(job_name="refresh_movies"), limit=1)[0]
        (step,) = instance.get_run_step_stats(run.run_id, ["tmdb_details"])
    print(json.dumps(result | {"seconds": (step.end_time or 0) - (step.start_time or 0)}))


class _Stopwatch:
    """Times the tmdb_details step between its first request and its last commit."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self.fetched = 0

    def started(self, step: str, progress: object) -> None:
        if step == "tmdb_details":
            self._started, self._cpu = time.perf_counter(), cpu_seconds()

    def finished(self, step: str, numbers: Any) -> None:
        if step == "tmdb_details":
            self.seconds, self.cpu_seconds = time.perf_counter() - self._started, cpu_seconds() - self._cpu
            self.fetched = numbers.fetched

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)


if __name__ == "__main__":
    role, numbers = sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]
    if role == "as-seeder":
        as_seeder(*map(int, numbers))
    elif role == "as-collector":
        as_collector(*map(int, numbers))
    else:
        main()
