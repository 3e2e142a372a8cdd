"""What a collection's own log says of the age table's fit: rates and weights as learned, by groups. No arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import duckdb

from ayne_dagster.refresh.ages import AGE_TABLE, by_age_sql
from ayne_dagster.refresh.feeds import double_sql
from ayne_dagster.refresh.learning import SHRINKAGE, age_group_sql
from ayne_dagster.refresh.outlook import Alike, Outlook, outlook
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, SOURCES
from ayne_dagster.refresh.value import LONGEST_UNCHECKED
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.sampling import is_sampled, one_in


def misfits(connection: duckdb.DuckDBPyConnection, now: datetime, quotas: Mapping[str, int]) -> list[Outlook]:
    """The sources at which the age table is the wrong choice, by what was found there; of many movies, by a sample.

    Args:
        connection: to the warehouse.
        now: the instant (aware UTC).
        quotas: by source, requests a day that unattended collections may spend; 0 where there is no quota.
    """
    found = (_outlook(connection, now, source, quota) for source, quota in quotas.items() if quota > 0)
    return [each for each in found if each is not None and each.misfit]


def _outlook(connection: duckdb.DuckDBPyConnection, now: datetime, source: str, quota: int) -> Outlook | None:
    interval = by_age_sql([double_sql(float(band.interval_days[source])) for band in AGE_TABLE])
    # What is frozen waits for the ceiling, or for what stands for one in the order by value.
    frozen = double_sql(float((SOURCES[source].ceiling or LONGEST_UNCHECKED).days))
    ((known,),) = connection.execute("SELECT count(*) FROM refresh_metadata").fetchall()
    each = one_in(known)
    groups = connection.execute(
        f"""
        WITH age_groups AS (
            -- More is known than believed of one where so many changes were expected of second looks.
            SELECT {age_group_sql()} AS age_group, coalesce(sum({source}_exposure), 0) >= {SHRINKAGE} AS learned
            FROM refresh_metadata GROUP BY 1
        )
        SELECT count(*) * {each}, avg({source}_rate), avg(importance),
               CASE WHEN {AGE_TABLE_STRATEGY.frozen_sql()} THEN {frozen} ELSE {interval} END AS days, learned
        FROM refresh_metadata JOIN age_groups ON age_group IS NOT DISTINCT FROM {age_group_sql()}
        WHERE {source}_checked_at IS NOT NULL AND {source}_tombstoned_at IS NULL
          AND {source}_rate > 0 AND importance > 0 AND {is_sampled(each)}
        GROUP BY round(2 * log2({source}_rate)), round(2 * log2(importance)), days, learned""",
        {"now": naive_utc(now)},
    ).fetchall()
    answers = connection.execute(
        "SELECT count(*) FROM fetch_log WHERE source = ? AND outcome = 'fetched' AND days_since_check > 0", [source]
    ).fetchall()[0][0]
    return outlook(source, [Alike(*group) for group in groups], quota, answers)
