"""How large the files of a collection are: measured once a day, told over time, and when the disk is full at that pace.

What is measured is in `schema.FILE_SIZES`. Nothing here removes a file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import linear_regression

import duckdb

from ayne_dagster.settings.places import HOME, LEDGER, PAGE, SPOOL, companion
from ayne_dagster.warehouse.database import log_of
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import FILE_SIZES

DISK = "disk"
"""What is used of the whole disk that the database is on: exports, snapshots and what is not ours count, too."""
FOUND_OF = timedelta(days=30)
"""The pace is that of so many days."""
LEAST_DAYS = 7
"""A pace is told of no fewer days: what a week brings says little of a year, and a day nothing."""
FORESEEN = timedelta(days=365)


@dataclass(frozen=True)
class OnDisk:
    """A file, or a folder with all that is in it."""

    what: str
    """database, log, ledger, spool, dagster, page or lake."""
    path: Path
    bytes: int


@dataclass(frozen=True)
class Pace:
    """How a disk fills."""

    bytes_a_day: float
    """Negative where there is more room every day."""
    days: int
    """Of how many it is the pace."""
    full_on: date | None
    """When nothing is free at this pace; None where that is not within a year."""


def on_disk(database: Path, homes: Collection[Path] = (), data: str | None = None) -> list[OnDisk]:
    """What lies on this machine of a collection, and how large it is; nothing of what is not there.

    Args:
        database: its file, or what a lake's things on this machine are named after.
        homes: Dagster homes that are not beside it.
        data: where a lake's files are; a bucket is no folder of this machine, and is not measured.
    """
    named = [
        ("database", database),
        ("log", log_of(database)),
        ("ledger", companion(database, LEDGER)),
        ("spool", companion(database, SPOOL)),
        ("page", companion(database, PAGE)),
        *(("dagster", home) for home in dict.fromkeys([*homes, companion(database, HOME)])),
        *([("lake", Path(data))] if data else []),
    ]
    return [OnDisk(what, path, _size(path)) for what, path in named if path.exists()]


def observe_sizes(
    connection: duckdb.DuckDBPyConnection, now: datetime, measure: Callable[[], Sequence[OnDisk]]
) -> bool:
    """Note how large the files are, within an open transaction, unless that was done today.

    Args:
        connection: of the warehouse.
        now: the instant (aware UTC).
        measure: looks at the disk; not called where nothing is noted.

    Returns:
        Whether it was noted.
    """
    day = now.astimezone(UTC).date()
    ((noted,),) = connection.execute("SELECT count(*) > 0 FROM file_sizes WHERE day = $day", {"day": day}).fetchall()
    if noted:
        return False
    sizes: dict[str, int] = {}
    found = measure()
    for each in found:
        sizes[each.what] = sizes.get(each.what, 0) + each.bytes
    if found:
        with suppress(OSError):
            sizes[DISK] = shutil.disk_usage(found[0].path).used
    rows = [{"day": day, "what": what, "bytes": size, "observed_at": naive_utc(now)} for what, size in sizes.items()]
    insert_rows(connection, FILE_SIZES, rows)
    return True


def sizes_over_time(
    connection: duckdb.DuckDBPyConnection, now: datetime, over: timedelta = FORESEEN
) -> dict[date, dict[str, int]]:
    """By day, the oldest first, and by what is measured: bytes."""
    today = now.astimezone(UTC).date()
    rows = connection.execute(
        "SELECT day, what, bytes FROM file_sizes WHERE day > $since AND day <= $today ORDER BY day, what",
        {"since": today - over, "today": today},
    ).fetchall()
    found: dict[date, dict[str, int]] = {}
    for day, what, size in rows:
        found.setdefault(day, {})[what] = size
    return found


def pace_of(used: Sequence[tuple[date, int]], free: int, today: date) -> Pace | None:
    """How fast a disk fills, by a straight line through the last days; None where they are too few to tell.

    Args:
        used: days and the bytes that were used, the oldest first.
        free: bytes that are free now.
        today: the day from which the rest is counted.

    Example:
        >>> january = [(date(2026, 1, day), 1_000 * day) for day in (1, 8, 15)]
        >>> pace_of(january, 20_000, date(2026, 1, 15))
        Pace(bytes_a_day=1000.0, days=14, full_on=datetime.date(2026, 2, 4))
    """
    lately = [(day, size) for day, size in used if today - FOUND_OF <= day <= today]
    if not lately or (days := (lately[-1][0] - lately[0][0]).days) < LEAST_DAYS:
        return None
    a_day = linear_regression([day.toordinal() for day, _ in lately], [size for _, size in lately]).slope
    is_near = a_day > 0 and free / a_day <= FORESEEN.days
    return Pace(a_day, days, today + timedelta(days=int(free / a_day)) if is_near else None)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder: what goes meanwhile counts as nothing."""
    within = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(_bytes_of(file) for file in ([path] if path.is_file() else within))


def _bytes_of(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_size
    return 0
