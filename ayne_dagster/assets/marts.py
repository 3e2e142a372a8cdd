"""What analysts use: the table `movies`, and how much is collected. No fetching, no decisions."""

import dagster as dg
import duckdb

from ayne_dagster.assets.definition import column_lineage, table_options
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.assets.refreshing import Steps
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.warehouse.schema import COLLECTION_STATUS, MOVIES
from ayne_dagster.warehouse.statistics import record_stats


@dg.asset(
    **table_options(MOVIES, "marts", set()), deps=[discovered_movies, refresh_metadata, imdb_ratings], config_schema={}
)
def movies(context: dg.AssetExecutionContext) -> Steps:
    """One row a movie. A view over the other tables: it cannot be older than they are, whatever becomes of a run."""

    def write(connection: duckdb.DuckDBPyConnection) -> int:
        connection.execute(MOVIES.ddl())
        return int(connection.execute("SELECT count(*) FROM movies").fetchall()[0][0])

    def done(rows: int) -> None:
        context.add_asset_metadata({"dagster/row_count": rows, "dagster/column_lineage": column_lineage(MOVIES)})

    yield dg.Output(TableWrite(write, done))


@dg.asset(**table_options(COLLECTION_STATUS, "marts", set()), deps=[refresh_metadata], config_schema={})
def collection_status(
    context: dg.AssetExecutionContext, database: DuckDBDatabase, clock: dg.ResourceParam[Clock]
) -> Steps:
    """Count what is collected, and keep the counts: each materialization is a point in the UI's plots."""

    def write(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
        return record_stats(connection, clock.now(), database.strategy(connection))

    yield dg.Output(TableWrite(write, context.add_asset_metadata))
