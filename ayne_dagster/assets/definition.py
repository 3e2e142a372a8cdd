"""What all assets share in their definition: partitions, owners, column schemas. Nothing that runs."""

from __future__ import annotations

from typing import Any

import dagster as dg

from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.warehouse.schema import ALL_TABLES, Column, Table, View

RELEASE_YEARS = dg.StaticPartitionsDefinition(list(PARTITION_KEYS))
OWNERS = ["team:movies"]
TMDB_POOL = "tmdb"
OMDB_POOL = "omdb"


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
