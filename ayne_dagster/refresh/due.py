"""The rules of `strategy.py` as SQL over `refresh_metadata`, generated from the same table. No connection, no I/O.

Every expression takes the instant as the parameter `$now` (TIMESTAMP, UTC) and yields exactly what `decide` does;
identifiers come from the code, never from data.
"""

from __future__ import annotations

from collections.abc import Callable

from ayne_dagster.refresh.strategy import (
    AGE_TABLE,
    BACKOFF_MAX_DAYS,
    COLLECTED,
    DUE_REASONS,
    FREEZE_AFTER_CYCLES,
    FREEZE_CATEGORY,
    SOURCES,
    Override,
    Reason,
)


def _by_age(values: list[str]) -> str:
    """A CASE over the age bands, with one SQL value a band; an undated movie is in the first."""
    cases = [
        f"WHEN release_date >= {_released_before(band.up_to_days)} THEN {value}"
        for band, value in zip(AGE_TABLE, values, strict=True)
        if band.up_to_days is not None
    ]
    return f"CASE WHEN release_date IS NULL THEN {values[0]} {' '.join(cases)} ELSE {values[-1]} END"


def _released_before(days: int) -> str:
    """The release date of movies of an age: compared with, so that no age is worked out a movie."""
    return f"CAST($now AS DATE) - {days}"


def category_sql() -> str:
    """The age category: recent, established, mature or archived."""
    return _by_age([f"'{band.category}'" for band in AGE_TABLE])


def fully_refreshed_sql() -> str:
    """Whether every collected source that applies has answered at least once."""
    terms = [
        f"({source}_checked_at IS NOT NULL{' OR imdb_id IS NULL' if SOURCES[source].needs_imdb_id else ''})"
        for source in COLLECTED
    ]
    return "(" + " AND ".join(terms) + ")"


def frozen_sql() -> str:
    """Whether refreshes for freshness' sake have stopped."""
    return (
        f"(coalesce(override, '') = '{Override.FREEZE}' OR (coalesce(unchanged_cycles, 0) >= {FREEZE_AFTER_CYCLES}"
        f" AND {_by_age([str(band.category == FREEZE_CATEGORY).upper() for band in AGE_TABLE])}"
        f" AND {fully_refreshed_sql()}))"
    )


def _forced_sql(source: str) -> str:
    """Forced by hand, and not tried since."""
    attempted = f"{source}_attempted_at"
    return (
        f"(coalesce(override, '') = '{Override.FORCE}'"
        f" AND ({attempted} IS NULL OR override_at IS NULL OR {attempted} < override_at))"
    )


def _backing_off_sql(source: str) -> str:
    """Left alone after failures: 1, 2, 4 … days, at most 30."""
    failures = f"{source}_failures"
    days = f"CAST(least({BACKOFF_MAX_DAYS}, pow(2, least({failures} - 1, 10))) AS INTEGER)"
    return f"({failures} > 0 AND coalesce($now < {source}_attempted_at + INTERVAL 1 DAY * {days}, FALSE))"


def _rules(source: str) -> list[tuple[str, Reason]]:
    """Condition and reason of each rule, in the order of `strategy.reason_at`; a movie that none names is fresh."""
    checked, ceiling = f"{source}_checked_at", SOURCES[source].ceiling
    # The latest check that is due again, by age: worked out once a band, not once a movie.
    cutoff = _by_age([f"$now - INTERVAL {band.interval_days[source]} DAY" for band in AGE_TABLE])
    rules = [
        ("imdb_id IS NULL", Reason.NO_IMDB_ID) if SOURCES[source].needs_imdb_id else None,
        (_forced_sql(source), Reason.MANUAL),
        (f"{source}_tombstoned_at IS NOT NULL", Reason.TOMBSTONE),
        (_backing_off_sql(source), Reason.BACKOFF),
        (f"{checked} <= $now - INTERVAL {ceiling.days} DAY", Reason.CEILING) if ceiling else None,
        (frozen_sql(), Reason.FROZEN),
        (f"{checked} IS NULL", Reason.NEVER_FETCHED),
        (f"{checked} <= {cutoff}", Reason.AGE_TABLE),
    ]
    return [rule for rule in rules if rule]


def _first_rule_sql(source: str, value: Callable[[Reason], str]) -> str:
    cases = [f"WHEN {condition} THEN {value(reason)}" for condition, reason in _rules(source)]
    return "CASE " + "\n         ".join(cases) + f"\n         ELSE {value(Reason.FRESH)} END"


def reason_sql(source: str) -> str:
    """The reason code of the decision for a source."""
    return _first_rule_sql(source, lambda reason: f"'{reason}'")


def due_sql(source: str) -> str:
    """Whether a movie is due for a source: the same rules as truth values, which cost less than texts."""
    return "(" + _first_rule_sql(source, lambda reason: str(reason in DUE_REASONS).upper()) + ")"


ORDER = f"{fully_refreshed_sql()}, release_date DESC NULLS LAST, tmdb_id"
"""Never fully refreshed first, then newest release first; the id makes it the same order every time."""


def due_query(sources: tuple[str, ...], *, within: str | None = None) -> str:
    """Movies due for any of the sources, in order.

    Parameters of the query: `$now`, `$limit`; with `within`, also those that this condition names.

    Returns:
        SQL that yields tmdb_id, release_year, release_date, imdb_id and, for each source, `<source>_reason`.
    """
    reasons = ",\n       ".join(f"{reason_sql(source)} AS {source}_reason" for source in sources)
    condition = " OR ".join(due_sql(source) for source in sources)
    return f"""
WITH due AS (
    SELECT tmdb_id FROM refresh_metadata
    WHERE ({condition}){f" AND {within}" if within else ""}
    ORDER BY {ORDER}
    LIMIT $limit
)
SELECT tmdb_id, release_year, release_date, imdb_id,
       {reasons}
FROM refresh_metadata SEMI JOIN due USING (tmdb_id)
ORDER BY {ORDER}"""


def due_count_query(sources: tuple[str, ...], *, within: str | None = None) -> str:
    """How many movies are due for each of the sources and for any of them. Parameter: `$now`."""
    counts = ",\n       ".join(f"count(*) FILTER (WHERE {due_sql(source)}) AS {source}" for source in sources)
    condition = " OR ".join(due_sql(source) for source in sources)
    return f"""
SELECT {counts},
       count(*) FILTER (WHERE {condition}) AS any_source
FROM refresh_metadata{f" WHERE {within}" if within else ""}"""
