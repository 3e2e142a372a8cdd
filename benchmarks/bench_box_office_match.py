"""Measures the import of a file of figures: 5,782 rows matched with 1,000,000 titles, by step; time and memory.

The titles are invented in SQL, three words each, a hundredth of them with accents, one in five with another original
title; the rows of the file are spelled as published files spell them.

Run: `python benchmarks/bench_box_office_match.py`
"""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime
from pathlib import Path

from harness import Figures, parse_arguments, peak_rss_mb, scratch, seconds_of

from ayne_dagster.collecting.figure_import import import_figures
from ayne_dagster.sources.figure_files.reading import read_figures
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.matching.catalogue import keyed, read_titles
from ayne_dagster.warehouse.matching.rules import Sought, match_rows, read_known

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOST_SECONDS, MOST_MB = 30.0, 800.0
SYLLABLES = ("ba", "cor", "den", "fa", "gri", "hol", "ju", "ka", "lum", "mir", "no", "pel", "qui", "ros", "sta", "tor",
             "una", "ver", "wyn", "zeph")  # fmt: skip
_WORD = "list_extract($syllables, 1 + CAST(floor(random() * 20) AS INTEGER))"
_WORDS = " || ".join([_WORD, _WORD, _WORD, "' '", _WORD, _WORD, _WORD, "' '", _WORD, _WORD])
DRAW = f"""
CREATE TEMP TABLE drawn AS
SELECT range AS tmdb_id, {_WORDS} || CASE WHEN random() < 0.01 THEN 'é' ELSE '' END AS title, {_WORDS} AS another,
       random() AS chance, DATE '1915-01-01' + CAST(floor(random() * 110 * 365) AS INTEGER) AS release_date
FROM range(1, $movies + 1)"""
FILL = """
CREATE TEMP TABLE invented AS
SELECT tmdb_id, title, CASE WHEN chance < 0.2 THEN another ELSE title END AS original_title, release_date,
       CAST(year(release_date) AS VARCHAR) AS release_year, 'tt' || lpad(CAST(tmdb_id AS VARCHAR), 7, '0') AS imdb_id
FROM drawn"""


def main() -> None:
    """Fill a warehouse, import a file into it, and print the figures."""
    arguments = parse_arguments(
        __doc__, movies=(1_000_000, 20_000, "movies known"), rows=(5_782, 500, "rows of the file")
    )
    figures = Figures(f"a file of {arguments.rows:,} rows and {arguments.movies:,} movies")
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb")
        _fill(database, arguments.movies)
        path = _write(database, folder / "budgets.csv", arguments.rows)
        before = peak_rss_mb()
        figures.add("reading the file", seconds_of(lambda: read_figures(path)), "s")
        _measure_steps(figures, database, path)
        figures.add("whole import", seconds_of(lambda: import_figures(database, path, NOW)), "s", at_most=MOST_SECONDS)
        figures.add("  the same again", seconds_of(lambda: import_figures(database, path, NOW)), "s")
        figures.add("peak RSS before", before, "MB")
        figures.add("peak RSS", peak_rss_mb(), "MB", at_most=MOST_MB)
    figures.show()


def _measure_steps(figures: Figures, database: Database, path: Path) -> None:
    rows = [Sought(row.number, row.title, row.year) for row in read_figures(path).rows]
    with database.connect(read_only=True) as connection:
        figures.add("  the warehouse open: titles read", seconds_of(lambda: read_known(connection, rows)), "s")
        titles = read_titles(connection, None)
        known = read_known(connection, rows)
    figures.add("  keys of all titles", seconds_of(lambda: keyed(titles)), "s")
    figures.add("  keys, match and suggestions", seconds_of(lambda: match_rows(known, rows)), "s")


def _fill(database: Database, movies: int) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT setseed(0.5)").fetchall()
        connection.execute(DRAW, {"movies": movies, "syllables": list(SYLLABLES)})
        connection.execute(FILL)
        for table in ("refresh_metadata", "discovered_movies", "tmdb_details"):
            found = connection.execute(f"SELECT column_name FROM (DESCRIBE {table})").fetchall()
            ours = {"tmdb_id", "title", "original_title", "release_date", "release_year", "imdb_id"}
            names = ", ".join(sorted(ours & {name for (name,) in found}))
            connection.execute(f"INSERT INTO {table} BY NAME SELECT {names} FROM invented")


def _write(database: Database, path: Path, rows: int) -> Path:
    """A budgets table of every so manieth movie; one title in twenty is another."""
    rng = random.Random(1)
    with database.connect(read_only=True) as connection:
        films = connection.execute(
            "SELECT title, release_date FROM discovered_movies ORDER BY hash(tmdb_id) LIMIT ?", [rows]
        ).fetchall()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "release_date", "movie", "production_budget", "domestic_gross", "worldwide_gross"))
        for place, (title, released) in enumerate(films):
            shown = f"{title} x" if rng.random() < 0.05 else rng.choice((title, title.title(), f"The {title}"))
            gross = rng.randrange(20_000, 900_000_000)
            writer.writerow((place % 100 + 1, f"{released:%b %d, %Y}", shown, "$1,000,000", "$0", f"${gross:,}"))
    return path


if __name__ == "__main__":
    main()
