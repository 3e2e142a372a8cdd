"""What it would be worth to read TMDB's change feed while its day runs, against reading it whole on the day after.

    python -m proofs.todays_changes

Whoever asks knows all rates and the feed's true quality, so that nothing but the reading differs; the requests that it
takes are not counted. Time goes in steps of three hours. A share of the bodies comes from caches that may be eight
hours old (`docs/freshness.md`, "Tried, and not kept").
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.run import Copy, table_spends
from ayne_dagster.simulation.world import Numbers, Reals, World

SOURCE = "tmdb"
STEPS_A_DAY = 8
CACHED_STEPS = 3
"""For so many steps after a change a cache may hold the body from before: nine hours."""
READ_AT = 3
"""The step of a day in which the day before is read: 09:00 UTC."""
NEVER = -(10**6)

YESTERDAY, AT_ONCE, TWICE, PATIENT = "the day after", "at once", "and once more", "eight hours later"
"""When what the feed names is asked for: after the day was read whole; as it is named; then, and when no cache is old
any more; only when none is."""
READINGS = (YESTERDAY, AT_ONCE, TWICE, PATIENT)
BUDGETS, CACHED, SEEDS = (0.25, 1.0, 4.0), (0.0, 0.3), (1, 2)


class Asking:
    """The plain index with true rates, in steps of three hours.

    Args:
        world: the modelled world.
        when: when what the feed names is asked for.
        budget: as a multiple of what the age table asks for.
        cached: share of the bodies that come from a cache.
    """

    def __init__(self, world: World, when: str, budget: float, cached: float) -> None:
        self._world, self._when, self._cached = world, when, cached
        self._draw = np.random.default_rng([world.seed, 77])
        self._a_step = budget * table_spends(world, SOURCE) / STEPS_A_DAY
        copy, known = Copy(world, SOURCE), world.known(0)
        self._stored, self._true = copy.stored.copy(), copy.true.copy()
        self._checked: Numbers = copy.checked * STEPS_A_DAY
        self._expected: Reals = np.where(known, world.rates(0) * np.maximum(-copy.checked, 0), np.inf)
        self._last_change = np.full(world.size, NEVER)
        self._named: list[Numbers] = []
        self._left = 0.0

    def freshness(self) -> float:
        """Share of the movies that are fresh, weighted by popularity, over all steps."""
        return float(np.mean([self._step(step) for step in range(self._world.days * STEPS_A_DAY)]))

    def _step(self, step: int) -> float:
        day = step // STEPS_A_DAY
        known, rates = self._world.known(day), self._world.rates(day)
        self._expected += (1 - self._world.recall) * rates / STEPS_A_DAY
        for named, latest in self._heard(step):
            self._expect(named[self._checked[named] < latest], day)
        self._ask(self._choose(day, known, rates), step)
        self._change(step, known, rates)
        weight = self._world.popularity(day)[known]
        return float(weight[(self._stored == self._true)[known]].sum() / weight.sum())

    def _heard(self, step: int) -> Iterator[tuple[Numbers, int]]:
        """What the feed names that may be asked for from now on, and the last step in which it can have changed."""
        if self._when == YESTERDAY:
            if step % STEPS_A_DAY == READ_AT and step >= STEPS_A_DAY:
                end = step - READ_AT
                yield np.unique(np.concatenate(self._named[end - STEPS_A_DAY : end])), end
            return
        if self._when != PATIENT and step > 0:
            yield self._named[step - 1], step
        if self._when != AT_ONCE and step > CACHED_STEPS:
            latest = step if self._when == TWICE else step - CACHED_STEPS
            yield self._named[step - CACHED_STEPS - 1], latest

    def _expect(self, movies: Numbers, day: int) -> None:
        right = (self._world.recall * self._world.rates(day))[movies]
        self._expected[movies] += np.log1p(right / np.maximum(self._world.false_signals(day)[movies], 1e-12))

    def _choose(self, day: int, known: np.ndarray, rates: Reals) -> Numbers:
        self._left += self._a_step
        limit = int(self._left)
        self._left -= limit
        x = np.minimum(self._expected, 50.0)
        worth = self._world.popularity(day) * (1 - (1 + x) * np.exp(-x)) / rates
        worth = np.where(known, np.where(np.isinf(self._expected), np.inf, worth), -1.0)
        first = np.argsort(-worth, kind="stable")[:limit]
        chosen: Numbers = first[known[first]]
        return chosen

    def _ask(self, movies: Numbers, step: int) -> None:
        is_cached = self._draw.random(len(movies)) < self._cached
        is_old = is_cached & (self._last_change[movies] > step - CACHED_STEPS)
        self._stored[movies[~is_old]] = self._true[movies[~is_old]]
        self._checked[movies], self._expected[movies] = step, 0.0

    def _change(self, step: int, known: np.ndarray, rates: Reals) -> None:
        false = self._world.false_signals(step // STEPS_A_DAY)
        changes = self._draw.poisson(np.where(known, rates / STEPS_A_DAY, 0.0))
        told = self._draw.binomial(changes, self._world.recall)
        wrong = self._draw.poisson(np.where(known, false / STEPS_A_DAY, 0.0))
        self._true += changes
        self._last_change[changes > 0] = step
        self._named.append(np.flatnonzero(told + wrong))


def main() -> int:
    """Print what each way of reading achieves."""
    worlds = [World(Assumptions(movies=2_500), 180, seed) for seed in SEEDS]
    print(f"{'budget':>6} {'cached':>6}  " + "  ".join(f"{when:>17}" for when in READINGS))
    for budget in BUDGETS:
        for cached in CACHED:
            found = [
                np.mean([Asking(world, when, budget, cached).freshness() for world in worlds]) for when in READINGS
            ]
            print(f"{budget:>6g} {cached:>6g}  " + "  ".join(f"{share:>17.4f}" for share in found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
