"""How often movies change, and what each answer teaches of it: the arithmetic only; the warehouse keeps the numbers.

The rate of a movie at a source is λ = ρ · (1 + A) / (1 + E): the rate ρ of its bucket (movies alike in age and
popularity), corrected by the changes A found so far against the changes E that ρ made expect. Before anything is
learned, ρ is what the age table implies, more for popular movies ("Value of refresh").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import expm1, log, log1p

from ayne_dagster.refresh.ages import AGE_TABLE, AgeBand, by_days_sql
from ayne_dagster.refresh.feeds import double_sql
from ayne_dagster.refresh.states import SOURCES

POPULARITY_EXPONENT = 0.3
"""A movie of twice the popularity is believed to change 2^0.3 times as often, until its bucket has learned."""
LOWEST_BUCKET, HIGHEST_BUCKET = -4, 8
"""Octaves of popularity around the median; the outermost hold all beyond."""


@dataclass(frozen=True, slots=True)
class AgeGroup:
    """Movies whose rates are learned together: a band of the age table, or a part of one."""

    name: str
    up_to_days: int | None
    """Last age in days since release; None: no end."""
    band: AgeBand


AGE_GROUPS = (
    *(AgeGroup(band.category, band.up_to_days, band) for band in AGE_TABLE[:-1]),
    # The last band is long: a movie of two years changes several times as often as one of fifty.
    AgeGroup(AGE_TABLE[-1].category, 3 * 365, AGE_TABLE[-1]),
    AgeGroup("archived_3_years", 10 * 365, AGE_TABLE[-1]),
    AgeGroup("archived_10_years", 30 * 365, AGE_TABLE[-1]),
    AgeGroup("archived_30_years", None, AGE_TABLE[-1]),
)
SHRINKAGE = 10.0
"""So many expected changes weigh as much as the belief that a bucket's rate is right."""
HIGHEST_POPULARITY = 1e6
"""A greater one is no popularity: TMDB's most popular movies have some thousands, and it rescales the score at will."""
RECALIBRATE_AFTER_DAYS = 7
LOWEST_RATE, HIGHEST_RATE = 1e-6, 24.0
"""Changes a day; no evidence pushes a rate beyond, so that it stays usable."""

POPULARITY_SHARE = 0.8
"""How much of the weight of all movies goes by popularity unless a setting says otherwise; the rest, to each alike."""
LEAST_EQUAL_SHARE = 0.01
NEW_RELEASE_DAYS, NEW_RELEASE_BOOST = AGE_TABLE[0].up_to_days or 0, 3.0
"""Movies up to this age weigh so many times as much."""
NOTICEABLE = 0.02
"""Stored rates and weights are written anew when they moved by more than this share."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Movies alike: which source, age group and octave of popularity, and their first rate."""

    source: str
    category: str
    popularity_bucket: int
    first_rate: float


def buckets() -> Iterator[Bucket]:
    """All buckets with the rates that the age table implies: one change an interval at median popularity."""
    for source in SOURCES:
        for group in AGE_GROUPS:
            for octave in range(LOWEST_BUCKET, HIGHEST_BUCKET + 1):
                first_rate = 2 ** (POPULARITY_EXPONENT * octave) / group.band.interval_days[source]
                yield Bucket(source, group.name, octave, first_rate)


def by_age_group_sql(values: Sequence[str]) -> str:
    """A CASE over the age groups, with one SQL value a group. Parameter: `$now`."""
    return by_days_sql([group.up_to_days for group in AGE_GROUPS if group.up_to_days is not None], values)


def age_group_sql() -> str:
    """The name of a movie's age group."""
    return by_age_group_sql([f"'{group.name}'" for group in AGE_GROUPS])


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

    A signal counts as what it is worth, whatever the check then found: what it told is known without asking, and half a
    change for each of a hundred signals says more than the one check which followed some of them. A movie of many wrong
    signals so counts as one that changes often, and is not asked for at each of them.

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
    found = signals * precision
    if changed:
        # What no signal told, given that signals and it made at least one change.
        untold = rate(bucket_rate, exposure, changes) * max(0.0, silent)
        at_least_one = -expm1(signals * log1p(-precision) - untold)
        found += untold / at_least_one if at_least_one > 0 else 1.0
    return exposure + bucket_rate * max(0.0, days), changes + found


def correction(exposure: float, changes: float, toward: float = 1.0) -> float:
    """By what a bucket's rate is multiplied, given the sums over its movies; few observations hold it near `toward`."""
    return (SHRINKAGE * toward + changes) / (SHRINKAGE + exposure)


def corrections(sums: Mapping[tuple[str, int], tuple[float, float]]) -> dict[tuple[str, int], float]:
    """The corrections of a source's buckets, by age group and octave, from exposures and changes of their movies.

    What one bucket shows is held near what its age group and its octave show, and these near what the source shows: so
    a bucket of few movies learns from those beside it.
    """
    overall = correction(*(sum(pair[place] for pair in sums.values()) for place in (0, 1)))
    toward = dict.fromkeys(sums, overall)
    for place in (0, 1):
        for part in {key[place] for key in sums}:
            keys = [key for key in sums if key[place] == part]
            expected = sum(sums[key][0] * toward[key] for key in keys)
            by = correction(expected, sum(sums[key][1] for key in keys))
            toward |= {key: toward[key] * by for key in keys}
    return {key: correction(*sums[key], toward=toward[key]) for key in sums}


def importance(
    popularity: float | None, mean_popularity: float, is_new: bool, popularity_share: float = POPULARITY_SHARE
) -> float:
    """Weight of a movie's freshness (w), in units of the mean movie's share."""
    weight = popularity_share * ((popularity or 0.0) / mean_popularity) + _equal_share(popularity_share)
    return weight * new_release_boost(popularity_share) if is_new else weight


def importance_sql(mean_popularity: str, popularity_share: float = POPULARITY_SHARE) -> str:
    """`importance`, from the columns of refresh_metadata. Parameter: `$now`."""
    is_new = f"release_date IS NULL OR release_date >= CAST($now AS DATE) - {NEW_RELEASE_DAYS}"
    share, equal = double_sql(popularity_share), double_sql(_equal_share(popularity_share))
    weight = f"({share} * (coalesce(popularity, 0) / {mean_popularity}) + {equal})"
    return f"CASE WHEN {is_new} THEN {weight} * {double_sql(new_release_boost(popularity_share))} ELSE {weight} END"


def _equal_share(popularity_share: float) -> float:
    """What goes to each alike: never nothing, so that movies of unknown popularity have an order."""
    return max(LEAST_EQUAL_SHARE, 1 - popularity_share)


def new_release_boost(popularity_share: float) -> float:
    """How many times as much a new release weighs: once where every movie is to count alike."""
    return min(NEW_RELEASE_BOOST, 1 + (NEW_RELEASE_BOOST - 1) * popularity_share / POPULARITY_SHARE)


def expected_of_share(share: float) -> float:
    """The expected changes at which a movie is stale with a probability: −ln(1 − share)."""
    return -log(1.0 - share)
