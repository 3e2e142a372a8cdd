"""Rates of change, importance and the feeds' quality, as learned from what was found. The arithmetic is in `refresh`.

Rates of buckets are corrected weekly by all answers since they began; feeds are judged by the fetch log. Both are
worked out anew from what is stored, so that doing it twice is doing it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from ayne_dagster.refresh.feeds import (
    DAY_IN_MICROSECONDS,
    Feed,
    blind_microseconds_sql,
    double_sql,
)
from ayne_dagster.refresh.learning import (
    AGE_GROUPS,
    HIGHEST_BUCKET,
    HIGHEST_RATE,
    LOWEST_BUCKET,
    LOWEST_RATE,
    NOTICEABLE,
    POPULARITY_SHARE,
    RECALIBRATE_AFTER_DAYS,
    age_group_sql,
    buckets,
    by_age_group_sql,
    corrections,
    importance_sql,
    popularity_bucket_sql,
    rate_sql,
)
from ayne_dagster.refresh.quality import Evidence, judge
from ayne_dagster.refresh.states import AHEAD, COLLECTED, SOURCES
from ayne_dagster.warehouse.rows import insert_rows, naive_utc, registered
from ayne_dagster.warehouse.schema import FEED_QUALITY, REFRESH_RATES
from ayne_dagster.warehouse.strategies import load_feeds

JUDGED_DAYS = 180
"""Feeds are judged by the fetches of so many days."""
LEAST_SILENT_DAYS = 7
MOST_BLIND_SHARE = 0.1
"""Of a silent fetch that counts, so much of the time at most was not covered by the feed."""
MOST_SIGNALS_APART = 8
"""More signals than that are as good as that many."""


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
    popularity_share: float = POPULARITY_SHARE,
) -> None:
    """Write movies' rates and importance anew where they moved noticeably: it spares writing all rows daily."""
    renewed = {"importance": importance_sql(double_sql(popularity.mean), popularity_share)}
    bound = {"now": naive_utc(now), "median": popularity.median, **(parameters or {})}
    for source in _asked(connection):
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


def _asked(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The sources that were asked at all: of a supplement that is switched off there is nothing to learn."""
    counts = ", ".join(f"count({source}_checked_at)" for source in SOURCES)
    asked = connection.execute(f"SELECT {counts} FROM refresh_metadata").fetchall()[0]
    return [source for source, checks in zip(SOURCES, asked, strict=True) if checks or source in COLLECTED]


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
    first = by_age_group_sql([str(octaves * position - LOWEST_BUCKET + 1) for position in range(len(AGE_GROUPS))])
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
    """A bucket that was part of another goes on with what was learned of that one."""
    found = connection.execute("SELECT source, category, popularity_bucket, rate FROM refresh_rates").fetchall()
    known = {(source, category, octave): rate for source, category, octave, rate in found}
    band = {group.name: group.band.category for group in AGE_GROUPS}
    begun = [
        {
            "source": bucket.source,
            "category": bucket.category,
            "popularity_bucket": bucket.popularity_bucket,
            "rate": known.get((bucket.source, band[bucket.category], bucket.popularity_bucket), bucket.first_rate),
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
    for source in _asked(connection):
        rows = connection.execute(
            f"SELECT {age_group_sql()}, {popularity_bucket_sql()}, count(*),"
            f" sum({source}_exposure), sum({source}_changes) FROM refresh_metadata GROUP BY ALL",
            bound,
        ).fetchall()
        found = {(row[0], row[1]): row[2:] for row in rows}
        keys = [(b.category, b.popularity_bucket) for b in buckets() if b.source == source]
        sums = {key: found.get(key, (0, 0.0, 0.0)) for key in keys}
        by = corrections({key: (exposure or 0.0, changes or 0.0) for key, (_, exposure, changes) in sums.items()})
        factors = {key: (sums[key][0], by[key] if abs(by[key] - 1) > NOTICEABLE else 1.0) for key in keys}
        _apply(connection, source, factors, bound)
    # Of all sources alike: of one that is not asked, nothing is there to correct.
    connection.execute("UPDATE refresh_rates SET learned_at = $now", {"now": bound["now"]})


def _apply(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    factors: Mapping[tuple[str, int], tuple[int, float]],
    bound: Mapping[str, object],
) -> None:
    """Multiply the rates of buckets and the exposures of their movies."""
    import pyarrow as pa  # slow to load (`rows`)

    names = ("category", "popularity_bucket", "movies", "factor")
    rows = [(*key, *correction) for key, correction in factors.items()]
    with registered(connection, "corrections", pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))):
        connection.execute(
            f"UPDATE refresh_rates SET rate = least({HIGHEST_RATE}, greatest({LOWEST_RATE}, rate * c.factor)),"
            " movies = c.movies FROM corrections AS c WHERE refresh_rates.source = $source"
            " AND refresh_rates.category = c.category AND refresh_rates.popularity_bucket = c.popularity_bucket",
            {"source": source},
        )
        connection.execute(
            f"UPDATE refresh_metadata SET {source}_exposure = {source}_exposure * c.factor FROM corrections AS c"
            f" WHERE c.factor <> 1 AND {source}_exposure > 0 AND c.category = {age_group_sql()}"
            f" AND c.popularity_bucket = {popularity_bucket_sql()}",
            bound,
        )


def judge_feeds(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Learn recall and precision of each change feed from what the fetches of the last months found."""
    judged = []
    for source, feed in load_feeds(connection).items():
        recall, precision = judge(*_evidence(connection, source, feed, now))
        judged.append({"source": source, "recall": recall, "precision": precision, "learned_at": naive_utc(now)})
    connection.execute("DELETE FROM feed_quality")
    insert_rows(connection, FEED_QUALITY, judged)


def _evidence(
    connection: duckdb.DuckDBPyConnection, source: str, feed: Feed, now: datetime
) -> tuple[list[Evidence], int]:
    """What silent and signalled fetches found, by the number of signals and the changes expected; second looks apart.

    A silent fetch after a few days tells little of silence, and something of why the movie was asked for so soon: it
    counts from a week on. One whose time the feed hardly covered tells of the rates alone: while these are not learned,
    that would be taken for the feed's doing.
    """
    start = "(fetched_at - to_microseconds(CAST(days_since_check * 86400000000 AS BIGINT)))"
    blind = f"least(days_since_check, {blind_microseconds_sql(feed, start, 'fetched_at')} / {DAY_IN_MICROSECONDS})"
    bound = {"source": source, "since": naive_utc(now) - timedelta(days=JUDGED_DAYS)}
    fetches = f"""
        FROM fetch_log JOIN refresh_metadata USING (tmdb_id)
        WHERE source = $source AND outcome = 'fetched' AND days_since_check > 0 AND fetched_at > $since
          AND {source}_rate > 0"""
    second_look = "coalesce(signals, 0) = 0 AND due_because IS NOT DISTINCT FROM 'change_feed'"
    silence = f"(days_since_check >= {LEAST_SILENT_DAYS} AND {blind} <= {MOST_BLIND_SHARE} * days_since_check)"
    rows = connection.execute(
        f"""
        SELECT least(coalesce(signals, 0), {MOST_SIGNALS_APART}) AS signals, count(*), count(*) FILTER (WHERE changed),
               sum({source}_rate * (days_since_check - {blind})), sum({source}_rate * {blind})
        {fetches} AND NOT ({second_look}) AND (signals > 0 OR {silence})
        GROUP BY 1, round(2 * log2({source}_rate * days_since_check))""",
        bound,
    ).fetchall()
    confirmed = connection.execute(f"SELECT count(*) {fetches} AND {second_look} AND changed", bound).fetchall()[0][0]
    return [Evidence(*row) for row in rows], confirmed
