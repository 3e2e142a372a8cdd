"""Value of refresh: what asking again is worth, by how often a movie changes and how much its freshness matters.

Expected changes since the last check x = λ · silent days + signals · ln(1 / (1 − precision)), probability of being
stale 1 − e^−x, value V = w · worth(x) / λ. The worth is in `worth.py`; how λ and w are learned, in `learning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp, floor

from ayne_dagster.refresh.ages import AGE_TABLE, age_in_days, band_of, by_age_sql
from ayne_dagster.refresh.feeds import MICROSECOND, Feed, double_sql, silent_days, silent_days_sql
from ayne_dagster.refresh.learning import (
    NEW_RELEASE_DAYS,
    POPULARITY_SHARE,
    expected_of_share,
    factor,
    importance,
    importance_sql,
)
from ayne_dagster.refresh.rules import Reason, Strategy, is_recheck_due
from ayne_dagster.refresh.states import SOURCES, MovieState, ahead_sql, is_ahead
from ayne_dagster.refresh.worth import Worth

CUTOFF_SHARE = 0.001
"""A movie that is stale with less is left alone, out of courtesy: the order by value decides who is asked for, and the
budget how many. At 5 % two thirds of a plentiful budget were left unspent while movies went stale."""
CUTOFF = expected_of_share(CUTOFF_SHARE)
"""The expected changes that this is."""
SHORTEST_INTERVAL = timedelta(hours=20)
"""Without a signal a movie is asked for no sooner again: what keeps a collection polite that is small for its budget.
Somewhat less than a day, so that a daily collection which begins a little earlier than yesterday misses nothing."""
RESERVE_SHARE = 0.6
"""Of a batch so much is at most given to movies near the ceiling. The age table spends at least a request a movie
in 90 days, and the ceiling needs one in 150: whoever has the table's budget keeps it with this share."""
RESERVE_WITHOUT_CEILING = 0.25
"""The same at a source whose terms ask for nothing."""
SMALL_RESERVE = 0.01
"""What is given where the budget cannot keep the ceiling: more would ruin the freshness of all the others for nothing.
So nothing is forgotten either."""
RESERVE_DAYS = 20
"""Movies come near the ceiling so many days before it, spread by their ids."""
LONGEST_UNCHECKED = timedelta(days=170)
"""What stands for the ceiling at a source without one: a movie that is believed never to change would not be looked at
again, however plenty requests are. It is no ceiling: no terms ask for it, a person's freeze wins, and whoever waits for
it is no backlog."""

_MANUAL, _NEVER_FETCHED, _RESERVE, _BY_VALUE, _FOR_PARTS, _NOT_DUE = range(6)
"""The turns in which movies are asked for."""
_REASONS = tuple(Reason)
_REASONS_A_TURN = 16
"""Turn and reason at a source are one number in SQL, turn · 16 + place of the reason: the rules are worked out once."""
_LATEST = datetime.max.replace(tzinfo=UTC)
_ROTATION = (37 + (14 + (5**0.5 - 1) / 2) / 24) / 60
"""Turns of the reserve a minute. Steps of an hour and of a day are as evenly spread as those of a minute."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What refreshing a movie at a source is worth at an instant, and the numbers that this rests on."""

    expected_changes: float
    p_stale: float
    rate: float
    """Relevant changes a day."""
    bucket_rate: float
    factor: float
    """How many times as often as its bucket the movie changes."""
    importance: float
    value: float
    cutoff: float
    """Expected changes from which on the movie is due."""
    reaches_cutoff: datetime | None
    """When they reach it if nothing is signalled; None: not foreseeable."""


class ValueOfRefreshStrategy(Strategy):
    """Due when it is likely enough to have changed; the most valuable first.

    Args:
        feeds: by source, the change feed that is read for it.
        mean_popularity: of the catalogue; weighs movies whose importance has not been worked out yet.
        cutoff: probability of being stale below which a movie is left alone, from 0 to below 1.
        popularity_share: how much of the weight of all movies goes by popularity, from 0 to 1.
        reserves: by source, the share of a batch that movies near the ceiling may take; the most where it is not told.
    """

    name = "value_of_refresh"
    routine = Reason.INDEX
    rest = Reason.BELOW_CUTOFF

    def __init__(
        self,
        feeds: Mapping[str, Feed] | None = None,
        mean_popularity: float = 1.0,
        *,
        cutoff: float = CUTOFF_SHARE,
        popularity_share: float = POPULARITY_SHARE,
        reserves: Mapping[str, float] | None = None,
    ) -> None:
        self.feeds: Mapping[str, Feed] = dict(feeds or {})
        self.mean_popularity = mean_popularity if mean_popularity > 0 else 1.0
        self.cutoff = expected_of_share(cutoff)
        self.popularity_share = popularity_share
        self.reserves: Mapping[str, float] = {s: most_reserved(s) for s in SOURCES} | dict(reserves or {})
        self._worth = {source: Worth.under(self.feeds.get(source)) for source in SOURCES}

    # What a movie is worth

    def expected_changes(self, movie: MovieState, source: str, now: datetime) -> float:
        """Changes expected since the last check (x); 0 for a movie never checked."""
        state, feed = movie.at(source), self.feeds.get(source)
        if state.checked_at is None:
            return 0.0
        long_ago = is_ahead(state.checked_at, now)  # by a clock that was ahead: nobody knows when
        days = LONGEST_UNCHECKED.days if long_ago else silent_days(feed, state.checked_at, now)
        silent = self.rate_of(movie, source, now) * days
        signals = state.signals + is_recheck_due(state, now) if self.heeds_signals(source) else 0
        return silent + signals * (feed or Feed()).weight_of_signal

    def rate_of(self, movie: MovieState, source: str, now: datetime) -> float:
        """Changes a day (λ): as stored, or one an interval of the age table where nothing is."""
        stored = movie.at(source).rate
        return stored if stored is not None else 1 / band_of(movie.release_date, now).interval_days[source]

    def importance_of(self, movie: MovieState, now: datetime) -> float:
        """Weight of the movie's freshness (w): as stored, or worked out from its popularity."""
        if movie.importance is not None:
            return movie.importance
        is_new = age_in_days(movie.release_date, now) <= NEW_RELEASE_DAYS
        return importance(movie.popularity, self.mean_popularity, is_new, self.popularity_share)

    def value(self, movie: MovieState, source: str, now: datetime) -> float:
        """What asking now is worth (V)."""
        expected = self.expected_changes(movie, source, now)
        return self.importance_of(movie, now) * (self._worth[source].of(expected) / self.rate_of(movie, source, now))

    def assess(self, movie: MovieState, source: str, now: datetime) -> Assessment:
        """All the numbers of a decision."""
        state, rate = movie.at(source), self.rate_of(movie, source, now)
        expected = self.expected_changes(movie, source, now)
        times = factor(state.exposure, state.changes)
        return Assessment(
            expected_changes=expected,
            p_stale=1 - exp(-expected),
            rate=rate,
            bucket_rate=rate / times,
            factor=times,
            importance=self.importance_of(movie, now),
            value=self.value(movie, source, now),
            cutoff=self.cutoff,
            reaches_cutoff=self._reaches_cutoff(movie, source, rate),
        )

    # The strategy's parts of the rules

    def heeds_signals(self, source: str) -> bool:
        """Only the source's own: those of others were measured to tell little of what only the source can tell."""
        return SOURCES[source].has_change_feed

    def freezes(self, movie: MovieState, now: datetime) -> bool:
        """Never: what is stable has a low rate, and is asked for rarely."""
        return False

    def freezes_sql(self) -> None:
        """Never."""
        return

    def ceiling_of(self, movie: MovieState, source: str) -> timedelta | None:
        """Up to 20 days before the source's ceiling, so that movies fetched on one day do not all come back on one."""
        ceiling = SOURCES[source].ceiling
        return ceiling and _spread(movie, ceiling)

    def _is_long_unchecked(self, movie: MovieState, source: str, now: datetime) -> bool:
        checked_at = movie.at(source).checked_at
        if checked_at is None:
            return False
        return is_ahead(checked_at, now) or now >= checked_at + _spread(movie, LONGEST_UNCHECKED)

    def ceiling_sql(self, source: str) -> str:
        """Checked longer ago than the movie's own ceiling, or than what stands for one."""
        checked, ceiling = f"{source}_checked_at", SOURCES[source].ceiling or LONGEST_UNCHECKED
        first = ceiling.days - RESERVE_DAYS
        # The first comparison spares most movies the second.
        return (
            f"(({checked} <= $now - INTERVAL {first} DAY AND {checked} <= $now"
            f" - to_days(CAST({first} + tmdb_id % {RESERVE_DAYS} AS INTEGER))) OR {ahead_sql(checked)})"
        )

    def is_due_by_routine(self, movie: MovieState, source: str, now: datetime) -> bool:
        """Whether the expected changes have reached the cut-off, and the shortest interval has passed.

        Without a ceiling, also after long without a check.
        """
        checked_at = movie.at(source).checked_at
        ahead = is_ahead(checked_at, now)  # of which nobody knows when it was
        if checked_at is not None and not ahead and now < checked_at + SHORTEST_INTERVAL:
            return False
        if self.expected_changes(movie, source, now) >= self.cutoff:
            return True
        return not SOURCES[source].ceiling and self._is_long_unchecked(movie, source, now)

    def routine_since(self, movie: MovieState, source: str, now: datetime) -> datetime | None:
        """The first of the instants at which it is, at the movie's present rate."""
        turns = self._routine_turns(movie, source, [self.rate_of(movie, source, now)])
        return min(turns, default=None)

    def routine_turns(self, movie: MovieState, source: str) -> list[datetime]:
        """These instants at the stored rate, or at the rate of each age."""
        stored = movie.at(source).rate
        rates = [stored] if stored is not None else [1 / band.interval_days[source] for band in AGE_TABLE]
        return self._routine_turns(movie, source, rates)

    def _routine_turns(self, movie: MovieState, source: str, rates: list[float]) -> list[datetime]:
        checked_at = movie.at(source).checked_at
        if checked_at is None:
            return []
        turns = [self._reaches_cutoff(movie, source, rate) for rate in rates]
        if not SOURCES[source].ceiling:
            turns.append(checked_at + _spread(movie, LONGEST_UNCHECKED))
        return [max(turn, checked_at + SHORTEST_INTERVAL) for turn in turns if turn is not None]

    def routine_sql(self, source: str) -> str:
        """`is_due_by_routine`."""
        return self._routine_sql(source, self._silent_changes_sql(source))

    def _routine_sql(self, source: str, silent_changes: str) -> str:
        reaches = f"{silent_changes} >= {double_sql(self.cutoff)}"
        due = reaches if SOURCES[source].ceiling else f"({reaches} OR {self.ceiling_sql(source)})"
        hours = SHORTEST_INTERVAL // timedelta(hours=1)
        checked = f"{source}_checked_at"
        return f"(({checked} <= $now - INTERVAL {hours} HOUR OR {ahead_sql(checked)}) AND {due})"

    def _reaches_cutoff(self, movie: MovieState, source: str, rate: float) -> datetime | None:
        """The first microsecond at which rate · silent days ≥ the cut-off, by bisection: the very sum that SQL does."""
        checked, feed = movie.at(source).checked_at, self.feeds.get(source)
        if checked is None:
            return None
        noticed = 1 - feed.recall if feed else 1.0
        longest = self.cutoff / (rate * noticed) * 1.001 + 1  # days; gaps of the feed make it less
        if longest >= (_LATEST - checked).days:
            return None
        low, high = 0, timedelta(days=longest) // MICROSECOND
        while low < high:
            middle = (low + high) // 2
            if rate * silent_days(feed, checked, checked + middle * MICROSECOND) >= self.cutoff:
                high = middle
            else:
                low = middle + 1
        return checked + low * MICROSECOND

    def reserved_places(self, sources: tuple[str, ...], now: datetime, limit: int) -> int:
        """How many places of a batch movies near the ceiling may take.

        What is less than a place is not lost: it makes a place in as many batches as it is of one, by the clock, so
        that batches of three movies, or of one, keep room as well as large ones.
        """
        minutes = int(now.timestamp() // 60)
        turn = minutes * _ROTATION - floor(minutes * _ROTATION)
        return floor(limit * max(self.reserves[source] for source in sources) + turn)

    def _reserved_places_sql(self, sources: tuple[str, ...]) -> str:
        """`reserved_places`, from `$now` and `$limit`."""
        turns = f"(epoch_us($now) // 60000000) * {double_sql(_ROTATION)}"
        share = double_sql(max(self.reserves[source] for source in sources))
        return f"CAST(floor($limit * {share} + ({turns} - floor({turns}))) AS BIGINT)"

    # The strategy's order

    def due_query(self, sources: tuple[str, ...], *, within: str | None = None) -> str:
        """See `Strategy.due_query`."""
        names = ", ".join(f"'{reason}'" for reason in _REASONS)
        reasons = [f"[{names}][{source}_code % {_REASONS_A_TURN} + 1] AS {source}_reason" for source in sources]
        separator = ",\n       "
        # Who is not among the first while nothing is reserved cannot be so behind a reserve.
        return f"""
WITH {self._valued_sql(sources, within)},
best AS (FROM valued ORDER BY {_ORDER} LIMIT $limit),
{self._placed_sql(sources, "best")},
first AS (FROM placed ORDER BY {_ORDER} LIMIT $limit)
SELECT tmdb_id, release_year, release_date, imdb_id,
       {separator.join(reasons)}
FROM refresh_metadata JOIN first USING (tmdb_id)
WHERE turn < {_NOT_DUE}
ORDER BY {_ORDER}"""

    def rank_query(self, source: str) -> str:
        """See `Strategy.rank_query`."""
        return f"""
WITH {self._valued_sql((source,), None)},
{self._placed_sql((source,), "valued")}
SELECT place
FROM (SELECT tmdb_id, turn, row_number() OVER (ORDER BY {_ORDER}) AS place FROM placed)
WHERE tmdb_id = $tmdb_id AND turn < {_NOT_DUE}"""

    def _placed_sql(self, sources: tuple[str, ...], ordered: str) -> str:
        """Common table expressions that end with `placed`: the movies of `ordered` and those for which room is kept.

        Room is kept for those of `valued` that were not checked for longest.
        """
        columns = ", ".join(["tmdb_id", *(f"{source}_code" for source in sources)])
        return f"""reserve AS (
    SELECT {columns}, least(turn, {_RESERVE}) AS turn,
           CASE WHEN turn < {_RESERVE} THEN measure ELSE -unchecked_since END AS measure
    FROM valued WHERE unchecked_since IS NOT NULL ORDER BY unchecked_since, tmdb_id
    LIMIT {self._reserved_places_sql(sources)}
),
placed AS (
    FROM reserve UNION ALL SELECT {columns}, turn, measure FROM {ordered} ANTI JOIN reserve USING (tmdb_id)
)"""

    def _valued_sql(self, sources: tuple[str, ...], within: str | None) -> str:
        """Each movie's turn while nothing is reserved, its measure, and the check since which it may use the reserve.

        Innermost, what rules and value both need is worked out. Nothing is filtered: DuckDB would work out all that a
        condition rests on before the condition, and again after it. So who is not due comes last.
        """
        columns = ", ".join(f"{source}_rate, {source}_checked_at" for source in sources)
        codes = [f"{self._code_sql(source)} AS {source}_code" for source in sources]
        expected = [f"{self._expected_changes_sql(source)} AS {source}_expected" for source in sources]
        silent = [f"{self._silent_changes_sql(source)} AS {source}_silent" for source in sources]
        values = ", ".join(self._value_sql(source) for source in sources)
        separator = ",\n               "
        return f"""valued AS MATERIALIZED (
    SELECT tmdb_id, {", ".join(f"{source}_code" for source in sources)},
           least({", ".join(f"{source}_code" for source in sources)}) // {_REASONS_A_TURN} AS turn,
           {self._importance_sql()}
               * CASE WHEN turn < {_RESERVE} THEN 1 ELSE greatest({values}) END AS measure,
           least({", ".join(self._unchecked_since_sql(source) for source in sources)}) AS unchecked_since
    FROM (
        SELECT tmdb_id, release_date, importance, popularity, {columns},
               {separator.join(codes + expected)}
        FROM (
            SELECT *, {separator.join(silent)}
            FROM refresh_metadata{f" WHERE {within}" if within else ""}
        )
    )
)"""

    def _code_sql(self, source: str) -> str:
        """In which turn a movie is asked for at a source while nothing is reserved, and why: one number."""

        def code(reason: Reason) -> str:
            if reason is Reason.CHANGE_FEED:
                never, known = (_code(turn, reason) for turn in (_NEVER_FETCHED, _BY_VALUE))
                return f"CASE WHEN {source}_checked_at IS NULL THEN {never} ELSE {known} END"
            return str(_code(_TURNS.get(reason, _NOT_DUE), reason))

        return self.first_rule_sql(source, code, routine=self._routine_sql(source, f"{source}_silent"))

    def fresh_sql(self, source: str) -> str:
        """The probability that nothing has changed since the last check; NULL for a movie never checked."""
        return f"exp(-({self._expected_of_sql(source, self._silent_changes_sql(source))}))"

    def _expected_changes_sql(self, source: str) -> str:
        """`expected_changes`, from `_silent_changes_sql` as a column."""
        return self._expected_of_sql(source, f"{source}_silent")

    def _expected_of_sql(self, source: str, silent_changes: str) -> str:
        if not self.heeds_signals(source):
            return silent_changes
        signals = f"(coalesce({source}_signals, 0) + CASE WHEN {source}_recheck_at <= $now THEN 1 ELSE 0 END)"
        return f"{silent_changes} + {signals} * {double_sql((self.feeds.get(source) or Feed()).weight_of_signal)}"

    def _value_sql(self, source: str) -> str:
        """`value` without the weight, from `_expected_changes_sql` as a column; NULL where a movie is not due."""
        value = f"{self._worth[source].sql(f'{source}_expected')} / {_rate_sql(source)}"
        return f"CASE WHEN {source}_code < {_NOT_DUE * _REASONS_A_TURN} THEN {value} END"

    def _unchecked_since_sql(self, source: str) -> str:
        """Microseconds since 1970 of the last check of a movie that may use the reserve; NULL for others."""
        reason = Reason.CEILING if SOURCES[source].ceiling else Reason.INDEX
        may = f"{source}_code = {_code(_BY_VALUE, reason)} AND {self.ceiling_sql(source)}"
        return f"CASE WHEN {may} THEN epoch_us({source}_checked_at) END"

    def _silent_changes_sql(self, source: str) -> str:
        """Changes expected of which there was no signal."""
        checked = f"{source}_checked_at"
        days = silent_days_sql(self.feeds.get(source), checked)
        long_ago = double_sql(float(LONGEST_UNCHECKED.days))
        return f"{_rate_sql(source)} * CASE WHEN {ahead_sql(checked)} THEN {long_ago} ELSE {days} END"

    def _importance_sql(self) -> str:
        return f"coalesce(importance, {importance_sql(double_sql(self.mean_popularity), self.popularity_share)})"


_TURNS = {
    Reason.MANUAL: _MANUAL,
    Reason.NEVER_FETCHED: _NEVER_FETCHED,
    Reason.CEILING: _BY_VALUE,
    Reason.INDEX: _BY_VALUE,
    Reason.INCOMPLETE: _FOR_PARTS,
}
_ORDER = "turn, measure DESC NULLS LAST, tmdb_id"


def most_reserved(source: str) -> float:
    """The share of a batch that movies of a source that were not checked for long take at most."""
    return RESERVE_SHARE if SOURCES[source].ceiling else RESERVE_WITHOUT_CEILING


def _code(turn: int, reason: Reason) -> int:
    """Turn and reason as one number."""
    return turn * _REASONS_A_TURN + _REASONS.index(reason)


def _spread(movie: MovieState, ceiling: timedelta) -> timedelta:
    """Up to 20 days before a ceiling, by the movie's id."""
    return ceiling - timedelta(days=RESERVE_DAYS - movie.tmdb_id % RESERVE_DAYS)


def _rate_sql(source: str) -> str:
    """`rate_of`."""
    first = by_age_sql([double_sql(1 / band.interval_days[source]) for band in AGE_TABLE])
    return f"coalesce({source}_rate, {first})"
