"""The report: averages over seeds, requests saved, and promises kept or missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.criteria import Criterion, criteria
from ayne_dagster.simulation.measure import Day, Figures, Series, average
from ayne_dagster.simulation.report import Report
from ayne_dagster.simulation.run import Case, Result
from proofs.freshness_cases import proof_cases, proof_tables

DAYS = 730


def series(weighted: float, requests: float = 100.0, longest: float = 90.0, days: int = DAYS) -> Series:
    day = Day(weighted - 0.1, weighted, 0.5, int(requests), int(requests / 4), int(longest))
    return Series.of([day] * days)


def result(policy: str, budget: float, weighted: float, requests: float, **case: Any) -> Result:
    case = {"source": "tmdb", "seed": 1} | case
    return Result(Case(policy, budget=budget, **case), requests, series(weighted, requests))


def report(*results: Result) -> Report:
    return Report(Assumptions(), DAYS, [1], results)


def test_figures_of_a_year_are_those_of_its_days() -> None:
    days = [Day(0.5, 0.6, 0.7, 10, 5, 30)] * 365 + [Day(0.9, 0.8, 0.7, 30, 5, 60)] * 365
    years = Series.of(days).by_year()
    assert list(years) == ["all", "year_1", "year_2"]
    assert years["year_1"].weighted == pytest.approx(0.6)
    assert years["year_2"].weighted == pytest.approx(0.8)
    assert years["all"].weighted == pytest.approx(0.7)
    assert years["all"].requests == pytest.approx(20)
    assert years["all"].wasted == pytest.approx(10 / 40)
    assert years["all"].longest_unchecked == 60


def test_a_year_that_is_not_over_has_no_figures() -> None:
    assert list(series(0.5, days=364).by_year()) == ["all"]


def test_days_without_new_releases_do_not_count_for_them() -> None:
    days = [Day(1, 1, float("nan"), 1, 0, 1), Day(1, 1, 0.4, 1, 0, 1)]
    assert Series.of(days).figures().new_releases == pytest.approx(0.4)


def test_nothing_asked_wastes_nothing() -> None:
    assert series(0.5, requests=0).figures().wasted == 0


def test_seeds_are_averaged_and_the_longest_wait_is_the_worst_of_them() -> None:
    both = average([Figures(0.4, 0.5, 0.6, 10, 0.2, 80), Figures(0.6, 0.7, 0.8, 20, 0.4, 90)])
    assert both.weighted == pytest.approx(0.6)
    assert both.requests == pytest.approx(15)
    assert both.longest_unchecked == 90


def test_requests_saved_are_interpolated_between_budgets_in_their_logarithm() -> None:
    table = result("age_table", 1.0, 0.70, 200)
    few, many = result("value_of_refresh", 0.125, 0.60, 25), result("value_of_refresh", 0.5, 0.80, 100)
    assert report(table, few, many).times_fewer("tmdb", "value_of_refresh") == pytest.approx(200 / 50)


def test_requests_saved_are_unknown_where_no_budget_was_too_small() -> None:
    table, many = result("age_table", 1.0, 0.70, 200), result("value_of_refresh", 0.5, 0.80, 100)
    assert report(table, many).times_fewer("tmdb", "value_of_refresh") is None
    assert report(many).times_fewer("tmdb", "value_of_refresh") is None


def _full(vor: float = 0.9, longest: float = 170.0) -> dict[str, Any]:
    results = []
    for source, ours in (("tmdb", "value_of_refresh_feed"), ("omdb", "value_of_refresh")):
        for budget, requests in ((0.25, 50.0), (1.0, 200.0), (4.0, 300.0)):
            results.append(result("age_table", budget, 0.7, requests, source=source))
            results.append(result("attainable", budget, 0.9, requests, source=source))
            case = Case(ours, source, budget, 1)
            results.append(Result(case, requests, series(vor, requests, longest)))
    told = report(*results).as_json()
    for source in ("tmdb", "omdb"):
        for budget in ("0.25", "1", "4"):
            bounds = {name: {"weighted": 0.9, "mean": 0.9} for name in ("without_feed", "clairvoyant")}
            told["sources"][source]["budgets"][budget]["bounds"] = bounds
    return told


def test_promises_that_are_kept_are_ok() -> None:
    assert [str(c) for c in criteria(_full()) if not c.kept] == []
    assert all(str(c).startswith("ok ") for c in criteria(_full()))


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({"vor": 0.84}, ["TMDB, budget 1×: of the weighted", "OMDb, budget 1×: of the bound"]),
        ({"vor": 0.80}, ["OMDb, budget 1×"]),
        ({"vor": 0.75}, ["TMDB, budget 0.25×", "OMDb, budget 0.25×"]),
        ({"longest": 181.0}, ["TMDB, budget 1×: most days", "TMDB, budget 4×: most days"]),
    ],
)
def test_a_promise_that_is_not_kept_is_missed(figures: dict[str, float], missed: list[str]) -> None:
    lines = [str(c) for c in criteria(_full(**figures)) if not c.kept]
    assert all(line.startswith("MISSED") for line in lines)
    for promise in missed:
        assert any(promise in line for line in lines), (promise, lines)


def test_what_was_not_measured_is_missed() -> None:
    assert not Criterion("something", None, 0.5).kept
    assert not any(c.kept for c in criteria(report().as_json()))


def test_the_proof_covers_every_source_seed_and_budget_once() -> None:
    cases = proof_cases(5)
    assert len(set(cases)) == len(cases)
    for source, ours in (("tmdb", "value_of_refresh_feed"), ("omdb", "value_of_refresh")):
        for policy in (ours, "attainable", "age_table"):
            found = {(c.budget, c.seed) for c in cases if c.source == source and c.policy == policy}
            assert found >= {(budget, seed) for budget in (0.25, 1.0, 4.0) for seed in range(1, 6)}


def test_the_tables_of_the_proof_say_what_was_simulated() -> None:
    text = proof_tables(_full())
    assert text.startswith("20,000 movies, 730 days, 1 world: `python -m proofs.freshness --movies 20000")
    assert "| `value_of_refresh_feed` | 0.800 | 0.900 | 0.900 | 0.900 | 0.500 | 200 | 25% | 170 |" in text
    assert text.count("ok ") == 9


def test_the_report_is_rounded_and_complete() -> None:
    told = report(result("attainable", 1.0, 0.123456789, 200)).as_json()
    policy = told["sources"]["tmdb"]["budgets"]["1"]["policies"]["attainable"]
    assert policy["all"]["weighted"] == 0.1235
    assert set(policy) == {"all", "year_1", "year_2", "curve"}
    assert np.allclose(policy["curve"], 0.1235)
    assert len(policy["curve"]) == DAYS // 7
