"""What a source's daily requests buy under the age table, and would buy by value: the arithmetic only, on known rates.

A movie that is asked for whenever x changes are expected is fresh with (1 − e^−x) / x of the time. The age table gives
each movie its interval, longer for all alike where requests do not suffice; by value each is asked for as soon as
w · (1 − (1 + x) · e^−x) / λ reaches the price at which the requests are spent. Change feeds are left out: with one,
value of refresh does better still.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1

from ayne_dagster.refresh.states import SOURCES
from ayne_dagster.refresh.value import LONGEST_UNCHECKED, SHORTEST_INTERVAL

LEAST_ANSWERS = 100
"""Second looks from which on the rates say something of the collection, and not of the first belief. A table that
spends two or three of twenty requests a day has that many after six weeks: with more it would long be silent just where
it does not fit."""
BELIEVED_SHARE = 0.1
"""More than that of a figure resting on belief is told."""
UNSPENT_SHARE = 0.5
"""Less than that of the day's requests, and they count as unspent."""
STALE_SHARE, GAIN = 0.05, 0.02
"""Staleness that is worth a word, and how much less of it."""
_SHORTEST, _LONGEST = SHORTEST_INTERVAL.total_seconds() / 86_400, float(LONGEST_UNCHECKED.days)
_END, _STEPS, _PRICES = 12.0, 1_200, 60


@dataclass(frozen=True, slots=True)
class Alike:
    """Movies of about the same rate, weight and interval."""

    movies: int
    rate: float
    """Relevant changes a day."""
    weight: float
    """What one of them counts for."""
    interval: float
    """Days between two checks by the age table."""
    learned: bool = True
    """Whether movies of their age were looked at often enough for their rate to be more than the first belief."""

    def fresh(self, days: float) -> float:
        """Share of the time that they are fresh when asked for every so many days."""
        x = self.rate * days
        return -expm1(-x) / x


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a source's requests buy in the long run, by what its answers found."""

    source: str
    quota: int
    """Requests a day that may be spent."""
    demand: float
    """Requests a day that the age table asks for."""
    stale_by_table: float
    """Share that is stale at any time, by the weight of the movies."""
    stale_by_value: float
    """The same with all requests spent by value."""
    answers: int
    """Second looks that the rates rest on."""
    believed: float = 0.0
    """Share of what is stale by the table whose rates no answer has taught yet."""

    @property
    def misfit(self) -> bool:
        """Whether the age table is the wrong choice: it asks for more than there is, or leaves most of it unspent."""
        fits = UNSPENT_SHARE * self.quota <= self.demand <= self.quota
        worth_a_word = self.stale_by_table >= STALE_SHARE and self.stale_by_table - self.stale_by_value >= GAIN
        return not fits and worth_a_word and self.answers >= LEAST_ANSWERS

    def __str__(self) -> str:
        """In a sentence."""
        title, asks = SOURCES[self.source].title, f"{self.demand:,.0f} of {self.quota:,} requests a day"
        value = "value_of_refresh, which spends" if self.demand <= self.quota else "value_of_refresh, which orders"
        found = f"by what {self.answers:,} answers of this collection found"
        if self.believed >= BELIEVED_SHARE:
            found += f"; {self.believed:.0%} of the staleness is belief: movies of that age were hardly looked at twice"
        return (
            f"{title}: the age table asks for {asks}, and leaves about {self.stale_by_table:.0%} stale by popularity;"
            f" {value} them by what changes, about {self.stale_by_value:.0%}"
            f" ({found})".replace("%", " %")
        )


def outlook(source: str, groups: Sequence[Alike], quota: int, answers: int) -> Outlook | None:
    """What a source's movies can expect; None where there are none, or no requests for them."""
    total = sum(group.movies * group.weight for group in groups)
    if not total or quota <= 0:
        return None
    demand = sum(group.movies / group.interval for group in groups)
    longer = max(1.0, demand / quota)
    by_table = sum(g.movies * g.weight * g.fresh(g.interval * longer) for g in groups)
    intervals = _by_value(groups, quota)
    by_value = sum(g.movies * g.weight * g.fresh(days) for g, days in zip(groups, intervals, strict=True))
    stale = total - by_table
    unlearned = sum(g.movies * g.weight * (1 - g.fresh(g.interval * longer)) for g in groups if not g.learned)
    believed = unlearned / stale if stale else 0.0
    return Outlook(source, quota, demand, stale / total, 1 - by_value / total, answers, believed)


def _by_value(groups: Sequence[Alike], requests: float) -> list[float]:
    """Days between two checks of each group, by the lowest price of a request that the requests bear."""
    low, high = 0.0, max(group.weight / group.rate for group in groups)
    for _ in range(_PRICES):
        price = (low + high) / 2 if low else high / 4
        days = [_days_at(group, price) for group in groups]
        spent = sum(group.movies / each for group, each in zip(groups, days, strict=True))
        low, high = (price, high) if spent > requests else (low, price)
    return [_days_at(group, high) for group in groups]


def _days_at(group: Alike, price: float) -> float:
    """Days after which asking for one of a group is worth the price; neither too soon nor never."""
    place = bisect_left(_WORTHS, price * group.rate / group.weight)
    return min(_LONGEST, max(_SHORTEST, _CHANGES[min(place, _STEPS)] / group.rate))


_CHANGES = [_END * (n / _STEPS) ** 2 for n in range(_STEPS + 1)]
"""Expected changes, close together where they are few."""
_WORTHS = [1 - (1 + x) * exp(-x) for x in _CHANGES]
"""What asking is worth at these, rising."""
