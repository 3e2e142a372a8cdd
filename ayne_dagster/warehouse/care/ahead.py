"""What lies in the future since a clock was ahead: which columns can, and how they are mended. Decides nothing else.

The present is the caller's: when the clock is behind, what really happened seems to lie in the future too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.states import AHEAD, PARTS_WITHIN, SOURCES
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import FETCH_LOG, REFRESH_METADATA, TABLES, Table

MENDED = "Noted by a clock that was ahead"
"""How the reason of an attempt begins in the log whose time was mended; the time that was noted follows."""
NOT_EVENTS = frozenset({"release_date", "us_release_date", "released", "dvd", "published_on"})
"""Columns with a day on which nothing was noted here: a film may well come out in the future."""
_FORETOLD = {f"{source}_recheck_at": timedelta(days=1) for source in SOURCES} | {
    f"{source}_parts_due_at": PARTS_WITHIN for source in SOURCES
}
"""Columns that rightfully lie ahead, and how far: when to look once more, when to ask for missing parts."""
_GONE_WITH_THEIR_DAY = {
    "change_feed_days": ("day", "read_at"),
    "tmdb_changes": ("day",),
    "daily_files": ("day", "read_at"),
    "collection_status": ("observed_at",),
    "freshness": ("observed_at",),
    "file_sizes": ("day", "observed_at"),
}
"""Tables whose rows tell of a day or an instant: a row about one to come tells nothing, and is read or counted anew."""
_UNKNOWN = ("_checked_at", "_changed_at", "missing_since", "vanished_on", "tombstoned_at", "signalled_at", "recheck_at")
"""How the names of columns end that become unknown; the others become the present, which is the latest they can be."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A column that notes when something happened, and the condition that it lies in the future (`$now`)."""

    table: Table
    column: str
    condition: str


def moments() -> Iterator[Moment]:
    """All such columns of the schema."""
    for table in TABLES:
        for column in table.columns:
            if column.name in NOT_EVENTS or column.type not in ("TIMESTAMP", "DATE"):
                continue
            allowed = AHEAD + _FORETOLD.get(column.name, timedelta(0))
            late = f"$now + INTERVAL {allowed // timedelta(seconds=1)} SECOND"
            bound = late if column.type == "TIMESTAMP" else f"CAST({late} AS DATE)"
            yield Moment(table, column.name, f"{column.name} > {bound}")


def told_ahead(connection: duckdb.DuckDBPyConnection, table: Table, now: datetime) -> str | None:
    """A sentence about the rows of a table that lie in the future; None where there are none.

    Args:
        connection: to the warehouse.
        table: one whose rows tell of days.
        now: the present instant (aware UTC).
    """
    late = " OR ".join(moment.condition for moment in moments() if moment.table is table)
    rows, last = connection.execute(
        f"SELECT count(*), max(day) FROM {table.name} WHERE {late}", {"now": naive_utc(now)}
    ).fetchall()[0]
    if not rows:
        return None
    return (
        f"{rows:,} row(s) of {table.name} lie in the future (up to {last}), by the clock that says {now:%Y-%m-%d %H:%M}"
        " UTC: they are not believed. If that clock is right, `ayne check --mend` removes them"
    )


def mend(connection: duckdb.DuckDBPyConnection, now: datetime) -> dict[str, int]:
    """Take out of the tables what lies in the future, within an open transaction.

    Checks become what the log says of the time before, or unknown: the movies are due again. Days of the change feed
    and daily files are forgotten, and read again. What else was noted then happened at the latest now.

    Args:
        connection: with an open transaction.
        now: the present instant (aware UTC).

    Returns:
        Rows mended, by table; tables without any are left out.
    """
    bound = {"now": naive_utc(now)}
    mended = {FETCH_LOG.name: _mend_log(connection, bound)}
    mended[REFRESH_METADATA.name] = _mend_states(connection, bound)
    for table in TABLES:
        ahead = {moment.column: moment.condition for moment in moments() if moment.table is table}
        gone = [ahead[name] for name in _GONE_WITH_THEIR_DAY.get(table.name, ())]
        if gone:
            statement = f"DELETE FROM {table.name} WHERE {' OR '.join(gone)}"
            mended[table.name] = _changed(connection, statement, bound)
        if ahead and table not in (FETCH_LOG, REFRESH_METADATA):
            number = _changed(connection, _bounding(table, ahead), bound)
            mended[table.name] = mended.get(table.name, 0) + number
    return {name: number for name, number in mended.items() if number}


def _mend_log(connection: duckdb.DuckDBPyConnection, bound: dict[str, datetime]) -> int:
    """Say of attempts in the future that their time is not known; what was noted stays to be read."""
    (moment,) = (moment for moment in moments() if moment.table is FETCH_LOG)
    return _changed(
        connection,
        "UPDATE fetch_log SET fetched_at = $now, reason = concat_ws('; ',"
        f" '{MENDED}: ' || strftime(fetched_at, '%Y-%m-%d %H:%M:%S'), reason) WHERE {moment.condition}",
        bound,
    )


def _mend_states(connection: duckdb.DuckDBPyConnection, bound: dict[str, datetime]) -> int:
    """Bring the refresh state back to what the log says of the past."""
    ahead = {moment.column: moment.condition for moment in moments() if moment.table is REFRESH_METADATA}
    any_ahead = " OR ".join(f"coalesce({condition}, FALSE)" for condition in ahead.values())
    number = int(connection.execute(f"SELECT count(*) FROM refresh_metadata WHERE {any_ahead}", bound).fetchall()[0][0])
    if not number:
        return 0
    for source in SOURCES:
        attempted, checked = f"{source}_attempted_at", f"{source}_checked_at"
        connection.execute(
            f"UPDATE refresh_metadata SET"
            f" {attempted} = CASE WHEN {ahead[attempted]} THEN log.asked ELSE {attempted} END,"
            f" {checked} = CASE WHEN {ahead[checked]} THEN log.answered ELSE {checked} END"
            f" FROM (SELECT m.tmdb_id, max(fetched_at) AS asked, max(fetched_at) FILTER (WHERE outcome IN"
            f" ('{Outcome.FETCHED}', '{Outcome.ABSENT}')) AS answered FROM refresh_metadata AS m"
            f" LEFT JOIN fetch_log AS f ON f.tmdb_id = m.tmdb_id AND f.source = '{source}' AND {not_mended_sql()}"
            f" WHERE {ahead[attempted]} OR {ahead[checked]} GROUP BY m.tmdb_id) AS log"
            " WHERE log.tmdb_id = refresh_metadata.tmdb_id",
            bound,
        )
    connection.execute(_bounding(REFRESH_METADATA, ahead), bound)
    return number


def not_mended_sql() -> str:
    """Whether the time of an attempt in the log is the one that was noted."""
    return f"(reason IS NULL OR NOT starts_with(reason, '{MENDED}'))"


def _bounding(table: Table, ahead: dict[str, str]) -> str:
    """The statement that makes what lies in the future unknown, or the present."""
    new = {name: "NULL" if name.endswith(_UNKNOWN) else f"CAST($now AS {table.types[name]})" for name in ahead}
    assignments = ", ".join(
        f"{name} = CASE WHEN {condition} THEN {new[name]} ELSE {name} END"
        for name, condition in ahead.items()
        if name not in table.key
    )
    where = " OR ".join(condition for name, condition in ahead.items() if name not in table.key)
    return f"UPDATE {table.name} SET {assignments} WHERE {where}" if where else f"DELETE FROM {table.name} WHERE FALSE"


def _changed(connection: duckdb.DuckDBPyConnection, statement: str, bound: dict[str, datetime]) -> int:
    parameters = bound if "$now" in statement else {}
    return int(connection.execute(statement, parameters).fetchall()[0][0])
