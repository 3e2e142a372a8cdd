"""OMDb's ratings of due movies that have an IMDb id. Asking is in `sources.omdb`, merging in `warehouse`."""

from dataclasses import dataclass

import dagster as dg

from ayne_dagster.assets.checks import check_results, check_specs
from ayne_dagster.assets.definition import OMDB_POOL, partitioned_options
from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.refreshing import RefreshConfig, RefreshStream, Steps
from ayne_dagster.collecting.asking import Fetch, ratings_fetcher
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, OMDBResource
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.warehouse.schema import OMDB_RATINGS


@dg.asset(
    **partitioned_options(OMDB_RATINGS, "ratings", {"omdb"}),
    deps=[tmdb_details],
    pool=OMDB_POOL,
    config_schema=RefreshConfig.schema_for_runs(),
    check_specs=check_specs(OMDB_RATINGS),
)
def omdb_ratings(
    context: dg.AssetExecutionContext,
    omdb: dg.ResourceParam[OMDBResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Fetch ratings and US box office by IMDb id, within the day's quota."""
    config = RefreshConfig.of(context)
    stream = RatingsStream(
        context,
        config,
        source="omdb",
        table=OMDB_RATINGS,
        database=database,
        clock=clock,
        settings=settings,
        open_client=lambda: omdb.client(clock, use_reserve=config.use_reserve),
    )
    yield dg.Output(stream)
    yield from check_results(OMDB_RATINGS, database.file, clock.now())


@dataclass
class RatingsStream(RefreshStream[AsyncOMDBClient]):
    """One request a movie."""

    def fetch(self, client: AsyncOMDBClient) -> Fetch:
        """Asks for a movie."""
        return ratings_fetcher(client, self.clock.now)
