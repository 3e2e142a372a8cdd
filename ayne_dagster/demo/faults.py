"""What goes wrong at the stand-in of the live demonstration, and when. How a fault looks is the stand-in's matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn

WEEK = timedelta(days=7)
"""The plan begins anew then."""


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong for a while."""

    begins: timedelta
    """After the beginning of the week."""
    ends: timedelta
    fault: Fault
    at_the_beginning: str
    at_the_end: str


def _day(day: int, hour: int) -> timedelta:
    return timedelta(days=day, hours=hour)


TROUBLES = (
    Trouble(
        _day(1, 16), _day(2, 6), Fault("html", "tmdb", status=503),
        "TMDB is down: it answers with a gateway's page (503). No movie is blamed for it.",
        "TMDB is back. What waited is tried again within a minute or two.",
    ),
    Trouble(
        _day(4, 2), _day(5, 0), Fault("status", "omdb", status=401, message="Request limit reached!"),
        "OMDb says that the day's requests are used up, before they are: somebody else has our key.",
        "OMDb's day is over: it answers again.",
    ),
    Trouble(
        _day(6, 2), _day(6, 18), Fault("html", "omdb", status=522, ratio=0.3),
        "OMDb fails now and then (522, three in ten): what fails is asked again.",
        "OMDb answers everything again.",
    ),
)  # fmt: skip
"""What goes wrong in a week, in order; none overlaps another."""


class Plan:
    """Carries the troubles out, week after week.

    Args:
        begin: when the first week begins, by the stand-in's clock.
        standin: where they happen.
    """

    def __init__(self, begin: datetime, standin: StandIn) -> None:
        self._begin, self._standin = begin, standin
        self._in_trouble: Trouble | None = None

    def carry_out(self, now: datetime) -> Iterator[str]:
        """Have happen what is to have happened by now; yields what to tell of it."""
        within = (now - self._begin) % WEEK
        due = next((trouble for trouble in TROUBLES if trouble.begins <= within < trouble.ends), None)
        if due is self._in_trouble:
            return
        if self._in_trouble is not None:
            self._standin.clear_faults()
            yield self._in_trouble.at_the_end
        if due is not None:
            self._standin.inject(due.fault)
            yield due.at_the_beginning
        self._in_trouble = due
