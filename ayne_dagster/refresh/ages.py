"""The age table: categories and intervals by days since release, in Python and SQL. Decides nothing.

Ages stand here, and intervals in `settings.sources`, and nowhere else (DESIGN, "Refresh rules").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ayne_dagster.refresh.states import SOURCES, as_utc


@dataclass(frozen=True)
class AgeBand:
    """One line of the age table."""

    category: str
    up_to_days: int | None
    """Last age in days since release that belongs to the band; None: no end."""
    interval_days: Mapping[str, int]
    """Days between two checks, by source."""


AGE_TABLE: tuple[AgeBand, ...] = tuple(
    AgeBand(category, up_to_days, {source.name: source.interval_days[number] for source in SOURCES.values()})
    for number, (category, up_to_days) in enumerate(
        (("recent", 60), ("established", 180), ("mature", 365), ("archived", None))
    )
)
"""The ages stand here, the intervals in the rows of the sources."""
CATEGORIES = tuple(band.category for band in AGE_TABLE)


def age_in_days(release_date: date | None, now: datetime) -> int:
    """Whole days since release, by UTC date; 0 for an unknown date, negative before release."""
    return (now.astimezone(UTC).date() - release_date).days if release_date else 0


def band_of(release_date: date | None, now: datetime) -> AgeBand:
    """The age band of a movie; not yet released and undated movies are in the first."""
    age = age_in_days(release_date, now)
    return next(band for band in AGE_TABLE if band.up_to_days is None or age <= band.up_to_days)


def interval(source: str, release_date: date | None, now: datetime) -> timedelta:
    """Time between two checks at a source, at the movie's present age."""
    return timedelta(days=band_of(release_date, now).interval_days[source])


def band_starts(release_date: date | None) -> list[datetime]:
    """The instants at which a movie grows out of a band; none for an undated one."""
    released = as_utc(release_date)
    if released is None:
        return []
    return [released + timedelta(days=band.up_to_days + 1) for band in AGE_TABLE if band.up_to_days is not None]


def by_age_sql(values: Sequence[str]) -> str:
    """A CASE over the age bands, with one SQL value a band; an undated movie is in the first.

    The release date is compared with the dates at which bands begin, so that no age is worked out a movie.
    """
    return by_days_sql([band.up_to_days for band in AGE_TABLE if band.up_to_days is not None], values)


def by_days_sql(up_to_days: Sequence[int], values: Sequence[str]) -> str:
    """A CASE over ages: a value for each that ends, and one for what is older than all."""
    cases = [
        f"WHEN release_date >= CAST($now AS DATE) - {days} THEN {value}"
        for days, value in zip(up_to_days, values, strict=False)
    ]
    return f"CASE WHEN release_date IS NULL THEN {values[0]} {' '.join(cases)} ELSE {values[-1]} END"


def category_sql() -> str:
    """The age category: recent, established, mature or archived."""
    return by_age_sql([f"'{band.category}'" for band in AGE_TABLE])
