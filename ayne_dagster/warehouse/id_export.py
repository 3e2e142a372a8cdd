"""TMDB's daily ID export in the warehouse: which movies exist, how popular they are, which are new, gone or in demand.

Each line is an object: {"adult":false,"id":3924,"original_title":"Blondie","popularity":1.8133,"video":false}
https://developer.themoviedb.org/docs/daily-id-exports
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

import duckdb

from ayne_dagster.partitions import UNKNOWN_YEAR
from ayne_dagster.refresh.due import frozen_sql
from ayne_dagster.warehouse.daily_files import Unpacked, record, unpacked
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import TMDB_ID_EXPORT
from ayne_dagster.warehouse.signals import Signal, note_signals
from ayne_dagster.warehouse.state import new_state_row

PUBLISHED_AT = time(8)
"""UTC; the file tells of TMDB as it was at most this late on its day."""
JUMP = 2.0
"""Popularity has jumped when it is so many times what it was at the movie's last check."""
MOST_JUMPS = 0.1
"""Share of the frozen movies; when more have jumped, TMDB has rescaled the score, as it does at will."""
FEW_JUMPS = 20
"""So many are never taken for a rescaling."""

# The id as text: DuckDB would make 9 of 8.7, and 1 of true. A line that is no object has none.
_SELECT = """
SELECT CASE WHEN regexp_full_match(id, '[1-9][0-9]{0,18}') THEN TRY_CAST(id AS BIGINT) END AS tmdb_id,
       original_title,
       CASE WHEN isfinite(popularity) AND popularity >= 0 THEN popularity END AS popularity,
       video
FROM read_json($source, format = 'newline_delimited', compression = $compression, ignore_errors = true,
               columns = {id: 'JSON', original_title: 'VARCHAR', popularity: 'DOUBLE', video: 'BOOLEAN'})"""


@dataclass(frozen=True, slots=True)
class ExportReport:
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


def unpacked_export(source: Path, target: Path) -> AbstractContextManager[Unpacked]:
    """The export as Parquet, at `target`, for the length of a block.

    Raises:
        FileRefused: it is no such file.
    """
    return unpacked(source, target, _SELECT, "tmdb_id IS NOT NULL", {})


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
        " FROM read_parquet($file) WHERE tmdb_id IS NOT NULL GROUP BY tmdb_id",
        {"file": str(file.path)},
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
        "SELECT tmdb_id FROM tmdb_id_export WHERE missing_since < $day AND vanished_on IS NULL",
        {"day": day},
    )
    connection.execute(
        "UPDATE tmdb_id_export SET vanished_on = $day WHERE missing_since < $day AND vanished_on IS NULL", {"day": day}
    )
    missing = _changed(
        connection,
        "UPDATE tmdb_id_export SET missing_since = $day WHERE missing_since IS NULL AND last_listed_on < $day",
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
        FROM (SELECT * FROM refresh_metadata WHERE {frozen_sql()}) AS m JOIN tmdb_details AS d USING (tmdb_id)
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
