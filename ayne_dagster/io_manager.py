"""The DuckDB IO manager: the only writer of asset tables, which merges by key, batch by batch. No rules of its own.

What a merge does to a row is in `warehouse.merge`; what an asset collects, in `collection`.

An asset returns either a `MergeStream` (answers as they arrive) or a `TableWrite` (one statement's worth of work). The
stock dagster-duckdb manager deletes the whole partition before it inserts, without a transaction: with a partial
refresh, the ordinary case here, it would destroy the rest of the year.

https://docs.dagster.io/guides/build/io-managers
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dagster as dg
import duckdb
import pyarrow as pa

from ayne_dagster.resources import DuckDBDatabase
from ayne_dagster.streams import Batches
from ayne_dagster.warehouse.merge import MergeReport
from ayne_dagster.warehouse.schema import ALL_TABLES, VIEWS

T = TypeVar("T")


def _nothing() -> None:
    pass


@dataclass
class MergeStream(Generic[T]):
    """What an asset returns to have batches merged as they arrive."""

    batches: Batches[T]
    merge: Callable[[duckdb.DuckDBPyConnection, list[T]], MergeReport]
    """Merges one batch within an open transaction; merging it twice must change nothing the second time."""
    done: Callable[[MergeReport, float], None]
    """Told at the end what was merged and how many seconds it took, before the materialization is recorded."""
    release: Callable[[], None] = _nothing
    """Called when the stream has ended, however; see `TableWrite.release`."""


@dataclass
class TableWrite(Generic[T]):
    """What an asset returns to have something written in one transaction."""

    write: Callable[[duckdb.DuckDBPyConnection], T]
    done: Callable[[T], None]
    release: Callable[[], None] = _nothing
    """Called when the write has ended, however: lets go of what the asset holds meanwhile, such as a lease. A step that
    fails leaves its asset's generator suspended, and with it what a `with` in it holds, for as long as anybody keeps
    the error."""


class MergingDuckDBIOManager(dg.ConfigurableIOManager):
    """Stores assets as tables of one DuckDB file, which it opens for each commit and closes again."""

    database: dg.ResourceDependency[DuckDBDatabase]

    def handle_output(self, context: dg.OutputContext, obj: MergeStream[Any] | TableWrite[Any]) -> None:
        """Store what an asset returned.

        Raises:
            TypeError: the asset returned something else.
        """
        if not isinstance(obj, MergeStream | TableWrite):
            raise TypeError(f"Return a MergeStream or a TableWrite, not a {type(obj).__name__}.")
        try:
            if isinstance(obj, TableWrite):
                self._write(obj)
            else:
                self._drain(obj, context)
        finally:
            obj.release()

    def _write(self, task: TableWrite[Any]) -> None:
        with self.database.file.transaction() as connection:
            result = task.write(connection)
        task.done(result)

    def _drain(self, stream: MergeStream[Any], context: dg.OutputContext) -> None:
        """Commit each batch as it arrives; on any interruption, first what has arrived already."""
        started = time.monotonic()
        report = MergeReport()
        uncommitted: list[Any] = []
        try:
            for batch in stream.batches:
                uncommitted = batch
                report.add(self._commit(stream, batch))
                uncommitted = []
        except BaseException:
            # Dagster's interruption is a BaseException in this thread, and may have come in the middle of a commit.
            for batch in (uncommitted, *stream.batches.stop()):
                if batch:
                    report.add(self._commit(stream, batch))
            context.log.info(f"Stopped early; kept all that had arrived: {dict(report.total())}")
            stream.done(report, time.monotonic() - started)
            raise
        stream.done(report, time.monotonic() - started)

    def _commit(self, stream: MergeStream[Any], batch: list[Any]) -> MergeReport:
        with self.database.file.transaction() as connection:
            return stream.merge(connection, batch)

    def load_input(self, context: dg.InputContext) -> pa.Table:
        """An asset's rows, of the partitions asked for, as an Arrow table: for assets built on top of ours."""
        name = context.asset_key.path[-1]
        if name not in ALL_TABLES and name not in {view.name for view in VIEWS}:
            raise ValueError(f"{name} is no table of the warehouse.")
        partitioned = context.has_asset_partitions
        where = " WHERE release_year IN (SELECT unnest($years))" if partitioned else ""
        parameters = {"years": list(context.asset_partition_keys)} if partitioned else None
        with self.database.get_connection() as connection:
            return connection.execute(f"SELECT * FROM {name}{where}", parameters).to_arrow_table()
