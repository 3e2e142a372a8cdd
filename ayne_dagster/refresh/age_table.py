"""The age-table strategy, the default: a fixed interval by age, newest releases first. The table is in `ages.py`."""

from __future__ import annotations

from datetime import datetime, timedelta

from ayne_dagster.refresh.ages import AGE_TABLE, band_of, by_age_sql, interval
from ayne_dagster.refresh.rules import Reason, Strategy
from ayne_dagster.refresh.states import (
    SOURCES,
    MovieState,
    ahead_sql,
    fully_refreshed_sql,
    is_ahead,
    is_fully_refreshed,
)

FREEZE_CATEGORY = AGE_TABLE[-1].category
FREEZE_AFTER_CYCLES = 3
"""A movie of the last band freezes after this many refresh cycles in a row without a change."""

CYCLE_SOURCE = "tmdb"
"""The source whose scheduled check closes a refresh cycle: the one that every movie has, and the most often asked."""

ORDER = f"{fully_refreshed_sql()}, release_date DESC NULLS LAST, tmdb_id"
"""Never fully refreshed first, then newest release first; the id makes it the same order every time. Before that, who
is due for missing parts alone waits for all others (`Strategy.waits_for_others_sql`)."""


class AgeTableStrategy(Strategy):
    """Due when the interval of the movie's age has passed since the last check; stable old movies freeze."""

    name = "age_table"
    routine = Reason.AGE_TABLE
    rest = Reason.FRESH

    def freezes(self, movie: MovieState, now: datetime) -> bool:
        """After enough unchanged cycles, when archived.

        A movie that a source was never asked about does not freeze by itself: with a small quota it may wait for OMDb
        longer than three cycles at TMDB take.
        """
        return (
            movie.unchanged_cycles >= FREEZE_AFTER_CYCLES
            and band_of(movie.release_date, now).category == FREEZE_CATEGORY
            and is_fully_refreshed(movie)
        )

    def ceiling_of(self, movie: MovieState, source: str) -> timedelta | None:
        """The source's."""
        return SOURCES[source].ceiling

    def is_due_by_routine(self, movie: MovieState, source: str, now: datetime) -> bool:
        """Checked longer ago than the interval."""
        since = self.routine_since(movie, source, now)
        return since is not None and (now >= since or is_ahead(movie.at(source).checked_at, now))

    def routine_since(self, movie: MovieState, source: str, now: datetime) -> datetime | None:
        """The interval of the movie's present age after its last check."""
        checked = movie.at(source).checked_at
        return checked + interval(source, movie.release_date, now) if checked else None

    def routine_turns(self, movie: MovieState, source: str) -> list[datetime]:
        """The interval of each age after the last check."""
        checked = movie.at(source).checked_at
        return [checked + timedelta(days=band.interval_days[source]) for band in AGE_TABLE] if checked else []

    def freezes_sql(self) -> str:
        """`freezes`."""
        return (
            f"(coalesce(unchanged_cycles, 0) >= {FREEZE_AFTER_CYCLES}"
            f" AND {by_age_sql([str(band.category == FREEZE_CATEGORY).upper() for band in AGE_TABLE])}"
            f" AND {fully_refreshed_sql()})"
        )

    def ceiling_sql(self, source: str) -> str:
        """Checked longer ago than the source's ceiling."""
        ceiling = SOURCES[source].ceiling or timedelta.max
        checked = f"{source}_checked_at"
        return f"({checked} <= $now - INTERVAL {ceiling.days} DAY OR {ahead_sql(checked)})"

    def routine_sql(self, source: str) -> str:
        """Checked longer ago than the interval: the latest such check is worked out once a band, not once a movie."""
        cutoff = by_age_sql([f"$now - INTERVAL {band.interval_days[source]} DAY" for band in AGE_TABLE])
        return f"({source}_checked_at <= {cutoff} OR {ahead_sql(f'{source}_checked_at')})"

    def due_query(self, sources: tuple[str, ...], *, within: str | None = None) -> str:
        """See `Strategy.due_query`."""
        reasons = ",\n       ".join(f"{self.reason_sql(source)} AS {source}_reason" for source in sources)
        order = self._order(sources)
        return f"""
WITH due AS (
    SELECT tmdb_id FROM refresh_metadata
    WHERE {self.due_for_any_sql(sources)}{f" AND {within}" if within else ""}
    ORDER BY {order}
    LIMIT $limit
)
SELECT tmdb_id, release_year, release_date, imdb_id,
       {reasons}
FROM refresh_metadata SEMI JOIN due USING (tmdb_id)
ORDER BY {order}"""

    def rank_query(self, source: str) -> str:
        """See `Strategy.rank_query`; the limit makes no difference here."""
        return f"""
SELECT place FROM (
    SELECT tmdb_id, row_number() OVER (ORDER BY {self._order((source,))}) AS place
    FROM refresh_metadata WHERE {self.due_sql(source)} AND $limit IS NOT NULL
) WHERE tmdb_id = $tmdb_id"""

    def _order(self, sources: tuple[str, ...]) -> str:
        return f"{self.waits_for_others_sql(sources)}, {ORDER}"


AGE_TABLE_STRATEGY = AgeTableStrategy()
"""The default strategy. It keeps no state of its own."""
