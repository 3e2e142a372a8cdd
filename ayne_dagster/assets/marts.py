"""What analysts use: the table `movies`, and how much is collected. No fetching, no decisions."""

from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg
import duckdb

from ayne_dagster.assets.definition import DATASET, column_lineage, is_launched, table_options
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.empty_years import tell_of_empty_years, years_with_movies
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.assets.refreshing import Steps
from ayne_dagster.config import FigureChoice, Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.schema import COLLECTION_STATUS
from ayne_dagster.warehouse.statistics import record_stats
from ayne_dagster.warehouse.views import MOVIES


@dg.asset(
    **table_options(MOVIES, DATASET, set()), deps=[discovered_movies, refresh_metadata, imdb_ratings], config_schema={}
)
def movies(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> Steps:
    """One row a movie. A view over the other tables: it cannot be older than they are, whatever becomes of a run."""
    yield dg.Output(MoviesView(context, settings.box_office))


@dataclass
class MoviesView(TableWrite[int]):
    """The view `movies`, made anew: a newer version may tell it otherwise."""

    context: dg.AssetExecutionContext
    figures: FigureChoice

    def write(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Make it; returns its rows."""
        put_precedence(connection, self.figures)
        connection.execute(MOVIES.ddl())
        return int(connection.execute("SELECT count(*) FROM movies").fetchall()[0][0])

    def report(self, written: int) -> None:
        """Rows, and from which columns of which tables each of its own comes."""
        lineage = column_lineage(MOVIES)
        self.context.add_asset_metadata({"dagster/row_count": written, "dagster/column_lineage": lineage})


@dg.asset(**table_options(COLLECTION_STATUS, DATASET, set()), deps=[refresh_metadata], config_schema={})
def collection_status(
    context: dg.AssetExecutionContext, database: DuckDBDatabase, clock: dg.ResourceParam[Clock]
) -> Steps:
    """Count what is collected, and keep the counts: each materialization is a point in the UI's plots."""
    yield dg.Output(Counting(context, database, clock))


@dataclass
class Counting(TableWrite[dict[str, int]]):
    """Today's counts, as a row of their own."""

    context: dg.AssetExecutionContext
    database: DuckDBDatabase
    clock: Clock
    years: Collection[str] = ()

    def write(self, connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
        """Count, and keep the counts."""
        self.years = years_with_movies(connection)
        return record_stats(connection, self.clock.now(), self.database.strategy(connection))

    def report(self, written: dict[str, int]) -> None:
        """The counts; and to whoever looks at Dagster's UI, which years have nothing to fetch."""
        self.context.add_asset_metadata(written)
        if is_launched(self.context.run):
            tell_of_empty_years(self.context.instance, self.years)
