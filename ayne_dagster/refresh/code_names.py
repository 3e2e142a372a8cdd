"""When TMDB is asked for the names of countries and languages again. What they are is in `warehouse.code_names`."""

from __future__ import annotations

from datetime import datetime, timedelta

from ayne_dagster.refresh.states import is_ahead

NAMES_HOLD = timedelta(days=30)
"""Names of countries and languages change once in years: a request of each a month is enough."""


def names_are_due(listed_at: datetime | None, now: datetime) -> bool:
    """Whether to ask for a list of names.

    Args:
        listed_at: when TMDB last gave it (aware UTC); None: never.
        now: the present instant (aware UTC); what was noted as of later is not believed.
    """
    return listed_at is None or is_ahead(listed_at, now) or now - listed_at >= NAMES_HOLD
