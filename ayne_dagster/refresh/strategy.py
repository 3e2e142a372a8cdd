"""The refresh strategies behind one interface, and the plan for a program's own rows. The front door of `refresh`.

No I/O, no Dagster, no clock of its own: `now` is an argument. Strategies: the age table (`age_table.py`, the default)
and the value of refresh (`value.py`); what they share is in `rules.py`, what they look at in `states.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ayne_dagster.refresh.age_table import (
    AGE_TABLE_STRATEGY,
    CYCLE_SOURCE,
    FREEZE_AFTER_CYCLES,
    FREEZE_CATEGORY,
    AgeTableStrategy,
)
from ayne_dagster.refresh.ages import AGE_TABLE, CATEGORIES, AgeBand, age_in_days, band_of, interval
from ayne_dagster.refresh.feeds import Feed, Gap
from ayne_dagster.refresh.rules import BACKOFF_MAX_DAYS, DUE_REASONS, Decision, Reason, Strategy, backoff
from ayne_dagster.refresh.states import (
    COLLECTED,
    NEVER_ASKED,
    SOURCES,
    MovieState,
    Override,
    Source,
    SourceState,
    applies,
    as_date,
    as_utc,
    is_fully_refreshed,
    movie_state,
)
from ayne_dagster.refresh.value import ValueOfRefreshStrategy

__all__ = [
    "AGE_TABLE",
    "AGE_TABLE_STRATEGY",
    "BACKOFF_MAX_DAYS",
    "CATEGORIES",
    "COLLECTED",
    "CYCLE_SOURCE",
    "DUE_REASONS",
    "FREEZE_AFTER_CYCLES",
    "FREEZE_CATEGORY",
    "NEVER_ASKED",
    "SOURCES",
    "AgeBand",
    "AgeTableStrategy",
    "Decision",
    "Feed",
    "Gap",
    "MovieState",
    "Override",
    "Reason",
    "Source",
    "SourceState",
    "Strategy",
    "ValueOfRefreshStrategy",
    "age_in_days",
    "applies",
    "as_date",
    "as_utc",
    "backoff",
    "band_of",
    "calculate_refresh_plan",
    "interval",
    "is_fully_refreshed",
    "movie_state",
    "refresh_plan",
]


def calculate_refresh_plan(
    movie: MovieState | Mapping[str, Any] | object, now: datetime | None = None
) -> dict[str, bool]:
    """Which sources a movie is due for by the age table.

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
    return refresh_plan(AGE_TABLE_STRATEGY, state, as_utc(now) or datetime.now(UTC))


def refresh_plan(strategy: Strategy, movie: MovieState, now: datetime) -> dict[str, bool]:
    """Which sources a movie is due for by a strategy: `needs_tmdb`, `needs_omdb`, `needs_numbers`."""
    return {f"needs_{source}": strategy.reason_at(movie, source, now) in DUE_REASONS for source in SOURCES}
