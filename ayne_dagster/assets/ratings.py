"""OMDb's ratings of due movies that have an IMDb id. Asking is in `sources.omdb`, merging in `warehouse`."""

from dataclasses import dataclass

import dagster as dg

from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.refreshing import RefreshConfig, RefreshStream, Steps, refresh_options, refreshed
from ayne_dagster.collecting.asking import Fetch, ratings_fetcher
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, OMDBResource
from ayne_dagster.sources.omdb.client import AsyncOMDBClient


@dg.asset(**refresh_options("omdb", {"omdb"}), deps=[tmdb_details])
def omdb_ratings(
    context: dg.AssetExecutionContext,
    omdb: dg.ResourceParam[OMDBResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Fetch ratings and US box office by IMDb id, within the day's quota."""
    yield from refreshed(RatingsStream(context, RefreshConfig.of(context), omdb, database, clock, settings))


@dataclass
class RatingsStream(RefreshStream[AsyncOMDBClient]):
    """One request a movie."""

    source = "omdb"

    def fetch(self, client: AsyncOMDBClient) -> Fetch:
        """Asks for a movie."""
        return ratings_fetcher(client, self.clock.now)
