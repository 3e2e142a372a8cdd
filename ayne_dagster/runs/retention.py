"""How long a Dagster home remembers: finished runs, their logs and output, files of nobody. Not the warehouse.

A run adds a third of a megabyte to the home, and Dagster removes none by itself. They go through Dagster's own API,
but for those that hold what its pages show as the present state: deleting a run deletes its materializations, and a
release year that is refreshed once in three months would look as if it never had been. These runs are few, since there
are only so many partitions, assets and checks, however many years pass.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from ayne_dagster.config import Settings
from ayne_dagster.runs.own_runs import FINISHED, remove_abandoned_locks

CLOCK_TAG = "ayne/clock"
"""On runs under a turned clock: the instant that it showed. Dagster's own times are those of the calendar."""
ABANDONED_AFTER = timedelta(days=1)
"""A file of no run is left alone for so long: it may be that of a run which is just being created."""
EMPTY_TICK_LOGS_KEPT = timedelta(days=2)
"""Each tick of each sensor leaves one, 5,000 a day; ticks that did nothing are forgotten after so long, too."""
WORTH_PACKING = 2_000
"""Free pages (of 4 KiB) below which an SQLite file is left as it is: it uses them again."""
_RUNS_AT_ONCE = 500
_RECORDS_AT_ONCE = 200
_CHECK_EXECUTIONS = sa.table("asset_check_executions", sa.column("run_id"))


@dataclass(frozen=True)
class Instants:
    """What time it is by the platform's clock, which may be turned, and by the calendar, which Dagster goes by."""

    platform: datetime
    calendar: datetime

    @classmethod
    def of(cls, settings: Settings) -> Instants:
        """The present instant."""
        calendar = datetime.now(UTC)
        return cls(settings.clock.at(calendar), calendar)

    def clock_tag(self) -> dict[str, str]:
        """The tag of a run that starts now; none where no clock is turned."""
        is_turned = self.platform != self.calendar
        return {CLOCK_TAG: self.platform.isoformat(timespec="seconds")} if is_turned else {}

    def age(self, record: dg.RunRecord) -> timedelta:
        """How long ago a run ended."""
        shown = record.dagster_run.tags.get(CLOCK_TAG)
        if shown is not None:
            with suppress(ValueError, TypeError):
                return self.platform - datetime.fromisoformat(shown)
        ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
        return self.calendar - (ended if ended.tzinfo else ended.replace(tzinfo=UTC))


def remove_old_runs(instance: dg.DagsterInstance, keep: timedelta, now: Instants) -> int:
    """Remove finished runs that ended longer ago, but those that hold a latest state; returns how many.

    What is interrupted half-way is done by the next call.
    """
    old = list(_old_runs(instance, keep, now))
    if not old:
        return 0
    needed = runs_of_the_present(instance)
    removed = [run_id for run_id in old if run_id not in needed]
    for run_id in removed:
        _remove(instance, run_id)
    _forget_checks(instance, removed)
    return len(removed)


def _old_runs(instance: dg.DagsterInstance, keep: timedelta, now: Instants) -> Iterator[str]:
    cursor: str | None = None
    while records := instance.get_run_records(dg.RunsFilter(statuses=FINISHED), limit=_RUNS_AT_ONCE, cursor=cursor):
        yield from (record.dagster_run.run_id for record in records if now.age(record) > keep)
        cursor = records[-1].dagster_run.run_id


def runs_of_the_present(instance: dg.DagsterInstance) -> set[str]:
    """The runs that hold the latest materialization of an asset or a partition, or a check's latest result."""
    needed: set[str] = set()
    keys = instance.get_asset_keys()
    for record in instance.get_asset_records(keys):
        entry = record.asset_entry
        needed |= {entry.last_run_id} if entry.last_run_id else set()
        last = entry.last_materialization_record
        needed |= {last.run_id} if last else set()
    for key in keys:
        latest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = sorted(latest.values())
        for start in range(0, len(ids), _RECORDS_AT_ONCE):
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + _RECORDS_AT_ONCE])
            found = instance.fetch_materializations(chosen, limit=_RECORDS_AT_ONCE)
            needed |= {record.run_id for record in found.records}
    return needed | _runs_of_latest_checks(instance)


def _runs_of_latest_checks(instance: dg.DagsterInstance) -> set[str]:
    storage = instance.event_log_storage
    if not hasattr(storage, "index_connection"):
        return set()
    checks = sa.table("asset_check_executions", *(sa.column(n) for n in ("id", "asset_key", "check_name", "run_id")))
    latest = sa.select(sa.func.max(checks.c.id)).group_by(checks.c.asset_key, checks.c.check_name)
    with storage.index_connection() as connection:
        rows = connection.execute(sa.select(checks.c.run_id).where(checks.c.id.in_(latest))).fetchall()
    return {row[0] for row in rows}


def _remove(instance: dg.DagsterInstance, run_id: str) -> None:
    """One run, with its events, its captured output and the file in which Dagster's SQLite storage kept its log."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    _remove_log(instance, run_id)


def _remove_log(instance: dg.DagsterInstance, run_id: str) -> None:
    """The file of a run's event log, which `delete_run` only empties."""
    if not instance.event_log_storage.is_run_sharded or not hasattr(instance.event_log_storage, "path_for_shard"):
        return
    path = Path(instance.event_log_storage.path_for_shard(run_id))
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _forget_checks(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """The results of checks, each of which Dagster keeps a second time, and for ever."""
    storage = instance.event_log_storage
    if not hasattr(storage, "index_connection"):
        return
    for start in range(0, len(run_ids), _RECORDS_AT_ONCE):
        gone = run_ids[start : start + _RECORDS_AT_ONCE]
        with storage.index_connection() as connection:
            connection.execute(sa.delete(_CHECK_EXECUTIONS).where(_CHECK_EXECUTIONS.c.run_id.in_(gone)))


def remove_abandoned_files(instance: dg.DagsterInstance, keep: timedelta, now: datetime) -> int:
    """Remove files of no run: logs, captured output and locks that a kill left behind, and logs of old ticks.

    Args:
        instance: whose home; nothing is removed where it keeps its runs elsewhere.
        keep: how long the logs of ticks are kept that say something.
        now: the instant by the calendar, as the file system goes by it.

    Returns:
        How many files.
    """
    home = Path(instance.root_directory)
    runs = {path.name for path in (home / "storage").glob("*") if _is_run_id(path.name)}
    runs |= {path.stem for path in (home / "history" / "runs").glob("*.db") if _is_run_id(path.stem)}
    removed = remove_abandoned_locks(instance, now - ABANDONED_AFTER)
    for run_id in runs:
        if instance.has_run(run_id):
            continue
        captured, log = home / "storage" / run_id, home / "history" / "runs" / f"{run_id}.db"
        if all(_is_older(path, now - ABANDONED_AFTER) for path in (captured, log) if path.exists()):
            shutil.rmtree(captured, ignore_errors=True)
            _remove_log(instance, run_id)
            removed += 1
    return removed + _remove_tick_logs(home / "storage", keep, now)


def _remove_tick_logs(folder: Path, keep: timedelta, now: datetime) -> int:
    removed = 0
    for place in (path for path in folder.glob("*") if path.is_dir() and not _is_run_id(path.name)):
        for path in place.rglob("*"):
            with suppress(OSError):  # a tick is writing it, or has just removed it
                kept = keep if path.is_dir() or path.stat().st_size else min(keep, EMPTY_TICK_LOGS_KEPT)
                if path.is_file() and _is_older(path, now - kept):
                    path.unlink()
                    removed += 1
    return removed


def _is_run_id(name: str) -> bool:
    return len(name) == 36 and name.count("-") == 4


def _is_older(path: Path, instant: datetime) -> bool:
    return path.stat().st_mtime < instant.timestamp()


def pack(instance: dg.DagsterInstance) -> int:
    """Give the space of much that was removed back to the file system; returns how many bytes.

    A file that is in use is left for the next time: what is free in it is used again in any case.
    """
    home = Path(instance.root_directory)
    databases = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
    return sum(_pack(home / name) for name in databases if (home / name).exists())


def _pack(path: Path) -> int:
    before = _size(path)
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1.0, isolation_level=None)) as connection:
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        if free > WORTH_PACKING and 2 * free > pages:
            connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return max(0, before - _size(path))


def _size(path: Path) -> int:
    """Of a file with its write-ahead log."""
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)
