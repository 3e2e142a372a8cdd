"""An open warehouse for tests of merging and counting, a closed one for those of the file.

With `--store lake` both are a lake.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest

from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.store import Store
from ayne_dagster_tests.support.samples import create_tables


@pytest.fixture(scope="session")
def _empty_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every table, view and macro, in a file without a row."""
    file = tmp_path_factory.mktemp("tables") / "empty.duckdb"
    with duckdb.connect(str(file)) as made:
        create_tables(made)
    return file


@pytest.fixture
def connection(request: pytest.FixtureRequest, _empty_tables: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open, of a copy: making the tables takes longer than most of the tests."""
    if request.config.getoption("--store") == "lake":
        yield request.getfixturevalue("lake_connection")
        return
    with TemporaryDirectory(dir=_empty_tables.parent) as folder:
        file = shutil.copy(_empty_tables, folder)
        with duckdb.connect(file) as opened:
            opened.execute("PRAGMA disable_checkpoint_on_shutdown")
            yield opened


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.config.getoption("--store") == "lake":
        return request.getfixturevalue("make_lake")(wait_seconds=0.05).store
    return Database(tmp_path / "ayne.duckdb", wait_seconds=0.05)
