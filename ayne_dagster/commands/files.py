"""The files that a command works on. Loaded only when a command opens one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ayne_dagster.commands.working import working
from ayne_dagster.config import Settings

if TYPE_CHECKING:
    import duckdb

    from ayne_dagster.warehouse.store import Store


def warehouse(settings: Settings) -> Store:
    """The store of the settings, not yet opened."""
    from ayne_dagster.collecting.stores import open_store

    return open_store(settings)


@contextmanager
def reading(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for a question; a person is told that it is read for as long as that takes.

    Raises:
        WarehouseError: it cannot be read.
    """
    with working("Reading the database"), warehouse(settings).connect(read_only=True) as connection:
        yield connection


@contextmanager
def asking_beside_runs(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same where the question may take long: while it is answered, no run waits.

    Raises:
        WarehouseError: it cannot be read.
    """
    from ayne_dagster.warehouse.query import reading_beside_runs

    with working("Reading the database"), reading_beside_runs(warehouse(settings)) as connection:
        yield connection
