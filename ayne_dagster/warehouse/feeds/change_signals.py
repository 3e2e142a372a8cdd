"""Change signals: a feed says that a movie may have changed at a source since it was last checked. Noted here, no more.

What a signal makes due is decided in `refresh`; a successful check uses it up (`refresh.outcome`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from ayne_dagster.refresh.states import FREEZING, ahead_sql, overridden_sql
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, SOURCES
from ayne_dagster.warehouse.rows import naive_utc, registered

MOST_SIGNALS = 32_767
"""More are not counted: the column is a SMALLINT, and beyond a handful one more tells nothing."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A movie that may have changed, and the latest instant (aware UTC) at which it can have."""

    tmdb_id: int
    latest: datetime


@dataclass(frozen=True, slots=True)
class SignalReport:
    """What noting signals did, in movies."""

    noted: int = 0
    """Known movies that were not checked since."""
    thawed: int = 0
    """Of these, movies that were frozen by the rules and had no signal yet."""


def note_signals(
    connection: duckdb.DuckDBPyConnection, source: str, signals: Iterable[Signal], now: datetime
) -> SignalReport:
    """Count signals for the movies that they concern, within an open transaction.

    A signal of an unknown movie is ignored, and one of a movie that was successfully checked at or after the signal's
    latest instant: that check has seen the change. Each signal counts; the caller brings none a second time.

    Args:
        connection: with an open transaction.
        source: at which source the movies may have changed.
        signals: in any order; several of a movie add up, and the latest instant counts.
        now: the instant (aware UTC), which decides who is frozen.

    Raises:
        KeyError: there is no such source.
    """
    name = SOURCES[source].name
    at = [(signal.tmdb_id, naive_utc(signal.latest)) for signal in signals]
    if not at:
        return SignalReport()
    schema = pa.schema([("tmdb_id", pa.int64()), ("latest", pa.timestamp("us"))])
    incoming = pa.table([[i for i, _ in at], [latest for _, latest in at]], schema=schema)
    by_itself = f"{AGE_TABLE_STRATEGY.frozen_sql()} AND NOT {overridden_sql(FREEZING)}"
    frozen = f"{by_itself} AND coalesce({name}_signals, 0) = 0"
    with registered(connection, "incoming_signals", incoming):
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE noted_signals AS
            SELECT tmdb_id, count(*) AS signals, max(latest) AS latest, bool_or({frozen}) AS thawed
            FROM incoming_signals JOIN refresh_metadata USING (tmdb_id)
            WHERE {name}_checked_at IS NULL OR {name}_checked_at < latest OR {ahead_sql(f"{name}_checked_at")}
            GROUP BY tmdb_id""",
            {"now": naive_utc(now)},
        )
    connection.execute(
        f"""
        UPDATE refresh_metadata
        SET {name}_signals = least(coalesce({name}_signals, 0) + n.signals, {MOST_SIGNALS}),
            {name}_signalled_at = greatest({name}_signalled_at, n.latest)
        FROM noted_signals AS n WHERE refresh_metadata.tmdb_id = n.tmdb_id"""
    )
    counts = connection.execute("SELECT count(*), count(*) FILTER (WHERE thawed) FROM noted_signals").fetchall()[0]
    connection.execute("DROP TABLE noted_signals")
    return SignalReport(*counts)
