"""How often movies change, and what each answer teaches of it: the arithmetic only; the warehouse keeps the numbers.

The rate of a movie at a source is λ = ρ · (1 + A) / (1 + E): the rate ρ of its bucket (movies alike in age and
popularity), corrected by the changes A found so far against the changes E that ρ made expect. Before anything is
learned, ρ is what the age table implies, more for popular movies ("Value of refresh").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import expm1, log

from ayne_dagster.refresh.ages import AGE_TABLE
from ayne_dagster.refresh.feeds import double_sql
from ayne_dagster.refresh.states import COLLECTED

POPULARITY_EXPONENT = 0.3
"""A movie of twice the popularity is believed to change 2^0.3 times as often, until its bucket has learned."""
LOWEST_BUCKET, HIGHEST_BUCKET = -4, 8
"""Octaves of popularity around the median; the outermost hold all beyond."""
SHRINKAGE = 10.0
"""So many expected changes weigh as much as the belief that a bucket's rate is right."""
HIGHEST_POPULARITY = 1e6
"""A greater one is no popularity: TMDB's most popular movies have some thousands, and it rescales the score at will."""
RECALIBRATE_AFTER_DAYS = 7
LOWEST_RATE, HIGHEST_RATE = 1e-6, 24.0
"""Changes a day; no evidence pushes a rate beyond, so that it stays usable."""

POPULARITY_SHARE, EQUAL_SHARE = 0.8, 0.2
"""How much of the weight of all movies goes by popularity, and how much to each alike."""
NEW_RELEASE_DAYS, NEW_RELEASE_BOOST = AGE_TABLE[0].up_to_days or 0, 3.0
"""Movies up to this age weigh so many times as much."""
NOTICEABLE = 0.02
"""Stored rates and weights are written anew when they moved by more than this share."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Movies alike: which source, age category and octave of popularity, and their first rate."""

    source: str
    category: str
    popularity_bucket: int
    first_rate: float


def buckets() -> Iterator[Bucket]:
    """All buckets with the rates that the age table implies: one change an interval at median popularity."""
    for source in COLLECTED:
        for band in AGE_TABLE:
            for octave in range(LOWEST_BUCKET, HIGHEST_BUCKET + 1):
                first_rate = 2 ** (POPULARITY_EXPONENT * octave) / band.interval_days[source]
                yield Bucket(source, band.category, octave, first_rate)


def popularity_bucket_sql() -> str:
    """The octave of a movie's popularity over the median; of an unknown one as of the median. Parameter: `$median`."""
    octave = "CAST(round(log2(greatest(popularity, 1e-9) / greatest($median, 1e-9))) AS INTEGER)"
    bounded = f"greatest({LOWEST_BUCKET}, least({HIGHEST_BUCKET}, {octave}))"
    return f"CASE WHEN popularity IS NULL THEN 0 ELSE {bounded} END"


def factor(exposure: float, changes: float) -> float:
    """How many times as often as its bucket a movie changes, by what was found; 1 while nothing was looked for."""
    return (1.0 + changes) / (1.0 + exposure)


def rate(bucket_rate: float, exposure: float, changes: float) -> float:
    """A movie's changes a day (λ)."""
    return min(HIGHEST_RATE, max(LOWEST_RATE, bucket_rate * factor(exposure, changes)))


def rate_sql(bucket_rate: str, source: str) -> str:
    """`rate`, from the columns of refresh_metadata."""
    ratio = f"(1.0 + coalesce({source}_changes, 0)) / (1.0 + coalesce({source}_exposure, 0))"
    return f"least({double_sql(HIGHEST_RATE)}, greatest({double_sql(LOWEST_RATE)}, {bucket_rate} * ({ratio})))"


def learn(
    exposure: float,
    changes: float,
    *,
    days: float,
    silent: float,
    changed: bool,
    signals: int,
    precision: float,
    bucket_rate: float,
) -> tuple[float, float]:
    """Exposure and changes after a check.

    What is counted are changes that were found, not signals: so neither a wrong signal nor a day on which no feed was
    read counts for or against a movie.

    Args:
        exposure: changes expected so far (E).
        changes: changes found so far (A).
        days: since the check before.
        silent: of these, days whose changes no signal told (`feeds.silent_days`).
        changed: whether this check found a change.
        signals: change signals since the check before.
        precision: probability that one of them is right.
        bucket_rate: changes a day that the movie's bucket makes expect (ρ).
    """
    found = 0.0
    if changed:
        unsignalled = rate(bucket_rate, exposure, changes) * max(0.0, silent)
        found = _at_least_one(unsignalled)
        if signals:
            # At least one of the signals is right; what they did not tell comes on top.
            found = signals * precision / (1 - (1 - precision) ** signals) + unsignalled
    return exposure + bucket_rate * max(0.0, days), changes + found


def _at_least_one(expected: float) -> float:
    """How many changes there were where at least one was found: x / (1 − e^−x)."""
    return expected / -expm1(-expected) if expected > 0 else 1.0


def correction(exposure: float, changes: float, toward: float = 1.0) -> float:
    """By what a bucket's rate is multiplied, given the sums over its movies; few observations hold it near `toward`."""
    return (SHRINKAGE * toward + changes) / (SHRINKAGE + exposure)


def importance(popularity: float | None, mean_popularity: float, is_new: bool) -> float:
    """Weight of a movie's freshness (w), in units of the mean movie's share."""
    weight = POPULARITY_SHARE * ((popularity or 0.0) / mean_popularity) + EQUAL_SHARE
    return weight * NEW_RELEASE_BOOST if is_new else weight


def importance_sql(mean_popularity: str) -> str:
    """`importance`, from the columns of refresh_metadata. Parameter: `$now`."""
    is_new = f"release_date IS NULL OR release_date >= CAST($now AS DATE) - {NEW_RELEASE_DAYS}"
    share, equal = double_sql(POPULARITY_SHARE), double_sql(EQUAL_SHARE)
    weight = f"({share} * (coalesce(popularity, 0) / {mean_popularity}) + {equal})"
    return f"CASE WHEN {is_new} THEN {weight} * {double_sql(NEW_RELEASE_BOOST)} ELSE {weight} END"


def expected_of_share(share: float) -> float:
    """The expected changes at which a movie is stale with a probability: −ln(1 − share)."""
    return -log(1.0 - share)
