"""What an answer does to a movie's refresh state. Pure: state and outcome in, new state out; no I/O, no clock.

Applying the same outcome twice changes nothing the second time, so that a batch whose commit was interrupted can be
committed again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from ayne_dagster.refresh.age_table import CYCLE_SOURCE
from ayne_dagster.refresh.ages import band_of, interval
from ayne_dagster.refresh.feeds import Feed, silent_days
from ayne_dagster.refresh.learning import factor, learn, rate
from ayne_dagster.refresh.states import SOURCES, MovieState, SourceState

TOMBSTONE_AFTER = timedelta(hours=8)
"""A second 404 counts only when it comes this long after the first: TMDB's edge caches hold a 404 for 8 hours."""


class Outcome(StrEnum):
    """How one attempt to ask a source about a movie ended."""

    FETCHED = "fetched"
    ABSENT = "absent"
    """The source answered that it does not hold the movie (OMDb): a check like any other, asked again in its turn."""
    NOT_FOUND = "not_found"
    """HTTP 404 from the source that the id came from: a tombstone after confirmation."""
    FAILED = "failed"
    """The source refused this one movie: it is left alone for a day, then two, four …"""
    UNAVAILABLE = "unavailable"
    """No usable answer came, though the source is up: the source's fault until it happens twice in a row. The next run
    asks again; after that it is a failure like any other, so that such movies do not block the head of the queue."""
    QUARANTINED = "quarantined"
    """The body could not be used; it is kept with its reason."""
    INCOMPLETE = "incomplete"
    """The answer lacks parts that were asked for: what came is merged, and the movie is asked for again as if it had
    failed."""


CHECKS = (Outcome.FETCHED, Outcome.ABSENT)
"""The outcomes by which a source has said what it knows."""


def after(
    movie: MovieState,
    source: str,
    outcome: Outcome,
    at: datetime,
    *,
    changed: bool = False,
    feed: Feed | None = None,
    bucket_rate: float | None = None,
) -> MovieState:
    """The movie's state after an attempt.

    An answer that comes after a later attempt which brought none (out of a spool, or from the older collection) is a
    check all the same; what that attempt has noted stays.

    Args:
        movie: state before.
        source: which source was asked.
        outcome: how it ended.
        at: when the answer arrived (aware UTC).
        changed: whether a field that counts has changed; the first answer ever is a change.
        feed: the source's change feed, if one is read.
        bucket_rate: changes a day that the movie's bucket makes expect; when left out, what its own rate implies.
    """
    before = movie.at(source)
    if is_outdated(getattr(before, heard_at(outcome)), at):
        return movie
    if outcome in CHECKS:
        expected = bucket_rate or bucket_rate_of(movie, source, at)
        exposure, changes = _learned(before, source, at, feed, expected, changed=changed)
        state = _checked(before, source, at, changed=changed, exposure=exposure, changes=changes)
        if bucket_rate is not None or before.rate is not None:  # else the movie's bucket is not known yet
            state = replace(state, rate=rate(expected, exposure, changes))
        cycles = _cycles(movie, source, before, at, changed)
    elif outcome is Outcome.UNAVAILABLE and before.failures == 0 and before.attempted_at == before.checked_at:
        state, cycles = replace(before, attempted_at=at), movie.unchanged_cycles
    else:
        state = _failed(before, at, missing=outcome is Outcome.NOT_FOUND)
        cycles = movie.unchanged_cycles
    return replace(movie, unchanged_cycles=cycles, sources={**movie.sources, source: state})


def heard_at(outcome: Outcome) -> str:
    """The field of `SourceState` that says until when attempts which end so are noted."""
    return "checked_at" if outcome in CHECKS else "attempted_at"


def is_outdated(noted_until: datetime | None, at: datetime) -> bool:
    """Whether an attempt says nothing new: it was noted already, or the source was heard of later.

    Args:
        noted_until: what the movie's state at the source says in the field `heard_at` (aware UTC).
        at: when the attempt ended (aware UTC).
    """
    return noted_until is not None and at <= noted_until


def bucket_rate_of(movie: MovieState, source: str, now: datetime) -> float:
    """Changes a day that the movie's bucket makes expect, by its own stored rate; else by the age table."""
    state = movie.at(source)
    if state.rate is None:
        return 1 / band_of(movie.release_date, now).interval_days[source]
    return state.rate / factor(state.exposure, state.changes)


def _checked(
    before: SourceState, source: str, at: datetime, *, changed: bool, exposure: float, changes: float
) -> SourceState:
    """The state after a check, with what it teaches."""
    if before.attempted_at is not None and at < before.attempted_at:
        changed_at = at if changed else before.changed_at
        return replace(before, checked_at=at, changed_at=changed_at, exposure=exposure, changes=changes)
    return SourceState(  # what a check does not say is void
        attempted_at=at,
        checked_at=at,
        changed_at=at if changed else before.changed_at,
        exposure=exposure,
        changes=changes,
        signalled_at=before.signalled_at,
        recheck_at=_recheck_at(before, source, at),
        rate=before.rate,
    )


def _learned(
    before: SourceState, source: str, at: datetime, feed: Feed | None, bucket_rate: float, *, changed: bool
) -> tuple[float, float]:
    """Exposure and changes after a check; the first check has nothing to compare with."""
    if before.checked_at is None:
        return before.exposure, before.changes
    return learn(
        before.exposure,
        before.changes,
        days=(at - before.checked_at) / timedelta(days=1),
        silent=silent_days(feed, before.checked_at, at),
        changed=changed,
        signals=before.signals if SOURCES[source].has_change_feed else 0,
        precision=(feed or Feed()).precision,
        bucket_rate=bucket_rate,
    )


def _recheck_at(before: SourceState, source: str, at: datetime) -> datetime | None:
    """When to look once more after a check: the body may be from before the change that was signalled."""
    recheck_after = SOURCES[source].recheck_after
    recheck_at = before.recheck_at
    if before.signals > 0 and before.signalled_at is not None and recheck_after is not None:
        recheck_at = before.signalled_at + recheck_after
    return recheck_at if recheck_at is not None and at < recheck_at else None


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
