"""How an API is talked to: address, pace, quota, patience. Nothing here asks one; which there are is in `sources`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

ANSWER_DEADLINE = 60.0
LEAST_DEADLINE = 0.1


def _at_least(number: float) -> dict[str, float]:
    """Marks a field as a limit that a setting sets."""
    return {"least": number}


@dataclass(frozen=True)
class ApiSettings:
    """How to talk to one API."""

    base_url: str
    requests_per_second: float = field(metadata=_at_least(0))
    """Sustained rate; 0: no pace."""
    burst: int = field(metadata=_at_least(1))
    """Size of the token bucket."""
    max_concurrent: int = field(metadata=_at_least(1))
    """Connections."""
    daily_quota: int = field(default=0, metadata=_at_least(0))
    """Requests a UTC day; 0: no limit."""
    quota_reserve: int = field(default=0, metadata=_at_least(0))
    """Requests of the daily quota that unattended collections leave to people."""
    retry_wait: float = field(default=0.5, metadata=_at_least(0))
    """Seconds before the second attempt at a request; each further wait is twice as long."""
    answer_deadline: float = field(default=ANSWER_DEADLINE, metadata=_at_least(LEAST_DEADLINE))
    """Seconds from sending a request to the last byte of its answer; what takes longer counts as no answer."""

    @property
    def spendable(self) -> int:
        """Requests a day that unattended collections may spend; 0: no limit is set, or all are kept for people."""
        return max(0, self.daily_quota - self.quota_reserve)

    @classmethod
    def limits(cls) -> dict[str, float]:
        """The limits by name, each with the least that it may be."""
        return {limit.name: limit.metadata["least"] for limit in fields(cls) if limit.metadata}

    def but(self, **given: str | float | None) -> ApiSettings:
        """The same with what is given of it; what is None stays as it is.

        Raises:
            ValueError: a limit is below the least that it may be.
        """
        changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return replace(self, **changed)

    def __post_init__(self) -> None:
        for name, least in self.limits().items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be at least {least}.")


@dataclass(frozen=True)
class Api:
    """An API that is asked: its name, as in settings and tables, its title, and how it is talked to by default."""

    name: str
    title: str
    defaults: ApiSettings
    is_keyless: bool = False
    """Whether it wants no key."""


TMDB_DEFAULTS = ApiSettings("https://api.themoviedb.org/3", 4.0, 40, 10)
OMDB_DEFAULTS = ApiSettings("https://www.omdbapi.com/", 2.0, 40, 5, daily_quota=1000)
WIKIDATA_DEFAULTS = ApiSettings("https://query.wikidata.org/sparql", 1.0, 1, 1, answer_deadline=75.0)
"""One request at a time, as its operators ask for. It stops a query after 60 s, and says so: that is waited for."""
NUMBERS_DEFAULTS = ApiSettings("https://www.the-numbers.com", 0.2, 1, 1)
"""Pages made for people: one request at a time and in 5 seconds, whatever is set."""
