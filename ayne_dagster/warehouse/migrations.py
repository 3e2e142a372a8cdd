"""How a database of an older schema becomes one of today's: explicit steps, in order, in one transaction.

To change the schema: change `schema.py`, raise `SCHEMA_VERSION`, add the step that leads there in `migration_steps`,
and note the new fingerprints where the tests ask for them. A step has a name and is literal SQL; it sees a database of
exactly the version before, and a kill or an error anywhere leaves that version as it was. Which steps a database has
seen is written in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb

from ayne_dagster.config import FigureChoice
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.dictionary import comments, comments_of_lake
from ayne_dagster.warehouse.migration_steps import STEPS, Step
from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.schema import SCHEMA_VERSION, TABLES
from ayne_dagster.warehouse.views import VIEWS

VERSION_TABLE = "warehouse_schema"
STEPS_TABLE = "warehouse_steps"
"""The steps that a database has seen, with the digest of what each was then; of one that was made new, none."""
_KEY = re.compile(r",?\s*PRIMARY KEY(\s*\([^)]*\))?")
"""The clause of a key, behind a column or after all of them."""


class MigrationFailed(Exception):
    """A step could not be done; the database is what it was before. `str()` is one line."""


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every table, view and macro that is missing, and note the version, in one transaction."""
    connection.execute("BEGIN")
    try:
        for table in TABLES:
            connection.execute(_accepted(connection, table.ddl()))
        put_precedence(connection, FigureChoice())
        _note_version(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def schema_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The version that a database says it has; None where it says nothing. Asked whenever a database is opened."""
    try:
        ((version,),) = connection.execute(f"SELECT max(version) FROM {VERSION_TABLE}").fetchall()
    except duckdb.CatalogException:  # there is no such table
        return None
    return None if version is None else int(version)


def migrate(connection: duckdb.DuckDBPyConnection, found: int, steps: Mapping[int, Step] | None = None) -> None:
    """Bring a database of version `found` up to date, in one transaction.

    Args:
        connection: open for writing, without a transaction.
        found: the version that it has, below `SCHEMA_VERSION`.
        steps: by version, what leads to it; `STEPS` when left out.

    Raises:
        MigrationFailed: a step failed; nothing was changed.
    """
    steps = STEPS if steps is None else steps
    reached = found
    connection.execute("BEGIN")
    try:
        for reached in range(found + 1, SCHEMA_VERSION + 1):
            _take(connection, reached, steps[reached])
        _note_version(connection)
        connection.execute("COMMIT")
    except BaseException as error:
        connection.execute("ROLLBACK")
        if isinstance(error, duckdb.Error | KeyError):
            reason = str(error).splitlines()[0]
            raise MigrationFailed(f"the step from version {reached - 1} to {reached} failed: {reason}") from error
        raise


def _take(connection: duckdb.DuckDBPyConnection, version: int, step: Step) -> None:
    """Run a step, and write down that it was run."""
    for statement in step.statements:
        connection.execute(_accepted(connection, statement))
    _make_steps_table(connection)
    connection.execute(f"INSERT INTO {STEPS_TABLE} VALUES (?, ?, ?)", [version, step.name, step.digest])


def _accepted(connection: duckdb.DuckDBPyConnection, statement: str) -> str:
    """A statement as this database takes it: a lake knows no keys, and checks none.

    https://ducklake.select/docs/stable/duckdb/unsupported_features
    """
    return _KEY.sub("", statement) if _is_lake(connection) else statement


def _is_lake(connection: duckdb.DuckDBPyConnection) -> bool:
    query = "SELECT type FROM duckdb_databases() WHERE database_name = current_database()"
    return connection.execute(query).fetchall() == [("ducklake",)]


def steps_taken(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, str, str]]:
    """Version, name and digest of the steps that a database has seen since they are written down, in order."""
    rows = connection.execute(f"SELECT version, name, digest FROM {STEPS_TABLE} ORDER BY version").fetchall()
    return [(int(version), name, digest) for version, name, digest in rows]


def _make_steps_table(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"CREATE TABLE IF NOT EXISTS {STEPS_TABLE} (version INTEGER, name VARCHAR, digest VARCHAR)")


def _note_version(connection: duckdb.DuckDBPyConnection) -> None:
    """Put the views, macros and texts of today in place, which hold no data, and write the version down."""
    for item in (*VIEWS, *MACROS):
        connection.execute(item.ddl())
    _comment(connection)
    _make_steps_table(connection)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version INTEGER)")
    connection.execute(f"DELETE FROM {VERSION_TABLE}")
    connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (?)", [SCHEMA_VERSION])


def _comment(connection: duckdb.DuckDBPyConnection) -> None:
    """Write what tables, views and columns are into the database, for whoever opens it with another program.

    These are more than 500 statements. There is nothing to optimize in them, and trying takes a third of their time.
    """
    connection.execute("PRAGMA disable_optimizer")
    try:
        connection.execute(comments_of_lake() if _is_lake(connection) else comments())
    finally:
        connection.execute("PRAGMA enable_optimizer")


def existing_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """The columns that the tables and views of the database have, with their types, by table.

    What is in another schema than the main one has its name before its own: `legacy.movies`.
    """
    rows = connection.execute(
        "SELECT if(schema_name = 'main', table_name, schema_name || '.' || table_name), column_name, data_type"
        " FROM duckdb_columns()"
        " WHERE NOT internal AND database_name = current_database()"
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found
