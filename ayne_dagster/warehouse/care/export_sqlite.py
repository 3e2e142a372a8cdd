"""Exported tables as one SQLite file with keys, indexes and full-text search, and what Datasette is to say of them.

What is written is in `selection`. Lists are JSON, days and instants ISO 8601, truth values 0 and 1. The table
`data_dictionary` says what each column is, and so does `metadata.json` beside the file, in Datasette's words:
https://docs.datasette.io/en/stable/metadata.html
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from ayne_dagster.warehouse.care.export_files import ExportError, WrongExport, whole
from ayne_dagster.warehouse.care.selection import Selection
from ayne_dagster.warehouse.dictionary import RELATIONS, Relation, column_text, column_texts, null_meaning, unit
from ayne_dagster.warehouse.tables import Column, Table

ROWS_AT_ONCE = 1_000
METADATA_FILE = "metadata.json"
DICTIONARY = "data_dictionary"
SEARCHED = {"movies": ("title", "original_title", "overview")}
"""By table: the columns in whose words can be searched, in the table `<name>_fts`."""
_INDEXED = ("tmdb_id", "movie_id", "imdb_id", "person_id", "company_id", "collection_id", "provider_id")
_HEADER = b"SQLite format 3\x00"
"""How every SQLite file begins: https://www.sqlite.org/fileformat.html"""
_SETTINGS = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -16000")
"""Until it is whole nobody sees the file, and what fails is thrown away: no journal is needed. 16 MB of its pages are
kept in memory."""


def write_sqlite(
    connection: duckdb.DuckDBPyConnection, selections: Sequence[Selection], folder: Path, name: str
) -> dict[Path, int]:
    """Write the tables to `<name>.sqlite` in the folder, and `metadata.json` beside it.

    Returns:
        The file, with its number of rows in all tables.

    Raises:
        WrongExport: something else is in the place of a file.
        ExportError: the file cannot be written.
    """
    target, described = folder / f"{name}.sqlite", folder / METADATA_FILE
    _require_replaceable(target)
    _require_ours(described)
    with whole(target) as partial:
        try:
            with closing(sqlite3.connect(partial, isolation_level=None)) as file:
                rows = _fill(connection, selections, file)
        except sqlite3.Error as error:
            raise ExportError(f"{target} cannot be written ({error}); what was there is still there.") from None
        _sync(partial)
    with whole(described) as partial:
        told = json.dumps(_with_others(datasette_metadata(name, selections), described), ensure_ascii=False, indent=2)
        partial.write_text(f"{told}\n", encoding="utf-8")
    return {target: rows}


def table_name(relation: str) -> str:
    """How a table or view is called in the file: SQLite has no schemas."""
    return relation.replace(".", "_")


def datasette_metadata(name: str, selections: Sequence[Selection]) -> dict[str, Any]:
    """What Datasette is to say of a file, its tables and columns."""
    tables = {table_name(s.name): _described(RELATIONS[s.name]) for s in selections}
    tables[DICTIONARY] = {"description": "One row a column of this file: type, unit, meaning, and what NULL means."}
    title = "Movies, as collected by ayne_dagster"
    return {"title": title, "about": "ayne_dagster", "databases": {name: {"tables": tables}}}


def _described(relation: Relation) -> dict[str, Any]:
    described: dict[str, Any] = {"description": relation.description, "columns": column_texts(relation)}
    if relation.name in SEARCHED:
        described |= {"label_column": "title", "fts_table": f"{relation.name}_fts", "fts_pk": "tmdb_id"}
    return described


def _fill(connection: duckdb.DuckDBPyConnection, selections: Sequence[Selection], file: sqlite3.Connection) -> int:
    for setting in _SETTINGS:
        file.execute(f"PRAGMA {setting}")
    rows = 0
    for selection in selections:
        relation = RELATIONS[selection.name]
        file.execute(_ddl(relation))
        rows += _insert(file, relation, _rows(connection, selection, relation))
        for statement in (*_indexes(relation), *_search(relation)):
            file.execute(statement)
    _tell(file, [RELATIONS[selection.name] for selection in selections])
    return rows


def _rows(
    connection: duckdb.DuckDBPyConnection, selection: Selection, relation: Relation
) -> Iterator[list[tuple[Any, ...]]]:
    columns = ", ".join(_value(column) for column in relation.columns)
    for part in selection.in_parts(connection):
        found = connection.execute(part.sql(columns), dict(part.bound) or None)
        while rows := found.fetchmany(ROWS_AT_ONCE):
            yield rows


def _insert(file: sqlite3.Connection, relation: Relation, batches: Iterator[list[tuple[Any, ...]]]) -> int:
    places = ", ".join("?" for _ in relation.columns)
    rows = 0
    file.execute("BEGIN")
    for batch in batches:
        file.executemany(f"INSERT INTO {_quoted(table_name(relation.name))} VALUES ({places})", batch)
        rows += len(batch)
    file.execute("COMMIT")
    return rows


def _value(column: Column) -> str:
    """A column in a form that SQLite has, under no name."""
    kind = column.type
    if kind.endswith("[]"):
        return f"CAST(to_json({column.name}) AS VARCHAR)"
    if kind == "TIMESTAMP":
        return f"replace(CAST({column.name} AS VARCHAR), ' ', 'T')"
    if kind == "DATE":
        return f"CAST({column.name} AS VARCHAR)"
    if kind.startswith("DECIMAL"):
        return f"CAST({column.name} AS DOUBLE)"
    return f"CAST({column.name} AS BIGINT)" if kind == "BOOLEAN" else column.name


def _type(column: Column) -> str:
    if column.type in ("BIGINT", "INTEGER", "SMALLINT", "BOOLEAN"):
        return "INTEGER"
    return "REAL" if column.type == "DOUBLE" or column.type.startswith("DECIMAL") else "TEXT"


def _primary_key(relation: Relation) -> tuple[str, ...]:
    """The key, where no two rows can have the same."""
    is_unique = relation.declares_key if isinstance(relation, Table) else relation.unique
    return relation.key if is_unique else ()


def _ddl(relation: Relation) -> str:
    key = _primary_key(relation)
    lines = [f"{_quoted(column.name)} {_type(column)}" for column in relation.columns]
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(map(_quoted, key))})")
    return f"CREATE TABLE {_quoted(table_name(relation.name))} (\n    " + ",\n    ".join(lines) + "\n)"


def _indexes(relation: Relation) -> Iterator[str]:
    """For the columns by which tables are joined; the first of a primary key has one already."""
    table = table_name(relation.name)
    for column in relation.columns:
        if column.name in _INDEXED and _primary_key(relation)[:1] != (column.name,):
            yield f"CREATE INDEX {_quoted(f'{table}_{column.name}')} ON {_quoted(table)} ({_quoted(column.name)})"


def _search(relation: Relation) -> Iterator[str]:
    """Full-text search that keeps no text of its own: https://www.sqlite.org/fts5.html"""
    columns = SEARCHED.get(relation.name)
    if columns:
        index = f"{relation.name}_fts"
        yield (
            f'CREATE VIRTUAL TABLE {index} USING fts5({", ".join(columns)}, content="{relation.name}",'
            " content_rowid=\"tmdb_id\", tokenize='unicode61 remove_diacritics 2')"
        )
        yield f"INSERT INTO {index} ({index}) VALUES ('rebuild')"


def _tell(file: sqlite3.Connection, relations: Sequence[Relation]) -> None:
    names = ("table_name", "column_name", "type", "unit", "null_means", "description")
    file.execute(
        f"CREATE TABLE {DICTIONARY} ({', '.join(f'{n} TEXT' for n in names)}, PRIMARY KEY ({', '.join(names[:2])}))"
    )
    file.executemany(
        f"INSERT INTO {DICTIONARY} VALUES (?, ?, ?, ?, ?, ?)",
        [
            (table_name(r.name), c.name, c.type, unit(c) or None, null_meaning(r, c), column_text(r, c))
            for r in relations
            for c in r.columns
        ],
    )


def _quoted(name: str) -> str:
    return f'"{name}"'


def _require_replaceable(target: Path) -> None:
    """Take nothing's place but that of an SQLite file which nobody writes to."""
    if not (target.exists() or target.is_symlink()):
        return
    if not target.is_file():
        raise WrongExport(f"{target} is no file: it is left alone. Choose another folder.")
    with target.open("rb") as file:
        begins = file.read(len(_HEADER))
    if begins and begins != _HEADER:
        raise WrongExport(f"{target} exists and is no SQLite file: it is left alone. Choose another folder.")
    for log in (target.with_name(f"{target.name}{ending}") for ending in ("-wal", "-journal")):
        if log.exists() and log.stat().st_size:
            raise WrongExport(
                f"{target} is being written to by a program, or was not closed ({log.name} is beside it): it is left"
                " alone. Choose another folder."
            )


def _with_others(metadata: dict[str, Any], described: Path) -> dict[str, Any]:
    """With what is told of other files that lie there: the whole, and parts of it since an instant."""
    former = json.loads(described.read_text(encoding="utf-8"))["databases"] if described.exists() else {}
    kept = {name: told for name, told in former.items() if (described.parent / f"{name}.sqlite").exists()}
    return metadata | {"databases": kept | metadata["databases"]}


def _require_ours(described: Path) -> None:
    """Take nothing's place but that of a description which an export has written."""
    if not described.exists():
        return
    try:
        found = json.loads(described.read_text(encoding="utf-8"))
        is_ours = found["about"] == "ayne_dagster" and isinstance(found["databases"], dict)
    except (ValueError, TypeError, KeyError):
        is_ours = False
    if not is_ours:
        raise WrongExport(f"{described} exists and is no export's: it is left alone. Choose another folder.")


def _sync(path: Path) -> None:
    """Have it on the disk before it takes another's place: no journal would mend it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
