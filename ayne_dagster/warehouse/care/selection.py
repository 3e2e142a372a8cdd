"""Which rows of a table or view are exported: all, what changed since an instant, a year, so many at a time. Writes
nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.dictionary import RELATIONS, Relation
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import APPENDED_TABLES
from ayne_dagster.warehouse.views import MOVIES

MOVIES_AT_ONCE = 5_000
"""Rows of a view that are joined at a time. Joined as a whole, `movies` takes more memory at 1,000,000 movies than a
connection may have."""
_JOINED = frozenset({MOVIES.name})


@dataclass(frozen=True)
class Selection:
    """Rows of a table or view: those for which every condition holds."""

    name: str
    conditions: tuple[str, ...] = ()
    bound: Mapping[str, Any] = field(default_factory=dict)
    """The values of the conditions' parameters, by name."""

    def where(self, condition: str, **bound: Any) -> Selection:
        """Fewer of these rows."""
        return Selection(self.name, (*self.conditions, condition), {**self.bound, **bound})

    def sql(self, columns: str = "*") -> str:
        """The query for them."""
        within = " AND ".join(f"({condition})" for condition in self.conditions)
        return f"SELECT {columns} FROM {self.name}{f' WHERE {within}' if within else ''}"

    def in_parts(self, connection: duckdb.DuckDBPyConnection) -> list[Selection]:
        """The same rows in parts that are small enough to be joined in memory, in the order of their ids."""
        if self.name not in _JOINED:
            return [self]
        numbered = f"SELECT tmdb_id, row_number() OVER (ORDER BY tmdb_id) - 1 AS number FROM ({self.sql('tmdb_id')})"
        ranges = connection.execute(
            f"SELECT min(tmdb_id), max(tmdb_id) FROM ({numbered}) GROUP BY number // $size ORDER BY number // $size",
            {"size": MOVIES_AT_ONCE, **self.bound},
        ).fetchall()
        within = "tmdb_id BETWEEN $first AND $last"
        return [self.where(within, first=first, last=last) for first, last in ranges] or [self.where("FALSE")]


def everything(name: str) -> Selection:
    """All rows of a table or view."""
    return Selection(name)


def changed_since(name: str, since: datetime) -> Selection:
    """The rows of a table or view in which something is new.

    Args:
        name: the table or view.
        since: an instant (aware UTC); what happened at it is new.
    """
    condition = _NEW[name].condition
    return Selection(name, (condition,), {"since": naive_utc(since)}) if condition else Selection(name)


def meaning_of_new(name: str) -> str:
    """Which rows of a table or view `changed_since` takes, in words."""
    return _NEW[name].meaning


@dataclass(frozen=True)
class _New:
    """How new rows are known; no condition where nothing tells, and all are taken."""

    condition: str
    meaning: str


_CHANGED = " OR ".join(f"{column} >= $since" for column in ("first_seen_at", *(f"{s}_changed_at" for s in SOURCES)))
_TITLES = ", ".join(source.title for source in SOURCES.values())
_WITH_NEWS = f"found since, or with a change since ({_TITLES}); numbers that drift daily are no change"


def _of_movies(column: str, key: str = "tmdb_id") -> _New:
    return _New(f"{column} IN (SELECT {key} FROM main.refresh_metadata WHERE {_CHANGED})", f"movies {_WITH_NEWS}")


def _told_anew(part: str) -> _New:
    condition = f"tmdb_id IN (SELECT tmdb_id FROM main.appended_parts WHERE part = '{part}' AND changed_at >= $since)"
    return _New(condition, f"those of movies whose {part.replace('_', ' ')} were first told, or others, since")


def _at(column: str, meaning: str) -> _New:
    return _New(f"{column} >= $since", meaning)


def _on_day(column: str, meaning: str) -> _New:
    return _New(f"{column} >= CAST($since AS DATE)", meaning)


def _names_of(relation: Relation) -> set[str]:
    return {column.name for column in relation.columns}


_DAYS_OF_EXPORTS = ("first_listed_on", "missing_since", "vanished_on")
_NEW: Mapping[str, _New] = {
    **{n: _at("updated_at", "rows that changed since") for n, r in RELATIONS.items() if "updated_at" in _names_of(r)},
    **dict.fromkeys(
        ("movies", "refresh_metadata", "credits", "movie_companies", "releases", "box_office_figures"),
        _of_movies("tmdb_id"),
    ),
    **{table.name: _told_anew(table.name) for table in APPENDED_TABLES},
    "code_names": _at("listed_at", "names that TMDB has listed since"),
    "appended_parts": _at("changed_at", "parts that were first told, or found to be others, since"),
    **{f"legacy.{name}": _of_movies("movie_id") for name in ("movies", "numbers_movies", "movie_refresh_state")},
    "legacy.full_dataset": _of_movies("movie_id"),
    "legacy.tmdb_movies": _of_movies("tmdb_id"),
    "legacy.omdb_movies": _of_movies("imdb_id", "imdb_id"),
    "movie_changes": _at("changed_at", "changes that were seen since"),
    "movie_history": _at("changed_at", "changes that were seen since"),
    "fetch_log": _at("fetched_at", "attempts since"),
    "fetch_log_daily": _on_day("day", "days since, the first one whole"),
    "fetches_by_day": _on_day("day", "days since, the first one whole"),
    "quarantine": _at("quarantined_at", "bodies that arrived since"),
    "collection_status": _at("observed_at", "observations since"),
    "freshness": _at("observed_at", "observations since"),
    "file_sizes": _on_day("day", "days since, the first one whole"),
    "tmdb_changes": _at("seen_at", "changes that the feed was read for since"),
    "change_feed_days": _at("read_at", "days that were read, or given up, since"),
    "tmdb_id_export": _New(
        " OR ".join(f"{column} >= CAST($since AS DATE)" for column in _DAYS_OF_EXPORTS),
        "movies that were first listed, or missed, since",
    ),
    "daily_files": _at("read_at", "files that were read since"),
    "box_office_files": _at("imported_at", "files that were imported since"),
    "box_office_unmatched": _at("seen_at", "rows that were first read since"),
    "refresh_rates": _at("learned_at", "rates that were corrected since"),
    "feed_quality": _at("learned_at", "numbers that were corrected since"),
    **dict.fromkeys(("box_office_precedence", "countries", "languages"), _New("", "all rows: most have no time")),
}
"""By table and view."""
