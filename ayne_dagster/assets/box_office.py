"""Figures of due movies' money, from those that are asked for them. Which is shown is chosen in `warehouse`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg
import duckdb

from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.refreshing import RefreshConfig, RefreshStream, Steps, refresh_options, refreshed
from ayne_dagster.collecting.asking import Fetch
from ayne_dagster.collecting.figures import HeldUp, figures_fetcher
from ayne_dagster.collecting.streams import Emit
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, WikidataResource
from ayne_dagster.sources.wikidata.client import AsyncWikidataClient
from ayne_dagster.warehouse.answers import Answer, MergeReport
from ayne_dagster.warehouse.figures import stated_before, wikidata_ids


@dg.asset(**refresh_options("numbers", {"wikidata"}), deps=[tmdb_details])
def box_office(
    context: dg.AssetExecutionContext,
    wikidata: dg.ResourceParam[WikidataResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Fetch gross and budget from Wikidata, two hundred movies a request; as stated, nothing converted."""
    config = RefreshConfig.of(context)
    if settings.why_no_figures_are_asked:
        context.log.info(f"Wikidata is not asked: {settings.why_no_figures_are_asked}.")
        config = config.model_copy(update={"limit": 0})
    yield from refreshed(FiguresStream(context, config, wikidata, database, clock, settings))


@dataclass
class FiguresStream(RefreshStream[AsyncWikidataClient]):
    """The due movies of the run's partitions, asked for many at a time."""

    source = "numbers"

    _wikidata_ids: Mapping[int, str] = field(default_factory=dict, init=False)
    _held_up: HeldUp = field(default_factory=HeldUp, init=False)

    def look_up(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Wikidata's ids of the movies, and which it has answered before."""
        self._wikidata_ids = wikidata_ids(connection, [movie.tmdb_id for movie in self._due])
        self._known = stated_before(connection)

    def workers(self, client: AsyncWikidataClient) -> int:
        """As many as fit into a request: they wait for its answer together."""
        return client.BATCH

    def fetch(self, client: AsyncWikidataClient) -> Fetch:
        """Asks for a movie."""
        return figures_fetcher(client, self.clock.now, self._wikidata_ids, self._held_up)

    async def produce(self, emit: Emit[Answer]) -> None:
        """Ask for each due movie, in full requests."""
        await super().produce(self._held_up.counting(emit))

    def _tell(self, merged: MergeReport, seconds: float, left: dict[str, int]) -> None:
        """Counts by partition; of a source that is switched off nothing is left to be asked."""
        super()._tell(merged, seconds, {} if self.settings.why_no_figures_are_asked else left)
