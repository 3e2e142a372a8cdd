"""Reading a file that is published daily: lease, day, download, doubts, record. Shared by the assets that do.

What a file says, and what follows from it, is in `warehouse`; each asset stands in a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import dagster as dg
import duckdb
from pydantic import Field

from ayne_dagster.assets.run_config import RunConfig
from ayne_dagster.collecting.numbers import Nothing
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.stopping import pause, stopping
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.settings.places import companion
from ayne_dagster.sources.daily_files import NotPublished, address_of, fetch, is_dated
from ayne_dagster.sources.errors import SourceError
from ayne_dagster.warehouse.answers import Numbers
from ayne_dagster.warehouse.care.ahead import told_ahead
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
from ayne_dagster.warehouse.store import Store


class DailyFileConfig(RunConfig):
    """How to read a daily file."""

    believe: bool = Field(default=False, description="Accept the file though it is quite another than the last one")


class Merge(Protocol):
    """Takes a file in, within an open transaction, and reports what it told."""

    def __call__(
        self, connection: duckdb.DuckDBPyConnection, file: Unpacked, day: date, now: datetime, run_id: str
    ) -> Numbers:
        """Merge."""


class DoubtsOf(Protocol):
    """Says what speaks against a file: what is known, and the last accepted one."""

    def __call__(self, connection: duckdb.DuckDBPyConnection, file: Unpacked, now: datetime) -> Doubts:
        """Compare."""


@dataclass
class DailyFileReading(TableWrite[Numbers | None]):
    """The newest file that was not read yet.

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
    """

    context: dg.AssetExecutionContext
    config: DailyFileConfig
    table: Table
    place: str
    database: Store
    now: datetime
    unpack: Callable[[Path, Path], AbstractContextManager[Unpacked]]
    doubts_of: DoubtsOf
    merge: Merge

    def __post_init__(self) -> None:
        self._day: date | None = None
        self._file: Unpacked | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """The file's lease, and the file, parsed and believed; nothing where there is none that was not read.

        Raises:
            Failure: there is no file, it cannot be had, or it is refused; what was known before stays.
        """
        watcher().started(self.table.name, Progress())
        download, parquet = (companion(self.database.path, f"{self.table.name}.{kind}") for kind in ("part", "parquet"))
        with lease(self.database, self.table.name, self.context.log.info, sleep=pause):
            try:
                _tell_ahead(self.context, self.database, self.now)
                found = _newest_unread(self.table.name, self.place, self.database, self.now, download)
                if found is None:
                    yield
                    return
                self._day, path = found
                with self.unpack(path, parquet) as self._file:
                    self._weigh(self._day, self._file)
                    yield
            except (SourceError, FileRefused) as error:
                raise dg.Failure(f"{error}. Nothing was changed: what the last good file said stays.") from None
            finally:
                download.unlink(missing_ok=True)

    def _weigh(self, day: date, file: Unpacked) -> None:
        """Refuse a file that cannot be believed, and note that it was.

        Raises:
            FileRefused: it is not believed.
        """
        name, warn = self.table.name, self.context.log.warning
        with self.database.transaction() as connection:
            before = last_accepted(connection, name, self.now)
            verdict = weigh(file, before[1] if before else None, self.doubts_of(connection, file, self.now))
            if verdict.doubt and not self.config.believe:
                record(connection, name, day, file, self.now, self.context.run.run_id, refused=verdict.doubt)
        if file.unreadable:
            warn(f"{name}: skipped {file.unreadable:,} lines that cannot be read.")
        if verdict.remark:
            warn(f"{name}: the file of {day} is believed though {verdict.remark}.")
        if verdict.doubt and self.config.believe:
            warn(f"{name}: the file of {day} is believed though {verdict.doubt}.")
        elif verdict.doubt:
            raise FileRefused(f"The file of {day} is refused: {verdict.doubt} ({BELIEVE.format(name=name)})")

    def write(self, connection: duckdb.DuckDBPyConnection) -> Numbers | None:
        """Take the file in; returns what it told, None where there is none."""
        if self._file is None or self._day is None:
            return None
        run_id = self.context.run.run_id
        return self.merge(connection, file=self._file, day=self._day, now=self.now, run_id=run_id)

    def report(self, written: Numbers | None) -> None:
        """Counts, or that there is nothing new."""
        name = self.table.name
        if written is None:
            self.context.add_asset_metadata({"file": "the last one was read already"})
            self.context.log.info(f"{name}: there is no newer file than the last one that was read.")
            watcher().finished(name, Nothing())
            return
        counts = written.as_dict()
        self.context.add_asset_metadata({"file": str(self._day), **counts})
        self.context.log.info(f"{name}: the file of {self._day}: {counts}")
        watcher().finished(name, written)


def tell_switched_off(context: dg.AssetExecutionContext, table: Table, variable: str) -> None:
    """Say that an asset does nothing, and why; there is no materialization."""
    watcher().started(table.name, Progress())
    context.log.info(f"{table.name} is off: {variable} is not set. Nothing was read, and nothing changed.")
    watcher().finished(table.name, Nothing())


def _tell_ahead(context: dg.AssetExecutionContext, database: Store, now: datetime) -> None:
    with database.connect() as connection:
        told = told_ahead(connection, DAILY_FILES, now)
    if told:
        context.log.warning(told)
        watcher().note(told)


def _newest_unread(name: str, place: str, database: Store, now: datetime, download: Path) -> tuple[date, Path] | None:
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
