"""How good a change feed is, judged by what fetches found: the arithmetic only, on sums that the warehouse has at hand.

Silence is judged by silent fetches: of the changes that movies were expected to have had, which share came without a
signal? Counting instead which of the changes found had been signalled flatters every feed, since what it does not tell
of is hardly looked at. Signals are judged by the fetches that followed them, less what those would have found anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import exp

from ayne_dagster.refresh.feeds import FIRST_PRECISION, FIRST_RECALL

CONFIDENCE = 10.0
"""So many changes or signals weigh as much as the first belief in a feed."""
LEAST_RECALL, MOST_RECALL = 0.0, 0.99
LEAST_PRECISION, MOST_PRECISION = 0.02, 0.98
"""No evidence pushes a feed's quality beyond: it is never believed blindly, nor is a signal ever nothing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Fetches that are alike in their signals and in what was expected of them."""

    signals: int
    """Of each, since the check before."""
    fetches: int
    found: int
    """How many of them found a change."""
    covered: float
    """Changes that they were expected to find of the time that the feed covers, signalled or not; the sum over all."""
    blind: float
    """The same of the time that it does not cover."""

    def untold(self, recall: float) -> float:
        """Changes that one of them is expected to find without the feed's telling."""
        return (self.blind + (1 - recall) * self.covered) / self.fetches

    def finds(self, recall: float, precision: float) -> float:
        """How many of them should have found a change."""
        return self.fetches * (1 - (1 - precision) ** self.signals * exp(-self.untold(recall)))


def judge(evidence: Iterable[Evidence], confirmed: int = 0) -> tuple[float, float]:
    """Recall and precision of a feed.

    Args:
        evidence: fetches without a signal, and with one or more.
        confirmed: second looks that found the change which the first had missed.
    """
    fetches = [kind for kind in evidence if kind.fetches]
    silent = [kind for kind in fetches if not kind.signals]
    missed = sum(kind.found for kind in silent) + CONFIDENCE * (1 - FIRST_RECALL)
    recall = _root(
        lambda share: missed - CONFIDENCE * (1 - share) - sum(kind.finds(share, 0.0) for kind in silent),
        LEAST_RECALL,
        MOST_RECALL,
    )
    signalled = [kind for kind in fetches if kind.signals]
    found = sum(kind.found for kind in signalled) + confirmed + CONFIDENCE * FIRST_PRECISION
    precision = _root(
        lambda share: CONFIDENCE * share + sum(kind.finds(recall, share) for kind in signalled) - found,
        LEAST_PRECISION,
        MOST_PRECISION,
    )
    return recall, precision


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that rises between two shares is 0; the nearer end if it is not."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
