"""What time it is: the only clock of the platform, so that demonstrations and tests can turn it. Reads no variable.

In a demonstration it may run fast, too. Its processes then share one formula instead of a server that tells the time:
what it showed at an instant of the calendar, and how much faster it has run since.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FASTEST = 100_000.0
"""Times as fast as the calendar: more than a day a second."""
FURTHEST = timedelta(days=36_500)
"""A clock that runs fast stops so long after what it showed first."""
_TEXT = re.compile(r"(\S+)\s+since\s+(\S+)\s+x\s*([0-9.]+)")


@dataclass(frozen=True)
class Fast:
    """How a clock runs that is faster than the calendar."""

    shown: datetime
    """What it showed (aware UTC) …"""
    since: datetime
    """… at this instant of the calendar (aware UTC)."""
    rate: float
    """Seconds that it passes in one of the calendar's."""

    def at(self, real: datetime) -> datetime:
        """What it shows at an instant of the calendar."""
        passed = (real - self.since).total_seconds() * self.rate
        return self.shown + timedelta(seconds=min(max(0.0, passed), FURTHEST.total_seconds()))

    def __str__(self) -> str:
        """As `read_fast` reads it."""
        return f"{self.shown.isoformat()} since {self.since.isoformat()} x {self.rate:g}"


def read_fast(text: str) -> Fast:
    """What `str` of one says: `2026-03-01T00:00Z since 2026-11-28T07:00Z x 1440`, a day a minute.

    Raises:
        ValueError: it says something else.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError("it must be an instant, the word since, another instant, the letter x and a number")
    shown, since = (datetime.fromisoformat(part) for part in found.group(1, 2))
    rate = float(found[3])
    if shown.tzinfo is None or since.tzinfo is None:
        raise ValueError("each instant needs its zone, such as Z")
    if not 1 <= rate <= FASTEST:
        raise ValueError(f"the number must be at least 1 and at most {FASTEST:g}")
    return Fast(shown.astimezone(UTC), since.astimezone(UTC), rate)


@dataclass(frozen=True)
class Clock:
    """What time it is for the platform."""

    offset: timedelta = timedelta(0)
    """How far the clock is turned forward."""
    fast: Fast | None = None
    """How it runs, where that is not as the calendar does."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        return self.at(datetime.now(UTC))

    def at(self, real: datetime) -> datetime:
        """What it shows at an instant of the calendar (aware UTC)."""
        return (real if self.fast is None else self.fast.at(real)) + self.offset

    @property
    def rate(self) -> float:
        """Seconds that it passes in one of the calendar's."""
        return 1.0 if self.fast is None else self.fast.rate

    @property
    def is_turned(self) -> bool:
        """Whether it shows anything but the time of the calendar."""
        return bool(self.offset) or self.fast is not None
