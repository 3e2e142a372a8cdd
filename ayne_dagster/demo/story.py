"""The demonstration: the real assets collect from the stand-in while its days pass, and a summary tells what happened.

Nothing here decides or fetches: it turns two clocks, the platform's and the stand-in's, and runs ordinary collections.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from ayne_dagster.collecting.progress import Progress
from ayne_dagster.collecting.result import CollectionResult
from ayne_dagster.config import STRATEGIES, Settings
from ayne_dagster.demo.world import (
    DEFAULT_DATABASE,
    World,
    new_database,
    only_these_variables,
    settings_for,
    variables,
)
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.refresh.strategy import COLLECTED
from ayne_dagster.settings.places import resolve_database
from ayne_dagster.settings.wording import counted
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import Numbers
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.doubts import count_doubts
from ayne_dagster.warehouse.questions import next_due
from ayne_dagster.warehouse.refresh_metadata import due_counts
from ayne_dagster.warehouse.strategies import load_strategy

YEARS_BACK = 15
"""Release years that the demonstration discovers; each partition of a run costs Dagster some milliseconds."""
MILESTONES = (30, 90, 180, 270)
SOME = 4
"""Movies that are worth a table."""


@dataclass(frozen=True)
class Round:
    """One day on which the demonstration collects."""

    day: int
    now: datetime
    result: CollectionResult


@dataclass(frozen=True)
class Story:
    """What happened in a demonstration."""

    file: Path
    movies: int
    """Of the stand-in's catalogue."""
    rounds: Sequence[Round]
    stats: Mapping[str, int]
    """Of the collection at the end: the numbers of `ayne stats`."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The numbers of `ayne demo --json`; `next` are arguments of `ayne` that each show something."""
        rounds = [{"day": r.day, "date": f"{r.now:%Y-%m-%d}", **r.result.as_dict()} for r in self.rounds]
        worth = [{"command": command, "shows": what} for command, what in _worth_a_look(self.file, self.rounds[-1].now)]
        stats, told = dict(self.stats), {"database": str(self.file), "catalogue": self.movies, "rounds": rounds}
        return {**told, "stats": stats, "next": worth, "seconds": self.seconds}

    def tell(self, out: Console) -> None:
        """Print a summary, with commands that show more."""
        _summarize(list(self.rounds), dict(self.stats), self.file, out)


def run_demo(movies: int, days: int, database: Path | None, progress: Console) -> Story:
    """Collect invented movies over some days.

    Args:
        movies: size of the stand-in's catalogue.
        days: days that pass, ending today.
        database: a new file; None for the default one, which is made anew each time.
        progress: where progress goes.

    Raises:
        SettingsError: the database exists already, or is no demonstration's.
        InUse: somebody uses it.
    """
    started = monotonic()
    file = resolve_database(database or DEFAULT_DATABASE)
    milestones = list(_milestones(days))
    end = datetime.now(UTC)
    start = first_instant(milestones, end)
    world = World(movies, start.date())
    with new_database(file, world, replace=database is None), world.standin() as standin:
        progress.print(
            f"The stand-in for TMDB, OMDb and Wikidata serves {movies:,} invented movies on {standin.tmdb_url}",
            soft_wrap=True,
        )
        with only_these_variables(variables(standin, file)):
            settings = settings_for(standin, file)
            rounds = collect_on(milestones[:-1], start, standin, settings, movies, progress)
            limit = _limit_that_leaves_some(_due(file, end)["tmdb"], movies) if rounds else movies
            rounds.append(_collect(standin, settings, milestones[-1], end, limit, start.year, progress))
            _read_change_feed(settings, rounds[-1], progress)
            stats = DuckDBClient(file).get_collection_stats(end)
    return Story(file, movies, rounds, stats, round(monotonic() - started, 3))


def first_instant(days: Sequence[int], end: datetime) -> datetime:
    """When a demonstration begins that collects on some of its days, the last time at `end`.

    An hour later each time, or a check would come seconds before its interval has passed.
    """
    return end - timedelta(days=days[-1], hours=len(days) - 1)


def collect_on(
    days: Sequence[int], start: datetime, standin: StandIn, settings: Settings, limit: int, progress: Console
) -> list[Round]:
    """Collect on some days of a demonstration, with both clocks turned to them."""
    return [
        _collect(standin, settings, day, start + timedelta(days=day, hours=number), limit, start.year, progress)
        for number, day in enumerate(days)
    ]


def _due(file: Path, now: datetime) -> dict[str, int]:
    """How many movies are due: by source, of which TMDB has the most, and for any (`any_source`)."""
    with Database(file).connect(read_only=True) as connection:
        strategy = load_strategy(connection, STRATEGIES[0])
        return due_counts(connection, COLLECTED, now, strategy=strategy)


def _limit_that_leaves_some(due: int, movies: int) -> int:
    """So many movies a source that a fifth of those that are due waits; all where that would be few.

    What waits is there to be looked at, launched in the UI, and requested by the sensor.

    Example:
        >>> _limit_that_leaves_some(50, 500), _limit_that_leaves_some(3, 500)
        (40, 500)
    """
    left = due // 5
    return due - left if left >= SOME else movies


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


def _read_change_feed(settings: Settings, last: Round, progress: Console) -> None:
    """Read the feed after the last collection, as a schedule does daily: what it names is due next."""
    turned = replace(settings, clock_offset=last.now - datetime.now(UTC))
    DataCollectionOrchestrator(settings=turned, watcher=_Lines(progress, last.day)).read_change_feed()


class _Lines:
    """Progress of the demonstration: a line a step that did something."""

    def __init__(self, console: Console, day: int) -> None:
        self._console = console
        self._day = day

    def started(self, step: str, progress: Progress) -> None:
        pass

    def finished(self, step: str, numbers: Numbers) -> None:
        shown = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.not_zero().items())
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
    _print_uncut(table, out)
    for line in (*_in_words(rounds, stats), _money(file)):
        out.print(line, markup=False)
    _tell_what_to_look_at(file, rounds[-1].now, out)


def _print_uncut(table: Table, out: Console) -> None:
    """A table, on a terminal that may be too narrow: better long lines, which it breaks, than numbers that are cut."""
    before = out.width
    out.width = max(before, Measurement.get(out, out.options.update(width=10_000), table).minimum)
    out.print(table)
    out.width = before


def _worth_a_look(file: Path, now: datetime) -> Iterator[tuple[str, str]]:
    """Arguments of `ayne` that each show something of the dataset, and what."""
    waiting = _due(file, now)["any_source"]
    with Database(file).connect(read_only=True) as connection:
        day = _day_to_look_ahead_to(connection, now) if waiting < SOME else None
        told = connection.execute(_MOST_TO_TELL).fetchall()
        doubted = count_doubts(connection).total
    if waiting >= SOME:
        yield "due", f"The {waiting:,} movies that the last collection left: they are due, and why"
    if day:
        yield f"due --as-of {day}", "What is due on that day, and why"
    if told:
        yield f"explain {told[0][0]}", "When the movie that changed most is asked for, and why"
    if doubted:
        yield "doubts", "Which movies have another film's IMDb id, and what speaks for it"
    here = "Runs in Dagster's UI"
    if waiting >= SOME:
        yield "dev", f"{here}; switch due_movies_sensor on there, and it fetches the rest"
    else:
        yield "dev", f"{here}, with the stand-in and the dashboard beside it"


def _tell_what_to_look_at(file: Path, now: datetime, out: Console) -> None:
    """Commands that each show something, as they are to be typed here."""
    shown = shlex.quote(str(_from_here(file)))
    program = f"AYNE_DATABASE={shown} {program_name()}"
    out.print(f"\nThe dataset is in {shown}. Look at it:", markup=False, soft_wrap=True)
    for command, what in _worth_a_look(file, now):
        out.print(f"  # {what}\n  {program} {command}", markup=False, soft_wrap=True)


_MOST_TO_TELL = """
    SELECT tmdb_id FROM movies JOIN movie_history USING (tmdb_id)
    GROUP BY ALL ORDER BY count(*) DESC, tmdb_id LIMIT 1"""
"""The movie that has changed most."""


def _day_to_look_ahead_to(connection: duckdb.DuckDBPyConnection, now: datetime) -> date | None:
    """A day on which some movies are due, as near as can be; None where none are for a long time."""
    strategy = load_strategy(connection, STRATEGIES[0])
    following = next_due(connection, COLLECTED, now, strategy)
    if following is None:
        return None
    days = [following[0] + timedelta(days=ahead) for ahead in (1, 15, 30, 60, 90)]
    at = {day: datetime.combine(day, time(), UTC) for day in days}
    due = {day: due_counts(connection, COLLECTED, at[day], strategy=strategy)["any_source"] for day in days}
    return next((day for day in days if due[day] >= SOME), next((day for day in days if due[day]), None))


def _from_here(path: Path) -> Path:
    """A path as it is typed in this folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _money(file: Path) -> str:
    """Of how many movies the gross is known, and by whom."""
    with Database(file).connect(read_only=True) as connection:
        known = connection.execute(
            "SELECT worldwide_gross_source, count(*) FROM movies WHERE worldwide_gross IS NOT NULL"
            " GROUP BY ALL ORDER BY count(*) DESC, 1"
        ).fetchall()
        doubtful = connection.execute("SELECT count(*) FROM box_office_figures WHERE suspect IS NOT NULL").fetchall()
    shown = ", ".join(f"{number:,} by {source}" for source, number in known)
    told = f"The worldwide gross of {counted(sum(number for _, number in known), 'movies')} is known ({shown})"
    if not (number := doubtful[0][0]):
        return f"{told}; no figure is doubtful."
    are = "is" if number == 1 else "are"
    return f"{told}; {counted(number, 'doubtful figures')} {are} told in box_office_figures, and not shown."


def program_name() -> str:
    """How to call `ayne` from here: by name where the shell finds it, else by the path within this folder."""
    beside = Path(sys.executable).parent / "ayne"
    return "ayne" if shutil.which("ayne") or not beside.exists() else shlex.quote(str(_from_here(beside)))


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
