"""Rates of change, importance and the feeds' quality, as learned from what was found. The arithmetic is in `refresh`.

Rates of buckets are corrected weekly by all answers since they began; feeds are judged by the fetch log. Both are
worked out anew from what is stored, so that doing it twice is doing it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from ayne_dagster.refresh.ages import AGE_TABLE, by_age_sql, category_sql
from ayne_dagster.refresh.feeds import (
    DAY_IN_MICROSECONDS,
    FIRST_PRECISION,
    FIRST_RECALL,
    Feed,
    blind_microseconds_sql,
    double_sql,
)
from ayne_dagster.refresh.learning import (
    HIGHEST_BUCKET,
    HIGHEST_RATE,
    LOWEST_BUCKET,
    LOWEST_RATE,
    NOTICEABLE,
    RECALIBRATE_AFTER_DAYS,
    buckets,
    correction,
    importance_sql,
    popularity_bucket_sql,
    rate_sql,
)
from ayne_dagster.refresh.states import AHEAD, COLLECTED
from ayne_dagster.warehouse.rows import insert_rows, naive_utc, registered
from ayne_dagster.warehouse.schema import FEED_QUALITY, REFRESH_RATES
from ayne_dagster.warehouse.strategies import load_feeds

JUDGED_DAYS = 180
"""Feeds are judged by the fetches of so many days."""
CONFIDENCE = 20.0
"""So many changes or signals weigh as much as the first belief in a feed."""


@dataclass(frozen=True, slots=True)
class Popularity:
    """What popularity is usual in the catalogue; 1 where none is known."""

    median: float
    mean: float


def usual_popularity(connection: duckdb.DuckDBPyConnection) -> Popularity:
    """Median and mean of the movies whose popularity is known."""
    median, mean = connection.execute(
        "SELECT median(popularity), avg(popularity) FROM refresh_metadata WHERE popularity > 0"
    ).fetchall()[0]
    return Popularity(median or 1.0, mean or 1.0)


def renew_rates(
    connection: duckdb.DuckDBPyConnection,
    now: datetime,
    popularity: Popularity,
    *,
    within: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> None:
    """Write movies' rates and importance anew where they moved noticeably: it spares writing all rows daily."""
    renewed = {"importance": importance_sql(double_sql(popularity.mean))}
    bound = {"now": naive_utc(now), "median": popularity.median, **(parameters or {})}
    for source in COLLECTED:
        renewed[f"{source}_rate"] = rate_sql(_bucket_rate_sql(source), source)
        bound[f"{source}_rates"] = _bucket_rates(connection, source)
    assignments = ", ".join(f"{column} = {new}" for column, new in renewed.items())
    moved = " OR ".join(
        f"coalesce(abs({new} - {column}) > {NOTICEABLE} * {column}, TRUE)" for column, new in renewed.items()
    )
    connection.execute(
        f"UPDATE refresh_metadata SET {assignments}, decided_at = $now"
        f" WHERE ({moved}){f' AND {within}' if within else ''}",
        bound,
    )


def _bucket_rates(connection: duckdb.DuckDBPyConnection, source: str) -> list[float]:
    """The rates of a source's buckets, in the order of `buckets()`."""
    found = {
        (category, octave): rate
        for category, octave, rate in connection.execute(
            "SELECT category, popularity_bucket, rate FROM refresh_rates WHERE source = $source", {"source": source}
        ).fetchall()
    }
    return [found[b.category, b.popularity_bucket] for b in buckets() if b.source == source]


def _bucket_rate_sql(source: str) -> str:
    """The rate of a movie's bucket: by its place in the list `$<source>_rates`, which spares a join."""
    octaves = HIGHEST_BUCKET - LOWEST_BUCKET + 1
    first = by_age_sql([str(octaves * position - LOWEST_BUCKET + 1) for position in range(len(AGE_TABLE))])
    return f"list_extract(CAST(${source}_rates AS DOUBLE[]), {first} + {popularity_bucket_sql()})"


def learn_if_due(connection: duckdb.DuckDBPyConnection, now: datetime, popularity: Popularity) -> bool:
    """Begin buckets that are missing; correct all, and judge the feeds, when the last time is a week ago."""
    _begin_buckets(connection, now)
    last = connection.execute("SELECT max(learned_at) FROM refresh_rates").fetchall()[0][0]
    if -AHEAD <= naive_utc(now) - last < timedelta(days=RECALIBRATE_AFTER_DAYS):
        return False
    recalibrate(connection, now, popularity)
    judge_feeds(connection, now)
    return True


def _begin_buckets(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    found = connection.execute("SELECT source, category, popularity_bucket FROM refresh_rates").fetchall()
    known = set(found)
    begun = [
        {
            "source": bucket.source,
            "category": bucket.category,
            "popularity_bucket": bucket.popularity_bucket,
            "rate": bucket.first_rate,
            "movies": 0,
            "learned_at": naive_utc(now),
        }
        for bucket in buckets()
        if (bucket.source, bucket.category, bucket.popularity_bucket) not in known
    ]
    insert_rows(connection, REFRESH_RATES, begun)


def recalibrate(connection: duckdb.DuckDBPyConnection, now: datetime, popularity: Popularity) -> None:
    """Correct the buckets' rates by what was found against what they made expect.

    The movies' exposures are scaled along: they are then what the corrected rates would have made expect, else the same
    evidence would count twice. A bucket with few answers goes with all those of its source.
    """
    bound = {"now": naive_utc(now), "median": popularity.median}
    for source in COLLECTED:
        sums = connection.execute(
            f"SELECT {category_sql()}, {popularity_bucket_sql()}, count(*),"
            f" sum({source}_exposure), sum({source}_changes) FROM refresh_metadata GROUP BY ALL",
            bound,
        ).fetchall()
        overall = correction(sum(row[3] or 0.0 for row in sums), sum(row[4] or 0.0 for row in sums))
        found = {(row[0], row[1]): row[2:] for row in sums}
        factors = {}
        for bucket in (b for b in buckets() if b.source == source):
            key = (bucket.category, bucket.popularity_bucket)
            movies, exposure, changes = found.get(key, (0, 0.0, 0.0))
            factor = correction(exposure or 0.0, changes or 0.0, toward=overall)
            factors[key] = (movies, factor if abs(factor - 1) > NOTICEABLE else 1.0)
        _apply(connection, source, factors, bound)


def _apply(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    factors: Mapping[tuple[str, int], tuple[int, float]],
    bound: Mapping[str, object],
) -> None:
    """Multiply the rates of buckets and the exposures of their movies."""
    names = ("category", "popularity_bucket", "movies", "factor")
    rows = [(*key, *correction) for key, correction in factors.items()]
    with registered(connection, "corrections", pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))):
        connection.execute(
            f"UPDATE refresh_rates SET rate = least({HIGHEST_RATE}, greatest({LOWEST_RATE}, rate * c.factor)),"
            " movies = c.movies, learned_at = $now FROM corrections AS c WHERE refresh_rates.source = $source"
            " AND refresh_rates.category = c.category AND refresh_rates.popularity_bucket = c.popularity_bucket",
            {"now": bound["now"], "source": source},
        )
        connection.execute(
            f"UPDATE refresh_metadata SET {source}_exposure = {source}_exposure * c.factor FROM corrections AS c"
            f" WHERE c.factor <> 1 AND {source}_exposure > 0 AND c.category = {category_sql()}"
            f" AND c.popularity_bucket = {popularity_bucket_sql()}",
            bound,
        )


def judge_feeds(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Learn recall and precision of each change feed from what the fetches of the last months found.

    Precision: of the fetches that followed signals up, the share that found a change, then or at the second look.
    Recall: of the changes found, the share that had been signalled. Few fetches leave the first beliefs as they are.
    """
    judged = []
    for source, feed in load_feeds(connection).items():
        followed_up, confirmed, missed = _judged(connection, source, feed, now)
        precision = (CONFIDENCE * FIRST_PRECISION + min(confirmed, followed_up)) / (CONFIDENCE + followed_up)
        recall = (CONFIDENCE * FIRST_RECALL + confirmed) / (CONFIDENCE + confirmed + missed)
        judged.append({"source": source, "recall": recall, "precision": precision, "learned_at": naive_utc(now)})
    connection.execute("DELETE FROM feed_quality")
    insert_rows(connection, FEED_QUALITY, judged)


def _judged(
    connection: duckdb.DuckDBPyConnection, source: str, feed: Feed, now: datetime
) -> tuple[float, float, float]:
    """Fetches that followed signals up, those among them that found a change, and changes that were not signalled.

    An unsignalled change counts by the share of its span that was covered: what a feed was not read for, and what
    happened on the last day, it could not have told.
    """
    start = "(fetched_at - to_microseconds(CAST(days_since_check * 86400000000 AS BIGINT)))"
    blind = f"{blind_microseconds_sql(feed, start, 'fetched_at')} / {DAY_IN_MICROSECONDS}"
    signalled = "(signals > 0 OR due_because IS NOT DISTINCT FROM 'change_feed')"
    row = connection.execute(
        f"""
        SELECT count(*) FILTER (WHERE signals > 0),
               count(*) FILTER (WHERE changed AND {signalled}),
               coalesce(sum(greatest(0, 1 - (1 + {blind}) / days_since_check))
                        FILTER (WHERE changed AND NOT {signalled}), 0)
        FROM fetch_log
        WHERE source = $source AND outcome = 'fetched' AND days_since_check > 0 AND fetched_at > $since""",
        {"source": source, "since": naive_utc(now) - timedelta(days=JUDGED_DAYS)},
    ).fetchall()[0]
    return row[0], row[1], row[2]
