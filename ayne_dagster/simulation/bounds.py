"""What no strategy can surpass, worked out from the true rates or the true changes of a world. Simulates no strategy.

Both bounds relax the budget: its sum over all days holds, not each day's share, so that no order of asking beats them.
Freshness is measured as in `run`: the movies' shares of a day's weight, of copies that equal the truth at its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ayne_dagster.simulation.world import Events, Numbers

Reals = npt.NDArray[np.float64]

_MOVIES_AT_ONCE = 64
"""So many rows of days fit into a processor's cache."""
_PRICES = 12
"""Steps of the search for the best price of a request."""
_ONE_OF, _LEAST_SAMPLE = 16, 100
"""The price is sought with one of so many movies, and with no fewer than so many."""
_NEARER, _SPENT = 6, 0.01
"""So many prices at most are then tried with all of them, until they spend the budget but for this share."""


class Modelled(Protocol):
    """What is known of a world by whoever knows all of it; `world.World` is one."""

    days: int
    size: int
    """Movies."""
    known_from: Numbers
    """Day on which each movie is discovered."""

    def known(self, day: int) -> npt.NDArray[np.bool_]:
        """Which movies have been discovered on a day."""

    def popularity(self, day: int) -> Reals:
        """Popularity of every movie on a day, unitless."""

    def rates(self, day: int) -> Reals:
        """True rate of every movie on a day: relevant changes a day."""

    def changes(self, day: int) -> Events:
        """What changes on a day, after the collector has asked."""


class Start(Protocol):
    """What a collection knows on the first day; `run.Copy` is one."""

    checked: Numbers
    """Day of each movie's last check."""
    stored: Numbers
    true: Numbers


@dataclass(frozen=True)
class Bound:
    """The most that freshness can be over all days, as shares from 0 to 1."""

    weighted: float
    """By popularity."""
    mean: float
    """Every movie alike."""


def shares(world: Modelled, *, by_popularity: bool) -> Reals:
    """What each movie counts for on each day: rows are movies, and each day's column sums to 1."""
    weight = np.zeros((world.size, world.days))
    for day in range(world.days):
        known = world.known(day)
        weight[known, day] = world.popularity(day)[known] if by_popularity else 1.0
        weight[:, day] /= weight[:, day].sum()
    return weight


def without_feed(world: Modelled, start: Start, requests: float) -> Bound:
    """The bound for whoever hears of no change before asking, but knows every rate, today's and the coming ones.

    Lagrangian dual of the budget: at any price of a request, what all movies can earn, each by itself, less the price
    of their requests, plus the price of the whole budget, is at least what the budget can buy. What a movie can earn is
    worked out exactly, by dynamic programming over the day of its last check.

    Args:
        world: the modelled world.
        start: when each movie was checked last, before the first day.
        requests: how many there are over all days.
    """
    kept = np.exp(-np.stack([world.rates(day) for day in range(world.days)], axis=1))
    since = np.where(world.known(0), -start.checked, 0)
    copies = np.where(world.known(0), np.exp(-world.rates(0) * since), 0.0)
    known_from = np.maximum(world.known_from, 0)
    found = []
    for by_popularity in (True, False):
        weight = shares(world, by_popularity=by_popularity)
        # Movies that are asked for about as often stand together: what can still matter is then much the same for them.
        order = np.argsort((weight * -np.log(kept)).sum(axis=1))
        movies = _Movies(kept[order], weight[order], copies[order], known_from[order])
        found.append(_dual(movies, requests) / world.days)
    return Bound(*found)


@dataclass(frozen=True)
class _Movies:
    """What the dynamic programme needs of each movie: a row a movie."""

    kept: Reals
    """Probability that a fresh copy stays so, by day."""
    weight: Reals
    """What it counts for, by day."""
    copies: Reals
    """Probability that its copy is fresh at the start."""
    known_from: Numbers

    def part(self, rows: slice) -> _Movies:
        """Some of the movies."""
        return _Movies(self.kept[rows], self.weight[rows], self.copies[rows], self.known_from[rows])

    def earn(self, price: float) -> tuple[float, float]:
        """What all of them earn at a price of a request, in days of freshness less the price; and their requests."""
        earned = asked = 0.0
        for first in range(0, len(self.kept), _MOVIES_AT_ONCE):
            best, requests = _earn(self.part(slice(first, first + _MOVIES_AT_ONCE)), price)
            earned, asked = earned + best, asked + requests
        return earned, asked


def _dual(movies: _Movies, requests: float) -> float:
    """About the least of the bounds over the prices of a request, in days of freshness.

    The bound holds at any price and is least where all requests are spent. About which price that is, a tenth of the
    movies tell; but a few popular ones can decide it, so that all of them are asked from there on.
    """
    every = max(1, min(_ONE_OF, len(movies.kept) // _LEAST_SAMPLE))
    sample = movies.part(slice(None, None, every))
    low, high = 0.0, float(movies.weight.sum())
    price = high / max(requests, 1.0) / 4
    for _ in range(_PRICES):
        asked = sample.earn(price)[1] * every
        low, high = (price, high) if asked > requests else (low, price)
        price = float(np.sqrt(low * high)) if low > 0 else price / 4
    least = np.inf
    for _ in range(_NEARER):
        earned, asked = movies.earn(price)
        least = min(least, earned + price * requests)
        spent = asked / max(requests, 1.0)
        if abs(spent - 1) < _SPENT:
            break
        price *= float(np.clip(spent, 0.5, 2.0))
    return least


def _earn(movies: _Movies, price: float) -> tuple[float, float]:
    """`_Movies.earn` of a few: a column a day of the last check, the first one for that before the first day."""
    number, days = movies.kept.shape
    value, fresh, requests = (np.zeros((number, days + 1)) for _ in range(3))
    value[:, 1:] = -np.inf
    fresh[:, 0] = movies.copies
    rows, oldest = np.arange(number), 0
    for day in range(days):
        at = oldest + value[:, oldest : day + 1].argmax(axis=1)
        # A check before the best one is worth less now, and its copy is older: it never becomes the best.
        oldest = int(at.min())
        value[:, day + 1] = np.where(movies.known_from <= day, value[rows, at] - price, -np.inf)
        requests[:, day + 1] = requests[rows, at] + 1
        fresh[:, day + 1] = 1.0
        matters = slice(oldest, day + 2)
        fresh[:, matters] *= movies.kept[:, day, None]
        value[:, matters] += movies.weight[:, day, None] * fresh[:, matters]
    at = oldest + value[:, oldest:].argmax(axis=1)
    return float(value[rows, at].sum()), float(requests[rows, at].sum())


def clairvoyant(world: Modelled, start: Start, requests: float) -> Bound:
    """The bound for whoever knows every change, past and to come: with a feed or without, none can do better.

    Asking on the day after a change keeps the copy fresh until the next; so each change has its gain, which depends on
    no other, and the budget buys the greatest gains.

    Args:
        world: the modelled world.
        start: which copies are those of the truth before the first day.
        requests: how many there are over all days.
    """
    changed = np.zeros((world.size, world.days), np.bool_)
    for day in range(world.days):
        changed[world.changes(day).movies, day] = True
    found = (_bought(changed, shares(world, by_popularity=by), start, world, requests) for by in (True, False))
    return Bound(*(bound / world.days for bound in found))


def _bought(changed: npt.NDArray[np.bool_], weight: Reals, start: Start, world: Modelled, requests: float) -> float:
    """Days of freshness that the best requests buy, with those that are free."""
    # A movie's spans: up to its first change, and from the day after each change to the next.
    span = np.cumsum(changed, axis=1)
    counted = np.where(changed, 0.0, weight)
    places = span + (np.arange(world.size) * (world.days + 1))[:, None]
    gains = np.bincount(places.ravel(), counted.ravel(), world.size * (world.days + 1))
    gains = gains.reshape(world.size, world.days + 1)
    fresh = (start.stored == start.true) & world.known(0)
    free = float(gains[fresh, 0].sum())
    gains[fresh, 0] = 0.0
    # Each movie that appears is worth a request of its own: its first span is among the gains.
    most = np.sort(gains.ravel())[::-1][: int(np.ceil(requests))]
    return free + float(most.sum())
