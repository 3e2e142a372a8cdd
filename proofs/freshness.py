"""The proof of docs/freshness.md: simulates all policies in modelled worlds, and checks what the strategies promise.

`make proof-freshness` runs it as documented and exits 1 when a promise is missed. With `--write` it renews the figures,
tables and plots of the documentation too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.criteria import criteria
from ayne_dagster.simulation.plots import draw
from ayne_dagster.simulation.report import Report
from ayne_dagster.simulation.run import Result, simulate_all
from proofs.freshness_cases import add_bounds, proof_cases, proof_tables

MOVIES, DAYS, SEEDS = 2_000, 730, 2
DOCS = Path(__file__).parent.parent / "docs"


def write(report: dict[str, Any]) -> None:
    """Renew the documentation: figures, plots, and the tables between the marks."""
    text = json.dumps(report, indent=1)
    lists_in_a_line = re.sub(r"\[[^][{}]*\]", lambda found: re.sub(r"\s+", " ", found.group()), text)
    (DOCS / "freshness.json").write_text(lists_in_a_line + "\n")
    draw(report, DOCS / "freshness.png")
    page = DOCS / "freshness.md"
    marked = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)
    page.write_text(marked.sub(lambda marks: f"{marks[1]}\n{proof_tables(report)}\n\n{marks[2]}", page.read_text()))


def main() -> int:
    """Simulate, print, check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--movies", type=int, default=MOVIES)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="renew docs/freshness.json, .md and .png")
    arguments = parser.parse_args()
    assumptions, cases = Assumptions(movies=arguments.movies), proof_cases(arguments.seeds)
    ended = 0

    def tell(result: Result) -> None:
        nonlocal ended
        ended += 1
        print(f"{ended} of {len(cases)}: {result.case}", file=sys.stderr, flush=True)

    results = simulate_all(assumptions, arguments.days, cases, arguments.processes, tell)
    report = Report(assumptions, arguments.days, list(range(1, arguments.seeds + 1)), results).as_json()
    add_bounds(report, assumptions)
    print(proof_tables(report))
    if arguments.write:
        write(report)
    return 0 if all(criterion.kept for criterion in criteria(report)) else 1


if __name__ == "__main__":
    sys.exit(main())
