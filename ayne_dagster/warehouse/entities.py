"""Merging what TMDB's details say of people, credits, companies, series and releases, beside the row of the movie.

The caller opens and commits the transaction, which is that of the movie's row. An answer names all that TMDB has of a
part: it takes the place of what is stored, and the difference goes into the history. A part that an answer does not
name is not known, and stays. None of it counts as a change of the movie: what counts are the columns of `tmdb_details`,
directors, writers, leading actors and companies among them, so that what is learned of how often movies change does not
depend on what is collected.

At 1,000,000 movies there are 60,000,000 credits, without an index, and each look for some of them reads a column to its
end. So a hash beside the movie's state says whether there is anything to do; first rows are only appended; and of the
others no more columns are read than the history tells. To read and to delete are two looks: both at once would be one,
and a lake cannot do that.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat
from typing import Any

import duckdb
import pyarrow as pa

from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.rows import (
    Row,
    among,
    arrow_schema,
    delete_rows,
    insert_rows,
    naive_utc,
    one_text,
    registered,
)
from ayne_dagster.warehouse.schema import (
    COMPANIES,
    CREDITS,
    ENTITIES_OF_MOVIES,
    MOVIE_COMPANIES,
    MOVIE_HISTORY,
    PEOPLE,
    RELEASES,
    SHARED_ENTITIES,
    Table,
)

Columns = Mapping[str, list[Any]]
"""Rows of a table column by column, without the movie's id."""
OF_A_COMMIT = 500
"""Movies whose numbers are written out in a question about these tables."""
MOST_TOLD = 50
"""Differences of a movie and part that the history names; a last item says how many more there are."""


@dataclass(frozen=True)
class Part:
    """A table with several rows a movie, and what the history tells of a row that came or went."""

    table: Table
    told: tuple[str, ...]
    """Columns; two rows alike in them are one to the history. Only these are read back."""
    named: Table | None = None
    """Where the name of what a row is about stands."""
    whole: bool = False
    """Whether these columns are the whole row: rows alike in them need not be written."""


_OURS = frozenset(table.name for table in (*SHARED_ENTITIES, *ENTITIES_OF_MOVIES))
"""What is told of beside them is merged by `appended`."""
_PARTS = (
    Part(CREDITS, ("person_id", "job"), PEOPLE),  # each text column more costs as much again
    Part(MOVIE_COMPANIES, ("company_id",), COMPANIES),
    Part(RELEASES, ("country", "type", "release_date", "certification", "note", "language"), whole=True),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer tells of one movie, and a hash of it."""

    tmdb_id: int
    at: datetime
    entities: Mapping[str, Columns]
    hash: int

    def of(self, table: Table) -> Columns | None:
        """What it tells of a table; None: nothing."""
        return self.entities.get(table.name)


def merge_entities(
    connection: duckdb.DuckDBPyConnection, answers: Iterable[Answer], states: Iterable[Row], run_id: str
) -> None:
    """Merge what answers say beside the movie's row.

    Args:
        connection: with an open transaction.
        answers: one a movie; those without entities are passed over.
        states: rows of `refresh_metadata` that are to be written; what is noted of the entities is put into them.
        run_id: the run that asked, for the history.
    """
    by_id = {state["tmdb_id"]: state for state in states}
    heard = [
        Told(a.tmdb_id, naive_utc(a.at), entities, entities_hash(entities))
        for a in sorted(answers, key=lambda answer: (answer.at, answer.tmdb_id))
        if (entities := {name: columns for name, columns in (a.entities or {}).items() if name in _OURS})
    ]
    before = {told.tmdb_id: by_id[told.tmdb_id]["entities_hash"] for told in heard}
    news = [told for told in heard if before[told.tmdb_id] != told.hash]
    for table in SHARED_ENTITIES:
        merge_shared(connection, table, news)
    history: list[Row] = []
    for part in _PARTS:
        concerned = [told for told in news if _concerns(part, before[told.tmdb_id], told)]
        known = {told.tmdb_id for told in concerned if before[told.tmdb_id] is not None}
        history += merge_part(connection, part, concerned, known, run_id)
    insert_rows(connection, MOVIE_HISTORY, history)
    for told in heard:
        by_id[told.tmdb_id] |= {"entities_hash": told.hash, "entities_checked_at": told.at}


def entities_hash(entities: Mapping[str, Columns]) -> int:
    """A 64-bit hash of what an answer tells: of credits in the upper half, of all else in the lower."""
    others = [(name, entities[name]) for name in sorted(entities) if name != CREDITS.name]
    return _half(entities.get(CREDITS.name)) << 32 | _half(others) + 2**31


def _half(value: object) -> int:
    """A signed 32-bit hash."""
    return int.from_bytes(digest(value, 4), "big", signed=True)


def digest(value: object, size: int) -> bytes:
    """A hash of so many bytes of what a value looks like."""
    return hashlib.blake2b(repr(value).encode("utf-8", "replace"), digest_size=size).digest()


def _concerns(part: Part, before: int | None, told: Told) -> bool:
    """Whether a part may differ: it is told, and its half of the hash is another."""
    if told.of(part.table) is None:
        return False
    if before is None:
        return True
    return before >> 32 != told.hash >> 32 if part.table is CREDITS else before % 2**32 != told.hash % 2**32


def merge_part(
    connection: duckdb.DuckDBPyConnection, part: Part, concerned: Sequence[Told], known: Collection[int], run_id: str
) -> list[Row]:
    """Put a part's rows in place of the stored ones; returns the history of movies that had any."""
    stored = _read_stored(connection, part, known)
    written, history = [], []
    names: set[int] = set()
    for told in concerned:
        columns = told.of(part.table) or {}
        old = stored.get(told.tmdb_id)
        now = Counter(zip(*(columns[name] for name in part.told), strict=True))
        if old == now and part.whole:
            continue
        written.append(told)
        if old is not None and old != now:
            history.append((told, list((old - now).elements()), list((now - old).elements())))
            names |= {row[0] for row in chain(history[-1][1], history[-1][2])} if part.named else set()
    delete_rows(connection, part.table, [told.tmdb_id for told in written if told.tmdb_id in stored], by_number)
    _append(connection, part.table, written)
    name_of = _names(connection, part.named, names)
    return [_history_row(part, told, removed, added, name_of, run_id) for told, removed, added in history]


def _read_stored(
    connection: duckdb.DuckDBPyConnection, part: Part, ids: Collection[int]
) -> dict[int, Counter[tuple[Any, ...]]]:
    """What is stored of these movies, as far as the history tells it; those without rows are left out."""
    if not ids:
        return {}
    these, bound = by_number(ids)
    rows = connection.execute(
        f"SELECT tmdb_id, {', '.join(part.told)} FROM {part.table.name} WHERE {these}", bound
    ).fetchall()
    stored: dict[int, Counter[tuple[Any, ...]]] = {}
    for tmdb_id, *values in rows:
        stored.setdefault(tmdb_id, Counter())[tuple(values)] += 1
    return stored


def by_number(ids: Collection[int]) -> tuple[str, list[str]]:
    """As `among`, which makes a join. Where a movie has sixty rows it takes twice as long as numbers written out."""
    return (f"tmdb_id IN ({one_text(map(int, ids))})", []) if len(ids) <= OF_A_COMMIT else among(ids)


def _append(connection: duckdb.DuckDBPyConnection, table: Table, news: Iterable[Told]) -> None:
    """Append the rows of movies, movie by movie."""
    columns: dict[str, list[Any]] = {name: [] for name in table.column_names}
    for told in sorted(news, key=lambda told: told.tmdb_id):
        rows = told.of(table) or {}
        length = len(next(iter(rows.values()), ()))
        columns["tmdb_id"].extend(repeat(told.tmdb_id, length))
        for name in table.column_names[1:]:
            columns[name].extend(rows.get(name) or repeat(None, length))
    _insert_columns(connection, table, columns)


def _insert_columns(connection: duckdb.DuckDBPyConnection, table: Table, columns: Mapping[str, list[Any]]) -> None:
    data = pa.table(columns, schema=arrow_schema(table))
    if not data.num_rows:
        return
    reader = pa.RecordBatchReader.from_batches(data.schema, data.to_batches())
    with registered(connection, "incoming_rows", reader):
        connection.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM incoming_rows")


def merge_shared(connection: duckdb.DuckDBPyConnection, table: Table, news: Iterable[Told]) -> None:
    """Write what is new or other about people, companies or series: the latest answer describes them.

    Which are, is told by a hash of the row: to read names and paths back would take longer than all the rest.
    """
    key, *facts = (name for name in table.column_names if name not in ("row_hash", "updated_at"))
    rows: dict[int, tuple[Any, ...]] = {}
    for told in news:
        if columns := told.of(table):
            for row in zip(*(columns[name] for name in (key, *facts)), strict=True):
                rows[row[0]] = (*row, told.at)
    if not rows:
        return
    hashes = [int.from_bytes(digest(row[:-1], 8), "big", signed=True) for row in rows.values()]
    named = zip((key, *facts, "updated_at"), zip(*rows.values(), strict=True), strict=True)
    data = pa.table({name: list(values) for name, values in named} | {"row_hash": hashes}, schema=_in_order(table))
    with registered(connection, "incoming_rows", data):
        fresh = connection.execute(
            f"SELECT i.* FROM incoming_rows AS i LEFT JOIN {table.name} AS t USING ({key})"
            f" WHERE t.{key} IS NULL OR (t.row_hash IS DISTINCT FROM i.row_hash AND t.updated_at <= i.updated_at)"
        ).to_arrow_table()
    if not fresh.num_rows:
        return
    with registered(connection, "incoming_rows", fresh):
        connection.execute(f"DELETE FROM {table.name} WHERE {key} IN (SELECT {key} FROM incoming_rows)")
        connection.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM incoming_rows")


def _in_order(table: Table) -> pa.Schema:
    """The Arrow schema with the columns in the order in which rows of shared tables are put together."""
    schema = arrow_schema(table)
    names = [name for name in schema.names if name not in ("row_hash", "updated_at")]
    return pa.schema([schema.field(name) for name in (*names, "updated_at", "row_hash")])


def _names(connection: duckdb.DuckDBPyConnection, table: Table | None, ids: Collection[int]) -> dict[int, str]:
    """Names of people or companies."""
    if table is None or not ids:
        return {}
    key = table.key[0]
    with registered(connection, "incoming_keys", pa.table({key: pa.array(list(ids), pa.int64())})):
        rows = connection.execute(f"SELECT {key}, name FROM {table.name} SEMI JOIN incoming_keys USING ({key})")
        return dict(rows.fetchall())


def _history_row(
    part: Part,
    told: Told,
    removed: Sequence[tuple[Any, ...]],
    added: Sequence[tuple[Any, ...]],
    name_of: Mapping[int, str],
    run_id: str,
) -> Row:
    """One row a movie and part: what went in `old_value`, what came in `new_value`."""
    return {
        "tmdb_id": told.tmdb_id,
        "source": part.table.name,
        "field": part.table.name,
        "old_value": _listed(part, removed, name_of),
        "new_value": _listed(part, added, name_of),
        "changed_at": told.at,
        "run_id": run_id,
    }


def _listed(part: Part, rows: Sequence[tuple[Any, ...]], name_of: Mapping[int, str]) -> str | None:
    """Rows as a JSON list of objects, at most MOST_TOLD of them; None for none."""
    if not rows:
        return None
    items: list[dict[str, Any]] = []
    for row in rows[:MOST_TOLD]:
        item = {name: value for name, value in zip(part.told, row, strict=True) if value is not None}
        items.append(item | ({"name": name_of[row[0]]} if row[0] in name_of else {}))
    if more := len(rows) - len(items):
        items.append({"more": more})
    return json.dumps(items, ensure_ascii=False, default=str)
