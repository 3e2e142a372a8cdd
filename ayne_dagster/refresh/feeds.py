"""What a change feed is worth: how much it tells, how often it is right, and when it told nothing. Reads no feed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from math import log

MICROSECOND = timedelta(microseconds=1)
DAY_IN_MICROSECONDS = 86_400_000_000

FIRST_RECALL = 0.7
"""Share of relevant changes that a feed is believed to signal before anything has been learned of it.

Less than TMDB's seems to tell: whoever believes too little asks a little too often until he knows better, but movies
of which a poor feed is silent would be forgotten for months."""
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
    elapsed = max(0, (end - start) // MICROSECOND)
    if feed is None:
        return elapsed / DAY_IN_MICROSECONDS
    blind = feed.blind_microseconds(start, end)
    return ((1 - feed.recall) * elapsed + feed.recall * blind) / DAY_IN_MICROSECONDS


def silent_days_sql(feed: Feed | None, start: str) -> str:
    """`silent_days` from a column to `$now`: the same numbers, operation by operation. None passed since no instant."""
    elapsed = f"greatest(0, epoch_us($now) - epoch_us({start}))"
    if feed is None:
        return f"({elapsed} / {DAY_IN_MICROSECONDS})"
    covered, uncovered = double_sql(1 - feed.recall), double_sql(feed.recall)
    blind = blind_microseconds_sql(feed, start, "$now")
    return f"(({covered} * {elapsed} + {uncovered} * {blind}) / {DAY_IN_MICROSECONDS})"


def blind_microseconds_sql(feed: Feed, start: str, end: str) -> str:
    """`Feed.blind_microseconds` from one instant to another; 0 from an unknown one.

    By the gap in or after which the span begins: the sum over the later gaps does not depend on the movie, and is
    worked out once. Over 1,000,000 movies a sum over all gaps for each took twice as long.
    """
    cases, later = [f"WHEN {start} < {end} IS NOT TRUE THEN 0"], "0"
    for gap in sorted(feed.gaps, key=lambda gap: (gap.start is not None, gap.start), reverse=True):
        last = f"epoch_us({end})" if gap.end is None else f"least(epoch_us({end}), {_epoch(gap.end)})"
        if gap.end is not None:
            cases.append(f"WHEN {start} >= {_timestamp(gap.end)} THEN {later}")
        within = f"{last} - epoch_us({start}) + {later}"
        if gap.start is None:
            return f"CASE {' '.join(cases)} ELSE {within} END"
        cases.append(f"WHEN {start} >= {_timestamp(gap.start)} THEN {within}")
        later = f"(greatest(0, {last} - {_epoch(gap.start)}) + {later})"
    return f"CASE {' '.join(cases)} ELSE {later} END"


def double_sql(number: float) -> str:
    """A float as SQL, exactly: DuckDB takes a number with a point for a decimal."""
    return f"CAST('{number!r}' AS DOUBLE)"


def _epoch(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (instant - datetime(1970, 1, 1, tzinfo=instant.tzinfo)) // MICROSECOND


def _timestamp(instant: datetime) -> str:
    """An aware instant as SQL."""
    return f"make_timestamp({_epoch(instant)})"
