"""The refresh strategy by its name, with what is known of change feeds. What is due is decided in `refresh`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import duckdb

from ayne_dagster.refresh.feeds import FIRST_PRECISION, FIRST_RECALL, Feed, Gap
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, Strategy, ValueOfRefreshStrategy
from ayne_dagster.warehouse.schema import IMDB_RATINGS

DAY = timedelta(days=1)


def load_strategy(connection: duckdb.DuckDBPyConnection, name: str) -> Strategy:
    """The strategy of a name (`config.STRATEGIES`), knowing the feeds as far as they have been read.

    Raises:
        ValueError: there is no such strategy.
    """
    if name == AGE_TABLE_STRATEGY.name:
        return AGE_TABLE_STRATEGY
    if name == ValueOfRefreshStrategy.name:
        return value_of_refresh(connection)
    raise ValueError(f"There is no refresh strategy {name!r}.")


def value_of_refresh(connection: duckdb.DuckDBPyConnection) -> ValueOfRefreshStrategy:
    """The strategy that knows what refreshing is worth: its numbers are of interest under any other too."""
    return ValueOfRefreshStrategy(load_feeds(connection), mean_popularity(connection))


def load_feeds(connection: duckdb.DuckDBPyConnection) -> Mapping[str, Feed]:
    """The change feeds that are read, by source: TMDB's by the days of `change_feed_days`, OMDb's by IMDb's file."""
    learned = connection.execute("SELECT source, recall, precision FROM feed_quality").fetchall()
    quality = {source: (recall, precision) for source, recall, precision in learned}
    gaps = {"tmdb": _tmdb_gaps(connection), "omdb": _omdb_gaps(connection)}
    return {
        source: Feed(*quality.get(source, (FIRST_RECALL, FIRST_PRECISION)), found)
        for source, found in gaps.items()
        if found is not None
    }


def mean_popularity(connection: duckdb.DuckDBPyConnection) -> float:
    """Of the movies whose popularity is known; 1 where none is."""
    found = connection.execute("SELECT avg(popularity) FROM refresh_metadata WHERE popularity > 0").fetchall()[0][0]
    return float(found) if found else 1.0


def _tmdb_gaps(connection: duckdb.DuckDBPyConnection) -> tuple[Gap, ...] | None:
    """What lies between the covered days, before the first and after the last; None where no day is covered."""
    spans = connection.execute(
        "SELECT min(day), max(day) FROM (SELECT day, day - CAST(row_number() OVER (ORDER BY day) AS INTEGER) AS island"
        " FROM change_feed_days WHERE covered) GROUP BY island ORDER BY 1"
    ).fetchall()
    if not spans:
        return None
    starts: list[datetime | None] = [None, *(_midnight(last) + DAY for _, last in spans)]
    ends: list[datetime | None] = [*(_midnight(first) for first, _ in spans), None]
    return tuple(Gap(start, end) for start, end in zip(starts, ends, strict=True))


def _omdb_gaps(connection: duckdb.DuckDBPyConnection) -> tuple[Gap, ...] | None:
    """All before IMDb's file was read first and after it was read last; None where it never was.

    A day without a file is no gap: jumps are measured against what was last signalled, not against the day before.
    """
    first, last = connection.execute(
        "SELECT min(read_at), max(read_at) FROM daily_files WHERE accepted AND name = ?", [IMDB_RATINGS.name]
    ).fetchall()[0]
    if first is None:
        return None
    return Gap(None, first.replace(tzinfo=UTC)), Gap(last.replace(tzinfo=UTC), None)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
