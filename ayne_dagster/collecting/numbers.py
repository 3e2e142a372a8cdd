"""What the steps of a collection tell at their end, each kind a class of its own. Counts nothing itself.

A step knows what its numbers are; whoever sums them up or shows them asks for them by kind and name, and not by the
name of the step.
"""

from __future__ import annotations

from dataclasses import dataclass

from ayne_dagster.warehouse.answers import FeedCounts, MergeCounts, Numbers


@dataclass(frozen=True)
class Nothing(Numbers):
    """Of a step that had nothing to do."""


@dataclass(frozen=True)
class Found(Numbers):
    """What a listing showed."""

    listed: int = 0
    discovered: int = 0
    """Movies that were not known before."""
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0

    @classmethod
    def of(cls, merged: MergeCounts) -> Found:
        """What was merged, in these words."""
        return Found(merged.stored, merged.inserted, merged.updated, merged.unchanged, merged.quarantined)


@dataclass(frozen=True)
class Discovered(Found):
    """The same of a whole discovery, with what it cost."""

    requests: int = 0


@dataclass(frozen=True)
class Refreshed(Numbers):
    """What became of the movies that were due at a source."""

    fetched: int = 0
    """Movies that the source told something whole about."""
    changed: int = 0
    """Of these, movies that are new or had changed."""
    unchanged: int = 0
    failed: int = 0
    quarantined: int = 0
    """Of those that failed, movies whose body could not be used."""
    requests: int = 0
    deferred: int = 0
    """Movies that were not asked for after all."""
    due_left: int = 0

    @classmethod
    def of(cls, merged: MergeCounts, *, deferred: int = 0, due_left: int = 0, requests: int | None = None) -> Refreshed:
        """What was merged, in these words; requests are those of the answers, where no others are given."""
        return cls(
            fetched=merged.stored,
            changed=merged.changed,
            unchanged=merged.unchanged,
            failed=merged.without_use,
            quarantined=merged.quarantined,
            requests=merged.requests if requests is None else requests,
            deferred=deferred,
            due_left=due_left,
        )


@dataclass(frozen=True)
class FeedRead(Numbers):
    """What a reading of the change feed told."""

    days: int = 0
    gaps: int = 0
    """Days that were not read as a whole."""
    listed: int = 0
    known: int = 0
    signals: int = 0
    """Movies that it made due."""
    thawed: int = 0
    requests: int = 0

    @classmethod
    def of(cls, merged: FeedCounts, requests: int) -> FeedRead:
        """What was merged, in these words."""
        return cls(merged.days, merged.gaps, merged.listed, merged.known, merged.signals, merged.thawed, requests)


@dataclass(frozen=True)
class Derived(Numbers):
    """What was worked out of the answers."""

    movies: int = 0
    updated: int = 0
    """Rows that came out otherwise than before."""
    newly_frozen: int = 0
    frozen: int = 0
