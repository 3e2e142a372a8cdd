"""Measures the dashboard's pages over 300,000 movies, first and again, and what following the database costs a commit.

The database is invented in SQL: refresh states, details, ratings, a year of fetches, a month of history. A page's first
time includes putting it together; the copy of the database is told apart.

Run: `python benchmarks/bench_dashboard.py`
"""

from __future__ import annotations

import subprocess
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import duckdb
import httpx
from bench_due import state_query
from harness import (
    AYNE,
    HOST,
    START_SECONDS,
    Figures,
    cpu_seconds,
    environment,
    free_port,
    parse_arguments,
    scratch,
    seconds_of,
)

from ayne_dagster.commands.dashboard import examined
from ayne_dagster.config import Settings
from ayne_dagster.dashboard.app import create_app
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.refresh_metadata import derive_columns
from ayne_dagster.warehouse.replica import Replica
from ayne_dagster.warehouse.rows import naive_utc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PAGES = ("/", "/queue", "/history", "/catalogue", "/movie/2002", "/search?q=harbour", "/search?q=2002", "/health")
"""The last one begins to verify the database, which takes the processors from whatever comes after it."""
VERIFYING = "It is being verified now"
MOST_SECONDS = 1.0
COMMITS = 40
_WORDS = ("Silent Harbour", "The Last Winter", "Red Letters", "A House Apart", "Northern Light", "Paper Moons",
          "Salt and Iron", "The Long Way Home", "Midnight Orchard", "Glass River", "Tomorrow Again", "The Cartographer",
          "Even the Rain", "Ordinary Giants", "Blue Hour", "The Weight of Feathers")  # fmt: skip


def main() -> None:
    """Fill a database, ask for the pages, and print the figures."""
    arguments = parse_arguments(__doc__, movies=(300_000, 5_000, "movies"))
    figures = Figures(f"the dashboard over {arguments.movies:,} movies")
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb")
        figures.add("filling the database", seconds_of(lambda: fill(database, arguments.movies)), "s")
        figures.add("database file", database.path.stat().st_size / 2**20, "MB")
        add_copy(figures, database)
        add_pages(figures, Settings(database=database.path))
        add_commits(figures, database)
    figures.show()


def add_copy(figures: Figures, database: Database) -> None:
    """The first copy, as a whole; and following a commit, which is in the log alone."""
    replica = Replica(database.path)

    def read() -> None:
        with replica.reading() as copy:
            copy.connection.execute("SELECT count(*) FROM refresh_metadata").fetchall()

    try:
        time.sleep(0.1)
        figures.add("copy: the first", seconds_of(read), "s")
        commit(database)
        time.sleep(max(0.05, replica.due_in))
        figures.add("copy: after a commit", seconds_of(read), "s")
    finally:
        replica.close()


def add_pages(figures: Figures, settings: Settings) -> None:
    """Each page, put together and again. Nothing is put together before it is asked for, as it is when served."""
    client = TestClient(create_app(settings, examined(settings)), base_url="http://127.0.0.1")
    client.get("/part/now")
    for path in PAGES:
        spent = cpu_seconds()
        figures.add(f"{path}: first", _timed(client, path), "s", at_most=MOST_SECONDS)
        figures.add(f"{path}: first, CPU", cpu_seconds() - spent, "s")
        figures.add(f"{path}: again", _timed(client, path), "s", at_most=MOST_SECONDS)
    while VERIFYING in client.get("/health").text:
        time.sleep(0.1)


def _timed(client: TestClient, path: str) -> float:
    started = time.perf_counter()
    answer = client.get(path)
    took = time.perf_counter() - started
    assert answer.status_code == 200, (path, answer.text[:500])
    return took


def add_commits(figures: Figures, database: Database) -> None:
    """How long commits take while nobody reads, and while another process serves pages that are asked for all the time.

    It uses a core as well: what readers cost is seen in the longest, what the core costs in the median.
    """
    alone = [seconds_of(lambda: commit(database)) for _ in range(COMMITS)]
    with dashboard_process(database) as address:
        ended = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
                while not ended.wait(0.2):
                    client.get("/history")

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            beside = [seconds_of(lambda: commit(database)) for _ in range(COMMITS)]
        finally:
            ended.set()
            thread.join()
    for name, durations in (("alone", alone), ("while pages are asked for", beside)):
        figures.add(f"a commit {name}: median", _median(durations) * 1000, "ms")
        figures.add(f"a commit {name}: longest", max(durations) * 1000, "ms")


@contextmanager
def dashboard_process(database: Database) -> Iterator[str]:
    """`ayne dashboard` on a free port; its address."""
    port = free_port()
    settings = environment({"AYNE_DATABASE": database.path})
    process = subprocess.Popen([*AYNE, "dashboard", "--port", str(port)], env=settings, stderr=subprocess.DEVNULL)
    address = f"http://{HOST}:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"{address}/history", trust_env=False, timeout=60)
                break
            except httpx.TransportError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _median(durations: Sequence[float]) -> float:
    return sorted(durations)[len(durations) // 2]


def commit(database: Database) -> None:
    """A batch of 500 checks, as a run commits it."""
    writer = Database(database.path, checkpoints=False)
    with writer.transaction() as connection:
        connection.execute("UPDATE refresh_metadata SET unchanged_cycles = 0 WHERE tmdb_id BETWEEN 1000 AND 1999")


def fill(database: Database, movies: int, now: datetime | None = None) -> None:
    """Invent a collection of a year."""
    now = now or datetime.now(UTC)
    bound = {"movies": movies, "now": naive_utc(now)}
    with database.transaction() as connection:
        connection.execute(f"INSERT INTO refresh_metadata BY NAME {state_query()}", bound)
        for statement in (_DETAILS, RATINGS):
            connection.execute(statement)
        connection.execute(HISTORY, {"now": naive_utc(now)})
        connection.execute(FETCHES, {"now": naive_utc(now)})
        _note_counts(connection, movies, now)
        derive_columns(connection, now)
        connection.execute(_QUARANTINED, {"now": naive_utc(now)})


def _note_counts(connection: duckdb.DuckDBPyConnection, movies: int, now: datetime) -> None:
    for days in range(90, -1, -1):
        share = 1 - (days / 100) ** 2
        counts = [naive_utc(now - timedelta(days=days)), int(movies * share), int(movies * share * 0.9)]
        connection.execute(
            "INSERT INTO collection_status (observed_at, total_movies, with_tmdb, with_omdb) VALUES (?, ?, ?, ?)",
            [*counts, int(movies * share * 0.6)],
        )


_TITLE = "[" + ", ".join(f"'{word}'" for word in _WORDS) + "][1 + (hash(tmdb_id, 'title') % 16)::INTEGER]"
_LUCK = "(hash(tmdb_id, '{}') % 1000003 / 1000003)"
_DETAILS = f"""
INSERT INTO tmdb_details BY NAME
SELECT tmdb_id, release_year, imdb_id, {_TITLE} || CASE WHEN hash(tmdb_id, 'more') % 4 = 0 THEN '' ELSE
           ' ' || (1 + hash(tmdb_id, 'part') % 9) END AS title, title AS original_title, 'en' AS original_language,
       'A story of ' || tmdb_id || ' people and what became of them, told twice.' AS overview, 'Released' AS status,
       release_date, (70 + hash(tmdb_id, 'minutes') % 90)::INTEGER AS runtime,
       CASE WHEN hash(tmdb_id, 'money') % 8 = 0 THEN (1e4 * pow(2e4, {_LUCK.format("budget")}))::BIGINT END AS budget,
       CASE WHEN hash(tmdb_id, 'money') % 8 = 0
           THEN (budget * pow(40, 2 * {_LUCK.format("gross")} - 0.8))::BIGINT END AS revenue,
       popularity, round(4 + 4.5 * {_LUCK.format("mean")}, 2) AS vote_average,
       (pow(20000, {_LUCK.format("voters")}))::BIGINT AS vote_count, ['Drama', 'Comedy'] AS genres,
       ['Ada Example', 'Ben Sample'] AS directors, FALSE AS adult, FALSE AS video, tmdb_changed_at AS updated_at
FROM refresh_metadata WHERE tmdb_checked_at IS NOT NULL"""
RATINGS = f"""
INSERT INTO omdb_ratings BY NAME
SELECT tmdb_id, release_year, imdb_id, {_TITLE} AS title, 'movie' AS type,
       (5 * pow(200000, {_LUCK.format("votes")}))::BIGINT AS imdb_votes,
       round(least(9.4, greatest(1.2, 5.6 + 0.9 * log10(imdb_votes) / 2 + 3.6 * ({_LUCK.format("rating")}
           + {_LUCK.format("rating 2")} + {_LUCK.format("rating 3")} - 1.5))), 1) AS imdb_rating,
       (20 + hash(tmdb_id, 'metascore') % 75)::INTEGER AS metascore,
       (10 + hash(tmdb_id, 'tomato') % 90)::INTEGER AS rotten_tomatoes_rating, omdb_changed_at AS updated_at
FROM refresh_metadata WHERE omdb_checked_at IS NOT NULL"""
HISTORY = f"""
INSERT INTO movie_history
SELECT tmdb_id, 'omdb_ratings', 'imdb_rating',
       round(imdb_rating + 1.6 * {_LUCK.format("before")} - 0.8, 1)::VARCHAR, imdb_rating::VARCHAR,
       $now - to_minutes((43200 * {_LUCK.format("when")})::INTEGER), 'run'
FROM omdb_ratings WHERE hash(tmdb_id, 'moves') % 6 = 0
UNION ALL
SELECT tmdb_id, 'tmdb_details', 'revenue', (revenue * (0.4 + 0.6 * {_LUCK.format("earlier")}))::BIGINT::VARCHAR,
       revenue::VARCHAR, $now - to_minutes((43200 * {_LUCK.format("day")})::INTEGER), 'run'
FROM tmdb_details WHERE revenue IS NOT NULL
UNION ALL
SELECT tmdb_id, 'tmdb_details',
       ['overview', 'runtime', 'keywords', 'poster_path'][1 + (hash(tmdb_id, 'f') % 4)::INTEGER],
       '"as it was"', '"as it is"', $now - to_minutes((43200 * {_LUCK.format("hour")})::INTEGER), 'run'
FROM tmdb_details WHERE hash(tmdb_id, 'edited') % 5 = 0
UNION ALL
SELECT 2002, 'omdb_ratings', ['imdb_rating', 'metascore'][1 + n % 2],
       CASE n % 2 WHEN 0 THEN 6.1 + n / 20 ELSE 60 + n END::VARCHAR,
       CASE n % 2 WHEN 0 THEN 6.2 + n / 20 ELSE 62 + n END::VARCHAR, $now - to_days((40 - n) * 8), 'run'
FROM (SELECT unnest(range(30))::INTEGER AS n)"""
FETCHES = f"""
INSERT INTO fetch_log BY NAME
SELECT tmdb_id, source, $now - to_minutes((129600 * pow({_LUCK.format("asked")}, 1.15))::INTEGER
           + (hash(tmdb_id, source, n) % 900)::INTEGER) AS fetched_at,
       CASE WHEN hash(tmdb_id, n, 'outcome') % 60 = 0 THEN 'failed' ELSE 'fetched' END AS outcome,
       outcome = 'fetched' AND hash(tmdb_id, n, 'changed') % 5 = 0 AS changed, 1 AS requests,
       'age_table' AS due_because, 0 AS signals, 20.0 AS days_since_check, 'run' AS run_id
FROM refresh_metadata, (SELECT unnest(range(3)) AS n), (SELECT unnest(['tmdb', 'omdb']) AS source)
WHERE source = 'tmdb' OR (imdb_id IS NOT NULL AND n < 2)"""
_QUARANTINED = """
INSERT INTO quarantine BY NAME
SELECT tmdb_id, 'tmdb' AS source, 'a movie' AS subject, $now - INTERVAL 2 DAY AS quarantined_at,
       'the body is no JSON' AS reason, '' AS body, 'run' AS run_id
FROM refresh_metadata WHERE hash(tmdb_id, 'odd') % 5000 = 0"""


if __name__ == "__main__":
    main()
