"""The titles of the movies that are known, under their keys: what rows from outside are matched with.

Keys are made anew each time: a table of them would have to follow every title, and a million take seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from ayne_dagster.warehouse.matching.keys import title_key
from ayne_dagster.warehouse.matching.same_work import Match
from ayne_dagster.warehouse.rows import each_of, one_text, registered

MAIN, OTHER = 0, 1
"""The title by which a movie is shown; its original title, or OMDb's, where that is another."""
_ROWS_AT_ONCE = 50_000
_TITLES = f"""
SELECT m.tmdb_id, CAST(year(m.release_date) AS SMALLINT) AS year, m.imdb_id, coalesce(d.title, l.title) AS title,
       coalesce(d.original_title, l.original_title) AS original_title, o.title AS omdb_title
FROM refresh_metadata AS m
LEFT JOIN discovered_movies AS l ON l.tmdb_id = m.tmdb_id
LEFT JOIN tmdb_details AS d ON d.tmdb_id = m.tmdb_id
LEFT JOIN omdb_ratings AS o ON o.tmdb_id = m.tmdb_id AND o.imdb_id = m.imdb_id
    AND o.match IS DISTINCT FROM '{Match.ANOTHER}'
WHERE m.tmdb_tombstoned_at IS NULL"""
SCHEMA = pa.schema(
    [
        ("tmdb_id", pa.int64()),
        ("year", pa.int16()),
        ("imdb_id", pa.string()),
        ("key", pa.string()),
        ("kind", pa.int8()),
    ]
)


def read_titles(connection: duckdb.DuckDBPyConnection, years: Collection[int] | None) -> pa.Table:
    """A row a movie: tmdb_id, year, imdb_id, and its titles. Keys are made when the warehouse is closed again.

    Args:
        connection: to the warehouse.
        years: the release years of the movies wanted; None for all, with those that have none.
    """
    within, bound = "", {}
    if years is not None:
        within = f" AND year(m.release_date) IN ({each_of('$years', 'BIGINT')})"
        bound = {"years": one_text(years)}
    return connection.execute(_TITLES + within, bound).to_arrow_table()


def keyed(titles: pa.Table) -> pa.Table:
    """A row a movie and title of it: tmdb_id, year, imdb_id, key, kind (MAIN or OTHER)."""
    return pa.Table.from_batches(map(_keyed, titles.to_batches(_ROWS_AT_ONCE)), SCHEMA)


def _keyed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Titles under their keys; one that has the key of a movie's main title adds nothing."""
    ids, years, imdb_ids, *titles = (column.to_pylist() for column in batch.columns)
    keys: list[str] = []
    kinds: list[int] = []
    places: list[int] = []
    for place, (title, original, of_omdb) in enumerate(zip(*titles, strict=True)):
        main = title_key(title) if title else None
        if main:
            keys.append(main)
            kinds.append(MAIN)
            places.append(place)
        if original in (title, None) and of_omdb in (title, None):  # mostly: a comparison is cheaper than a key
            continue
        for key in sorted({title_key(other) for other in (original, of_omdb) if other} - {main}):
            keys.append(key)
            kinds.append(OTHER)
            places.append(place)
    columns = ([ids[p] for p in places], [years[p] for p in places], [imdb_ids[p] for p in places], keys, kinds)
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def read_ids(
    connection: duckdb.DuckDBPyConnection, imdb_ids: Collection[str], tmdb_ids: Collection[int]
) -> tuple[dict[str, list[int]], dict[int, str | None]]:
    """The movies known under these ids: by IMDb id those that have it, by TMDB id the IMDb id of each."""
    by_imdb: dict[str, list[int]] = {}
    with registered(connection, "sought_ids", pa.table({"imdb_id": pa.array(sorted(imdb_ids), pa.string())})):
        for imdb_id, tmdb_id in connection.execute(
            "SELECT imdb_id, tmdb_id FROM refresh_metadata SEMI JOIN sought_ids USING (imdb_id)"
            " WHERE tmdb_tombstoned_at IS NULL ORDER BY ALL"
        ).fetchall():
            by_imdb.setdefault(imdb_id, []).append(tmdb_id)
    with registered(connection, "sought_ids", pa.table({"tmdb_id": pa.array(sorted(tmdb_ids), pa.int64())})):
        by_tmdb = dict(
            connection.execute(
                "SELECT tmdb_id, imdb_id FROM refresh_metadata SEMI JOIN sought_ids USING (tmdb_id)"
            ).fetchall()
        )
    return by_imdb, by_tmdb


@contextmanager
def beside(catalogue: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that has the catalogue as `titles`: the warehouse is not held while rows are matched."""
    with duckdb.connect(config={"threads": "2", "memory_limit": "512MB"}) as connection:
        connection.register("titles", catalogue)
        yield connection
