"""Where value of refresh loses at a source without a feed: what separates it from the bound, step by step.

    python -m proofs.omdb_gap

Between the shipped strategy and the bound stand yardsticks that know more and more. The first of them learns as well as
can be: it knows how rates go with age and popularity and how widely they spread, and has for each movie the exact
posterior of what is its own. What it misses, no strategy wins that has to learn (`docs/freshness.md`, "What separates
OMDb from the bound"). The shipped strategy itself is run, in worlds that are not those of the documentation's figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from unittest import mock

import numpy as np

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.bounds import without_feed
from ayne_dagster.simulation.policies import POLICIES
from ayne_dagster.simulation.run import Case, Collector, Copy, play, simulate, table_spends, world_of
from ayne_dagster.simulation.world import Numbers, Reals, World
from ayne_dagster.simulation.worlds import WORLDS
from ayne_dagster.simulation.yardstick import PlainIndex

SOURCE, SHIPPED = "omdb", "value_of_refresh"
BUDGETS, SEEDS = (0.25, 1.0, 4.0), (101, 102, 103, 104)
TOLD_ON = 180
"""The day from which on the last but one of the yardsticks knows every rate."""
_FACTORS = 32
"""How many factors a movie may have, each as likely as the others at first."""


class Learner:
    """Asks for what is worth most by popularity, by all that its own answers tell of each movie's rate.

    It is given the usual rate of movies of each age and popularity, and how movies differ from it.

    Args:
        world: the modelled world.
        checked: day of each movie's last check at the start.
        told_on: the day from which on it knows each movie's rate; None: never.
    """

    def __init__(self, world: World, checked: Numbers, told_on: int | None = None) -> None:
        self._world, self._told_on = world, told_on
        known = world.known(0)
        self._asked_once = known.copy()
        self._factors: Reals = np.quantile(world.own_factor, (np.arange(_FACTORS) + 0.5) / _FACTORS)
        self._believed: Reals = np.full((world.size, _FACTORS), 1 / _FACTORS)
        """Probability of each factor, by movie."""
        self._usual: Reals = self._usual_rates(0) * np.where(known, -checked, 0)
        """Changes expected since the last check of a movie whose factor is 1."""

    def begin_day(self, day: int) -> None:
        """Expect what usually happens in a day."""
        if day:
            self._usual += self._usual_rates(day - 1)
        if day == self._told_on:
            nearest = np.abs(np.log(self._factors) - np.log(self._world.own_factor)[:, None]).argmin(axis=1)
            self._believed[:] = nearest[:, None] == np.arange(_FACTORS)

    def choose(self, day: int, limit: int) -> Numbers:
        """What was never fetched, then the greatest worth that is to be expected."""
        known = np.flatnonzero(self._world.known(day))
        x = self._usual[known, None] * self._factors
        worth = (self._believed[known] * (-np.expm1(-x) - x * np.exp(-x)) / self._factors).sum(axis=1)
        value = self._world.popularity(day)[known] * worth / self._usual_rates(day)[known]
        value[~self._asked_once[known]] = np.inf
        return known[np.argsort(-value, kind="stable")[:limit]]

    def record(self, movies: Numbers, changed: Numbers, day: int) -> None:
        """Bayes' rule, for what had been fetched before."""
        again = self._asked_once[movies]
        unchanged = np.exp(-self._usual[movies, None] * self._factors)
        believed = self._believed[movies] * np.where(changed[:, None] > 0, 1 - unchanged, unchanged)
        total = believed.sum(axis=1, keepdims=True)
        tells = again & (total[:, 0] > 0)
        self._believed[movies[tells]] = believed[tells] / total[tells]
        self._asked_once[movies], self._usual[movies] = True, 0.0

    def fail(self, movies: Numbers, day: int) -> None:
        """Ask again tomorrow."""

    def expected_factors(self) -> Reals:
        """How many times as often as its like each movie is believed to change."""
        expected: Reals = self._believed @ self._factors
        return expected

    def _usual_rates(self, day: int) -> Reals:
        usual: Reals = self._world.rates(day) / self._world.own_factor
        return usual


YARDSTICKS: Mapping[str, Callable[[World, Numbers], Collector]] = {
    "learns as well as can be": Learner,
    "told all rates after half a year": lambda world, checked: Learner(world, checked, TOLD_ON),
    "told all rates at once": lambda world, checked: PlainIndex(world, checked, by_popularity=True, feed=False),
}


def shares_of_bound(assumptions: Assumptions, days: int, budget: float, seed: int) -> dict[str, float]:
    """What the strategy and each yardstick reach by weight, as a share of what no one surpasses."""
    world = world_of(assumptions, days, seed)
    requests = budget * table_spends(world, SOURCE)
    bound = without_feed(world, Copy(world, SOURCE), requests * days).weighted
    case, reached = Case(SHIPPED, SOURCE, budget, seed), {}
    reached["as it is"] = simulate(assumptions, days, case).series.figures().weighted
    by_popularity = {SHIPPED: replace(POLICIES[SHIPPED], popularity_share=1.0)}
    with mock.patch.dict(POLICIES, by_popularity):
        reached["AYNE_FRESHNESS_WEIGHT=1"] = simulate(assumptions, days, case).series.figures().weighted
    for name, start in YARDSTICKS.items():
        copy = Copy(world, SOURCE)
        reached[name] = play(world, copy, start(world, copy.checked), requests).figures().weighted
    return {name: weighted / bound for name, weighted in reached.items()}


def main() -> int:
    """Print the shares, a row a budget; over seeds the mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--world", choices=WORLDS, default="default")
    parser.add_argument("--movies", type=int, default=1_500)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--budget", type=float, action="append")
    told = parser.parse_args()
    assumptions = WORLDS[told.world].assumptions(Assumptions(movies=told.movies))
    for budget in told.budget or BUDGETS:
        found = [shares_of_bound(assumptions, told.days, budget, seed) for seed in told.seed or SEEDS]
        for name in found[0]:
            values = [shares[name] for shares in found]
            print(f"{budget:5g}× {name:34} {np.mean(values):.3f}  ({min(values):.3f} to {max(values):.3f})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
