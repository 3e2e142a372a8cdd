"""Tables as files for notebooks and spreadsheets: which, in which format, and what is said when it cannot be. How each
format is written is in `export_csv`, `export_parquet` and `export_sqlite`; which rows, in `selection`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import duckdb

from ayne_dagster.errors import is_of_the_place
from ayne_dagster.settings.locks import alone_in
from ayne_dagster.warehouse.care.export_csv import as_they_are, write_csv, write_csv_for_excel
from ayne_dagster.warehouse.care.export_files import ExportError, WrongExport
from ayne_dagster.warehouse.care.export_parquet import write_parquet, write_parquet_by_year
from ayne_dagster.warehouse.care.export_sqlite import write_sqlite
from ayne_dagster.warehouse.care.selection import Selection, changed_since, everything
from ayne_dagster.warehouse.database import CONNECTION_CONFIG
from ayne_dagster.warehouse.dictionary import RELATIONS
from ayne_dagster.warehouse.store import first_line

EXPORTABLE: tuple[str, ...] = tuple(RELATIONS)
DEFAULT_TABLES: tuple[str, ...] = (
    "movies",
    "refresh_metadata",
    "movie_history",
    "fetch_log",
    "fetches_by_day",
    "collection_status",
)
FORMATS = ("parquet", "csv", "sqlite")
_FRUGAL: Mapping[str, int | str] = {"threads": 1, "memory_limit": "200MB"}
"""Instead of what `CONNECTION_CONFIG` gives."""
_IN_PARTS: Mapping[str, int | str] = {**_FRUGAL, "memory_limit": "100MB"}
"""Where DuckDB writes no file itself, and keeps no row group of it."""

Write = Callable[[duckdb.DuckDBPyConnection, Selection, Path], dict[Path, int]]
"""Writes a selection below a folder, under a stem; returns the files and their rows."""


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
    excel: bool = False,
    by_year: bool = False,
    since: datetime | None = None,
) -> dict[Path, int]:
    """Write each table to a file of its name, or all to one SQLite file.

    Texts are data from outside, and a spreadsheet runs a text as a formula that begins like one. In CSV such texts
    get an apostrophe before them; numbers stay as they are, and so do the other formats.

    Args:
        connection: an open connection.
        folder: made when it does not exist.
        tables: names out of `EXPORTABLE`.
        file_format: one of `FORMATS`.
        raw: CSV: leave texts as they are, for programs that are no spreadsheets.
        excel: CSV: begin with the mark by which Excel knows UTF-8.
        by_year: Parquet: what has a release year is a folder with a folder a year.
        since: only rows in which something is new (aware UTC; `selection.meaning_of_new`). The files are named after
            it, so that a part never takes the place of a whole.

    Returns:
        The files (folders, where there is one for each year) and their number of rows; of SQLite, of all tables.

    Raises:
        WrongExport: a table or format is unknown, options contradict each other, or the folder is no place to write.
        ExportError: the files cannot be written.
    """
    unknown = [name for name in tables if name not in EXPORTABLE]
    if unknown:
        raise WrongExport(no_such_table(unknown))
    if file_format not in FORMATS:
        raise WrongExport(f"{file_format!r} is no format; choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    _require_agreement(file_format, raw=raw, excel=excel, by_year=by_year)
    selections = [everything(name) if since is None else changed_since(name, since) for name in dict.fromkeys(tables)]
    ending = "" if since is None else f".since-{_stamp(since)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        frugal = _IN_PARTS if file_format == "sqlite" or by_year else _FRUGAL
        with alone_in(folder), _frugal(connection, frugal):  # two exports would write the same unfinished files
            if file_format == "sqlite":
                return write_sqlite(connection, selections, folder, f"ayne{ending}")
            write = _writer(file_format, raw=raw, excel=excel, by_year=by_year)
            written: dict[Path, int] = {}
            for selection in selections:
                written |= write(connection, selection, folder / f"{selection.name}{ending}")
            return written
    except (OSError, duckdb.IOException) as error:
        kind = WrongExport if is_of_the_place(error) else ExportError
        reason = getattr(error, "strerror", None) or first_line(error)
        raise kind(f"{folder} cannot be written ({reason}): choose another folder.") from None


def _require_agreement(file_format: str, *, raw: bool, excel: bool, by_year: bool) -> None:
    for option, given, only in (("--excel", excel, "csv"), ("--by-year", by_year, "parquet")):
        if given and file_format != only:
            raise WrongExport(f"{option} is for --format {only}: leave it out, or choose that format.")
    if raw and excel:
        raise WrongExport("--raw and --excel contradict each other: Excel would run what begins like a formula.")


def _writer(file_format: str, *, raw: bool, excel: bool, by_year: bool) -> Write:
    if file_format == "csv":
        if excel:
            return write_csv_for_excel
        return partial(write_csv, columns=as_they_are) if raw else write_csv
    return write_parquet_by_year if by_year else write_parquet


def _stamp(instant: datetime) -> str:
    """An instant in the name of a file: the day, where it is the beginning of one."""
    return f"{instant:%Y-%m-%d}" if instant.time() == instant.time().min else f"{instant:%Y-%m-%dT%H%M%SZ}"


@contextmanager
def _frugal(connection: duckdb.DuckDBPyConnection, frugal: Mapping[str, int | str]) -> Iterator[None]:
    """Little memory for the length of the block: each thread keeps a row group of every column, packed and unpacked."""
    try:
        for name, value in frugal.items():
            connection.execute(f"SET {name} = '{value}'")
        yield
    finally:
        for name in frugal:
            connection.execute(f"SET {name} = '{CONNECTION_CONFIG[name]}'")
