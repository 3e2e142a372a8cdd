"""What streams, spool and merge exchange: answers, listed movies, bodies of no use, counts. No SQL, no rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ayne_dagster.partitions import UNKNOWN_YEAR
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import Reason

KEPT_BYTES = 64 * 1024
"""Of a body that cannot be used, so much is kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt to ask a source about one movie.

    Args:
        tmdb_id: the movie.
        outcome: how it ended.
        at: when (aware UTC).
        row: the typed row, when there is one: it was fetched, be it without all of its parts; of figures: by who states
            them, all of them (`warehouse.figures`).
        release_year: partition of the movie when it was asked for.
        requests: requests spent, retries included.
        reason: what went wrong, where something did.
        body: the body to quarantine.
        due_because: why the movie was asked for, where it is known.
        asked_imdb_id: the IMDb id that was known of the movie when it was asked for.
        entities: what it says of people, credits, companies, releases: by table (`warehouse.entities`), rows as
            columns; None: they are not collected, or were not asked for.
    """

    tmdb_id: int
    outcome: Outcome
    at: datetime
    row: Mapping[str, Any] | None = None
    release_year: str = UNKNOWN_YEAR
    requests: int = 1
    reason: str = ""
    body: bytes = b""
    due_because: Reason | None = None
    asked_imdb_id: str | None = None
    entities: Mapping[str, Mapping[str, list[Any]]] | None = None

    @property
    def is_of_use(self) -> bool:
        """Whether it shows that the source works: a whole answer about a movie."""
        return (
            self.row is not None
            and self.outcome is not Outcome.INCOMPLETE
            and self.row.get("title", _NO_TITLE_EXPECTED) is not None
        )


_NO_TITLE_EXPECTED = ""


@dataclass(frozen=True, slots=True)
class ListedMovie:
    """One row of a discover page, normalized."""

    tmdb_id: int
    at: datetime
    row: Mapping[str, Any]
    release_year: str = UNKNOWN_YEAR


@dataclass(frozen=True, slots=True)
class QuarantinedBody:
    """A body that belongs to no single movie (a listing page, a row of one) and could not be used."""

    source: str
    subject: str
    at: datetime
    reason: str
    body: bytes = b""
    release_year: str = UNKNOWN_YEAR


@dataclass
class MergeReport:
    """What merging did: inserted, updated, unchanged, failed …, by the release year a movie was asked for under."""

    by_year: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def count(self, year: str, what: str, number: int = 1) -> None:
        """Add to a count."""
        self.by_year[year][what] += number

    def total(self) -> Counter[str]:
        """The counts over all years."""
        return sum(self.by_year.values(), Counter())

    def add(self, other: MergeReport) -> None:
        """Take another report's counts in."""
        for year, counts in other.by_year.items():
            self.by_year[year].update(counts)
