"""What streams, spool and merge exchange: answers, listed movies, bodies of no use, counts. No SQL, no rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from operator import add
from typing import Any, Self

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


class RowChange(StrEnum):
    """What merging an answer did to what is stored of its movie."""

    INSERTED = "inserted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Numbers:
    """Whole numbers under names, which can be added up: each kind is a frozen dataclass of its own, without slots."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(add, vars(self).values(), vars(other).values()))

    def as_dict(self) -> dict[str, int]:
        """All of them, by name."""
        return dict(vars(self))

    def __str__(self) -> str:
        return str(self.not_zero())

    def not_zero(self) -> dict[str, int]:
        """Those that are not zero, by name."""
        return {name: number for name, number in self.as_dict().items() if number}


@dataclass(frozen=True)
class MergeCounts(Numbers):
    """What became of answers, listed movies and bodies: how many of each. Of answers, the requests that they cost."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    absent: int = 0
    not_found: int = 0
    failed: int = 0
    unavailable: int = 0
    quarantined: int = 0
    incomplete: int = 0
    requests: int = 0

    @classmethod
    def of(cls, became: RowChange | Outcome, requests: int = 0, times: int = 1) -> MergeCounts:
        """One of a kind, or several that cost as much each; what was fetched is counted by what it changed."""
        kind = {} if became is Outcome.FETCHED else {str(became): times}
        return cls(**kind, requests=requests * times)

    @property
    def stored(self) -> int:
        """How many told something whole about their movie."""
        return self.inserted + self.updated + self.unchanged

    @property
    def changed(self) -> int:
        """Of these, how many told something new."""
        return self.inserted + self.updated

    @property
    def without_use(self) -> int:
        """How many attempts brought nothing that counts as a check."""
        return self.failed + self.unavailable + self.not_found + self.quarantined + self.incomplete


@dataclass(frozen=True)
class FeedCounts(Numbers):
    """What days of a change feed told: days, gaps, ids listed, known and new, movies signalled and thawed."""

    days: int = 0
    gaps: int = 0
    listed: int = 0
    known: int = 0
    new: int = 0
    signals: int = 0
    thawed: int = 0
    quarantined: int = 0


@dataclass
class MergeReport:
    """What merging did, by the release year a movie was asked for under."""

    by_year: dict[str, MergeCounts] = field(default_factory=dict)

    def count(self, year: str, counts: MergeCounts) -> None:
        """Add to the counts of a year."""
        self.by_year[year] = self.by_year.get(year, MergeCounts()) + counts

    def total(self) -> MergeCounts:
        """The counts over all years."""
        return sum(self.by_year.values(), MergeCounts())

    def __str__(self) -> str:
        return str(self.total())

    def __add__(self, other: MergeReport) -> MergeReport:
        report = MergeReport(dict(self.by_year))
        for year, counts in other.by_year.items():
            report.count(year, counts)
        return report
