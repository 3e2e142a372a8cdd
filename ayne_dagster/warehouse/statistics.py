"""Counts of what the warehouse holds, and checks of what must hold. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import duckdb

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR, UNKNOWN_YEAR
from ayne_dagster.refresh.ages import category_sql
from ayne_dagster.refresh.states import fully_refreshed_sql
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, CATEGORIES, COLLECTED, Strategy
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import COLLECTION_STATUS, REFRESH_METADATA, Table


def collection_stats(
    connection: duckdb.DuckDBPyConnection, now: datetime, strategy: Strategy = AGE_TABLE_STRATEGY
) -> dict[str, int]:
    """How much is collected: the numbers of `ayne stats`, as of `now`; the strategy says who is frozen."""
    by_category = ", ".join(f"count(*) FILTER (WHERE {category_sql()} = '{name}') AS {name}" for name in CATEGORIES)
    row = connection.execute(
        f"""
        SELECT count(*) AS total_movies,
               (SELECT count(*) FROM tmdb_details) AS with_tmdb,
               (SELECT count(*) FROM omdb_ratings) AS with_omdb,
               (SELECT count(DISTINCT tmdb_id) FROM box_office) AS with_box_office,
               count(*) FILTER (WHERE {fully_refreshed_sql()}) AS fully_refreshed,
               count(*) FILTER (WHERE {strategy.frozen_sql()}) AS frozen,
               {by_category},
               (SELECT count(*) FROM quarantine) AS quarantined
        FROM refresh_metadata""",
        {"now": naive_utc(now)},
    ).fetchall()[0]
    sources = ("with_tmdb", "with_omdb", "with_box_office")
    names = ("total_movies", *sources, "fully_refreshed", "frozen", *CATEGORIES, "quarantined")
    return dict(zip(names, row, strict=True))


def record_stats(
    connection: duckdb.DuckDBPyConnection, now: datetime, strategy: Strategy = AGE_TABLE_STRATEGY
) -> dict[str, int]:
    """Count, and append the counts to `collection_status`; a second count at the same instant replaces the first."""
    stats = collection_stats(connection, now, strategy)
    connection.execute("DELETE FROM collection_status WHERE observed_at = $now", {"now": naive_utc(now)})
    insert_rows(connection, COLLECTION_STATUS, [{"observed_at": naive_utc(now), **stats}])
    return stats


def duplicate_keys(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """How many keys stand in more than one row (0 where the file enforces its keys)."""
    keys = ", ".join(table.key)
    query = f"SELECT count(*) FROM (SELECT 1 FROM {table.name} GROUP BY {keys} HAVING count(*) > 1)"
    return int(connection.execute(query).fetchall()[0][0])


def misplaced_rows(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """How many rows are not in the partition of their movie."""
    if table is REFRESH_METADATA:
        condition = (
            f"release_year IS DISTINCT FROM CASE WHEN year(release_date) BETWEEN {FIRST_YEAR} AND {LAST_YEAR}"
            f" THEN CAST(year(release_date) AS VARCHAR) ELSE '{UNKNOWN_YEAR}' END"
        )
        return int(connection.execute(f"SELECT count(*) FROM refresh_metadata WHERE {condition}").fetchall()[0][0])
    query = (
        f"SELECT count(*) FROM {table.name} AS t JOIN refresh_metadata AS m USING (tmdb_id)"
        " WHERE t.release_year IS DISTINCT FROM m.release_year"
    )
    return int(connection.execute(query).fetchall()[0][0])


def orphans(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """How many rows belong to no known movie."""
    query = f"SELECT count(*) FROM {table.name} ANTI JOIN refresh_metadata USING (tmdb_id)"
    return int(connection.execute(query).fetchall()[0][0])


def overdue_by_category(
    connection: duckdb.DuckDBPyConnection,
    now: datetime,
    sources: Collection[str] = COLLECTED,
    *,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> dict[str, int]:
    """How many movies are due for any of the sources by a rule that a sufficient budget satisfies, by age category."""
    due = " OR ".join(strategy.overdue_sql(source) for source in sources)
    rows = connection.execute(
        f"SELECT {category_sql()} AS category, count(*) FROM refresh_metadata WHERE {due} GROUP BY 1",
        {"now": naive_utc(now)},
    ).fetchall()
    return {**dict.fromkeys(CATEGORIES, 0), **dict(rows)}
