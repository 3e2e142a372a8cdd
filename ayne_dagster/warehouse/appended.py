"""Merging what is appended to TMDB's details where AYNE_TMDB_APPEND asks for it: videos, translations, other titles,
who streams. As `entities`, whose means it uses, and beside them: what is not asked for is not touched.

Of each movie and part `appended_parts` notes a hash, by which the same again costs nothing more, and when TMDB last
told it: a part that is asked for no more ages by itself, and goes with `ayne purge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.entities import Part, Told, digest, merge_part, merge_shared
from ayne_dagster.warehouse.rows import id_table, insert_rows, naive_utc, registered
from ayne_dagster.warehouse.schema import (
    ALTERNATIVE_TITLES,
    APPENDED_PARTS,
    MOVIE_HISTORY,
    PROVIDERS,
    TRANSLATIONS,
    VIDEOS,
    WATCH_PROVIDERS,
)

_PARTS = (
    Part(VIDEOS, ("video_id", "type", "name")),
    Part(TRANSLATIONS, ("language", "country", "title")),
    Part(ALTERNATIVE_TITLES, ("country", "title", "type"), whole=True),
    Part(WATCH_PROVIDERS, ("provider_id", "country", "offer"), PROVIDERS, whole=True),
)
_NAMES = {part.table.name for part in _PARTS}


@dataclass(frozen=True, slots=True)
class _Noted:
    """What is noted of a movie's part."""

    row_hash: int
    changed_at: datetime


def merge_appended(connection: duckdb.DuckDBPyConnection, answers: Iterable[Answer], run_id: str) -> set[int]:
    """Merge what answers say of the appended parts.

    Args:
        connection: with an open transaction.
        answers: one a movie; those without such parts are passed over.
        run_id: the run that asked, for the history.

    Returns:
        The movies that have other alternative titles than before, or their first.
    """
    in_order = sorted(answers, key=lambda answer: (answer.at, answer.tmdb_id))
    telling = [answer for answer in in_order if answer.entities and not _NAMES.isdisjoint(answer.entities)]
    if not telling:
        return set()
    noted = _read_noted(connection, [answer.tmdb_id for answer in telling])
    retitled: set[int] = set()
    for part in _PARTS:
        name = part.table.name
        heard = [
            Told(a.tmdb_id, naive_utc(a.at), a.entities, _hash(a.entities, name))
            for a in telling
            if a.entities and name in a.entities
        ]
        news = [told for told in heard if _is_news(told, noted.get((told.tmdb_id, name)))]
        if part.named:
            merge_shared(connection, part.named, news)
        known = {told.tmdb_id for told in news if (told.tmdb_id, name) in noted}
        insert_rows(connection, MOVIE_HISTORY, merge_part(connection, part, news, known, run_id))
        _note(connection, name, heard, {told.tmdb_id for told in news}, noted)
        if part.table is ALTERNATIVE_TITLES:
            retitled = {told.tmdb_id for told in news}
    return retitled


def _hash(entities: Mapping[str, object], name: str) -> int:
    """A signed 64-bit hash of what is told of a part, and of the providers that it names."""
    told = (entities[name], entities.get(PROVIDERS.name) if name == WATCH_PROVIDERS.name else None)
    return int.from_bytes(digest(told, 8), "big", signed=True)


def _is_news(told: Told, before: _Noted | None) -> bool:
    return before is None or before.row_hash != told.hash


def _read_noted(connection: duckdb.DuckDBPyConnection, ids: Iterable[int]) -> dict[tuple[int, str], _Noted]:
    """By movie and part: what is noted."""
    with registered(connection, "incoming_ids", id_table(ids)):
        rows = connection.execute(
            "SELECT tmdb_id, part, row_hash, changed_at FROM appended_parts SEMI JOIN incoming_ids USING (tmdb_id)"
        ).fetchall()
    return {(tmdb_id, part): _Noted(*noted) for tmdb_id, part, *noted in rows}


def _note(
    connection: duckdb.DuckDBPyConnection,
    part: str,
    heard: Sequence[Told],
    news: set[int],
    noted: Mapping[tuple[int, str], _Noted],
) -> None:
    """Note that a part was told, and of which movies it was news."""
    if not heard:
        return
    rows = [
        {
            "tmdb_id": told.tmdb_id,
            "part": part,
            "row_hash": told.hash,
            "checked_at": told.at,
            "changed_at": told.at if told.tmdb_id in news else noted[told.tmdb_id, part].changed_at,
        }
        for told in heard
    ]
    ids: pa.Table = id_table(told.tmdb_id for told in heard)
    with registered(connection, "incoming_ids", ids):
        connection.execute(
            "DELETE FROM appended_parts WHERE part = $part AND tmdb_id IN (SELECT tmdb_id FROM incoming_ids)",
            {"part": part},
        )
    insert_rows(connection, APPENDED_PARTS, rows)
