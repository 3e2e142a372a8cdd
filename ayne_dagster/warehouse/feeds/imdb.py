r"""IMDb's daily ratings in the warehouse: rating and votes of known movies, and which of them jumped. No OMDb here.

The file, title.ratings.tsv.gz, has a heading and three columns: tconst, averageRating, numVotes; unknown is \\\\N.
https://developer.imdb.com/non-commercial-datasets/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import duckdb

from ayne_dagster.warehouse.answers import Numbers
from ayne_dagster.warehouse.feeds.change_signals import Signal, note_signals
from ayne_dagster.warehouse.feeds.daily_files import (
    FEW,
    ONE_LINE_A_ROW,
    REFUTED,
    Doubts,
    FileRefused,
    Unpacked,
    is_unlike,
    lost,
    record,
    unpacked,
)
from ayne_dagster.warehouse.feeds.published_lines import Unpackable, first_line
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import IMDB_RATINGS

HEADING = ("tconst", "averageRating", "numVotes")
RATING_STEP = 0.1
"""The smallest step that the file shows."""
NOTICEABLE_GROWTH = 0.05
"""Growth in votes that makes a step of the rating news: without it a rating that lies between two tenths falls to one
side or the other by a handful of votes."""
GROWTH = 0.20
"""Growth in votes that is news by itself: a title that is being watched, whose other ratings move too."""
LEAST_NEW_VOTES = 50
"""Fewer are no news, whatever their share: a title with ten votes grows by a fifth with every other vote."""
TERMS = (
    "Information courtesy of IMDb (https://www.imdb.com). Used with permission: for personal and non-commercial use "
    "only, https://help.imdb.com/article/imdb/general-information/can-i-use-imdb-data-in-my-software/G5JTRESSHJBBHTGX"
)

STRANGE_RATING = 1.0
STRANGE_VOTES = 2.0
MOST_STRANGE = 0.25
"""Share of the known movies; when the rating of more of them is another by STRANGE_RATING, or the votes have changed by
a factor of STRANGE_VOTES, the file tells of something else than the last one did."""

# As text, so that a line that is no rating is counted and skipped, and not half read.
_SELECT = r"""
SELECT CASE WHEN regexp_full_match(tconst, 'tt[0-9]{{7,10}}') THEN tconst END AS imdb_id,
       CASE WHEN TRY_CAST(rating AS DOUBLE) BETWEEN 1 AND 10 THEN TRY_CAST(rating AS DOUBLE) END AS imdb_rating,
       CASE WHEN regexp_full_match(votes, '[0-9]{{1,18}}') THEN CAST(votes AS BIGINT) END AS imdb_votes,
       coalesce(rating = '\N' OR votes = '\N', FALSE) AS unrated
FROM (SELECT {columns} FROM (SELECT string_split(line, chr(9)) AS parts FROM ({lines})))"""
_READABLE = "imdb_id IS NOT NULL AND (unrated OR (imdb_rating IS NOT NULL AND imdb_votes IS NOT NULL))"
_JUMPED = f"""
(imdb_votes - reference_votes >= {LEAST_NEW_VOTES} AND (imdb_votes >= {1 + GROWTH} * reference_votes OR (
    imdb_votes >= {1 + NOTICEABLE_GROWTH} * reference_votes
    AND round(abs(imdb_rating - reference_rating) / {RATING_STEP}) >= 1)))"""


@dataclass(frozen=True)
class RatingsReport(Numbers):
    """What a file told, in movies."""

    rated: int
    """Known movies that it has."""
    new: int
    """Of these, movies that no file had before."""
    changed: int
    """Of these, movies whose rating or number of votes is another."""
    jumped: int
    signals: int
    """Movies that are due at OMDb for it, by the age table."""
    thawed: int


@contextmanager
def unpacked_ratings(source: Path, target: Path) -> Iterator[Unpacked]:
    """The file as Parquet, at `target`, for the length of a block. Its columns are found by their names.

    Raises:
        FileRefused: it is no such file.
    """
    columns = _columns(source)
    chosen = ", ".join(
        f"trim(parts[{columns.index(name) + 1}]) AS {short}"
        for name, short in zip(HEADING, ("tconst", "rating", "votes"), strict=True)
    )
    with unpacked(source, target, _SELECT.format(columns=chosen, lines=ONE_LINE_A_ROW), "imdb_id", _READABLE) as file:
        # The heading is a line too, and none of the ratings.
        yield replace(file, unreadable=file.unreadable - 1)


def _columns(source: Path) -> list[str]:
    """The names of a file's columns, by its heading.

    Raises:
        FileRefused: not all that are needed are among them.
    """
    try:
        heading = first_line(source)
    except Unpackable as error:
        raise FileRefused(f"{source.name} is no file of IMDb's ratings: {error}") from None
    columns = [name.strip() for name in heading.split("\t")]
    absent = [name for name in HEADING if columns.count(name) != 1]
    if absent:
        found = _quoted(heading) or "nothing"
        raise FileRefused(
            f"{source.name} is no file of IMDb's ratings: its heading must have the columns {', '.join(HEADING)}, and"
            f" {', '.join(absent)} cannot be found in it; it begins with {found}. Set AYNE_IMDB_RATINGS_URL to the"
            " address of title.ratings.tsv.gz; if IMDb has renamed a column, install a newer ayne_dagster"
        )
    return columns


def _quoted(heading: str) -> str:
    """The beginning of a file for a message: one line of printable characters."""
    shown = "".join(c if c.isprintable() else " " for c in heading[:80])
    return repr(shown) if shown.strip() else ""


def doubts_of_ratings(connection: duckdb.DuckDBPyConnection, file: Unpacked, now: datetime) -> Doubts:
    """What speaks against a file: what OMDb has told of its titles, and the last accepted file.

    Args:
        connection: to the warehouse.
        file: the unpacked file.
        now: the instant (aware UTC).
    """
    by_known, of_last = _beside_omdb(connection, file, now)
    return Doubts(by_known, _beside_the_last(connection, file, now), of_last)


def _beside_omdb(connection: duckdb.DuckDBPyConnection, file: Unpacked, now: datetime) -> tuple[str | None, str | None]:
    """What OMDb, which tells IMDb's ratings, says against a file, and against the last one as far as it is stored.

    OMDb's answers may be years old: a rating moves little in that time, votes only grow.
    """
    strange = (
        f"abs({{0}}.imdb_rating - o.imdb_rating) >= {STRANGE_RATING}"
        f" OR {{0}}.imdb_votes < o.imdb_votes / {STRANGE_VOTES}"
    )
    known, missing, odd, stored, stored_odd = connection.execute(
        f"""
        WITH last AS (
            FROM imdb_ratings WHERE listed_at = (SELECT max(listed_at) FROM imdb_ratings WHERE listed_at <= $now)
        ), o AS (
            SELECT tmdb_id, imdb_id, o.imdb_rating, o.imdb_votes
            FROM omdb_ratings AS o JOIN refresh_metadata AS m USING (tmdb_id, imdb_id)
            WHERE o.imdb_rating IS NOT NULL AND o.imdb_votes IS NOT NULL
            AND m.tmdb_tombstoned_at IS NULL AND m.omdb_tombstoned_at IS NULL
        ), listed AS (
            SELECT imdb_id, arg_max(imdb_rating, imdb_votes) AS imdb_rating, max(imdb_votes) AS imdb_votes
            FROM read_parquet($file) SEMI JOIN o USING (imdb_id) GROUP BY imdb_id
        )
        SELECT count(*), count(*) FILTER (WHERE l.imdb_id IS NULL), count(*) FILTER (WHERE {strange.format("l")}),
               count(last.imdb_id), count(*) FILTER (WHERE {strange.format("last")})
        FROM o LEFT JOIN listed AS l USING (imdb_id) LEFT JOIN last USING (tmdb_id, imdb_id)""",
        {"file": file.readable_path, "now": naive_utc(now)},
    ).fetchall()[0]
    of_last = None
    if is_unlike(stored, stored_odd, REFUTED):
        of_last = f"rating or votes of {stored_odd:,} of {stored:,} titles were quite others in it than OMDb has told"
    elif is_unlike(known, known - stored, REFUTED):
        of_last = f"nothing in it told of {known - stored:,} of the {known:,} titles that OMDb rates"
    if is_unlike(known, missing):
        return f"it lacks {missing:,} of the {known:,} titles that OMDb rates", of_last
    if is_unlike(known, odd, MOST_STRANGE):
        return f"rating or votes of {odd:,} of {known:,} titles are quite others than OMDb has told", of_last
    return None, of_last


def _beside_the_last(connection: duckdb.DuckDBPyConnection, file: Unpacked, now: datetime) -> str | None:
    """What the last accepted file says against one."""
    had, missing, strange = connection.execute(
        f"""
        WITH last AS (
            FROM imdb_ratings SEMI JOIN refresh_metadata USING (tmdb_id, imdb_id)
            WHERE listed_at = (SELECT max(listed_at) FROM imdb_ratings WHERE listed_at <= $now)
        ), listed AS (
            SELECT imdb_id, arg_max(imdb_rating, imdb_votes) AS imdb_rating, max(imdb_votes) AS imdb_votes
            FROM read_parquet($file) SEMI JOIN last USING (imdb_id) GROUP BY imdb_id
        )
        SELECT count(*), count(*) FILTER (WHERE l.imdb_id IS NULL), count(*) FILTER (WHERE
               abs(l.imdb_rating - last.imdb_rating) >= {STRANGE_RATING}
               OR l.imdb_votes > {STRANGE_VOTES} * last.imdb_votes OR l.imdb_votes < last.imdb_votes / {STRANGE_VOTES})
        FROM last LEFT JOIN listed AS l USING (imdb_id)""",
        {"file": file.readable_path, "now": naive_utc(now)},
    ).fetchall()[0]
    if doubt := lost("known titles", had, missing):
        return doubt
    if strange > max(FEW, MOST_STRANGE * had):
        return f"rating or votes of {strange:,} of {had:,} known titles are quite others than in the last accepted one"
    return None


def merge_imdb_ratings(
    connection: duckdb.DuckDBPyConnection, file: Unpacked, day: date, now: datetime, run_id: str
) -> RatingsReport:
    """Take rating and votes of the known movies in, within an open transaction, and signal those that jumped to OMDb.

    Compared with what the file said when OMDb was last asked or signalled: a rise in many small steps counts, and one
    that OMDb's last answer may have had in it does not count again. A movie's first rating is no jump.

    Args:
        connection: with an open transaction.
        file: the unpacked file.
        day: its day.
        now: when it was read (aware UTC).
        run_id: the run that reads it, for the record.
    """
    connection.execute(
        "DELETE FROM imdb_ratings WHERE tmdb_id IN (SELECT i.tmdb_id FROM imdb_ratings AS i"
        " LEFT JOIN refresh_metadata AS m USING (tmdb_id) WHERE m.imdb_id IS DISTINCT FROM i.imdb_id)"
    )
    _weigh(connection, file)
    count = "SELECT count(*), count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE differs AND NOT is_new) FROM rated"
    rated, new, changed = connection.execute(count).fetchall()[0]
    jumped = [row[0] for row in connection.execute("SELECT tmdb_id FROM rated WHERE jumped ORDER BY 1").fetchall()]
    _store(connection, now)
    connection.execute("DROP TABLE rated")
    signals = note_signals(connection, "omdb", (Signal(tmdb_id, now) for tmdb_id in jumped), now)
    record(connection, IMDB_RATINGS.name, day, file, now, run_id)
    return RatingsReport(rated, new, changed, len(jumped), signals.noted, signals.thawed)


def _weigh(connection: duckdb.DuckDBPyConnection, file: Unpacked) -> None:
    """Make the temporary table `rated`: the known movies that the file has, beside what was known of them."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE rated AS
        WITH listed AS (
            SELECT imdb_id, arg_max(imdb_rating, imdb_votes) AS imdb_rating, max(imdb_votes) AS imdb_votes
            FROM read_parquet($file) SEMI JOIN refresh_metadata USING (imdb_id)
            WHERE imdb_rating IS NOT NULL AND imdb_votes IS NOT NULL GROUP BY imdb_id
        ), known AS (
            SELECT m.tmdb_id, m.release_year, m.imdb_id, l.imdb_rating, l.imdb_votes, i.tmdb_id IS NULL AS is_new,
                   (i.imdb_rating, i.imdb_votes) IS DISTINCT FROM (l.imdb_rating, l.imdb_votes) AS differs,
                   coalesce(m.omdb_checked_at > i.listed_at, FALSE) AS asked_since,
                   CASE WHEN is_new THEN l.imdb_rating WHEN asked_since THEN i.imdb_rating ELSE i.signalled_rating END
                       AS reference_rating,
                   CASE WHEN is_new THEN l.imdb_votes WHEN asked_since THEN i.imdb_votes ELSE i.signalled_votes END
                       AS reference_votes
            FROM refresh_metadata AS m JOIN listed AS l USING (imdb_id) LEFT JOIN imdb_ratings AS i USING (tmdb_id)
        )
        SELECT *, {_JUMPED} AS jumped FROM known""",
        {"file": file.readable_path},
    )


def _store(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Bring `imdb_ratings` up to date; the rows of movies that the file does not have stay as they are."""
    signalled = (
        "CASE WHEN r.jumped THEN r.imdb_rating ELSE r.reference_rating END AS signalled_rating,"
        " CASE WHEN r.jumped THEN r.imdb_votes ELSE r.reference_votes END AS signalled_votes"
    )
    connection.execute(
        f"""
        UPDATE imdb_ratings SET release_year = r.release_year, imdb_rating = r.imdb_rating, imdb_votes = r.imdb_votes,
               signalled_rating = r.signalled_rating, signalled_votes = r.signalled_votes, listed_at = $now,
               updated_at = CASE WHEN r.differs THEN $now ELSE imdb_ratings.updated_at END
        FROM (SELECT *, {signalled} FROM rated AS r) AS r WHERE r.tmdb_id = imdb_ratings.tmdb_id""",
        {"now": naive_utc(now)},
    )
    connection.execute(
        f"""
        INSERT INTO imdb_ratings BY NAME
        SELECT r.tmdb_id, r.release_year, r.imdb_id, r.imdb_rating, r.imdb_votes, {signalled},
               $now AS listed_at, $now AS updated_at
        FROM rated AS r WHERE is_new""",
        {"now": naive_utc(now)},
    )
