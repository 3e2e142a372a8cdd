"""What the warehouse forgets of its own doings: old attempts become daily sums, old bodies go. Nothing of movies.

What is known of movies, and how it changed (`movie_history`), stays; what the terms of use forbid to keep is `purge`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.rows import naive_utc

LOG_KEPT = timedelta(days=400)
"""For so long each attempt is kept as it was, and what was noted of feeds and files: a year can be compared with the
year before. What is learned from attempts looks back less far (`rates.JUDGED_DAYS`)."""
STATUS_KEPT = timedelta(days=90)
"""For so long each observation is kept; then the last of each day."""
BODIES_KEPT = timedelta(days=30)
MOST_BODIES = 2_000
"""In quarantine, the latest: 125 MB where all are of full size."""
CHANGES_KEPT = timedelta(days=180)
"""TMDB's change feed names thousands of movies a day, most of them not ours; its terms allow six months."""

_SUMMED = "source, outcome, changed, due_because"


def thin(connection: duckdb.DuckDBPyConnection, now: datetime) -> dict[str, int]:
    """Thin out what is old, within an open transaction.

    Returns:
        How many rows went, by table; of `quarantine` also how many bodies.
    """
    at = {
        "log": naive_utc(now - LOG_KEPT),
        "status": naive_utc(now - STATUS_KEPT),
        "bodies": naive_utc(now - BODIES_KEPT),
        "changes": naive_utc(now - CHANGES_KEPT),
    }
    removed = {"fetch_log": _sum_up_attempts(connection, at["log"])}
    removed["collection_status"] = _delete(
        connection,
        "collection_status WHERE observed_at < $at AND observed_at NOT IN"
        " (SELECT max(observed_at) FROM collection_status GROUP BY CAST(observed_at AS DATE))",
        at["status"],
    )
    removed["freshness"] = _delete(
        connection,
        "freshness WHERE observed_at < $at AND observed_at NOT IN"
        " (SELECT max(observed_at) FROM freshness GROUP BY CAST(observed_at AS DATE))",
        at["status"],
    )
    removed["file_sizes"] = _delete(connection, "file_sizes WHERE day < CAST($at AS DATE)", at["log"])
    removed["quarantine"] = _delete(connection, "quarantine WHERE quarantined_at < $at", at["log"])
    removed["quarantined bodies"] = _drop_bodies(connection, at["bodies"])
    removed["tmdb_changes"] = _delete(connection, "tmdb_changes WHERE seen_at < $at", at["changes"])
    removed["change_feed_days"] = _delete(connection, "change_feed_days WHERE day < CAST($at AS DATE)", at["log"])
    # The next file is measured by the last one that was accepted, however old that is.
    removed["daily_files"] = _delete(
        connection,
        "daily_files WHERE day < CAST($at AS DATE) AND (name, day) NOT IN"
        " (SELECT (name, max(day)) FROM daily_files WHERE accepted GROUP BY name)",
        at["log"],
    )
    return removed


def _sum_up_attempts(connection: duckdb.DuckDBPyConnection, before: datetime) -> int:
    """Turn old attempts into daily sums, but each movie's last attempt and last success: `check` goes by them."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE superseded AS
        WITH last AS (
            SELECT tmdb_id, source, max(fetched_at) AS asked,
                   max(fetched_at) FILTER (WHERE outcome IN ('{Outcome.FETCHED}', '{Outcome.ABSENT}')) AS answered
            FROM fetch_log GROUP BY ALL
        )
        SELECT f.rowid AS row, CAST(fetched_at AS DATE) AS day, {_SUMMED}, requests
        FROM fetch_log AS f JOIN last USING (tmdb_id, source)
        WHERE fetched_at < $before
          AND ((fetched_at < asked AND fetched_at IS DISTINCT FROM answered)
               OR tmdb_id NOT IN (SELECT tmdb_id FROM refresh_metadata))""",
        {"before": before},
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sums AS
        SELECT day, {_SUMMED}, sum(attempts) AS attempts, sum(requests) AS requests
        FROM (
            SELECT day, {_SUMMED}, 1 AS attempts, requests FROM superseded
            UNION ALL
            SELECT day, {_SUMMED}, attempts, requests FROM fetch_log_daily SEMI JOIN superseded USING (day)
        )
        GROUP BY ALL"""
    )
    connection.execute("DELETE FROM fetch_log_daily WHERE day IN (SELECT day FROM superseded)")
    connection.execute("INSERT INTO fetch_log_daily BY NAME FROM sums")
    removed = connection.execute("DELETE FROM fetch_log WHERE rowid IN (SELECT row FROM superseded)").fetchall()
    connection.execute("DROP TABLE superseded")
    connection.execute("DROP TABLE sums")
    return int(removed[0][0])


def _drop_bodies(connection: duckdb.DuckDBPyConnection, before: datetime) -> int:
    """Bodies that are old, or that more than enough came after."""
    return int(
        connection.execute(
            "UPDATE quarantine SET body = NULL WHERE body IS NOT NULL AND (quarantined_at < $before OR quarantined_at <"
            " (SELECT min(quarantined_at) FROM (SELECT quarantined_at FROM quarantine WHERE body IS NOT NULL"
            f" ORDER BY quarantined_at DESC LIMIT {MOST_BODIES})))",
            {"before": before},
        ).fetchall()[0][0]
    )


def _delete(connection: duckdb.DuckDBPyConnection, what: str, at: datetime) -> int:
    return int(connection.execute(f"DELETE FROM {what}", {"at": at}).fetchall()[0][0])
