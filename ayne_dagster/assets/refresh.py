"""The refresh state of every movie, which the sensor reads. Rules are in `refresh`, storage in `warehouse`."""

import dagster as dg
import duckdb

from ayne_dagster.assets.changes import tmdb_changes
from ayne_dagster.assets.checks import check_results, check_specs
from ayne_dagster.assets.definition import partitioned_options
from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.exports import tmdb_id_export
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.ratings import omdb_ratings
from ayne_dagster.assets.refreshing import Steps, partitions_of
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster.warehouse.state import derive_columns


@dg.asset(
    **partitioned_options(REFRESH_METADATA, "refresh", set()),
    deps=[tmdb_details, omdb_ratings, tmdb_changes, tmdb_id_export, imdb_ratings],
    check_specs=check_specs(REFRESH_METADATA),
    config_schema={},
)
def refresh_metadata(
    context: dg.AssetExecutionContext,
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Work out age category, frozen state, reasons, rates and weights anew; times are kept with each answer."""
    now = clock.now()
    watcher().started(REFRESH_METADATA.name, Progress())

    def done(by_year: dict[str, dict[str, int]]) -> None:
        for year in context.partition_keys:
            if year in by_year:
                context.add_asset_metadata(by_year[year], partition_key=year)
        names = ("movies", "updated", "newly_frozen", "frozen")
        watcher().finished(
            REFRESH_METADATA.name, {name: sum(counts[name] for counts in by_year.values()) for name in names}
        )

    def write(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
        strategy = database.strategy(connection)
        return derive_columns(connection, now, years=partitions_of(context), strategy=strategy)

    yield dg.Output(TableWrite(write, done))
    yield from check_results(REFRESH_METADATA, database.file, now, database.choice, settings.spendable)
