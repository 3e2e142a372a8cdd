"""Counts of what the warehouse holds, and of what is overdue. What must hold of rows is in `row_checks`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import duckdb

from ayne_dagster.refresh.ages import category_sql
from ayne_dagster.refresh.states import fully_refreshed_sql
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, CATEGORIES, COLLECTED, Strategy
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import COLLECTION_STATUS


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


def overdue_by_category(
    connection: duckdb.DuckDBPyConnection,
    now: datetime,
    sources: Collection[str] = COLLECTED,
    *,
    strategy: Strategy = AGE_TABLE_STRATEGY,
    patience: timedelta = timedelta(0),
) -> dict[str, int]:
    """How many movies are due for any of the sources by a rule that a sufficient budget satisfies, by age category.

    Args:
        connection: of the warehouse.
        now: the instant to count at (aware UTC).
        sources: which count.
        strategy: whose rule it is.
        patience: for how long they must have been due already.
    """
    due = " OR ".join(strategy.overdue_sql(source) for source in sources)
    before = due.replace("$now", "$then")
    rows = connection.execute(
        f"SELECT {category_sql()} AS category, count(*) FROM refresh_metadata"
        f" WHERE ({due}) AND ({before}) AND coalesce(first_seen_at <= $then, TRUE) GROUP BY 1",
        {"now": naive_utc(now), "then": naive_utc(now - patience)},
    ).fetchall()
    return {**dict.fromkeys(CATEGORIES, 0), **dict(rows)}
