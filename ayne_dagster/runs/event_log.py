"""Dagster's event log in SQLite, at a fraction of its cost. Stores what Dagster's own does, in the same files.

Dagster's storage makes a new SQLAlchemy engine and connection for every event, and stores the events of a batch one by
one, each in two files: a run over 130 release years spent 11 of its 20 seconds there. This one keeps an engine and a
connection a file, and stores a batch in one transaction a file. The file of a run begins as a copy of an empty one: to
have Alembic make each took half of a small run. It is named in `dagster.yaml`, and a home can change between the two at
any time.

https://docs.dagster.io/deployment/oss/oss-instance-configuration
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool, QueuePool

MOST_OPEN = 4
"""Files of runs that stay open at a time; the index stays open always."""
LOG_BYTES = 200 * 1024
"""What a file's write-ahead log grows to before it is written into the file."""
RUN_PAGE_BYTES = 1024
"""A page of a run's file: of SQLite's own 4 KB its 25 tables and indexes, most without a row, take 100 KB."""
BATCH_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
BATCH_SIZE = "1000"
"""Dagster hands events over in batches where this variable asks for it; by default it does not."""
_PATIENT = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
_IN_BATCHES = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_OBSERVATION,
}
"""What of a batch is stored at once; anything else in it is stored event by event, as Dagster does."""


class SqliteEventLog(SqliteEventLogStorage):
    """The event log of a Dagster home. It needs no configuration: the home that it is registered with says where."""

    _empty_run: ClassVar[bytes | None] = None
    """What `_run_without_events` tells, once it was asked."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        # The rest follows in `register_instance`: until then it is not known where.
        self._given = inst_data
        self._inst_data = inst_data
        self._kept: OrderedDict[str, Engine] = OrderedDict()
        self._of_process = os.getpid()

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No configuration."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> SqliteEventLog:
        """As Dagster makes it from `dagster.yaml`."""
        return cls(inst_data)

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Open the log of an instance."""
        os.environ.setdefault(BATCH_VARIABLE, BATCH_SIZE)
        super().__init__(str(Path(instance.root_directory) / "history" / "runs"), self._given)
        super().register_instance(instance)

    @property
    def open_files(self) -> Sequence[str]:
        """Names of the files that are open: runs, and the index."""
        return list(self._kept)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._engine(shard).begin() as connection:
            yield connection

    def _engine(self, shard: str) -> Engine:
        """The engine of a file, with the one connection that it keeps."""
        if self._of_process != os.getpid():  # a connection must not be used on both sides of a fork
            self._kept, self._of_process = OrderedDict(), os.getpid()
        engine = self._kept.get(shard)
        if engine is not None and not os.path.exists(self.path_for_shard(shard)):  # noqa: PTH110 -- a str, twice an event
            self._kept.pop(shard).dispose()
            self._initialized_dbs.discard(shard)
            engine = None
        if shard not in self._initialized_dbs:
            self._make_tables(shard)
            self._initialized_dbs.add(shard)
        if engine is None:
            engine = self._kept[shard] = sa.create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool,
                pool_size=1,
                max_overflow=0,
                connect_args={**_PATIENT, "check_same_thread": False},
            )
            sa.event.listen(engine, "connect", _keep_its_log_small)
            self._close_the_oldest()
        self._kept.move_to_end(shard)
        return engine

    def _make_tables(self, shard: str) -> None:
        """Have a file with Dagster's tables, where it is missing or empty."""
        path = Path(self.path_for_shard(shard))
        if shard != INDEX_SHARD_NAME and not path.exists():
            with suppress(OSError, sqlite3.Error, sa.exc.SQLAlchemyError):  # no room for what passes: Dagster makes it
                if _is_put(path, self._run_without_events()):
                    return
        self._initialize(path)

    def _run_without_events(self) -> bytes:
        """What the file of a run is before its first event: as Dagster makes it, in small pages."""
        if SqliteEventLog._empty_run is None:
            with TemporaryDirectory(prefix="ayne-run-") as folder:
                path = Path(folder) / "run.db"
                self._initialize(path)
                _have_small_pages(path)
                SqliteEventLog._empty_run = path.read_bytes()
        return SqliteEventLog._empty_run

    def _initialize(self, path: Path) -> None:
        # With an engine of its own, since Dagster takes two connections at a time.
        address = sa.URL.create("sqlite", database=str(path.absolute()))
        self._initdb(sa.create_engine(address, poolclass=NullPool, connect_args=_PATIENT))

    def _close_the_oldest(self) -> None:
        runs = [shard for shard in self._kept if shard != INDEX_SHARD_NAME]
        for shard in runs[:-MOST_OPEN]:
            self._kept.pop(shard).dispose()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of a run, in one transaction in each of the two files; checks are few, and stored one by one."""
        of_assets = [event for event in events if self._goes_in_batches(event, events[0].run_id)]
        if of_assets:
            self._store_asset_events(of_assets)
        for event in events:
            if not self._goes_in_batches(event, events[0].run_id):
                self.store_event(event)

    def _store_asset_events(self, events: Sequence[EventLogEntry]) -> None:
        """What `store_event` does with each of them, done with all at once."""
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(sa.insert(SqlEventLogStorageTable), rows)
        with self.index_transaction() as connection:
            number = SqlEventLogStorageTable.c.id
            before = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(number), 0)))
            connection.execute(sa.insert(SqlEventLogStorageTable), rows)
            # Nobody else writes within the transaction, and numbers ascend.
            ids = list(connection.scalars(sa.select(number).where(number > before).order_by(number)))
            self._store_asset_event_tags(connection, events, ids)
            for event, event_id in self._latest_of_each_asset(events, ids):
                self._store_asset_event(connection, event, event_id)

    @staticmethod
    def _goes_in_batches(event: EventLogEntry, run_id: str) -> bool:
        return (
            event.run_id == run_id
            and event.dagster_event is not None
            and event.dagster_event.asset_key is not None
            and event.dagster_event_type in _IN_BATCHES
        )

    @staticmethod
    def _latest_of_each_asset(
        events: Sequence[EventLogEntry], ids: Sequence[int]
    ) -> Iterator[tuple[EventLogEntry, int]]:
        """The events that decide what the table of assets says: each overwrites what the one before it wrote."""
        latest = {
            (event.get_dagster_event().asset_key, event.dagster_event_type): (event, event_id)
            for event, event_id in zip(events, ids, strict=True)
        }
        yield from latest.values()

    def delete_events(self, run_id: str) -> None:
        """Remove the events of a run."""
        super().delete_events(run_id)
        with self._db_lock:
            if (engine := self._kept.pop(run_id, None)) is not None:
                engine.dispose()

    def dispose(self) -> None:
        """Close all files."""
        super().dispose()
        with self._db_lock:
            for engine in self._kept.values():
                engine.dispose()
            self._kept.clear()


def _have_small_pages(path: Path) -> None:
    """Write a file that nobody else has open anew, in small pages and without a log beside it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = DELETE")  # in another mode the size of a page stays
        file.execute(f"PRAGMA page_size = {RUN_PAGE_BYTES}")
        file.execute("VACUUM")
        file.execute("PRAGMA journal_mode = WAL")


def _keep_its_log_small(connection: Any, _: object) -> None:
    """SQLite empties the log of a file when its last connection is closed, and else only from 4 MB on."""
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // page_bytes}")


def _is_put(path: Path, content: bytes) -> bool:
    """Put a file in its place unless another process has, and never half of it, as a kill would leave it.

    Returns:
        Whether it is there: not where the disk is full, or where its file system knows no hard links.
    """
    new = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    try:
        new.write_bytes(content)
        with suppress(FileExistsError):
            path.hardlink_to(new)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            new.unlink()
    return True
