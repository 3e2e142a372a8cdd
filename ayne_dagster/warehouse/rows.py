"""Rows between Python and DuckDB: Arrow in, dictionaries out, and content hashes. Knows types, not meanings.

Arrow is loaded where it is used: it takes a fifth of a second, with the arrays that it brings, and whoever only reads
has no use for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import duckdb

from ayne_dagster.warehouse.schema import Table

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


@cache
def _arrow_types() -> dict[str, pa.DataType]:
    """By DuckDB's name of a type."""
    import pyarrow as pa

    return {
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "SMALLINT": pa.int16(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "VARCHAR": pa.string(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
        "VARCHAR[]": pa.list_(pa.string()),
        "INTEGER[]": pa.list_(pa.int32()),
        "BIGINT[]": pa.list_(pa.int64()),
        "DECIMAL(18,2)": pa.decimal128(18, 2),
    }


def arrow_schema(table: Table, columns: Collection[str] | None = None) -> pa.Schema:
    """The Arrow schema of a table, or of some of its columns."""
    import pyarrow as pa

    types = _arrow_types()
    return pa.schema([(c.name, types[c.type]) for c in table.columns if columns is None or c.name in columns])


def naive_utc(instant: datetime) -> datetime:
    """An aware instant as the warehouse stores it: UTC, without a zone."""
    if instant.tzinfo is not UTC:  # asked several times an answer, nearly always about UTC
        instant = instant.astimezone(UTC)
    return instant.replace(tzinfo=None)


@contextmanager
def registered(
    connection: duckdb.DuckDBPyConnection, name: str, data: pa.Table | pa.RecordBatchReader
) -> Iterator[None]:
    """Make an Arrow table visible to SQL under a name, for the length of the block; a reader to one statement alone."""
    connection.register(name, data)
    try:
        yield
    finally:
        connection.unregister(name)


def one_text(values: Iterable[object]) -> str:
    """Numbers, instants or words without a comma, as one text to be bound; `each_of` takes them apart.

    DuckDB looks for pandas with each value that is bound, and with each of a bound list, and searches all of the path
    where it is not installed: 500 numbers take 40 ms, as one text 3.
    """
    return ",".join(map(str, values))


def each_of(parameter: str, type_name: str = "VARCHAR") -> str:
    """A query for the values of a bound `one_text`, as rows of one column."""
    return f"SELECT unnest(string_split(nullif({parameter}, ''), ',')::{type_name}[])"


def among(ids: Collection[int]) -> tuple[str, list[str]]:
    """A condition that `tmdb_id` is one of these, and what is to be bound to it."""
    return (f"tmdb_id IN ({each_of('?', 'BIGINT')})", [one_text(ids)]) if ids else ("FALSE", [])


def insert_rows(connection: duckdb.DuckDBPyConnection, table: Table, rows: Collection[Mapping[str, Any]]) -> None:
    """Append rows; columns that a row does not have are NULL."""
    if not rows:
        return
    import pyarrow as pa

    # To a reader: DuckDB holds on to what was registered until the transaction ends, and a long one has many batches.
    schema = arrow_schema(table)
    batches = pa.Table.from_pylist(list(rows), schema=schema).to_batches()
    with registered(connection, "incoming_rows", pa.RecordBatchReader.from_batches(schema, batches)):
        connection.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM incoming_rows")


def delete_rows(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    ids: Collection[int],
    named: Callable[[Collection[int]], tuple[str, list[str]]] = among,
) -> None:
    """Delete the rows of these movies, which `named` names to SQL."""
    if ids:
        these, bound = named(ids)
        connection.execute(f"DELETE FROM {table.name} WHERE {these}", bound)


def replace_rows(connection: duckdb.DuckDBPyConnection, table: Table, rows: Collection[Mapping[str, Any]]) -> None:
    """Put rows in place of those with the same key: delete and insert, to be called within a transaction.

    On a table of 1,000,000 rows this takes tens of milliseconds, MERGE and ON CONFLICT seconds.
    """
    delete_rows(connection, table, [row["tmdb_id"] for row in rows])
    insert_rows(connection, table, rows)


def existing_ids(connection: duckdb.DuckDBPyConnection, table: Table, ids: Collection[int]) -> set[int]:
    """Which of these movies have a row."""
    these, bound = among(ids)
    found = connection.execute(f"SELECT tmdb_id FROM {table.name} WHERE {these}", bound).fetchall()
    return {row[0] for row in found}


def read_rows(
    connection: duckdb.DuckDBPyConnection, table: Table, ids: Collection[int], columns: Iterable[str] | None = None
) -> dict[int, Row]:
    """Rows of these movies by id, with all columns or some (tmdb_id is always among them)."""
    names = ["tmdb_id", *(c for c in (columns or table.column_names) if c != "tmdb_id")]
    these, bound = among(ids)
    found = connection.execute(f"SELECT {', '.join(names)} FROM {table.name} WHERE {these}", bound).fetchall()
    return {row[0]: dict(zip(names, row, strict=True)) for row in found}


def unique_names(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: a question may have two of one name, as of two tables, and a row told by name one.

    Example:
        >>> unique_names(["title", "year", "title"])
        ['title', 'year', 'title_1']
    """
    unique: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        found = name
        while found in unique or (found != name and found in names):
            found = next(numbered)
        unique.append(found)
    return unique


def id_table(ids: Iterable[int]) -> pa.Table:
    """The ids as an Arrow table with the one column `tmdb_id`."""
    import pyarrow as pa

    return pa.table({"tmdb_id": pa.array(list(ids), pa.int64())})


def content_hash(table: Table, row: Mapping[str, Any]) -> int:
    """A 64-bit hash of a row's significant content: its bulky columns in the upper half, the others in the lower.

    Two halves, since reading stored lists and long texts back is what costs in a wide table: where the upper half is
    the same they need not be read (`benchmarks/bench_merge.py`).
    """
    return _half(row, table.bulky) << 32 | _half(row, table.slim) + 2**31


def same_bulk(one: int, other: int) -> bool:
    """Whether two content hashes agree on the bulky columns."""
    return one >> 32 == other >> 32


def _half(row: Mapping[str, Any], columns: tuple[str, ...]) -> int:
    """A signed 32-bit hash of some values of a row."""
    text = repr([*map(row.get, columns)])
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).digest(), "big", signed=True)


def as_json(value: object) -> str | None:
    """A value as the history stores it; NULL for unknown."""
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
