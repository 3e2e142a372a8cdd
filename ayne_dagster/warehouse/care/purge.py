"""Dropping what TMDB's terms of use forbid to keep: anything not fetched again for six months. Decides by age alone;
whether the clock is to be believed that makes it so old, `witness` tells.

https://www.themoviedb.org/api-terms-of-use, 1.C. The refresh rules ask again after 170 days, so on a warehouse that is
collected into regularly nothing is left to drop but movies that are gone, and old history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import MOVIE_TABLES

KEEP = timedelta(days=180)

_EXPIRED_DETAILS = "SELECT tmdb_id FROM refresh_metadata WHERE tmdb_checked_at < $cutoff"
_EXPIRED_MOVIES = """
SELECT tmdb_id FROM refresh_metadata
WHERE tmdb_checked_at IS NULL AND coalesce(last_seen_at, first_seen_at) < $cutoff"""
_OF_NO_MOVIE = "tmdb_id NOT IN (SELECT tmdb_id FROM refresh_metadata)"
_OF_A_MOVIE = tuple(table.name for table in MOVIE_TABLES)
_FROM_TMDB = "source IN ('tmdb_details', 'discovered_movies')"


@dataclass(frozen=True)
class Expiring:
    """How much a purge would drop, and of how much."""

    details: int
    """Movies that would lose their details."""
    all_details: int
    movies: int
    """Movies that would go altogether."""
    all_movies: int


def expiring(connection: duckdb.DuckDBPyConnection, now: datetime) -> Expiring:
    """What `purge` would drop now; nothing is changed."""
    details = "tmdb_checked_at < $cutoff"
    movies = f"coalesce({details}, TRUE) AND coalesce(last_seen_at, first_seen_at) < $cutoff"
    row = connection.execute(
        f"SELECT count(*) FILTER (WHERE {details}), count(tmdb_checked_at), count(*) FILTER (WHERE {movies}), count(*)"
        " FROM refresh_metadata",
        {"cutoff": naive_utc(now - KEEP)},
    ).fetchall()[0]
    return Expiring(*row)


def purge(connection: duckdb.DuckDBPyConnection, now: datetime) -> dict[str, int]:
    """Drop what is older than 180 days, within an open transaction.

    Details go with the IMDb id that came with them; the movie is then due as if never fetched. A movie that no listing
    has shown for that long either goes altogether, with what other sources said of it.

    Returns:
        How many rows went, by table.
    """
    cutoff = {"cutoff": naive_utc(now - KEEP)}
    dropped = {"tmdb_details": _delete(connection, f"tmdb_details WHERE tmdb_id IN ({_EXPIRED_DETAILS})", cutoff)}
    connection.execute(
        "UPDATE refresh_metadata SET tmdb_checked_at = NULL, tmdb_details_hash = NULL, imdb_id = NULL"
        " WHERE tmdb_checked_at < $cutoff",
        cutoff,
    )
    # Details too: those that never came with all of their parts are no check, and have none to expire.
    for table in (*_OF_A_MOVIE, "refresh_metadata"):
        gone = _delete(connection, f"{table} WHERE tmdb_id IN ({_EXPIRED_MOVIES})", cutoff)
        dropped[table] = dropped.get(table, 0) + gone
    dropped["tmdb_changes"] = _delete(connection, "tmdb_changes WHERE seen_at < $cutoff", cutoff)
    dropped["tmdb_id_export"] = _delete(connection, "tmdb_id_export WHERE last_listed_on < $cutoff", cutoff)
    dropped["movie_history"] = _delete(connection, f"movie_history WHERE changed_at < $cutoff AND {_FROM_TMDB}", cutoff)
    dropped["movie_history"] += _delete(connection, f"movie_history WHERE {_OF_NO_MOVIE}", {})
    dropped["quarantine"] = _delete(connection, "quarantine WHERE quarantined_at < $cutoff AND source = 'tmdb'", cutoff)
    return dropped


def _delete(connection: duckdb.DuckDBPyConnection, what: str, parameters: dict[str, datetime]) -> int:
    return int(connection.execute(f"DELETE FROM {what}", parameters).fetchall()[0][0])
