"""What all formats of exported files have in common: errors, and that a file is whole or not there. No format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ayne_dagster.errors import WrongUsage
from ayne_dagster.warehouse.database import WarehouseError
from ayne_dagster.warehouse.dictionary import literal


class ExportError(WarehouseError):
    """The files cannot be written."""


class WrongExport(WrongUsage, ExportError):
    """A table or format does not exist, or the folder is no place to write to."""


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Within the block, the place for what is to be `target` after it; what a killed export left there is gone."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        if partial.is_file():
            partial.unlink()
        yield partial
        partial.replace(target)
    finally:
        if partial.is_file():
            partial.unlink()


def copy_query(
    connection: duckdb.DuckDBPyConnection, query: str, bound: Mapping[str, Any], target: Path, options: str
) -> int:
    """Have DuckDB write a query's rows to a file; returns how many."""
    # COPY takes no parameter for its target.
    statement = f"COPY ({query}) TO {literal(str(target))} ({options})"
    return int(connection.execute(statement, dict(bound) or None).fetchall()[0][0])
