"""Movie states for the tests of the refresh rules: by hand, and generated around every boundary."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from ayne_dagster.refresh.learning import expected_of_share
from ayne_dagster.refresh.states import is_ahead
from ayne_dagster.refresh.strategy import (
    AGE_TABLE,
    AGE_TABLE_STRATEGY,
    SOURCES,
    Feed,
    Gap,
    MovieState,
    Override,
    Reason,
    SourceState,
    Strategy,
    ValueOfRefreshStrategy,
)
from ayne_dagster.refresh.value import CUTOFF, LONGEST_UNCHECKED, RESERVE_DAYS

NOW = datetime(2024, 6, 15, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
INTERVALS = sorted({days for band in AGE_TABLE for days in band.interval_days.values()})


def aged(days: int, now: datetime = NOW) -> date:
    """The release date of a movie that is so many days old."""
    return now.date() - timedelta(days=days)


def checked(ago: timedelta, now: datetime = NOW) -> SourceState:
    """A source that answered so long ago."""
    return SourceState(attempted_at=now - ago, checked_at=now - ago, changed_at=now - ago)


def movie(**fields: Any) -> MovieState:
    """A movie with an IMDb id; fields named as a source are its states there."""
    sources = {name: fields.pop(name) for name in SOURCES if name in fields}
    return MovieState(**{"tmdb_id": 1, "imdb_id": "tt0137523", "sources": sources, **fields})


_BOUNDARIES = sorted({0, 1, 2, 4, 8, 16, 30, 170, 180, *INTERVALS})
_NEAR = st.builds(
    lambda days, seconds, micros: timedelta(days=days, seconds=seconds, microseconds=micros),
    st.sampled_from(_BOUNDARIES),
    st.sampled_from([-1, 0, 0, 1]),
    st.sampled_from([-1, 0, 0, 0, 1]),
)
RATES = st.sampled_from([1e-6, CUTOFF / 30, expected_of_share(0.05) / 30, 0.001, 0.02, 1.0, 24.0])
_ANY = st.integers(-2 * 86400, 400 * 86400).map(lambda seconds: timedelta(seconds=seconds))
AGO = st.one_of(_NEAR, _ANY)
"""How long ago something happened: often exactly at an interval or a hair beside it, sometimes in the future."""

AGES = st.one_of(
    st.none(),
    st.sampled_from([-400, -1, 0, 1, 59, 60, 61, 179, 180, 181, 364, 365, 366, 367, 4000]),
    st.integers(-100, 800),
)
INSTANTS = st.one_of(
    st.just(NOW),
    st.sampled_from([datetime(2024, 3, 1, tzinfo=UTC), datetime(2023, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]),
    st.integers(0, 45 * 365 * 86400).map(lambda seconds: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
)


@st.composite
def movies(draw: st.DrawFn, now: datetime, tmdb_id: int = 1) -> MovieState:
    """Any state that a movie can be in at `now`, reachable or not."""

    def ago() -> datetime | None:
        offset = draw(st.one_of(st.none(), AGO))
        return None if offset is None else now - offset

    age = draw(AGES)
    override = draw(st.sampled_from([None, None, *Override]))
    sources = {}
    for name in SOURCES:
        attempted = ago()
        sources[name] = SourceState(
            attempted_at=attempted,
            checked_at=draw(st.sampled_from([attempted, None])) if draw(st.booleans()) else ago(),
            failures=draw(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 40])),
            tombstoned_at=draw(st.sampled_from([None, None, None, None, now])),
            signals=draw(st.sampled_from([0, 0, 0, 0, 1, 3])),
            signalled_at=ago(),
            recheck_at=ago() if draw(st.booleans()) else None,
            parts_due_at=ago() if draw(st.booleans()) else None,
            rate=draw(st.one_of(st.none(), RATES)),
            exposure=draw(st.floats(0, 50)),
            changes=draw(st.floats(0, 50)),
        )
    attempts = [s.attempted_at for s in sources.values() if s.attempted_at]
    return MovieState(
        tmdb_id=tmdb_id,
        release_date=None if age is None else aged(age, now),
        imdb_id=draw(st.sampled_from(["tt0137523", "tt0137523", None])),
        unchanged_cycles=draw(st.sampled_from([0, 2, 3, 4])),
        override=override,
        override_at=draw(st.sampled_from([*attempts, None, now])) if override and draw(st.booleans()) else ago(),
        sources=sources,
        popularity=draw(st.one_of(st.none(), st.floats(0, 500))),
        importance=draw(st.one_of(st.none(), st.floats(0.1, 100))),
    )


FEED = Feed(
    recall=0.8,
    precision=0.4,
    gaps=(Gap(None, NOW - 300 * DAY), Gap(NOW - 60 * DAY, NOW - 55 * DAY), Gap(NOW - 10 * HOUR, None)),
)
STRATEGIES: dict[str, Strategy] = {
    "age table": AGE_TABLE_STRATEGY,
    "value": ValueOfRefreshStrategy(),
    "value with feeds": ValueOfRefreshStrategy({"tmdb": FEED, "omdb": Feed()}, mean_popularity=7.3),
    "value with all set": ValueOfRefreshStrategy(
        {"omdb": Feed(0.4, 0.2)}, 7.3, cutoff=0.05, popularity_share=0.3, reserves={"tmdb": 0.02}
    ),
}


def may_use_reserve(strategy: ValueOfRefreshStrategy, state: MovieState, source: str, now: datetime) -> bool:
    """Whether the movie was not checked for so long that a place of the reserve may be its own."""
    reason, checked_at = strategy.reason_at(state, source, now), state.at(source).checked_at
    if SOURCES[source].ceiling:
        return reason is Reason.CEILING
    if reason is not Reason.INDEX or checked_at is None:
        return False
    longest = LONGEST_UNCHECKED - timedelta(days=RESERVE_DAYS - state.tmdb_id % RESERVE_DAYS)
    return is_ahead(checked_at, now) or now >= checked_at + longest
