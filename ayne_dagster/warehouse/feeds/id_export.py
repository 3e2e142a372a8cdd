"""TMDB's daily ID export in the warehouse: which movies exist, how popular they are, which are new, gone or in demand.

Each line is an object: {"adult":false,"id":3924,"original_title":"Blondie","popularity":1.8133,"video":false}
https://developer.themoviedb.org/docs/daily-id-exports
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import duckdb

from ayne_dagster.partitions import UNKNOWN_YEAR
from ayne_dagster.refresh.age_table import AGE_TABLE_STRATEGY
from ayne_dagster.refresh.learning import HIGHEST_POPULARITY
from ayne_dagster.warehouse.answers import Numbers
from ayne_dagster.warehouse.feeds.change_signals import Signal, note_signals
from ayne_dagster.warehouse.feeds.daily_files import (
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
from ayne_dagster.warehouse.refresh_metadata import new_state_row
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, TMDB_DETAILS, TMDB_ID_EXPORT, content_hash_column

PUBLISHED_AT = time(8)
"""UTC; the file tells of TMDB as it was at most this late on its day."""
JUMP = 2.0
"""Popularity has jumped when it is so many times what it was at the movie's last check."""
MOST_JUMPS = 0.1
"""Share of the frozen movies; when more have jumped, TMDB has rescaled the score, as it does at will."""
FEW_JUMPS = 20
"""So many are never taken for a rescaling."""

NEWEST = 100
"""So many of the highest ids that an export should have: an older one lacks them, however many others it has."""
KNOWN_FOR_DAYS = 2
"""A movie that has been known so long is in any export of today or yesterday."""
OTHER_EXPORTS = {"original_name": "series", "name": "persons, companies, keywords or collections"}
"""What TMDB's other exports have in place of a movie's `original_title`, and what they list."""
MOST_STRANGE = 0.05
"""Share of lines that may be those of another export, or of adult movies: these have a file of their own."""

_FIELDS = ("id", "original_title", "popularity", "video", "adult", *OTHER_EXPORTS)
# Line by line: DuckDB's reader of JSON takes a line that is cut off and the next one for one. Values stay JSON, so that
# a line with one odd value keeps the others, and an id is what it is: DuckDB would make 9 of 8.7 and 1 of true.
_SELECT = f"""
SELECT CASE WHEN regexp_full_match(id, '[1-9][0-9]{{0,18}}') THEN TRY_CAST(id AS BIGINT) END AS tmdb_id,
       original_title ->> '$' AS original_title,
       CASE WHEN json_type(popularity) IN ('UBIGINT', 'DOUBLE')
                 AND TRY_CAST(popularity AS DOUBLE) BETWEEN 0 AND {HIGHEST_POPULARITY}
            THEN TRY_CAST(popularity AS DOUBLE) END AS popularity,
       CASE video WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END AS video,
       coalesce(adult = 'true', FALSE) AS adult,
       {", ".join(f"original_title IS NULL AND {name} IS NOT NULL AS has_{name}" for name in OTHER_EXPORTS)}
FROM (SELECT {", ".join(f"fields[{place}] AS {name}" for place, name in enumerate(_FIELDS, start=1))} FROM (
    SELECT CASE WHEN json_valid(line) THEN json_extract(line, {[f"$.{name}" for name in _FIELDS]}) END AS fields
    FROM ({ONE_LINE_A_ROW})))"""


@dataclass(frozen=True)
class ExportReport(Numbers):
    """What an export told, in movies."""

    listed: int
    new: int
    """Never listed before."""
    missing: int
    """Listed before and not any more, since this export."""
    vanished: int
    """Missing in this export too, at least a day later: gone."""
    back: int
    """Missing or gone, and listed again."""
    became_known: int
    """Known to the collection from now on."""
    popularity: int
    """Known movies whose popularity is another."""
    jumped: int
    """Frozen movies whose popularity has jumped."""
    signals: int
    thawed: int
    rescaled: bool
    """So many have jumped that TMDB must have rescaled the score; none of them was signalled."""


@contextmanager
def unpacked_export(source: Path, target: Path) -> Iterator[Unpacked]:
    """The export as Parquet, at `target`, for the length of a block.

    Raises:
        FileRefused: it is no such file, but another of TMDB's exports, say.
    """
    with unpacked(source, target, _SELECT, "tmdb_id", "tmdb_id IS NOT NULL") as file:
        if what := _another_export(file):
            raise FileRefused(
                f"{source.name} is no export of movies: {what}. Set AYNE_TMDB_EXPORT_URL to the address of"
                " movie_ids_{date}.json.gz"
            )
        yield file


def _another_export(file: Unpacked) -> str | None:
    """Which other of TMDB's exports a file is, by its lines; None for that of movies, and where nothing tells."""
    counts = ("adult", "original_title IS NOT NULL", *(f"has_{name}" for name in OTHER_EXPORTS))
    counted = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in counts)
    with duckdb.connect() as parser:
        lines, adult, titled, *named = parser.execute(
            f"SELECT count(*), {counted} FROM read_parquet($file) WHERE tmdb_id IS NOT NULL",
            {"file": file.readable_path},
        ).fetchall()[0]
    for (name, what), number in zip(OTHER_EXPORTS.items(), named, strict=True):
        if number > MOST_STRANGE * lines:
            return f"{number:,} of its {lines:,} lines have {name} and no original_title, as those of {what} have"
    if titled < lines / 2:
        return f"{lines - titled:,} of its {lines:,} lines have no original_title"
    if adult > MOST_STRANGE * lines:
        return f"{adult:,} of its {lines:,} lines are adult movies, which have an export of their own"
    return None


def doubts_of_export(connection: duckdb.DuckDBPyConnection, file: Unpacked, now: datetime) -> Doubts:
    """What speaks against an export: movies that TMDB has answered, and the last accepted export.

    Args:
        connection: to the warehouse.
        file: the unpacked export.
        now: the instant (aware UTC).
    """
    by_known, of_last = _beside_the_known(connection, file, now)
    return Doubts(by_known, _beside_the_last(connection, file), of_last)


def _beside_the_known(
    connection: duckdb.DuckDBPyConnection, file: Unpacked, now: datetime
) -> tuple[str | None, str | None]:
    """What movies that TMDB itself has told of, and not denied since, say against an export, and against the last one.

    Of the newest of them only those count that are known for days: an export is hours old when it is published.
    """
    told = " OR ".join(f"{content_hash_column(table)} IS NOT NULL" for table in (TMDB_DETAILS, DISCOVERED_MOVIES))
    known, missing, missing_before, newest, newest_missing = connection.execute(
        f"""
        WITH listed AS (SELECT DISTINCT tmdb_id FROM read_parquet($file) WHERE tmdb_id IS NOT NULL AND NOT adult),
        before AS (SELECT tmdb_id FROM tmdb_id_export WHERE missing_since IS NULL),
        known AS (
            SELECT tmdb_id, l.tmdb_id IS NULL AS is_missing, before.tmdb_id IS NULL AS was_missing,
                   first_seen_at < $long_ago AS is_old
            FROM refresh_metadata LEFT JOIN listed AS l USING (tmdb_id) LEFT JOIN before USING (tmdb_id)
            ANTI JOIN (SELECT tmdb_id FROM tmdb_details WHERE adult) AS a USING (tmdb_id)
            WHERE tmdb_tombstoned_at IS NULL AND tmdb_missing_since IS NULL AND ({told})
        ),
        newest AS (FROM known WHERE is_old ORDER BY tmdb_id DESC LIMIT {NEWEST})
        SELECT count(*), count(*) FILTER (WHERE is_missing), count(*) FILTER (WHERE was_missing),
               (SELECT count(*) FROM newest), (SELECT count(*) FILTER (WHERE is_missing) FROM newest)
        FROM known""",
        {"file": file.readable_path, "long_ago": naive_utc(now - timedelta(days=KNOWN_FOR_DAYS))},
    ).fetchall()[0]
    of_last = None
    if is_unlike(known, missing_before, REFUTED):
        of_last = f"it lacked {missing_before:,} of the {known:,} movies that TMDB has answered"
    if is_unlike(known, missing):
        return f"it lacks {missing:,} of the {known:,} movies that TMDB has answered", of_last
    if known >= 10 * NEWEST and newest_missing > NEWEST / 2:
        return (
            f"it lacks {newest_missing:,} of the {newest:,} newest movies that TMDB has answered: an older file?",
            None,
        )
    return None, of_last


def _beside_the_last(connection: duckdb.DuckDBPyConnection, file: Unpacked) -> str | None:
    """What the last accepted export says against one."""
    had, missing, newest, newest_missing = connection.execute(
        f"""
        WITH listed AS (SELECT DISTINCT tmdb_id FROM read_parquet($file) WHERE tmdb_id IS NOT NULL),
        last AS (
            SELECT e.tmdb_id, l.tmdb_id IS NULL AS is_missing, row_number() OVER (ORDER BY e.tmdb_id DESC) AS place
            FROM tmdb_id_export AS e LEFT JOIN listed AS l USING (tmdb_id) WHERE e.missing_since IS NULL
        )
        SELECT count(*), count(*) FILTER (WHERE is_missing), count(*) FILTER (WHERE place <= {NEWEST}),
               count(*) FILTER (WHERE is_missing AND place <= {NEWEST})
        FROM last""",
        {"file": file.readable_path},
    ).fetchall()[0]
    if doubt := lost("movies", had, missing):
        return doubt
    if had >= 10 * NEWEST and newest_missing > newest / 2:
        return f"it lacks {newest_missing:,} of the {newest:,} newest movies of the last accepted one: an older file?"
    return None


def merge_export(
    connection: duckdb.DuckDBPyConnection,
    file: Unpacked,
    day: date,
    now: datetime,
    run_id: str,
    *,
    min_popularity: float | None = None,
) -> ExportReport:
    """Take an export in, within an open transaction.

    Nothing is deleted. A movie is gone when two exports, at least a day apart, do not have it; it is then only marked
    and signalled once, so that asking TMDB decides (a 404, confirmed by a second one).

    Args:
        connection: with an open transaction.
        file: the unpacked export.
        day: its day; later than that of the last accepted one.
        now: the instant (aware UTC).
        run_id: the run that reads it, for the record.
        min_popularity: movies that are not collected yet become known from this popularity on; None: none do.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE listed AS SELECT tmdb_id, any_value(original_title) AS original_title,"
        " max(popularity) AS popularity, coalesce(bool_or(video), FALSE) AS video"
        " FROM read_parquet($file) WHERE tmdb_id IS NOT NULL AND NOT adult GROUP BY tmdb_id",
        {"file": file.readable_path},
    )
    back = _take_back(connection)
    new = _list_all(connection, day)
    vanished, missing = _miss_the_others(connection, day)
    became_known = _make_known(connection, now, min_popularity)
    popularity = _spread_popularity(connection)
    jumped, rescaled = _jumped(connection, now)
    latest = min(now, datetime.combine(day, PUBLISHED_AT, UTC))
    news = {*back, *vanished, *([] if rescaled else jumped)}
    signals = note_signals(connection, "tmdb", (Signal(tmdb_id, latest) for tmdb_id in sorted(news)), now)
    listed = _count(connection, "SELECT count(*) FROM listed")
    connection.execute("DROP TABLE listed")
    record(connection, TMDB_ID_EXPORT.name, day, file, now, run_id)
    return ExportReport(
        listed, new, missing, len(vanished), len(back), became_known, popularity, len(jumped),
        signals.noted, signals.thawed, rescaled,
    )  # fmt: skip


def _take_back(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """The movies that were missing and are listed again; one that was taken for gone may be asked for again."""
    back = _ids(
        connection,
        "SELECT tmdb_id FROM tmdb_id_export SEMI JOIN listed USING (tmdb_id) WHERE missing_since IS NOT NULL",
    )
    connection.execute(
        "UPDATE refresh_metadata SET tmdb_tombstoned_at = NULL, tmdb_missing_since = NULL, tmdb_failures = 0"
        " FROM tmdb_id_export AS e SEMI JOIN listed USING (tmdb_id)"
        " WHERE e.tmdb_id = refresh_metadata.tmdb_id AND e.vanished_on IS NOT NULL"
    )
    return back


def _list_all(connection: duckdb.DuckDBPyConnection, day: date) -> int:
    """Store what is listed; returns how many movies are new. Updates in place take half a second at 1,300,000 rows."""
    connection.execute(
        "UPDATE tmdb_id_export SET popularity = coalesce(l.popularity, tmdb_id_export.popularity),"
        " last_listed_on = $day, missing_since = NULL, vanished_on = NULL"
        " FROM listed AS l WHERE l.tmdb_id = tmdb_id_export.tmdb_id",
        {"day": day},
    )
    connection.execute(
        "UPDATE tmdb_id_export SET video = l.video, original_title ="
        " coalesce(l.original_title, tmdb_id_export.original_title) FROM listed AS l"
        " WHERE l.tmdb_id = tmdb_id_export.tmdb_id AND (l.video <> tmdb_id_export.video"
        " OR coalesce(l.original_title <> tmdb_id_export.original_title, tmdb_id_export.original_title IS NULL))"
    )
    return _changed(
        connection,
        "INSERT INTO tmdb_id_export BY NAME SELECT l.*, $day AS first_listed_on, $day AS last_listed_on"
        " FROM listed AS l ANTI JOIN tmdb_id_export USING (tmdb_id)",
        {"day": day},
    )


def _miss_the_others(connection: duckdb.DuckDBPyConnection, day: date) -> tuple[list[int], int]:
    """Mark what is not listed: gone when an earlier export missed it too (these are returned), else missing."""
    vanished = _ids(
        connection,
        "SELECT tmdb_id FROM tmdb_id_export WHERE missing_since <> $day AND vanished_on IS NULL",
        {"day": day},
    )
    connection.execute(
        "UPDATE tmdb_id_export SET vanished_on = $day WHERE missing_since <> $day AND vanished_on IS NULL", {"day": day}
    )
    missing = _changed(
        connection,
        "UPDATE tmdb_id_export SET missing_since = $day WHERE missing_since IS NULL AND last_listed_on <> $day",
        {"day": day},
    )
    return vanished, missing


def _make_known(connection: duckdb.DuckDBPyConnection, now: datetime, min_popularity: float | None) -> int:
    """Give a refresh state to listed feature films that have none, from a popularity on; never fetched, so due."""
    if min_popularity is None:
        return 0
    state = {name: value for name, value in new_state_row(0, now, UNKNOWN_YEAR).items() if value is not None}
    del state["tmdb_id"]
    columns = ", ".join(f"${name} AS {name}" for name in state)
    return _changed(
        connection,
        f"INSERT INTO refresh_metadata BY NAME SELECT tmdb_id, {columns} FROM listed"
        " ANTI JOIN refresh_metadata USING (tmdb_id) WHERE popularity >= $min_popularity AND NOT video",
        state | {"min_popularity": min_popularity},
    )


def _spread_popularity(connection: duckdb.DuckDBPyConnection) -> int:
    """Bring the popularity of known movies up to date; returns of how many it is another."""
    return _changed(
        connection,
        "UPDATE refresh_metadata SET popularity = l.popularity FROM listed AS l"
        " WHERE l.tmdb_id = refresh_metadata.tmdb_id AND l.popularity IS NOT NULL"
        " AND l.popularity IS DISTINCT FROM refresh_metadata.popularity",
    )


def _jumped(connection: duckdb.DuckDBPyConnection, now: datetime) -> tuple[list[int], bool]:
    """Frozen movies in new demand, and whether TMDB has rather rescaled the score.

    Compared with the popularity that came with the movie's last details, so that a rise in many small steps counts; a
    movie above the median of the known ones only, since far below it a few page views double the score.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE frozen_movies AS
        SELECT tmdb_id, coalesce(tmdb_signals, 0) = 0 AND m.popularity >= {JUMP} * d.popularity AND m.popularity >
               (SELECT median(popularity) FROM refresh_metadata) AS jumped
        FROM (SELECT * FROM refresh_metadata WHERE {AGE_TABLE_STRATEGY.frozen_sql()}) AS m
        JOIN tmdb_details AS d USING (tmdb_id)
        WHERE d.popularity > 0""",
        {"now": naive_utc(now)},
    )
    frozen = _count(connection, "SELECT count(*) FROM frozen_movies")
    jumped = _ids(connection, "SELECT tmdb_id FROM frozen_movies WHERE jumped")
    connection.execute("DROP TABLE frozen_movies")
    return jumped, len(jumped) > max(FEW_JUMPS, MOST_JUMPS * frozen)


def _ids(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object] | None = None) -> list[int]:
    rows: Iterable[tuple[int]] = connection.execute(query, parameters).fetchall()
    return [row[0] for row in rows]


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])


def _changed(connection: duckdb.DuckDBPyConnection, statement: str, parameters: dict[str, object] | None = None) -> int:
    """How many rows a statement wrote."""
    return int(connection.execute(statement, parameters).fetchall()[0][0])
