"""A refresh decision in a person's words, with the dates and numbers it rests on. Decides nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from ayne_dagster.refresh.strategy import (
    CATEGORIES,
    CYCLE_SOURCE,
    FREEZE_AFTER_CYCLES,
    SOURCES,
    Decision,
    MovieState,
    Override,
    Reason,
    age_in_days,
    backoff,
    band_of,
    interval,
)


def explain(movie: MovieState, decision: Decision, now: datetime) -> str:
    """Why a movie is due for a source, or is not, and when it will be.

    Args:
        movie: its refresh state.
        decision: what `decide` said of it at `now`.
        now: the same instant.
    """
    state = movie.at(decision.source)
    title = SOURCES[decision.source].title
    ago = _ago(now - state.checked_at) if state.checked_at else "never"
    match decision.reason:
        case Reason.NEVER_FETCHED:
            return f"due: {title} has never answered for it"
        case Reason.CHANGE_FEED:
            return f"due: checked {ago}, and {title} has signalled a change since"
        case Reason.INDEX:
            return f"due: checked {ago}, and it is likely to have changed since"
        case Reason.BELOW_CUTOFF:
            return f"not due until {_day(decision.due_at)}: checked {ago}, and it is unlikely to have changed since"
        case Reason.AGE_TABLE:
            return f"due: checked {ago}; {_rule(movie, decision.source, now)}"
        case Reason.CEILING:
            return f"due: checked {ago}, and nothing of {title} is kept for long without being asked for again"
        case Reason.MANUAL:
            return f"due: forced by hand on {_day(movie.override_at)}"
        case Reason.FRESH:
            return f"not due until {_day(decision.due_at)}: checked {ago}; {_rule(movie, decision.source, now)}"
        case Reason.FROZEN:
            return f"not due{_until(decision)}: {_frozen(movie)}"
        case Reason.BACKOFF:
            failures = f"{state.failures} attempt{'s' if state.failures > 1 else ''} in a row failed"
            return f"not due until {_day(decision.due_at)}: {failures}, so it waits {_days(backoff(state.failures))}"
        case Reason.NO_IMDB_ID:
            return f"not due: TMDB gives no IMDb id, and {title} is asked by it; it counts as complete without"
        case Reason.TOMBSTONE:
            return f"not due: {title} has held it no more since {_day(state.tombstoned_at)} (confirmed twice)"


def describe_age(movie: MovieState, now: datetime) -> str:
    """A movie's age in words: `archived: released 412 days ago`."""
    category = band_of(movie.release_date, now).category
    age = age_in_days(movie.release_date, now)
    if movie.release_date is None:
        return f"{category}: no release date is known"
    return f"{category}: released {_plural(age)} ago" if age >= 0 else f"{category}: release in {_plural(-age)}"


def _rule(movie: MovieState, source: str, now: datetime) -> str:
    return f"asked every {_days(interval(source, movie.release_date, now))} ({describe_age(movie, now)})"


def _frozen(movie: MovieState) -> str:
    if movie.override is Override.FREEZE:
        return f"frozen by hand on {_day(movie.override_at)}"
    return (
        f"frozen, since {movie.unchanged_cycles} refresh cycles in a row (at least {FREEZE_AFTER_CYCLES}, counted at"
        f" {SOURCES[CYCLE_SOURCE].title}) found no change and it is {CATEGORIES[-1]}"
    )


def _until(decision: Decision) -> str:
    return f" until {_day(decision.due_at)}, when the terms of use ask for it" if decision.due_at else ""


def _day(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "an unknown day"


def _ago(span: timedelta) -> str:
    return f"{_days(span)} ago" if span >= timedelta(hours=1) else "less than an hour ago"


def _days(span: timedelta) -> str:
    return _plural(span.days) if span >= timedelta(days=1) else f"{span.total_seconds() / 3600:.0f} hours"


def _plural(days: int) -> str:
    return f"{days:,} day{'' if days == 1 else 's'}"
