"""The demonstration: the real assets collect from the stand-in while its days pass, and a summary tells what happened.

Nothing here decides or fetches: it turns two clocks, the platform's and the stand-in's, and runs ordinary collections.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ayne_dagster.collecting.progress import Progress
from ayne_dagster.config import ApiSettings, Settings, SettingsError
from ayne_dagster.orchestrator import CollectionResult, DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.runs.instance import dagster_home
from ayne_dagster.settings.places import companion
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.spool import spool_folder

DEFAULT_DATABASE = Path("data/demo.duckdb")
YEARS_BACK = 15
"""Release years that the demonstration discovers; each partition of a run costs Dagster some milliseconds."""
MILESTONES = (30, 90, 180, 270)


@dataclass(frozen=True)
class Round:
    """One day on which the demonstration collects."""

    day: int
    now: datetime
    result: CollectionResult


def run_demo(movies: int, days: int, database: Path | None, progress: Console, out: Console) -> None:
    """Collect invented movies over some days, and print a summary.

    Args:
        movies: size of the stand-in's catalogue.
        days: days that pass, ending today.
        database: a new file; None for the default one, which is made anew each time.
        progress: where progress goes.
        out: where the summary goes.

    Raises:
        SettingsError: the database exists already, or is no demonstration's.
        InUse: somebody uses it.
    """
    file = resolve_database(database or DEFAULT_DATABASE)
    milestones = list(_milestones(days))
    # An hour later each time, or a check would come seconds before its interval has passed.
    end = datetime.now(UTC)
    start = end - timedelta(days=days, hours=len(milestones) - 1)
    world = World(movies, start.date())
    with new_database(file, world, replace=database is None), world.standin() as standin:
        progress.print(
            f"The stand-in for TMDB, OMDb and Wikidata serves {movies:,} invented movies on {standin.tmdb_url}",
            soft_wrap=True,
        )
        settings = settings_for(standin, file)
        rounds = [
            _collect(standin, settings, day, start + timedelta(days=day, hours=number), movies, start.year, progress)
            for number, day in enumerate(milestones)
        ]
        stats = DuckDBClient(file).get_collection_stats(end)
    _summarize(rounds, stats, file, out)


def _milestones(days: int) -> Iterator[int]:
    yield 0
    yield from (day for day in MILESTONES if day < days)
    if days:
        yield days


def _collect(
    standin: StandIn, settings: Settings, day: int, now: datetime, limit: int, start_year: int, progress: Console
) -> Round:
    standin.set_now(now)
    turned = replace(settings, clock_offset=now - datetime.now(UTC))
    plan = DiscoveryPlan(start_year - YEARS_BACK, start_year + 3)
    orchestrator = DataCollectionOrchestrator(settings=turned, watcher=_Lines(progress, day))
    return Round(day, now, orchestrator.collect(plan, refresh_limit=limit))


class _Lines:
    """Progress of the demonstration: a line a step that did something."""

    def __init__(self, console: Console, day: int) -> None:
        self._console = console
        self._day = day

    def started(self, step: str, progress: Progress) -> None:
        pass

    def finished(self, step: str, counts: Mapping[str, int]) -> None:
        shown = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items() if number)
        self._console.print(f"day {self._day:>3}  {step:18} {shown or 'nothing to do'}", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(f"day {self._day:>3}  {text}", markup=False, soft_wrap=True)


def _summarize(rounds: list[Round], stats: dict[str, int], file: Path, out: Console) -> None:
    out.print("\nWhat the platform did as days passed:")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("day", "date", "found", "details", "changed", "rated", "changed", "money", "froze", "asked"):
        table.add_column(heading, justify="left" if heading == "date" else "right", no_wrap=True)
    for r in rounds:
        numbers = (
            r.result.discovered,
            r.result.tmdb_updated,
            r.result.tmdb_changed,
            r.result.omdb_updated,
            r.result.omdb_changed,
            r.result.box_office_changed,
            r.result.frozen,
            sum(r.result.requests.values()),
        )
        table.add_row(str(r.day), f"{r.now:%Y-%m-%d}", *(f"{number:,}" for number in numbers))
    out.print(table)
    for line in (*_in_words(rounds, stats), _money(file)):
        out.print(line, markup=False)
    command = f"AYNE_DATABASE={file} {_program()}"
    out.print(f"\nThe dataset is in {file}. Look at it:", markup=False, soft_wrap=True)
    for arguments, what in (
        ("due", "what comes due next, and why"),
        ("export out", "tables as Parquet files"),
        ("dev", "these runs in Dagster's UI"),
    ):
        out.print(f"  {command} {arguments:12}{what}", markup=False, soft_wrap=True)


def _money(file: Path) -> str:
    """Of how many movies the gross is known, and by whom."""
    with Database(file).connect(read_only=True) as connection:
        known = connection.execute(
            "SELECT worldwide_gross_source, count(*) FROM movies WHERE worldwide_gross IS NOT NULL"
            " GROUP BY ALL ORDER BY count(*) DESC, 1"
        ).fetchall()
        doubtful = connection.execute("SELECT count(*) FROM box_office_figures WHERE suspect IS NOT NULL").fetchall()
    shown = ", ".join(f"{number:,} by {source}" for source, number in known)
    return (
        f"The worldwide gross of {sum(number for _, number in known):,} movies is known ({shown}); {doubtful[0][0]:,} "
        "doubtful figures are told in box_office_figures, and not shown."
    )


def _program() -> str:
    """How to call `ayne` from here: by name where the shell finds it, else by the path within this folder."""
    beside = Path(sys.executable).parent / "ayne"
    if shutil.which("ayne") or not beside.exists():
        return "ayne"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _in_words(rounds: list[Round], stats: dict[str, int]) -> Iterator[str]:
    first, later = rounds[0].result, [r.result for r in rounds[1:]]
    spent = {source: sum(r.result.requests[source] for r in rounds) for source in first.requests}
    yield (
        f"Discovered {first.discovered:,} movies with at least 200 votes, fetched the details of {first.tmdb_updated:,}"
        f" and rated {first.omdb_updated:,} (a movie without IMDb id cannot be rated)."
    )
    if later:
        rows = len(later) * first.tmdb_updated
        fetched, changed = sum(r.tmdb_updated for r in later), sum(r.tmdb_changed for r in later)
        yield (
            f"In {rounds[-1].day:,} days {sum(r.discovered for r in later):,} more were found. Of {rows:,} possible "
            f"refreshes at TMDB {fetched:,} were due; {changed:,} of them brought something new."
        )
        yield (
            f"{stats['frozen']:,} of {stats['archived']:,} archived movies froze: three refresh cycles in a row found "
            "nothing new."
        )
    failed, deferred = (sum(getattr(r.result, name) for r in rounds) for name in ("failed", "deferred"))
    yield (
        f"Requests spent: {spent['tmdb']:,} TMDB, {spent['omdb']:,} OMDb, {spent['numbers']:,} Wikidata; {failed:,} "
        f"failed, {deferred:,} deferred, {stats['quarantined']:,} answers in quarantine."
    )
