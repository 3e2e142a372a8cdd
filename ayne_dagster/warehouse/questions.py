"""What people ask about single movies: which are due, and why one is or is not. Answers as plain dictionaries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb

from ayne_dagster.refresh.explain import IN_WORDS, Circumstances, describe_age, explain
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    DUE_REASONS,
    SOURCES,
    Decision,
    MovieState,
    Reason,
    Strategy,
    ValueOfRefreshStrategy,
    refresh_plan,
)
from ayne_dagster.warehouse.refresh_metadata import due_counts, due_movies, movie_states
from ayne_dagster.warehouse.rows import among, each_of, naive_utc, one_text
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, TMDB_DETAILS
from ayne_dagster.warehouse.strategies import value_of_refresh

_LOOK_AHEAD_DAYS = 366
_MOST_LOOKED_AT = 1_000_000
"""Movies times days."""
QUOTA_EXHAUSTED = "quota_exhausted"
"""Code for a movie that is due while its source's requests are used up for now."""


def list_due(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[str],
    now: datetime,
    limit: int,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> list[dict[str, Any]]:
    """The movies due at `now`, in the order in which they are asked for, with what each needs and why."""
    due = due_movies(connection, sources, now, limit, strategy=strategy)
    ids = [movie.tmdb_id for movie in due]
    titles = movie_titles(connection, ids)
    states = {state.tmdb_id: state for state in movie_states(connection, ids)}
    return [
        {
            "tmdb_id": movie.tmdb_id,
            "title": titles.get(movie.tmdb_id),
            "release_date": movie.release_date.isoformat() if movie.release_date else None,
            **refresh_plan(strategy, states[movie.tmdb_id], now),
            "reason": "; ".join(f"{source}: {reason}" for source, reason in movie.reasons.items()),
            "why": "; ".join(f"{SOURCES[source].title}: {IN_WORDS[why]}" for source, why in movie.reasons.items()),
        }
        for movie in due
    ]


def next_due(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[str],
    now: datetime,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> tuple[date, int] | None:
    """The first day from `now` on, in UTC, at whose end movies will be due, and how many, if nothing happens till then.

    None: none will be within a year. Looks at one day after the other: a movie may be due on a day and, being older,
    no longer on a later one.
    """
    if not connection.execute("SELECT count(*) > 0 FROM refresh_metadata").fetchall()[0][0]:
        return None
    due = " OR ".join(strategy.due_sql(source) for source in sources)
    days, looked_at = _ends_of_days(now, _LOOK_AHEAD_DAYS), 0
    while looked_at < len(days):
        # Ever more days at once: most of what one costs is the question, unless there are very many movies.
        some = days[looked_at : 2 * looked_at + 1]
        looked_at += len(some)
        first = connection.execute(
            f"SELECT instant, count(*) FROM refresh_metadata, ({each_of('$ends', 'TIMESTAMP')}) AS days(instant)"
            f" WHERE {_at_each_instant(due)} GROUP BY instant ORDER BY instant LIMIT 1",
            {"ends": one_text(some)},
        ).fetchall()
        if first:
            ((instant, found),) = first
            return instant.date(), found
    return None


def _ends_of_days(now: datetime, number: int) -> list[datetime]:
    """The last instants (naive UTC) of so many days, from that of `now` on."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [naive_utc(midnight + timedelta(days=day + 1, microseconds=-1)) for day in range(number)]


def _at_each_instant(condition: str) -> str:
    """A strategy's SQL takes the instant as a parameter; here it is a column, so that one question asks for many."""
    return f"({condition.replace('$now', 'instant')})"


@dataclass(frozen=True)
class NothingDue:
    """Why no movie of a release year is due for a source."""

    reasons: Mapping[Reason, int]
    """How many movies are left alone for what."""
    until: date | None
    """The first day at whose end (UTC) one will be; None: none will be for `looked_ahead` days."""
    looked_ahead: int


def years_with_nothing_due(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    now: datetime,
    *,
    years: Collection[str] | None = None,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> dict[str, NothingDue]:
    """The release years with movies of which none is due for a source at `now`.

    How far is looked ahead goes by the number of movies, so that the file is held for a fraction of a second.
    """
    chosen = f"release_year IN ({each_of('$years')})" if years is not None else "TRUE"
    bound: dict[str, Any] = {"years": one_text(years)} if years is not None else {}
    rows = connection.execute(
        f"SELECT release_year, {strategy.reason_sql(source)}, count(*) FROM refresh_metadata WHERE {chosen}"
        " AND $now IS NOT NULL GROUP BY ALL ORDER BY ALL",
        {"now": naive_utc(now), **bound},
    ).fetchall()
    found: dict[str, dict[Reason, int]] = {}
    for year, reason, number in rows:
        found.setdefault(year, {})[Reason(reason)] = number
    idle = {year: reasons for year, reasons in found.items() if not set(reasons) & set(DUE_REASONS)}
    if not idle:
        return {}
    movies = sum(sum(reasons.values()) for reasons in idle.values())
    days = max(1, min(_LOOK_AHEAD_DAYS, _MOST_LOOKED_AT // movies))
    first = connection.execute(
        f"SELECT release_year, min(instant) FROM refresh_metadata, ({each_of('$ends', 'TIMESTAMP')}) AS days(instant)"
        f" WHERE release_year IN ({each_of('$years')}) AND {_at_each_instant(strategy.due_sql(source))} GROUP BY ALL",
        {"ends": one_text(_ends_of_days(now, days)), "years": one_text(idle)},
    ).fetchall()
    until = {year: instant.date() for year, instant in first}
    return {year: NothingDue(reasons, until.get(year), days) for year, reasons in idle.items()}


def explain_movie(
    connection: duckdb.DuckDBPyConnection,
    tmdb_id: int,
    now: datetime,
    strategy: Strategy = AGE_TABLE_STRATEGY,
    *,
    batch_limit: int | None = 100,
    hindrances: Mapping[str, str] | None = None,
    value: ValueOfRefreshStrategy | None = None,
) -> dict[str, Any] | None:
    """Why a movie is due or not, by source; None for an unknown movie.

    Args:
        connection: an open connection.
        tmdb_id: the movie.
        now: the instant (aware UTC).
        strategy: what decides.
        batch_limit: movies a run and source, which the order of a strategy may depend on; None: its rank is not
            worked out, which takes the order of all movies.
        hindrances: by source, why it may not be asked now, and until when.
        value: the numbers of the value of refresh; loaded where they are not at hand.
    """
    states = movie_states(connection, [tmdb_id])
    if not states:
        return None
    movie = states[0]
    if value is None:
        value = strategy if isinstance(strategy, ValueOfRefreshStrategy) else value_of_refresh(connection)
    sources = {}
    for source in SOURCES:
        decision = strategy.decide(movie, source, now)
        hindrance = (hindrances or {}).get(source) if decision.due else None
        known = _circumstances(connection, movie, decision, now, strategy, batch_limit, hindrance)
        sources[source] = _explained_source(movie, decision, now, strategy, value, known)
    return {
        "tmdb_id": tmdb_id,
        "title": movie_titles(connection, [tmdb_id]).get(tmdb_id),
        "release_date": movie.release_date.isoformat() if movie.release_date else None,
        "imdb_id": movie.imdb_id,
        "age": describe_age(movie, now),
        "strategy": strategy.name,
        "unchanged_cycles": movie.unchanged_cycles,
        "frozen": strategy.is_frozen(movie, now),
        "override": str(movie.override) if movie.override else None,
        "override_at": _iso(movie.override_at),
        "sources": sources,
    }


def _circumstances(
    connection: duckdb.DuckDBPyConnection,
    movie: MovieState,
    decision: Decision,
    now: datetime,
    strategy: Strategy,
    batch_limit: int | None,
    hindrance: str | None,
) -> Circumstances:
    """Rank and budget of a decision."""
    if batch_limit is None:
        return Circumstances(hindrance=hindrance)
    source, bound = decision.source, {"now": naive_utc(now), "limit": batch_limit, "tmdb_id": movie.tmdb_id}
    place = connection.execute(strategy.rank_query(source), bound).fetchall() if decision.due else []
    return Circumstances(
        rank=place[0][0] if place else None,
        due_total=due_counts(connection, (source,), now, strategy=strategy)[source],
        hindrance=hindrance,
    )


def _explained_source(
    movie: MovieState,
    decision: Decision,
    now: datetime,
    strategy: Strategy,
    value: ValueOfRefreshStrategy,
    known: Circumstances,
) -> dict[str, Any]:
    """A decision with its numbers; they are told for every strategy, but only words that rest on them quote them."""
    source, state = decision.source, movie.at(decision.source)
    worth = value.assess(movie, source, now)
    if strategy.name == value.name:
        known = replace(known, worth=worth, has_feed=source in value.feeds)
    return {
        "due": decision.due,
        "reason": str(decision.reason),
        "due_at": _iso(decision.due_at),
        "held_back": QUOTA_EXHAUSTED if known.hindrance else None,
        "last_attempt": _iso(state.attempted_at),
        "last_check": _iso(state.checked_at),
        "last_change": _iso(state.changed_at),
        "failures": state.failures,
        "signals": state.signals,
        "expected_changes": worth.expected_changes,
        "p_stale": worth.p_stale,
        "rate": worth.rate,
        "bucket_rate": worth.bucket_rate,
        "factor": worth.factor,
        "importance": worth.importance,
        "rank": known.rank,
        "due_total": known.due_total,
        "explanation": explain(movie, decision, now, known),
    }


def movie_titles(connection: duckdb.DuckDBPyConnection, ids: Collection[int]) -> dict[int, str]:
    """Titles of movies, by id: as the details have it, else the listing; none of a movie without either."""
    titles: dict[int, str] = {}
    for table in (TMDB_DETAILS, DISCOVERED_MOVIES):
        untitled = [tmdb_id for tmdb_id in ids if tmdb_id not in titles]
        these, bound = among(untitled)
        told = f"SELECT tmdb_id, title FROM {table.name} WHERE title IS NOT NULL AND {these}"
        titles.update(connection.execute(told, bound).fetchall())
    return titles


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds") if instant else None
