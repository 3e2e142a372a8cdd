"""How fresh the movies were: observed at most hourly, by source and age category, and told over time. Decides nothing.

What is observed is in `schema.FRESHNESS`. Of both measures, one is an estimate, by the rates learned, and one is what
later checks found: where they drift apart, the rates are wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from ayne_dagster.refresh.ages import category_sql
from ayne_dagster.refresh.strategy import SOURCES, Strategy, ValueOfRefreshStrategy
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.sampling import is_sampled, one_in
from ayne_dagster.warehouse.schema import FRESHNESS

OBSERVED_EVERY = timedelta(hours=1)
FOUND_WITHIN = timedelta(days=30)
"""How far back checks count for what they found."""
CATEGORY_OF_ALL = "all"


@dataclass(frozen=True)
class Observed:
    """Movies of a source and age category, or of all ages, at one observation."""

    observed_at: datetime
    """Naive UTC, as it is stored."""
    source: str
    category: str
    movies: int
    in_time: int
    likely_unchanged: float
    looked_again: int
    found_unchanged: int

    @property
    def shares(self) -> dict[str, float]:
        """From 0 to 1, each where there is something to share."""
        told: dict[str, float] = {}
        if self.movies:
            told |= {"in_time": self.in_time / self.movies, "likely_unchanged": self.likely_unchanged / self.movies}
        if self.looked_again:
            told["found_unchanged"] = self.found_unchanged / self.looked_again
        return told


def observe_freshness(
    connection: duckdb.DuckDBPyConnection,
    sources: Collection[str],
    now: datetime,
    strategy: Strategy,
    value: ValueOfRefreshStrategy,
) -> bool:
    """Observe, within an open transaction, unless that was done within the last hour.

    Args:
        connection: of the warehouse.
        sources: that are asked.
        now: the instant (aware UTC).
        strategy: which says what is overdue.
        value: whose rates say what has probably changed.

    Returns:
        Whether it was observed.
    """
    at = naive_utc(now)
    ((recently,),) = connection.execute(
        "SELECT count(*) > 0 FROM freshness WHERE observed_at > $since AND observed_at <= $now",
        {"since": naive_utc(now - OBSERVED_EVERY), "now": at},
    ).fetchall()
    if recently:
        return False
    ((known,),) = connection.execute("SELECT count(*) FROM refresh_metadata").fetchall()
    each = one_in(known)  # all of a million would take seconds, in which nobody else could commit
    found = _found(connection, now, each)
    rows = [
        {
            "observed_at": at,
            "source": source,
            "category": category,
            "movies": movies * each,
            "checked": checked * each,
            "in_time": in_time * each,
            "likely_unchanged": likely * each,
            "looked_again": found.get((source, category), (0, 0))[0] * each,
            "found_unchanged": found.get((source, category), (0, 0))[1] * each,
        }
        for source in sources
        for category, movies, checked, in_time, likely in _standing(connection, source, now, strategy, value, each)
    ]
    insert_rows(connection, FRESHNESS, rows)
    return True


def _standing(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    now: datetime,
    strategy: Strategy,
    value: ValueOfRefreshStrategy,
    each: int,
) -> Sequence[tuple[str, int, int, int, float]]:
    """By age category: movies that the source may be asked for, checked, in time, and probably as they were."""
    applies = f"{source}_tombstoned_at IS NULL" + (" AND imdb_id IS NOT NULL" if SOURCES[source].needs_imdb_id else "")
    checked = f"{source}_checked_at IS NOT NULL"
    rows = connection.execute(
        f"SELECT {category_sql()}, count(*), count({source}_checked_at),"
        f" count(*) FILTER (WHERE {checked} AND NOT ({strategy.overdue_sql(source)})),"
        f" coalesce(sum({value.fresh_sql(source)}) FILTER (WHERE {checked}), 0)::DOUBLE"
        f" FROM refresh_metadata WHERE {applies} AND {is_sampled(each)} GROUP BY 1",
        {"now": naive_utc(now)},
    ).fetchall()
    return [(str(row[0]), int(row[1]), int(row[2]), int(row[3]), float(row[4])) for row in rows]


def _found(connection: duckdb.DuckDBPyConnection, now: datetime, each: int) -> dict[tuple[str, str], tuple[int, int]]:
    """By source and category of now: checks that looked again lately, and of these, those that found nothing new."""
    rows = connection.execute(
        f"SELECT source, {category_sql()}, count(*), count(*) FILTER (WHERE NOT coalesce(changed, FALSE))"
        " FROM fetch_log JOIN refresh_metadata USING (tmdb_id) WHERE fetched_at > $since AND fetched_at <= $now"
        " AND outcome = 'fetched' AND days_since_check > 0"
        f" AND {is_sampled(each)} GROUP BY ALL",
        {"since": naive_utc(now - FOUND_WITHIN), "now": naive_utc(now)},
    ).fetchall()
    return {(str(row[0]), str(row[1])): (int(row[2]), int(row[3])) for row in rows}


def freshness_over_time(
    connection: duckdb.DuckDBPyConnection, now: datetime, over: timedelta = timedelta(days=365)
) -> list[Observed]:
    """The last observation of each day, by source, and by age category and of `all` ages; the oldest first."""
    rows = connection.execute(
        f"""
        SELECT observed_at, source, coalesce(category, '{CATEGORY_OF_ALL}') AS category, sum(movies)::BIGINT,
               sum(in_time)::BIGINT, sum(likely_unchanged), sum(looked_again)::BIGINT, sum(found_unchanged)::BIGINT
        FROM freshness
        WHERE observed_at IN (SELECT max(observed_at) FROM freshness WHERE observed_at > $since AND observed_at <= $now
                              GROUP BY CAST(observed_at AS DATE))
        GROUP BY GROUPING SETS ((observed_at, source, category), (observed_at, source))
        ORDER BY observed_at, source, category""",
        {"since": naive_utc(now - over), "now": naive_utc(now)},
    ).fetchall()
    return [Observed(*row) for row in rows]


def latest_freshness(connection: duckdb.DuckDBPyConnection, now: datetime) -> list[Observed]:
    """The last observation, as `freshness_over_time` has it; nothing where there is none of the last days."""
    seen = freshness_over_time(connection, now, timedelta(days=2))
    return [each for each in seen if each.observed_at == seen[-1].observed_at]
