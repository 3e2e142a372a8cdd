"""Release years without a movie, as Dagster shows them: complete, since there is nothing to fetch. No other years.

Partitions run from the oldest movie there is to years to come, and most collections have nothing in most of them: to
Dagster those would be missing for ever, and every asset grey.
"""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg
import duckdb

from ayne_dagster.assets.runless import record_runless
from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, REFRESH_METADATA, TABLE_OF

PARTITIONED = tuple(dg.AssetKey(table.name) for table in (DISCOVERED_MOVIES, *TABLE_OF.values(), REFRESH_METADATA))
WHY = "No movie of this release year is known: there is nothing to fetch."


def years_with_movies(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The partitions in which a movie is known."""
    return {year for (year,) in connection.execute("SELECT DISTINCT release_year FROM refresh_metadata").fetchall()}


def tell_of_empty_years(instance: dg.DagsterInstance, years: Collection[str]) -> int:
    """Record, once, that all other years hold nothing; of a collection without any movie nothing is said.

    Args:
        instance: whose assets.
        years: those with movies.

    Returns:
        How many partitions were recorded, of all assets together.
    """
    if not years:
        return 0
    empty = [key for key in PARTITION_KEYS if key not in years]
    told = [
        dg.AssetMaterialization(asset, WHY, {"rows": 0}, partition=year)
        for asset in PARTITIONED
        for known in [instance.get_materialized_partitions(asset)]
        for year in empty
        if year not in known
    ]
    record_runless(instance, told)
    return len(told)
