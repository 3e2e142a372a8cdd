"""Release years, the partitions of every table: their bounds, keys and order. Imports nothing, so that all may use it.

A static list with a fixed far end: it has a place for movies without a date, and does not depend on the day on which
the code is loaded. Dagster's definition of it is made from `PARTITION_KEYS` in `assets`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

FIRST_YEAR = 1874
"""Year of the oldest movie that TMDB holds (Passage of Venus)."""
LAST_YEAR = 2035
UNKNOWN_YEAR = "unknown"
YEARS_TAG = "ayne/years"
"""On a run that serves a range of partitions: those of them that it touches, as `describe_years` writes them."""
PARTITION_KEYS: tuple[str, ...] = (*(str(year) for year in range(FIRST_YEAR, LAST_YEAR + 1)), UNKNOWN_YEAR)
"""`unknown` last: in front, one undated movie among new ones stretched a run over a hundred and fifty years."""
_POSITIONS = {key: position for position, key in enumerate(PARTITION_KEYS)}


def release_year(released: date | None) -> str:
    """The partition of a release date: its year, or `unknown` for no date or one out of bounds."""
    if released is None or not FIRST_YEAR <= released.year <= LAST_YEAR:
        return UNKNOWN_YEAR
    return str(released.year)


def partition_range(keys: Iterable[str]) -> tuple[str, str] | None:
    """First and last partition, in their order, of those given; None for none."""
    positions = sorted(_POSITIONS[key] for key in keys)
    return (PARTITION_KEYS[positions[0]], PARTITION_KEYS[positions[-1]]) if positions else None


def describe_years(keys: Iterable[str]) -> str:
    """How many partitions these are, and which, in their order: `3: 1999, 2024, unknown`."""
    distinct = sorted(set(keys), key=_POSITIONS.__getitem__)
    return f"{len(distinct)}: {', '.join(distinct)}"


def described_years(text: str) -> list[str]:
    """The partitions that `describe_years` has named; what is none of ours is left out."""
    return [key for key in text.partition(": ")[2].split(", ") if key in _POSITIONS]
