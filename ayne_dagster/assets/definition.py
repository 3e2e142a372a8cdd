"""What all assets share in their definition: partitions, owners, column schemas, retries. No work of an asset."""

from __future__ import annotations

from typing import Any, NoReturn

import dagster as dg

from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.settings.tags import is_own_run
from ayne_dagster.warehouse.schema import ALL_TABLES
from ayne_dagster.warehouse.tables import Column, Table, View

RELEASE_YEARS = dg.StaticPartitionsDefinition(list(PARTITION_KEYS))
OWNERS = ["team:movies"]
ANSWERS, FEEDS, DATASET = "answers", "feeds", "dataset"
"""The groups: what sources answer movie by movie; what they publish of all movies at once; what is made of both, for
analysts and for the next refresh. Of more groups, with an asset or two each, the first view of the lineage shows names
alone."""
TMDB_POOL = "tmdb"
SOURCE_RETRIES = dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""When a step whose source was down is tried again within its run: after one minute and after two more, about."""


def retry_or_fail(context: dg.AssetExecutionContext, failure: dg.Failure) -> NoReturn:
    """End a step whose source is down: have Dagster try it again, or fail it where somebody waits in the foreground.

    The policy is not given to `@dg.asset`: Dagster would apply it to a terminated run too, which would then go on, and
    to `ayne collect`, which would keep its user waiting instead of telling what is wrong.

    Raises:
        dg.RetryRequested: Dagster launched the run, and has retries left for the step.
        dg.Failure: nobody else tries again, or the last retry has failed.
    """
    if not is_launched(context.run) or context.retry_number >= SOURCE_RETRIES.max_retries:
        raise failure from None
    wait = SOURCE_RETRIES.calculate_delay(context.retry_number + 1)
    raise dg.RetryRequested(SOURCE_RETRIES.max_retries, wait) from failure


def is_launched(run: dg.DagsterRun) -> bool:
    """Whether Dagster launched a run, and no command executes it: that has an origin too, but a tag beside it."""
    return run.remote_job_origin is not None and not is_own_run(run.tags)


def table_options(table: Table | View, group: str, kinds: set[str]) -> dict[str, Any]:
    """Options of `@dg.asset` for an asset that is a table."""
    return {
        "name": table.name,
        "description": table.description,
        "group_name": group,
        "owners": OWNERS,
        "kinds": {"duckdb", *kinds},
        "metadata": {"dagster/column_schema": column_schema(table.columns), "dagster/table_name": table.name},
        "io_manager_key": "io_manager",
    }


def partitioned_options(table: Table, group: str, kinds: set[str]) -> dict[str, Any]:
    """Options for a table partitioned by release year; a range of years is one run."""
    return table_options(table, group, kinds) | {
        "partitions_def": RELEASE_YEARS,
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }


def column_schema(columns: tuple[Column, ...]) -> dg.TableSchema:
    """Names, types and meanings of columns, as Dagster's UI shows them."""
    return dg.TableSchema([dg.TableColumn(c.name, c.type, c.description) for c in columns])


def column_lineage(view: View) -> dg.TableColumnLineage:
    """Which tables' columns each column of a view comes from."""
    return dg.TableColumnLineage(
        {
            column.name: [
                dg.TableColumnDep(asset_key=dg.AssetKey([table]), column_name=column.name)
                for table in view.origins.get(column.name, ())
                if table in ALL_TABLES
            ]
            for column in view.columns
        }
    )
