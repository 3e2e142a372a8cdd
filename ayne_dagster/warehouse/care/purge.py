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
from ayne_dagster.warehouse.schema import (
    COLLECTIONS,
    COMPANIES,
    CREDITS,
    ENTITIES_OF_MOVIES,
    MOVIE_COMPANIES,
    MOVIE_TABLES,
    PEOPLE,
    TMDB_DETAILS,
)

KEEP = timedelta(days=180)

_EXPIRED_DETAILS = "SELECT tmdb_id FROM refresh_metadata WHERE tmdb_checked_at < $cutoff"
_EXPIRED_MOVIES = """
SELECT tmdb_id FROM refresh_metadata
WHERE tmdb_checked_at IS NULL AND coalesce(last_seen_at, first_seen_at) < $cutoff"""
_OF_NO_MOVIE = "tmdb_id NOT IN (SELECT tmdb_id FROM refresh_metadata)"
_OF_A_MOVIE = tuple(table.name for table in MOVIE_TABLES)
_FROM_TMDB = "source IN ({})".format(
    ", ".join(f"'{name}'" for name in ("tmdb_details", "discovered_movies", *(t.name for t in ENTITIES_OF_MOVIES)))
)
_NAMED_BY = ((PEOPLE, CREDITS), (COMPANIES, MOVIE_COMPANIES), (COLLECTIONS, TMDB_DETAILS))
"""What movies share, and the table whose rows name it."""


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
    has shown for that long either goes altogether, with what other sources said of it. Credits, releases and the like
    go as old, and with a movie that is gone at TMDB, and with them the people and companies that no other movie names.

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
    dropped |= _drop_entities(connection, cutoff)
    dropped["tmdb_changes"] = _delete(connection, "tmdb_changes WHERE seen_at < $cutoff", cutoff)
    dropped["tmdb_id_export"] = _delete(connection, "tmdb_id_export WHERE last_listed_on < $cutoff", cutoff)
    dropped["movie_history"] = _delete(connection, f"movie_history WHERE changed_at < $cutoff AND {_FROM_TMDB}", cutoff)
    dropped["movie_history"] += _delete(connection, f"movie_history WHERE {_OF_NO_MOVIE}", {})
    dropped["quarantine"] = _delete(connection, "quarantine WHERE quarantined_at < $cutoff AND source = 'tmdb'", cutoff)
    return dropped


def _drop_entities(connection: duckdb.DuckDBPyConnection, cutoff: dict[str, datetime]) -> dict[str, int]:
    """Credits, releases and the like: of movies that expired or are gone at TMDB, and what no movie names any more."""
    connection.execute(
        "UPDATE refresh_metadata SET entities_hash = NULL, entities_checked_at = NULL WHERE entities_hash IS NOT NULL"
        " AND (tmdb_details_hash IS NULL OR entities_checked_at < $cutoff OR tmdb_tombstoned_at IS NOT NULL)",
        cutoff,
    )
    kept = "SELECT tmdb_id FROM refresh_metadata WHERE entities_hash IS NOT NULL"
    dropped = {
        table.name: _delete(connection, f"{table.name} WHERE tmdb_id NOT IN ({kept})", {})
        for table in ENTITIES_OF_MOVIES
    }
    for table, naming in _NAMED_BY:
        key = table.key[0]
        named = f"SELECT {key} FROM {naming.name} WHERE {key} IS NOT NULL"
        dropped[table.name] = _delete(connection, f"{table.name} WHERE {key} NOT IN ({named})", {})
    return dropped


def _delete(connection: duckdb.DuckDBPyConnection, what: str, parameters: dict[str, datetime]) -> int:
    return int(connection.execute(f"DELETE FROM {what}", parameters).fetchall()[0][0])
