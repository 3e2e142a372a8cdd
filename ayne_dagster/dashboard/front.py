"""The front page: what runs, what the day's budgets still buy, how fresh the movies are, what 90 days have brought.

Budgets and runs are read anew each time and cheaply; what is read of the movies is a `Pages` entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ayne_dagster.config import API_OF, API_TITLES, Settings
from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.freshness import freshness_curves
from ayne_dagster.dashboard.pages import Asked, Model
from ayne_dagster.refresh.ages import CATEGORIES, by_age_sql
from ayne_dagster.refresh.budget import DayBudget, hours_left, midnight
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.runs.recorded import Run
from ayne_dagster.settings.wording import counted
from ayne_dagster.warehouse.outlook import misfits
from ayne_dagster.warehouse.questions import movie_titles
from ayne_dagster.warehouse.refresh_metadata import due_counts, due_movies
from ayne_dagster.warehouse.rows import each_of, one_text
from ayne_dagster.warehouse.sampling import is_sampled, one_in
from ayne_dagster.warehouse.statistics import FAILURES

if TYPE_CHECKING:
    from ayne_dagster.runs.budgets import SourceBudget

CURVE_DAYS = 90
NEXT_REQUESTS = 100
FOUND_DAYS = 30
AGES = {
    "recent": "up to 60 days old, or not yet released",
    "established": "61 to 180 days",
    "mature": "181 to 365 days",
    "archived": "over a year",
}


@dataclass(frozen=True)
class Budget:
    """A source's requests of today, and as a bar: spent, released and not yet spent, kept for people."""

    source: str
    title: str
    quota: int | None
    spent: int
    reserve: int
    left: int | None
    released: int | None
    askable: int
    resets_in: str
    hindrance: str | None
    days_for_backlog: float | None = None

    @property
    def parts(self) -> list[tuple[str, float]]:
        """Shares of the bar by kind; empty where there is no quota."""
        if not self.quota:
            return []
        spent = min(self.spent, self.quota)
        kept = min(self.reserve, self.quota - spent)
        ready = max(0, min(self.askable, self.quota - spent - kept))
        return [("spent", spent / self.quota), ("ready", ready / self.quota), ("kept", kept / self.quota)]


def budgets(granted: Mapping[str, SourceBudget], now: datetime) -> list[Budget]:
    """What each source grants today."""
    left = hours_left(now)
    resets = f"in {left:.0f} h" if left >= 1 else f"in {left * 60:.0f} min"
    found = []
    for source, budget in granted.items():
        plan: DayBudget | None = budget.plan
        found.append(
            Budget(
                source,
                API_TITLES[API_OF[source]],
                budget.use.cap or None,
                budget.use.used,
                plan.reserve if plan else 0,
                budget.use.left,
                plan.released(now) if plan else None,
                plan.spendable(now) if plan else 0,
                resets,
                budget.hindrance,
            )
        )
    return found


@dataclass(frozen=True)
class Step:
    """How far a run is with a source."""

    source: str
    title: str
    done: int
    planned: int | None
    changed: int
    requests: int
    a_minute: int

    @property
    def share(self) -> float | None:
        """Of what was planned, what is done."""
        return min(1.0, self.done / self.planned) if self.planned else None


def steps(asked: Asked, runs: Sequence[Run]) -> dict[str, list[Step]]:
    """How far each run is, by what it has committed to the log of fetches."""
    if not runs:
        return {}
    rows = asked.rows(
        "SELECT run_id, source, count(*) AS done, count(*) FILTER (WHERE changed) AS changed,"
        " coalesce(sum(requests), 0)::BIGINT AS requests,"
        " count(*) FILTER (WHERE fetched_at > $now - INTERVAL 1 MINUTE) AS a_minute"
        " FROM fetch_log WHERE run_id IN (SELECT unnest($runs)) GROUP BY ALL",
        runs=[run.run_id for run in runs],
    )
    found: dict[str, list[Step]] = {}
    for run in runs:
        done = {row["source"]: row for row in rows if row["run_id"] == run.run_id}
        for source in SOURCES:
            planned = run.planned.get(source)
            if source in done or planned:
                row = done.get(source, {"done": 0, "changed": 0, "requests": 0, "a_minute": 0})
                found.setdefault(run.run_id, []).append(
                    Step(
                        source,
                        SOURCES[source].title,
                        row["done"],
                        planned,
                        row["changed"],
                        row["requests"],
                        row["a_minute"],
                    )
                )
    return found


def front(asked: Asked) -> Model:
    """Counts, freshness, backlog, worth and curves."""
    sources = asked.settings.sources
    due = due_counts(asked.connection, sources, asked.now, strategy=asked.strategy)
    spendable = {s: asked.settings.spendable[s] for s in sources if s in asked.settings.spendable}
    totals = asked.row(
        f"SELECT count(*) AS movies, count(tmdb_checked_at) AS details, count(omdb_checked_at) AS ratings,"
        f" count(*) FILTER (WHERE {asked.strategy.frozen_sql()}) AS frozen,"
        f" count(*) FILTER (WHERE first_seen_at >= $now - INTERVAL 7 DAY) AS new FROM refresh_metadata"
    )
    return {
        "totals": totals,
        "freshness": _freshness(asked, due),
        "categories": [(name, AGES[name]) for name in CATEGORIES],
        "due": due["any_source"],
        "worth": [told for source in sources if (told := _worth(asked, source))],
        "misfits": [str(each) for each in misfits(asked.connection, asked.now, spendable)]
        if asked.strategy.name == "age_table"
        else [],
        "curves": curves(asked),
        "fresh_over_time": freshness_curves(asked),
        "strategy": asked.strategy.name,
    }


def _freshness(asked: Asked, due: Mapping[str, int]) -> list[Model]:
    """By source: of each age category, how many movies are in time and are probably unchanged; the backlog."""
    by_source, each = _standing(asked)
    told = []
    for source, rows in by_source.items():
        total = {name: sum(row[name] for row in rows if row) for name in ("movies", "checked", "in_time", "fresh")}
        oldest = [row["longest"] for row in rows if row and row["longest"]]
        told.append(
            {
                "source": source,
                "title": SOURCES[source].title,
                "by_category": rows,
                "total": total,
                "due": due[source],
                "never": total["movies"] - total["checked"],
                "estimated_from": each,
                "longest": _longest(asked, source, oldest),
                "found": _found(asked, source),
            }
        )
    return told


def _standing(asked: Asked) -> tuple[dict[str, list[Model | None]], dict[str, int]]:
    """By source and age category, what is known of the movies that it may be asked for, None where there are none; and
    by category, where it has many, one of how many was looked at for what takes a while to work out."""
    sources, ages = asked.settings.sources, by_age_sql([str(n) for n in range(len(CATEGORIES))])
    counted, worked_out = ["count(*) AS movies"], []
    for s in sources:
        applies = f"{s}_tombstoned_at IS NULL" + (" AND imdb_id IS NOT NULL" if SOURCES[s].needs_imdb_id else "")
        checked = f"{applies} AND {s}_checked_at IS NOT NULL"
        counted += [
            f"count(*) FILTER (WHERE {applies}) AS {s}_movies",
            f"count(*) FILTER (WHERE {checked}) AS {s}_checked",
            f"min({s}_checked_at) FILTER (WHERE {applies}) AS {s}_longest",
        ]
        worked_out += [
            f"count(*) FILTER (WHERE {checked}) AS {s}_looked_at",
            f"count(*) FILTER (WHERE {checked} AND NOT {asked.strategy.overdue_sql(s)}) AS {s}_in_time",
            f"coalesce(sum({asked.value.fresh_sql(s)}) FILTER (WHERE {checked}), 0) AS {s}_fresh",
        ]
    whole = {row["age"]: row for row in asked.rows(_by_age(ages, counted, "TRUE"))}
    each = [one_in(whole[n]["movies"]) if n in whole else 1 for n in range(len(CATEGORIES))]
    among = by_age_sql([is_sampled(number) for number in each])
    sample = {row["age"]: row for row in asked.rows(_by_age(ages, worked_out, among))}
    return {
        s: [
            _scaled(s, whole[n], sample.get(n)) if n in whole and whole[n][f"{s}_movies"] else None
            for n in range(len(CATEGORIES))
        ]
        for s in sources
    }, {name: number for name, number in zip(CATEGORIES, each, strict=True) if number > 1}


def _by_age(ages: str, columns: Sequence[str], among: str) -> str:
    """A query of some figures by age category, as its place in the age table: numbers are grouped faster than names."""
    return (
        f"SELECT {ages} AS age, {', '.join(columns)} FROM refresh_metadata"
        f" WHERE {among} AND $now IS NOT NULL GROUP BY 1"
    )


def _scaled(source: str, whole: Model, sample: Model | None) -> Model:
    """The figures of one source and category, those of a sample brought to the whole."""
    names = ("movies", "checked", "longest")
    looked_at = sample[f"{source}_looked_at"] if sample else 0
    share = whole[f"{source}_checked"] / looked_at if looked_at else 0.0
    found = {name: sample[f"{source}_{name}"] * share if sample else 0.0 for name in ("in_time", "fresh")}
    return {name: whole[f"{source}_{name}"] for name in names} | found


def _longest(asked: Asked, source: str, oldest: Sequence[datetime]) -> Model | None:
    """The movie that was not checked for the longest time."""
    if not oldest:
        return None
    row = asked.rows(
        f"SELECT tmdb_id FROM refresh_metadata WHERE {source}_checked_at = $at AND {source}_tombstoned_at IS NULL"
        " ORDER BY tmdb_id LIMIT 1",
        at=min(oldest),
    )
    if not row:
        return None
    tmdb_id = row[0]["tmdb_id"]
    days = (asked.now - min(oldest).replace(tzinfo=UTC)).days
    return {"tmdb_id": tmdb_id, "title": movie_titles(asked.connection, [tmdb_id]).get(tmdb_id), "days": days}


def _found(asked: Asked, source: str) -> Model | None:
    """What checks of the last 30 days have found: of those that looked a second time, how many saw nothing new."""
    row = asked.row(
        "SELECT count(*) AS checks, count(*) FILTER (WHERE NOT coalesce(changed, FALSE)) AS unchanged FROM fetch_log"
        f" WHERE source = $source AND fetched_at >= $now - INTERVAL {FOUND_DAYS} DAY AND outcome = 'fetched'"
        " AND days_since_check > 0",
        source=source,
    )
    return row if row["checks"] else None


def _worth(asked: Asked, source: str) -> str | None:
    """What the next requests to a source are worth, in a sentence; None where none is due."""
    due = due_movies(asked.connection, (source,), asked.now, NEXT_REQUESTS, strategy=asked.strategy)
    if not due:
        return None
    value = asked.value
    # As `assess` has it, in SQL: it reads a few columns of the movies, and not all.
    told = asked.row(
        f"SELECT count(*) AS movies, count({source}_checked_at) AS again, coalesce(sum(1 - {value.fresh_sql(source)})"
        f" FILTER (WHERE {source}_checked_at IS NOT NULL), 0) AS stale FROM refresh_metadata"
        f" WHERE tmdb_id IN ({each_of('$ids', 'BIGINT')}) AND $now IS NOT NULL",
        ids=one_text(movie.tmdb_id for movie in due),
    )
    first, again = told["movies"] - told["again"], told["again"]
    what = []
    if first:
        what.append(f"{first:,} ask{'s' if first == 1 else ''} for a movie for the first time")
    if again:
        what.append(f"about {told['stale']:,.0f} of {again:,} second looks find something changed")
    number = "request" if len(due) == 1 else counted(len(due), "requests")
    return f"Of the next {number} to {SOURCES[source].title}, {' and '.join(what)}."


def curves(asked: Asked) -> list[Chart]:
    """Requests, changes and failures a day and source, over 90 days."""
    since = asked.now.astimezone(UTC).date() - timedelta(days=CURVE_DAYS - 1)
    rows = asked.rows(
        f"""
        SELECT day, source, sum(requests)::BIGINT AS requests, sum(attempts) FILTER (WHERE changed)::BIGINT AS changes,
               sum(attempts) FILTER (WHERE outcome IN {FAILURES})::BIGINT AS failures
        FROM (
            SELECT CAST(fetched_at AS DATE) AS day, source, outcome, changed, count(*) AS attempts,
                   coalesce(sum(requests), 0) AS requests
            FROM fetch_log WHERE fetched_at >= $since AND fetched_at < $until GROUP BY ALL
            UNION ALL
            SELECT day, source, outcome, changed, attempts, requests FROM fetch_log_daily WHERE day >= $since
        )
        GROUP BY ALL""",
        since=since,
        until=midnight(asked.now).replace(tzinfo=None) + timedelta(days=1),
    )
    days = [since + timedelta(days=n) for n in range(CURVE_DAYS)]
    sources = [s for s in SOURCES if any(row["source"] == s for row in rows)]
    cells = {(row["day"], row["source"]): row for row in rows}
    return [_curve(kind, title, days, sources, cells) for kind, title in _CURVES]


_CURVES = (
    ("requests", "Requests a day"),
    ("changes", "Changes found a day"),
    ("failures", "Failed answers a day"),
)


def _curve(kind: str, title: str, days: Sequence[date], sources: Sequence[str], cells: Mapping[Any, Any]) -> Chart:
    def value(day: date, source: str) -> int:
        return int((cells.get((day, source)) or {}).get(kind) or 0)

    series = [Series(SOURCES[s].title, [value(day, s) for day in days], s) for s in sources]
    sums = ", ".join(f"{one.label} {sum(v or 0 for v in one.values):,.0f}" for one in series) or "none"
    table = [(day, *(value(day, s) for s in sources)) for day in reversed(days) if any(value(day, s) for s in sources)]
    return Chart(
        title,
        f"{title} over the last {CURVE_DAYS} days, in total: {sums}.",
        "lines",
        [int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp()) for d in days],
        series,
        ("Day", *(SOURCES[s].title for s in sources)),
        table,
        time=True,
    )


def standing(settings: Settings, asked_runs: Sequence[Run] | None, held: Sequence[Budget]) -> str:
    """What is going on, in a sentence; of runs that are None nothing is known."""
    if asked_runs is None:
        return "Whether anything runs is not known just now."
    alive = [run for run in asked_runs if not run.is_gone]
    if alive:
        run = alive[0]
        more = f", and {len(alive) - 1} more" if len(alive) > 1 else ""
        return f"A run {'is under way' if run.state == 'runs' else run.state}: {run.title}{more}."
    if not settings.key_of("tmdb"):
        return "Nothing runs, and there is no key for TMDB."
    waiting = [budget.title for budget in held if budget.hindrance]
    return f"Nothing runs; {' and '.join(waiting)} must be waited for." if waiting else "Nothing runs just now."
