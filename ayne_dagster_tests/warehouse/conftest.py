"""A warehouse in memory for tests of merging and counting, one in a file for those of the file.

With `--store lake` both are a lake.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.store import Store
from ayne_dagster_tests.support.samples import create_tables


@pytest.fixture
def connection(request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    if request.config.getoption("--store") == "lake":
        yield request.getfixturevalue("lake_connection")
        return
    with duckdb.connect() as opened:
        create_tables(opened)
        yield opened


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.config.getoption("--store") == "lake":
        return request.getfixturevalue("make_lake")(wait_seconds=0.05).store
    return Database(tmp_path / "ayne.duckdb", wait_seconds=0.05)
