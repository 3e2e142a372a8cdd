"""TMDB's details of the movies that are due. Asking is in `sources.tmdb`, merging in `warehouse`."""

from dataclasses import dataclass

import dagster as dg

from ayne_dagster.assets.checks import check_results, check_specs
from ayne_dagster.assets.definition import TMDB_POOL, partitioned_options
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.refreshing import RefreshConfig, RefreshStream, Steps
from ayne_dagster.collecting.asking import Fetch, details_fetcher
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, TMDBResource
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.sources.tmdb.entities import entities_of, no_entities
from ayne_dagster.warehouse.schema import TMDB_DETAILS


@dg.asset(
    **partitioned_options(TMDB_DETAILS, "details", {"tmdb"}),
    deps=[discovered_movies],
    pool=TMDB_POOL,
    config_schema=RefreshConfig.schema_for_runs(),
    check_specs=check_specs(TMDB_DETAILS),
)
def tmdb_details(
    context: dg.AssetExecutionContext,
    tmdb: dg.ResourceParam[TMDBResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Fetch details, with credits, keywords, external ids and certification, one request a movie."""
    config = RefreshConfig.of(context)
    stream = DetailsStream(
        context,
        config,
        source="tmdb",
        table=TMDB_DETAILS,
        database=database,
        clock=clock,
        settings=settings,
        open_client=lambda: tmdb.client(clock, use_reserve=config.use_reserve),
    )
    yield dg.Output(stream)
    yield from check_results(TMDB_DETAILS, database.file, clock.now())


@dataclass
class DetailsStream(RefreshStream[AsyncTMDBClient]):
    """One request a movie."""

    def fetch(self, client: AsyncTMDBClient) -> Fetch:
        """Asks for a movie."""
        return details_fetcher(client, self.clock.now, entities_of if self.settings.entities else no_entities)
