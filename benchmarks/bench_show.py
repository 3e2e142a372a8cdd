"""Measures what it takes to find and show one movie: by a title, a part of one, an id; and to count `movies`.

Titles are invented in SQL: most movies have details, a third of them a second title with accents, and one in twenty is
known by the listing alone.

    python benchmarks/bench_show.py --movies 1000000
"""

from __future__ import annotations

from datetime import UTC, datetime

from bench_dashboard import fill
from bench_due import NOW
from harness import AYNE, Figures, median_cpu_seconds, parse_arguments, run_child, scratch

from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.one_movie import find_movies, values_of
from ayne_dagster.warehouse.refresh_metadata import due_movies

MOST_SECONDS = 0.7
TITLES = """
UPDATE tmdb_details SET title = title || ' ' || md5(tmdb_id::VARCHAR)[1:5], original_title = CASE
    WHEN tmdb_id % 3 = 0 THEN 'Éléphant ' || md5(tmdb_id::VARCHAR)[1:7] ELSE title || ' ' || md5(tmdb_id::VARCHAR)[1:5]
END;
INSERT INTO discovered_movies BY NAME
SELECT m.tmdb_id, m.release_year, coalesce(d.title, 'Film ' || m.tmdb_id) AS title,
       coalesce(d.original_title, 'Film ' || m.tmdb_id) AS original_title, m.release_date, m.first_seen_at AS updated_at
FROM refresh_metadata AS m LEFT JOIN tmdb_details AS d USING (tmdb_id);
"""


def main() -> None:
    """Fill a database, look for movies in it, and print the figures."""
    arguments = parse_arguments(__doc__, movies=(1_000_000, 5_000, "movies"))
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb")
        fill(database, arguments.movies, NOW)
        with database.connect() as connection:
            connection.execute(TITLES)
        figures = Figures(f"One of {arguments.movies:,} movies, on two threads")
        with database.connect(read_only=True) as connection:
            ((tmdb_id, title),) = connection.execute(
                "SELECT tmdb_id, title FROM tmdb_details ORDER BY tmdb_id DESC LIMIT 1"
            ).fetchall()
            for name, sought in (("its title", title), ("a part of many", title.split()[0]), ("its id", str(tmdb_id))):
                cpu = median_cpu_seconds(lambda sought=sought: find_movies(connection, sought, 21))
                figures.add(f"found by {name}", cpu, "s of CPU")
            figures.add("its values", median_cpu_seconds(lambda: values_of(connection, tmdb_id)), "s of CPU")
            due = due_movies(connection, ("tmdb",), datetime.now(UTC), 1)[0].tmdb_id
            counted = median_cpu_seconds(lambda: connection.execute("SELECT count(*) FROM movies").fetchall())
            figures.add("count(*) of movies", counted, "s of CPU")
        settings = {"AYNE_DATABASE": database.path}
        commands = {
            "ayne show TITLE": ("show", title),
            "ayne show ID, of a movie that is due": ("show", str(due)),
            "ayne query, a count of movies": ("query", "SELECT count(*) FROM movies"),
        }
        for name, command in commands.items():
            runs = [run_child([*AYNE, *command], folder, settings) for _ in range(3)]
            figures.add(name, min(child.seconds for child in runs), "s", at_most=MOST_SECONDS)
            figures.add("… its CPU", min(child.cpu_seconds for child in runs), "s of CPU")
        figures.show()


if __name__ == "__main__":
    main()
