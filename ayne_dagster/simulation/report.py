"""Results of many cases as one report: figures by source, budget and policy, averaged over seeds. Draws nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.measure import Figures, average
from ayne_dagster.simulation.policies import POLICIES
from ayne_dagster.simulation.run import Result

YARDSTICK = "age_table"
"""The policy that others are measured by, at budget 1."""
_CURVE_DAYS = 7


@dataclass(frozen=True)
class Report:
    """What was simulated, and what came of it.

    Args:
        assumptions: the modelled world.
        days: how many days were simulated.
        seeds: the seeds that figures are averaged over.
        results: all cases.
    """

    assumptions: Assumptions
    days: int
    seeds: Sequence[int]
    results: Sequence[Result]

    @property
    def sources(self) -> list[str]:
        """Sources, in the order in which they were simulated."""
        return list(dict.fromkeys(result.case.source for result in self.results))

    def budgets(self, source: str) -> list[float]:
        """Budgets simulated at a source, ascending, as multiples of what the age table spends."""
        return sorted({result.case.budget for result in self.results if result.case.source == source})

    def policies(self, source: str, budget: float) -> list[str]:
        """Policies simulated there, in the order of POLICIES."""
        found = {result.case.policy for result in self._at(source, budget)}
        return [name for name in POLICIES if name in found]

    def figures(self, source: str, budget: float, policy: str, days: str = "all") -> Figures | None:
        """Figures over all days or one year (`year_1` …), averaged over seeds; None where it was not simulated."""
        found = [result.series.by_year() for result in self._at(source, budget) if result.case.policy == policy]
        return average(years[days] for years in found) if found else None

    def curve(self, source: str, budget: float, policy: str) -> list[float]:
        """Weighted freshness week by week, averaged over seeds."""
        weekly = [
            result.series.weighted[: self.days // _CURVE_DAYS * _CURVE_DAYS].reshape(-1, _CURVE_DAYS).mean(axis=1)
            for result in self._at(source, budget)
            if result.case.policy == policy
        ]
        return [float(value) for value in np.mean(weekly, axis=0)]

    def times_fewer(self, source: str, policy: str) -> float | None:
        """How many times fewer requests than the age table a policy needs to be as fresh, weighted by popularity.

        Interpolated in ln(requests) between simulated budgets.

        Returns:
            None where the simulated budgets do not enclose that point.
        """
        target = self.figures(source, 1.0, YARDSTICK)
        points = [self.figures(source, budget, policy) for budget in self.budgets(source)]
        if target is None:
            return None
        for low, high in pairwise(point for point in points if point is not None):
            if low.weighted <= target.weighted <= high.weighted and low.weighted < high.weighted:
                share = (target.weighted - low.weighted) / (high.weighted - low.weighted)
                return target.requests / exp(log(low.requests) + share * (log(high.requests) - log(low.requests)))
        return None

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object; shares from 0 to 1, rounded to what the seeds can tell."""
        return {
            "assumptions": asdict(self.assumptions),
            "days": self.days,
            "seeds": list(self.seeds),
            "sources": {source: self._source(source) for source in self.sources},
        }

    def _source(self, source: str) -> dict[str, Any]:
        budgets = self.budgets(source)
        fewer = {name: self.times_fewer(source, name) for name in POLICIES if name != YARDSTICK}
        return {
            "budgets": {f"{budget:g}": self._budget(source, budget) for budget in budgets},
            "times_fewer_requests": {name: round(times, 2) for name, times in fewer.items() if times is not None},
        }

    def _budget(self, source: str, budget: float) -> dict[str, Any]:
        results = self._at(source, budget)
        return {
            "requests_a_day": round(float(np.mean([result.budget_per_day for result in results])), 1),
            "policies": {
                policy: {
                    days: _rounded(figures)
                    for days in results[0].series.by_year()
                    if (figures := self.figures(source, budget, policy, days))
                }
                | {"curve": [round(value, 4) for value in self.curve(source, budget, policy)]}
                for policy in self.policies(source, budget)
            },
        }

    def _at(self, source: str, budget: float) -> list[Result]:
        return [r for r in self.results if r.case.source == source and r.case.budget == budget]


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(value, 1 if value > 1 else 4) for name, value in asdict(figures).items()}


COLUMNS: Mapping[str, str] = {
    "policy": "Policy",
    "mean": "Mean",
    "weighted": "Weighted",
    "year_1": "Year 1",
    "year_2": "Year 2",
    "new_releases": "New",
    "requests": "Asked",
    "wasted": "Wasted",
    "longest_unchecked": "Longest",
}
"""Columns of a table of figures. The years are of weighted freshness; "Longest" is the most days without a check."""


def table_rows(sources: Mapping[str, Any], source: str, budget: str) -> dict[str, list[str]]:
    """The cells of a table of figures by policy, all but the first column, from a report as JSON."""
    rows = {}
    for name, parts in sources[source]["budgets"][budget]["policies"].items():
        whole = parts["all"]
        shares = [whole["mean"], whole["weighted"], *(parts[y]["weighted"] for y in ("year_1", "year_2") if y in parts)]
        rows[name] = [
            *(f"{share:.3f}" for share in shares),
            f"{whole['new_releases']:.3f}",
            f"{whole['requests']:,.0f}",
            f"{whole['wasted']:.0%}",
            f"{whole['longest_unchecked']:,.0f}",
        ]
    return rows


def table_headings(sources: Mapping[str, Any], source: str, budget: str) -> list[str]:
    """The headings that belong to `table_rows`: only the years that were simulated."""
    parts: Collection[str] = next(iter(sources[source]["budgets"][budget]["policies"].values()))
    missing = {year for year in ("year_1", "year_2") if year not in parts}
    return [heading for name, heading in COLUMNS.items() if name not in missing]


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; numbers to the right."""
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
