"""Value of refresh: what asking again is worth, by how often a movie changes and how much its freshness matters.

Expected changes since the last check x = λ · silent days + signals · ln(1 / (1 − precision)), probability of being
stale 1 − e^−x, value V = w · (x − ln(1 + x)) / λ: harmonic, so that no movie is given up however fast it changes.
Sources: Cho & Garcia-Molina, TODS 28(4) 2003; Azar et al., PNAS 115:8099 (2018); Kolobov et al., NeurIPS 2019.
How λ and w are learned is in `learning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import exp, log

from ayne_dagster.refresh.ages import AGE_TABLE, age_in_days, band_of, by_age_sql
from ayne_dagster.refresh.feeds import MICROSECOND, Feed, double_sql, silent_days, silent_days_sql
from ayne_dagster.refresh.learning import (
    NEW_RELEASE_DAYS,
    expected_of_share,
    factor,
    importance,
    importance_sql,
)
from ayne_dagster.refresh.rules import Reason, RuledStrategy, is_recheck_due
from ayne_dagster.refresh.states import SOURCES, MovieState

CUTOFF = expected_of_share(0.05)
"""Expected changes below which a movie is left alone: it is stale with less than 5 %. At 10 % a budget as large as the
age table's was not used up, and the popular movies were a point less fresh for it."""
RESERVE_SHARE = 4
"""One in so many of a batch is at most given to movies near the ceiling: with absolute priority a ceiling that cannot
be kept would ruin the freshness of all the others."""
RESERVE_DAYS = 20
"""Movies come near the ceiling so many days before it, spread by their ids."""
LONGEST_UNCHECKED = timedelta(days=170)
"""What stands for the ceiling at a source without one: the index gives up nobody, but where requests are scarce a movie
that few look for would wait for years. Places of the reserve are given to those that are due anyway."""

_MANUAL, _NEVER_FETCHED, _RESERVE, _BY_VALUE = range(4)
"""The turns in which movies are asked for."""
_LATEST = datetime.max.replace(tzinfo=UTC)


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


class ValueOfRefreshStrategy(RuledStrategy):
    """Due when it is likely enough to have changed; the most valuable first.

    Args:
        feeds: by source, the change feed that is read for it.
        mean_popularity: of the catalogue; weighs movies whose importance has not been worked out yet.
    """

    name = "value_of_refresh"
    routine = Reason.INDEX
    rest = Reason.BELOW_CUTOFF

    def __init__(self, feeds: Mapping[str, Feed] | None = None, mean_popularity: float = 1.0) -> None:
        self.feeds: Mapping[str, Feed] = dict(feeds or {})
        self.mean_popularity = mean_popularity if mean_popularity > 0 else 1.0

    # What a movie is worth

    def expected_changes(self, movie: MovieState, source: str, now: datetime) -> float:
        """Changes expected since the last check (x); 0 for a movie never checked."""
        state, feed = movie.at(source), self.feeds.get(source)
        if state.checked_at is None:
            return 0.0
        silent = self.rate_of(movie, source, now) * silent_days(feed, state.checked_at, now)
        signals = state.signals + is_recheck_due(state, now)
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
        return importance(movie.popularity, self.mean_popularity, is_new)

    def value(self, movie: MovieState, source: str, now: datetime) -> float:
        """What asking now is worth (V)."""
        expected = self.expected_changes(movie, source, now)
        return self.importance_of(movie, now) * (expected - log(1 + expected)) / self.rate_of(movie, source, now)

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
        )

    # The strategy's parts of the rules

    def freezes(self, movie: MovieState, now: datetime) -> bool:
        """Never: what is stable has a low rate, and is asked for rarely."""
        return False

    def freezes_sql(self) -> None:
        """Never."""
        return

    def ceiling_of(self, movie: MovieState, source: str) -> timedelta | None:
        """Up to 20 days before the source's ceiling, so that movies fetched on one day do not all come back on one."""
        ceiling = SOURCES[source].ceiling
        return ceiling and ceiling - timedelta(days=RESERVE_DAYS - movie.tmdb_id % RESERVE_DAYS)

    def may_use_reserve(self, movie: MovieState, source: str, now: datetime) -> bool:
        """Whether the movie was not checked for so long that a place of the reserve may be its own."""
        reason, checked_at = self.reason_at(movie, source, now), movie.at(source).checked_at
        if SOURCES[source].ceiling or checked_at is None:
            return reason is Reason.CEILING
        longest = LONGEST_UNCHECKED - timedelta(days=RESERVE_DAYS - movie.tmdb_id % RESERVE_DAYS)
        return reason is Reason.INDEX and now >= checked_at + longest

    def ceiling_sql(self, source: str) -> str:
        """Checked longer ago than the movie's own ceiling, or than what stands for one."""
        checked, ceiling = f"{source}_checked_at", SOURCES[source].ceiling or LONGEST_UNCHECKED
        first = ceiling.days - RESERVE_DAYS
        # The first comparison spares most movies the second.
        return (
            f"({checked} <= $now - INTERVAL {first} DAY AND {checked} <= $now"
            f" - to_days(CAST({first} + tmdb_id % {RESERVE_DAYS} AS INTEGER)))"
        )

    def is_due_by_routine(self, movie: MovieState, source: str, now: datetime) -> bool:
        """Whether the expected changes have reached the cut-off."""
        return self.expected_changes(movie, source, now) >= CUTOFF

    def routine_since(self, movie: MovieState, source: str, now: datetime) -> datetime | None:
        """When the expected changes reach the cut-off, at the movie's present rate."""
        return self._reaches_cutoff(movie, source, self.rate_of(movie, source, now))

    def routine_turns(self, movie: MovieState, source: str) -> list[datetime]:
        """When they reach it: at the stored rate, or at the rate of each age."""
        stored = movie.at(source).rate
        rates = [stored] if stored is not None else [1 / band.interval_days[source] for band in AGE_TABLE]
        turns = (self._reaches_cutoff(movie, source, rate) for rate in rates)
        return [turn for turn in turns if turn is not None]

    def routine_sql(self, source: str) -> str:
        """Whether the expected changes have reached the cut-off."""
        return f"{self._silent_changes_sql(source)} >= {double_sql(CUTOFF)}"

    def _reaches_cutoff(self, movie: MovieState, source: str, rate: float) -> datetime | None:
        """The first microsecond at which rate · silent days ≥ the cut-off, by bisection: the very sum that SQL does."""
        checked, feed = movie.at(source).checked_at, self.feeds.get(source)
        if checked is None:
            return None
        noticed = 1 - feed.recall if feed else 1.0
        longest = CUTOFF / (rate * noticed) * 1.001 + 1  # days; gaps of the feed make it less
        if longest >= (_LATEST - checked).days:
            return None
        low, high = 0, timedelta(days=longest) // MICROSECOND
        while low < high:
            middle = (low + high) // 2
            if rate * silent_days(feed, checked, checked + middle * MICROSECOND) >= CUTOFF:
                high = middle
            else:
                low = middle + 1
        return checked + low * MICROSECOND

    # The strategy's order

    def due_query(self, sources: tuple[str, ...], *, within: str | None = None) -> str:
        """See `RuledStrategy.due_query`."""
        reasons = ",\n       ".join(f"{self.reason_sql(source)} AS {source}_reason" for source in sources)
        return f"""
WITH {self._placed_sql(sources, within)},
first AS (SELECT * FROM placed ORDER BY {_ORDER} LIMIT $limit)
SELECT tmdb_id, release_year, release_date, imdb_id,
       {reasons}
FROM refresh_metadata JOIN first USING (tmdb_id)
WHERE turn IS NOT NULL
ORDER BY {_ORDER}"""

    def rank_query(self, source: str) -> str:
        """See `RuledStrategy.rank_query`."""
        return f"""
WITH {self._placed_sql((source,), None)}
SELECT place
FROM (SELECT tmdb_id, turn, row_number() OVER (ORDER BY {_ORDER}) AS place FROM placed)
WHERE tmdb_id = $tmdb_id AND turn IS NOT NULL"""

    def _placed_sql(self, sources: tuple[str, ...], within: str | None) -> str:
        """Common table expressions that end with `placed`: every movie's turn (NULL: not due) and its measure in it.

        Nothing is filtered: the rules are worked out once, as the turn, and who is not due comes last.
        """
        turns = [f"{self._turn_sql(source)} AS {source}_turn" for source in sources]
        values = [f"CASE WHEN {source}_turn = {_BY_VALUE} THEN {self._value_sql(source)} END" for source in sources]
        columns = dict.fromkeys(column for source in sources for column in _value_columns(source))
        separator = ",\n           "
        return f"""{self._reserve_sql(sources, within)},
placed AS (
    SELECT tmdb_id, least({", ".join(f"{source}_turn" for source in sources)}) AS turn,
           CASE WHEN turn < {_RESERVE} THEN {self._importance_sql()} WHEN turn = {_RESERVE} THEN -reserved
                ELSE greatest({", ".join(values)}) END AS measure
    FROM (
        SELECT tmdb_id, release_date, importance, popularity, reserved, {", ".join(columns)},
               {separator.join(turns)}
        FROM refresh_metadata LEFT JOIN reserve USING (tmdb_id){f" WHERE {within}" if within else ""}
    )
)"""

    def _reserve_sql(self, sources: tuple[str, ...], within: str | None) -> str:
        """The movies for which room is kept, with the time of their last check: those not checked for longest."""
        candidates = " UNION ALL ".join(
            f"SELECT tmdb_id, epoch_us({source}_checked_at) AS reserved FROM refresh_metadata"
            f" WHERE {self.ceiling_sql(source)} AND {self.first_rule_sql(source, partial(_uses_reserve, source))}"
            + (f" AND {within}" if within else "")
            for source in sources
        )
        return f"""reserve AS (
    SELECT tmdb_id, min(reserved) AS reserved FROM ({candidates})
    GROUP BY tmdb_id ORDER BY reserved, tmdb_id LIMIT $limit // {RESERVE_SHARE}
)"""

    def _turn_sql(self, source: str) -> str:
        """In which turn a movie is asked for at a source; NULL where it is not due."""

        def turn(reason: Reason) -> str:
            if reason is Reason.CHANGE_FEED:
                return f"CASE WHEN {source}_checked_at IS NULL THEN {_NEVER_FETCHED} ELSE {_BY_VALUE} END"
            if _is_reserved_for(source) is reason:
                return f"CASE WHEN reserved IS NULL THEN {_BY_VALUE} ELSE {_RESERVE} END"
            return str(_TURNS.get(reason, "NULL"))

        return self.first_rule_sql(source, turn)

    def _value_sql(self, source: str) -> str:
        """`value`."""
        silent, signals = self._silent_changes_sql(source), self._signals_sql(source)
        expected = f"({silent} + {signals} * {double_sql((self.feeds.get(source) or Feed()).weight_of_signal)})"
        return f"{self._importance_sql()} * ({expected} - ln(1 + {expected})) / {_rate_sql(source)}"

    def _silent_changes_sql(self, source: str) -> str:
        """Changes expected of which there was no signal."""
        return f"{_rate_sql(source)} * {silent_days_sql(self.feeds.get(source), f'{source}_checked_at')}"

    def _signals_sql(self, source: str) -> str:
        return f"(coalesce({source}_signals, 0) + CASE WHEN {source}_recheck_at <= $now THEN 1 ELSE 0 END)"

    def _importance_sql(self) -> str:
        return f"coalesce(importance, {importance_sql(double_sql(self.mean_popularity))})"


_TURNS = {
    Reason.MANUAL: _MANUAL,
    Reason.NEVER_FETCHED: _NEVER_FETCHED,
    Reason.INDEX: _BY_VALUE,
}
_ORDER = "turn NULLS LAST, measure DESC NULLS LAST, tmdb_id"


def _is_reserved_for(source: str) -> Reason:
    """For what reason the movies of a source are due that may use the reserve."""
    return Reason.CEILING if SOURCES[source].ceiling else Reason.INDEX


def _uses_reserve(source: str, reason: Reason) -> str:
    return str(reason is _is_reserved_for(source)).upper()


def _value_columns(source: str) -> tuple[str, ...]:
    return tuple(f"{source}_{name}" for name in ("checked_at", "rate", "signals", "recheck_at"))


def _rate_sql(source: str) -> str:
    """`rate_of`."""
    first = by_age_sql([double_sql(1 / band.interval_days[source]) for band in AGE_TABLE])
    return f"coalesce({source}_rate, {first})"
