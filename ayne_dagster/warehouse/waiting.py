"""What waits to be asked for, and since when: two short questions a source, since the sensor puts them every minute.

Which movies are due is decided in `refresh.rules`, whether they are worth a run in `refresh.gathering`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import duckdb

from ayne_dagster.refresh.gathering import Waiting
from ayne_dagster.refresh.rules import backoff, forced_sql
from ayne_dagster.refresh.states import as_utc
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, Strategy, movie_state
from ayne_dagster.warehouse.rows import Row, naive_utc, read_rows
from ayne_dagster.warehouse.schema import REFRESH_METADATA


def waiting_at(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    now: datetime,
    limit: int,
    *,
    unspent_since: datetime | None = None,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> Waiting:
    """What waits at a source.

    Args:
        connection: an open connection.
        source: which source.
        now: the instant (aware UTC).
        limit: movies that may be asked for now.
        unspent_since: since when the requests for them could have been spent; None: there was always one.
        strategy: what decides.
    """
    if not limit:
        return Waiting((), None)
    bound = {"now": naive_utc(now)}
    due = strategy.due_sql(source)
    found = connection.execute(
        f"SELECT tmdb_id, {forced_sql(source)} FROM refresh_metadata WHERE {due} LIMIT {int(limit)}", bound
    ).fetchall()
    movies = frozenset(tmdb_id for tmdb_id, _ in found)
    if len(movies) < limit:
        since = _since(connection, source, movies, now, strategy) if movies else None
        since = max(since, unspent_since) if since and unspent_since else since
        return Waiting(movies, since, forced=any(forced for _, forced in found))
    # Requests are what is short. Which of the many has waited longest does not matter: they all wait for these.
    forced = connection.execute(
        f"SELECT tmdb_id FROM refresh_metadata WHERE {forced_sql(source)} AND {due} LIMIT 1", bound
    ).fetchall()
    return Waiting(movies, unspent_since or now, forced=bool(forced), lapses=unspent_since is not None)


def _since(
    connection: duckdb.DuckDBPyConnection, source: str, movies: Collection[int], now: datetime, strategy: Strategy
) -> datetime:
    """Since when the first of these movies has been due."""
    rows = read_rows(connection, REFRESH_METADATA, movies).values()
    return min((_due_since(row, source, now, strategy) for row in rows), default=now)


def _due_since(row: Row, source: str, now: datetime, strategy: Strategy) -> datetime:
    """By the rule that makes it due, and not before it had backed off from a failure."""
    movie = movie_state(row)
    state = movie.at(source)
    if state.attempted_at is None:
        return as_utc(row["first_seen_at"]) or now
    since = strategy.decide(movie, source, now).due_at or now
    return max(since, state.attempted_at + backoff(state.failures))
