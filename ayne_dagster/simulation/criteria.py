"""What the strategies promise of freshness, checked on a report. Simulates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULTS: Mapping[str, str] = {"tmdb": "value_of_refresh_feed", "omdb": "value_of_refresh"}
"""What value of refresh is at each source: with the change feed where there is one."""
ORACLE = "oracle"


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
    for budget in ("1", "4"):
        promise = f"TMDB, budget {budget}×: of the oracle's weighted freshness, at least 0.98"
        yield Criterion(promise, _of_oracle(report, "tmdb", budget), 0.98)
    promise = "OMDb, budget 1×: of the oracle's weighted freshness, at least 0.93"
    yield Criterion(promise, _of_oracle(report, "omdb", "1"), 0.93)
    for source, title in (("tmdb", "TMDB"), ("omdb", "OMDb")):
        promise = f"{title}, budget 0.25×: of the oracle's weighted freshness, at least 0.88"
        yield Criterion(promise, _of_oracle(report, source, "0.25"), 0.88)
    for source, title, bound in (("tmdb", "TMDB", 4.0), ("omdb", "OMDb", 3.0)):
        fewer = report["sources"].get(source, {}).get("times_fewer_requests", {}).get(DEFAULTS[source])
        promise = f"{title}: times fewer requests for the age table's weighted freshness, at least {bound:g}"
        yield Criterion(promise, fewer, bound)
    for source, title, budget in (("tmdb", "TMDB", "1"), ("tmdb", "TMDB", "4"), ("omdb", "OMDb", "4")):
        figures = _figures(report, source, budget, DEFAULTS[source])
        promise = f"{title}, budget {budget}×: most days without a check, at most 180"
        longest = None if figures is None else float(figures["longest_unchecked"])
        yield Criterion(promise, longest, 180.0, at_least=False)


def _of_oracle(report: Mapping[str, Any], source: str, budget: str) -> float | None:
    """Weighted freshness of value of refresh as a share of the oracle's: of all days, or of the worst year."""
    ours, oracle = (_policy(report, source, budget, policy) for policy in (DEFAULTS[source], ORACLE))
    if ours is None or oracle is None:
        return None
    return min(float(ours[span]["weighted"] / oracle[span]["weighted"]) for span in ours if span != "curve")


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
