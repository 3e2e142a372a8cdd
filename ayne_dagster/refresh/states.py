"""What is known of a movie: refresh states, and how they are read from rows and objects. No decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from ayne_dagster.settings.sources import SOURCES as SOURCES
from ayne_dagster.settings.sources import Source as Source

AHEAD = timedelta(hours=1)
"""How far clocks of machines may differ. What happened later than this after the present was noted by a clock that was
ahead: it happened at an unknown time."""
PARTS_WITHIN = timedelta(days=30)
"""Movies that came without parts, all at one time, are asked for within so long, by their ids: not all at once."""
COLLECTED = tuple(source.name for source in SOURCES.values() if not source.is_supplement)
"""The sources that every collection asks."""


class Override(StrEnum):
    """A person's decision about a movie; it wins over the automatic one."""

    FREEZE = "freeze"
    THAW = "thaw"
    FORCE = "force"
    FORCE_FROZEN = "force_frozen"
    """Forced while frozen by hand: asked for once, and frozen as before."""

    @property
    def forces(self) -> bool:
        """Whether one attempt is wanted, whatever the rules say."""
        return self in FORCING

    @property
    def freezes(self) -> bool:
        """Whether nothing is asked for freshness' sake."""
        return self in FREEZING

    @classmethod
    def after(cls, before: Override | None, decided: Override) -> Override:
        """What holds when a person decides: a force passes, and leaves a freeze as it was."""
        stays_frozen = decided is cls.FORCE and before is not None and before.freezes
        return cls.FORCE_FROZEN if stays_frozen else decided


FORCING = (Override.FORCE, Override.FORCE_FROZEN)
FREEZING = (Override.FREEZE, Override.FORCE_FROZEN)


def overridden_sql(overrides: tuple[Override, ...]) -> str:
    """Whether a movie's override is one of several; never NULL."""
    return f"(coalesce(override, '') IN ({', '.join(repr(str(override)) for override in overrides)}))"


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is known of one movie at one source. All times are aware UTC."""

    attempted_at: datetime | None = None
    checked_at: datetime | None = None
    """Last successful check: the source answered, changed or not."""
    changed_at: datetime | None = None
    failures: int = 0
    """Failed attempts in a row."""
    missing_since: datetime | None = None
    """First of the 404s in a row."""
    tombstoned_at: datetime | None = None
    exposure: float = 0.0
    """Changes that the bucket's rate made expect over all checks so far (E of "Value of refresh")."""
    changes: float = 0.0
    """Changes found over all checks so far, corrected for those that one check cannot tell apart (A)."""
    signals: int = 0
    """Change signals since the last successful check."""
    signalled_at: datetime | None = None
    """The latest instant at which the last of them can have happened."""
    recheck_at: datetime | None = None
    """When to look once more, since the last body may have come from a cache older than its signal."""
    parts_due_at: datetime | None = None
    """When to ask for the parts that the last answer lacks, as one of an older collection does; None: it lacks none."""
    rate: float | None = None
    """Relevant changes a day (λ), as last worked out."""


NEVER_ASKED = SourceState()


@dataclass(frozen=True, slots=True)
class MovieState:
    """All that the rules look at."""

    tmdb_id: int
    release_date: date | None = None
    imdb_id: str | None = None
    unchanged_cycles: int = 0
    override: Override | None = None
    override_at: datetime | None = None
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    popularity: float | None = None
    """TMDB's, as last heard of."""
    importance: float | None = None
    """Weight of the movie's freshness (w), as last worked out."""

    def at(self, source: str) -> SourceState:
        """State at a source; that of a movie never asked for where nothing is known."""
        return self.sources.get(source, NEVER_ASKED)


def applies(source: str, movie: MovieState) -> bool:
    """Whether the source can be asked about the movie at all."""
    return not SOURCES[source].needs_imdb_id or bool(movie.imdb_id)


def is_ahead(instant: datetime | None, now: datetime) -> bool:
    """Whether what is said to have happened then was noted by a clock that was ahead."""
    return instant is not None and instant > now + AHEAD


def ahead_sql(column: str) -> str:
    """`is_ahead`; NULL where the instant is."""
    return f"{column} > $now + INTERVAL {AHEAD // timedelta(seconds=1)} SECOND"


def is_fully_refreshed(movie: MovieState) -> bool:
    """Whether every source that applies, and is no supplement, has answered at least once."""
    return all(movie.at(s).checked_at is not None for s in COLLECTED if applies(s, movie))


def fully_refreshed_sql() -> str:
    """`is_fully_refreshed` over refresh_metadata."""
    terms = [
        f"({source}_checked_at IS NOT NULL{' OR imdb_id IS NULL' if SOURCES[source].needs_imdb_id else ''})"
        for source in COLLECTED
    ]
    return "(" + " AND ".join(terms) + ")"


def movie_state(movie: Mapping[str, Any] | object) -> MovieState:
    """Read a `MovieState` from a mapping or object that has the columns of `refresh_metadata`.

    Raises:
        ValueError: a date or time cannot be read.
    """

    # Asked once a movie: whether an object is a Mapping is no cheap question.
    get: Callable[[str], Any] = movie.get if isinstance(movie, Mapping) else lambda name: getattr(movie, name, None)

    def value(name: str) -> Any:
        return _or_none(get(name))

    override = value("override")
    return MovieState(
        tmdb_id=int(value("tmdb_id") or 0),
        release_date=as_date(value("release_date")),
        imdb_id=value("imdb_id") or None,
        unchanged_cycles=int(value("unchanged_cycles") or 0),
        override=Override(override) if override else None,
        override_at=as_utc(value("override_at")),
        popularity=value("popularity"),
        importance=value("importance"),
        sources={source: _source_state([get(name) for name in _columns(source)]) for source in SOURCES},
    )


@cache
def _columns(source: str) -> tuple[str, ...]:
    """The columns that hold the state at a source, in the order in which `_source_state` reads them."""
    return (
        *(f"{source}_attempted_at", f"{source}_checked_at", f"last_{source}_update", f"{source}_changed_at"),
        *(f"{source}_{name}" for name in ("failures", "missing_since", "tombstoned_at", "exposure", "changes")),
        *(f"{source}_{name}" for name in ("signals", "signalled_at", "recheck_at", "parts_due_at", "rate")),
    )


def _source_state(values: list[Any]) -> SourceState:
    """The state at one source, from the values of `_columns`."""
    rate = _or_none(values.pop())
    if not any(values):  # most movies at most sources: reading them all is what takes time
        return NEVER_ASKED if rate is None else SourceState(rate=rate)
    known = [_or_none(value) for value in values]
    attempted, checked, updated, changed, failures, missing, tombstoned, exposure, changes, signals, *rest = known
    signalled, recheck, parts_due = rest
    return SourceState(
        attempted_at=as_utc(attempted),
        checked_at=as_utc(checked or updated),
        changed_at=as_utc(changed),
        failures=int(failures or 0),
        missing_since=as_utc(missing),
        tombstoned_at=as_utc(tombstoned),
        exposure=float(exposure or 0.0),
        changes=float(changes or 0.0),
        signals=int(signals or 0),
        signalled_at=as_utc(signalled),
        recheck_at=as_utc(recheck),
        parts_due_at=as_utc(parts_due),
        rate=rate,
    )


def _or_none(value: Any) -> Any:
    """A value, or None for NaN and NaT, which are how data frames say NULL."""
    return None if value is None or value != value else value


def as_utc(value: datetime | date | str | None) -> datetime | None:
    """An instant as aware UTC: naive ones are taken as UTC (as the warehouse stores them), dates as midnight."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def as_date(value: datetime | date | str | None) -> date | None:
    """A calendar date; the empty string is unknown, as TMDB writes it."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value).date()
    return value.date() if isinstance(value, datetime) else value
