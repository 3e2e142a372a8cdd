"""The proof in docs/freshness.md: which cases it simulates, and its figures as Markdown. Writes no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ayne_dagster.refresh.states import SOURCES
from ayne_dagster.simulation.criteria import DEFAULTS, ORACLE, criteria
from ayne_dagster.simulation.report import markdown_table, table_headings, table_rows
from ayne_dagster.simulation.run import Case, cases_of

BUDGETS = (0.25, 1.0, 4.0)
SMALL_BUDGETS = (0.125, 0.1875)
"""Only for value of refresh: how few requests reach the age table's freshness."""
AT_ALL_BUDGETS = ("round_robin", "age_table", ORACLE)
AT_ONE = ("age_table_unfrozen", "age_table_feed", "value_of_refresh")
"""Compared where the budget is what the age table asks for."""


def proof_cases(seeds: int) -> list[Case]:
    """All cases of the proof, seed by seed."""
    cases = []
    for seed in range(1, seeds + 1):
        for source, default in DEFAULTS.items():
            others = [policy for policy in AT_ONE if policy != default]
            cases += cases_of([source], [*AT_ALL_BUDGETS, default], BUDGETS, [seed])
            cases += cases_of([source], others, [1.0], [seed])
            cases += cases_of([source], [default], SMALL_BUDGETS, [seed])
    return cases


def proof_tables(report: Mapping[str, Any]) -> str:
    """The figures of a report as JSON: what was simulated, a table a source and budget, and each promise."""
    movies, days, seeds = report["assumptions"]["movies"], report["days"], len(report["seeds"])
    command = f"`python benchmarks/prove_freshness.py --movies {movies} --days {days} --seeds {seeds}`"
    parts = [f"{movies:,} movies, {days:,} days, {seeds} world{'s' if seeds > 1 else ''}: {command}"]
    for source, told in report["sources"].items():
        for budget in (f"{budget:g}" for budget in BUDGETS):
            requests = told["budgets"][budget]["requests_a_day"]
            parts.append(f"**{SOURCES[source].title}, {budget}×: at most {requests:,.0f} requests a day**")
            headings = table_headings(report["sources"], source, budget)
            rows = [[f"`{name}`", *cells] for name, cells in table_rows(report["sources"], source, budget).items()]
            parts.append(markdown_table(headings, rows))
    parts.append("\n".join(["```", *(str(criterion) for criterion in criteria(report)), "```"]))
    return "\n\n".join(parts)
