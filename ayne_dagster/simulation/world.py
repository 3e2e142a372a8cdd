"""The modelled world: which movies there are, when they change, what the feed says of it. Knows no strategy.

Days are whole numbers from 0, the first day of the simulation. On each day the collector reads the feed and asks;
then the day's changes happen, and freshness is measured: what changes on a day is stale on that day whatever one does.

Everything is drawn beforehand from the seed, so that all policies meet the same movies, changes and signals.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ayne_dagster.simulation.assumptions import Assumptions

Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

OLDEST_YEARS = 105
KNOWN_BEFORE_RELEASE = 30
"""A movie is discovered this many days before its release."""
_RATE_AGE_SCALE = 90.0
_INTEREST_AT_RELEASE, _INTEREST_DAYS = 4.0, 120.0
_YEAR = 365.0
OUTAGE_DAYS = 20
"""How long an outage of the feed is."""
_BURST_DAYS = 9
_HOT = 20.0
"""How many times as often a movie changes that turns hot."""


class Events(NamedTuple):
    """Something that happened on a day: to which movies (numbers from 0), and how many times."""

    movies: Numbers
    times: Numbers


NOTHING = Events(np.empty(0, np.int64), np.empty(0, np.int64))


class World:
    """Invented movies at one source.

    A movie's rate of change is base · (1 + age/90)^-decay · popularity^exponent · a factor of its own, lognormal or
    Pareto, the base being such that the mean over the movies known on day 0 is the assumed one. Interest in a new movie
    is five times that in an old one, and fades within months; popularity without it is lognormal. False signals fall on
    movies in proportion to their rate, so that the feed is equally right for all. On top, a world may let rates swing,
    come in bursts, or rise for good (`Assumptions`).

    Args:
        assumptions: the parameters.
        days: how long the world lasts.
        seed: the same arguments give the same world.
    """

    def __init__(self, assumptions: Assumptions, days: int, seed: int) -> None:
        self.assumptions, self.days, self.seed = assumptions, days, seed
        draw = np.random.default_rng([seed, 1])
        self.released, self.known_from = self._draw_days(draw)
        """Day of release of each movie (negative before day 0), and day of its discovery."""
        self.size = len(self.released)
        fame = draw.standard_normal(self.size) * assumptions.popularity_spread
        self._fame: Reals = np.exp(fame)
        own = draw.standard_normal(self.size) * assumptions.rate_spread
        if assumptions.rate_tail:
            own = draw.exponential(1 / assumptions.rate_tail, self.size)
        self.own_factor: Reals = np.exp(own)
        """How many times as often as its like in age and popularity each movie changes."""
        self._pace: Reals = np.exp(assumptions.rate_exponent * fame + own)
        present = self.known(0)
        self._pace *= assumptions.mean_rate / self._rate_by_age(0)[present].dot(self._pace[present]) * present.sum()
        self._draw_moods(np.random.default_rng([seed, 4]))

    def _draw_days(self, draw: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Ages are exponential, and movies go on being made at the rate that they imply.

        In a growing catalogue older movies are added besides, as many a day throughout.
        """
        assumed = self.assumptions
        mean = assumed.mean_age_years * _YEAR
        ages = np.sort(draw.exponential(mean, assumed.movies * 2))
        ages = draw.permutation(ages[ages < OLDEST_YEARS * _YEAR])[: assumed.movies]
        new = draw.poisson(assumed.movies / mean * self.days)
        appears = np.sort(draw.uniform(1, max(self.days, 1), new))
        released = np.concatenate([KNOWN_BEFORE_RELEASE - ages, appears + KNOWN_BEFORE_RELEASE])
        whole: Numbers = np.ceil(released).astype(np.int64)
        known_from = whole - KNOWN_BEFORE_RELEASE
        if not assumed.growth:
            return whole, known_from
        added = draw.poisson(assumed.movies * assumed.growth / _YEAR * self.days)
        found = np.ceil(draw.uniform(0, max(self.days, 1), added)).astype(np.int64)
        older = found - np.floor(np.minimum(draw.exponential(mean, added), OLDEST_YEARS * _YEAR)).astype(np.int64)
        whole, known_from = np.concatenate([whole, older]), np.concatenate([known_from, found])
        # In the order of their discovery: that is how they are numbered.
        order = np.argsort(np.maximum(known_from, 0), kind="stable")
        return whole[order], known_from[order]

    def _draw_moods(self, draw: np.random.Generator) -> None:
        """What of a movie's rate and of its feed is its own, apart from its pace."""
        assumed = self.assumptions
        self._phase = draw.uniform(0, 2 * np.pi, self.size)
        hot = draw.random(self.size) < assumed.turns_hot
        self._hot_from = np.where(hot, draw.integers(0, max(self.days, 1), self.size), np.iinfo(np.int64).max)
        self._burst_offset = draw.integers(0, 10 * _BURST_DAYS, self.size)
        self._burst_every = _BURST_DAYS * 10
        self.recall: Reals = np.where(draw.random(self.size) < assumed.uneven, min(0.1, assumed.recall), assumed.recall)
        """Share of its changes of which the feed tells, by movie."""
        self.popularity_told = draw.random(self.size) >= assumed.popularity_unknown
        """Whether the sources tell the movie's popularity."""
        starts = (np.arange(assumed.outages) + 1) * self.days // (assumed.outages + 1)
        self._dark = {int(start) + day for start in starts for day in range(OUTAGE_DAYS)}

    def known(self, day: int) -> npt.NDArray[np.bool_]:
        """Which movies have been discovered on a day."""
        return self.known_from <= day

    def popularity(self, day: int) -> Reals:
        """Popularity of every movie on a day, unitless."""
        age = np.maximum(day - self.released, 0)
        return self._fame * (1 + _INTEREST_AT_RELEASE * np.exp(-age / _INTEREST_DAYS))

    def rates(self, day: int) -> Reals:
        """True rate of every movie on a day: relevant changes a day."""
        assumed = self.assumptions
        rates = self._rate_by_age(day) * self._pace
        if assumed.season:
            rates *= 1 + assumed.season * np.sin(2 * np.pi * day / _YEAR + self._phase)
        if assumed.burst > 1:
            bursting = (day + self._burst_offset) % self._burst_every < _BURST_DAYS
            rates *= np.where(bursting, assumed.burst, (10 - assumed.burst) / 9)
        if assumed.turns_hot:
            rates *= np.where(day >= self._hot_from, _HOT, 1.0)
        return rates

    def false_signals(self, day: int) -> Reals:
        """Expected signals a day of every movie that stand for nothing."""
        assumed = self.assumptions
        false: Reals = self.rates(day) * assumed.recall * (1 - assumed.precision) / assumed.precision
        return false

    def _rate_by_age(self, day: int) -> Reals:
        age = np.maximum(day - self.released, 0)
        result: Reals = (1 + age / _RATE_AGE_SCALE) ** -self.assumptions.rate_decay
        return result

    def changes(self, day: int) -> Events:
        """What changes on a day, after the collector has asked."""
        return self._history[day][0]

    def fails(self, movies: Numbers, day: int) -> npt.NDArray[np.bool_]:
        """For each of the movies that are asked for on a day, whether the request fails."""
        if not self.assumptions.failures:
            return np.zeros(len(movies), np.bool_)
        draw = np.random.default_rng([self.seed, 5, day])
        failing: npt.NDArray[np.bool_] = draw.random(self.size)[movies] < self.assumptions.failures
        return failing

    def is_listed(self, day: int) -> bool:
        """Whether the feed of a day can be read."""
        return day >= 0 and day not in self._dark

    def signals(self, day: int) -> Events:
        """What the feed, read on a day, says: each movie at most once a list, as it was `delay_days` before."""
        listed = day - self.assumptions.delay_days
        return self._history[listed][1] if self.is_listed(listed) else NOTHING

    @cached_property
    def _history(self) -> list[tuple[Events, Events]]:
        draw = np.random.default_rng([self.seed, 2])
        return [self._draw_day(draw, day) for day in range(self.days)]

    def _draw_day(self, draw: np.random.Generator, day: int) -> tuple[Events, Events]:
        known = self.known(day)
        changes = draw.poisson(np.where(known, self.rates(day), 0.0))
        told = draw.binomial(changes, self.recall)
        false = draw.poisson(np.where(known, self.false_signals(day), 0.0))
        changed, listed = np.flatnonzero(changes), np.flatnonzero(told + false)
        return Events(changed, changes[changed]), Events(listed, np.ones_like(listed))
