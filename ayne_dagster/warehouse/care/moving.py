"""Copying all tables from one store into another, of the same kind or not, and comparing them. Decides nothing else.

Rows go as Arrow batches from one connection to the other, so that neither store need know the other's kind. Each table
is one transaction in the target, and one that is already the same is left alone: what was interrupted goes on where it
was. The refresh state comes last; without it a target counts as empty.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import duckdb

from ayne_dagster.errors import WrongUsage
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.migrations import STEPS_TABLE
from ayne_dagster.warehouse.rows import registered
from ayne_dagster.warehouse.schema import REFRESH_METADATA, TABLES
from ayne_dagster.warehouse.spool import kept
from ayne_dagster.warehouse.store import Store, WarehouseError

ROWS_AT_ONCE = 50_000
_OF_STEPS = ("version", "name", "digest")


class NotMoved(WarehouseError):
    """What arrived is not what was sent; the source is untouched."""


class WrongTargetStore(WrongUsage, WarehouseError):
    """The target holds movies that are not the source's; nothing was changed."""


@dataclass(frozen=True)
class TableSum:
    """What tells the rows of a table from others, whatever their order."""

    rows: int
    checksum: int
    """The sum of the rows' 64-bit hashes."""


def move_store(source: Store, target: Store, tell: Callable[[str], object]) -> dict[str, int]:
    """Copy a store into another while nobody collects into either; see `copy_store`.

    Raises:
        WrongTargetStore: they are one; or as `copy_store`.
        WarehouseError: as `copy_store`.
    """
    if source.name == target.name:
        raise WrongTargetStore(f"{source.name} is both: nothing was changed. Name two stores.")
    source.require_file()
    with ExitStack() as held:
        for store in (source, target):
            for name in SOURCES:
                held.enter_context(lease(store, name, tell))
            if waiting := kept(store.path):
                raise WrongTargetStore(
                    f"{waiting:,} answers wait in the spool of {store.name}: `ayne collect` there merges them. Nothing "
                    "was changed."
                )
        return copy_store(source, target, tell)


def copy_store(source: Store, target: Store, tell: Callable[[str], object]) -> dict[str, int]:
    """Copy all rows of a store into one that is empty, or that an interrupted copy of the same left.

    Nobody may collect into either meanwhile; the source is read as it is at one moment.

    Args:
        source: what is copied.
        target: made where there is none.
        tell: told of each table, in a sentence.

    Returns:
        Rows by table.

    Raises:
        WrongTargetStore: the target holds other movies.
        NotMoved: a table is not the same afterwards.
        WarehouseError: one of the two cannot be had.
    """
    copied: dict[str, int] = {}
    with source.connect(read_only=True) as connection:
        with target.connect() as there:
            own = table_sum(there, REFRESH_METADATA.name, REFRESH_METADATA.column_names)
        if own.rows and own != table_sum(connection, REFRESH_METADATA.name, REFRESH_METADATA.column_names):
            raise WrongTargetStore(
                f"{target.name} holds {own.rows:,} movies that are not those of {source.name}: nothing was changed. "
                "Name an empty one."
            )
        for name, columns in _tables():
            copied[name] = _copy_table(connection, target, name, columns, tell)
    return copied


def table_sum(connection: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...]) -> TableSum:
    """Number and checksum of the rows of a table."""
    query = f"SELECT count(*), coalesce(sum(hash({', '.join(columns)})::HUGEINT), 0) FROM {table}"
    ((rows, checksum),) = connection.execute(query).fetchall()
    return TableSum(int(rows), int(checksum))


def _tables() -> list[tuple[str, tuple[str, ...]]]:
    """What is copied, in order: the refresh state last."""
    others = [(table.name, table.column_names) for table in TABLES if table is not REFRESH_METADATA]
    return [(STEPS_TABLE, _OF_STEPS), *others, (REFRESH_METADATA.name, REFRESH_METADATA.column_names)]


def _copy_table(
    connection: duckdb.DuckDBPyConnection,
    target: Store,
    table: str,
    columns: tuple[str, ...],
    tell: Callable[[str], object],
) -> int:
    """Have a table of the target hold the rows of the source's, in one transaction."""
    wanted = table_sum(connection, table, columns)
    with target.connect() as there:
        if table_sum(there, table, columns) == wanted:
            return wanted.rows
    names = ", ".join(columns)
    with target.transaction() as there:
        there.execute(f"DELETE FROM {table}")
        reader = connection.execute(f"SELECT {names} FROM {table}").to_arrow_reader(ROWS_AT_ONCE)
        with registered(there, "incoming_table", reader):
            there.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming_table")
        found = table_sum(there, table, columns)
        if found != wanted:
            raise NotMoved(
                f"{table} has {found.rows:,} rows in {target.name} and {wanted.rows:,} in the source, or others: "
                "nothing of it was stored. The source is untouched; try again."
            )
    tell(f"{table}: {wanted.rows:,} rows")
    return wanted.rows
