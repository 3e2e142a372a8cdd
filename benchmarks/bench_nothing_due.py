"""Measures whole `ayne` processes where there is nothing to fetch: start-up, open, decide, say so; not any request.

Run: `python benchmarks/bench_nothing_due.py`
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from harness import AYNE, HOST, Child, Figures, free_port, parse_arguments, run_child, scratch

from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.refresh_metadata import new_state_row
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import REFRESH_METADATA

MOST_SECONDS = 1.5
RELEASED = date(1999, 5, 1)
COMMANDS: dict[str, tuple[str, ...]] = {
    "collect --refresh-only": ("collect", "--refresh-only", "--json"),
    "--help": ("--help",),
    "due": ("due", "--json"),
    "stats": ("stats", "--json"),
}


def main() -> None:
    """Run each command some times, and print the medians."""
    arguments = parse_arguments(
        __doc__, movies=(10_000, 100, "movies, all of them fresh"), times=(5, 1, "processes a command")
    )
    figures = Figures(f"whole processes, nothing due among {arguments.movies:,} movies: median of {arguments.times}")
    with scratch() as folder:
        settings = _settings(folder)
        fill(folder / "ayne.duckdb", arguments.movies)
        for name, command in COMMANDS.items():
            children = [run_child([*AYNE, *command], folder, settings) for _ in range(arguments.times)]
            check(name, children[-1])
            bound = MOST_SECONDS if name.startswith("collect") else None
            figures.add(f"ayne {name}", statistics.median(c.seconds for c in children), "s", at_most=bound)
            figures.add("  CPU", statistics.median(c.cpu_seconds for c in children), "s")
    figures.show()


def fill(path: Path, movies: int) -> None:
    """Fill a database with old movies that both sources have just confirmed."""
    now = datetime.now(UTC)
    checked = {
        f"{source}_{what}_at": naive_utc(now) for source in ("tmdb", "omdb") for what in ("attempted", "checked")
    }
    rows = [new_state_row(i, now, "1999") | checked | {"imdb_id": f"tt{i:07}"} for i in range(1, movies + 1)]
    with Database(path).transaction() as connection:
        insert_rows(connection, REFRESH_METADATA, [row | {"release_date": RELEASED} for row in rows])


def check(name: str, child: Child) -> None:
    """See that there really was nothing to do."""
    if name.startswith("collect"):
        result = json.loads(child.stdout)
        assert sum(result["requests"].values()) == result["due_remaining"] == 0, result


def _settings(folder: Path) -> Mapping[str, object]:
    nobody = f"http://{HOST}:{free_port()}"
    return {
        "AYNE_DATABASE": folder / "ayne.duckdb",
        "AYNE_TMDB_BASE_URL": f"{nobody}/3",
        "AYNE_OMDB_BASE_URL": f"{nobody}/omdb/",
        "TMDB_READ_TOKEN": "bench",
        "OMDB_API_KEY": "bench",
    }


if __name__ == "__main__":
    main()
