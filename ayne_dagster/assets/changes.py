"""TMDB's change feed: which movies changed, day by day. Asking is in `sources.tmdb`, storing in `warehouse`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import duckdb

from ayne_dagster.assets.checks import check_results, check_specs
from ayne_dagster.assets.definition import TMDB_POOL, table_options
from ayne_dagster.assets.refreshing import Steps, asking, collecting_from, failing_clearly, telling
from ayne_dagster.collecting.feed import FeedItem, read_change_feed
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.streams import Batches, Emit
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, TMDBResource
from ayne_dagster.resources.io_manager import MergeStream
from ayne_dagster.warehouse.answers import MergeReport, QuarantinedBody
from ayne_dagster.warehouse.care.ahead import told_ahead
from ayne_dagster.warehouse.feeds.change_feed import (
    FeedPlan,
    FeedPosition,
    feed_position,
    merge_feed_days,
    plan_reading,
)
from ayne_dagster.warehouse.merge import quarantine
from ayne_dagster.warehouse.schema import CHANGE_FEED_DAYS, TMDB_CHANGES

COUNTS = ("days", "gaps", "listed", "known", "signals", "thawed")


@dg.asset(
    **table_options(TMDB_CHANGES, "feeds", {"tmdb"}),
    pool=TMDB_POOL,
    check_specs=check_specs(TMDB_CHANGES),
    config_schema={},
)
def tmdb_changes(
    context: dg.AssetExecutionContext,
    tmdb: dg.ResourceParam[TMDBResource],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
) -> Steps:
    """Read the days of the feed that are complete and were not read, and signal the movies that they name."""
    yield dg.Output(ChangeFeedStream(context, tmdb, database, clock))
    yield from check_results(TMDB_CHANGES, database.file, clock.now())


@dataclass
class ChangeFeedStream(MergeStream[FeedItem]):
    """The days of the change feed that are to be read."""

    context: dg.AssetExecutionContext
    tmdb: TMDBResource
    database: DuckDBDatabase
    clock: Clock

    def __post_init__(self) -> None:
        self._progress = Progress()
        self._tell_people = telling(self.context)
        self._plan: FeedPlan | None = None
        watcher().started(TMDB_CHANGES.name, self._progress)

    @contextmanager
    def held(self) -> Iterator[None]:
        """TMDB's lease; which days are to be read is known once it is held."""
        now = self.clock.now()
        with collecting_from("tmdb", self.database, self.context):
            with self.database.file.connect() as connection:
                self._plan = plan_reading(connection, now)
                if told := told_ahead(connection, CHANGE_FEED_DAYS, now):
                    self.context.log.warning(told)
                    watcher().note(told)
            yield

    async def produce(self, emit: Emit[FeedItem]) -> None:
        """Read each day as a whole."""
        if self._plan is None or not self._plan.days:
            return
        with failing_clearly(self.context):
            client = self.tmdb.client(self.clock)
            async with asking(client, self._progress, self._tell_people, again=self.context.retry_number > 0):
                await read_change_feed(client, self._plan, emit, now=self.clock.now, progress=self._progress)

    def batches(self) -> Batches[FeedItem]:
        """Each day is a commit of its own, with the cursor: a reading that is killed goes on with the next day."""
        return Batches(self.produce, max_batch=1)

    def merge(self, connection: duckdb.DuckDBPyConnection, batch: list[FeedItem]) -> MergeReport:
        """Signal the movies that the days name."""
        run_id = self.context.run.run_id
        report = quarantine(connection, (i for i in batch if isinstance(i, QuarantinedBody)), run_id)
        days = [day for item in batch if not isinstance(item, QuarantinedBody) for day in item]
        report.add(merge_feed_days(connection, days, self.clock.now(), run_id))
        return report

    def report(self, merged: MergeReport, seconds: float) -> None:
        """Counts, and up to which day the feed is read."""
        with self.database.file.connect() as connection:
            position = feed_position(connection, self.clock.now())
        counts, requests = merged.total(), self._progress.requests
        told = {name: counts.get(name, 0) for name in COUNTS}
        self.context.add_asset_metadata(
            told | {"cursor": str(position.cursor), "requests": requests, "seconds": round(seconds, 3)}
        )
        if told["gaps"]:
            self.context.log.warning(f"{told['gaps']} days of the change feed were not read as a whole, and stay so.")
        self.context.log.info(_in_words(told, position, self._progress))
        watcher().finished(TMDB_CHANGES.name, told | {"requests": requests})


def _in_words(told: Mapping[str, Any], position: FeedPosition, progress: Progress) -> str:
    stopped = f"; stopped: {progress.stopped_because}" if progress.stopped_because else ""
    return f"{dict(told)}; read up to {position.cursor}{stopped}"
