"""Whether what a store holds is ours, and bringing it up to date when it is opened. How: `migrations`."""

from __future__ import annotations

import duckdb

from ayne_dagster.warehouse.migrations import (
    VERSION_TABLE,
    MigrationFailed,
    create_schema,
    migrate,
    schema_version,
)
from ayne_dagster.warehouse.schema import ALL_TABLES, SCHEMA_VERSION
from ayne_dagster.warehouse.store import DatabaseUnusable, WrongDatabase


def ensure_schema(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create what is missing in a new database, migrate an older one.

    Args:
        connection: open for writing, without a transaction.
        name: of the database, for messages.

    Raises:
        DatabaseUnusable: it is none of ours, or a newer one, or could not be migrated; nothing was changed.
    """
    version = require_ours(connection, name)
    if version is None:
        create_schema(connection)
    elif version < SCHEMA_VERSION:
        try:
            migrate(connection, version)
        except MigrationFailed as error:
            raise DatabaseUnusable(
                f"{name} has schema version {version} and could not be brought to {SCHEMA_VERSION}: {error}; nothing "
                "was changed in it. Keep it, and run `ayne check`."
            ) from None


def require_ours(connection: duckdb.DuckDBPyConnection, name: str) -> int | None:
    """Refuse what a newer version wrote, and leave another program's database alone: one with tables, but not ours.

    Returns:
        The version that it says it has; None where it says nothing.

    Raises:
        WrongDatabase: it is one of these.
    """
    version = schema_version(connection)
    if version is not None and version > SCHEMA_VERSION:
        raise WrongDatabase(
            f"{name} has schema version {version}, this program knows {SCHEMA_VERSION}: install the newer ayne_dagster."
        )
    if version is not None:
        return version
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
    tables = {row[0] for row in connection.execute(query).fetchall()}
    if tables and not tables & (ALL_TABLES.keys() | {VERSION_TABLE}):
        raise WrongDatabase(
            f"{name} is a DuckDB database of another program; nothing was changed in it. Choose another AYNE_DATABASE."
        )
    return None


def is_older(version: int | None) -> bool:
    """Whether a schema must be migrated (or a half-made one completed) before its tables can be read as ours."""
    return version is None or version < SCHEMA_VERSION
