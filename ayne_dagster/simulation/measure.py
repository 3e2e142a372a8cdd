"""What a simulated policy achieved: daily series, and the figures of a year. Knows neither worlds nor policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]

YEAR = 365
NEW_UP_TO_DAYS = 60
"""Age in days up to which a movie counts as a new release."""


@dataclass(frozen=True)
class Figures:
    """What the requests of some days bought. Freshness is a share from 0 to 1, averaged over the days."""

    mean: float
    """Share of the movies whose stored copy equals the truth."""
    weighted: float
    """The same, weighted by popularity."""
    new_releases: float
    """The same share among movies up to 60 days old, and those not yet released."""
    requests: float
    """Requests a day."""
    wasted: float
    """Share of the requests that found nothing changed."""
    longest_unchecked: float
    """Most days that passed for any movie since its last check, or its discovery."""


class Day(NamedTuple):
    """What was measured at the end of one day; `mean`, `weighted` and `new_releases` as in `Figures`."""

    mean: float
    weighted: float
    new_releases: float
    """Not a number on a day without new releases."""
    requests: int
    wasted: int
    """How many of the requests found nothing changed."""
    longest_unchecked: int


@dataclass(frozen=True)
class Series:
    """One value a day of a simulation, by the names of `Day`."""

    mean: Reals
    weighted: Reals
    new_releases: Reals
    requests: Reals
    wasted: Reals
    longest_unchecked: Reals

    @classmethod
    def of(cls, days: Sequence[Day]) -> Series:
        """The series of single days."""
        return cls(*(np.array(values, dtype=np.float64) for values in zip(*days, strict=True)))

    def figures(self, days: slice = slice(None)) -> Figures:
        """The figures of some of the days."""
        asked = float(self.requests[days].sum())
        return Figures(
            mean=float(self.mean[days].mean()),
            weighted=float(self.weighted[days].mean()),
            new_releases=float(np.nanmean(self.new_releases[days])),
            requests=float(self.requests[days].mean()),
            wasted=float(self.wasted[days].sum()) / asked if asked else 0.0,
            longest_unchecked=float(self.longest_unchecked[days].max()),
        )

    def by_year(self) -> dict[str, Figures]:
        """The figures of all days, and of each whole year: `all`, `year_1`, `year_2` …"""
        years = range(len(self.mean) // YEAR)
        parts = {f"year_{year + 1}": self.figures(slice(year * YEAR, (year + 1) * YEAR)) for year in years}
        return {"all": self.figures()} | parts


def average(figures: Iterable[Figures]) -> Figures:
    """The mean over seeds; of `longest_unchecked` the largest."""
    rows: Sequence[Mapping[str, float]] = [asdict(row) for row in figures]
    values = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return Figures(**(values | {"longest_unchecked": max(row["longest_unchecked"] for row in rows)}))
