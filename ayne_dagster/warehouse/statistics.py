"""Counts of what the warehouse holds, and of what is overdue. What must hold of rows is in `row_checks`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from ayne_dagster.refresh.ages import category_sql
from ayne_dagster.refresh.states import as_utc, fully_refreshed_sql
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


def landmarks(connection: duckdb.DuckDBPyConnection, now: datetime) -> dict[str, datetime | date | None]:
    """When what last happened: `last_run` and `last_change` (aware UTC), and the day of the `newest_release`.

    A run counts when it has ended, with the observation that it makes then. Releases to come are left out, as is what
    was noted in the future, by a clock that was ahead. None: never.
    """
    (row,) = connection.execute(
        """
        SELECT (SELECT max(observed_at) FROM collection_status WHERE observed_at <= $now),
               (SELECT max(changed_at) FROM movie_history WHERE changed_at <= $now),
               (SELECT max(release_date) FROM refresh_metadata WHERE release_date <= CAST($now AS DATE))""",
        {"now": naive_utc(now)},
    ).fetchall()
    run, change, release = row
    return {"last_run": as_utc(run), "last_change": as_utc(change), "newest_release": release}


def record_stats(
    connection: duckdb.DuckDBPyConnection, now: datetime, strategy: Strategy = AGE_TABLE_STRATEGY
) -> dict[str, int]:
    """Count, and append the counts to `collection_status`; a second count at the same instant replaces the first."""
    stats = collection_stats(connection, now, strategy)
    connection.execute("DELETE FROM collection_status WHERE observed_at = $now", {"now": naive_utc(now)})
    insert_rows(connection, COLLECTION_STATUS, [{"observed_at": naive_utc(now), **stats}])
    return stats


FAILURES = ("failed", "unavailable", "quarantined", "incomplete")
"""Outcomes of an attempt that brought nothing of use."""


@dataclass(frozen=True)
class DaySoFar:
    """What a source was asked for on a day, and what is left to ask for."""

    requests: int
    changed: int
    """Answers in which something had changed."""
    failed: int
    due: int
    """Movies that are due for it."""
    checked: int
    """Movies that it has answered for."""
    in_time: int
    """Of these, those that are not overdue."""

    @property
    def share_in_time(self) -> float | None:
        """From 0 to 1; None while it has answered for none."""
        return round(self.in_time / self.checked, 4) if self.checked else None


def day_so_far(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[str], now: datetime, strategy: Strategy
) -> dict[str, DaySoFar]:
    """By source, the day (UTC) up to `now`, and how things stand at its end."""
    asked = {
        source: counts
        for source, *counts in connection.execute(
            "SELECT source, CAST(coalesce(sum(requests), 0) AS BIGINT), count(*) FILTER (WHERE changed),"
            f" count(*) FILTER (WHERE outcome IN {FAILURES}) FROM fetch_log"
            " WHERE fetched_at >= date_trunc('day', CAST($now AS TIMESTAMP)) AND fetched_at <= $now GROUP BY source",
            {"now": naive_utc(now)},
        ).fetchall()
    }
    counted = ", ".join(
        f"count(*) FILTER (WHERE {strategy.due_sql(s)}),"
        f" count({s}_checked_at) FILTER (WHERE {s}_tombstoned_at IS NULL),"
        f" count(*) FILTER (WHERE {s}_checked_at IS NOT NULL AND {s}_tombstoned_at IS NULL"
        f" AND NOT ({strategy.overdue_sql(s)}))"
        for s in sources
    )
    (row,) = connection.execute(f"SELECT {counted} FROM refresh_metadata", {"now": naive_utc(now)}).fetchall()
    return {s: DaySoFar(*asked.get(s, (0, 0, 0)), *row[3 * n : 3 * n + 3]) for n, s in enumerate(sources)}


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
