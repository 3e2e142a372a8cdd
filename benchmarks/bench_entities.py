"""Measures what people, credits, companies and releases cost: bytes, commits of 500 answers, memory; not fetching.

The rows of all movies are invented in SQL; 60 credits, 20 releases and 3 companies a movie. The answers of a batch are
of movies spread over the table: new ones, the same again, a fifth with another credit, all with another credit.

    python benchmarks/bench_entities.py --movies 1000000
"""

from __future__ import annotations

import random
import time
from datetime import date, timedelta
from typing import Any

from bench_due import NOW, fill
from harness import Figures, cpu_seconds, parse_arguments, peak_rss_mb, scratch

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.standin import words
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import ENTITIES_OF_MOVIES, SHARED_ENTITIES, TMDB_DETAILS

CAST, CREW, RELEASES, COMPANIES = 25, 35, 20, 3
JOBS = ("Producer", "Editor", "Sound Mixer", "Gaffer", "Director of Photography", "Art Direction", "Stunts")
MOST_SECONDS = 1.0


def main() -> None:
    """Fill a database, commit to it, and print the figures."""
    arguments = parse_arguments(
        __doc__,
        movies=(100_000, 2_000, "movies with entities"),
        batch=(500, 100, "answers a commit"),
        credits=(60, 60, "credits of each movie of a batch"),
    )
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb", checkpoints=False)
        fill(database, arguments.movies)
        with database.connect() as connection:
            connection.execute("CHECKPOINT")
        bare = database.path.stat().st_size
        started = time.perf_counter()
        fill_entities(database, arguments.movies)
        figures = Figures(
            f"{arguments.movies:,} movies with {CAST + CREW} credits, {arguments.batch:,} answers a commit"
        )
        figures.add("invented in", time.perf_counter() - started, "s")
        added = database.path.stat().st_size - bare
        figures.add("bytes a movie", added / arguments.movies, "B")
        figures.add("bytes of all", added / 2**20, "MB")
        before = peak_rss_mb()
        measure_commits(database, arguments.movies, arguments.batch, arguments.credits, figures)
        figures.add("peak RSS before the commits", before, "MB")
        figures.add("peak RSS", peak_rss_mb(), "MB")
        figures.show()


def fill_entities(database: Database, movies: int) -> None:
    """Invent the rows of every movie, a part of them at a time."""
    people = max(1_000, movies * 2)
    with database.connect() as connection:
        for name in sorted(table.name for table in (*SHARED_ENTITIES, *ENTITIES_OF_MOVIES)):
            for first in range(0, movies, 50_000) if name in _PER_MOVIE else (0,):
                last = min(first + 50_000, movies)
                bound = {"first": first, "last": last} if name in _PER_MOVIE else {"people": people}
                connection.execute(f"INSERT INTO {name} BY NAME {(_PER_MOVIE | _SHARED)[name]}", bound)
        connection.execute("UPDATE refresh_metadata SET entities_hash = 1, entities_checked_at = tmdb_checked_at")
        connection.execute("CHECKPOINT")


_IDS = "(SELECT 2 + 2 * range AS i FROM range($first, $last))"
_PER_MOVIE = {
    "credits": f"""SELECT i AS tmdb_id, '5' || substr(md5(i || '-' || k), 1, 23) AS credit_id,
        1 + (pow((hash(i, k) % 1000000) / 1e6, 2) * 2000000)::BIGINT AS person_id,
        if(k < {CAST}, 'cast', 'crew') AS kind, if(k < {CAST}, NULL, {list(JOBS)}[1 + k % 3]) AS department,
        if(k < {CAST}, NULL, {list(JOBS)}[1 + (hash(i, k) % {len(JOBS)})::INTEGER]) AS job,
        if(k < {CAST}, {list(words.FIRST_NAMES)}[1 + (hash(i, k) % {len(words.FIRST_NAMES)})::INTEGER] || ' '
           || {list(words.SURNAMES)}[1 + (hash(k, i) % {len(words.SURNAMES)})::INTEGER], NULL) AS character,
        if(k < {CAST}, k, NULL) AS billing_order FROM {_IDS}, range({CAST + CREW}) AS r(k)""",
    "releases": f"""SELECT i AS tmdb_id, chr(65 + (k % 26)::INTEGER) || chr(65 + (hash(k) % 26)::INTEGER) AS country,
        1 + hash(i, k) % 6 AS type, DATE '1960-01-01' + (hash(i) % 24000 + 7 * k)::INTEGER AS release_date,
        if(k % 3 = 0, (hash(i, k) % 18)::VARCHAR, NULL) AS certification
        FROM {_IDS}, range({RELEASES}) AS r(k)""",
    "movie_companies": f"""SELECT i AS tmdb_id, 1 + (hash(i, k) % 100000)::BIGINT AS company_id, k AS place
        FROM {_IDS}, range({COMPANIES}) AS r(k)""",
}
_NAME = (
    f"{list(words.FIRST_NAMES)}[1 + (hash(i) % {len(words.FIRST_NAMES)})::INTEGER] || ' ' ||"
    f" {list(words.SURNAMES)}[1 + (hash(i, 1) % {len(words.SURNAMES)})::INTEGER]"
)
_SHARED = {
    "people": f"""SELECT i AS person_id, {_NAME} AS name, i % 3 AS gender, 'Acting' AS known_for_department,
        if(i % 3 = 0, '/' || substr(md5(i::VARCHAR), 1, 27) || '.jpg', NULL) AS profile_path, (hash(i) >> 1) AS row_hash
        FROM range(1, $people) AS r(i)""",
    "companies": f"""SELECT i AS company_id, {_NAME} AS name, 'US' AS origin_country, (hash(i) >> 1) AS row_hash
        FROM range(1, 1 + least(100000, $people)) AS r(i)""",
    "collections": f"""SELECT i AS collection_id, {_NAME} AS name, (hash(i) >> 1) AS row_hash
        FROM range(1, 1 + least(10000, $people)) AS r(i)""",
}


def measure_commits(database: Database, movies: int, batch: int, credits: int, figures: Figures) -> None:
    """Commit the same movies four times, each time also without entities."""
    # Known movies have even numbers: these are new, and lie among them, as the answers of a collection do.
    unknown = random.Random(1895).sample(range(3, 3 + 2 * movies, 2), 3 * batch)
    warm, ids, bare = (sorted(unknown[n::3]) for n in range(3))
    commit(database, {i: entities(i, credits) for i in warm}, 0)  # people are known mostly
    first = {i: entities(i, credits) for i in ids}
    a_fifth = {i: other(told) if n % 5 == 0 else told for n, (i, told) in enumerate(first.items())}
    all_of_them = {i: other(told) for i, told in a_fifth.items()}
    for n, (name, told) in enumerate(
        (("new", first), ("the same again", first), ("a fifth changed", a_fifth), ("all changed", all_of_them))
    ):
        with_them = commit(database, told, n)
        without = commit(database, dict.fromkeys(bare), n)
        figures.add(f"{name}: commit", with_them[0], "s", at_most=MOST_SECONDS)
        figures.add(f"{name}: commit, CPU", with_them[1], "s")
        figures.add(f"{name}: without entities", without[0], "s")
        figures.add(f"{name}: without entities, CPU", without[1], "s")


def commit(database: Database, told: dict[int, Any], number: int) -> tuple[float, float]:
    """Seconds, and CPU seconds, of opening, merging, committing and closing."""
    at = NOW + timedelta(days=number + 1)
    answers = [Answer(i, Outcome.FETCHED, at, _row(i), "2001", entities=entities) for i, entities in told.items()]
    started, spent = time.perf_counter(), cpu_seconds()
    with database.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "bench")
    return time.perf_counter() - started, cpu_seconds() - spent


def _row(tmdb_id: int) -> dict[str, Any]:
    return {"tmdb_id": tmdb_id, "title": "A", "release_date": date(2001, 1, 1), "release_year": "2001"}


def entities(tmdb_id: int, credits: int) -> dict[str, dict[str, list[Any]]]:
    """What an answer tells of a movie."""
    rng = random.Random(tmdb_id)
    cast = credits * CAST // (CAST + CREW)
    people = [1 + int(20_000 * rng.random()) * 97 for _ in range(credits)]
    of_people = sorted(set(people))
    companies = sorted({rng.randrange(1, 100_000) for _ in range(COMPANIES)})
    return {
        "credits": {
            "credit_id": [f"{rng.getrandbits(96):024x}" for _ in people],
            "person_id": people,
            "kind": ["cast"] * cast + ["crew"] * (credits - cast),
            "department": [None] * cast + ["Production"] * (credits - cast),
            "job": [None] * cast + [rng.choice(JOBS) for _ in range(credits - cast)],
            "character": [f"{rng.choice(words.FIRST_NAMES)}" for _ in range(cast)] + [None] * (credits - cast),
            "billing_order": [*range(cast), *[None] * (credits - cast)],
        },
        "people": {
            "person_id": of_people,
            "name": [f"Person {n}" for n in of_people],
            "gender": [n % 3 or None for n in of_people],
            "known_for_department": ["Acting" for _ in of_people],
            "profile_path": [f"/{n:027x}.jpg" for n in of_people],
        },
        "companies": {
            "company_id": companies,
            "name": [f"Company {n}" for n in companies],
            "origin_country": ["US" for _ in companies],
            "logo_path": [None for _ in companies],
        },
        "movie_companies": {"company_id": companies, "place": [*range(len(companies))]},
        "releases": {
            "country": [chr(65 + n % 26) * 2 for n in range(RELEASES)],
            "type": [1 + n % 6 for n in range(RELEASES)],
            "release_date": [date(2001, 1, 1) + timedelta(days=n) for n in range(RELEASES)],
            "certification": [None] * RELEASES,
            "note": [None] * RELEASES,
            "language": [None] * RELEASES,
        },
    }


def other(told: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
    """The same with another person in the last credit."""
    credits = told["credits"]
    return told | {"credits": credits | {"person_id": [*credits["person_id"][:-1], 1 + credits["person_id"][0]]}}


if __name__ == "__main__":
    main()
