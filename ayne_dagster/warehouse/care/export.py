"""Tables as files for notebooks and spreadsheets: written under another name, then renamed. No queries of its own."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ayne_dagster.errors import WrongUsage, is_of_the_place
from ayne_dagster.warehouse.database import CONNECTION_CONFIG, WarehouseError
from ayne_dagster.warehouse.schema import ALL_TABLES
from ayne_dagster.warehouse.views import MOVIES, VIEWS

EXPORTABLE: tuple[str, ...] = (*(view.name for view in VIEWS), *ALL_TABLES)
DEFAULT_TABLES: tuple[str, ...] = ("movies", "refresh_metadata", "movie_history", "collection_status")
FORMATS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER true"}
_NEXT_CSV = "FORMAT csv, HEADER false"
MOVIES_AT_ONCE = 5_000
"""Rows of a view that are joined at a time. Joined as a whole, `movies` takes more memory at 1,000,000 movies than a
connection may have."""
_FRUGAL = {"threads": 1, "memory_limit": "200MB"}
"""Instead of what `CONNECTION_CONFIG` gives."""
_JOINED = frozenset({MOVIES.name})

FORMULA_STARTS = r"=+\-@\t\r\n＝＋－＠"
"""First characters, in a regular expression's brackets, with which a text is a formula to a spreadsheet.

https://owasp.org/www-community/attacks/CSV_Injection
"""


class ExportError(WarehouseError):
    """The files cannot be written."""


class WrongExport(WrongUsage, ExportError):
    """A table or format does not exist, or the folder is no place to write to."""


def no_such_table(unknown: Collection[str]) -> str:
    """What is said of tables that there are not, with those that may be meant."""
    near = [found for name in unknown for found in get_close_matches(name, EXPORTABLE, n=1)]
    meant = f"did you mean {', '.join(near)}? " if near else ""
    return f"There is no table {', '.join(unknown)}: {meant}`ayne tables` lists all."


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
        raise WrongExport(no_such_table(unknown))
    if file_format not in FORMATS:
        raise WrongExport(f"{file_format!r} is no format; choose {' or '.join(FORMATS)}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_guarded = file_format == "csv" and not raw
        queries = {name: _guarded(connection, name) if is_guarded else f"FROM {name}" for name in tables}
        with _frugal(connection):
            return dict(_export(connection, folder, name, query, file_format) for name, query in queries.items())
    except (OSError, duckdb.IOException) as error:
        kind = WrongExport if is_of_the_place(error) else ExportError
        raise kind(f"{folder} cannot be written: {str(error).splitlines()[0]}") from None


@contextmanager
def _frugal(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Little memory for the length of the block: each thread keeps a row group of every column, packed and unpacked."""
    try:
        for name, value in _FRUGAL.items():
            connection.execute(f"SET {name} = '{value}'")
        yield
    finally:
        for name in _FRUGAL:
            connection.execute(f"SET {name} = '{CONNECTION_CONFIG[name]}'")


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
    try:
        if name in _JOINED:
            write = _parquet_in_ranges if file_format == "parquet" else _csv_in_ranges
            rows = write(connection, f"SELECT * FROM ({query}) WHERE tmdb_id BETWEEN ? AND ?", name, partial)
        else:
            rows = _copy(connection, query, partial, FORMATS[file_format])
        partial.replace(target)
    finally:
        if partial.is_file():
            partial.unlink()
    return target, rows


def _copy(connection: duckdb.DuckDBPyConnection, query: str, target: Path, options: str, *bound: int) -> int:
    quoted = str(target).replace("'", "''")  # COPY takes no parameter for its target
    return int(connection.execute(f"COPY ({query}) TO '{quoted}' ({options})", bound or None).fetchall()[0][0])


def _parquet_in_ranges(connection: duckdb.DuckDBPyConnection, query: str, name: str, target: Path) -> int:
    schema = connection.execute(query, (0, 0)).to_arrow_table().schema
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as file:
        for first, last in _ranges(connection, name):
            part = connection.execute(query, (first, last)).to_arrow_table()
            file.write_table(part)
            rows += part.num_rows
    return rows


def _csv_in_ranges(connection: duckdb.DuckDBPyConnection, query: str, name: str, target: Path) -> int:
    rows, options = 0, FORMATS["csv"]
    part = target.with_name(f"{target.name}.part")
    try:
        with target.open("wb") as file:
            for first, last in _ranges(connection, name) or [(0, 0)]:
                rows += _copy(connection, query, part, options, first, last)
                options = _NEXT_CSV
                with part.open("rb") as written:
                    shutil.copyfileobj(written, file)
    finally:
        part.unlink(missing_ok=True)
    return rows


def _ranges(connection: duckdb.DuckDBPyConnection, name: str) -> list[tuple[int, int]]:
    """First and last id of parts of a view that are small enough to be joined in memory, in order."""
    return connection.execute(
        f"SELECT min(tmdb_id), max(tmdb_id) FROM (SELECT tmdb_id, (row_number() OVER (ORDER BY tmdb_id) - 1) // ?"
        f" AS part FROM {name}) GROUP BY part ORDER BY part",
        [MOVIES_AT_ONCE],
    ).fetchall()
