"""What an answer does to a movie's refresh state. Pure: state and outcome in, new state out; no I/O, no clock.

Applying the same outcome twice changes nothing the second time, so that a batch whose commit was interrupted can be
committed again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from ayne_dagster.refresh.strategy import CYCLE_SOURCE, TOMBSTONE_AFTER, MovieState, SourceState, interval


class Outcome(StrEnum):
    """How one attempt to ask a source about a movie ended."""

    FETCHED = "fetched"
    ABSENT = "absent"
    """The source answered that it does not hold the movie (OMDb): a check like any other, asked again in its turn."""
    NOT_FOUND = "not_found"
    """HTTP 404 from the source that the id came from: a tombstone after confirmation."""
    FAILED = "failed"
    QUARANTINED = "quarantined"
    """The body could not be used; it is kept with its reason."""
    INCOMPLETE = "incomplete"
    """The answer lacks parts that were asked for: what came is merged, and the movie is asked for again as if it had
    failed."""


def after(movie: MovieState, source: str, outcome: Outcome, at: datetime, *, changed: bool = False) -> MovieState:
    """The movie's state after an attempt.

    Args:
        movie: state before.
        source: which source was asked.
        outcome: how it ended.
        at: when the answer arrived (aware UTC).
        changed: whether a field that counts has changed; the first answer ever is a change.
    """
    before = movie.at(source)
    if before.attempted_at is not None and at <= before.attempted_at:
        return movie
    if outcome in (Outcome.FETCHED, Outcome.ABSENT):
        state = _checked(before, at, changed)
        cycles = _cycles(movie, source, before, at, changed)
    else:
        state = _failed(before, at, missing=outcome is Outcome.NOT_FOUND)
        cycles = movie.unchanged_cycles
    return replace(movie, unchanged_cycles=cycles, sources={**movie.sources, source: state})


def _checked(before: SourceState, at: datetime, changed: bool) -> SourceState:
    return replace(
        before,
        attempted_at=at,
        checked_at=at,
        changed_at=at if changed else before.changed_at,
        failures=0,
        missing_since=None,
        tombstoned_at=None,
    )


def _failed(before: SourceState, at: datetime, *, missing: bool) -> SourceState:
    missing_since = (before.missing_since or at) if missing else before.missing_since
    confirmed = missing and missing_since is not None and at - missing_since > TOMBSTONE_AFTER
    return replace(
        before,
        attempted_at=at,
        failures=before.failures + 1,
        missing_since=missing_since,
        tombstoned_at=before.tombstoned_at or (at if confirmed else None),
    )


def _cycles(movie: MovieState, source: str, before: SourceState, at: datetime, changed: bool) -> int:
    """Unchanged refresh cycles in a row.

    A change at any source starts the count anew. A cycle is closed by a check at the cycle source whose interval had
    passed: looking three times on one day (forced by hand) is no evidence that a movie is stable.
    """
    if changed or before.checked_at is None:
        return 0 if source == CYCLE_SOURCE or changed else movie.unchanged_cycles
    if source != CYCLE_SOURCE or at - before.checked_at < interval(source, movie.release_date, at):
        return movie.unchanged_cycles
    return movie.unchanged_cycles + 1
