"""The DuckDB IO manager: the only writer of asset tables, which merges by key, batch by batch. No rules of its own.

What a merge does to a row is in `warehouse.merge`; what an asset collects, in `collecting`; what becomes of a stream
that ends before its time, in `collecting.draining`.

An asset returns either a `MergeStream` (answers as they arrive) or a `TableWrite` (one transaction of work). The
stock dagster-duckdb manager deletes the whole partition before it inserts, without a transaction: with a partial
refresh, the ordinary case here, it would destroy the rest of the year.

https://docs.dagster.io/guides/build/io-managers
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

import dagster as dg
import duckdb
import pyarrow as pa

from ayne_dagster.collecting.draining import Drain, MergeStream
from ayne_dagster.partitions import YEARS_TAG, described_years
from ayne_dagster.resources.clients import DuckDBDatabase
from ayne_dagster.warehouse.rows import each_of, one_text
from ayne_dagster.warehouse.schema import ALL_TABLES
from ayne_dagster.warehouse.views import VIEWS

__all__ = ["MergeStream", "MergingDuckDBIOManager", "TableWrite"]

T = TypeVar("T")


class TableWrite(ABC, Generic[T]):
    """What an asset hands to the IO manager to have something written in one transaction; each kind is a class."""

    def held(self) -> AbstractContextManager[object]:
        """What holds until it is written and told: a lease, say, or a file."""
        return nullcontext()

    @abstractmethod
    def write(self, connection: duckdb.DuckDBPyConnection) -> T:
        """Write, within an open transaction; returns what there is to tell of it."""

    @abstractmethod
    def report(self, written: T) -> None:
        """Tell what was written, before the materialization is recorded."""


class MergingDuckDBIOManager(dg.IOManager):
    """Stores assets as tables of one DuckDB file, which it opens for each commit and closes again.

    Args:
        database: the file.
    """

    def __init__(self, database: DuckDBDatabase) -> None:
        self.database = database

    @property
    def sealed(self) -> dg.IOManagerDefinition:
        """As a resource that no run configuration reaches."""
        return dg.IOManagerDefinition(lambda _: self, config_schema={}, description="Merges by key, batch by batch.")

    def handle_output(self, context: dg.OutputContext, obj: MergeStream[Any, Any] | TableWrite[Any]) -> None:
        """Store what an asset returned.

        Raises:
            TypeError: the asset returned something else.
            dagster.Failure: answers could not be committed; says where they are kept.
        """
        if not isinstance(obj, MergeStream | TableWrite):
            raise TypeError(f"Return a MergeStream or a TableWrite, not a {type(obj).__name__}.")
        _tell_of_touched_years(context)
        if isinstance(obj, TableWrite):
            self._write(obj)
        else:
            Drain(obj, self.database.file, context.log).run()

    def _write(self, task: TableWrite[Any]) -> None:
        with task.held():
            with self.database.file.transaction() as connection:
                written = task.write(connection)
            task.report(written)

    def load_input(self, context: dg.InputContext) -> pa.Table:
        """An asset's rows, of the partitions asked for, as an Arrow table: for assets built on top of ours."""
        name = context.asset_key.path[-1]
        if name not in ALL_TABLES and name not in {view.name for view in VIEWS}:
            raise ValueError(f"{name} is no table of the warehouse.")
        partitioned = context.has_asset_partitions
        where = f" WHERE release_year IN ({each_of('$years')})" if partitioned else ""
        parameters = {"years": one_text(context.asset_partition_keys)} if partitioned else None
        with self.database.get_connection() as connection:
            return connection.execute(f"SELECT * FROM {name}{where}", parameters).to_arrow_table()


def _tell_of_touched_years(context: dg.OutputContext) -> None:
    """Have Dagster record materializations of the years that the run's tags name, where they do, not of all its range.

    A run serves one contiguous range (dagster#32335), and each of its partitions would be recorded twice for each
    asset: a hundred movies out of a hundred years cost the Dagster home more than they cost the warehouse. Dagster asks
    the context which partitions an output is of and has no other door for it; where it asks somebody else, by a later
    version, all years of the range are told.
    """
    if not context.has_asset_partitions:
        return
    touched = set(described_years(context.step_context.dagster_run.tags.get(YEARS_TAG, "")))
    if touched := touched & set(context.asset_partition_keys):
        context._asset_partitions_subset = context.asset_partitions_def.subset_with_partition_keys(touched)
