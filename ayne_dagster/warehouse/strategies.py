"""The refresh strategy by its name, with what is known of change feeds. What is due is decided in `refresh`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import duckdb

from ayne_dagster.config import StrategyChoice
from ayne_dagster.refresh.feeds import FIRST_PRECISION, FIRST_RECALL, Feed, Gap
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, SOURCES, Strategy, ValueOfRefreshStrategy
from ayne_dagster.refresh.value import LONGEST_UNCHECKED, RESERVE_DAYS, SMALL_RESERVE, most_reserved

DAY = timedelta(days=1)
SPENT_DAYS, LEAST_SPENT_DAYS = 30, 7
"""What a source is asked for is judged by the fetches of so many days, and not by fewer than so many."""


def load_strategy(connection: duckdb.DuckDBPyConnection, choice: str | StrategyChoice) -> Strategy:
    """The strategy that is chosen, by a name alone (`config.STRATEGIES`) or with what is set of it.

    It knows the feeds as far as they have been read.

    Raises:
        ValueError: there is no such strategy.
    """
    chosen = StrategyChoice(choice) if isinstance(choice, str) else choice
    if chosen.name == AGE_TABLE_STRATEGY.name:
        return AGE_TABLE_STRATEGY
    if chosen.name == ValueOfRefreshStrategy.name:
        return value_of_refresh(connection, chosen)
    raise ValueError(f"There is no refresh strategy {chosen.name!r}.")


def value_of_refresh(
    connection: duckdb.DuckDBPyConnection,
    chosen: StrategyChoice = StrategyChoice(),  # noqa: B008 -- frozen
) -> ValueOfRefreshStrategy:
    """The strategy that knows what refreshing is worth: its numbers are of interest under any other too."""
    return ValueOfRefreshStrategy(
        load_feeds(connection),
        mean_popularity(connection),
        cutoff=chosen.cutoff,
        popularity_share=chosen.freshness_weight,
        reserves=reserves(connection),
    )


def reserves(connection: duckdb.DuckDBPyConnection) -> Mapping[str, float]:
    """By source, the share of a batch that movies near the ceiling may take.

    The most where that share of the requests of late would look at every movie in time; a small one where it would not,
    since it would be spent in vain. Sources of which little is known are left out.
    """
    # In two questions: the last instant is known at once, and joined to the whole log it takes five times as long.
    ((latest,),) = connection.execute("SELECT max(fetched_at) FROM fetch_log").fetchall()
    spent = connection.execute(
        """
        SELECT source, count(*) FILTER (WHERE fetched_at > CAST($latest AS TIMESTAMP) - to_days($days)),
               least($days, date_diff('hour', min(fetched_at), CAST($latest AS TIMESTAMP)) / 24)
        FROM fetch_log WHERE fetched_at <= CAST($latest AS TIMESTAMP) GROUP BY source""",
        {"latest": latest, "days": SPENT_DAYS},
    ).fetchall()
    shares = {}
    for source, requests, days in spent:
        if source in SOURCES and days >= LEAST_SPENT_DAYS and requests:
            movies = connection.execute(f"SELECT count({source}_checked_at) FROM refresh_metadata").fetchall()[0][0]
            needed = movies / (LONGEST_UNCHECKED.days - RESERVE_DAYS) / (requests / days)
            shares[source] = most_reserved(source) if needed <= most_reserved(source) else SMALL_RESERVE
    return shares


def load_feeds(connection: duckdb.DuckDBPyConnection) -> Mapping[str, Feed]:
    """The change feeds that are read, by source: TMDB's, by the days of `change_feed_days`. OMDb has none.

    IMDb's file is none of OMDb's: its jumps were measured to draw requests to what the file itself tells
    (`docs/freshness.md`, "Tried, and not kept").
    """
    gaps = _tmdb_gaps(connection)
    if gaps is None:
        return {}
    learned = connection.execute("SELECT recall, precision FROM feed_quality WHERE source = 'tmdb'").fetchall()
    recall, precision = learned[0] if learned else (FIRST_RECALL, FIRST_PRECISION)
    return {"tmdb": Feed(recall, precision, gaps)}


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


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
