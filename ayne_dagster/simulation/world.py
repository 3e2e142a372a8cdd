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


class Events(NamedTuple):
    """Something that happened on a day: to which movies (numbers from 0), and how many times."""

    movies: Numbers
    times: Numbers


NOTHING = Events(np.empty(0, np.int64), np.empty(0, np.int64))


class World:
    """Invented movies at one source.

    A movie's rate of change is base · (1 + age/90)^-decay · popularity^exponent · a lognormal factor of its own, the
    base being such that the mean over the movies known on day 0 is the assumed one. Interest in a new movie is five
    times that in an old one, and fades within months; popularity without it is lognormal. False signals fall on movies
    in proportion to their rate, so that the feed is equally right for all.

    Args:
        assumptions: the parameters.
        days: how long the world lasts.
        seed: the same arguments give the same world.
    """

    def __init__(self, assumptions: Assumptions, days: int, seed: int) -> None:
        self.assumptions, self.days, self.seed = assumptions, days, seed
        draw = np.random.default_rng([seed, 1])
        self.released = self._draw_release_days(draw)
        """Day of release of each movie: negative before day 0."""
        self.size = len(self.released)
        fame = draw.standard_normal(self.size) * assumptions.popularity_spread
        self._fame: Reals = np.exp(fame)
        own = assumptions.rate_exponent * fame + assumptions.rate_spread * draw.standard_normal(self.size)
        self._pace: Reals = np.exp(own)
        present = self.known(0)
        self._pace *= assumptions.mean_rate / self._rate_by_age(0)[present].dot(self._pace[present]) * present.sum()

    def _draw_release_days(self, draw: np.random.Generator) -> Numbers:
        """Ages are exponential, and movies go on being made at the rate that they imply."""
        mean = self.assumptions.mean_age_years * _YEAR
        ages = np.sort(draw.exponential(mean, self.assumptions.movies * 2))
        ages = draw.permutation(ages[ages < OLDEST_YEARS * _YEAR])[: self.assumptions.movies]
        new = draw.poisson(self.assumptions.movies / mean * self.days)
        appears = np.sort(draw.uniform(1, max(self.days, 1), new))
        released = np.concatenate([KNOWN_BEFORE_RELEASE - ages, appears + KNOWN_BEFORE_RELEASE])
        whole: Numbers = np.ceil(released).astype(np.int64)
        return whole

    def known(self, day: int) -> npt.NDArray[np.bool_]:
        """Which movies have been discovered on a day."""
        return self.released - KNOWN_BEFORE_RELEASE <= day

    def popularity(self, day: int) -> Reals:
        """Popularity of every movie on a day, unitless."""
        age = np.maximum(day - self.released, 0)
        return self._fame * (1 + _INTEREST_AT_RELEASE * np.exp(-age / _INTEREST_DAYS))

    def rates(self, day: int) -> Reals:
        """True rate of every movie on a day: relevant changes a day."""
        return self._rate_by_age(day) * self._pace

    def _rate_by_age(self, day: int) -> Reals:
        age = np.maximum(day - self.released, 0)
        result: Reals = (1 + age / _RATE_AGE_SCALE) ** -self.assumptions.rate_decay
        return result

    def changes(self, day: int) -> Events:
        """What changes on a day, after the collector has asked."""
        return self._history[day][0]

    def signals(self, day: int) -> Events:
        """What the feed, read on a day, says: each movie at most once a list, as it was `delay_days` before."""
        listed = day - self.assumptions.delay_days
        return self._history[listed][1] if listed >= 0 else NOTHING

    @cached_property
    def _history(self) -> list[tuple[Events, Events]]:
        draw = np.random.default_rng([self.seed, 2])
        return [self._draw_day(draw, day) for day in range(self.days)]

    def _draw_day(self, draw: np.random.Generator, day: int) -> tuple[Events, Events]:
        recall, precision = self.assumptions.recall, self.assumptions.precision
        rates = np.where(self.known(day), self.rates(day), 0.0)
        changes = draw.poisson(rates)
        told = draw.binomial(changes, recall)
        false = draw.poisson(rates * recall * (1 - precision) / precision)
        changed, listed = np.flatnonzero(changes), np.flatnonzero(told + false)
        return Events(changed, changes[changed]), Events(listed, np.ones_like(listed))
