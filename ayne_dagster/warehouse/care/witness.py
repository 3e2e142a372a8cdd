"""What a database itself says of the clock: whether what was noted in it bears the present out. Changes nothing.

A clock that is ahead makes everything old at once, and one that is behind makes everything lie in the future. Neither
can be told from the clock; but a database that is collected into notes something every few days, and a wrong clock
leaves a hole in it. So whatever removes for age, or mends for the future, asks here first, and a person decides.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb

from ayne_dagster.refresh.states import ahead_sql
from ayne_dagster.warehouse.care.purge import expiring
from ayne_dagster.warehouse.rows import naive_utc

HOLE = timedelta(days=60)
"""Longer than this nothing is noted where a collection is run now and then."""
MOST = 0.5
"""More than this share at once is no housekeeping."""

_NOTED_DAYS = f"""
SELECT CAST(fetched_at AS DATE) AS day FROM fetch_log WHERE NOT {ahead_sql("fetched_at")}
UNION SELECT day FROM fetch_log_daily WHERE day <= CAST($now AS DATE)
UNION SELECT CAST(observed_at AS DATE) FROM collection_status WHERE NOT {ahead_sql("observed_at")}"""


def doubt_of_age(connection: duckdb.DuckDBPyConnection, now: datetime) -> str | None:
    """Why what seems old may not be, in a sentence; None where the log bears the clock out.

    It does not where nothing was noted for longer than `HOLE` up to now, or up to a day less than `HOLE` ago: then
    either nobody collected for so long, or the clock is ahead since then.

    Args:
        connection: to the warehouse.
        now: the present instant (aware UTC).
    """
    last, first = _last_hole(connection, now)
    if last is None or first is None:
        return None
    until = "today" if first >= now.date() else f"{first}"
    return (
        f"Nothing was noted from {last} until {until} ({(first - last).days:,} days), by the clock that says"
        f" {now:%Y-%m-%d %H:%M} UTC: it may be ahead"
    )


def _last_hole(connection: duckdb.DuckDBPyConnection, now: datetime) -> tuple[date | None, date | None]:
    """The days before and after the latest hole that counts; None where there is none."""
    found = connection.execute(
        f"""
        SELECT day, next FROM (
            SELECT day, lead(day, 1, CAST($now AS DATE)) OVER (ORDER BY day) AS next FROM ({_NOTED_DAYS})
        )
        WHERE next - day > $hole AND next > CAST($now AS DATE) - CAST($hole AS INTEGER)
        ORDER BY day DESC LIMIT 1""",
        {"now": naive_utc(now), "hole": HOLE.days},
    ).fetchone()
    return (found[0], found[1]) if found else (None, None)


def doubt_of_purge(connection: duckdb.DuckDBPyConnection, now: datetime) -> str | None:
    """Why a purge may drop what it should not, in a sentence; None where nothing speaks against it.

    Args:
        connection: to the warehouse.
        now: the present instant (aware UTC).
    """
    going = expiring(connection, now)
    if not going.movies and not going.details:
        return None
    shown = f"by the clock that says {now:%Y-%m-%d %H:%M} UTC"
    if going.details > MOST * going.all_details or going.movies > MOST * going.all_movies:
        last = _last_noted(connection, now)
        noted = f", and the last attempt was noted on {last:%Y-%m-%d}" if last else ""
        return (
            f"{going.details:,} of {going.all_details:,} movies with details would lose these, and {going.movies:,} of"
            f" {going.all_movies:,} movies go altogether, {shown}{noted}: it may be ahead"
        )
    last = _last_noted(connection, now)
    if last is not None and now.date() - last > HOLE:
        return f"Nothing was noted since {last}, {shown}: it may be ahead"
    return None


def _last_noted(connection: duckdb.DuckDBPyConnection, now: datetime) -> date | None:
    found = connection.execute(f"SELECT max(day) FROM ({_NOTED_DAYS})", {"now": naive_utc(now)}).fetchall()[0][0]
    return found if isinstance(found, date) else None


def doubt_of_mend(connection: duckdb.DuckDBPyConnection, now: datetime) -> str | None:
    """Why what lies in the future may not, in a sentence: most of the log does. None where it does not.

    Args:
        connection: to the warehouse.
        now: the present instant (aware UTC).
    """
    number, ahead, first, last = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {ahead_sql('fetched_at')}), min(fetched_at), max(fetched_at)"
        " FROM fetch_log",
        {"now": naive_utc(now)},
    ).fetchall()[0]
    if not ahead or ahead <= MOST * number:
        return None
    return (
        f"{ahead:,} of {number:,} attempts in the log ({first:%Y-%m-%d} to {last:%Y-%m-%d}) lie in the future, by the"
        f" clock that says {now:%Y-%m-%d %H:%M} UTC: it may be behind"
    )
