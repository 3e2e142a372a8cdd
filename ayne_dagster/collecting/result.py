"""What a collection did: the numbers of `ayne collect --json`, added up from what its steps tell. Knows no run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ayne_dagster.collecting.numbers import Derived, Discovered, FeedRead, Refreshed
from ayne_dagster.collecting.progress import Progress, Watcher
from ayne_dagster.refresh.strategy import COLLECTED, SOURCES
from ayne_dagster.warehouse.answers import Numbers


@dataclass
class SourceResult:
    """What a collection did at one source."""

    updated: int = 0
    """Movies whose answers were stored or confirmed."""
    changed: int = 0
    """Of these, movies that were new or had changed."""


@dataclass
class CollectionResult:
    """What a collection did: the numbers of `ayne collect --json`."""

    discovered: int = 0
    """Movies that were not known before."""
    sources: dict[str, SourceResult] = field(default_factory=lambda: {source: SourceResult() for source in SOURCES})
    """By source, whether it is asked or not."""
    frozen: int = 0
    """Movies that froze in this collection."""
    failed: int = 0
    deferred: int = 0
    signals: int = 0
    """Movies that the change feed made due."""
    due_remaining: int | None = 0
    """None where the database could not be asked after a failure."""
    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLLECTED, 0))
    """By source that is asked."""
    slowed: dict[str, dict[str, float]] = field(default_factory=dict)
    """Sources that refused requests until the pace was halved: how many `refusals`, and the `slowest_share` of it."""
    seconds: float = 0.0

    @property
    def tmdb_updated(self) -> int:
        """Movies whose details were fetched and stored or confirmed."""
        return self.sources["tmdb"].updated

    @property
    def tmdb_changed(self) -> int:
        """Of these, movies that were new or had changed."""
        return self.sources["tmdb"].changed

    @property
    def omdb_updated(self) -> int:
        """Movies whose ratings were fetched and stored or confirmed."""
        return self.sources["omdb"].updated

    @property
    def omdb_changed(self) -> int:
        """Of these, movies that were new or had changed."""
        return self.sources["omdb"].changed

    @property
    def box_office_updated(self) -> int:
        """Movies whose figures were asked for and stored or confirmed."""
        return self.sources["numbers"].updated

    @property
    def box_office_changed(self) -> int:
        """Of these, movies with new or other figures."""
        return self.sources["numbers"].changed

    def add(self, numbers: Numbers, progress: Progress) -> None:
        """Add what a step tells at its end, with how it went on."""
        match numbers:
            case Discovered():
                self.discovered += numbers.discovered
                self._spend(progress, numbers.requests)
            case FeedRead():
                self.signals += numbers.signals
                self._spend(progress, numbers.requests)
            case Refreshed():
                self.failed += numbers.failed
                self.deferred += numbers.deferred
                self._add_fetched(progress, numbers)
                self._spend(progress, numbers.requests)
            case Derived():
                self.frozen += numbers.newly_frozen

    def _add_fetched(self, progress: Progress, numbers: Refreshed) -> None:
        if progress.source is not None:
            at_source = self.sources[progress.source]
            at_source.updated += numbers.fetched
            at_source.changed += numbers.changed

    def _spend(self, progress: Progress, requests: int) -> None:
        """Count the requests that a step has sent, and note how it was slowed."""
        source, share = progress.source, progress.slowest_share
        if source is None:
            return
        if source in self.requests:
            self.requests[source] += requests
        if share is not None:
            earlier = self.slowed.get(source, {"refusals": 0, "slowest_share": share})
            self.slowed[source] = {
                "refusals": earlier["refusals"] + progress.refusals,
                "slowest_share": min(earlier["slowest_share"], share),
            }

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name; those of a source begin with its name."""
        told = asdict(self)
        del told["sources"]
        of_sources = {
            f"{_NAMES.get(source, source)}_{name}": number
            for source, result in self.sources.items()
            for name, number in asdict(result).items()
        }
        return {"discovered": told.pop("discovered"), **of_sources, **told}


_NAMES = {"numbers": "box_office"}
"""What a source is called in the numbers of a collection, where that is not its name."""


class Tally:
    """Adds up what the steps of a collection report, and passes it on to who shows it."""

    def __init__(self, result: CollectionResult, shown_by: Watcher | None) -> None:
        self.told: dict[str, Numbers] = {}
        """What each step told at its end."""
        self.result = result
        self._shown_by = shown_by
        self._progress = Progress()

    def started(self, step: str, progress: Progress) -> None:
        """A step begins, at a source or none."""
        self._progress = progress
        if self._shown_by is not None:
            self._shown_by.started(step, progress)

    def finished(self, step: str, numbers: Numbers) -> None:
        """A step has ended, and tells this."""
        self.told[step] = numbers
        self.result.add(numbers, self._progress)
        if self._shown_by is not None:
            self._shown_by.finished(step, numbers)

    def note(self, text: str) -> None:
        """Something is worth a line."""
        if self._shown_by is not None:
            self._shown_by.note(text)
