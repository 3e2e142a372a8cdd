"""Exported tables as CSV, for spreadsheets and for other programs. What is written is in `selection`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import duckdb

from ayne_dagster.warehouse.care.export_files import copy_query, whole
from ayne_dagster.warehouse.care.selection import Selection
from ayne_dagster.warehouse.dictionary import RELATIONS

FORMULA_STARTS = r"=+\-@\t\r\n＝＋－＠"
"""First characters, in a regular expression's brackets, with which a text is a formula to a spreadsheet.

https://owasp.org/www-community/attacks/CSV_Injection
"""
_FIRST, _NEXT = "FORMAT csv, HEADER true", "FORMAT csv, HEADER false"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Without it, Excel takes a file for one of the machine's own code page: https://www.unicode.org/faq/utf_bom.html"""

Columns = Callable[[str], str]
"""Which columns are selected of a table, as SQL."""


def as_they_are(name: str) -> str:
    """All columns of a table."""
    return "*"


def without_formulas(name: str) -> str:
    """All columns of a table, with an apostrophe before texts that are formulas."""
    texts = [column.name for column in RELATIONS[name].columns if column.type == "VARCHAR"]
    guards = [f"if(regexp_matches({c}, '^[{FORMULA_STARTS}]'), chr(39) || {c}, {c}) AS {c}" for c in texts]
    return f"* REPLACE ({', '.join(guards)})" if guards else "*"


def write_csv(
    connection: duckdb.DuckDBPyConnection, selection: Selection, stem: Path, columns: Columns = without_formulas
) -> dict[Path, int]:
    """Write a file of CSV in UTF-8; returns it with its number of rows."""
    target = stem.with_name(f"{stem.name}.csv")
    with whole(target) as partial:
        parts = selection.in_parts(connection)
        if len(parts) == 1:
            rows = copy_query(connection, parts[0].sql(columns(selection.name)), parts[0].bound, partial, _FIRST)
        else:
            with partial.open("wb") as file:
                rows = _append(connection, parts, file, partial, columns)
    return {target: rows}


def write_csv_for_excel(connection: duckdb.DuckDBPyConnection, selection: Selection, stem: Path) -> dict[Path, int]:
    """Write a file of CSV that Excel takes for UTF-8; returns it with its number of rows."""
    target = stem.with_name(f"{stem.name}.csv")
    with whole(target) as partial, partial.open("wb") as file:  # closed first, then renamed
        file.write(_BYTE_ORDER_MARK)
        rows = _append(connection, selection.in_parts(connection), file, partial, without_formulas)
    return {target: rows}


def _append(
    connection: duckdb.DuckDBPyConnection, parts: list[Selection], file: BinaryIO, partial: Path, columns: Columns
) -> int:
    """Write parts of a table behind what is in a file, with one heading."""
    rows, options = 0, _FIRST
    part = partial.with_name(f"{partial.name}.part")
    try:
        for selection in parts:
            rows += copy_query(connection, selection.sql(columns(selection.name)), selection.bound, part, options)
            options = _NEXT
            with part.open("rb") as written:
                shutil.copyfileobj(written, file)
    finally:
        part.unlink(missing_ok=True)
    return rows
