"""Refresh state in the warehouse: due movies, overrides, derived columns. The rules themselves are in `refresh`."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

import duckdb

from ayne_dagster.refresh.ages import category_sql
from ayne_dagster.refresh.states import fully_refreshed_sql
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    COLLECTED,
    SOURCES,
    MovieState,
    Override,
    Reason,
    Strategy,
    movie_state,
)
from ayne_dagster.warehouse.rates import learn_if_due, renew_rates, usual_popularity
from ayne_dagster.warehouse.rows import Row, among, each_of, id_table, naive_utc, one_text, registered
from ayne_dagster.warehouse.schema import REFRESH_METADATA, TABLE_OF

_FETCHED_AT_ONCE = 5_000
_COUNTERS = ("failures", "exposure", "changes", "signals")
_UNKNOWN: Row = {
    **dict.fromkeys(REFRESH_METADATA.column_names),
    "unchanged_cycles": 0,
    **{f"{source}_{name}": 0 for source in SOURCES for name in _COUNTERS},
}
"""The row of a movie of which nothing is known."""


@dataclass(frozen=True, slots=True)
class DueMovie:
    """A movie that is due, and why, by source."""

    tmdb_id: int
    release_year: str
    release_date: date | None
    imdb_id: str | None
    reasons: Mapping[str, Reason]


@dataclass(frozen=True, slots=True)
class DerivedYear:
    """What was worked out of a release year's movies."""

    movies: int
    """How many it has."""
    updated: int
    """Rows that came out otherwise than before."""
    newly_frozen: int
    frozen: int
    reasons: dict[str, int]
    """Movies by reason, for each collected source: `tmdb_never_fetched` …"""


def new_state_row(tmdb_id: int, at: datetime, release_year: str) -> Row:
    """The row of refresh_metadata of a movie never heard of before."""
    return {**_UNKNOWN, "tmdb_id": tmdb_id, "release_year": release_year, "first_seen_at": naive_utc(at)}


@cache
def _names_of_times(source: str) -> tuple[tuple[str, str], ...]:
    """The times in a `SourceState`, and the columns that hold them."""
    times = ("attempted_at", "checked_at", "changed_at", "missing_since", "tombstoned_at", "signalled_at")
    return tuple((name, f"{source}_{name}") for name in (*times, "recheck_at", "parts_due_at"))


def state_columns(state: MovieState, source: str) -> Row:
    """The columns of refresh_metadata that an answer from a source can change."""
    at_source = state.at(source)
    columns: Row = {"unchanged_cycles": state.unchanged_cycles}
    for name, column in _names_of_times(source):
        at = getattr(at_source, name)
        columns[column] = None if at is None else naive_utc(at)
    for name in (*_COUNTERS, "rate"):
        columns[f"{source}_{name}"] = getattr(at_source, name)
    return columns


def due_movies(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[str],
    now: datetime,
    limit: int,
    *,
    years: Collection[str] | None = None,
    ids: Collection[int] | None = None,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> list[DueMovie]:
    """The movies due for any of the sources at `now`, in the order in which to ask for them.

    Args:
        connection: an open connection.
        sources: which sources to look at.
        now: the instant (aware UTC).
        limit: how many movies at most.
        years: only movies of these partitions.
        ids: only these movies.
        strategy: what decides.
    """
    within, parameters = _within(years, ids)
    found = connection.execute(
        strategy.due_query(tuple(sources), within=within), {"now": naive_utc(now), "limit": limit, **parameters}
    )
    due: list[DueMovie] = []
    # A run may take 100,000 movies: the few different reasons and years are shared, and no second list is made.
    reasons: dict[tuple[str, ...], Mapping[str, Reason]] = {}
    while rows := found.fetchmany(_FETCHED_AT_ONCE):
        for tmdb_id, year, released, imdb_id, *codes in rows:
            why = reasons.setdefault(tuple(codes), dict(zip(sources, map(Reason, codes), strict=True)))
            due.append(DueMovie(tmdb_id, sys.intern(year), released, imdb_id, why))
    return due


def askable_movies(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    limit: int,
    *,
    years: Collection[str] | None = None,
    ids: Collection[int] | None = None,
) -> list[DueMovie]:
    """The movies that a source can be asked for by a person's wish, due or not; those not checked for longest first.

    Left out is what is gone there, what it cannot be asked for without an IMDb id, and what a person has frozen.

    Args:
        connection: an open connection.
        source: which source.
        limit: how many movies at most.
        years: only movies of these partitions.
        ids: only these movies.
    """
    within, parameters = _within(years, ids)
    conditions = [f"{source}_tombstoned_at IS NULL", f"override IS DISTINCT FROM '{Override.FREEZE}'"]
    conditions += ["imdb_id IS NOT NULL"] if SOURCES[source].needs_imdb_id else []
    conditions += [within] if within else []
    rows = connection.execute(
        f"SELECT tmdb_id, release_year, release_date, imdb_id FROM refresh_metadata WHERE {' AND '.join(conditions)}"
        f" ORDER BY {source}_checked_at NULLS FIRST, tmdb_id LIMIT $limit",
        {"limit": limit, **parameters},
    ).fetchall()
    by_hand = {source: Reason.MANUAL}
    return [DueMovie(tmdb_id, year, released, imdb_id, by_hand) for tmdb_id, year, released, imdb_id in rows]


def reasons_now(
    connection: duckdb.DuckDBPyConnection,
    ids: Collection[int],
    source: str,
    now: datetime,
    *,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> dict[Reason, int]:
    """Why these movies are due for a source at `now`, or why not, as far as they are known: how many of each reason."""
    with registered(connection, "incoming_ids", id_table(ids)):
        rows = connection.execute(
            f"SELECT {strategy.reason_sql(source)}, count(*) FROM refresh_metadata SEMI JOIN incoming_ids"
            " USING (tmdb_id) WHERE $now IS NOT NULL GROUP BY ALL",
            {"now": naive_utc(now)},
        ).fetchall()
    return {Reason(reason): number for reason, number in rows}


def due_counts(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[str],
    now: datetime,
    *,
    years: Collection[str] | None = None,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> dict[str, int]:
    """How many movies are due, by source, and as `any_source` for any of them."""
    within, parameters = _within(years, None)
    row = connection.execute(
        strategy.due_count_query(tuple(sources), within=within), {"now": naive_utc(now), **parameters}
    ).fetchall()[0]
    return dict(zip((*sources, "any_source"), row, strict=True))


def due_by_year(
    connection: duckdb.DuckDBPyConnection, source: str, now: datetime, *, strategy: Strategy = AGE_TABLE_STRATEGY
) -> dict[str, int]:
    """How many movies are due for a source, by release year."""
    rows = connection.execute(
        f"SELECT release_year, count(*) FROM refresh_metadata WHERE {strategy.due_sql(source)} GROUP BY release_year",
        {"now": naive_utc(now)},
    ).fetchall()
    return dict(rows)


def answered_before(connection: duckdb.DuckDBPyConnection, source: str) -> list[Any]:
    """The two movies that a source answered last, by the id that it is asked with: what it surely has, if it works."""
    table, by = TABLE_OF[source], "imdb_id" if SOURCES[source].needs_imdb_id else "tmdb_id"
    of_the_same = f" AND t.{by} = m.{by}" if by in table.types else ""
    titled = " AND t.title IS NOT NULL" if "title" in table.types else ""
    rows = connection.execute(
        f"SELECT m.{by} FROM {table.name} AS t JOIN refresh_metadata AS m USING (tmdb_id)"
        f" WHERE m.{source}_checked_at IS NOT NULL AND m.{source}_failures = 0"
        f"{of_the_same}{titled}"
        f" ORDER BY m.{source}_checked_at DESC, tmdb_id LIMIT 2"
    ).fetchall()
    return [row[0] for row in reversed(rows)]


def _within(years: Collection[str] | None, ids: Collection[int] | None) -> tuple[str | None, dict[str, Any]]:
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    if years is not None:
        conditions.append(f"release_year IN ({each_of('$years')})")
        parameters["years"] = one_text(years)
    if ids is not None:
        conditions.append(f"tmdb_id IN ({each_of('$ids', 'BIGINT')})")
        parameters["ids"] = one_text(ids)
    return " AND ".join(conditions) or None, parameters


def movie_states(connection: duckdb.DuckDBPyConnection, ids: Collection[int]) -> list[MovieState]:
    """The refresh states of these movies, as far as they are known."""
    columns = ", ".join(REFRESH_METADATA.column_names)
    these, bound = among(ids)
    rows = connection.execute(
        f"SELECT {columns} FROM refresh_metadata WHERE {these} ORDER BY tmdb_id", bound
    ).fetchall()
    return [movie_state(dict(zip(REFRESH_METADATA.column_names, row, strict=True))) for row in rows]


def set_override(
    connection: duckdb.DuckDBPyConnection, ids: Collection[int], override: Override, now: datetime
) -> set[int]:
    """Freeze, thaw or force movies by hand; returns the ids that are known.

    A thaw starts the count of unchanged cycles anew: the movie is refreshed again until it proves stable again. A
    force of a movie that was frozen by hand makes it due once, and leaves it frozen.
    """
    by_override: dict[Override, list[int]] = {}
    for state in movie_states(connection, ids):
        by_override.setdefault(Override.after(state.override, override), []).append(state.tmdb_id)
    cycles = ", unchanged_cycles = 0" if override is Override.THAW else ""
    for new, movies in by_override.items():
        with registered(connection, "incoming_ids", id_table(movies)):
            connection.execute(
                f"UPDATE refresh_metadata SET override = $override, override_at = $now{cycles}"
                " WHERE tmdb_id IN (SELECT tmdb_id FROM incoming_ids)",
                {"override": str(new), "now": naive_utc(now)},
            )
    return {tmdb_id for movies in by_override.values() for tmdb_id in movies}


def derive_columns(
    connection: duckdb.DuckDBPyConnection,
    now: datetime,
    *,
    years: Collection[str] | None = None,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> dict[str, DerivedYear]:
    """Work out anew, where they changed: category, fully_refreshed, frozen, reasons, rates and importance.

    Once a week the rates of buckets are corrected first by what was found (`warehouse.rates`).

    Returns:
        What came out, by release year.
    """
    popularity = usual_popularity(connection)
    learn_if_due(connection, now, popularity)
    within, parameters = _within(years, None)
    renew_rates(
        connection, now, popularity, within=within, parameters=parameters, popularity_share=strategy.popularity_share
    )
    where = f" AND {within}" if within else ""
    bound = {"now": naive_utc(now), **parameters}
    frozen = connection.execute(
        "SELECT release_year, count(*) FROM refresh_metadata"
        f" WHERE {strategy.frozen_sql()} AND NOT coalesce(frozen, FALSE) AND $now IS NOT NULL{where}"
        " GROUP BY release_year",
        bound,
    ).fetchall()
    derived = {
        "category": category_sql(),
        "fully_refreshed": fully_refreshed_sql(),
        "frozen": strategy.frozen_sql(),
        **{f"{source}_reason": strategy.reason_sql(source) for source in SOURCES},
    }
    assignments = ", ".join(f"{column} = {sql}" for column, sql in derived.items())
    differs = " OR ".join(f"{column} IS DISTINCT FROM {sql}" for column, sql in derived.items())
    connection.execute(f"UPDATE refresh_metadata SET {assignments}, decided_at = $now WHERE ({differs}){where}", bound)
    return _report(connection, dict(frozen), where, bound)


def _report(
    connection: duckdb.DuckDBPyConnection, newly_frozen: Mapping[str, int], where: str, bound: Mapping[str, Any]
) -> dict[str, DerivedYear]:
    """What `derive_columns` tells, read from what it has written."""
    rows = connection.execute(
        "SELECT release_year, count(*), count(*) FILTER (WHERE decided_at = $now), count(*) FILTER (WHERE frozen)"
        f" FROM refresh_metadata WHERE TRUE{where} GROUP BY release_year",
        bound,
    ).fetchall()
    report = {
        year: DerivedYear(movies, updated, newly_frozen.get(year, 0), frozen, {})
        for year, movies, updated, frozen in rows
    }
    for source in COLLECTED:
        for year, reason, movies in connection.execute(
            f"SELECT release_year, {source}_reason, count(*) FROM refresh_metadata"
            f" WHERE $now IS NOT NULL{where} GROUP BY ALL ORDER BY ALL",
            bound,
        ).fetchall():
            report[year].reasons[f"{source}_{reason}"] = movies
    return report
