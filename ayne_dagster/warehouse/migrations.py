"""How a database of an older schema becomes one of today's: explicit steps, in order, in one transaction.

To change the schema: change `schema.py`, raise `SCHEMA_VERSION`, add the step that leads there to `STEPS`, and note the
new fingerprint where the test asks for it. A step is SQL or a function; it sees a database of exactly the version
before, and a kill or an error anywhere leaves that version as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import duckdb

from ayne_dagster.config import FigureChoice
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.schema import SCHEMA_VERSION, TABLES
from ayne_dagster.warehouse.views import VIEWS

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
        put_precedence(connection, FigureChoice())
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


_SOURCES_OF_2 = ("tmdb", "omdb", "numbers")
_COLUMNS_OF_2 = {
    "refresh_metadata": {
        f"{source}_{name}": kind
        for source in _SOURCES_OF_2
        for name, kind in (
            ("exposure", "DOUBLE"),
            ("changes", "DOUBLE"),
            ("signals", "SMALLINT"),
            ("signalled_at", "TIMESTAMP"),
            ("recheck_at", "TIMESTAMP"),
            ("rate", "DOUBLE"),
            ("reason", "VARCHAR"),
        )
    }
    | {"popularity": "DOUBLE", "importance": "DOUBLE"},
    "fetch_log": {"due_because": "VARCHAR", "signals": "SMALLINT", "days_since_check": "DOUBLE"},
}
_TABLES_OF_2 = (
    """CREATE TABLE IF NOT EXISTS tmdb_changes (
    tmdb_id BIGINT, day DATE, seen_at TIMESTAMP, run_id VARCHAR, PRIMARY KEY (tmdb_id, day))""",
    """CREATE TABLE IF NOT EXISTS change_feed_days (
    day DATE, covered BOOLEAN, listed INTEGER, known INTEGER, read_at TIMESTAMP, run_id VARCHAR, PRIMARY KEY (day))""",
    """CREATE TABLE IF NOT EXISTS tmdb_id_export (
    tmdb_id BIGINT, original_title VARCHAR, popularity DOUBLE, video BOOLEAN, first_listed_on DATE,
    last_listed_on DATE, missing_since DATE, vanished_on DATE, PRIMARY KEY (tmdb_id))""",
    """CREATE TABLE IF NOT EXISTS imdb_ratings (
    tmdb_id BIGINT, release_year VARCHAR, imdb_id VARCHAR, imdb_rating DOUBLE, imdb_votes BIGINT,
    signalled_votes BIGINT, signalled_rating DOUBLE, listed_at TIMESTAMP, updated_at TIMESTAMP,
    PRIMARY KEY (tmdb_id))""",
    """CREATE TABLE IF NOT EXISTS daily_files (
    name VARCHAR, day DATE, accepted BOOLEAN, lines BIGINT, unreadable BIGINT, reason VARCHAR, read_at TIMESTAMP,
    run_id VARCHAR, PRIMARY KEY (name, day))""",
    """CREATE TABLE IF NOT EXISTS refresh_rates (
    source VARCHAR, category VARCHAR, popularity_bucket SMALLINT, rate DOUBLE, movies BIGINT, learned_at TIMESTAMP,
    PRIMARY KEY (source, category, popularity_bucket))""",
    """CREATE TABLE IF NOT EXISTS feed_quality (
    source VARCHAR, recall DOUBLE, precision DOUBLE, learned_at TIMESTAMP, PRIMARY KEY (source))""",
)


def _to_version_2(connection: duckdb.DuckDBPyConnection) -> None:
    """Learned rates, change signals and feeds: new tables, and new columns of refresh_metadata and fetch_log."""
    for ddl in _TABLES_OF_2:
        connection.execute(ddl)
    found = existing_columns(connection)
    for table, columns in _COLUMNS_OF_2.items():
        for name, kind in columns.items():
            if name not in found[table]:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    # Counters start at 0 in new rows (`state.new_state_row`), and so they do here: NULL + 1 would stay unknown.
    counters = [f"{source}_{name}" for source in _SOURCES_OF_2 for name in ("exposure", "changes", "signals")]
    _fill_with_zero(connection, "refresh_metadata", counters)


def _to_version_3(connection: duckdb.DuckDBPyConnection) -> None:
    """Daily sums of old attempts: a new table."""
    connection.execute(
        """CREATE TABLE IF NOT EXISTS fetch_log_daily (
    day DATE, source VARCHAR, outcome VARCHAR, changed BOOLEAN, due_because VARCHAR, attempts BIGINT,
    requests BIGINT)"""
    )


_TABLES_OF_4 = (
    """CREATE TABLE IF NOT EXISTS box_office (
    tmdb_id BIGINT, release_year VARCHAR, source VARCHAR, measure VARCHAR, scope VARCHAR, currency VARCHAR,
    source_ref VARCHAR, amount DECIMAL(18,2), as_of DATE, preferred BOOLEAN, derived BOOLEAN, suspect VARCHAR,
    matched_by VARCHAR, observed_at TIMESTAMP, gone_at TIMESTAMP, updated_at TIMESTAMP)""",
    """CREATE TABLE IF NOT EXISTS box_office_precedence (
    figure VARCHAR, source VARCHAR, scope VARCHAR, place SMALLINT, PRIMARY KEY (figure, source, scope))""",
    """CREATE TABLE IF NOT EXISTS box_office_files (
    digest VARCHAR, name VARCHAR, layout VARCHAR, as_of DATE, rows BIGINT, matched BIGINT, ambiguous BIGINT,
    unmatched BIGINT, refused BIGINT, first_imported_at TIMESTAMP, imported_at TIMESTAMP, PRIMARY KEY (digest))""",
    """CREATE TABLE IF NOT EXISTS box_office_unmatched (
    file_digest VARCHAR, row_number BIGINT, title VARCHAR, other_titles VARCHAR[], year INTEGER, imdb_id VARCHAR,
    stated_tmdb_id BIGINT, why VARCHAR, reason VARCHAR, candidates BIGINT[], figures VARCHAR, as_of DATE,
    seen_at TIMESTAMP, PRIMARY KEY (file_digest, row_number))""",
)


def _to_version_4(connection: duckdb.DuckDBPyConnection) -> None:
    """Figures of movies' money: new tables, and a count of them in the status."""
    for ddl in _TABLES_OF_4:
        connection.execute(ddl)
    put_precedence(connection, FigureChoice())
    if "with_box_office" not in existing_columns(connection)["collection_status"]:
        connection.execute("ALTER TABLE collection_status ADD COLUMN with_box_office BIGINT")


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


STEPS: dict[int, Step] = {2: _to_version_2, 3: _to_version_3, 4: _to_version_4}
"""By version: what leads to it from the one before."""
