"""What asking is worth at a rate of one change a day and a weight of one, by the changes expected; Python and SQL.

With x expected changes a copy is fresh with e^−x. Asking whenever x reaches ξ buys, in a cycle, R(ξ) days of freshness
in T(ξ) days; the request pays as long as R(ξ) − e^−ξ · T(ξ) is more than its price. That is the worth of asking at ξ.
Without a feed x grows with time alone, and it is 1 − (1 + ξ) · e^−ξ (Cho & Garcia-Molina, TODS 28(4) 2003). With one, x
grows slowly while it is silent and jumps with each signal, so that a copy which looks fresh has a future in which it is
told of (Busa-Fekete et al., WWW 2025). A little of the harmonic worth x − ln(1 + x) (Kolobov et al., NeurIPS 2019),
which grows without end, keeps what changes fast from being given up for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import exp, floor, log, sqrt

from ayne_dagster.refresh.feeds import Feed, double_sql

HARMONIC_SHARE = 0.02
"""How much of the harmonic worth is added. Five times as much cost a quarter of a point where requests are scarce."""
_LEAST_RECALL = 0.01
"""A feed that tells less is none."""
_END, _STEPS = 12.0, 6_000
"""Beyond so many expected changes a movie is stale as good as surely; steps of the integral up to there."""
_KNOTS_A_UNIT = 200
"""Knots of the table over the square root of the expected changes: so close that nothing needs to lie between two."""


@dataclass(frozen=True)
class Worth:
    """The worth of asking under a feed; of `recall` 0, without one."""

    recall: float = 0.0
    precision: float = 0.5

    @classmethod
    def under(cls, feed: Feed | None) -> Worth:
        """The worth at a source with this feed."""
        return cls() if feed is None or feed.recall < _LEAST_RECALL else cls(feed.recall, feed.precision)

    def of(self, expected: float) -> float:
        """The worth of asking with so many changes expected, at least 0."""
        return self._plain(expected) + HARMONIC_SHARE * (expected - log(1 + expected))

    def sql(self, expected: str) -> str:
        """`of` a column: the same numbers, operation by operation."""
        return f"({self._plain_sql(expected)} + {double_sql(HARMONIC_SHARE)} * ({expected} - ln(1 + {expected})))"

    def _plain(self, x: float) -> float:
        if not self.recall:
            return 1 - (1 + x) * exp(-x)
        if x < self._jump:
            fresh, slow, rest = self._terms
            return fresh - exp(-x) * (self._cycle + rest * exp(-(slow * x)))
        return self._table[min(floor(sqrt(x) * _KNOTS_A_UNIT), len(self._table) - 1)]

    def _plain_sql(self, x: str) -> str:
        if not self.recall:
            return f"(1 - (1 + {x}) * exp(-{x}))"
        fresh, slow, rest = map(double_sql, self._terms)
        table = self._table
        # As one text: so many numbers one by one would take longer to plan than to look up.
        values = f"CAST('[{', '.join(map(repr, table))}]' AS DOUBLE[])"
        knot = f"CAST(least(floor(sqrt({x}) * {_KNOTS_A_UNIT}), {len(table) - 1}) AS INTEGER)"
        # Over 1,000,000 movies each exp and each look-up shows: so there are no more of them than must be.
        return (
            f"CASE WHEN {x} < {double_sql(self._jump)}"
            f" THEN {fresh} - exp(-{x}) * ({double_sql(self._cycle)} + {rest} * exp(-({slow} * {x})))"
            f" ELSE list_extract({values}, {knot} + 1) END"
        )

    @property
    def _jump(self) -> float:
        """By how many expected changes a signal raises."""
        return -log(1 - self.precision)

    @property
    def _cycle(self) -> float:
        """Days between two signals."""
        return self.precision / self.recall

    @property
    def _terms(self) -> tuple[float, float, float]:
        """Of the closed form below the first jump."""
        silent, signals = 1 - self.recall, self.recall / self.precision
        fresh = 1 / (signals + silent)
        return fresh, signals / silent, fresh - self._cycle

    @property
    def _table(self) -> Sequence[float]:
        return _table(self.recall, self.precision, self._plain(self._jump * (1 - 1e-12)), self._jump)


@lru_cache(maxsize=16)
def _table(recall: float, precision: float, at_jump: float, jump: float) -> Sequence[float]:
    """The worth about the squares of n / _KNOTS_A_UNIT, worked out numerically; below a jump it is not looked up.

    A cycle spends u(y) days at y expected changes: it passes each level once, in its slow growth or by a jump from at
    most a jump below, so (1 − recall) · u(y) + recall / precision · (the days spent in (y − jump, y)) = 1.
    """
    silent, signals, step = 1 - recall, recall / precision, _END / _STEPS
    back = max(1, round(jump / step))
    days, fresh, worth = [0.0], 0.0, [0.0]
    for place in range(1, _STEPS + 1):
        before = days[place - back] if place >= back else 0.0
        density = max(0.0, (1 - signals * (days[-1] - before)) / (silent + signals * step))
        days.append(days[-1] + density * step)
        fresh += exp(-(place - 0.5) * step) * density * step
        worth.append(fresh - exp(-place * step) * days[-1])
    worth = list(accumulate(worth, max))
    # The closed form ends where the table begins; each knot stands for what lies up to the next.
    offset = at_jump - worth[min(back, _STEPS)]
    knots = range(floor(sqrt(_END) * _KNOTS_A_UNIT) + 1)
    places = (min(_STEPS, round(((knot + 0.5) / _KNOTS_A_UNIT) ** 2 / step)) for knot in knots)
    return tuple(max(at_jump, worth[place] + offset) for place in places)
