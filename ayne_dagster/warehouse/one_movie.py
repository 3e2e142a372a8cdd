"""One movie as a person looks at it: finding it by its title, what is known and by whom, its cast, money and ratings.

Why and when it is asked for is worked out in `questions`, what changed is told in `changes`. Prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from ayne_dagster.warehouse.best_figures import LEAST_BUDGET
from ayne_dagster.warehouse.changes import DRIFTING, movie_changes
from ayne_dagster.warehouse.matching.same_work import Match
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS
from ayne_dagster.warehouse.views import MOVIES

LONGEST_QUERY = 200
"""Characters of a title that are looked for."""
MAX_ID = 2**63 - 1
RATINGS = {
    "imdb_rating": "IMDb rating",
    "metascore": "Metascore",
    "rotten_tomatoes_rating": "Tomatometer",
    "vote_average": "TMDB mean vote",
}
SCALE_OF = {"imdb_rating": 10, "vote_average": 10, "metascore": 1, "rotten_tomatoes_rating": 1}
"""What makes each rating one of a hundred."""
TOP_OF_CAST = 10
MOST_CREDITS_READ = 20_000_000
"""Rows of `credits`, which has no index, that are looked through for one movie: a seventh of a second."""
_MOST_POINTS = 2_000
_NO_VALUES = frozenset(
    {"tmdb_id", "release_year", "poster_path", "backdrop_path", "category", "frozen", "omdb_match"}
    | {"budget_plausible", "revenue_plausible", "first_seen_at", "directors", "actors", "popularity_as_of"}
    | {c.name for c in MOVIES.columns if c.name.endswith(("_source", "_checked_at", "_changed_at", "_tombstoned_at"))}
)
"""Columns of `movies` that are no values, or are told in another place."""


@dataclass(frozen=True)
class RatingsOverTime:
    """A movie's ratings, each as its source has it, at the instants at which one of them changed, and now."""

    instants: Sequence[datetime]
    """Naive UTC, rising; the last is the present."""
    values: Mapping[str, Sequence[float | None]]
    """By column: the value from each instant on."""
    changes: Mapping[str, int]
    """By column: how often it changed."""


def describe_movie(
    connection: duckdb.DuckDBPyConnection,
    explained: Mapping[str, Any],
    now: datetime,
    changes: int = 8,
) -> dict[str, Any]:
    """All that is told of a movie on one screen.

    Args:
        connection: an open connection.
        explained: what `questions.explain_movie` tells of it.
        now: the present instant (aware UTC).
        changes: so many of the latest, without those of counters that drift daily.

    Returns:
        What is explained, and `values`, `directors`, `cast`, `more_cast`, `ratings`, `rated_at` (their instants),
        `changes`, `figures` and `doubts` (what is doubtful about OMDb's answer and its money, in words).
    """
    tmdb_id = int(explained["tmdb_id"])
    row = _row_of(connection, tmdb_id)
    values, people = _values(row), people_of(connection, tmdb_id, row)
    told = movie_changes(connection, tmdb_id, limit=changes, without=DRIFTING)
    figures = figures_of(connection, tmdb_id)
    over_time = ratings_over_time(connection, tmdb_id, naive_utc(now))
    return dict(explained) | {
        "values": values,
        "directors": people["directors"],
        "cast": people["cast"],
        "more_cast": people["more"],
        "ratings": [
            {"rating": field, "changes": over_time.changes[field], "values": found}
            for field, found in over_time.values.items()
        ],
        "rated_at": over_time.instants,
        "changes": told["changes"] if told else [],
        "figures": figures,
        "doubts": [*_doubts_of_omdb(connection, tmdb_id), *_doubts_of_money(figures, values)],
    }


def _doubts_of_omdb(connection: duckdb.DuckDBPyConnection, tmdb_id: int) -> list[str]:
    """Why OMDb's answer under the movie's IMDb id may not be of this movie, in words."""
    found = connection.execute(
        "SELECT imdb_id, o.match, o.match_reasons FROM omdb_ratings AS o JOIN refresh_metadata USING (tmdb_id, imdb_id)"
        " WHERE tmdb_id = $id AND o.match <> $same",
        {"id": tmdb_id, "same": str(Match.SAME)},
    ).fetchall()
    what = {Match.ANOTHER: "is another work's, and not shown", Match.DOUBTFUL: "may be another work's"}
    return [f"OMDb's answer for {imdb_id} {what[Match(match)]}: {reasons}" for imdb_id, match, reasons in found]


def _doubts_of_money(figures: Sequence[Mapping[str, Any]], values: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is doubtful about a movie's money, in words."""
    doubts = [
        f"{f['measure'].replace('_', ' ')}, {f['scope']}, of {f['source']}: {f['amount']:,.0f} {f['currency']}:"
        f" {f['suspect']}"
        for f in figures
        if f["suspect"]
    ]
    told = {(f["source"], f["measure"]) for f in figures}
    measures = {"budget": "production_budget", "revenue": "gross"}
    return doubts + [
        f"{v['column']} of tmdb: {v['value']:,} USD: below {LEAST_BUDGET:,} US dollars"
        for v in values
        if v["column"] in measures and v["value"] < LEAST_BUDGET and ("tmdb", measures[v["column"]]) not in told
    ]


def rows_of(connection: duckdb.DuckDBPyConnection, query: str, bound: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a question yields, as dictionaries."""
    found = connection.execute(query, dict(bound))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _plain(text: str) -> str:
    """An expression for a text without case and accents."""
    return f"lower(strip_accents({text}))"


def _contains(text: str) -> str:
    """Whether a text contains what is sought, which is plain: most have no accents, and taking them off is slow.

    They are taken off only of texts that have letters with any, and what can have none of what is sought ($bare).
    """
    accented = f"contains({text}, $bare) AND strlen({text}) <> length({text})"
    return f"(contains(lower({text}), $plain) OR ({accented} AND contains({_plain(text)}, $plain)))"


_NAMED = f"({_contains('title')} OR (original_title IS DISTINCT FROM title AND {_contains('original_title')}))"
_BY_ID = "SELECT tmdb_id FROM refresh_metadata WHERE tmdb_id = $number OR imdb_id = $lower"


_NAMED_SO = f"""
    listed AS MATERIALIZED (SELECT tmdb_id FROM discovered_movies WHERE {_NAMED}
    ), detailed AS MATERIALIZED (SELECT tmdb_id FROM tmdb_details SEMI JOIN listed USING (tmdb_id)
    ), named AS (
        SELECT tmdb_id FROM tmdb_details WHERE {_NAMED}
        UNION SELECT tmdb_id FROM listed ANTI JOIN detailed USING (tmdb_id)
    )"""
"""The movies whose name has what is sought in it, as `named`: by the details, else by the listing.

Which of the listing's have no details is asked of those alone whose name fits: of all of them takes longer.
"""


_FOUND = f"""
    SELECT m.tmdb_id, coalesce(d.title, l.title) AS title, m.release_date, m.imdb_id, m.popularity,
           m.tmdb_id = $number OR coalesce(m.imdb_id = $lower, FALSE) AS by_id,
           coalesce({_plain("coalesce(d.title, l.title)")} = $plain, FALSE)
           OR coalesce({_plain("coalesce(d.original_title, l.original_title)")} = $plain, FALSE) AS is_title
    FROM refresh_metadata AS m SEMI JOIN hits USING (tmdb_id)
    LEFT JOIN (SELECT tmdb_id, title, original_title FROM tmdb_details SEMI JOIN hits USING (tmdb_id)) AS d
        ON d.tmdb_id = m.tmdb_id
    LEFT JOIN (SELECT tmdb_id, title, original_title FROM discovered_movies SEMI JOIN hits USING (tmdb_id)) AS l
        ON l.tmdb_id = m.tmdb_id
    ORDER BY m.tmdb_id = $number DESC, by_id DESC, is_title DESC, m.popularity DESC NULLS LAST, m.tmdb_id
    LIMIT $limit"""
_BY_TITLE_ALONE = f"WITH {_NAMED_SO}, hits AS MATERIALIZED (FROM named) {_FOUND}"
_BY_ID_OR_WHOLE_TITLE = f"""
    WITH listed AS MATERIALIZED (SELECT tmdb_id FROM discovered_movies WHERE title = $lower
    ), detailed AS MATERIALIZED (SELECT tmdb_id FROM tmdb_details SEMI JOIN listed USING (tmdb_id)
    ), hits AS MATERIALIZED (
        {_BY_ID} UNION SELECT tmdb_id FROM tmdb_details WHERE title = $lower
        UNION SELECT tmdb_id FROM listed ANTI JOIN detailed USING (tmdb_id)
    ) {_FOUND}"""


def _without_letters(plain: str) -> str:
    """The longest part of a plain text that has no letters: none of it can be a letter with an accent elsewhere."""
    return max(re.findall("[0-9 ]+", plain), key=len, default="")


def find_movies(connection: duckdb.DuckDBPyConnection, text: str, limit: int) -> list[dict[str, Any]]:
    """The movies that a title, part of one, or a TMDB or IMDb id may mean.

    Case and accents do not count. Ids come first, then titles that are the text, then the most popular. Where the text
    is an id, no titles are found but those that are just this text.

    Args:
        connection: an open connection.
        text: what is looked for.
        limit: so many at most.

    Returns:
        `tmdb_id`, `title`, `release_date`, `imdb_id`, `popularity`, `by_id` and `is_title` (whether the title, or the
        original one, is the text).
    """
    sought = " ".join(text.split())[:LONGEST_QUERY]
    if not sought:
        return []
    number = int(sought) if sought.isascii() and sought.isdigit() and int(sought) <= MAX_ID else -1
    ((plain,),) = connection.execute(f"SELECT {_plain('$sought')}", {"sought": sought}).fetchall()
    bound = {"number": number, "lower": sought.lower(), "plain": plain, "limit": limit}
    # A title may be a number, too: but whoever names an id does not mean all titles that have it somewhere in them.
    if number > 0 or re.fullmatch("tt[0-9]+", sought.lower()):
        by_id = rows_of(connection, _BY_ID_OR_WHOLE_TITLE, bound)
        if any(movie["by_id"] for movie in by_id):
            return by_id
    return rows_of(connection, _BY_TITLE_ALONE, bound | {"bare": _without_letters(plain)})


def values_of(connection: duckdb.DuckDBPyConnection, tmdb_id: int) -> list[dict[str, Any]]:
    """What is known of a movie, by the view `movies`: `column`, `value`, `source` and `as_of` (naive UTC) of each.

    Its money is among it as far as it is chosen from several sources; unknown values are left out.
    """
    return _values(_row_of(connection, tmdb_id))


def _row_of(connection: duckdb.DuckDBPyConnection, tmdb_id: int) -> dict[str, Any]:
    """The movie's row of `movies`, with when it was last listed; empty for an unknown movie."""
    found = rows_of(
        connection,
        "SELECT v.*, m.last_seen_at FROM movies AS v JOIN refresh_metadata AS m USING (tmdb_id) WHERE v.tmdb_id = $id",
        {"id": tmdb_id},
    )
    return found[0] if found else {}


def _values(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """See `values_of`."""
    columns = [c.name for c in MOVIES.columns if c.name not in _NO_VALUES and not c.name.endswith("_as_of")]
    return [
        {"column": name, "value": row[name]} | dict(zip(("source", "as_of"), _source(row, name), strict=True))
        for name in columns
        if row.get(name) not in (None, "", [])
    ]


def _source(row: Mapping[str, Any], name: str) -> tuple[str | None, datetime | None]:
    """Who says a value, and when that was last read or confirmed."""
    origin = "imdb_rating" if name == "imdb_votes" else name
    origins = MOVIES.origins[name]
    ours = "omdb" if OMDB_RATINGS.name in origins and TMDB_DETAILS.name not in origins else "tmdb"
    source = row.get(f"{origin}_source", ours)
    if source == "tmdb":
        asked = row["tmdb_checked_at"] or (row["last_seen_at"] if name in DISCOVERED_MOVIES.types else None)
    else:
        asked = row["omdb_checked_at"] if source == "omdb" else None
    return source, row.get(f"{origin}_as_of") or asked


def people_of(
    connection: duckdb.DuckDBPyConnection, tmdb_id: int, row: Mapping[str, Any], most: int = TOP_OF_CAST
) -> dict[str, Any]:
    """Who made a movie: `directors`, and of `cast` the first in billing order, each with `name` and `character`.

    Where TMDB's credits are not known, or too many to look through, they are those of its row of `movies`: by TMDB's
    details or OMDb, fifteen of the cast at most, without characters.
    """
    ((credits,),) = connection.execute(
        "SELECT coalesce(max(estimated_size), 0) FROM duckdb_tables() WHERE table_name = 'credits'"
    ).fetchall()
    credited = [] if credits > MOST_CREDITS_READ else _credited(connection, tmdb_id)
    directors = [row["name"] for row in credited if row["job"] == "Director"]
    cast = [{"name": row["name"], "character": row["character"]} for row in credited if row["kind"] == "cast"]
    if not directors:
        directors = row.get("directors") or []
    if not cast:
        cast = [{"name": name, "character": None} for name in row.get("actors") or []]
    return {"directors": directors, "cast": cast[:most], "more": max(0, len(cast) - most)}


def _credited(connection: duckdb.DuckDBPyConnection, tmdb_id: int) -> list[dict[str, Any]]:
    return rows_of(
        connection,
        "SELECT c.kind, c.job, c.character, p.name FROM credits AS c JOIN people AS p USING (person_id)"
        " WHERE c.tmdb_id = $id AND (c.kind = 'cast' OR c.job = 'Director') ORDER BY c.billing_order, c.credit_id",
        {"id": tmdb_id},
    )


def figures_of(connection: duckdb.DuckDBPyConnection, tmdb_id: int, most: int = 40) -> list[dict[str, Any]]:
    """What sources state of a movie's money, with what is doubtful about it (`suspect`), the latest reading first."""
    return rows_of(
        connection,
        "SELECT source, measure, scope, currency, amount, as_of, observed_at, suspect FROM box_office_figures"
        " WHERE tmdb_id = $id AND gone_at IS NULL ORDER BY measure, scope, source, observed_at DESC LIMIT $most",
        {"id": tmdb_id, "most": most},
    )


def ratings_over_time(connection: duckdb.DuckDBPyConnection, tmdb_id: int, now: datetime) -> RatingsOverTime:
    """A movie's ratings from when it became known until now: before each change, after it, and today's.

    Args:
        connection: an open connection.
        tmdb_id: the movie.
        now: the present instant (naive UTC); what was noted of later is left out.
    """
    rows = rows_of(
        connection,
        "SELECT field, changed_at, old_number, new_number FROM movie_changes WHERE tmdb_id = $id"
        f" AND field IN (SELECT unnest($fields)) AND changed_at <= $now ORDER BY changed_at LIMIT {_MOST_POINTS}",
        {"id": tmdb_id, "fields": list(RATINGS), "now": now},
    )
    present = rows_of(
        connection,
        "SELECT m.first_seen_at, d.vote_average, o.imdb_rating, o.metascore, o.rotten_tomatoes_rating"
        " FROM refresh_metadata AS m LEFT JOIN (SELECT * FROM tmdb_details WHERE tmdb_id = $id) AS d USING (tmdb_id)"
        " LEFT JOIN (SELECT * FROM omdb_ratings WHERE tmdb_id = $id) AS o USING (tmdb_id) WHERE m.tmdb_id = $id",
        {"id": tmdb_id},
    )[0]
    times = sorted({row["changed_at"] for row in rows})
    since = present["first_seen_at"]
    instants = [*([since] if since and (not times or since < times[0]) else []), *times, now]
    values: dict[str, list[float | None]] = {}
    number: dict[str, int] = {}
    for field in RATINGS:
        changes = {row["changed_at"]: row for row in rows if row["field"] == field}
        if not changes and present[field] is None:
            continue
        latest = next(iter(changes.values()))["old_number"] if changes else present[field]
        values[field], number[field] = [], len(changes)
        for at in instants[:-1]:
            latest = changes[at]["new_number"] if at in changes else latest
            values[field].append(latest)
        values[field].append(present[field])
    return RatingsOverTime(instants, values, number)
