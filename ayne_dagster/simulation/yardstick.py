"""Yardsticks: round robin, which knows nothing, and the plain index, which knows what none can. No strategies of the
platform, and no tables."""

from __future__ import annotations

import numpy as np

from ayne_dagster.simulation.world import Numbers, Reals, World

_NEVER = np.iinfo(np.int64).min


class RoundRobin:
    """The yardstick that knows nothing: what was never fetched comes first, then whatever was checked longest ago.

    Args:
        world: the modelled world.
        checked: day of each movie's last check at the start.
    """

    def __init__(self, world: World, checked: Numbers) -> None:
        self._world = world
        self._checked = np.where(world.known(0), checked, _NEVER)

    def begin_day(self, day: int) -> None:
        """Nothing to take in."""

    def choose(self, day: int, limit: int) -> Numbers:
        """The movies checked longest ago."""
        known = np.flatnonzero(self._world.known(day))
        return known[np.argsort(self._checked[known], kind="stable")[:limit]]

    def record(self, movies: Numbers, changed: Numbers, day: int) -> None:
        """Note when they were checked."""
        self._checked[movies] = day

    def fail(self, movies: Numbers, day: int) -> None:
        """Ask again tomorrow."""


class PlainIndex:
    """What is attainable: the index that is best for freshness itself, with the true rates and the feed's true quality.

    V = w · (1 − (1 + x) · e^−x) / λ, with the weights of the metric, no room kept for anything, and no movie too fresh
    to be asked for. Without a feed it reaches all but half a per cent of the bound; with one it is what a strategy
    that has learned everything would reach.

    Args:
        world: the modelled world.
        checked: day of each movie's last check at the start.
        by_popularity: weighs movies by popularity; otherwise all alike.
        feed: whether the feed is read.
    """

    def __init__(self, world: World, checked: Numbers, *, by_popularity: bool, feed: bool) -> None:
        self._world, self._by_popularity, self._feed = world, by_popularity, feed
        known = world.known(0)
        self._checked = np.where(known, checked, _NEVER)
        self._expected: Reals = np.where(known, world.rates(0) * np.where(known, -checked, 0), np.inf)

    def begin_day(self, day: int) -> None:
        """Expect what happened the day before, as far as the feed did not tell, and what it told."""
        if day:
            self._expected += self._untold(day - 1) * self._world.rates(day - 1)
        if self._feed:
            self._hear(day)

    def _untold(self, day: int) -> Reals:
        """Share of a day's changes of which the feed does not tell."""
        listed = self._feed and self._world.is_listed(day)
        return 1 - self._world.recall if listed else np.ones(self._world.size)

    def _hear(self, day: int) -> None:
        listed = day - self._world.assumptions.delay_days
        movies = self._world.signals(day).movies
        movies = movies[self._checked[movies] <= listed]
        if len(movies):
            right = (self._world.recall * self._world.rates(listed))[movies]
            self._expected[movies] += np.log1p(right / self._world.false_signals(listed)[movies])

    def choose(self, day: int, limit: int) -> Numbers:
        """The movies of the greatest index; what was never fetched first."""
        known = np.flatnonzero(self._world.known(day))
        expected = self._expected[known]
        weight = self._world.popularity(day)[known] if self._by_popularity else 1.0
        with np.errstate(invalid="ignore"):
            index = -np.expm1(-expected) - np.where(np.isinf(expected), 0.0, expected * np.exp(-expected))
        worth = np.where(np.isinf(expected), np.inf, weight * index / self._world.rates(day)[known])
        return known[np.argsort(-worth, kind="stable")[:limit]]

    def record(self, movies: Numbers, changed: Numbers, day: int) -> None:
        """Nothing is expected of what was just looked at."""
        self._checked[movies] = day
        self._expected[movies] = 0.0

    def fail(self, movies: Numbers, day: int) -> None:
        """Ask again tomorrow."""
