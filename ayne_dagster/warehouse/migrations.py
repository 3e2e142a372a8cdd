"""How a database of an older schema becomes one of today's: explicit steps, in order, in one transaction.

To change the schema: change `schema.py`, raise `SCHEMA_VERSION`, add the step that leads there to `STEPS`, and note the
new fingerprint where the test asks for it. A step is SQL or a function; it sees a database of exactly the version
before, and a kill or an error anywhere leaves that version as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import duckdb

from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.schema import SCHEMA_VERSION, TABLES, VIEWS

VERSION_TABLE = "warehouse_schema"
Step = Callable[[duckdb.DuckDBPyConnection], None]


class MigrationFailed(Exception):
    """A step could not be done; the database is what it was before. `str()` is one line."""


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every table and view that is missing, and note the version, in one transaction."""
    connection.execute("BEGIN")
    try:
        for table in TABLES:
            connection.execute(table.ddl())
        _note_version(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def schema_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The version that a database says it has; None where it says nothing."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE table_name = ? AND database_name = current_database()",
        [VERSION_TABLE],
    ).fetchall()
    if not tables:
        return None
    rows = connection.execute(f"SELECT max(version) FROM {VERSION_TABLE}").fetchall()
    return None if rows[0][0] is None else int(rows[0][0])


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
            steps[reached](connection)
        _note_version(connection)
        connection.execute("COMMIT")
    except BaseException as error:
        connection.execute("ROLLBACK")
        if isinstance(error, duckdb.Error | KeyError):
            reason = str(error).splitlines()[0]
            raise MigrationFailed(f"the step from version {reached - 1} to {reached} failed: {reason}") from error
        raise


def _note_version(connection: duckdb.DuckDBPyConnection) -> None:
    """Put the views of today in place, which hold no data, and write the version down."""
    for view in VIEWS:
        connection.execute(view.ddl())
    connection.execute(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version INTEGER)")
    connection.execute(f"DELETE FROM {VERSION_TABLE}")
    connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (?)", [SCHEMA_VERSION])


def _to_version_2(connection: duckdb.DuckDBPyConnection) -> None:
    """Learned rates, change signals and feeds: new tables, and new columns of refresh_metadata and fetch_log.

    Derived from `schema.py`, so that it cannot miss a column as long as version 2 is the newest and grows before its
    release. The next version makes this step explicit: freeze here what version 2 added, as SQL, and write its own.
    """
    _add_what_is_missing(connection)
    # Counters start at 0 in new rows (`state.new_state_row`), and so they do here: NULL + 1 would stay unknown.
    counters = [f"{source}_{name}" for source in SOURCES for name in ("exposure", "changes", "signals")]
    _fill_with_zero(connection, "refresh_metadata", counters)


def _add_what_is_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables and add the columns that `schema.py` has and the database has not."""
    found = existing_columns(connection)
    for table in TABLES:
        if table.name not in found:
            connection.execute(table.ddl())
            continue
        for column in table.columns:
            if column.name not in found[table.name]:
                connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.type}")


def existing_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """The columns that the tables and views of the database have, with their types, by table."""
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE NOT internal AND database_name = current_database()"
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found


def _fill_with_zero(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> None:
    assignments = ", ".join(f"{name} = coalesce({name}, 0)" for name in columns)
    connection.execute(f"UPDATE {table} SET {assignments}")


STEPS: dict[int, Step] = {2: _to_version_2}
"""By version: what leads to it from the one before."""
