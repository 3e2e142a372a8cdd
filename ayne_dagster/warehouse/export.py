"""Tables as files for notebooks and spreadsheets: written under another name, then renamed. No queries of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from ayne_dagster.errors import WrongUsage, is_of_the_place
from ayne_dagster.warehouse.database import WarehouseError
from ayne_dagster.warehouse.schema import ALL_TABLES, VIEWS

EXPORTABLE: tuple[str, ...] = (*(view.name for view in VIEWS), *ALL_TABLES)
DEFAULT_TABLES: tuple[str, ...] = ("movies", "refresh_metadata", "movie_history", "collection_status")
FORMATS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER true"}


FORMULA_STARTS = r"=+\-@\t\r\n＝＋－＠"
"""First characters, in a regular expression's brackets, with which a text is a formula to a spreadsheet.

https://owasp.org/www-community/attacks/CSV_Injection
"""


class ExportError(WarehouseError):
    """The files cannot be written."""


class WrongExport(WrongUsage, ExportError):
    """A table or format does not exist, or the folder is no place to write to."""


def export_tables(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    tables: Sequence[str],
    file_format: str,
    *,
    raw: bool = False,
) -> dict[Path, int]:
    """Write each table to a file of its name.

    Texts are data from outside, and a spreadsheet runs a text as a formula that begins like one. In CSV such texts
    get an apostrophe before them; numbers stay as they are, and so does Parquet.

    Args:
        connection: an open connection.
        folder: made when it does not exist.
        tables: names out of `EXPORTABLE`.
        file_format: parquet or csv.
        raw: leave texts as they are in CSV too, for programs that are no spreadsheets.

    Returns:
        The files and their number of rows.

    Raises:
        ExportError: a table or format is unknown, or the folder cannot be written.
    """
    unknown = [name for name in tables if name not in EXPORTABLE]
    if unknown:
        raise WrongExport(f"There is no table {', '.join(unknown)}; there are {', '.join(EXPORTABLE)}.")
    if file_format not in FORMATS:
        raise WrongExport(f"{file_format!r} is no format; choose {' or '.join(FORMATS)}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_guarded = file_format == "csv" and not raw
        queries = {name: _guarded(connection, name) if is_guarded else f"FROM {name}" for name in tables}
        return dict(_export(connection, folder, name, query, file_format) for name, query in queries.items())
    except (OSError, duckdb.IOException) as error:
        kind = WrongExport if is_of_the_place(error) else ExportError
        raise kind(f"{folder} cannot be written: {str(error).splitlines()[0]}") from None


def _guarded(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """A query for a table whose texts are no formulas."""
    columns = [row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall() if row[1] == "VARCHAR"]
    guards = [f"if(regexp_matches({c}, '^[{FORMULA_STARTS}]'), chr(39) || {c}, {c}) AS {c}" for c in columns]
    return f"SELECT * REPLACE ({', '.join(guards)}) FROM {name}" if guards else f"FROM {name}"


def _export(
    connection: duckdb.DuckDBPyConnection, folder: Path, name: str, query: str, file_format: str
) -> tuple[Path, int]:
    target = folder / f"{name}.{file_format}"
    partial = folder / f".{name}.{file_format}.partial"
    quoted = str(partial).replace("'", "''")  # COPY takes no parameter for its target
    try:
        rows = connection.execute(f"COPY ({query}) TO '{quoted}' ({FORMATS[file_format]})").fetchall()[0][0]
        partial.replace(target)
    finally:
        if partial.is_file():
            partial.unlink()
    return target, int(rows)
