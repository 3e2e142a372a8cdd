"""Names of countries and languages as TMDB lists them: stored over those of `iso_names`, which hold until it has said.

The views `countries` and `languages` show both; a code that TMDB lists no more keeps its name until `ayne purge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from ayne_dagster.refresh.code_names import names_are_due
from ayne_dagster.refresh.states import as_utc
from ayne_dagster.warehouse.rows import arrow_schema, naive_utc, registered
from ayne_dagster.warehouse.schema import CODE_NAMES

KINDS = ("country", "language")


@dataclass(frozen=True, slots=True)
class CodeNames:
    """A list of names by code, of one of `KINDS`, and when it was given (aware UTC)."""

    kind: str
    names: Mapping[str, str]
    at: datetime


def due_kinds(connection: duckdb.DuckDBPyConnection, now: datetime) -> list[str]:
    """Of which kinds TMDB is to be asked for the names now."""
    rows = connection.execute("SELECT kind, max(listed_at) FROM code_names GROUP BY kind").fetchall()
    listed = dict(rows)
    return [kind for kind in KINDS if names_are_due(as_utc(listed.get(kind)), now)]


def merge_code_names(connection: duckdb.DuckDBPyConnection, told: CodeNames) -> None:
    """Put names in place of those that are stored of the same codes, within an open transaction."""
    rows = [
        {"kind": told.kind, "code": code, "name": name, "listed_at": naive_utc(told.at)}
        for code, name in told.names.items()
    ]
    with registered(connection, "incoming_names", pa.Table.from_pylist(rows, schema=arrow_schema(CODE_NAMES))):
        connection.execute(
            "DELETE FROM code_names WHERE kind = $kind AND code IN (SELECT code FROM incoming_names)",
            {"kind": told.kind},
        )
        connection.execute("INSERT INTO code_names BY NAME SELECT * FROM incoming_names")
