"""Measures the same commits as `bench_commit.py` on a lake: turn, merge of 500 changed answers, commit.

The lake is what AYNE_DATABASE, AYNE_LAKE_DATA and AYNE_LEDGER_URL name. It must be empty, and is filled with
inventions; where they name none, nothing is measured.

    python benchmarks/bench_lake.py
"""

from __future__ import annotations

from bench_commit import committed
from harness import parse_arguments

from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import load_settings


def main() -> None:
    """Fill the lake, commit to it a number of times, and print the figures."""
    arguments = parse_arguments(
        __doc__,
        movies=(100_000, 2_000, "rows in the table"),
        batch=(500, 100, "answers a commit"),
        commits=(20, 4, "commits in a row"),
    )
    settings = load_settings()
    if settings.lake is None:
        print("AYNE_DATABASE names no lake: nothing is measured.")
        return
    committed(open_store(settings), arguments.movies, arguments.batch, arguments.commits, None).show()


if __name__ == "__main__":
    main()
