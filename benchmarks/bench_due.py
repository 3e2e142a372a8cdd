"""Measures the due query, the counts and the derived columns over 1,000,000 movies; not fetching, not writing answers.

Both strategies. Open times are told apart from the queries'; the rows of refresh_metadata are invented in SQL.

Run: `python benchmarks/bench_due.py`
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from harness import Figures, median_cpu_seconds, median_seconds, parse_arguments, scratch, seconds_of

from ayne_dagster.config import STRATEGIES
from ayne_dagster.refresh.strategy import COLLECTED, SOURCES, Strategy
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.refresh_metadata import derive_columns, due_by_year, due_counts, due_movies
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import CHANGE_FEED_DAYS, HASHED_TABLES, REFRESH_METADATA, content_hash_column
from ayne_dagster.warehouse.store import Store
from ayne_dagster.warehouse.strategies import load_strategy

TOP = 1_000
MOST_SECONDS = 0.15
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def main() -> None:
    """Fill a database, ask it, and print the figures."""
    arguments = parse_arguments(__doc__, movies=(1_000_000, 20_000, "movies"))
    figures = Figures(f"due movies among {arguments.movies:,}")
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb")
        fill(database, arguments.movies)
        with database.transaction() as connection:
            days = [{"day": NOW.date() - timedelta(days=n), "covered": n != 40} for n in range(1, 90)]
            insert_rows(connection, CHANGE_FEED_DAYS, days)
        add_queries(figures, database)
        add_derivation(figures, database)
        figures.add("database file", _size_mb(database.path), "MB")
    figures.show()


def add_queries(figures: Figures, database: Database) -> None:
    """The top of the due movies, and the counts: medians of five within one open connection."""
    figures.add("open and close", median_seconds(lambda: _within(database, lambda _: None)), "s")
    first = seconds_of(lambda: _within(database, lambda c: due_movies(c, COLLECTED, NOW, TOP)))
    figures.add(f"open, first query (top {TOP:,}, both sources), close", first, "s")
    with database.connect() as connection:
        for name in STRATEGIES:
            add_due(figures, connection, load_strategy(connection, name))
        figures.add("due_counts", median_seconds(lambda: due_counts(connection, COLLECTED, NOW)), "s")
        figures.add("due_by_year: tmdb", median_seconds(lambda: due_by_year(connection, "tmdb", NOW)), "s")
        for name, number in due_counts(connection, COLLECTED, NOW).items():
            figures.add(f"  due: {name}", number)


def add_due(figures: Figures, connection: duckdb.DuckDBPyConnection, strategy: Strategy) -> None:
    """The top of the due movies: for each source, as the sensor asks, and for both, as `ayne due` does."""
    for sources in (*((source,) for source in COLLECTED), COLLECTED):
        ask = partial(due_movies, connection, sources, NOW, TOP, strategy=strategy)
        name = f"{strategy.name}, top {TOP:,}: {' and '.join(sources)}"
        figures.add(name, median_seconds(ask), "s", at_most=MOST_SECONDS)
        figures.add("  CPU, all threads", median_cpu_seconds(ask), "s")


def add_derivation(figures: Figures, database: Database) -> None:
    """Working out category, completeness and frozen state: of all rows, then of rows that have hardly changed."""
    for what in ("all rows change", "no row changes"):
        seconds = seconds_of(lambda: _written(database, lambda c: derive_columns(c, NOW)))
        figures.add(f"derive_columns with open and commit: {what}", seconds, "s")


def _within(database: Database, work: Callable[[duckdb.DuckDBPyConnection], Any]) -> None:
    with database.connect() as connection:
        work(connection)


def _written(database: Database, work: Callable[[duckdb.DuckDBPyConnection], Any]) -> None:
    with database.transaction() as connection:
        work(connection)


def _size_mb(path: Path) -> float:
    return path.stat().st_size / 2**20


def fill(database: Store, movies: int) -> None:
    """Invent the refresh state of some movies: every column, every state."""
    with database.transaction() as connection:
        connection.execute(
            f"INSERT INTO refresh_metadata BY NAME {state_query()}", {"movies": movies, "now": naive_utc(NOW)}
        )
        found = connection.execute("SELECT count(*) FROM refresh_metadata").fetchall()[0][0]
    assert found == movies
    assert set(REFRESH_METADATA.column_names) == _columns(database)


def _columns(database: Store) -> set[str]:
    with database.connect() as connection:
        return {row[0] for row in connection.execute("DESCRIBE refresh_metadata").fetchall()}


def state_query() -> str:
    """Plausible rows of refresh_metadata, as SQL; parameters `$movies` and `$now`."""
    hashes = ", ".join(f"(hash(i, '{t.name}') >> 1)::BIGINT AS {content_hash_column(t)}" for t in HASHED_TABLES)
    return f"""
    WITH ids AS (SELECT 2 + 2 * range AS i FROM range($movies)),
    -- Most movies of the last decades; one of 50 has no date, one of 200 is yet to come.
    dated AS (
        SELECT i, {_fraction("date")} AS luck, CASE WHEN luck >= 0.02 THEN
            $now::DATE + 200 - (40000 * pow({_fraction("age")}, 4))::INTEGER - CASE WHEN luck > 0.04 THEN 200 ELSE 0 END
        END AS release_date FROM ids
    ),
    known AS (
        SELECT i, release_date, CASE WHEN year(release_date) BETWEEN 1874 AND 2035
            THEN year(release_date)::VARCHAR ELSE 'unknown' END AS release_year,
            CASE WHEN {_fraction("imdb")} < 0.7 THEN 'tt' || lpad((i * 7 % 30000000)::VARCHAR, 7, '0') END AS imdb_id
        FROM dated
    )
    SELECT i AS tmdb_id, release_year, release_date, imdb_id,
        $now - to_days((900 * {_fraction("seen")})::INTEGER) AS first_seen_at,
        $now - to_hours((200 * {_fraction("listed")})::INTEGER) AS last_seen_at,
        (6 * pow({_fraction("cycles")}, 2))::SMALLINT AS unchanged_cycles,
        CASE hash(i, 'override') % 1000 WHEN 0 THEN 'freeze' WHEN 1 THEN 'thaw' WHEN 2 THEN 'force' END AS override,
        CASE WHEN hash(i, 'override') % 1000 < 3 THEN $now - INTERVAL 3 DAY END AS override_at,
        {", ".join(_source_columns(source) for source in SOURCES)},
        {hashes},
        0.05 * pow(5000, {_fraction("popularity")}) AS popularity, 0.2 + popularity / 12 AS importance,
        NULL::VARCHAR AS category, NULL::BOOLEAN AS fully_refreshed, NULL::BOOLEAN AS frozen,
        NULL::TIMESTAMP AS decided_at
    FROM known"""


def _source_columns(source: str) -> str:
    """The columns of one source: 5 % never asked, 1 % failing, 1 in 500 gone."""
    checked = f"$now - to_minutes((170 * 1440 * pow({_fraction(source)}, 2))::INTEGER)"
    asked = f"{_fraction(source + ' asked')} >= 0.05"
    applies = f"{asked} AND imdb_id IS NOT NULL" if SOURCES[source].needs_imdb_id else asked
    failing = f"hash(i, '{source} failing') % 100 = 0"
    gone = f"hash(i, '{source} gone') % 500 = 0"
    return f"""
        CASE WHEN {failing} THEN $now - to_hours((hash(i, 'failed') % 90)::INTEGER) WHEN {applies} THEN {checked} END
            AS {source}_attempted_at,
        CASE WHEN {applies} THEN {checked} END AS {source}_checked_at,
        CASE WHEN {applies} THEN {checked} - to_days((hash(i, '{source} changed') % 300)::INTEGER) END
            AS {source}_changed_at,
        CASE WHEN {failing} THEN 1 + hash(i, 'times') % 6 ELSE 0 END::SMALLINT AS {source}_failures,
        CASE WHEN {gone} THEN $now - INTERVAL 9 DAY END AS {source}_missing_since,
        CASE WHEN {gone} THEN $now - INTERVAL 8 DAY END AS {source}_tombstoned_at,
        5 * {_fraction(source + " exposure")} AS {source}_exposure,
        5 * {_fraction(source + " found")} AS {source}_changes,
        (hash(i, '{source} signals') % 200 = 0)::SMALLINT AS {source}_signals,
        0.0001 * pow(500, {_fraction(source + " rate")}) AS {source}_rate"""


def _fraction(what: str) -> str:
    """A number from 0 to 1 that looks random and is the same every time, by movie and purpose."""
    return f"(hash(i, '{what}') % 1000003 / 1000003)"


if __name__ == "__main__":
    main()
