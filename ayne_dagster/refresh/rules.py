"""What all strategies have in common: reasons, decisions, and the order of the rules, in Python and as SQL.

Each rule stands once, with both of its forms; a property test holds the two together. What is a strategy's own (when it
freezes, when a ceiling nears, what is due by routine, in which order) stands in `age_table.py` and `value.py`.
SQL takes the instant as the parameter `$now` (TIMESTAMP, UTC); identifiers come from the code, never from data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from ayne_dagster.refresh.ages import band_starts
from ayne_dagster.refresh.learning import POPULARITY_SHARE
from ayne_dagster.refresh.states import (
    AHEAD,
    COLLECTED,
    FORCING,
    FREEZING,
    SOURCES,
    MovieState,
    SourceState,
    ahead_sql,
    applies,
    is_ahead,
    overridden_sql,
)

BACKOFF_MAX_DAYS = 30


class Reason(StrEnum):
    """Why a movie is due for a source (those in DUE_REASONS), or why it is not."""

    NEVER_FETCHED = "never_fetched"
    CHANGE_FEED = "change_feed"
    AGE_TABLE = "age_table"
    INDEX = "index"
    CEILING = "ceiling"
    MANUAL = "manual"
    INCOMPLETE = "incomplete"
    """What is stored is fresh, and lacks parts that only another answer can bring. Whoever is due for nothing else
    comes last."""
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
    Reason.INCOMPLETE,
)
"""The reasons to ask; the others are reasons not to."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a movie is due for a source, why, and from when on (None: not foreseeable)."""

    source: str
    due: bool
    reason: Reason
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason, and when it holds: for one movie at an instant, and as SQL over refresh_metadata for all."""

    reason: Reason
    holds: Callable[[MovieState, datetime], bool]
    sql: str


def backoff(failures: int) -> timedelta:
    """How long to leave a failing movie alone: 1, 2, 4 … days, at most 30."""
    return timedelta(days=min(BACKOFF_MAX_DAYS, 2 ** min(failures - 1, 10))) if failures else timedelta(0)


def has_signal(movie: MovieState) -> bool:
    """Whether a change was signalled at any source with a feed that has not been followed up."""
    return any(movie.at(source).signals > 0 for source in COLLECTED)


class Strategy(ABC):
    """Which movies, in which order, and why: in Python for one movie, as SQL over refresh_metadata for all.

    Both forms give the same answer for every movie. A strategy's own parts are the abstract methods.
    """

    name: str
    routine: Reason
    """Why a movie is due in the ordinary course of things."""
    rest: Reason
    """Why it is not."""
    popularity_share: float = POPULARITY_SHARE
    """How much of the weight of all movies goes by popularity, where weights are worked out."""

    # What a strategy adds, in Python

    @abstractmethod
    def freezes(self, movie: MovieState, now: datetime) -> bool:
        """Whether refreshes for freshness' sake have stopped without a person's doing."""

    @abstractmethod
    def ceiling_of(self, movie: MovieState, source: str) -> timedelta | None:
        """The age of an answer from which on the terms of use make the movie due; None: they do not."""

    def heeds_signals(self, source: str) -> bool:
        """Whether a signal that a movie may have changed at a source makes it due there."""
        return True

    @abstractmethod
    def is_due_by_routine(self, movie: MovieState, source: str, now: datetime) -> bool:
        """Whether a movie that was checked is due in the ordinary course."""

    @abstractmethod
    def routine_since(self, movie: MovieState, source: str, now: datetime) -> datetime | None:
        """Since or from when on it is, by what holds at `now`."""

    @abstractmethod
    def routine_turns(self, movie: MovieState, source: str) -> list[datetime]:
        """The instants at which time alone can make a movie that was checked due in the ordinary course."""

    # What a strategy adds, as SQL

    @abstractmethod
    def freezes_sql(self) -> str | None:
        """`freezes`; None where it never does."""

    @abstractmethod
    def ceiling_sql(self, source: str) -> str:
        """Whether the last check is older than the ceiling, for a source that has one."""

    @abstractmethod
    def routine_sql(self, source: str) -> str:
        """`is_due_by_routine`."""

    @abstractmethod
    def due_query(self, sources: tuple[str, ...], *, within: str | None = None) -> str:
        """Movies due for any of the sources, in order.

        Parameters of the query: `$now`, `$limit`; with `within`, also those that this condition names.

        Returns:
            SQL that yields tmdb_id, release_year, release_date, imdb_id and, for each source, `<source>_reason`.
        """

    @abstractmethod
    def rank_query(self, source: str) -> str:
        """The place of the movie `$tmdb_id` in the order of those due for a source, from 1; no row if it is not due.

        Parameters of the query: `$now`, `$limit` (of the batches whose order it is), `$tmdb_id`.
        """

    # The rules

    @cached_property
    def _rules(self) -> Mapping[str, tuple[Rule, ...]]:
        return {source: self.rules(source, self.routine_sql(source)) for source in SOURCES}

    @cached_property
    def _freezing(self) -> tuple[Rule, ...]:
        """By hand, and of itself, where the strategy lets it."""
        freezes = self.freezes_sql()
        if freezes is None:
            return (_FROZEN_BY_HAND,)
        return (
            _FROZEN_BY_HAND,
            Rule(
                Reason.FROZEN,
                lambda movie, now: self.freezes(movie, now) and not has_signal(movie),
                f"({freezes} AND NOT {has_signal_sql()})",
            ),
        )

    def rules(self, source: str, routine_sql: str) -> tuple[Rule, ...]:
        """The rules in their order, of which the first that holds decides.

        A check or attempt that lies in the future was noted by a clock that was ahead. Nobody knows when it was: so it
        is long enough ago for the ceiling and for the routine, and makes nothing wait.

        Args:
            source: what is to be asked.
            routine_sql: the condition of the strategy's routine.
        """

        def here(holds: Callable[[SourceState, datetime], bool]) -> Callable[[MovieState, datetime], bool]:
            return lambda movie, now: holds(movie.at(source), now)

        needs_imdb_id, ceiling = SOURCES[source].needs_imdb_id, SOURCES[source].ceiling
        by_hand, *of_itself = self._freezing
        rules = (
            Rule(Reason.NO_IMDB_ID, lambda movie, _: not applies(source, movie), "imdb_id IS NULL")
            if needs_imdb_id
            else None,
            Rule(Reason.MANUAL, lambda movie, now: is_forced(movie, movie.at(source), now), forced_sql(source)),
            Rule(
                Reason.TOMBSTONE,
                here(lambda state, _: bool(state.tombstoned_at)),
                f"{source}_tombstoned_at IS NOT NULL",
            ),
            Rule(Reason.BACKOFF, here(is_backing_off), _backing_off_sql(source)),
            Rule(Reason.CEILING, lambda movie, now: self._is_past_ceiling(movie, source, now), self.ceiling_sql(source))
            if ceiling
            else None,
            by_hand,
            Rule(Reason.CHANGE_FEED, here(is_change_due), f"({source}_signals > 0 OR {source}_recheck_at <= $now)")
            if self.heeds_signals(source)
            else None,
            *of_itself,
            Rule(Reason.NEVER_FETCHED, here(lambda state, _: state.checked_at is None), f"{source}_checked_at IS NULL"),
            Rule(self.routine, lambda movie, now: self.is_due_by_routine(movie, source, now), routine_sql),
            Rule(Reason.INCOMPLETE, here(are_parts_due), f"{source}_parts_due_at <= $now"),
        )
        return tuple(rule for rule in rules if rule)

    def _is_past_ceiling(self, movie: MovieState, source: str, now: datetime) -> bool:
        checked_at, ceiling = movie.at(source).checked_at, self.ceiling_of(movie, source)
        if checked_at is None or ceiling is None:
            return False
        return now >= checked_at + ceiling or is_ahead(checked_at, now)

    # Walked in Python

    def is_frozen(self, movie: MovieState, now: datetime) -> bool:
        """Whether refreshes for freshness' sake have stopped.

        By hand, or of itself; a signal that was not followed up thaws what froze of itself.
        """
        return any(rule.holds(movie, now) for rule in self._freezing)

    def decide(self, movie: MovieState, source: str, now: datetime) -> Decision:
        """Whether the movie is due for the source at `now`, why, and since or from when on."""
        reason = self.reason_at(movie, source, now)
        if reason in DUE_REASONS:
            return Decision(source, True, reason, self._due_since(movie, source, reason, now))
        turns = (at for at in self._turning_points(movie, source) if at > now)
        due_at = next((at for at in turns if self.reason_at(movie, source, at) in DUE_REASONS), None)
        return Decision(source, False, reason, due_at)

    def reason_at(self, movie: MovieState, source: str, now: datetime) -> Reason:
        """The reason of the first rule that holds; a movie for which none does is at rest."""
        for rule in self._rules[source]:
            if rule.holds(movie, now):
                return rule.reason
        return self.rest

    def _due_since(self, movie: MovieState, source: str, reason: Reason, now: datetime) -> datetime:
        state, ceiling = movie.at(source), self.ceiling_of(movie, source)
        since: datetime | None = None
        if reason is Reason.MANUAL:
            return movie.override_at or now
        if reason is Reason.CEILING and state.checked_at and ceiling:
            since = state.checked_at + ceiling
        elif reason is Reason.CHANGE_FEED:
            since = state.signalled_at if state.signals > 0 else state.recheck_at
        elif reason is self.routine:
            since = self.routine_since(movie, source, now)
        elif reason is Reason.INCOMPLETE:
            since = state.parts_due_at
        return min(now, since) if since else now

    def _turning_points(self, movie: MovieState, source: str) -> list[datetime]:
        """All instants, in order, at which time alone can make the movie due: nothing changes between them."""
        state, ceiling = movie.at(source), self.ceiling_of(movie, source)
        points = band_starts(movie.release_date)
        if movie.override and movie.override.forces and movie.override_at:
            points.append(movie.override_at - AHEAD)
        if state.attempted_at:
            points.append(state.attempted_at + backoff(state.failures))
        points += [at for at in (state.recheck_at, state.parts_due_at) if at]
        if state.checked_at:
            points += self.routine_turns(movie, source)
            points += [state.checked_at + ceiling] if ceiling else []
        return sorted(points)

    # Walked as SQL

    def frozen_sql(self) -> str:
        """`is_frozen`."""
        return "(" + " OR ".join(rule.sql for rule in self._freezing) + ")"

    def reason_sql(self, source: str) -> str:
        """The reason code of the decision for a source."""
        return self.first_rule_sql(source, lambda reason: f"'{reason}'")

    def due_sql(self, source: str) -> str:
        """Whether a movie is due for a source: the same rules as truth values, which cost less than texts."""
        return "(" + self.first_rule_sql(source, lambda reason: str(reason in DUE_REASONS).upper()) + ")"

    def waits_for_others_sql(self, sources: tuple[str, ...]) -> str:
        """Whether a movie that is due for any of the sources is so for missing parts alone, and comes after the others.

        Only of those with missing parts the rules are worked out once more.
        """
        urgent = [reason for reason in DUE_REASONS if reason is not Reason.INCOMPLETE]
        pressing = " OR ".join(
            self.first_rule_sql(source, lambda reason: str(reason in urgent).upper()) for source in sources
        )
        lacking = " OR ".join(f"{source}_parts_due_at <= $now" for source in sources)
        return f"CASE WHEN {lacking} THEN NOT ({pressing}) ELSE FALSE END"

    def overdue_sql(self, source: str) -> str:
        """Whether a movie is due for a source by a rule that a sufficient budget satisfies.

        An index only orders: there is always a next movie, and no backlog in it.
        """
        overdue = [reason for reason in DUE_REASONS if reason is not Reason.INDEX]
        return "(" + self.first_rule_sql(source, lambda reason: str(reason in overdue).upper()) + ")"

    def due_count_query(self, sources: tuple[str, ...], *, within: str | None = None) -> str:
        """How many movies are due for each of the sources and for any of them. Parameter: `$now`."""
        counts = ",\n       ".join(f"count(*) FILTER (WHERE {self.due_sql(source)}) AS {source}" for source in sources)
        return f"""
SELECT {counts},
       count(*) FILTER (WHERE {self.due_for_any_sql(sources)}) AS any_source
FROM refresh_metadata{f" WHERE {within}" if within else ""}"""

    def due_for_any_sql(self, sources: tuple[str, ...]) -> str:
        """Whether a movie is due for any of the sources."""
        return "(" + " OR ".join(self.due_sql(source) for source in sources) + ")"

    def first_rule_sql(self, source: str, value: Callable[[Reason], str], *, routine: str | None = None) -> str:
        """A value by the reason of the decision; `routine` stands for `routine_sql` where a query has it at hand."""
        rules = self.rules(source, routine) if routine else self._rules[source]
        cases = [f"WHEN {rule.sql} THEN {value(rule.reason)}" for rule in rules]
        return "CASE " + "\n         ".join(cases) + f"\n         ELSE {value(self.rest)} END"


def has_signal_sql() -> str:
    """`has_signal`."""
    return "(" + " OR ".join(f"coalesce({source}_signals, 0) > 0" for source in COLLECTED) + ")"


def is_forced(movie: MovieState, state: SourceState, now: datetime) -> bool:
    """Forced, and not tried since: one attempt uses a force up, so that a failing movie then backs off.

    An attempt that is held against the source alone (`Outcome.UNAVAILABLE`) leaves neither a check nor a failure, and
    does not.
    """
    if movie.override is None or not movie.override.forces:
        return False
    at, tried = movie.override_at, state.checked_at if state.failures == 0 else state.attempted_at
    if state.attempted_at is None or at is None or is_ahead(state.attempted_at, now):
        return True
    return (state.attempted_at < at or tried is None or tried < at) and not is_ahead(at, now)


def is_frozen_by_hand(movie: MovieState) -> bool:
    """Whether a person wants nothing asked for freshness' sake."""
    return movie.override is not None and movie.override.freezes


def is_backing_off(state: SourceState, now: datetime) -> bool:
    """Left alone after failures: 1, 2, 4 … days, at most 30."""
    if not state.failures or state.attempted_at is None or is_ahead(state.attempted_at, now):
        return False
    return now < state.attempted_at + backoff(state.failures)


def is_change_due(state: SourceState, now: datetime) -> bool:
    """Whether a change was signalled that was not followed up, or is to be looked at once more."""
    return state.signals > 0 or is_recheck_due(state, now)


def is_recheck_due(state: SourceState, now: datetime) -> bool:
    """Whether it is time to look once more at what may have come from a stale cache."""
    return state.recheck_at is not None and now >= state.recheck_at


def are_parts_due(state: SourceState, now: datetime) -> bool:
    """Whether it is time to ask for parts that the last answer lacks."""
    return state.parts_due_at is not None and now >= state.parts_due_at


def forced_sql(source: str) -> str:
    """`is_forced`."""
    attempted, checked = f"{source}_attempted_at", f"{source}_checked_at"
    return (
        f"({overridden_sql(FORCING)}"
        f" AND ({attempted} IS NULL OR override_at IS NULL OR {ahead_sql(attempted)}"
        f" OR (NOT {ahead_sql('override_at')} AND ({attempted} < override_at"
        f" OR ({source}_failures = 0 AND ({checked} IS NULL OR {checked} < override_at))))))"
    )


_FROZEN_BY_HAND = Rule(Reason.FROZEN, lambda movie, now: is_frozen_by_hand(movie), overridden_sql(FREEZING))


def _backing_off_sql(source: str) -> str:
    """`is_backing_off`."""
    failures, attempted = f"{source}_failures", f"{source}_attempted_at"
    days = f"CAST(least({BACKOFF_MAX_DAYS}, pow(2, least({failures} - 1, 10))) AS INTEGER)"
    waits = f"$now < {attempted} + INTERVAL 1 DAY * {days} AND NOT {ahead_sql(attempted)}"
    return f"({failures} > 0 AND coalesce({waits}, FALSE))"
