"""A warehouse in memory for tests of merging and counting, one in a file for those of the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.support.samples import create_tables


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        create_tables(opened)
        yield opened


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "ayne.duckdb", wait_seconds=0.05)
