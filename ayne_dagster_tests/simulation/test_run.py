"""Simulated policies: the shipped rules decide and learn, the budget holds, and a seed gives the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ayne_dagster.refresh.age_table import AgeTableStrategy
from ayne_dagster.refresh.outcome import after
from ayne_dagster.refresh.states import MovieState
from ayne_dagster.refresh.value import ValueOfRefreshStrategy
from ayne_dagster.simulation import collector as collector_module
from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.collector import ShippedCollector, noon
from ayne_dagster.simulation.policies import POLICIES
from ayne_dagster.simulation.run import (
    Case,
    Copy,
    Result,
    cases_of,
    simulate,
    simulate_all,
    start_collector,
    table_spends,
    world_of,
)

ASSUMED = Assumptions(movies=200)
DAYS = 8
"""A week, after which the rates of buckets are learned, and a day by them."""
SHIPPED = [name for name, policy in POLICIES.items() if policy.strategy]


def run(policy: str, source: str = "tmdb", budget: float = 1.0, days: int = DAYS, seed: int = 1) -> Result:
    return simulate(ASSUMED, days, Case(policy, source, budget, seed))


def collector_of(policy: str, source: str = "tmdb", days: int = DAYS) -> tuple[ShippedCollector, Copy]:
    world = world_of(ASSUMED, days, 1)
    copy = Copy(world, source)
    collector = start_collector(POLICIES[policy], source, world, copy.checked)
    assert isinstance(collector, ShippedCollector)
    return collector, copy


def rows(collector: ShippedCollector, columns: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = collector._connection.execute(
        f"SELECT {columns} FROM refresh_metadata ORDER BY tmdb_id"
    ).fetchall()
    return found


@pytest.mark.parametrize("policy", list(POLICIES))
def test_the_same_case_gives_the_same_figures(policy: str) -> None:
    first, second = run(policy).series, run(policy).series
    assert np.array_equal(first.weighted, second.weighted)
    assert np.array_equal(first.requests, second.requests)


def test_processes_change_no_figure_and_results_come_in_the_order_of_the_cases() -> None:
    cases = cases_of(["tmdb"], ["round_robin", "age_table"], [1.0], [1, 2])
    heard: list[Result] = []
    alone = simulate_all(ASSUMED, 10, cases, 1, heard.append)
    together = simulate_all(ASSUMED, 10, cases, 2, heard.append)
    assert [result.case for result in together] == cases
    assert len(heard) == 2 * len(cases)
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.series.weighted, other.series.weighted)


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("budget", [0.3, 2.0])
def test_no_policy_asks_for_more_than_its_budget(policy: str, budget: float) -> None:
    result = run(policy, budget=budget)
    spent = np.cumsum(result.series.requests)
    assert (spent <= np.arange(1, DAYS + 1) * result.budget_per_day).all()
    assert spent[-1] > 0


@pytest.mark.parametrize(
    ("strategy", "policy"), [(AgeTableStrategy, "age_table"), (ValueOfRefreshStrategy, "value_of_refresh")]
)
def test_the_query_of_the_shipped_strategy_chooses(
    monkeypatch: pytest.MonkeyPatch, strategy: type[AgeTableStrategy | ValueOfRefreshStrategy], policy: str
) -> None:
    query = strategy.due_query

    def only_even_ids(self: Any, sources: tuple[str, ...], *, within: str | None = None) -> str:
        return f"SELECT * FROM ({query(self, sources, within=within)}) WHERE tmdb_id % 2 = 0"

    monkeypatch.setattr(strategy, "due_query", only_even_ids)
    collector, _ = collector_of(policy)
    collector.begin_day(0)
    chosen = collector.choose(0, 100)
    assert len(chosen) > 0
    assert ((chosen + 1) % 2 == 0).all()


@pytest.mark.parametrize("policy", SHIPPED)
def test_the_shipped_transition_is_applied_to_every_answer(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    applied: list[int] = []

    def spied(movie: MovieState, *arguments: Any, **options: Any) -> MovieState:
        applied.append(movie.tmdb_id)
        return after(movie, *arguments, **options)

    monkeypatch.setattr(collector_module, "after", spied)
    asked = run(policy).series.requests.sum()
    assert len(applied) == asked > 0


def test_answers_teach_the_rates_of_movies_and_weekly_those_of_buckets() -> None:
    collector, copy = collector_of("value_of_refresh")
    learned: list[list[float]] = []
    for day in range(DAYS):
        collector.begin_day(day)
        if day % 7 == 0:
            found = collector._connection.execute("SELECT rate FROM refresh_rates ORDER BY ALL").fetchall()
            learned.append([rate for (rate,) in found])
        asked = collector.choose(day, 20)
        collector.record(asked, copy.fetch(asked, day), day)
    assert len(learned[0]) > 0
    assert learned[-1] != learned[0]
    assert any(exposure > 0 for (exposure,) in rows(collector, "tmdb_exposure"))
    assert all(importance > 0 for (importance,) in rows(collector, "importance"))


def test_the_feed_is_read_only_by_policies_and_at_sources_that_have_one() -> None:
    def signalled(policy: str, source: str) -> int:
        collector, _ = collector_of(policy, source)
        for day in range(5):
            collector.begin_day(day)
        return sum(signals for (signals,) in rows(collector, f"{source}_signals"))

    assert signalled("value_of_refresh_feed", "tmdb") > 0
    assert signalled("age_table_feed", "tmdb") > 0
    assert signalled("value_all_alike", "tmdb") > 0
    assert signalled("value_of_refresh", "tmdb") == 0
    assert signalled("value_all_alike", "omdb") == 0


def test_a_movie_that_is_signalled_is_asked_for_once_and_not_looked_at_again() -> None:
    """The requests of a day come later than any edge cache keeps a body from before the signal."""
    collector, copy = collector_of("value_of_refresh_feed")
    for day in range(2):
        collector.begin_day(day)
    asked = collector.choose(1, 1000)
    collector.record(asked, copy.fetch(asked, 1), 1)
    assert all(at is None for (at,) in rows(collector, "tmdb_recheck_at"))


def test_new_movies_are_discovered_on_their_day_and_fetched_first() -> None:
    days = 150
    world = world_of(ASSUMED, days, 1)
    day = next(day for day in range(1, days) if world.known(day).sum() > world.known(day - 1).sum())
    new = set(np.flatnonzero(world.known(day) & ~world.known(0)).tolist())
    for policy in SHIPPED:
        collector, _ = collector_of(policy, days=days)
        collector.begin_day(0)
        collector.begin_day(day)
        assert len(rows(collector, "tmdb_id")) == world.known(day).sum()
        assert set(collector.choose(day, len(new)).tolist()) == new, policy


@pytest.mark.parametrize("freezes", [True, False])
def test_stable_movies_freeze_unless_the_policy_thaws_them(freezes: bool) -> None:
    policy = "age_table" if freezes else "age_table_unfrozen"
    collector, _ = collector_of(policy, days=300)
    old = np.array([0, 1, 2])
    collector._connection.execute("UPDATE refresh_metadata SET release_date = DATE '1990-01-01'")
    for day in (95, 190, 285):
        collector._reasons = dict.fromkeys((old + 1).tolist(), "age_table")
        collector.record(old, np.zeros(3, np.int64), day)
    frozen = collector._connection.execute(
        f"SELECT count(*) FROM refresh_metadata WHERE {AgeTableStrategy().frozen_sql()}", {"now": noon(286)}
    ).fetchall()[0][0]
    assert frozen == (3 if freezes else 0)


def test_with_requests_without_end_only_what_changed_today_is_stale() -> None:
    result = run("round_robin", budget=1000.0)
    world = world_of(ASSUMED, DAYS, 1)
    for day in range(DAYS):
        stale = len(world.changes(day).movies) / world.known(day).sum()
        assert result.series.mean[day] == pytest.approx(1 - stale)
    assert result.series.longest_unchecked.max() == 0


def test_with_no_requests_everything_grows_stale() -> None:
    series = run("round_robin", budget=1e-6).series
    assert series.requests.sum() == 0
    assert series.mean[-1] < series.mean[0]
    assert series.longest_unchecked[-1] >= DAYS


def test_the_budget_is_a_multiple_of_what_the_age_table_asks_for() -> None:
    world = world_of(Assumptions(movies=4000), 1, 1)
    age = -world.released[world.known(0)]
    days = np.select([age <= 60, age <= 180, age <= 365], [5, 15, 30], 90)
    assert table_spends(world, "tmdb") == pytest.approx(float((1 / days).sum()))


def test_policies_that_would_be_the_same_at_a_source_are_not_run_twice() -> None:
    def policies(source: str) -> Sequence[str]:
        return [case.policy for case in cases_of([source], list(POLICIES), [1.0], [1])]

    assert policies("tmdb") == list(POLICIES)
    assert policies("omdb") == [
        "round_robin", "age_table", "value_of_refresh", "value_all_alike", "attainable", "attainable_mean",
    ]  # fmt: skip
