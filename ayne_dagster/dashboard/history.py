"""What changed today and in the last week: counts, the latest changes, movers in ratings and money, new releases."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

from ayne_dagster.dashboard.pages import Asked, Model
from ayne_dagster.refresh.budget import midnight
from ayne_dagster.warehouse.changes import DRIFTING, SOURCE_OF, shown
from ayne_dagster.warehouse.one_movie import RATINGS, SCALE_OF
from ayne_dagster.warehouse.questions import movie_titles

LATEST, MOVERS, RELEASES = 60, 15, 30
WEEK_DAYS = 7
MONEY = {"revenue": "Worldwide gross (TMDB)", "box_office": "US and Canada gross (OMDb)", "budget": "Budget (TMDB)"}
_NUMBER = "TRY_CAST(json_extract_string({}, '$') AS DOUBLE)"


def history(asked: Asked) -> Model:
    """All of the page."""
    today = midnight(asked.now).replace(tzinfo=None)
    week = today - timedelta(days=WEEK_DAYS - 1)
    return {
        "counts": _counts(asked, today, week),
        "latest": _latest(asked, week),
        "ratings": _movers(asked, RATINGS, week, relative=False),
        "money": _movers(asked, MONEY, week, relative=True),
        "releases": _releases(asked),
        "discovered": _discovered(asked, week),
        "since": week,
    }


def _counts(asked: Asked, today: Any, week: Any) -> list[Model]:
    """By source and field: how many movies changed today and this week."""
    rows = asked.rows(
        "SELECT source, field, count(DISTINCT tmdb_id) FILTER (WHERE changed_at >= $today) AS today,"
        " count(DISTINCT tmdb_id) AS week FROM movie_history WHERE changed_at >= $week AND changed_at <= $now"
        " GROUP BY ALL ORDER BY week DESC, field LIMIT 40",
        today=today,
        week=week,
    )
    return [row | {"source": SOURCE_OF.get(row["source"], row["source"])} for row in rows]


def _latest(asked: Asked, week: Any) -> list[Model]:
    quiet = ", ".join(f"'{field}'" for field in DRIFTING)
    rows = asked.rows(
        "SELECT tmdb_id, source, field, old_value, new_value, changed_at FROM movie_history"
        f" WHERE changed_at >= $week AND changed_at <= $now AND field NOT IN ({quiet})"
        f" ORDER BY changed_at DESC, tmdb_id, field LIMIT {LATEST}",
        week=week,
    )
    return told_changes(asked, rows)


def told_changes(asked: Asked, rows: list[Model]) -> list[Model]:
    """Rows of the history as a person reads them, with titles."""
    titles = movie_titles(asked.connection, {row["tmdb_id"] for row in rows})
    return [
        {
            "tmdb_id": row["tmdb_id"],
            "title": titles.get(row["tmdb_id"]),
            "source": SOURCE_OF.get(row["source"], row["source"]),
            "field": row["field"].replace("_", " "),
            "old": shown(row["old_value"]),
            "new": shown(row["new_value"]),
            "at": row["changed_at"],
        }
        for row in rows
    ]


def _movers(asked: Asked, fields: dict[str, str], week: Any, *, relative: bool) -> list[Model]:
    """The movies whose figures moved most since the week began: from the first value to the last."""
    names = ", ".join(f"'{field}'" for field in fields)
    scale = "CASE field " + " ".join(f"WHEN '{name}' THEN {SCALE_OF[name]}" for name in SCALE_OF) + " ELSE 1 END"
    # What a rating moved by, on a scale of a hundred; money by its amount.
    size = "abs(latest - first)" if relative else f"abs(latest - first) * {scale}"
    rows = asked.rows(
        f"""
        SELECT tmdb_id, field, first, latest FROM (
            SELECT tmdb_id, field, arg_min({_NUMBER.format("old_value")}, changed_at) AS first,
                   arg_max({_NUMBER.format("new_value")}, changed_at) AS latest
            FROM movie_history
            WHERE changed_at >= $week AND changed_at <= $now AND field IN ({names})
            GROUP BY tmdb_id, field
        )
        WHERE first IS NOT NULL AND latest IS NOT NULL AND first <> latest
        ORDER BY {size} DESC, tmdb_id LIMIT {MOVERS}""",
        week=week,
    )
    titles = movie_titles(asked.connection, {row["tmdb_id"] for row in rows})
    return [
        row | {"title": titles.get(row["tmdb_id"]), "field": fields[row["field"]], "by": row["latest"] - row["first"]}
        for row in rows
    ]


def _releases(asked: Asked) -> list[Model]:
    """What was released in the last two weeks, the most popular first."""
    today = asked.now.astimezone(UTC).date()
    rows = asked.rows(
        "SELECT tmdb_id, release_date, popularity, tmdb_checked_at FROM refresh_metadata"
        " WHERE release_date BETWEEN $first AND $last AND tmdb_tombstoned_at IS NULL"
        f" ORDER BY popularity DESC NULLS LAST, tmdb_id LIMIT {RELEASES}",
        first=today - timedelta(days=14),
        last=today,
    )
    titles = movie_titles(asked.connection, {row["tmdb_id"] for row in rows})
    return [row | {"title": titles.get(row["tmdb_id"])} for row in rows]


def _discovered(asked: Asked, week: Any) -> int:
    return int(asked.row("SELECT count(*) AS n FROM refresh_metadata WHERE first_seen_at >= $week", week=week)["n"])
