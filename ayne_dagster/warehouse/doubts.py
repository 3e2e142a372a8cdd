"""What TMDB and OMDb contradict each other in: judged and stored beside OMDb's row, counted, listed.

How two descriptions are compared is in `matching.same_work`; which IMDb id is the right one, people decide at TMDB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from ayne_dagster.warehouse.matching.same_work import Match, compare_works, omdb_work, tmdb_work
from ayne_dagster.warehouse.rows import Row, arrow_schema, each_of, id_table, one_text, read_rows, registered
from ayne_dagster.warehouse.schema import OMDB_RATINGS, TMDB_DETAILS

_OF_TMDB = ("title", "original_title", "release_date", "us_release_date", "runtime", "directors", "actors")
_OF_OMDB = ("title", "year", "end_year", "type", "released", "runtime", "director", "actors")
IDENTIFYING = {TMDB_DETAILS.name: _OF_TMDB, OMDB_RATINGS.name: _OF_OMDB}
"""By table: the columns that tell which work it is. A row is judged again when one of them changes on either side."""
_CONCLUDED = ("match", "match_reasons")
JUDGED_AT_ONCE = 5_000
MOST_BATCHES = 4
"""So many batches of rows that nobody has judged yet are judged in a pass: some seconds within its transaction."""

SHARED, FOLLOW = "shared", "follow"
"""Doubts besides those of `Match`: two movies with one IMDb id; a movie that TMDB has deleted, and whose IMDb id
another one has."""
DOUBTS = (str(Match.ANOTHER), SHARED, FOLLOW, str(Match.DOUBTFUL))
"""In the order in which they are listed: what can be put right by one look first."""


def with_matches(
    connection: duckdb.DuckDBPyConnection, ratings: Collection[Row], identified: Collection[int]
) -> list[Row]:
    """Rows of `omdb_ratings`, as they are about to be stored, with how each matches TMDB's details.

    Args:
        connection: with an open transaction.
        ratings: the rows; those that they replace are still stored.
        identified: of these movies, what tells which work it is has changed, or is new: they are judged. The others
            keep the judgement that they have.
    """
    kept = read_rows(connection, OMDB_RATINGS, {row["tmdb_id"] for row in ratings} - set(identified), _CONCLUDED)
    judged = {i: row for i, row in kept.items() if row["match"] is not None}
    asked = [row["tmdb_id"] for row in ratings if row["tmdb_id"] not in judged]
    details = _details(connection, asked)
    return [row | (judged.get(i) or _judged(details.get(i), row)) for row in ratings for i in (row["tmdb_id"],)]


def judge_movies(connection: duckdb.DuckDBPyConnection, ids: Collection[int]) -> int:
    """Judge anew how the stored answers of these movies match; returns how many came out otherwise than before.

    Args:
        connection: with an open transaction.
        ids: movies of which details have changed; those that OMDb has not answered for are passed over.
    """
    stored = read_rows(connection, OMDB_RATINGS, ids, (*_OF_OMDB, *_CONCLUDED))
    details = _details(connection, stored)
    judged = {i: _judged(details.get(i), row) for i, row in stored.items()}
    moved = [{"tmdb_id": i, **new} for i, new in judged.items() if any(stored[i][name] != new[name] for name in new)]
    if moved:
        schema = arrow_schema(OMDB_RATINGS, ("tmdb_id", *_CONCLUDED))
        with registered(connection, "incoming_matches", pa.Table.from_pylist(moved, schema=schema)):
            assignments = ", ".join(f"{name} = incoming_matches.{name}" for name in _CONCLUDED)
            connection.execute(
                f"UPDATE omdb_ratings SET {assignments} FROM incoming_matches"
                " WHERE omdb_ratings.tmdb_id = incoming_matches.tmdb_id"
            )
    return len(moved)


def judge_unjudged(connection: duckdb.DuckDBPyConnection, years: Collection[str] | None = None) -> int:
    """Judge answers that nobody has judged yet, as those stored by a former version; returns how many.

    A pass takes 20,000 at most, and the next one goes on.

    Args:
        connection: with an open transaction.
        years: of movies of these partitions; all when left out.
    """
    within = "" if years is None else f" AND release_year IN ({each_of('$years')})"
    bound: dict[str, Any] = {"limit": JUDGED_AT_ONCE} | ({} if years is None else {"years": one_text(years)})
    judged = 0
    for _ in range(MOST_BATCHES):
        found = connection.execute(
            "SELECT tmdb_id FROM omdb_ratings SEMI JOIN tmdb_details USING (tmdb_id)"
            f" WHERE match IS NULL{within} LIMIT $limit",
            bound,
        ).fetchall()
        judged += judge_movies(connection, [row[0] for row in found])
        if len(found) < JUDGED_AT_ONCE:
            break
    return judged


def _details(connection: duckdb.DuckDBPyConnection, ids: Collection[int]) -> dict[int, Row]:
    """What TMDB says of which works these movies are, with other titles where they are held."""
    details = read_rows(connection, TMDB_DETAILS, ids, _OF_TMDB)
    if details:
        with registered(connection, "incoming_ids", id_table(details)):
            titles = connection.execute(
                "SELECT tmdb_id, list(title ORDER BY title) FROM alternative_titles"
                " SEMI JOIN incoming_ids USING (tmdb_id) GROUP BY tmdb_id"
            ).fetchall()
        for tmdb_id, others in titles:
            details[tmdb_id]["alternative_titles"] = others
    return details


def _judged(details: Mapping[str, Any] | None, ratings: Mapping[str, Any]) -> Row:
    """What is stored of how an answer matches; nothing where TMDB's details are not known."""
    if details is None:
        return dict.fromkeys(_CONCLUDED)
    judgement = compare_works(tmdb_work(details), omdb_work(ratings))
    return {"match": str(judgement.match), "match_reasons": "; ".join(judgement.reasons) or None}


_FOUND = f"""
WITH living AS (
    SELECT tmdb_id, imdb_id FROM refresh_metadata WHERE imdb_id IS NOT NULL AND tmdb_tombstoned_at IS NULL
), shared AS (
    SELECT imdb_id, list(tmdb_id ORDER BY tmdb_id) AS movies FROM living GROUP BY imdb_id HAVING count(*) > 1
), doubts AS (
    SELECT tmdb_id, imdb_id, o.match AS doubt, o.match_reasons AS reasons, CAST(NULL AS BIGINT) AS follow
    FROM omdb_ratings AS o JOIN living USING (tmdb_id, imdb_id) WHERE o.match IN ('{Match.ANOTHER}', '{Match.DOUBTFUL}')
    UNION ALL
    SELECT tmdb_id, imdb_id, '{SHARED}', 'movies ' || array_to_string(movies[:5], ', ') || ' have one IMDb id', NULL
    FROM living JOIN shared USING (imdb_id)
    UNION ALL
    SELECT gone.tmdb_id, imdb_id, '{FOLLOW}',
           'TMDB has deleted it, and movie ' || min(living.tmdb_id) || ' has its IMDb id', min(living.tmdb_id)
    FROM refresh_metadata AS gone JOIN living USING (imdb_id) WHERE gone.tmdb_tombstoned_at IS NOT NULL
    GROUP BY gone.tmdb_id, imdb_id
)"""


@dataclass(frozen=True, slots=True)
class DoubtCounts:
    """How many movies there is a doubt about, of each kind."""

    by_kind: Mapping[str, int]
    """All of `DOUBTS`, in their order."""
    judged: int
    """Answers of OMDb that were compared with TMDB's details."""
    not_judged: int
    """Answers that were not yet."""

    @property
    def another(self) -> int:
        """Answers that are clearly of another work."""
        return self.by_kind[Match.ANOTHER]

    @property
    def total(self) -> int:
        """Doubts of all kinds."""
        return sum(self.by_kind.values())


def count_doubts(connection: duckdb.DuckDBPyConnection) -> DoubtCounts:
    """How many movies there is a doubt about."""
    found: dict[str, int] = dict(
        connection.execute(f"{_FOUND} SELECT doubt, count(*) FROM doubts GROUP BY doubt").fetchall()
    )
    judged, not_judged = connection.execute(
        "SELECT count(o.match), count(*) - count(o.match) FROM omdb_ratings AS o"
        " JOIN refresh_metadata USING (tmdb_id, imdb_id) SEMI JOIN tmdb_details USING (tmdb_id)"
    ).fetchall()[0]
    return DoubtCounts({kind: found.get(kind, 0) for kind in DOUBTS}, judged, not_judged)


def list_doubts(connection: duckdb.DuckDBPyConnection, limit: int) -> list[dict[str, Any]]:
    """The doubts, by kind in the order of `DOUBTS`, then the most popular movies first.

    Returns:
        Of each: `tmdb_id`, `imdb_id`, `doubt` (its kind), `title` and `year` at TMDB, `omdb_title`, `omdb_year`,
        `reasons` (in words) and `follow` (the TMDB id that has taken its place, else None).
    """
    order = ", ".join(f"'{kind}'" for kind in DOUBTS)
    columns = ("tmdb_id", "imdb_id", "doubt", "title", "year", "omdb_title", "omdb_year", "reasons", "follow")
    rows: Iterable[tuple[Any, ...]] = connection.execute(
        f"""{_FOUND}
        SELECT tmdb_id, doubts.imdb_id, doubt, coalesce(d.title, l.title),
               CAST(coalesce(year(d.release_date), year(m.release_date)) AS INTEGER), o.title, o.year, reasons, follow
        FROM doubts
        JOIN refresh_metadata AS m USING (tmdb_id)
        LEFT JOIN tmdb_details AS d USING (tmdb_id)
        LEFT JOIN discovered_movies AS l USING (tmdb_id)
        LEFT JOIN omdb_ratings AS o ON o.tmdb_id = doubts.tmdb_id AND o.imdb_id = doubts.imdb_id
        ORDER BY list_position([{order}], doubt), m.popularity DESC NULLS LAST, tmdb_id
        LIMIT $limit""",
        {"limit": limit},
    ).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def describe_counts(counts: DoubtCounts) -> str | None:
    """The counts in a sentence; None where there is no doubt."""
    told = {
        Match.ANOTHER: "{n} movie(s) have the IMDb id of another work, and `movies` shows nothing under it",
        SHARED: "{n} share an IMDb id with another movie",
        FOLLOW: "{n} that TMDB has deleted live on under another TMDB id",
        Match.DOUBTFUL: "of {n} it is doubtful whether OMDb means the same work",
    }
    parts = [told[kind].format(n=f"{number:,}") for kind, number in counts.by_kind.items() if number]
    return f"{'; '.join(parts)}: `ayne doubts` lists them." if parts else None
