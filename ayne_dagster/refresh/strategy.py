"""The age-table strategy: which movie is due for which source, why, and when it will be. Pure decisions only.

No I/O, no Dagster, no clock of its own: `now` is an argument. The table below is the only place where ages and
intervals stand; the SQL of `due.py` is generated from it, and a property test holds the two together
(DESIGN, "Refresh rules").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Source:
    """A source of data about a movie, as the refresh rules see it."""

    name: str
    title: str
    needs_imdb_id: bool = False
    """Without an IMDb id the source cannot be asked, and the movie counts as complete without it."""
    ceiling: timedelta | None = None
    """An answer older than this is asked for again whatever else holds (terms of use)."""
    collected: bool = True
    """Whether the platform has a client for it; a source without one is planned but never waited for."""


SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        # TMDB's terms, 1.C: nothing may be kept for longer than 6 months without being fetched again.
        Source("tmdb", "TMDB", ceiling=timedelta(days=170)),
        Source("omdb", "OMDb", needs_imdb_id=True),
        Source("numbers", "The Numbers", collected=False),
    )
}
COLLECTED = tuple(source.name for source in SOURCES.values() if source.collected)


@dataclass(frozen=True)
class AgeBand:
    """One line of the age table."""

    category: str
    up_to_days: int | None
    """Last age in days since release that belongs to the band; None: no end."""
    interval_days: Mapping[str, int]
    """Days between two checks, by source."""


AGE_TABLE: tuple[AgeBand, ...] = (
    AgeBand("recent", 60, {"tmdb": 5, "omdb": 5, "numbers": 5}),
    AgeBand("established", 180, {"tmdb": 15, "omdb": 30, "numbers": 30}),
    AgeBand("mature", 365, {"tmdb": 30, "omdb": 90, "numbers": 90}),
    AgeBand("archived", None, {"tmdb": 90, "omdb": 180, "numbers": 180}),
)
CATEGORIES = tuple(band.category for band in AGE_TABLE)

FREEZE_CATEGORY = AGE_TABLE[-1].category
FREEZE_AFTER_CYCLES = 3
"""A movie of the last band freezes after this many refresh cycles in a row without a change."""
CYCLE_SOURCE = "tmdb"
"""The source whose scheduled check closes a refresh cycle: the one that every movie has, and the most often asked."""
BACKOFF_MAX_DAYS = 30
TOMBSTONE_AFTER = timedelta(hours=8)
"""A second 404 counts only when it comes this long after the first: TMDB's edge caches hold a 404 for 8 hours."""


class Override(StrEnum):
    """A person's decision about a movie; it wins over the automatic one."""

    FREEZE = "freeze"
    THAW = "thaw"
    FORCE = "force"


class Reason(StrEnum):
    """Why a movie is due for a source (those in DUE_REASONS), or why it is not."""

    NEVER_FETCHED = "never_fetched"
    CHANGE_FEED = "change_feed"
    AGE_TABLE = "age_table"
    INDEX = "index"
    CEILING = "ceiling"
    MANUAL = "manual"
    FRESH = "fresh"
    BELOW_CUTOFF = "below_cutoff"
    FROZEN = "frozen"
    BACKOFF = "backoff"
    NO_IMDB_ID = "no_imdb_id"
    TOMBSTONE = "tombstone"


DUE_REASONS = (
    Reason.NEVER_FETCHED,
    Reason.CHANGE_FEED,
    Reason.AGE_TABLE,
    Reason.INDEX,
    Reason.CEILING,
    Reason.MANUAL,
)
"""The reasons to ask; the others are reasons not to."""


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


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a movie is due for a source, why, and from when on (None: not foreseeable)."""

    source: str
    due: bool
    reason: Reason
    due_at: datetime | None


def age_in_days(release_date: date | None, now: datetime) -> int:
    """Whole days since release, by UTC date; 0 for an unknown date, negative before release."""
    return (now.astimezone(UTC).date() - release_date).days if release_date else 0


def band_of(release_date: date | None, now: datetime) -> AgeBand:
    """The age band of a movie; not yet released and undated movies are in the first."""
    age = age_in_days(release_date, now)
    return next(band for band in AGE_TABLE if band.up_to_days is None or age <= band.up_to_days)


def interval(source: str, release_date: date | None, now: datetime) -> timedelta:
    """Time between two checks at a source, at the movie's present age."""
    return timedelta(days=band_of(release_date, now).interval_days[source])


def backoff(failures: int) -> timedelta:
    """How long to leave a failing movie alone: 1, 2, 4 … days, at most 30."""
    return timedelta(days=min(BACKOFF_MAX_DAYS, 2 ** min(failures - 1, 10))) if failures else timedelta(0)


def applies(source: str, movie: MovieState) -> bool:
    """Whether the source can be asked about the movie at all."""
    return not SOURCES[source].needs_imdb_id or bool(movie.imdb_id)


def is_fully_refreshed(movie: MovieState) -> bool:
    """Whether every collected source that applies has answered at least once."""
    return all(movie.at(s).checked_at is not None for s in COLLECTED if applies(s, movie))


def is_frozen(movie: MovieState, now: datetime) -> bool:
    """Whether refreshes for freshness' sake have stopped: by hand, or after enough unchanged cycles when archived.

    A movie that a source was never asked about does not freeze by itself: with a small quota it may wait for OMDb
    longer than three cycles at TMDB take.
    """
    if movie.override is Override.FREEZE:
        return True
    return (
        movie.unchanged_cycles >= FREEZE_AFTER_CYCLES
        and band_of(movie.release_date, now).category == FREEZE_CATEGORY
        and is_fully_refreshed(movie)
    )


def decide(movie: MovieState, source: str, now: datetime) -> Decision:
    """Whether the movie is due for the source at `now`, why, and since or from when on."""
    reason = reason_at(movie, source, now)
    if reason in DUE_REASONS:
        return Decision(source, True, reason, _due_since(movie, source, reason, now))
    turns = (at for at in _turning_points(movie, source) if at > now)
    return Decision(source, False, reason, next((at for at in turns if is_due(movie, source, at)), None))


def is_due(movie: MovieState, source: str, now: datetime) -> bool:
    """Whether the movie is due for the source."""
    return reason_at(movie, source, now) in DUE_REASONS


def reason_at(movie: MovieState, source: str, now: datetime) -> Reason:
    """The first rule that speaks.

    The order matters and is the same in SQL: no id to ask with; forced by hand; tombstone; backing off; ceiling;
    frozen; never fetched; interval.
    """
    state = movie.at(source)
    ceiling = SOURCES[source].ceiling
    if not applies(source, movie):
        return Reason.NO_IMDB_ID
    if _is_forced(movie, state):
        return Reason.MANUAL
    if state.tombstoned_at:
        return Reason.TOMBSTONE
    if state.failures and state.attempted_at and now < state.attempted_at + backoff(state.failures):
        return Reason.BACKOFF
    if state.checked_at and ceiling and now >= state.checked_at + ceiling:
        return Reason.CEILING
    if is_frozen(movie, now):
        return Reason.FROZEN
    if state.checked_at is None:
        return Reason.NEVER_FETCHED
    due = now >= state.checked_at + interval(source, movie.release_date, now)
    return Reason.AGE_TABLE if due else Reason.FRESH


def _is_forced(movie: MovieState, state: SourceState) -> bool:
    """Forced, and not tried since: one attempt uses a force up, so that a failing movie then backs off."""
    if movie.override is not Override.FORCE:
        return False
    return state.attempted_at is None or movie.override_at is None or state.attempted_at < movie.override_at


def _due_since(movie: MovieState, source: str, reason: Reason, now: datetime) -> datetime:
    state, ceiling = movie.at(source), SOURCES[source].ceiling
    if reason is Reason.MANUAL:
        return movie.override_at or now
    if reason is Reason.CEILING and state.checked_at and ceiling:
        return state.checked_at + ceiling
    if reason is Reason.AGE_TABLE and state.checked_at:
        return state.checked_at + interval(source, movie.release_date, now)
    return now


def _turning_points(movie: MovieState, source: str) -> list[datetime]:
    """All instants, in order, at which time alone can make the movie due: nothing changes between them."""
    state, ceiling = movie.at(source), SOURCES[source].ceiling
    points = []
    if state.attempted_at:
        points.append(state.attempted_at + backoff(state.failures))
    if state.checked_at:
        points += [state.checked_at + timedelta(days=band.interval_days[source]) for band in AGE_TABLE]
        points += [state.checked_at + ceiling] if ceiling else []
    if released := as_utc(movie.release_date):
        points += [released + timedelta(days=band.up_to_days + 1) for band in AGE_TABLE if band.up_to_days is not None]
    return sorted(points)


def calculate_refresh_plan(
    movie: MovieState | Mapping[str, Any] | object, now: datetime | None = None
) -> dict[str, bool]:
    """Which sources a movie is due for.

    Args:
        movie: a row of `refresh_metadata` (or of `movies`) as a mapping or an object with the same names:
            `release_date`, `imdb_id` and, by source, `tmdb_checked_at`, `tmdb_attempted_at`, `tmdb_failures` …;
            whatever is missing counts as unknown. `last_tmdb_update` is understood as `tmdb_checked_at`.
        now: the instant to decide for; the present one when left out.

    Returns:
        `{'needs_tmdb': bool, 'needs_omdb': bool, 'needs_numbers': bool}`.

    Raises:
        ValueError: a date or time cannot be read.

    Example:
        >>> calculate_refresh_plan({"release_date": "1999-10-15", "imdb_id": "tt0137523"})
        {'needs_tmdb': True, 'needs_omdb': True, 'needs_numbers': True}
    """
    state = movie if isinstance(movie, MovieState) else movie_state(movie)
    at = as_utc(now) or datetime.now(UTC)
    return {f"needs_{source}": is_due(state, source, at) for source in SOURCES}


def movie_state(movie: Mapping[str, Any] | object) -> MovieState:
    """Read a `MovieState` from a mapping or object that has the columns of `refresh_metadata`.

    Raises:
        ValueError: a date or time cannot be read.
    """

    def value(name: str) -> Any:
        found = movie.get(name) if isinstance(movie, Mapping) else getattr(movie, name, None)
        return None if found is None or found != found else found  # NaN and NaT are how data frames say NULL

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
        sources={
            source: SourceState(
                attempted_at=as_utc(value(f"{source}_attempted_at")),
                checked_at=as_utc(value(f"{source}_checked_at") or value(f"last_{source}_update")),
                changed_at=as_utc(value(f"{source}_changed_at")),
                failures=int(value(f"{source}_failures") or 0),
                missing_since=as_utc(value(f"{source}_missing_since")),
                tombstoned_at=as_utc(value(f"{source}_tombstoned_at")),
                exposure=float(value(f"{source}_exposure") or 0.0),
                changes=float(value(f"{source}_changes") or 0.0),
                signals=int(value(f"{source}_signals") or 0),
                signalled_at=as_utc(value(f"{source}_signalled_at")),
                recheck_at=as_utc(value(f"{source}_recheck_at")),
                rate=value(f"{source}_rate"),
            )
            for source in SOURCES
        },
    )


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
