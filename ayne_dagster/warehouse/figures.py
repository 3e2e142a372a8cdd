"""Merging figures of movies' money: a movie has several a source, and an answer names all that the source states.

The caller opens and commits the transaction. What is shown of them is chosen in `best_figures`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from ayne_dagster.warehouse.answers import RowChange
from ayne_dagster.warehouse.rows import Row, as_json, insert_rows, naive_utc, read_rows, registered
from ayne_dagster.warehouse.schema import BOX_OFFICE, MOVIE_HISTORY, TMDB_DETAILS

Figures = Mapping[str, Sequence[Mapping[str, Any]]]
"""By who states them (`wikidata`, `file` …): all figures of a movie that it states, as rows of `box_office` without
tmdb_id, release_year, source, gone_at and updated_at; observed_at only where it is not the instant of the whole, as of
a figure that is known from another reading. One that is named here with none states none."""

_CENT = Decimal("0.01")
IDENTITY = ("measure", "scope", "currency", "source_ref")
"""What tells the figures of a movie and source apart."""
_STATED = ("amount", "as_of", "preferred", "derived", "suspect", "matched_by")
"""What is stated of each: a difference is a change."""


@dataclass(frozen=True, slots=True)
class StatedFigures:
    """What was heard of one movie's money at one instant.

    Args:
        release_year: partition of the movie.
        at: when (aware UTC).
        figures: all figures of each that was asked.
    """

    release_year: str
    at: datetime
    figures: Figures


@dataclass
class _Merged:
    written: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    replaced: list[tuple[int, str]] = field(default_factory=list)


def merge_figures(
    connection: duckdb.DuckDBPyConnection, stated: Mapping[int, StatedFigures], run_id: str
) -> dict[int, RowChange]:
    """Merge what sources state of movies' money: the figures of a source take the place of its former ones.

    A figure that its source states no more is kept and marked (`gone_at`): unknown never overwrites known.

    Args:
        connection: with an open transaction.
        stated: by TMDB id.
        run_id: the run that asked, for the history.

    Returns:
        By TMDB id what changed; `INSERTED` are the first figures of the movie.
    """
    stored = _read_stored(connection, stated)
    merged = _Merged()
    kinds = {}
    for tmdb_id, heard in stated.items():
        before = len(merged.history)
        known = any(stored[tmdb_id].values())
        news = [_merge_one(tmdb_id, heard, by, stored[tmdb_id][by], merged, run_id) for by in heard.figures]
        changed = RowChange.UPDATED if known else RowChange.INSERTED
        kinds[tmdb_id] = changed if any(news) else RowChange.UNCHANGED
        if not known:  # as for every table: the first version of a movie's rows is no change of them
            del merged.history[before:]
    _replace(connection, merged)
    insert_rows(connection, MOVIE_HISTORY, merged.history)
    return kinds


def _read_stored(
    connection: duckdb.DuckDBPyConnection, ids: Collection[int]
) -> defaultdict[int, defaultdict[str, list[Row]]]:
    """The stored figures of these movies, by movie and source."""
    stored: defaultdict[int, defaultdict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    if not ids:
        return stored
    names = BOX_OFFICE.column_names
    with registered(connection, "incoming_ids", pa.table({"tmdb_id": pa.array(list(ids), pa.int64())})):
        rows = connection.execute(
            f"SELECT {', '.join(names)} FROM box_office SEMI JOIN incoming_ids USING (tmdb_id)"
        ).fetchall()
    for values in rows:
        row = dict(zip(names, values, strict=True))
        stored[row["tmdb_id"]][row["source"]].append(row)
    return stored


def _merge_one(
    tmdb_id: int, heard: StatedFigures, source: str, stored: Sequence[Row], merged: _Merged, run_id: str
) -> bool:
    """What a source states of a movie now, beside what it stated; returns whether that is a change."""
    at = naive_utc(heard.at)
    before = {_identity(row): row for row in stored}
    now = {_identity(row): row for row in heard.figures[source]}  # of two with one identity the last counts
    changed = False
    for identity, figure in now.items():
        old = before.get(identity)
        row = dict.fromkeys(BOX_OFFICE.column_names) | {name: figure.get(name) for name in (*IDENTITY, *_STATED)}
        row |= {"tmdb_id": tmdb_id, "release_year": heard.release_year, "source": source}
        row["observed_at"] = figure.get("observed_at") or at
        row["amount"] = Decimal(figure["amount"]).quantize(_CENT)
        row["preferred"], row["derived"] = bool(figure.get("preferred")), bool(figure.get("derived"))
        differs = old is None or old["gone_at"] is not None or any(old[name] != row[name] for name in _STATED)
        row["updated_at"] = at if differs or old is None else old["updated_at"]
        changed = changed or differs
        if differs and (old is None or old["gone_at"] is not None or old["amount"] != row["amount"]):
            was = None if old is None or old["gone_at"] is not None else old["amount"]
            merged.history.append(_changed(row, was, row["amount"], run_id))
        merged.written.append(row)
    for identity in before.keys() - now.keys():
        old = before[identity]
        gone = old if old["gone_at"] is not None else old | {"gone_at": at, "updated_at": at}
        if gone is not old:
            changed = True
            merged.history.append(_changed(gone, old["amount"], None, run_id))
        merged.written.append(gone)
    if before or now:
        merged.replaced.append((tmdb_id, source))
    return changed


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in IDENTITY)


def _changed(row: Row, before: Decimal | None, after: Decimal | None, run_id: str) -> Row:
    """The row of the history: its field says which figure it is, and whose."""
    return {
        "tmdb_id": row["tmdb_id"],
        "source": BOX_OFFICE.name,
        "field": f"{row['measure']} {row['scope']} {row['currency']} ({row['source']})",
        "old_value": as_json(_number(before)),
        "new_value": as_json(_number(after)),
        "changed_at": row["updated_at"],
        "run_id": run_id,
    }


def _number(amount: Decimal | None) -> int | float | None:
    """An amount as JSON has numbers."""
    if amount is None:
        return None
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _replace(connection: duckdb.DuckDBPyConnection, merged: _Merged) -> None:
    """Put the figures in place of those of the same movies and sources."""
    if not merged.replaced:
        return
    ids, sources = zip(*merged.replaced, strict=True)
    pairs = pa.table({"tmdb_id": pa.array(ids, pa.int64()), "source": pa.array(sources, pa.string())})
    with registered(connection, "incoming_pairs", pairs):
        connection.execute(
            "DELETE FROM box_office WHERE (tmdb_id, source) IN (SELECT tmdb_id, source FROM incoming_pairs)"
        )
    insert_rows(connection, BOX_OFFICE, merged.written)


def wikidata_ids(connection: duckdb.DuckDBPyConnection, ids: Collection[int]) -> dict[int, str]:
    """Wikidata's ids of these movies, as far as TMDB's details have them."""
    found = read_rows(connection, TMDB_DETAILS, ids, ("wikidata_id",))
    return {tmdb_id: row["wikidata_id"] for tmdb_id, row in found.items() if row["wikidata_id"] is not None}


def stated_before(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Wikidata's ids of the two movies whose figures it stated last: what it surely has, if it works."""
    rows = connection.execute(
        "SELECT d.wikidata_id FROM box_office AS f JOIN tmdb_details AS d USING (tmdb_id)"
        " WHERE f.source = 'wikidata' AND f.gone_at IS NULL AND d.wikidata_id IS NOT NULL"
        " GROUP BY d.wikidata_id ORDER BY max(f.observed_at) DESC, d.wikidata_id LIMIT 2"
    ).fetchall()
    return [row[0] for row in reversed(rows)]
