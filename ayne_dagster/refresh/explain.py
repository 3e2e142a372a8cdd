"""A refresh decision in a person's words, with the dates and numbers it rests on. Decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ayne_dagster.refresh.age_table import CYCLE_SOURCE, FREEZE_AFTER_CYCLES
from ayne_dagster.refresh.ages import CATEGORIES, age_in_days, band_of, interval
from ayne_dagster.refresh.rules import DUE_REASONS, Decision, Reason, backoff
from ayne_dagster.refresh.states import SOURCES, MovieState, Override, is_ahead
from ayne_dagster.refresh.value import SHORTEST_INTERVAL, Assessment
from ayne_dagster.settings.wording import counted

IN_WORDS: Mapping[Reason, str] = {
    Reason.NEVER_FETCHED: "never answered for yet",
    Reason.CHANGE_FEED: "a change was signalled",
    Reason.AGE_TABLE: "its interval has passed",
    Reason.INDEX: "likely to have changed",
    Reason.CEILING: "kept nearly as long as allowed",
    Reason.MANUAL: "forced by hand",
    Reason.INCOMPLETE: "lacks parts",
    Reason.FRESH: "checked lately",
    Reason.BELOW_CUTOFF: "hardly likely to have changed",
    Reason.FROZEN: "frozen",
    Reason.BACKOFF: "waits after a failure",
    Reason.NO_IMDB_ID: "has no IMDb id",
    Reason.TOMBSTONE: "gone there",
}
"""By reason: the same in a few words, for a list; `explain` says it of one movie, with dates and numbers."""


def counted_in_words(reasons: Iterable[Reason]) -> str:
    """How many movies are due for what: `21 never answered for yet, 3 forced by hand`; reasons not to ask left out."""
    counts = Counter(IN_WORDS[reason] for reason in reasons if reason in DUE_REASONS)
    return ", ".join(f"{number:,} {words}" for words, number in counts.most_common()) or "none due"


def why_none_is_due(source: str, reasons: Mapping[Reason, int], until: date | None, looked_ahead: int) -> str:
    """Why none of some movies is due for a source, and until when.

    Args:
        source: which source.
        reasons: how many of them are left alone for what.
        until: the day on which one will be due; None: none will be for `looked_ahead` days.
        looked_ahead: days.

    Example:
        >>> why_none_is_due("tmdb", {Reason.FROZEN: 12, Reason.FRESH: 3}, date(2027, 1, 12), 366)
        'Nothing is due at TMDB until 2027-01-12: 12 frozen, 3 checked lately.'
    """
    when = f"until {until}" if until else f"for {_days(timedelta(days=looked_ahead))} and longer"
    if not reasons:
        return f"Nothing is due at {SOURCES[source].title}: no movie of these years is known."
    ordered = sorted(reasons.items(), key=lambda counted: (-counted[1], counted[0]))
    told = ", ".join(f"{number:,} {IN_WORDS[reason]}" for reason, number in ordered)
    return f"Nothing is due at {SOURCES[source].title} {when}: {told}."


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision does not tell of itself."""

    rank: int | None = None
    """Place of the movie among those due for the source, from 1."""
    due_total: int = 0
    """How many are due for it."""
    hindrance: str | None = None
    """Why the source may not be asked now, and until when."""
    worth: Assessment | None = None
    """The numbers that the decision rests on, where it rests on numbers."""
    has_feed: bool = False
    """Whether a change feed is read for the source."""


def explain(movie: MovieState, decision: Decision, now: datetime, circumstances: Circumstances | None = None) -> str:
    """Why a movie is due for a source, or is not, and when it will be.

    Args:
        movie: its refresh state.
        decision: what a strategy said of it at `now`.
        now: the same instant.
        circumstances: what else is known: rank, budget, numbers.
    """
    known = circumstances or Circumstances()
    if not decision.due:
        return _why_not(movie, decision, now, known)
    rank = f", rank {known.rank:,} of {known.due_total:,}" if known.rank else ""
    hindered = f"; but {known.hindrance}" if known.hindrance else ""
    return f"due{rank}: {_why(movie, decision, now, known)}{hindered}"


def _why(movie: MovieState, decision: Decision, now: datetime, known: Circumstances) -> str:
    """Why a movie is due."""
    state, title = movie.at(decision.source), SOURCES[decision.source].title
    checked = f"checked {_ago(now - state.checked_at)}" if state.checked_at else "never checked"
    if is_ahead(state.checked_at, now):
        checked = "checked at an unknown time, by a clock that was ahead (`ayne check --mend`)"
    numbers = f", {_numbers(known.worth)}" if known.worth and state.checked_at else ""
    match decision.reason:
        case Reason.NEVER_FETCHED:
            return f"{title} has never answered for it"
        case Reason.CHANGE_FEED if state.signals:
            signals = "a change" if state.signals == 1 else f"{state.signals:,} changes"
            who = f"{title}'s feed" if SOURCES[decision.source].has_change_feed else "another source"
            return f"{checked}, and {who} has signalled {signals} since{numbers}"
        case Reason.CHANGE_FEED:
            return f"{checked}, so soon after a change was signalled that {title}'s answer may have been an older one"
        case Reason.INDEX:
            below = known.worth and known.worth.expected_changes < known.worth.cutoff
            return f"{checked}{numbers}{', so long ago that it is asked for whatever it is worth' if below else ''}"
        case Reason.AGE_TABLE:
            return f"{checked}; {_rule(movie, decision.source, now)}"
        case Reason.CEILING:
            return f"{checked}, and nothing of {title} is kept for long without being asked for again{numbers}"
        case Reason.INCOMPLETE:
            return f"{checked}, in an older collection: what {title} told there lacks credits and other parts"
        case Reason.MANUAL:
            return f"forced by hand on {_day(movie.override_at)}"
    raise ValueError(f"{decision.reason} is no reason to ask.")


def _why_not(movie: MovieState, decision: Decision, now: datetime, known: Circumstances) -> str:
    """Why a movie is not due, and when it will be."""
    state, title = movie.at(decision.source), SOURCES[decision.source].title
    checked = f"checked {_ago(now - state.checked_at)}" if state.checked_at else "never checked"
    match decision.reason:
        case Reason.FRESH:
            return f"not due until {_day(decision.due_at)}: {checked}; {_rule(movie, decision.source, now)}"
        case Reason.BELOW_CUTOFF:
            numbers = f", {_numbers(known.worth)}" if known.worth else ""
            silent = ", feed silent" if known.has_feed else ""
            return f"not due: {checked}{numbers}{silent}, {_foreseen(decision, known.worth)}"
        case Reason.FROZEN:
            return f"not due{_until(decision)}: {_frozen(movie)}"
        case Reason.BACKOFF:
            failures = f"{state.failures} attempt{'s' if state.failures > 1 else ''} in a row failed"
            return f"not due until {_day(decision.due_at)}: {failures}, so it waits {_days(backoff(state.failures))}"
        case Reason.NO_IMDB_ID:
            return f"not due: TMDB gives no IMDb id, and {title} is asked by it; it counts as complete without"
        case Reason.TOMBSTONE:
            return f"not due: {title} has held it no more since {_day(state.tombstoned_at)} (confirmed twice)"
    raise ValueError(f"{decision.reason} is a reason to ask.")


def _foreseen(decision: Decision, worth: Assessment | None) -> str:
    """When and why a movie that is left alone will be due if nothing is signalled."""
    if decision.due_at is None:
        return "none in sight"
    if worth and worth.expected_changes >= worth.cutoff:
        return f"asked for no sooner than after {_days(SHORTEST_INTERVAL)}, at {_day(decision.due_at)}"
    if worth and (worth.reaches_cutoff is None or decision.due_at < worth.reaches_cutoff):
        return f"asked for again about {_date(decision.due_at)} whatever it is worth"
    return f"reaches the cut-off about {_date(decision.due_at)}"


def _numbers(worth: Assessment) -> str:
    """`1.3 changes expected, P(stale) 73 %, rate 0.032/day = bucket 0.02 × 1.6`."""
    return (
        f"{worth.expected_changes:.2g} changes expected, P(stale) {worth.p_stale:.0%}, rate {worth.rate:.2g}/day"
        f" = bucket {worth.bucket_rate:.2g} × {worth.factor:.2g}".replace("%", " %")
    )


def describe_age(movie: MovieState, now: datetime) -> str:
    """A movie's age in words: `archived: released 412 days ago`."""
    category = band_of(movie.release_date, now).category
    age = age_in_days(movie.release_date, now)
    if movie.release_date is None:
        return f"{category}: no release date is known"
    return (
        f"{category}: released {counted(age, 'days')} ago"
        if age >= 0
        else f"{category}: release in {counted(-age, 'days')}"
    )


def _rule(movie: MovieState, source: str, now: datetime) -> str:
    return f"asked every {_days(interval(source, movie.release_date, now))} ({describe_age(movie, now)})"


def _frozen(movie: MovieState) -> str:
    if movie.override is Override.FORCE_FROZEN:
        return f"frozen by hand; it was forced once on {_day(movie.override_at)}, and asked for"
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


def _date(instant: datetime) -> str:
    return f"{instant.day} {instant:%B %Y}"


def _ago(span: timedelta) -> str:
    return f"{_days(span)} ago" if span >= timedelta(hours=1) else "less than an hour ago"


def _days(span: timedelta) -> str:
    return counted(span.days, "days") if span >= timedelta(days=1) else f"{span.total_seconds() / 3600:.0f} hours"
