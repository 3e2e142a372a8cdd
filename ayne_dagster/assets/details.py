"""TMDB's details of the movies that are due. Asking is in `sources.tmdb`, merging in `warehouse`."""

from dataclasses import dataclass

import dagster as dg

from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.refreshing import RefreshConfig, RefreshStream, Steps, refresh_options, refreshed
from ayne_dagster.collecting.asking import Fetch, details_fetcher
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, TMDBResource
from ayne_dagster.sources.tmdb.appended import appending
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.sources.tmdb.entities import entities_of, no_entities


@dg.asset(**refresh_options("tmdb", {"tmdb"}), deps=[discovered_movies])
def tmdb_details(
    context: dg.AssetExecutionContext,
    tmdb: dg.ResourceParam[TMDBResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Fetch details, with credits, keywords, external ids and certification, one request a movie.

    With AYNE_TMDB_APPEND, videos and the like too, in the same request.
    """
    yield from refreshed(DetailsStream(context, RefreshConfig.of(context), tmdb, database, clock, settings))


@dataclass
class DetailsStream(RefreshStream[AsyncTMDBClient]):
    """One request a movie."""

    source = "tmdb"

    def fetch(self, client: AsyncTMDBClient) -> Fetch:
        """Asks for a movie."""
        entities = entities_of if self.settings.entities else no_entities
        return details_fetcher(client, self.clock.now, appending(entities, self.settings.tmdb_append))
