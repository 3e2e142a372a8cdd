"""The bounds hold, are nearly reached, and are what small cases say they are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.bounds import clairvoyant, without_feed
from ayne_dagster.simulation.run import Case, Copy, simulate, table_spends, world_of
from ayne_dagster.simulation.world import NOTHING, Events, Numbers, Reals
from ayne_dagster.simulation.worlds import WORLDS

ASSUMED = Assumptions(movies=300)
DAYS = 120


@pytest.mark.parametrize("world_name", ["default", "pareto", "independent", "seasons", "shifts", "growth"])
@pytest.mark.parametrize("budget", [0.25, 1.0])
def test_no_one_surpasses_the_bounds_and_the_plain_index_comes_near(world_name: str, budget: float) -> None:
    assumed = WORLDS[world_name].assumptions(ASSUMED)
    world = world_of(assumed, DAYS, 1)
    requests = budget * table_spends(world, "omdb") * DAYS
    bound, seeing = (work(world, Copy(world, "omdb"), requests) for work in (without_feed, clairvoyant))
    for policy, measure in (("attainable", "weighted"), ("attainable_mean", "mean"), ("round_robin", "mean")):
        reached = getattr(simulate(assumed, DAYS, Case(policy, "omdb", budget, 1)).series.figures(), measure)
        # A bound is of the expectation, what is reached is one draw.
        assert reached <= getattr(bound, measure) + 0.03
        assert reached <= getattr(seeing, measure) + 1e-3
        if policy != "round_robin" and world_name != "growth":  # what is new takes all that there is
            assert reached >= getattr(bound, measure) - 0.12
    assert bound.weighted <= seeing.weighted + 0.02


@dataclass
class Tiny:
    """Three movies over six days, checked two days before; enough for all ways of asking to be tried."""

    days: int = 6
    size: int = 3

    def __post_init__(self) -> None:
        self.known_from: Numbers = np.zeros(3, np.int64)

    def known(self, day: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.ones(3, np.bool_)

    def popularity(self, day: int) -> Reals:
        return np.array([1.0, 2.0, 5.0])

    def rates(self, day: int) -> Reals:
        return np.array([0.5, 0.2, 0.05]) * (1 + day % 2)

    def changes(self, day: int) -> Events:
        return Events(np.array([0]), np.array([1])) if day in (1, 3) else NOTHING


@dataclass
class Before:
    """Copies of two days before."""

    checked: Numbers
    stored: Numbers
    true: Numbers


START = Before(np.full(3, -2), np.zeros(3, np.int64), np.zeros(3, np.int64))


def best_by_trying(world: Tiny, requests: int) -> float:
    """The best of all ways to spend so many requests, however they fall on the days."""
    ways = []
    for movie in range(world.size):
        by_number: dict[int, float] = {}
        for asked in product((False, True), repeat=world.days):
            fresh, total = float(np.exp(-world.rates(0)[movie] * 2)), 0.0
            for day, asks in enumerate(asked):
                fresh = (1.0 if asks else fresh) * float(np.exp(-world.rates(day)[movie]))
                total += fresh * world.popularity(day)[movie] / world.popularity(day).sum()
            by_number[sum(asked)] = max(total, by_number.get(sum(asked), 0.0))
        ways.append(by_number)
    splits = (split for split in product(range(world.days + 1), repeat=world.size) if sum(split) <= requests)
    return max(sum(ways[movie][number] for movie, number in enumerate(split)) for split in splits) / world.days


@pytest.mark.parametrize("requests", [1, 3, 6, 12])
def test_the_bound_without_a_feed_is_that_of_all_ways_of_asking(requests: int) -> None:
    world = Tiny()
    bound = without_feed(world, START, requests).weighted
    best = best_by_trying(world, requests)
    assert best - 1e-9 <= bound <= best + 0.03


def test_knowing_every_change_three_requests_keep_all_but_the_days_of_the_changes() -> None:
    world = Tiny()
    kept = clairvoyant(world, START, 2)
    assert kept.mean == pytest.approx(1 - 2 / 18)
    assert clairvoyant(world, START, 0).mean == pytest.approx(1 - 5 / 18)


@dataclass
class OneStar(Tiny):
    """Some movies, of which one has nearly all of the popularity: it is in every sample, and counts too much there."""

    days: int = 20
    size: int = 301

    def __post_init__(self) -> None:
        self.known_from: Numbers = np.zeros(self.size, np.int64)

    def known(self, day: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.ones(self.size, np.bool_)

    def popularity(self, day: int) -> Reals:
        return np.append(np.ones(self.size - 1), 1000.0)

    def rates(self, day: int) -> Reals:
        return np.full(self.size, 0.1)


def test_the_bound_is_the_least_also_where_one_movie_decides_the_price_of_a_request() -> None:
    world = OneStar()
    start = Before(np.full(301, -2), np.zeros(301, np.int64), np.zeros(301, np.int64))
    bound = without_feed(world, start, world.days).weighted
    others = np.mean(np.exp(-0.1 * (2 + np.arange(1, world.days + 1))))
    star_asked_daily = (1000 * np.exp(-0.1) + 300 * others) / 1300
    assert star_asked_daily <= bound <= star_asked_daily + 0.01
