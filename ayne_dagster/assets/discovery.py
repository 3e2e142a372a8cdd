"""Movies found on TMDB's discover pages. Listing is in `sources.tmdb`, storing in `warehouse`."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import dagster as dg
import duckdb
from pydantic import Field

from ayne_dagster.assets.definition import ANSWERS, TMDB_POOL, partitioned_options
from ayne_dagster.assets.empty_years import tell_of_empty_years, years_with_movies
from ayne_dagster.assets.refreshing import Steps, asking, collecting_from, failing_clearly, pace_metadata, telling
from ayne_dagster.assets.run_config import RunConfig
from ayne_dagster.assets.runless import are_told_by
from ayne_dagster.collecting.listing import Listed, date_span, discover
from ayne_dagster.collecting.numbers import Discovered, Found
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.streams import Emit
from ayne_dagster.config import MAX_NUMBER
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, TMDBResource
from ayne_dagster.resources.io_manager import MergeStream
from ayne_dagster.warehouse.answers import ListedMovie, MergeReport, QuarantinedBody
from ayne_dagster.warehouse.merge import merge_listing, quarantine
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES
from ayne_dagster.warehouse.spool import Origin

SOURCE = "tmdb"
"""Who is asked."""
MOST_PAGES = 500
"""TMDB shows no further ones."""
SHORTAGES_TOLD = 20
"""In the log of a run. Those that an answer came for stand in the quarantine, all of them."""


class DiscoveryConfig(RunConfig):
    """Which movies to discover in the run's release years."""

    min_votes: int = Field(default=200, ge=0, le=int(MAX_NUMBER), description="Leave out movies with fewer votes")
    max_pages: int | None = Field(
        default=None, ge=1, le=MOST_PAGES, description="Pages of 20 movies a release year at most"
    )
    use_reserve: bool = Field(default=False, description="Use up the quota, with the part that is kept for people")


@dg.asset(
    **partitioned_options(DISCOVERED_MOVIES, ANSWERS, {"tmdb"}),
    pool=TMDB_POOL,
    config_schema=DiscoveryConfig.schema_for_runs(),
)
def discovered_movies(
    context: dg.AssetExecutionContext,
    tmdb: dg.ResourceParam[TMDBResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
) -> Steps:
    """List the movies of the run's release years and note those that are new."""
    yield dg.Output(DiscoveryStream(context, DiscoveryConfig.of(context), tmdb, database, clock))


@dataclass
class DiscoveryStream(MergeStream[Listed, MergeReport]):
    """The movies of the run's release years, as TMDB lists them."""

    context: dg.AssetExecutionContext
    config: DiscoveryConfig
    tmdb: TMDBResource
    database: DuckDBDatabase
    clock: Clock

    def __post_init__(self) -> None:
        self.origin = Origin(SOURCE, DISCOVERED_MOVIES.name, self.context.run.run_id)
        self._progress = Progress(SOURCE)
        self._tell_people = telling(self.context)
        watcher().started(DISCOVERED_MOVIES.name, self._progress)

    def held(self) -> AbstractContextManager[None]:
        """TMDB's lease."""
        return collecting_from(SOURCE, self.database, self.context)

    async def produce(self, emit: Emit[Listed]) -> None:
        """List the span of the years."""
        span = date_span(self.context.partition_keys)
        if span is None:
            return
        client = self.tmdb.client(self.clock, use_reserve=self.config.use_reserve)
        with failing_clearly(self.context):
            async with asking(client, self._progress, self._tell_people, again=self.context.retry_number > 0):
                await discover(
                    client,
                    span,
                    emit,
                    min_votes=self.config.min_votes,
                    max_pages=self.config.max_pages,
                    now=self.clock.now,
                    progress=self._progress,
                )

    def merge(self, connection: duckdb.DuckDBPyConnection, batch: list[Listed]) -> MergeReport:
        """Note those that are new, and what could not be read."""
        run_id = self.context.run.run_id
        report = merge_listing(connection, (i for i in batch if isinstance(i, ListedMovie)), run_id)
        return report + quarantine(connection, (i for i in batch if isinstance(i, QuarantinedBody)), run_id)

    def nothing(self) -> MergeReport:
        """No movie."""
        return MergeReport()

    def report(self, merged: MergeReport, seconds: float) -> None:
        """Counts by partition, and where the listing came out short; years without movies, before checks look."""
        progress = self._progress
        if are_told_by(self.context.instance, self.context.run):
            with self.database.file.connect() as connection:
                years = years_with_movies(connection)
            tell_of_empty_years(self.context.instance, years)
        for year, counts in merged.by_year.items():
            if year in self.context.partition_keys:
                metadata = Found.of(counts).as_dict() | {"seconds": round(seconds, 3)} | pace_metadata(progress)
                self.context.add_asset_metadata(metadata, partition_key=year)
        remarks = [f"stopped: {progress.stopped_because}" if progress.stopped_because else None, progress.slowed]
        self.context.log.info(
            f"{merged}, {progress.requests} requests, {progress.short_by} promised and not shown"
            + "".join(f"; {remark}" for remark in remarks if remark)
        )
        _tell_shortages(self.context, progress)
        found = Found.of(merged.total()).as_dict()
        watcher().finished(DISCOVERED_MOVIES.name, Discovered(**found, requests=progress.requests))


def _tell_shortages(context: dg.AssetExecutionContext, progress: Progress) -> None:
    """Say where the listing came out short."""
    for shortage in progress.shortages[:SHORTAGES_TOLD]:
        context.log.warning(shortage)
    if (untold := len(progress.shortages) - SHORTAGES_TOLD) > 0:
        context.log.warning(f"The listing came out short in {untold:,} more places.")
    if progress.shortages:
        more = f", and of {len(progress.shortages) - 1:,} more" if len(progress.shortages) > 1 else ""
        watcher().note(f"The listing came out short of {progress.shortages[0]}{more} (see the log of the run).")
