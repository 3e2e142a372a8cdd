"""Measures merging batches of answers into 1,000,000 rows of tmdb_details, and other ways to write; not fetching.

The rows are invented in SQL, with texts and lists of ordinary length; the rows of a batch are spread over the whole
table. Every batch opens the file, merges in a transaction of its own, commits, and closes, as a collection does.

    python benchmarks/bench_merge.py
    python benchmarks/bench_merge.py --profile     where the time of a batch of changed rows goes
"""

from __future__ import annotations

import cProfile
import pstats
import random
import statistics
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
from bench_due import NOW, fill
from harness import Figures, cpu_seconds, parse_arguments, scratch

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.standin import words
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.refresh_metadata import new_state_row
from ayne_dagster.warehouse.rows import (
    Row,
    arrow_schema,
    content_hash,
    id_table,
    insert_rows,
    read_rows,
    registered,
    replace_rows,
)
from ayne_dagster.warehouse.schema import REFRESH_METADATA, TMDB_DETAILS, content_hash_column
from ayne_dagster.warehouse.store import Store

MOST_SECONDS = 0.1
LATER = NOW + timedelta(hours=1)
COLUMNS = TMDB_DETAILS.column_names
Connection = duckdb.DuckDBPyConnection
Work = Callable[[Connection], Any]
Parts = dict[str, float]


def main() -> None:
    """Fill a database, merge into it, and print the figures."""
    arguments = parse_arguments(
        __doc__,
        {"profile": "show also where the time of a batch of changed rows goes"},
        movies=(1_000_000, 20_000, "rows in the table"),
        batch=(1_000, 200, "rows a batch"),
        rounds=(3, 1, "batches of each kind, all of other rows"),
    )
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb")
        started = time.perf_counter()
        fill(database, arguments.movies)
        fill_details(database)
        size = database.path.stat().st_size / 2**20
        seconds = time.perf_counter() - started
        print(f"{arguments.movies:,} rows, {size:,.0f} MB, invented in {seconds:.0f} s", flush=True)
        samples = Samples(database, arguments.movies, arguments.batch)
        for kind in KINDS:
            merge_kind(database, samples, kind, arguments.rounds)
        compare_ways(database, samples)
        if arguments.profile:
            profile(database, samples)


class Samples:
    """Hands out rows to merge, no row twice; the stored hashes of those it hands out are right."""

    def __init__(self, database: Store, movies: int, batch: int) -> None:
        self._database = database
        self._batch = batch
        ids = range(2, 2 + 2 * movies, 2)
        self._ids = iter(random.Random(1895).sample(ids, min(movies, 40 * batch)))
        self._new_ids = iter(range(3, 3 + 2 * movies, 2))

    def stored(self) -> list[Row]:
        """Rows of the table."""
        ids = [next(self._ids) for _ in range(self._batch)]
        with self._database.transaction() as connection:
            rows = list(read_rows(connection, TMDB_DETAILS, ids).values())
            _set_hashes(connection, {row["tmdb_id"]: content_hash(TMDB_DETAILS, row) for row in rows})
        return rows

    def new(self) -> list[Row]:
        """Rows of movies that have been listed, and never been asked for."""
        rows = [row | {"tmdb_id": next(self._new_ids)} for row in self.stored()]
        states = [
            new_state_row(row["tmdb_id"], NOW, row["release_year"]) | {"release_date": row["release_date"]}
            for row in rows
        ]
        with self._database.transaction() as connection:
            insert_rows(connection, REFRESH_METADATA, states)
        return rows


def _set_hashes(connection: Connection, hashes: dict[int, int]) -> None:
    data = pa.table({"tmdb_id": pa.array(list(hashes), pa.int64()), "h": pa.array(list(hashes.values()), pa.int64())})
    with registered(connection, "hashes", data):
        connection.execute(
            f"UPDATE refresh_metadata SET {content_hash_column(TMDB_DETAILS)} = hashes.h"
            " FROM hashes WHERE refresh_metadata.tmdb_id = hashes.tmdb_id"
        )


def _budgets_changed(samples: Samples) -> list[Row]:
    return [row | {"budget": (row["budget"] or 0) + 1_000_000} for row in samples.stored()]


def _counters_drifted(samples: Samples) -> list[Row]:
    rows = samples.stored()
    return [row | {"popularity": row["popularity"] + 0.5, "vote_count": row["vote_count"] + 3} for row in rows]


KINDS: dict[str, tuple[Callable[[Samples], list[Row]], str]] = {
    "budget changed": (_budgets_changed, "updated"),
    "only counters drifted": (_counters_drifted, "unchanged"),
    "unchanged": (Samples.stored, "unchanged"),
    "new": (Samples.new, "inserted"),
}
"""Kinds of batches: how to make one, and what the report of the merge must call its rows."""


def merge_kind(database: Database, samples: Samples, kind: str, rounds: int) -> None:
    """Merge batches of one kind, and print the median of each part."""
    make, expected = KINDS[kind]
    measured: list[Parts] = []
    for _ in range(rounds):
        answers = _answers(make(samples))
        measured.append(in_parts(database, lambda c, a=answers: _merged(c, a, expected)))
    figures = Figures(f"merge {len(answers):,} rows: {kind}")
    for part in measured[0]:
        is_judged = part == TRANSACTION and kind == "budget changed"
        value = statistics.median(parts[part] for parts in measured)
        figures.add(part, value, "s", at_most=MOST_SECONDS if is_judged else None)
    figures.show()


def _answers(rows: Collection[Row]) -> list[Answer]:
    content = (*TMDB_DETAILS.content, "tmdb_id", "release_year")
    return [
        Answer(row["tmdb_id"], Outcome.FETCHED, LATER, {name: row[name] for name in content}, row["release_year"])
        for row in rows
    ]


def _merged(connection: Connection, answers: list[Answer], expected: str) -> None:
    total = merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "bench").total()
    assert total.as_dict()[expected] == len(answers), f"{total}, not {len(answers)} {expected}"


TRANSACTION = "transaction"


def in_parts(database: Database, work: Work) -> Parts:
    """Do some work in a transaction of its own, and tell how long each part took."""
    times, cpu = [time.perf_counter()], cpu_seconds()
    with database.connect() as connection:
        times.append(time.perf_counter())
        connection.execute("BEGIN")
        work(connection)
        times.append(time.perf_counter())
        connection.execute("COMMIT")
        times.append(time.perf_counter())
    times.append(time.perf_counter())
    opened, worked, committed, closed = (after - before for before, after in pairwise(times))
    return {
        "open": opened,
        TRANSACTION: worked + committed,
        "  work": worked,
        "  commit": committed,
        "close": closed,
        "sum": times[-1] - times[0],
        "  CPU, all threads": cpu_seconds() - cpu,
    }


def compare_ways(database: Database, samples: Samples) -> None:
    """The plain replacement of rows, done in the ways that DuckDB offers."""
    figures: Figures | None = None
    for name, way in WAYS.items():
        rows = _budgets_changed(samples)
        figures = figures or Figures(f"replace {len(rows):,} whole rows: work and commit")
        figures.add(name, in_parts(database, lambda c, w=way, r=rows: w(c, r))[TRANSACTION], "s")
    if figures is not None:
        figures.show()


def _delete_and_insert(connection: Connection, rows: list[Row]) -> None:
    replace_rows(connection, TMDB_DETAILS, rows)


def _on_conflict(connection: Connection, rows: list[Row]) -> None:
    assignments = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "tmdb_id")
    with registered(connection, "incoming", _arrow(rows)):
        connection.execute(
            f"INSERT INTO tmdb_details BY NAME SELECT * FROM incoming ON CONFLICT (tmdb_id) DO UPDATE SET {assignments}"
        )


def _merge_into(connection: Connection, rows: list[Row]) -> None:
    with registered(connection, "incoming", _arrow(rows)):
        connection.execute(
            "MERGE INTO tmdb_details AS t USING incoming AS s ON t.tmdb_id = s.tmdb_id"
            " WHEN MATCHED THEN UPDATE BY NAME WHEN NOT MATCHED THEN INSERT BY NAME"
        )


def _executemany(connection: Connection, rows: list[Row]) -> None:
    with registered(connection, "incoming_ids", id_table(row["tmdb_id"] for row in rows)):
        connection.execute("DELETE FROM tmdb_details WHERE tmdb_id IN (SELECT tmdb_id FROM incoming_ids)")
    connection.executemany(
        f"INSERT INTO tmdb_details ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",
        [[row[name] for name in COLUMNS] for row in rows],
    )


WAYS: dict[str, Callable[[Connection, list[Row]], None]] = {
    "delete, insert from Arrow (ours)": _delete_and_insert,
    "ON CONFLICT DO UPDATE": _on_conflict,
    "MERGE INTO": _merge_into,
    "delete, executemany": _executemany,
}


def _arrow(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=arrow_schema(TMDB_DETAILS))


class _Listening:
    """A connection that notes how long each statement takes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.statements: list[tuple[float, str]] = []

    def execute(self, query: str, *parameters: Any) -> Any:
        """As the connection's."""
        started = time.perf_counter()
        result = self._connection.execute(query, *parameters)
        self.statements.append((time.perf_counter() - started, " ".join(query.split())))
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def profile(database: Database, samples: Samples) -> None:
    """Show the statements of a merge of changed rows, and its ten most expensive functions."""
    answers = _answers(_budgets_changed(samples))
    profiler = cProfile.Profile()
    heard: list[_Listening] = []

    def work(connection: Connection) -> None:
        heard.append(_Listening(connection))
        profiler.runcall(_merged, heard[0], answers, "updated")  # type: ignore[arg-type]

    in_parts(database, work)
    print("\nstatements of a merge of changed rows")
    for seconds, statement in heard[0].statements:
        print(f"  {seconds:.4f} s  {statement[:60]} … {statement[-40:]}")
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(10)


def fill_details(database: Store) -> None:
    """Invent the details of every movie in refresh_metadata."""
    with database.transaction() as connection:
        connection.execute(f"INSERT INTO tmdb_details BY NAME {details_query()}", {"now": NOW.replace(tzinfo=None)})
        count = "SELECT count(*) FROM"
        assert connection.execute(f"{count} tmdb_details").fetchall() == (
            connection.execute(f"{count} refresh_metadata").fetchall()
        )
    database.maintain(datetime.now(UTC))


def details_query() -> str:
    """Plausible rows of tmdb_details for the movies of refresh_metadata, as SQL; parameter `$now`."""
    title = f"{_one(words.ADJECTIVES, 'a')} || ' ' || {_one(words.NOUNS, 'n')}"
    name = f"{_word(words.FIRST_NAMES, 'f')} || ' ' || {_word(words.SURNAMES, 's')}"
    company = f"{_word(words.COMPANY_HEADS, 'ch')} || ' ' || {_word(words.COMPANY_TAILS, 'ct')}"
    prose = (*words.NOUNS, *words.JOBS, *words.PLACES, *words.KEYWORDS)
    return f"""
    WITH m AS (SELECT tmdb_id AS i, release_year, release_date, imdb_id, hash(tmdb_id) AS h FROM refresh_metadata)
    SELECT i AS tmdb_id, release_year, release_date, imdb_id,
        CASE WHEN h % 3 > 0 THEN 'Q' || (h % 130000000) END AS wikidata_id,
        {title} AS title, title AS original_title,
        {_one(("en", "en", "en", "fr", "de", "ja", "es", "ko"), "l")} AS original_language,
        [{_one(("US", "US", "GB", "FR", "DE", "JP", "IN"), "oc")}] AS origin_country,
        array_to_string({_list(_word(prose, "p"), 15, 40)}, ' ') AS overview,
        CASE WHEN h % 5 < 2 THEN array_to_string({_list(_word(prose, "t"), 4, 6)}, ' ') END AS tagline,
        CASE WHEN h % 7 = 0 THEN 'https://' || (h % 99999999) || '.example/' END AS homepage,
        CASE WHEN release_date > $now::DATE THEN 'Post Production' ELSE 'Released' END AS status,
        (60 + h % 90)::INTEGER AS runtime,
        CASE WHEN h % 10 = 1 THEN (h % 90000) * 1000 END::BIGINT AS budget,
        CASE WHEN h % 10 < 2 THEN h % 400000000 END::BIGINT AS revenue,
        (h % 100000) / 10000 AS popularity, (h % 90) / 10 + 1 AS vote_average, (h % 2000)::BIGINT AS vote_count,
        CASE WHEN h % 20 = 0 THEN h % 900000 END::BIGINT AS collection_id,
        CASE WHEN h % 20 = 0 THEN title || ' Collection' END AS collection_name,
        {_list(_word(tuple(str(genre[1]) for genre in _genres()), "g"), 1, 3)} AS genres,
        {_list(company, 1, 3)} AS production_companies,
        [{_one(("US", "US", "GB", "FR", "DE", "JP", "IN"), "pc")}] AS production_countries,
        [{_one(("en", "en", "en", "fr", "de", "ja", "es", "ko"), "sl")}] AS spoken_languages,
        {_list(_word(words.KEYWORDS, "k"), 0, 12)} AS keywords,
        {_list(name, 1, 1)} AS directors, {_list(name, 1, 2)} AS writers, {_list(name, 3, 12)} AS actors,
        CASE WHEN h % 4 = 0 THEN {_one(("G", "PG", "PG-13", "R"), "cert")} END AS certification,
        CASE WHEN h % 4 = 0 THEN release_date END AS us_release_date,
        '/' || substr(md5(h::VARCHAR), 1, 27) || '.jpg' AS poster_path,
        CASE WHEN h % 3 > 0 THEN '/' || substr(md5(i::VARCHAR), 1, 27) || '.jpg' END AS backdrop_path,
        FALSE AS adult, FALSE AS video, $now AS updated_at
    FROM m"""


def _genres() -> list[tuple[int, str]]:
    return [(int(number), str(name)) for number, name in words.GENRES]


def _literal(values: Collection[str]) -> str:
    return "[" + ", ".join("'" + value.replace("'", "''") + "'" for value in values) + "]"


def _one(values: Collection[str], purpose: str) -> str:
    """One of some words, by movie."""
    return f"({_literal(values)})[1 + (hash(i, '{purpose}') % {len(values)})::INTEGER]"


def _word(values: Collection[str], purpose: str) -> str:
    """One of some words, by movie and by place `k` in a list."""
    return f"({_literal(values)})[1 + (hash(i, k, '{purpose}') % {len(values)})::INTEGER]"


def _list(item: str, least: int, spread: int) -> str:
    """A list of items, its length by movie: from `least` on."""
    return f"list_transform(range({least} + (h % {spread + 1})::INTEGER), k -> {item})"


if __name__ == "__main__":
    main()
