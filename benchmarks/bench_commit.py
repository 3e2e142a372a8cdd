"""Measures commits as a collection makes them, timed as a whole: open, merge 500 changed answers, commit, close.

`bench_merge.py` looks at the transaction alone; what opening and closing add (schema, checkpoint, replaying the log) is
seen here, over a row of commits, since what one leaves in the log the next one pays for.

    python benchmarks/bench_commit.py
"""

from __future__ import annotations

import statistics
import time

from bench_due import fill
from bench_merge import LATER, Samples, fill_details
from harness import Figures, parse_arguments, scratch

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster.warehouse.store import Store

MOST_SECONDS = 0.4


def main() -> None:
    """Fill a database, commit to it a number of times, and print the figures."""
    arguments = parse_arguments(
        __doc__,
        movies=(1_000_000, 20_000, "rows in the table"),
        batch=(500, 100, "answers a commit"),
        commits=(20, 4, "commits in a row"),
    )
    with scratch() as folder:
        database = Database(folder / "ayne.duckdb", checkpoints=False)
        figures = committed(database, arguments.movies, arguments.batch, arguments.commits, MOST_SECONDS)
        figures.show()


def committed(store: Store, movies: int, batch: int, commits: int, most_seconds: float | None) -> Figures:
    """Fill a store, and commit to it a number of times."""
    fill(store, movies)
    fill_details(store)
    samples = Samples(store, movies, batch)
    batches = [samples.stored() for _ in range(commits)]
    whole, merged = [], []
    for rows in batches:
        answers = [
            Answer(r["tmdb_id"], Outcome.FETCHED, LATER, r | {"budget": (r["budget"] or 0) + 1}, r["release_year"])
            for r in rows
        ]
        started = time.perf_counter()
        with store.transaction() as connection:
            begun = time.perf_counter()
            merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "bench")
            merged.append(time.perf_counter() - begun)
        whole.append(time.perf_counter() - started)
    figures = Figures(f"{batch:,} changed answers into {movies:,} movies ({store.describe()})")
    figures.add("open, commit and close, median", statistics.median(whole), "s", at_most=most_seconds)
    figures.add("open, commit and close, longest", max(whole), "s")
    figures.add("merge within it, median", statistics.median(merged), "s")
    return figures


if __name__ == "__main__":
    main()
