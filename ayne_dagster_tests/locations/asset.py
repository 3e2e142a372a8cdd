"""The asset that collects the source, and how it is reached."""

from dataclasses import dataclass

import dagster as dg

from ayne_dagster.assets.answers import ANSWER_ASSETS
from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.refreshing import RefreshConfig, RefreshStream, Steps, refresh_options, refreshed
from ayne_dagster.collecting.asking import Fetch
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import RESOURCES, ApiResource, Clock, DuckDBDatabase
from ayne_dagster_tests.locations.client import AsyncPlacesClient, places_fetcher


class PlacesResource(ApiResource[AsyncPlacesClient]):
    """Access to Places."""

    _make = AsyncPlacesClient


@dg.asset(**refresh_options("locations", {"places"}), deps=[tmdb_details])
def locations(
    context: dg.AssetExecutionContext,
    places: dg.ResourceParam[PlacesResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Fetch where movies were shot, one request a movie."""
    yield from refreshed(LocationsStream(context, RefreshConfig.of(context), places, database, clock, settings))


@dataclass
class LocationsStream(RefreshStream[AsyncPlacesClient]):
    """One request a movie."""

    source = "locations"

    def fetch(self, client: AsyncPlacesClient) -> Fetch:
        """Asks for a movie."""
        return places_fetcher(client, self.clock.now)


RESOURCES["places"] = PlacesResource
ANSWER_ASSETS.append(locations)
