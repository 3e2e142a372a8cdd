"""The arithmetic of pace: when the next request may go, and how refusals slow an account down. No clock, no storage.

**Refusals.** One "too many requests" (HTTP 429) pauses the account and changes nothing else: it can be an accident, or
a neighbour behind the same address. A second one within a minute after the pause of the first says that the pace is
too fast, and halves it for all who share the account. Answers to what was in flight when the first refusal came are the
same refusal, not ten. While an account is slowed it has no burst either, since a burst is what is refused first.

**Floor.** Three halvings, an eighth of the rate that is set, are the slowest (TMDB: one request in 2 s, OMDb: one in
4 s). Whoever refuses that does not mean the pace, and half of it again would only make the run longer.

**Bans.** A source that refuses everything until an instant which it names is asked nothing before it. That alone may be
longer than an hour, and says nothing of the pace.

**Recovery.** Two quiet minutes take one halving back, the next two another, so that full pace is back within 6 minutes.
Where the source can bear little more than half of the pace, that costs two refused requests for each two minutes of
answers: under 1 % at the default rates.

**No pace** (0 requests a second) has nothing to halve: how fast such an account asks is a matter of its connections, so
those are halved, down to one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

REPEATED = 2
"""So many refusals in a row halve the pace."""
REPEATED_WITHIN = 60.0
"""Seconds after the end of a pause within which another refusal counts as repeated."""
SAME_REFUSAL = 1.0
"""Seconds, at least, within which refusals are one: they answer requests that were in flight together."""
QUIET = 120.0
"""Seconds without a refusal that take one halving back."""
MOST_HALVINGS = 3
LONGEST_WAIT = 300.0
"""A source that asks for a longer pause than this many seconds counts as unavailable, for all workers at once."""
LONGEST_PAUSE = 3600.0
"""Seconds; an instant further ahead means that the clock was set back, and nobody waits for it."""
LONGEST_BAN = 48 * 3600.0
"""Seconds for which a source may refuse everything, where it names the end; Wikidata's query service does for a day."""
MOST_WAITING = 100
"""So many requests may wait for their places at a time; a place further ahead was taken by a clock that was ahead."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The state of an account's pace; instants are seconds since the epoch, 0 long ago.

    The place of the next request follows the generic cell rate algorithm: a token bucket in one number.
    """

    arrival: float = 0.0
    """Theoretical arrival time of the next request."""
    paused_until: float = 0.0
    halvings: int = 0
    """How often the pace was halved when it was last refused."""
    refused_at: float = 0.0
    refusals: int = 0
    """Refusals in a row that have not halved the pace yet."""

    def place(self, rate: float, burst: int, now: float) -> tuple[Pace, float]:
        """Take the next place.

        Args:
            rate: requests a second while nothing slows the account, above 0.
            burst: size of the token bucket, at least 1.
            now: the instant.

        Returns:
            The state after it, and the seconds to wait before sending.
        """
        slowed = self.halvings_at(now)
        step = 2.0**slowed / rate
        bucket = 1 if slowed else burst
        start = max(now, self._pause_end(now))
        taken = max(self.arrival, start)
        if taken > start + (bucket + MOST_WAITING) * step:
            taken = start + bucket * step  # the bucket counts as empty: no rush, and no long wait
        arrival = taken + step
        return replace(self, arrival=arrival), max(start, arrival - bucket * step) - now

    def refused(self, pause: float, now: float) -> Pace:
        """The state after a refusal that asks for a pause of some seconds."""
        until = now + min(pause, LONGEST_PAUSE)
        paused_until = max(self._pause_end(now), until)
        if now < self._same_until(now):
            return replace(self, paused_until=paused_until)
        halvings = self.halvings_at(now)
        in_a_row = now - self._quiet_since(now) <= REPEATED_WITHIN
        refusals = self.refusals + 1 if in_a_row else 1
        if refusals >= REPEATED:
            halvings, refusals = min(halvings + 1, MOST_HALVINGS), 0
        return replace(self, paused_until=paused_until, halvings=halvings, refused_at=now, refusals=refusals)

    def banned(self, seconds: float, now: float) -> Pace:
        """The state after a refusal of everything for some seconds: nobody sends, and the pace stays what it was."""
        until = max(self._pause_end(now), now + min(seconds, LONGEST_BAN))
        return replace(self, paused_until=until, refused_at=now, halvings=self.halvings_at(now))

    def pause_left(self, now: float) -> float:
        """Seconds until anybody may send again."""
        return max(0.0, self._pause_end(now) - now)

    def _pause_end(self, now: float) -> float:
        """When the pause ends: never later than it was long, counted from now, whatever clock noted it."""
        asked = max(0.0, self.paused_until - self.refused_at) if self.refused_at else LONGEST_PAUSE
        return min(self.paused_until, now + min(asked, LONGEST_BAN))

    def halvings_at(self, now: float) -> int:
        """How often the pace is halved now, after what quiet minutes have taken back."""
        quiet = max(0.0, now - self._quiet_since(now))
        return max(0, self.halvings - int(quiet / QUIET))

    def _quiet_since(self, now: float) -> float:
        return max(_believable(self.refused_at, now), self._pause_end(now))

    def _same_until(self, now: float) -> float:
        return max(_believable(self.refused_at, now) + SAME_REFUSAL, self._pause_end(now))


def _believable(instant: float, now: float) -> float:
    return instant if instant <= now + LONGEST_PAUSE else 0.0
