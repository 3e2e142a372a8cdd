"""Lakes for tests: a catalogue in the Postgres of `postgres`, files in a temporary folder. Skipped without the extra.

Making the tables of a lake takes seconds, so each is a copy of one: Postgres copies a database in a fraction of one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
import pytest
from psycopg import sql

from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import load_settings
from ayne_dagster.errors import WrongUsage
from ayne_dagster.settings.lake import LakePlace
from ayne_dagster.sources.limits.server_session import ServerSession
from ayne_dagster.warehouse import lake_instance
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.lake_instance import extension_file
from ayne_dagster_tests.support.postgres import PASSWORD, USER, Postgres


@dataclass(frozen=True)
class Lake:
    """A lake, and what a process needs to know of it."""

    store: LakeStore
    environment: dict[str, str]
    """The settings that name it."""
    database: str
    """Its catalogue's database."""

    def on_machine(self, state: Path) -> dict[str, str]:
        """The settings on a machine whose own things lie in `state`."""
        return self.environment | {"AYNE_STATE_FOLDER": str(state)}


def variables(postgres: Postgres, database: str, ledger: str, folder: Path) -> dict[str, str]:
    """The settings that name a lake."""
    return {
        "AYNE_DATABASE": f"ducklake:postgres:host=127.0.0.1 port={postgres.port} dbname={database} user={USER}"
        f" password={PASSWORD}",
        "AYNE_LAKE_DATA": str(folder / "files"),
        "AYNE_LEDGER_URL": ledger,
        "AYNE_STATE_FOLDER": str(folder / "state"),
    }


def opened(environment: dict[str, str], wait_seconds: float = 10.0) -> LakeStore:
    """The lake that settings name."""
    store = open_store(load_settings(environment), wait_seconds=wait_seconds)
    assert isinstance(store, LakeStore)
    return store


def forget(place: LakePlace) -> None:
    """End this process's connections to a lake."""
    for key in [key for key in lake_instance._instances if key[1] == place]:
        lake_instance._instances.pop(key).close()


@pytest.fixture(scope="session")
def lake_template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a catalogue without a row, which nobody is connected to."""
    try:
        extension_file("ducklake")
    except WrongUsage as error:
        if os.environ.get("AYNE_TESTS_WANT_LAKE"):
            raise
        pytest.skip(f"no lake to be had: {error}")
    folder = tmp_path_factory.mktemp("lake")
    ledger = postgres.new_database()
    database = postgres.new_database().rpartition("/")[2]
    store = opened(variables(postgres, database, ledger, folder))
    with store.connect():
        pass
    forget(store.place)
    return database


@pytest.fixture
def make_lake(postgres: Postgres, lake_template: str, tmp_path: Path) -> Iterator[Callable[..., Lake]]:
    """Makes lakes without a row."""
    made: list[Lake] = []

    def make(name: str = "lake", wait_seconds: float = 10.0) -> Lake:
        database, folder = f"lake_{secrets.token_hex(6)}", tmp_path / name
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(database), sql.Identifier(lake_template))
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(copy)
        environment = variables(postgres, database, postgres.new_database(), folder)
        store = opened(environment, wait_seconds)
        with psycopg.connect(postgres.url(database), autocommit=True) as connection:
            connection.execute("UPDATE ducklake_metadata SET value = %s WHERE key = 'data_path'", [store.place.data])
        made.append(Lake(store, environment, database))
        return made[-1]

    yield make
    for lake in made:
        forget(lake.store.place)
        # A server has room for a hundred sessions, and a suite has more tests than that.
        if isinstance(lake.store.locks, ServerSession):
            lake.store.locks.close()


@pytest.fixture
def lake(make_lake: Callable[..., Lake]) -> Lake:
    """A lake without a row."""
    return make_lake()


@pytest.fixture
def lake_connection(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that writes to a lake without a row."""
    with lake.store._at_work() as connection:
        yield connection
