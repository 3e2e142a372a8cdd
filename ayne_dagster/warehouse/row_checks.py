"""What must hold of every row: a query a check, finding those that break it. For asset checks and `ayne check`."""

from __future__ import annotations

import duckdb

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR, UNKNOWN_YEAR
from ayne_dagster.warehouse.schema import REFRESH_METADATA, Table
from ayne_dagster.warehouse.tables import View


def duplicate_keys(table: Table | View) -> str:
    """Keys that stand in more than one row (none where the file enforces its keys)."""
    keys = ", ".join(table.key)
    return f"SELECT {keys} FROM {table.name} GROUP BY {keys} HAVING count(*) > 1"


def misplaced_rows(table: Table) -> str:
    """Movies of rows that are not in the partition of their movie; its own row in that of its release date."""
    if table is REFRESH_METADATA:
        return (
            "SELECT tmdb_id FROM refresh_metadata WHERE release_year IS DISTINCT FROM"
            f" CASE WHEN year(release_date) BETWEEN {FIRST_YEAR} AND {LAST_YEAR}"
            f" THEN CAST(year(release_date) AS VARCHAR) ELSE '{UNKNOWN_YEAR}' END"
        )
    return (
        f"SELECT t.tmdb_id FROM {table.name} AS t JOIN refresh_metadata AS m USING (tmdb_id)"
        " WHERE t.release_year IS DISTINCT FROM m.release_year"
    )


def orphans(table: Table) -> str:
    """Rows that belong to no known movie, by the id that they name."""
    return f"SELECT t.tmdb_id FROM {table.name} AS t ANTI JOIN refresh_metadata USING (tmdb_id)"


def count_of(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """How many rows a query finds."""
    return int(connection.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0])
