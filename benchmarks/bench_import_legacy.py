"""Measures `ayne import-legacy` with 50,000 movies: time and memory, the first time and a second; not collecting.

The older database is invented, with a rating for a third of the movies. Each import is a process of its own, as the
command is.

    python benchmarks/bench_import_legacy.py
    python benchmarks/bench_import_legacy.py --quick
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from harness import Figures, parse_arguments, run_child, scratch

sys.path.insert(0, str(Path(__file__).parents[1]))
from ayne_dagster_tests.support.legacy import legacy_database

MOST_SECONDS = 30.0
MOST_MEGABYTES = 500.0

_MEASURED = """
import sys
sys.path.insert(0, sys.argv[1])
from harness import peak_rss_mb
from ayne_dagster.cli import run
code = run(sys.argv[2:])
print(peak_rss_mb())
sys.exit(code)
"""
"""The command, and what memory it has held."""


def main() -> None:
    """Invent an older database, import it twice, and print the figures."""
    arguments = parse_arguments(__doc__, movies=(50_000, 1_000, "movies in the older collection"))
    with scratch() as folder:
        path = legacy_database(folder, arguments.movies, datetime.now(UTC))
        database = folder / "data" / "ayne.duckdb"
        figures = Figures(f"ayne import-legacy, {arguments.movies:,} movies")
        for name, options in (("rehearsal", ("--dry-run",)), ("first import", ()), ("second import", ())):
            command = (sys.executable, "-c", _MEASURED, Path(__file__).parent, "import-legacy", path, *options)
            done = run_child(command, folder, {"AYNE_DATABASE": database})
            figures.add(name, done.seconds, "s", at_most=MOST_SECONDS)
            figures.add("… CPU", done.cpu_seconds, "s")
            figures.add("… peak RSS", float(done.stdout.splitlines()[-1]), "MB", at_most=MOST_MEGABYTES)
        with duckdb.connect(str(database), read_only=True) as connection:
            ((movies,),) = connection.execute("SELECT count(*) FROM legacy.full_dataset").fetchall()
        figures.add("movies in legacy.full_dataset", movies, at_least=arguments.movies)
        figures.show()


if __name__ == "__main__":
    main()
