"""Dropping what TMDB's terms of use forbid to keep: anything not fetched again for six months. Decides by age alone;
whether the clock is to be believed that makes it so old, `witness` tells.

https://www.themoviedb.org/api-terms-of-use, 1.C. The refresh rules ask again after 170 days, so on a warehouse that is
collected into regularly nothing is left to drop but movies that are gone, and old history.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from ayne_dagster.warehouse.following import following
from ayne_dagster.warehouse.questions import movie_titles
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import (
    APPENDED_PARTS,
    APPENDED_TABLES,
    COLLECTIONS,
    COMPANIES,
    CREDITS,
    DISCOVERED_MOVIES,
    ENTITIES_OF_MOVIES,
    MOVIE_COMPANIES,
    MOVIE_TABLES,
    PARTS_OF_MOVIES,
    PEOPLE,
    PROVIDERS,
    TMDB_DETAILS,
    WATCH_PROVIDERS,
    since_column,
)
from ayne_dagster.warehouse.store import Store

KEEP = timedelta(days=180)

_EXPIRED_DETAILS = "SELECT tmdb_id FROM refresh_metadata WHERE tmdb_checked_at < $cutoff"
_EXPIRED_MOVIES = """
SELECT tmdb_id FROM refresh_metadata
WHERE tmdb_checked_at IS NULL AND coalesce(last_seen_at, first_seen_at) < $cutoff"""
_OF_NO_MOVIE = "tmdb_id NOT IN (SELECT tmdb_id FROM refresh_metadata)"
_OF_A_MOVIE = tuple(table.name for table in MOVIE_TABLES)
_FROM_TMDB = "source IN ({})".format(
    ", ".join(f"'{name}'" for name in ("tmdb_details", "discovered_movies", *(t.name for t in PARTS_OF_MOVIES)))
)
_NAMED_BY = ((PEOPLE, CREDITS), (COMPANIES, MOVIE_COMPANIES), (COLLECTIONS, TMDB_DETAILS), (PROVIDERS, WATCH_PROVIDERS))
"""What movies share, and the table whose rows name it."""
EXAMPLES = 3
"""Told of each kind of what a purge would drop."""


@dataclass(frozen=True)
class Dropped:
    """Rows of a table that go for one reason."""

    table: str
    reason: str
    rows: int
    keys: tuple[int, ...] = ()
    """Of some of them: TMDB's number of the movie, person, company or series."""


@dataclass(frozen=True)
class Foretold:
    """What a purge would drop for one reason."""

    table: str
    reason: str
    rows: int
    examples: tuple[str, ...]
    """Some of what it would be: TMDB's number, and title or name where one is known."""


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
    go as old, and with a movie that is gone at TMDB, and with them the people and companies that no other movie names;
    videos and the like by when that part was told.

    Returns:
        How many rows went, by table.
    """
    dropped: dict[str, int] = {}
    for part in _drop(connection, now, 0):
        dropped[part.table] = dropped.get(part.table, 0) + part.rows
    return dropped


def foretell(database: Store, now: datetime) -> list[Foretold]:
    """What `purge` would drop now, by reason; nothing is changed.

    It is the purge itself, rolled back: of a file on a copy, so that no run waits for it; of a lake in its turn, and
    commits wait meanwhile.

    Raises:
        WarehouseError: no copy can be made, or the database has an older schema.
    """
    with closing(following(database)) as follower, follower.apart() as copy:
        with copy.rehearsal() as connection:
            parts = [part for part in _drop(connection, now, EXAMPLES) if part.rows]
        with copy.connect(read_only=True) as connection:
            return [
                Foretold(part.table, part.reason, part.rows, tuple(_named(connection, part.table, part.keys)))
                for part in parts
            ]


def _named(connection: duckdb.DuckDBPyConnection, table: str, keys: tuple[int, ...]) -> list[str]:
    """Numbers with the title or name of what they stand for, where it has one."""
    shared = {named.name: named.key[0] for named, _ in _NAMED_BY}
    if key := shared.get(table):
        sql = f"SELECT {key}, name FROM {table} WHERE {key} IN (SELECT unnest($keys))"
        names = dict(connection.execute(sql, {"keys": list(keys)}).fetchall())
    else:
        names = movie_titles(connection, keys)
    return [f"{key} {names.get(key) or ''}".rstrip() for key in keys]


def _drop(connection: duckdb.DuckDBPyConnection, now: datetime, examples: int) -> Iterator[Dropped]:
    """Drop what is too old, part by part; each part must be asked for, since later ones rest on earlier ones."""
    cutoff = {"cutoff": naive_utc(now - KEEP)}
    days = f"for {KEEP.days} days"
    drop = _Dropping(connection, cutoff, examples)
    yield drop("tmdb_details", f"TMDB has not answered {days}", f"tmdb_id IN ({_EXPIRED_DETAILS})")
    connection.execute(
        "UPDATE refresh_metadata SET tmdb_checked_at = NULL, tmdb_details_hash = NULL, tmdb_details_since = NULL,"
        " imdb_id = NULL WHERE tmdb_checked_at < $cutoff",
        cutoff,
    )
    # Details too: those that never came with all of their parts are no check, and have none to expire.
    for table in (*_OF_A_MOVIE, "refresh_metadata"):
        yield drop(table, f"the movie was neither listed nor answered {days}", f"tmdb_id IN ({_EXPIRED_MOVIES})")
    yield from _drop_parts(drop)
    yield from _drop_entities(drop)
    old = f"older than {KEEP.days} days"
    yield drop("tmdb_changes", f"told by TMDB's change feed, {old}", "seen_at < $cutoff")
    yield drop("code_names", f"TMDB has not listed the code {days}", "listed_at < $cutoff", "NULL")
    yield drop("tmdb_id_export", f"not in TMDB's ID export {days}", "last_listed_on < $cutoff")
    _history_begins_later(connection, cutoff)
    yield drop("movie_history", f"a change at TMDB, {old}", f"changed_at < $cutoff AND {_FROM_TMDB}")
    yield drop("movie_history", "its movie is gone", _OF_NO_MOVIE)
    yield drop("quarantine", f"an answer of TMDB, {old}", "quarantined_at < $cutoff AND source = 'tmdb'")


@dataclass(frozen=True)
class _Dropping:
    """Deletes the rows that a condition names, having looked at some of them."""

    connection: duckdb.DuckDBPyConnection
    cutoff: dict[str, datetime]
    examples: int

    def __call__(self, table: str, reason: str, condition: str, key: str = "tmdb_id") -> Dropped:
        bound = self.cutoff if "$cutoff" in condition else {}
        keys: list[tuple[int]] = []
        if self.examples:
            some = f"SELECT DISTINCT {key} FROM {table} WHERE {condition} ORDER BY 1 NULLS LAST LIMIT {self.examples}"
            keys = self.connection.execute(some, bound).fetchall()
        rows = self.connection.execute(f"DELETE FROM {table} WHERE {condition}", bound).fetchall()[0][0]
        return Dropped(table, reason, int(rows), tuple(found for (found,) in keys if found is not None))


def _drop_parts(drop: _Dropping) -> Iterator[Dropped]:
    """Videos and the like: what TMDB has not told again, also because it was asked for no more, and of movies that
    expired or are gone.
    """
    gone = "SELECT tmdb_id FROM refresh_metadata WHERE tmdb_details_hash IS NULL OR tmdb_tombstoned_at IS NOT NULL"
    why = f"TMDB has not told that part for {KEEP.days} days, or the movie's details expired"
    expired = f"checked_at < $cutoff OR tmdb_id IN ({gone}) OR {_OF_NO_MOVIE}"
    yield drop(APPENDED_PARTS.name, why, expired)
    for table in APPENDED_TABLES:
        told = f"SELECT tmdb_id FROM appended_parts WHERE part = '{table.name}'"
        yield drop(table.name, why, f"tmdb_id NOT IN ({told})")


def _drop_entities(drop: _Dropping) -> Iterator[Dropped]:
    """Credits, releases and the like: of movies that expired or are gone at TMDB, and what no movie names any more."""
    drop.connection.execute(
        "UPDATE refresh_metadata SET entities_hash = NULL, entities_checked_at = NULL WHERE entities_hash IS NOT NULL"
        " AND (tmdb_details_hash IS NULL OR entities_checked_at < $cutoff OR tmdb_tombstoned_at IS NOT NULL)",
        drop.cutoff,
    )
    kept = "SELECT tmdb_id FROM refresh_metadata WHERE entities_hash IS NOT NULL"
    for table in ENTITIES_OF_MOVIES:
        yield drop(table.name, "the movie's details expired, or TMDB holds it no more", f"tmdb_id NOT IN ({kept})")
    for table, naming in _NAMED_BY:
        key = table.key[0]
        named = f"SELECT {key} FROM {naming.name} WHERE {key} IS NOT NULL"
        yield drop(table.name, "no movie names it any more", f"{key} NOT IN ({named})", key)


def _history_begins_later(connection: duckdb.DuckDBPyConnection, cutoff: dict[str, datetime]) -> None:
    """Note that history of TMDB's is whole only from the last change on that is about to be dropped."""
    details, listing = since_column(TMDB_DETAILS), since_column(DISCOVERED_MOVIES)
    connection.execute(
        f"""
        UPDATE refresh_metadata SET
            {details} = CASE WHEN {details} < c.of_details THEN c.of_details ELSE {details} END,
            {listing} = CASE WHEN {listing} < c.of_listing THEN c.of_listing ELSE {listing} END
        FROM (
            SELECT tmdb_id, max(changed_at) FILTER (source = 'tmdb_details') AS of_details,
                   max(changed_at) FILTER (source = 'discovered_movies' OR field = 'release_date') AS of_listing
            FROM movie_history WHERE changed_at < $cutoff AND source IN ('tmdb_details', 'discovered_movies')
            GROUP BY tmdb_id
        ) AS c
        WHERE refresh_metadata.tmdb_id = c.tmdb_id""",
        cutoff,
    )
