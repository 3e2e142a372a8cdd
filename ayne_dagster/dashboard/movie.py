"""A movie: its values with source and date, its ratings over time, its changes, and when it is asked; the search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.history import told_changes
from ayne_dagster.dashboard.pages import Asked, Model
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.one_movie import (
    LONGEST_QUERY,
    RATINGS,
    SCALE_OF,
    figures_of,
    find_movies,
    ratings_over_time,
)
from ayne_dagster.warehouse.questions import explain_movie
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS, Table

FOUND, CHANGES, ATTEMPTS = 50, 100, 20
_NO_VALUES = ("tmdb_id", "release_year", "updated_at", "poster_path", "backdrop_path", "poster")
_COLOURS = {
    "imdb_rating": "omdb",
    "vote_average": "tmdb",
    "metascore": "numbers",
    "rotten_tomatoes_rating": "plain",
}


def movie(asked: Asked, tmdb_id: int, hindrances: Mapping[str, str]) -> Model:
    """All of the page; a model without `movie` where it is not known."""
    # Without its rank: that takes the order of all movies, and `ayne explain` tells it.
    explained = explain_movie(
        asked.connection, tmdb_id, asked.now, asked.strategy, batch_limit=None, hindrances=hindrances, value=asked.value
    )
    if explained is None:
        return {"tmdb_id": tmdb_id, "movie": None}
    state = asked.row(
        "SELECT release_date, imdb_id, popularity, first_seen_at, last_seen_at, tmdb_checked_at, omdb_checked_at,"
        " unchanged_cycles, override FROM refresh_metadata WHERE tmdb_id = $id",
        id=tmdb_id,
    )
    return {
        "tmdb_id": tmdb_id,
        "movie": explained,
        "state": state,
        "why": [(SOURCES[s].title, told, s in asked.settings.sources) for s, told in explained["sources"].items()],
        "values": _values(asked, tmdb_id, state),
        "figures": _figures(asked, tmdb_id),
        "curve": _curve(asked, tmdb_id),
        "changes": _changes(asked, tmdb_id),
        "attempts": _attempts(asked, tmdb_id),
    }


def search(asked: Asked, text: str) -> Model:
    """The movies that a title, part of one, or a TMDB or IMDb id may mean; the most popular first."""
    rows = find_movies(asked.connection, text, FOUND + 1)
    return {"sought": " ".join(text.split())[:LONGEST_QUERY], "found": rows[:FOUND], "more": len(rows) > FOUND}


def _values(asked: Asked, tmdb_id: int, state: Model) -> list[Model]:
    """What each source says, by source, with the instant at which it last confirmed it."""
    told = [
        _said(asked, tmdb_id, TMDB_DETAILS, "TMDB details", state["tmdb_checked_at"]),
        _said(asked, tmdb_id, OMDB_RATINGS, "OMDb", state["omdb_checked_at"]),
    ]
    if told[0] is None:
        told[0] = _said(asked, tmdb_id, DISCOVERED_MOVIES, "TMDB listing", state["last_seen_at"])
    found = asked.rows("SELECT imdb_rating, imdb_votes, listed_at FROM imdb_ratings WHERE tmdb_id = $id", id=tmdb_id)
    if found:
        values = [("imdb rating", found[0]["imdb_rating"]), ("imdb votes", found[0]["imdb_votes"])]
        told.append({"title": "IMDb's daily file", "as_of": found[0]["listed_at"], "values": values})
    return [each for each in told if each]


def _said(asked: Asked, tmdb_id: int, table: Table, title: str, as_of: datetime | None) -> Model | None:
    rows = asked.rows(f"SELECT * FROM {table.name} WHERE tmdb_id = $id", id=tmdb_id)
    if not rows:
        return None
    meanings = {column.name: column.description for column in table.columns}
    values = [
        (name.replace("_", " "), _shown(name, value), meanings.get(name, ""))
        for name, value in rows[0].items()
        if name not in _NO_VALUES and value not in (None, "", [])
    ]
    return {"title": title, "as_of": as_of, "values": values}


def _shown(name: str, value: Any) -> Any:
    """A value as the page writes it: a number that only names something has no separators."""
    if name.endswith(("_id", "year")):
        return str(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _figures(asked: Asked, tmdb_id: int) -> list[Model]:
    """What sources besides TMDB and OMDb state of its money."""
    return [row for row in figures_of(asked.connection, tmdb_id) if row["source"] not in ("tmdb", "omdb")]


def _curve(asked: Asked, tmdb_id: int) -> Chart:
    """Its ratings over time, on a scale of a hundred."""
    ratings = ratings_over_time(asked.connection, tmdb_id, asked.now.replace(tzinfo=None))
    series = [
        Series(
            RATINGS[field], [None if v is None else v * SCALE_OF[field] for v in ratings.values[field]], _COLOURS[field]
        )
        for field in ratings.values
    ]
    table = [
        (RATINGS[field], values[0], values[-1], ratings.changes[field]) for field, values in ratings.values.items()
    ]
    return Chart(
        "Ratings over time",
        "; ".join(f"{title}: {_rating(first)} at first, {_rating(now)} now" for title, first, now, _ in table) + ".",
        "lines",
        [int(at.replace(tzinfo=UTC).timestamp()) for at in ratings.instants],
        series,
        ("Rating", "First known", "Now", "Changes"),
        table,
        time=True,
        y_label="of 100",
    )


def _rating(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _changes(asked: Asked, tmdb_id: int) -> list[Model]:
    rows = asked.rows(
        "SELECT tmdb_id, source, field, old_value, new_value, changed_at FROM movie_history WHERE tmdb_id = $id"
        f" ORDER BY changed_at DESC, field LIMIT {CHANGES}",
        id=tmdb_id,
    )
    return told_changes(asked, rows)


def _attempts(asked: Asked, tmdb_id: int) -> list[Model]:
    return asked.rows(
        "SELECT source, fetched_at, outcome, changed, requests, reason, due_because FROM fetch_log"
        f" WHERE tmdb_id = $id ORDER BY fetched_at DESC LIMIT {ATTEMPTS}",
        id=tmdb_id,
    )
