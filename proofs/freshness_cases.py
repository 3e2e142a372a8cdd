"""The proof of `freshness.py`: which cases it simulates, and its figures as Markdown. Writes no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ayne_dagster.refresh.states import SOURCES
from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.bounds import clairvoyant, without_feed
from ayne_dagster.simulation.criteria import ATTAINABLE, DEFAULTS, criteria
from ayne_dagster.simulation.report import markdown_table, table_headings, table_rows
from ayne_dagster.simulation.run import Case, Copy, cases_of, table_spends, world_of

BUDGETS = (0.25, 1.0, 4.0)
AT_ALL_BUDGETS = ("round_robin", "age_table", ATTAINABLE, "attainable_mean")
AT_ONE = ("age_table_feed", "value_of_refresh", "value_all_alike")
"""Compared where the budget is what the age table asks for."""


def proof_cases(seeds: int) -> list[Case]:
    """All cases of the proof, seed by seed."""
    cases = []
    for seed in range(1, seeds + 1):
        for source, default in DEFAULTS.items():
            others = [policy for policy in AT_ONE if policy != default]
            cases += cases_of([source], [*AT_ALL_BUDGETS, default], BUDGETS, [seed])
            cases += cases_of([source], others, [1.0], [seed])
    return cases


def add_bounds(report: dict[str, Any], assumptions: Assumptions) -> None:
    """Put beside each budget's figures of a report as JSON what no strategy surpasses there: over seeds, the mean."""
    for source, told in report["sources"].items():
        for budget in BUDGETS:
            found: dict[str, list[dict[str, float]]] = {"without_feed": [], "clairvoyant": []}
            for seed in report["seeds"]:
                world = world_of(assumptions, report["days"], seed)
                requests = budget * table_spends(world, source) * world.days
                found["without_feed"].append(asdict(without_feed(world, Copy(world, source), requests)))
                found["clairvoyant"].append(asdict(clairvoyant(world, Copy(world, source), requests)))
            told["budgets"][f"{budget:g}"]["bounds"] = {
                name: {by: round(float(np.mean([bound[by] for bound in bounds])), 4) for by in ("weighted", "mean")}
                for name, bounds in found.items()
            }


def proof_tables(report: Mapping[str, Any]) -> str:
    """The figures of a report as JSON: what was simulated, a table a source and budget, and each promise."""
    movies, days, seeds = report["assumptions"]["movies"], report["days"], len(report["seeds"])
    command = f"`python -m proofs.freshness --movies {movies} --days {days} --seeds {seeds}`"
    parts = [f"{movies:,} movies, {days:,} days, {seeds} world{'s' if seeds > 1 else ''}: {command}"]
    for source, told in report["sources"].items():
        for budget in (f"{budget:g}" for budget in BUDGETS):
            requests = told["budgets"][budget]["requests_a_day"]
            parts.append(f"**{SOURCES[source].title}, {budget}×: at most {requests:,.0f} requests a day**")
            headings = table_headings(report["sources"], source, budget)
            rows = [[f"`{name}`", *cells] for name, cells in table_rows(report["sources"], source, budget).items()]
            parts.append(markdown_table(headings, rows))
            parts.append(_bounds(told["budgets"][budget]["bounds"]))
    parts.append("\n".join(["```", *(str(criterion) for criterion in criteria(report)), "```"]))
    return "\n\n".join(parts)


def _bounds(bounds: Mapping[str, Mapping[str, float]]) -> str:
    """What no strategy surpasses, in a line."""
    names = {"without_feed": "without a feed", "clairvoyant": "knowing every change"}
    told = (f"{names[name]} {b['weighted']:.3f} by weight, {b['mean']:.3f} by mean" for name, b in bounds.items())
    return f"No strategy surpasses: {'; '.join(told)}."
