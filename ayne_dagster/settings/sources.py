"""The sources that movies are refreshed from: a row each. No decisions, no requests.

Columns of `refresh_metadata`, intervals, settings, pools, leases, budgets and what people are told follow from the row.
What else a source needs is in `docs/architecture.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ayne_dagster.settings.apis import OMDB_DEFAULTS, TMDB_DEFAULTS, WIKIDATA_DEFAULTS, Api


@dataclass(frozen=True)
class Source:
    """A source of data about a movie, as the refresh rules see it, and where it is asked."""

    name: str
    title: str
    api: Api
    """Where it is asked."""
    interval_days: tuple[int, int, int, int]
    """Days between two checks: of movies that were released up to 60, 180 and 365 days ago, and of older ones."""
    needs_imdb_id: bool = False
    """Without an IMDb id the source cannot be asked, and the movie counts as complete without it."""
    ceiling: timedelta | None = None
    """An answer older than this is asked for again whatever else holds (terms of use)."""
    is_supplement: bool = False
    """Asked where it is switched on, and never waited for: a movie counts as complete without it."""
    has_change_feed: bool = False
    """Whether it tells itself which of its movies change. What others tell of it, as IMDb's file does of OMDb, makes a
    movie due by the age table, and counts for nothing where what is likely to have changed is reckoned."""
    recheck_after: timedelta | None = None
    """How long after a change its caches may still serve the body from before; None: not looked at twice."""


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "tmdb",
            "TMDB",
            Api("tmdb", "TMDB", TMDB_DEFAULTS),
            (5, 15, 30, 90),
            # TMDB's terms, 1.C: nothing may be kept for longer than 6 months without being fetched again.
            ceiling=timedelta(days=170),
            has_change_feed=True,
            # Its edge caches keep a body for 8 hours.
            recheck_after=timedelta(hours=8),
        ),
        # Its cache lasts a day, longer than a second look is worth.
        Source("omdb", "OMDb", Api("omdb", "OMDb", OMDB_DEFAULTS), (5, 30, 90, 180), needs_imdb_id=True),
        # Few movies have figures anywhere: who knows one, and which is shown, is in `warehouse.best_figures`.
        Source(
            "numbers",
            "Box office",
            Api("wikidata", "Wikidata", WIKIDATA_DEFAULTS, is_keyless=True),
            (5, 30, 90, 180),
            is_supplement=True,
        ),
    )
}
