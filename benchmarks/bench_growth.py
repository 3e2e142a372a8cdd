"""Measures what years cost on disk: collections against the stand-in while its days pass, and the size of each file.

Each simulated day some runs of `ayne collect` ask for 1,000 requests' worth of movies, made due by hand, half of them
at each source. Until the retention is over nothing is removed: the growth before it is that without, the growth
after it that with it. Old entries of the warehouse's logs are summed up after 400 days only; what they cost until
then is told apart.

Run: `python benchmarks/bench_growth.py` (half an hour)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
from harness import Figures, parse_arguments, scratch

from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.refresh.states import Override
from ayne_dagster.runs.home import home_path
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.refresh_metadata import set_override

EPOCH = date(2026, 1, 1)
START = datetime(2026, 1, 1, 6, tzinfo=UTC)
MB = 1e6
TABLES = ("fetch_log", "movie_history", "refresh_metadata", "tmdb_details", "collection_status")


def main() -> None:
    """Let days pass, look at the files every ten days, and print what a year of each comes to."""
    arguments = parse_arguments(
        __doc__,
        days=(60, 4, "days that pass"),
        movies=(3_000, 300, "movies of the catalogue"),
        requests=(1_000, 60, "requests a day"),
        runs=(4, 2, "runs a day"),
        retention=(20, 1, "days for which runs are kept"),
    )
    with scratch() as folder, StandIn(arguments.movies, epoch=EPOCH, oddities=0) as standin:
        years = Years(standin, folder / "ayne.duckdb", timedelta(days=arguments.retention))
        years.collect(START, DiscoveryPlan(min_votes=0), arguments.movies)
        sizes = {0: years.sizes()}
        for day in range(1, arguments.days + 1):
            for run in range(arguments.runs):
                now = START + timedelta(days=day, hours=run * 16 / arguments.runs)
                years.force(now, arguments.requests // 2 // arguments.runs)
                years.collect(now, None, arguments.movies)
            if day % max(1, arguments.days // 12) == 0:
                sizes[day] = years.sizes()
                told = {name: size if name == "runs" else round(size / MB, 2) for name, size in sizes[day].items()}
                print(f"day {day}: {told}", flush=True)
        show(sizes, arguments.retention, years)


class Years:
    """A collection that grows older."""

    def __init__(self, standin: StandIn, database: Path, retention: timedelta) -> None:
        self._standin = standin
        self._next = 0
        self.settings = Settings(
            database=database,
            tmdb=ApiSettings(standin.tmdb_url, 0, 40, 10),
            omdb=ApiSettings(standin.omdb_url, 0, 40, 5, daily_quota=1_000_000),
            tmdb_read_token="bench",  # noqa: S106 -- the stand-in takes any
            omdb_api_key="bench",
            run_retention=retention,
        )

    def collect(self, now: datetime, discovery: DiscoveryPlan | None, limit: int) -> None:
        """What `ayne collect` does, at an instant."""
        self._standin.set_now(now)
        settings = replace(self.settings, clock_offset=now - datetime.now(UTC))
        DataCollectionOrchestrator(settings=settings).collect(discovery, refresh_limit=limit)

    def force(self, now: datetime, movies: int) -> None:
        """Make the next movies due, in turn."""
        with Database(self.settings.database).transaction() as connection:
            known = [row[0] for row in connection.execute("SELECT tmdb_id FROM refresh_metadata ORDER BY 1").fetchall()]
            chosen = [known[(self._next + n) % len(known)] for n in range(movies)]
            self._next += movies
            set_override(connection, chosen, Override.FORCE, now)

    def sizes(self) -> dict[str, int]:
        """Bytes, by file and part."""
        database, home = self.settings.database, home_path(self.settings)
        beside = {path.name.removeprefix(database.name): path for path in database.parent.iterdir()}
        ledger = next((path for name, path in beside.items() if "ledger" in name), database)
        spool = next((path for name, path in beside.items() if "spool" in name), None)
        return {
            "database": _size(database),
            "database, live": self.live(),
            "write-ahead log": _size(database.with_name(database.name + ".wal")),
            "ledger": _size(ledger) if ledger != database else 0,
            "spool": _size(spool) if spool else 0,
            "home": _size(home),
            "home: index": sum(_size(path) for path in (home / "history" / "runs").glob("index.db*")),
            "home: logs of runs": _size(home / "history" / "runs")
            - sum(_size(path) for path in (home / "history" / "runs").glob("index.db*")),
            "home: runs and ticks": sum(_size(path) for path in home.glob("*/*.db*")),
            "home: output": _size(home / "storage"),
            "runs": len(list((home / "history" / "runs").glob("*-*.db"))),
        }

    def live(self) -> int:
        """Bytes of the blocks in use; the others are free, and used again."""
        with Database(self.settings.database).inspect() as connection:
            row = connection.execute("SELECT block_size * used_blocks FROM pragma_database_size()").fetchall()
        return int(row[0][0])

    def packed(self) -> dict[str, float]:
        """Megabytes of a copy of each table, packed as DuckDB does, a thousand rows."""
        found = {}
        copy = self.settings.database.with_name("copy.duckdb")
        for table in TABLES:
            with duckdb.connect() as connection:
                connection.execute(f"ATTACH '{self.settings.database}' AS ours (READ_ONLY)")
                connection.execute(f"ATTACH '{copy}' AS copy (BLOCK_SIZE 16384)")
                connection.execute(f"CREATE TABLE copy.t AS FROM ours.{table}")
                rows = connection.execute("SELECT count(*) FROM copy.t").fetchall()[0][0]
            found[table] = _size(copy) / MB / max(1, rows) * 1000
            copy.unlink()
        return found


def show(sizes: Mapping[int, Mapping[str, int]], retention: int, years: Years) -> None:
    """A table of what a year of each part comes to, before and after the retention is over."""
    last = max(sizes)
    full = min(day for day in sizes if day > retention)
    early = max(day for day in sizes if day <= retention)
    figures = Figures(f"{last} days; runs are kept for {retention} days")
    for name, size in sizes[last].items():
        unit = "" if name == "runs" else "MB"
        scale = 1 if name == "runs" else MB
        figures.add(f"{name}: at the end", size / scale, unit)
        without = (sizes[early][name] - sizes[0][name]) / max(1, early) * 365 / scale
        figures.add("  a year, at the growth before runs are removed", without, unit)
        after = (size - sizes[full][name]) / max(1, last - full) * 365 / scale
        figures.add("  a year, at the growth since", after, unit)
    for table, size in years.packed().items():
        figures.add(f"{table}: 1,000 rows", size, "MB")
    figures.show()


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(_size(inner) for inner in path.iterdir())
    return path.stat().st_size if path.exists() else 0


if __name__ == "__main__":
    main()
