"""Release years without a movie, as Dagster shows them: complete, since there is nothing to fetch. No other years.

Partitions run from the oldest movie there is to years to come, and most collections have nothing in most of them: to
Dagster those would be missing for ever, and every asset grey.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

import dagster as dg
import duckdb
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, DagsterEventType, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID

from ayne_dagster.assets.answers import ANSWER_ASSETS
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.partitions import PARTITION_KEYS

PARTITIONED = tuple(asset.key for asset in (discovered_movies, *ANSWER_ASSETS, refresh_metadata))
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
    _record(instance, told)
    return len(told)


def _record(instance: dg.DagsterInstance, events: Sequence[dg.AssetMaterialization]) -> None:
    """Have them recorded in one go: one by one, as `report_runless_asset_event` does, they take seconds."""
    batch = uuid.uuid4().hex
    for number, event in enumerate(events, 1):
        instance.report_dagster_event(
            DagsterEvent(
                event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                event_specific_data=StepMaterializationData(event),
                job_name=RUNLESS_JOB_NAME,
            ),
            run_id=RUNLESS_RUN_ID,
            batch_metadata=DagsterEventBatchMetadata(batch, is_end=number == len(events)),
        )
