"""A source's requests of a UTC day: how many there are, and how many of them may be spent by now. Pure; asks nothing.

The day's requests are released in equal steps, an hour each, the first at midnight. What a step does not use stays
released, so that later ones catch up and nothing is lost. Spread over the day they reach what becomes due during it,
instead of all being spent on what was due at midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STEPS = 24
"""Into how many steps a day is divided."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DayBudget:
    """The requests that unattended collections may spend on a UTC day."""

    quota: int
    """Requests a day that the source grants, above 0."""
    reserve: int = 0
    """Of these, requests that are kept for people."""
    used: int = 0
    """Requests spent today, by whomever."""

    @property
    def total(self) -> int:
        """Requests of the whole day."""
        return max(0, self.quota - self.reserve)

    @property
    def left(self) -> int:
        """Requests of the whole day that are not spent."""
        return max(0, self.total - self.used)

    def released(self, now: datetime) -> int:
        """Requests of the day that are released by `now` (aware), spent or not."""
        return self.total * (_step(now) + 1) // STEPS

    def spendable(self, now: datetime) -> int:
        """Requests that may be spent now."""
        return max(0, self.released(now) - self.used)

    def next_release(self, now: datetime) -> datetime | None:
        """When the next request may be spent if none may now, or when more are released; None: not today."""
        for step in range(_step(now) + 1, STEPS):
            at = midnight(now) + _DAY * step / STEPS
            if self.released(at) > max(self.used, self.released(now)):
                return at
        return None

    def unspent_since(self, now: datetime) -> datetime | None:
        """Since when the requests that may be spent now could have been; None where none may.

        By what is spent by now: who has spent what an earlier step released has spent the oldest first.
        """
        steps = (midnight(now) + _DAY * step / STEPS for step in range(_step(now) + 1))
        return next((at for at in steps if self.released(at) > self.used), None)

    def days_for(self, movies: int) -> float | None:
        """Days that so many movies take, one request each, when every day's budget goes to them; None: for ever."""
        if not movies:
            return 0.0
        return movies / self.total if self.total else None


def midnight(now: datetime) -> datetime:
    """The beginning of the UTC day."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def last_release(now: datetime) -> datetime:
    """When the day releases its last requests: what is not spent from then to midnight lapses."""
    return midnight(now) + _DAY * (STEPS - 1) / STEPS


def hours_left(now: datetime) -> float:
    """Hours to the end of the UTC day: the quota begins anew then."""
    return (midnight(now) + _DAY - now) / timedelta(hours=1)


def _step(now: datetime) -> int:
    """The step of the day that has begun: 0 to STEPS - 1."""
    return int((now - midnight(now)) * STEPS / _DAY)
