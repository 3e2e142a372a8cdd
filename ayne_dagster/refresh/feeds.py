"""What a change feed is worth: how much it tells, how often it is right, and when it told nothing. Reads no feed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from math import log

MICROSECOND = timedelta(microseconds=1)
DAY_IN_MICROSECONDS = 86_400_000_000

FIRST_RECALL = 0.9
"""Share of relevant changes that a feed is believed to signal before anything has been learned of it."""
FIRST_PRECISION = 0.5
"""Probability that a signal stands for a relevant change, before anything has been learned of it."""


@dataclass(frozen=True)
class Gap:
    """A span without the feed's cover, from `start` (None: from ever) to `end` (None: for ever), aware UTC."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Feed:
    """A change feed as far as it is covered.

    Args:
        recall: share of relevant changes that it signals, from 0 to below 1.
        precision: probability that a signal stands for a relevant change, above 0 and below 1.
        gaps: spans without cover, apart from each other; also before its first day and after its cursor.

    Raises:
        ValueError: a share is out of range.
    """

    recall: float = FIRST_RECALL
    precision: float = FIRST_PRECISION
    gaps: tuple[Gap, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.recall < 1:
            raise ValueError(f"recall is {self.recall!r}: it must be at least 0 and below 1.")
        if not 0 < self.precision < 1:
            raise ValueError(f"precision is {self.precision!r}: it must be above 0 and below 1.")

    @cached_property
    def weight_of_signal(self) -> float:
        """Expected changes that one signal stands for: a movie with n signals is unchanged with (1 − precision)^n."""
        return -log(1 - self.precision)

    def blind_microseconds(self, start: datetime, end: datetime) -> int:
        """How much of a span the feed does not cover."""
        blind = 0
        for gap in self.gaps:
            first = start if gap.start is None else max(start, gap.start)
            last = end if gap.end is None else min(end, gap.end)
            blind += max(0, (last - first) // MICROSECOND)
        return blind


def silent_days(feed: Feed | None, start: datetime, end: datetime) -> float:
    """Days of a span in which a change would have gone unnoticed: all of them without a feed.

    Of covered days only the share counts that the feed does not tell of. Negative spans count as none.
    """
    elapsed = max(0.0, ((end - start) // MICROSECOND) / DAY_IN_MICROSECONDS)
    if feed is None:
        return elapsed
    return (1 - feed.recall) * elapsed + feed.recall * (feed.blind_microseconds(start, end) / DAY_IN_MICROSECONDS)


def silent_days_sql(feed: Feed | None, start: str) -> str:
    """`silent_days` from a column to `$now`: the same numbers, operation by operation."""
    elapsed = f"greatest(0, (epoch_us($now) - epoch_us({start})) / {DAY_IN_MICROSECONDS})"
    if feed is None:
        return f"CAST({elapsed} AS DOUBLE)"
    covered, uncovered = double_sql(1 - feed.recall), double_sql(feed.recall)
    blind = blind_microseconds_sql(feed, start, "$now")
    return f"({covered} * {elapsed} + {uncovered} * ({blind} / {DAY_IN_MICROSECONDS}))"


def blind_microseconds_sql(feed: Feed, start: str, end: str) -> str:
    """`Feed.blind_microseconds` from one instant to another."""
    terms = []
    for gap in feed.gaps:
        first = f"epoch_us({start})" if gap.start is None else f"greatest(epoch_us({start}), {_epoch(gap.start)})"
        last = f"epoch_us({end})" if gap.end is None else f"least(epoch_us({end}), {_epoch(gap.end)})"
        terms.append(f"greatest(0, {last} - {first})")
    return f"({' + '.join(terms) or '0'})"


def double_sql(number: float) -> str:
    """A float as SQL, exactly: DuckDB takes a number with a point for a decimal."""
    return f"CAST('{number!r}' AS DOUBLE)"


def _epoch(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (instant - datetime(1970, 1, 1, tzinfo=instant.tzinfo)) // MICROSECOND
