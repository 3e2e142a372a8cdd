"""A movie: its values with source and date, its ratings over time, its changes, and when it is asked; the search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.history import RATINGS, SCALE_OF, told_changes
from ayne_dagster.dashboard.pages import Asked, Model
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.questions import explain_movie
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS, Table

FOUND, CHANGES, ATTEMPTS = 50, 100, 20
LONGEST_QUERY = 200
_NO_VALUES = ("tmdb_id", "release_year", "updated_at", "poster_path", "backdrop_path", "poster")
_COLOURS = {
    "imdb_rating": "omdb",
    "vote_average": "tmdb",
    "metascore": "numbers",
    "rotten_tomatoes_rating": "plain",
}
MAX_ID = 2**63 - 1


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
        "curve": _curve(asked, tmdb_id, state["first_seen_at"]),
        "changes": _changes(asked, tmdb_id),
        "attempts": _attempts(asked, tmdb_id),
    }


def search(asked: Asked, text: str) -> Model:
    """The movies that a title, part of one, or a TMDB or IMDb id may mean; the most popular first."""
    sought = " ".join(text.split())[:LONGEST_QUERY]
    if not sought:
        return {"sought": "", "found": []}
    number = int(sought) if sought.isascii() and sought.isdigit() and int(sought) <= MAX_ID else -1
    rows = asked.rows(
        """
        SELECT tmdb_id, coalesce(d.title, l.title) AS title, m.release_date, m.imdb_id
        FROM refresh_metadata AS m
        LEFT JOIN tmdb_details AS d USING (tmdb_id) LEFT JOIN discovered_movies AS l USING (tmdb_id)
        WHERE tmdb_id = $number OR m.imdb_id = $lower
           OR contains(lower(strip_accents(coalesce(d.title, l.title))), lower(strip_accents($sought)))
           OR contains(lower(strip_accents(coalesce(d.original_title, l.original_title))),
                       lower(strip_accents($sought)))
        ORDER BY tmdb_id = $number DESC, lower(coalesce(d.title, l.title)) = $lower DESC,
                 m.popularity DESC NULLS LAST, tmdb_id
        LIMIT $limit""",
        number=number,
        lower=sought.lower(),
        sought=sought,
        limit=FOUND + 1,
    )
    return {"sought": sought, "found": rows[:FOUND], "more": len(rows) > FOUND}


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
        (name.replace("_", " "), _shown(value), meanings.get(name, ""))
        for name, value in rows[0].items()
        if name not in _NO_VALUES and value not in (None, "", [])
    ]
    return {"title": title, "as_of": as_of, "values": values}


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _figures(asked: Asked, tmdb_id: int) -> list[Model]:
    """What sources besides TMDB and OMDb state of its money."""
    return asked.rows(
        "SELECT source, measure, scope, currency, amount, as_of, observed_at, suspect FROM box_office"
        " WHERE tmdb_id = $id AND gone_at IS NULL ORDER BY measure, scope, source, observed_at DESC LIMIT 40",
        id=tmdb_id,
    )


def _curve(asked: Asked, tmdb_id: int, known_since: datetime | None) -> Chart:
    """Its ratings over time, on a scale of a hundred: the value before each change and after, and today's."""
    number = "TRY_CAST(json_extract_string({}, '$') AS DOUBLE)"
    rows = asked.rows(
        f"SELECT field, changed_at, {number.format('old_value')} AS old, {number.format('new_value')} AS new"
        " FROM movie_history WHERE tmdb_id = $id AND field IN (SELECT unnest($fields))"
        " AND changed_at <= $now ORDER BY changed_at LIMIT 2000",
        id=tmdb_id,
        fields=list(RATINGS),
    )
    present = asked.row(
        "SELECT (SELECT vote_average FROM tmdb_details WHERE tmdb_id = $id) AS vote_average,"
        " o.imdb_rating, o.metascore, o.rotten_tomatoes_rating FROM (SELECT 1)"
        " LEFT JOIN (SELECT * FROM omdb_ratings WHERE tmdb_id = $id) AS o ON TRUE",
        id=tmdb_id,
    )
    times = sorted({row["changed_at"] for row in rows})
    since = [known_since] if known_since and (not times or known_since < times[0]) else []
    instants = [*since, *times, asked.now.replace(tzinfo=None)]
    series, table = [], []
    for field, title in RATINGS.items():
        changes = {row["changed_at"]: row for row in rows if row["field"] == field}
        if not changes and present[field] is None:
            continue
        first = next(iter(changes.values()))["old"] if changes else present[field]
        values: list[float | None] = []
        latest = first
        for at in instants[:-1]:
            latest = changes[at]["new"] if at in changes else latest
            values.append(None if latest is None else latest * SCALE_OF[field])
        values.append(None if present[field] is None else present[field] * SCALE_OF[field])
        series.append(Series(title, values, _COLOURS[field]))
        now = present[field]
        table.append((title, first, now, len(changes)))
    return Chart(
        "Ratings over time",
        "; ".join(f"{title}: {_rating(first)} at first, {_rating(now)} now"
                  for title, first, now, _ in table) + ".",
        "lines",
        [int(at.replace(tzinfo=UTC).timestamp()) for at in instants],
        series,
        ("Rating", "First known", "Now", "Changes"),
        table,
        time=True,
        y_label="of 100",
    )  # fmt: skip


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
