"""When what is due is worth a run of its own: due movies trickle, a run serves many. Pure: no I/O, no clock of its own.

Movies become due one by one, since due times are instants. A run a movie would cost more to record than to do, so work
is gathered until there is enough of it, until the first movie has waited long enough, or until requests would lapse.
Nothing here changes what is due, or in which order: `ayne due` shows it at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ayne_dagster.refresh.budget import last_release

TICK = timedelta(minutes=1)
"""How often the sensor looks."""


@dataclass(frozen=True)
class Waiting:
    """What is due at a source and may be asked for now."""

    movies: Collection[int]
    """Their TMDB ids; not more than may be asked for."""
    since: datetime | None
    """Since when the first of them could have been asked for; None where there is none."""
    forced: bool = False
    """Whether a person has forced one of the movies that are due."""
    lapses: bool = False
    """Whether they would use up all that the day has released: what is left of it at midnight (UTC) is gone."""


@dataclass(frozen=True)
class Gathered:
    """Whether a run is worth its while now."""

    ready: bool
    due: int
    """Movies that could be asked for now."""
    until: datetime | None = None
    """When it will be at the latest, if nothing else becomes due."""


@dataclass(frozen=True)
class Gathering:
    """How much is enough, and how long is long enough."""

    enough: int = 1
    """Movies that are worth a run."""
    longest: timedelta = timedelta(0)
    """How long a due movie waits for others at most."""

    def decide(self, waiting: Sequence[Waiting], now: datetime) -> Gathered:
        """Whether to ask now, by what waits at each source."""
        some = [source for source in waiting if source.movies]
        due = len(set().union(*(source.movies for source in some)))
        if not due:
            return Gathered(False, 0)
        ends = [source.since + self.longest for source in some if source.since is not None]
        ends += [last_release(now) for source in some if source.lapses]
        until = min(ends, default=now)
        ready = due >= self.enough or any(source.forced for source in some) or until <= now
        return Gathered(ready, due, until)
