"""What changed of movies, in words: rows of `movie_history` as a person reads them. Prints nothing, decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from ayne_dagster.warehouse.questions import movie_titles
from ayne_dagster.warehouse.schema import ANSWER_TABLES, PARTS_OF_MOVIES

SOURCE_OF = {
    "discovered_movies": "TMDB listing",
    "tmdb_details": "TMDB",
    "omdb_ratings": "OMDb",
    "box_office": "Box office",
    **{table.name: "TMDB" for table in PARTS_OF_MOVIES},
}
"""By table whose row changed: who said so."""
DRIFTING = ("popularity", "vote_count", "imdb_votes", "vote_average")
"""Fields that drift daily: kept in the history, and no news."""
LONGEST = 80
"""Characters of a value in words."""
_KINDS_OF_RELEASE = {1: "premiere", 2: "limited", 3: "theatrical", 4: "digital", 5: "physical", 6: "TV"}


def movie_changes(
    connection: duckdb.DuckDBPyConnection,
    tmdb_id: int,
    fields: Sequence[str] = (),
    limit: int = 100,
    *,
    since: datetime | None = None,
    without: Sequence[str] = (),
) -> dict[str, Any] | None:
    """What changed of a movie, the latest first; None for an unknown movie.

    Args:
        connection: an open connection.
        tmdb_id: the movie.
        fields: columns to look at; all when there are none.
        limit: so many changes at most.
        since: none that were seen before this instant (naive UTC).
        without: columns to leave out.

    Returns:
        `tmdb_id`, `title` and `changes`: `changed_at` (naive UTC), `source` (the table), `field`, `from` and `to` (as
        the values that JSON has for them) and `told`, the change in words.
    """
    if not connection.execute("SELECT 1 FROM refresh_metadata WHERE tmdb_id = ?", [tmdb_id]).fetchall():
        return None
    rows = connection.execute(
        "SELECT changed_at, source, field, old_value, new_value FROM movie_history WHERE tmdb_id = $tmdb_id"
        " AND (len($fields) = 0 OR list_contains($fields, field)) AND NOT list_contains($without, field)"
        " AND changed_at >= coalesce($since, changed_at) ORDER BY changed_at DESC, source, field LIMIT $limit",
        {"tmdb_id": tmdb_id, "fields": list(fields), "limit": limit, "since": since, "without": list(without)},
    ).fetchall()
    changes = [
        {
            "changed_at": at,
            "source": source,
            "field": field,
            "from": _from_json(old),
            "to": _from_json(new),
            "told": told(source, field, old, new),
        }
        for at, source, field, old, new in rows
    ]
    return {"tmdb_id": tmdb_id, "title": movie_titles(connection, [tmdb_id]).get(tmdb_id), "changes": changes}


def fields_of_changes(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Whatever may have changed of a movie: columns of answers, tables of credits and the like, noted figures."""
    columns = {column.name for table in ANSWER_TABLES for column in table.columns}
    noted = {field for (field,) in connection.execute("SELECT DISTINCT field FROM movie_history").fetchall()}
    return columns | {table.name for table in PARTS_OF_MOVIES} | noted


def _from_json(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def told(source: str, field: str, old: str | None, new: str | None) -> str:
    """A change in words.

    Args:
        source: the table whose row changed.
        field: what changed of it.
        old: the value before, as JSON; of credits and the like, what went.
        new: the value after, as JSON; of credits and the like, what came.
    """
    name = field.replace("_", " ")
    if source in {table.name for table in PARTS_OF_MOVIES}:
        parts = [f"{word} {shown(value)}" for word, value in (("without", old), ("with", new)) if value is not None]
        return f"{name}: now {', '.join(parts)}"
    return f"{name}: {shown(old)} → {shown(new)}"


def shown(value: str | None) -> str:
    """A value of the history, which is JSON, as a person reads it."""
    if value is None:
        return "–"
    try:
        found = json.loads(value)
    except ValueError:
        return value[:LONGEST]
    if found is None or found in ("", []):
        return "–"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, int | float):
        return f"{found:,.6g}" if isinstance(found, float) else f"{found:,}"
    text = ", ".join(map(in_words, found)) if isinstance(found, list) else str(found)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _with_more(name: object, more: str | None) -> str:
    return f"{name} ({more})" if more else str(name)


def _is_translation(item: Mapping[str, object]) -> bool:
    """Whether an item is a translation: a release has a language too, and a type or a day."""
    return "language" in item and "type" not in item and "release_date" not in item


def in_words(item: object) -> str:
    """An item of a list: a text, or a credit, company, release or the like as the history has them."""
    if not isinstance(item, Mapping):
        return str(item)
    if "more" in item:
        return f"and {item['more']:,} more"
    if "video_id" in item:
        return _with_more(item.get("name") or item["video_id"], item.get("type"))
    if _is_translation(item):
        return _with_more(item.get("title") or "no title", f"{item['language']}-{item['country']}")
    if "provider_id" in item:
        name = item.get("name") or f"number {item['provider_id']}"
        return _with_more(name, " ".join(filter(None, (item.get("offer"), item.get("country")))))
    if "title" in item:
        return _with_more(item["title"], item.get("country"))
    if "country" in item:
        kind = _KINDS_OF_RELEASE.get(item.get("type", 0), "")
        words = [item["country"], kind, item.get("release_date"), item.get("certification"), item.get("note")]
        return " ".join(str(word) for word in words if word)
    number = item.get("person_id", item.get("company_id"))
    name = item.get("name") or f"number {number}"
    if "person_id" not in item:
        return str(name)
    return f"{name} ({item.get('job') or 'cast'})"
