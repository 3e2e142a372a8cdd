"""TMDB's change feed: which movies changed, day by day; and once a month its names of countries and languages.

Asking is in `sources.tmdb`, storing in `warehouse`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
import duckdb

from ayne_dagster.assets.definition import FEEDS, TMDB_POOL, table_options
from ayne_dagster.assets.refreshing import Steps, asking, collecting_from, failing_clearly, telling
from ayne_dagster.collecting.code_names import read_code_names
from ayne_dagster.collecting.feed import FeedItem, read_change_feed
from ayne_dagster.collecting.numbers import FeedRead
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.streams import Batches, Emit
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, TMDBResource
from ayne_dagster.resources.io_manager import MergeStream
from ayne_dagster.warehouse.answers import FeedCounts, QuarantinedBody
from ayne_dagster.warehouse.care.ahead import told_ahead
from ayne_dagster.warehouse.code_names import CodeNames, due_kinds, merge_code_names
from ayne_dagster.warehouse.feeds.change_feed import (
    FeedPlan,
    FeedPosition,
    feed_position,
    merge_feed_days,
    plan_reading,
)
from ayne_dagster.warehouse.merge import quarantine
from ayne_dagster.warehouse.schema import CHANGE_FEED_DAYS, TMDB_CHANGES

SOURCE = "tmdb"
"""Whose feed it is."""


@dg.asset(
    **table_options(TMDB_CHANGES, FEEDS, {"tmdb"}),
    pool=TMDB_POOL,
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


@dataclass
class ChangeFeedStream(MergeStream[FeedItem, FeedCounts]):
    """The days of the change feed that are to be read."""

    context: dg.AssetExecutionContext
    tmdb: TMDBResource
    database: DuckDBDatabase
    clock: Clock

    def __post_init__(self) -> None:
        self._progress = Progress(SOURCE)
        self._tell_people = telling(self.context)
        self._plan: FeedPlan | None = None
        self._kinds: list[str] = []
        watcher().started(TMDB_CHANGES.name, self._progress)

    @contextmanager
    def held(self) -> Iterator[None]:
        """TMDB's lease; which days are to be read is known once it is held."""
        now = self.clock.now()
        with collecting_from(SOURCE, self.database, self.context):
            with self.database.file.connect() as connection:
                self._plan = plan_reading(connection, now)
                self._kinds = due_kinds(connection, now)
                if told := told_ahead(connection, CHANGE_FEED_DAYS, now):
                    self.context.log.warning(told)
                    watcher().note(told)
            yield

    async def produce(self, emit: Emit[FeedItem]) -> None:
        """Read each day as a whole, then the names that are due."""
        plan = self._plan
        if plan is None or not (plan.days or self._kinds):
            return
        with failing_clearly(self.context):
            client = self.tmdb.client(self.clock)
            async with asking(client, self._progress, self._tell_people, again=self.context.retry_number > 0):
                if plan.days:
                    await read_change_feed(client, plan, emit, now=self.clock.now, progress=self._progress)
                await read_code_names(client, self._kinds, emit, now=self.clock.now, tell=self._tell_people)

    def batches(self) -> Batches[FeedItem]:
        """Each day is a commit of its own, with the cursor: a reading that is killed goes on with the next day."""
        return Batches(self.produce, max_batch=1)

    def merge(self, connection: duckdb.DuckDBPyConnection, batch: list[FeedItem]) -> FeedCounts:
        """Signal the movies that the days name."""
        run_id = self.context.run.run_id
        kept = quarantine(connection, (i for i in batch if isinstance(i, QuarantinedBody)), run_id)
        for names in (item for item in batch if isinstance(item, CodeNames)):
            merge_code_names(connection, names)
        days = [day for item in batch if not isinstance(item, QuarantinedBody | CodeNames) for day in item]
        read = merge_feed_days(connection, days, self.clock.now(), run_id)
        return read + FeedCounts(quarantined=kept.total().quarantined)

    def nothing(self) -> FeedCounts:
        """No day."""
        return FeedCounts()

    def report(self, merged: FeedCounts, seconds: float) -> None:
        """Counts, and up to which day the feed is read."""
        with self.database.file.connect() as connection:
            position = feed_position(connection, self.clock.now())
        told = FeedRead.of(merged, self._progress.requests)
        self.context.add_asset_metadata(told.as_dict() | {"cursor": str(position.cursor), "seconds": round(seconds, 3)})
        if told.gaps:
            self.context.log.warning(f"{told.gaps} days of the change feed were not read as a whole, and stay so.")
        self.context.log.info(_in_words(told, position, self._progress))
        watcher().finished(TMDB_CHANGES.name, told)


def _in_words(told: FeedRead, position: FeedPosition, progress: Progress) -> str:
    stopped = f"; stopped: {progress.stopped_because}" if progress.stopped_because else ""
    return f"{told.as_dict()}; read up to {position.cursor}{stopped}"
