"""TMDB's change feed in the warehouse: which days to read, what a day names, the cursor. Asking is in `sources.tmdb`.

The cursor is the newest covered day in `change_feed_days`. It is written with that day's ids, in one transaction, so it
never runs ahead of what is stored, and a reader that is killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import duckdb

from ayne_dagster.refresh.states import ahead_sql
from ayne_dagster.warehouse.answers import FeedCounts
from ayne_dagster.warehouse.feeds.change_signals import Signal, note_signals
from ayne_dagster.warehouse.rows import id_table, naive_utc, registered

DAY = timedelta(days=1)
REACH_DAYS = 14
"""Days further back are given up as gaps. TMDB limits the span of a window, and promises nothing of older ones."""


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """How far the feed has been read (UTC days; None: never)."""

    cursor: date | None
    """Newest day that was read."""
    recorded: date | None
    """Newest day that was read or given up: nothing before it is asked for any more, but the cursor's day."""


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """What a reading of the feed has to do, both oldest first."""

    gaps: tuple[date, ...]
    """Days that cannot be read any more."""
    days: tuple[date, ...]
    """Days to read, one after the other."""


@dataclass(frozen=True, slots=True)
class FeedDay:
    """A day of the feed: read, or given up as a gap."""

    day: date
    ids: frozenset[int]
    covered: bool
    """Whether the ids are all that the feed has."""
    at: datetime
    """When it was read, or given up (aware UTC)."""


def plan_days(position: FeedPosition, today: date) -> FeedPlan:
    """The days to read: complete ones only, up to yesterday, and the cursor's day once more.

    Again, since the feed's days have fuzzy boundaries, and answers may come from caches up to 8 hours old. The first
    reading ever begins with yesterday: what changed before the collection is no news to it.

    Args:
        position: how far the feed has been read.
        today: the present UTC day, which is not complete.
    """
    yesterday, oldest = today - DAY, today - REACH_DAYS * DAY
    if position.recorded is None:
        return FeedPlan((), (yesterday,))
    new = _days(position.recorded + DAY, yesterday)
    days = tuple(day for day in new if day >= oldest)
    if days and position.cursor is not None and position.cursor >= oldest:
        days = (position.cursor, *days)
    return FeedPlan(tuple(day for day in new if day < oldest), days)


def feed_position(connection: duckdb.DuckDBPyConnection, now: datetime) -> FeedPosition:
    """How far the feed has been read, by what an instant (aware UTC) has of the past.

    Days that were not over then, or are said to have been read later, were noted by a clock that was ahead.
    """
    row = connection.execute(
        "SELECT max(day) FILTER (WHERE covered), max(day) FROM change_feed_days"
        f" WHERE day < CAST($now AS DATE) AND NOT coalesce({ahead_sql('read_at')}, FALSE)",
        {"now": naive_utc(now)},
    ).fetchall()[0]
    return FeedPosition(*row)


def plan_reading(connection: duckdb.DuckDBPyConnection, now: datetime) -> FeedPlan:
    """What there is to read at an instant (aware UTC); nothing when yesterday was read already."""
    return plan_days(feed_position(connection, now), now.astimezone(UTC).date())


def merge_feed_days(
    connection: duckdb.DuckDBPyConnection, days: Iterable[FeedDay], now: datetime, run_id: str
) -> FeedCounts:
    """Store days of the feed with the signals that follow, within an open transaction.

    An id that was stored for its day already is no news: a day that is read again, or merged again, signals nothing
    twice.
    """
    return sum((_merge_day(connection, day, now, run_id) for day in days), FeedCounts())


def _merge_day(connection: duckdb.DuckDBPyConnection, day: FeedDay, now: datetime, run_id: str) -> FeedCounts:
    read = {"day": day.day, "at": naive_utc(day.at), "run_id": run_id}
    with registered(connection, "incoming_ids", id_table(sorted(day.ids))):
        new = connection.execute(
            "SELECT tmdb_id FROM incoming_ids"
            " ANTI JOIN (SELECT tmdb_id FROM tmdb_changes WHERE day = ?) USING (tmdb_id)",
            [day.day],
        ).fetchall()
        known = connection.execute("SELECT count(*) FROM incoming_ids SEMI JOIN refresh_metadata USING (tmdb_id)")
        known_listed = int(known.fetchall()[0][0])
    with registered(connection, "incoming_ids", id_table(row[0] for row in new)):
        connection.execute(
            "INSERT INTO tmdb_changes BY NAME"
            " SELECT tmdb_id, $day AS day, $at AS seen_at, $run_id AS run_id FROM incoming_ids",
            read,
        )
    latest = min(_end_of(day.day), day.at)
    signals = note_signals(connection, "tmdb", (Signal(row[0], latest) for row in new), now)
    _record_day(connection, day, read)
    return FeedCounts(
        days=int(day.covered),
        gaps=int(not day.covered),
        listed=len(day.ids),
        known=known_listed,
        new=len(new),
        signals=signals.noted,
        thawed=signals.thawed,
    )


def _record_day(connection: duckdb.DuckDBPyConnection, day: FeedDay, read: dict[str, object]) -> None:
    """Note that a day was read, or given up; one that was covered once stays so."""
    before = connection.execute("SELECT covered FROM change_feed_days WHERE day = ?", [day.day]).fetchall()
    covered = day.covered or any(row[0] for row in before)
    connection.execute("DELETE FROM change_feed_days WHERE day = ?", [day.day])
    connection.execute(
        """
        INSERT INTO change_feed_days BY NAME
        SELECT $day AS day, $covered AS covered, count(*) AS listed, count(m.tmdb_id) AS known,
               $at AS read_at, $run_id AS run_id
        FROM tmdb_changes AS c LEFT JOIN refresh_metadata AS m USING (tmdb_id) WHERE c.day = $day""",
        read | {"covered": covered},
    )


def _end_of(day: date) -> datetime:
    return datetime.combine(day + DAY, time(), UTC)


def _days(first: date, last: date) -> tuple[date, ...]:
    return tuple(first + DAY * n for n in range((last - first).days + 1))
