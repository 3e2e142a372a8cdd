"""Reading a file that is published daily: lease, day, download, doubts, record. Shared by the assets that do.

What a file says, and what follows from it, is in `warehouse`; each asset stands in a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
import duckdb
from pydantic import Field

from ayne_dagster.assets.checks import check_results
from ayne_dagster.assets.refreshing import Steps
from ayne_dagster.assets.run_config import RunConfig
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.stopping import pause, stopping
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.settings.places import companion
from ayne_dagster.sources.daily_files import NotPublished, address_of, fetch, is_dated
from ayne_dagster.sources.errors import SourceError
from ayne_dagster.warehouse.care.ahead import told_ahead
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.feeds.daily_files import (
    BELIEVE,
    Doubts,
    FileRefused,
    Unpacked,
    last_accepted,
    record,
    weigh,
)
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.schema import DAILY_FILES, Table


class DailyFileConfig(RunConfig):
    """How to read a daily file."""

    believe: bool = Field(default=False, description="Accept the file though it is quite another than the last one")


class Merge(Protocol):
    """Takes a file in, within an open transaction, and reports what it told as a dataclass."""

    def __call__(
        self, connection: duckdb.DuckDBPyConnection, file: Unpacked, day: date, now: datetime, run_id: str
    ) -> Any:
        """Merge."""


class DoubtsOf(Protocol):
    """Says what speaks against a file: what is known, and the last accepted one."""

    def __call__(self, connection: duckdb.DuckDBPyConnection, file: Unpacked, now: datetime) -> Doubts:
        """Compare."""


def read_daily_file(
    context: dg.AssetExecutionContext,
    config: DailyFileConfig,
    *,
    table: Table,
    place: str,
    database: Database,
    now: datetime,
    unpack: Callable[[Path, Path], AbstractContextManager[Unpacked]],
    doubts_of: DoubtsOf,
    merge: Merge,
) -> Steps:
    """Merge the newest file that was not read yet.

    Args:
        context: of the asset.
        config: its config.
        table: that the file fills.
        place: address or path of the file.
        database: the warehouse; a download lies beside it meanwhile.
        now: the instant (aware UTC).
        unpack: parses the file.
        doubts_of: compares it with what is known and the last accepted one.
        merge: takes it in.

    Raises:
        Failure: there is no file, it cannot be had, or it is refused; what was known before stays.
    """
    watcher().started(table.name, Progress())
    run_id = context.run.run_id
    download, parquet = (companion(database.path, f"{table.name}.{kind}") for kind in ("part", "parquet"))

    def done(report: Any) -> None:
        counts = {name: int(number) for name, number in asdict(report).items()}
        context.add_asset_metadata({"file": str(day), **counts})
        context.log.info(f"{table.name}: the file of {day}: {counts}")
        watcher().finished(table.name, counts)

    with ExitStack() as held:
        held.enter_context(lease(database.path, table.name, context.log.info, sleep=pause))
        held.callback(download.unlink, missing_ok=True)
        try:
            _tell_ahead(context, database, now)
            found = _newest_unread(table.name, place, database, now, download)
            if found is not None:
                day, path = found
                file = held.enter_context(unpack(path, parquet))
                _weigh(context, config, table.name, day, file, doubts_of, database, now)
        except (SourceError, FileRefused) as error:
            raise dg.Failure(f"{error}. Nothing was changed: what the last good file said stays.") from None
        if found is None:
            yield dg.Output(TableWrite(lambda _: None, lambda _: _nothing_new(context, table.name), held.close))
        else:
            yield dg.Output(TableWrite(partial(merge, file=file, day=day, now=now, run_id=run_id), done, held.close))
    yield from check_results(table, database, now)


def switched_off(
    context: dg.AssetExecutionContext, table: Table, variable: str, database: Database, now: datetime
) -> Steps:
    """Say that an asset does nothing, and why; there is no materialization, and its checks see what there was."""
    watcher().started(table.name, Progress())
    context.log.info(f"{table.name} is off: {variable} is not set. Nothing was read, and nothing changed.")
    watcher().finished(table.name, {})
    yield from check_results(table, database, now)


def _tell_ahead(context: dg.AssetExecutionContext, database: Database, now: datetime) -> None:
    with database.connect() as connection:
        told = told_ahead(connection, DAILY_FILES, now)
    if told:
        context.log.warning(told)
        watcher().note(told)


def _newest_unread(
    name: str, place: str, database: Database, now: datetime, download: Path
) -> tuple[date, Path] | None:
    """Today's file, or yesterday's while today's is not there; None when that was read already."""
    today = now.astimezone(UTC).date()
    candidates = (today, today - timedelta(days=1)) if is_dated(place) else (today,)
    with database.connect() as connection:
        read = last_accepted(connection, name, now)
    unread = [day for day in candidates if read is None or day > read[0]]
    missing = None
    for day in unread:
        stopping().check()
        try:
            return day, fetch(address_of(place, day), download, sleep=pause)
        except NotPublished as error:
            missing = missing or error
    if missing is not None and len(unread) == len(candidates):
        raise missing
    return None


def _weigh(
    context: dg.AssetExecutionContext,
    config: DailyFileConfig,
    name: str,
    day: date,
    file: Unpacked,
    doubts_of: DoubtsOf,
    database: Database,
    now: datetime,
) -> None:
    """Refuse a file that cannot be believed, and note that it was.

    Raises:
        FileRefused: it is not believed.
    """
    with database.transaction() as connection:
        before = last_accepted(connection, name, now)
        verdict = weigh(file, before[1] if before else None, doubts_of(connection, file, now))
        doubt = verdict.doubt
        if doubt and not config.believe:
            record(connection, name, day, file, now, context.run.run_id, refused=doubt)
    if file.unreadable:
        context.log.warning(f"{name}: skipped {file.unreadable:,} lines that cannot be read.")
    if verdict.remark:
        context.log.warning(f"{name}: the file of {day} is believed though {verdict.remark}.")
    if doubt and config.believe:
        context.log.warning(f"{name}: the file of {day} is believed though {doubt}.")
    elif doubt:
        raise FileRefused(f"The file of {day} is refused: {doubt} ({BELIEVE.format(name=name)})")


def _nothing_new(context: dg.AssetExecutionContext, name: str) -> None:
    context.add_asset_metadata({"file": "the last one was read already"})
    context.log.info(f"{name}: there is no newer file than the last one that was read.")
    watcher().finished(name, {})
