"""Measures `ayne check` and `ayne snapshot` over 1,000,000 movies: all rules, all blocks read; the whole file copied.

The rows are invented in SQL: for each movie a listing, details, ratings, refresh state and two entries of the log.

Run: `python benchmarks/bench_check.py`
"""

from __future__ import annotations

from bench_due import NOW, fill
from harness import Figures, parse_arguments, peak_rss_mb, scratch, seconds_of

from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.care.snapshot import publish_snapshot
from ayne_dagster.warehouse.database import Database

MOST_SECONDS = 30.0

_COUNTERS = ", ".join(f"{s}_{name} = 0" for s in SOURCES for name in ("exposure", "changes", "signals"))
STATE = f"""
UPDATE refresh_metadata SET
    tmdb_attempted_at = tmdb_checked_at, omdb_attempted_at = omdb_checked_at, numbers_attempted_at = NULL,
    numbers_checked_at = NULL, numbers_changed_at = NULL, {_COUNTERS}"""
ROWS = """
INSERT INTO {table} BY NAME
SELECT tmdb_id, release_year, {imdb_id} 'Movie ' || tmdb_id AS title, repeat('A plot of some length. ', 8) AS {text}
FROM refresh_metadata WHERE {condition}"""
LOG = """
INSERT INTO fetch_log BY NAME
SELECT tmdb_id, '{source}' AS source, {source}_checked_at AS fetched_at, 'fetched' AS outcome, TRUE AS changed,
       1 AS requests, 'run' AS run_id
FROM refresh_metadata WHERE {source}_checked_at IS NOT NULL"""


def main() -> None:
    """Fill a database, check it, copy it, and print the figures."""
    arguments = parse_arguments(__doc__, movies=(1_000_000, 20_000, "movies"))
    figures = Figures(f"a database of {arguments.movies:,} movies")
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb")
        fill(database, arguments.movies)
        _fill_the_rest(database)
        figures.add("file", database.path.stat().st_size / 2**20, "MB")
        seconds = seconds_of(lambda: check_database(database, NOW))
        figures.add("check_database", seconds, "s", at_most=MOST_SECONDS)
        figures.add("  things found wrong", len(check_database(database, NOW).findings))
        figures.add("publish_snapshot", seconds_of(lambda: publish_snapshot(database, folder / "copy.duckdb")), "s")
        figures.add("peak RSS", peak_rss_mb(), "MB")
    figures.show()


def _fill_the_rest(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(STATE)
        known, imdb_id = "tmdb_checked_at IS NOT NULL", "imdb_id,"
        for table, imdb, text, condition in (
            ("discovered_movies", "", "overview", "TRUE"),
            ("tmdb_details", imdb_id, "overview", known),
            ("omdb_ratings", imdb_id, "plot", "omdb_checked_at IS NOT NULL"),
        ):
            connection.execute(ROWS.format(table=table, imdb_id=imdb, text=text, condition=condition))
        for source in ("tmdb", "omdb"):
            connection.execute(LOG.format(source=source))


if __name__ == "__main__":
    main()
