"""The table macro `movies_at`: `movies` as it was known at an instant, worked backwards from `movie_history`. No rows.

A value then is what the earliest later change of it was from, else what is stored. That holds from the instant on from
which the history has every change of the row (`refresh_metadata.<table>_since`): its first version, and after a purge
the last change that was dropped. Before it nothing is told of the table. Rows of databases of before schema version 5
have no such note: theirs counts from the first change that is kept, else from the last check.

Whether OMDb's answer is of another work is judged by all that is known today, and has no history: such answers are left
out of any instant.

Left out are the columns of `movies` of which no history is kept: when sources were asked, what follows from it, the
best figures of its money (`budget`, `revenue` and `box_office` have one), TMDB's daily export and IMDb's daily file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR, UNKNOWN_YEAR
from ayne_dagster.warehouse.best_figures import FIGURE_COLUMNS
from ayne_dagster.warehouse.matching.same_work import Match
from ayne_dagster.warehouse.movie_columns import ADDED_COLUMNS, ADDED_LINES, NAMES_JOIN, filled
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS, Table, since_column
from ayne_dagster.warehouse.tables import Column, TableMacro
from ayne_dagster.warehouse.views import MOVIES

INSTANT = "instant"
"""The parameter."""
_AT = f"CAST({INSTANT} AS TIMESTAMP)"
_STATES = ("tmdb_checked_at", "tmdb_changed_at", "tmdb_tombstoned_at", "omdb_checked_at", "omdb_changed_at")
UNTOLD = frozenset(
    {
        "popularity_as_of",
        "imdb_rating_as_of",
        "omdb_match",
        "category",
        "frozen",
        *_STATES,
        *(c.name for c in FIGURE_COLUMNS),
    }
)
"""Columns of `movies` of which no history is kept."""
_MEANINGS = {
    "release_date": "Release date by the best source of then: details, else the listing",
    "popularity": "TMDB's score as its details told it last then: listing and export keep no past",
    "vote_average": "Mean vote at TMDB, as its details told it last then",
    "vote_count": "Number of votes at TMDB, as its details told it last then",
    "imdb_rating": "IMDb rating, as OMDb told it last then: IMDb's daily file keeps no past",
    "imdb_votes": "Number of IMDb votes, as OMDb told it last then",
    "imdb_rating_source": "Where rating and votes are from: omdb",
}
"""Of columns that are not quite those of `movies`."""
_OF_DETAILS = ("popularity", "vote_average", "vote_count")
_NO_DETAILS = "no details had told it then"


def _columns() -> tuple[Column, ...]:
    told = (column for column in MOVIES.columns if column.name not in UNTOLD)
    described = (replace(c, description=_MEANINGS.get(c.name, c.description)) for c in told)
    return tuple(replace(c, null=_NO_DETAILS if c.name in _OF_DETAILS else c.null) for c in described)


def _value_sql(text: str, kind: str) -> str:
    """A value of the history, which is JSON, in the type of its column; what cannot be that is unknown."""
    plain = f"json_extract_string({text}, '$')"
    if kind == "VARCHAR":
        return plain
    if kind.endswith("[]"):
        return f"TRY_CAST(TRY_CAST({text} AS JSON) AS {kind})"
    return f"TRY_CAST({plain} AS {kind})"


def _former_or_stored(column: str, name: str, kind: str) -> str:
    """What the earliest later change was from (c), else what is stored (t)."""
    former = _value_sql(f"c.{column}.value", kind)
    return f"CASE WHEN c.{column} IS NULL THEN t.{column} ELSE {former} END AS {name}"


def _then_sql(table: Table, names: Iterable[str], unnoted: str) -> str:
    """The rows of a table as they were then, of the movies of which that is known.

    Args:
        table: with one row a movie.
        names: columns, each of which has a history.
        unnoted: from when on the history is whole where that was not noted and no change is kept.
    """
    names = list(names)
    former = ",\n           ".join(
        f"arg_min({{'value': old_value}}, changed_at) FILTER (field = '{name}') AS {name}" for name in names
    )
    lines = ",\n       ".join(_former_or_stored(name, name, table.types[name]) for name in names)
    return f"""
    SELECT t.tmdb_id, m.{since_column(table)} <= {_AT} AS is_noted,
       {lines}
    FROM {table.name} AS t
    JOIN refresh_metadata AS m ON m.tmdb_id = t.tmdb_id
    LEFT JOIN (
        SELECT tmdb_id,
           {former}
        FROM movie_history WHERE source = '{table.name}' AND changed_at > {_AT} GROUP BY tmdb_id
    ) AS c ON c.tmdb_id = t.tmdb_id
    LEFT JOIN (
        SELECT tmdb_id, min(changed_at) AS at FROM movie_history WHERE source = '{table.name}' GROUP BY tmdb_id
    ) AS kept ON kept.tmdb_id = t.tmdb_id
    WHERE coalesce(m.{since_column(table)}, kept.at, {unnoted}) <= {_AT}"""


_LISTED = [name for name in DISCOVERED_MOVIES.significant if name not in ("release_date", "genre_ids")]
_LISTED_THEN = _then_sql(DISCOVERED_MOVIES, _LISTED, "t.updated_at")
_DETAILS_THEN = _then_sql(TMDB_DETAILS, TMDB_DETAILS.content, "m.tmdb_checked_at")
_RATINGS_THEN = _then_sql(OMDB_RATINGS, OMDB_RATINGS.content, "m.omdb_checked_at")
# The date of a listing follows that of the details, and the history says it once. At one instant the listing's own
# says which date the movie had: that of the details what they had themselves.
_DATES_THEN = f"""
    SELECT t.tmdb_id,
       {_former_or_stored("release_date", "listed_date", "DATE")}
    FROM discovered_movies AS t
    LEFT JOIN (
        SELECT tmdb_id, first({{'value': old_value}} ORDER BY changed_at, source) AS release_date
        FROM movie_history
        WHERE source IN ('discovered_movies', 'tmdb_details') AND field = 'release_date' AND changed_at > {_AT}
        GROUP BY tmdb_id
    ) AS c ON c.tmdb_id = t.tmdb_id"""
_RELEASE_DATE = "coalesce(d.release_date, CASE WHEN l.is_noted THEN dates.listed_date END)"
_SPECIAL = {
    "tmdb_id": "m.tmdb_id",
    "release_year": f"CASE WHEN year({_RELEASE_DATE}) BETWEEN {FIRST_YEAR} AND {LAST_YEAR}"
    f" THEN CAST(year({_RELEASE_DATE}) AS VARCHAR) ELSE '{UNKNOWN_YEAR}' END",
    "imdb_id": "d.imdb_id",
    "release_date": _RELEASE_DATE,
    "first_seen_at": "m.first_seen_at",
    "imdb_rating_source": "CASE WHEN o.imdb_rating IS NOT NULL THEN 'omdb' END",
}
_ADDED = {c.name: line.removesuffix(f" AS {c.name}") for c, line in zip(ADDED_COLUMNS, ADDED_LINES, strict=True)}


def _line(name: str) -> str:
    """The expression for a column."""
    if (special := _SPECIAL.get(name) or _ADDED.get(name)) is not None:
        return special
    if name in TMDB_DETAILS.content:
        return filled(name, f"coalesce(d.{name}, l.{name})" if name in _LISTED else f"d.{name}")
    return f"o.{name}"


_COLUMNS = _columns()
MOVIES_AT = TableMacro(
    "movies_at",
    (INSTANT,),
    "One row a movie that was known at an instant (UTC), with what was known of it then. It has the columns of movies "
    "of which a history is kept: no states, best figures, daily files.",
    f"""
WITH l AS ({_LISTED_THEN}
), d AS ({_DETAILS_THEN}
), o AS ({_RATINGS_THEN}
), dates AS ({_DATES_THEN}
)
SELECT {", ".join(f"{_line(c.name)} AS {c.name}" for c in _COLUMNS)}
FROM refresh_metadata AS m
LEFT JOIN l ON l.tmdb_id = m.tmdb_id
LEFT JOIN dates ON dates.tmdb_id = m.tmdb_id
LEFT JOIN d ON d.tmdb_id = m.tmdb_id
{NAMES_JOIN}
LEFT JOIN (SELECT tmdb_id, imdb_id FROM omdb_ratings WHERE match = '{Match.ANOTHER}') AS w
    ON w.tmdb_id = m.tmdb_id AND w.imdb_id = d.imdb_id
LEFT JOIN o ON o.tmdb_id = m.tmdb_id AND o.imdb_id = CASE WHEN w.tmdb_id IS NULL THEN d.imdb_id END
WHERE m.first_seen_at <= {_AT}""",
    _COLUMNS,
    key=("tmdb_id",),
    null="no source had said it, or none was asked yet",
)
MACROS = (MOVIES_AT,)
