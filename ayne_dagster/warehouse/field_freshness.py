"""How fresh each kind of a source's fields probably is, by what its answers found changed. Decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import duckdb

from ayne_dagster.refresh.strategy import ValueOfRefreshStrategy
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import TABLE_OF

KINDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "tmdb": {"money": ("budget", "revenue")},
    "omdb": {
        "imdb_rating": ("imdb_rating",),
        "critics": ("metascore", "rotten_tomatoes_rating"),
        "money": ("box_office",),
        "awards": ("awards",),
        "credits": ("director", "writer", "actors"),
    },
}
"""By source, what is of interest by itself; all other fields that count as a change are `texts`."""
TEXTS = "texts"
JUDGED_DAYS, LEAST_CHANGES = 180, 50
"""What changes is judged by the answers of so many days, and by no fewer changed ones than so many."""


def field_freshness(
    connection: duckdb.DuckDBPyConnection, sources: Collection[str], now: datetime, value: ValueOfRefreshStrategy
) -> dict[str, dict[str, float]]:
    """By source and kind of field, the share of the checked movies whose copy is probably as it is there.

    Of a movie's expected changes as many concern a kind as did of the changes that were found. Sources of which too few
    changes were found to tell are left out.

    Args:
        connection: of the warehouse.
        sources: which are of interest.
        now: the instant (aware UTC).
        value: knows what is expected to have changed.
    """
    found = {}
    for source in KINDS.keys() & set(sources):
        touched = _touched(connection, source, now)
        if touched:
            kinds = ", ".join(f"avg(pow(fresh, ${kind})) AS {kind}" for kind in touched)
            (row,) = connection.execute(
                f"SELECT {kinds} FROM (SELECT {value.fresh_sql(source)} AS fresh FROM refresh_metadata"
                f" WHERE {source}_checked_at IS NOT NULL AND {source}_tombstoned_at IS NULL)",
                {"now": naive_utc(now), **touched},
            ).fetchall()
            found[source] = {
                kind: round(share, 4) for kind, share in zip(touched, row, strict=True) if share is not None
            }
    return {source: found[source] for source in sources if source in found}


def _touched(connection: duckdb.DuckDBPyConnection, source: str, now: datetime) -> dict[str, float]:
    """Of the answers that found something changed, the share that concerned each kind; empty where they are few."""
    counted = {field for fields in KINDS[source].values() for field in fields}
    texts = [field for field in TABLE_OF[source].significant if field not in counted]
    kinds = {kind: list(fields) for kind, fields in KINDS[source].items()} | {TEXTS: texts}
    cases = " ".join(f"WHEN list_contains(${kind}, field) THEN '{kind}'" for kind in kinds)
    rows = connection.execute(
        f"""
        WITH changed AS (
            SELECT tmdb_id, fetched_at AS changed_at FROM fetch_log
            WHERE source = $source AND outcome = 'fetched' AND changed AND days_since_check > 0
              AND fetched_at BETWEEN $since AND $now
        ), touched AS (
            SELECT DISTINCT tmdb_id, changed_at, CASE {cases} END AS kind
            FROM movie_history SEMI JOIN changed USING (tmdb_id, changed_at) WHERE source = $table
        )
        SELECT kind, count(*), (SELECT count(*) FROM (SELECT DISTINCT tmdb_id, changed_at FROM touched)) FROM touched
        WHERE kind IS NOT NULL GROUP BY kind""",
        {
            "source": source,
            "table": TABLE_OF[source].name,
            "now": naive_utc(now),
            "since": naive_utc(now - timedelta(days=JUDGED_DAYS)),
            **kinds,
        },
    ).fetchall()
    shares = {kind: answers / changed for kind, answers, changed in rows if changed >= LEAST_CHANGES}
    return {kind: shares.get(kind, 0.0) for kind in kinds} if shares else {}
