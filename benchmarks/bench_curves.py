"""Measures the same things at growing sizes, in a file and in a lake: loading, asking, committing, a page.

Each size and store is a process of its own, one after the other. The lake has its catalogue in a Postgres of its own
on 127.0.0.1 and its files in a folder; without the extra `lake` only the file is measured. All rows are invented.

    python benchmarks/bench_curves.py --most 1000000
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench_dashboard import FETCHES, HISTORY, RATINGS
from bench_due import NOW, state_query
from bench_merge import LATER, Samples, details_query
from harness import median_seconds, parse_arguments, peak_rss_mb, run_child, scratch, seconds_of

from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.refresh_metadata import derive_columns, due_movies
from ayne_dagster.warehouse.rows import Row, naive_utc
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster.warehouse.store import Store
from ayne_dagster.warehouse.strategies import load_strategy

SMALLEST, STEP = 10_000, 10
BATCH, COMMITS = 500, 8
MEASURED = {
    "load": "loading, invented rows of all tables",
    "size": "on disk, MB",
    "due": "the 1,000 most due movies of TMDB",
    "count": "`count(*)` of `movies`",
    "query": "revenue and rating by year, of `movies`",
    "changed": "500 changed answers, open to close",
    "unchanged": "500 unchanged answers, open to close",
    "page": "the dashboard's front page, after a commit",
    "memory": "most memory, MB",
}
QUESTION = (
    "SELECT release_year, count(*), sum(revenue), avg(imdb_rating) FROM movies GROUP BY release_year ORDER BY ALL"
)


def main() -> None:
    """Measure each size in each store, and print a table."""
    arguments = parse_arguments(__doc__, most=(100_000, 1_000, "movies of the largest size"))
    sizes = [min(SMALLEST, arguments.most)]
    while sizes[-1] * STEP <= arguments.most:
        sizes.append(sizes[-1] * STEP)
    measured: dict[tuple[int, str], Mapping[str, float]] = {}
    for size in sizes:
        for kind, settings in STORES.items():
            with scratch() as folder, settings(folder) as environment:
                if environment is not None:
                    itself = [sys.executable, "-W", "ignore", str(Path(__file__)), "as-one", str(size)]
                    measured[size, kind] = json.loads(run_child(itself, folder, environment).stdout)
                    print(f"{kind}, {size:,} movies: {measured[size, kind]}", file=sys.stderr, flush=True)
    show(measured)


def show(measured: Mapping[tuple[int, str], Mapping[str, float]]) -> None:
    """The table, as it stands in docs/scale.md; seconds where nothing else is said."""
    print("| | " + " | ".join(f"{size:,}, {kind}" for size, kind in measured) + " |")
    print("|---|" + "---:|" * len(measured))
    for name, title in MEASURED.items():
        cells = [_shown(figures[name]) for figures in measured.values()]
        print(f"| {title} | " + " | ".join(cells) + " |")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


@contextmanager
def file_settings(folder: Path) -> Iterator[dict[str, str] | None]:
    """The settings of a file."""
    yield {"AYNE_DATABASE": str(folder / "ayne.duckdb")}


@contextmanager
def lake_settings(folder: Path) -> Iterator[dict[str, str] | None]:
    """The settings of a lake, for the length of the block; None where there is no DuckLake to be had."""
    from ayne_dagster.errors import WrongUsage
    from ayne_dagster.warehouse.lake_instance import extension_file

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from ayne_dagster_tests.support.lake import variables
    from ayne_dagster_tests.support.postgres import running_postgres

    try:
        extension_file("ducklake")
    except WrongUsage as error:
        print(f"No lake is measured: {error}", file=sys.stderr)
        yield None
        return
    with running_postgres() as server:
        catalogue, ledger = server.new_database(), server.new_database()
        yield variables(server, catalogue.rpartition("/")[2], ledger, folder)


STORES: Mapping[str, Callable[[Path], AbstractContextManager[dict[str, str] | None]]] = {
    "file": file_settings,
    "lake": lake_settings,
}


def as_one(movies: int) -> dict[str, float]:
    """What is measured of the store that the settings name, with so many movies."""
    settings = load_settings()
    store = replace(open_store(settings), checkpoints=False)
    figures = {"load": seconds_of(lambda: fill(store, movies))}
    figures["size"] = _size(store) / 1e6
    with store.connect(read_only=True) as connection:
        strategy = load_strategy(connection, settings.refresh_strategy)
        asked = {
            "due": partial(due_movies, connection, ("tmdb",), NOW, 1_000, strategy=strategy),
            "count": lambda: connection.execute("SELECT count(*) FROM movies").fetchall(),
            "query": lambda: connection.execute(QUESTION).fetchall(),
        }
        figures |= {name: median_seconds(ask) for name, ask in asked.items()}
    samples = Samples(store, movies, min(BATCH, movies // (4 * COMMITS)))
    for name, added in (("changed", 1), ("unchanged", 0)):
        batches = [_answers(samples.stored(), added) for _ in range(COMMITS)]
        figures[name] = statistics.median(seconds_of(partial(commit, store, batch)) for batch in batches)
    figures["page"] = page(settings)
    return figures | {"memory": peak_rss_mb()}


def fill(store: Store, movies: int) -> None:
    """Invent a collection of a year: states, details, ratings, history and attempts."""
    now = naive_utc(NOW)
    for statement, bound in (
        (f"INSERT INTO refresh_metadata BY NAME {state_query()}", {"movies": movies, "now": now}),
        (f"INSERT INTO tmdb_details BY NAME {details_query()}", {"now": now}),
        (RATINGS, None),
        (HISTORY, {"now": now}),
        (FETCHES, {"now": now}),
    ):
        with store.transaction() as connection:
            connection.execute(statement, bound)
    with store.transaction() as connection:
        derive_columns(connection, NOW)
    store.maintain(NOW)


def _size(store: Store) -> int:
    """Bytes of the file, or of a lake's files; its catalogue is not counted."""
    if not isinstance(store, LakeStore):
        return store.path.stat().st_size
    return sum(each.stat().st_size for each in Path(store.place.data).rglob("*") if each.is_file())


def _answers(rows: Sequence[Row], added: int) -> list[Answer]:
    content = (*TMDB_DETAILS.content, "tmdb_id", "release_year")
    changed = [row | {"runtime": (row["runtime"] or 0) + added} for row in rows]
    return [
        Answer(row["tmdb_id"], Outcome.FETCHED, LATER, {name: row[name] for name in content}, row["release_year"])
        for row in changed
    ]


def commit(store: Store, answers: list[Answer]) -> None:
    """Merge answers, as a run does."""
    with store.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "bench")


def page(settings: Settings) -> float:
    """Seconds until the front page is there, put together anew; what a dashboard does once before is left out."""
    from starlette.testclient import TestClient

    from ayne_dagster.dashboard.app import create_app

    client = TestClient(create_app(settings, tuple), base_url="http://127.0.0.1")
    client.get("/movie/2002")
    return seconds_of(lambda: client.get("/").raise_for_status())


if __name__ == "__main__":
    if sys.argv[1:2] == ["as-one"]:
        print(json.dumps(as_one(int(sys.argv[2]))))
    else:
        main()
