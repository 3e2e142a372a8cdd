"""What the strategies promise of freshness, checked on a report. Simulates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULTS: Mapping[str, str] = {"tmdb": "value_of_refresh_feed", "omdb": "value_of_refresh"}
"""What value of refresh is at each source: with the change feed where there is one."""
ATTAINABLE = "attainable"
SHARES: Mapping[str, Mapping[str, float]] = {
    "tmdb": {"0.25": 0.98, "1": 0.985, "4": 0.99},
    "omdb": {"0.25": 0.93, "1": 0.95, "4": 0.98},
}
"""By source and budget, the least share of what is attainable (TMDB) or of the bound (OMDb), by weight.

Floors, set a little below what a short run in a small world measured, so that a change for the worse shows."""


@dataclass(frozen=True)
class Criterion:
    """A promise, the figure that was measured, and the bound that it must keep."""

    promise: str
    measured: float | None
    bound: float
    at_least: bool = True

    @property
    def kept(self) -> bool:
        """Whether the figure keeps the bound; what was not measured does not."""
        if self.measured is None:
            return False
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        measured = "not measured" if self.measured is None else f"{self.measured:.3g}"
        return f"{'ok' if self.kept else 'MISSED':6}  {self.promise}: {measured}"


def criteria(report: Mapping[str, Any]) -> Iterator[Criterion]:
    """All promises, on a report as JSON with both sources and the budgets 0.25, 1 and 4."""
    for budget, least in SHARES["tmdb"].items():
        promise = f"TMDB, budget {budget}×: of the weighted freshness that is attainable, at least {least:g}"
        yield Criterion(promise, _of_attainable(report, "tmdb", budget), least)
    for budget, least in SHARES["omdb"].items():
        promise = f"OMDb, budget {budget}×: of the bound on weighted freshness, at least {least:g}"
        yield Criterion(promise, _of_bound(report, "omdb", budget), least)
    for source, title, budget in (("tmdb", "TMDB", "1"), ("tmdb", "TMDB", "4"), ("omdb", "OMDb", "4")):
        figures = _figures(report, source, budget, DEFAULTS[source])
        promise = f"{title}, budget {budget}×: most days without a check, at most 180"
        longest = None if figures is None else float(figures["longest_unchecked"])
        yield Criterion(promise, longest, 180.0, at_least=False)


def _of_attainable(report: Mapping[str, Any], source: str, budget: str) -> float | None:
    """Weighted freshness of value of refresh as a share of what is attainable with everything known."""
    ours, attainable = (_figures(report, source, budget, policy) for policy in (DEFAULTS[source], ATTAINABLE))
    return None if ours is None or attainable is None else ours["weighted"] / attainable["weighted"]


def _of_bound(report: Mapping[str, Any], source: str, budget: str) -> float | None:
    """Weighted freshness of value of refresh as a share of what no strategy without a feed surpasses."""
    ours = _figures(report, source, budget, DEFAULTS[source])
    bounds = report["sources"].get(source, {}).get("budgets", {}).get(budget, {}).get("bounds", {})
    bound = bounds.get("without_feed")
    return None if ours is None or bound is None else ours["weighted"] / float(bound["weighted"])


def _figures(report: Mapping[str, Any], source: str, budget: str, policy: str) -> Mapping[str, float] | None:
    """Figures over all days."""
    found = _policy(report, source, budget, policy)
    if found is None:
        return None
    whole: Mapping[str, float] = found["all"]
    return whole


def _policy(report: Mapping[str, Any], source: str, budget: str, policy: str) -> Mapping[str, Any] | None:
    """Figures by span, as far as this was simulated."""
    budgets: Mapping[str, Any] = report["sources"].get(source, {}).get("budgets", {})
    policies: Mapping[str, Any] = budgets.get(budget, {}).get("policies", {})
    return policies.get(policy)
