"""TMDB's change feed: which movies changed, day by day. Asking is in `sources.tmdb`, storing in `warehouse`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import duckdb

from ayne_dagster.assets.checks import check_results, check_specs
from ayne_dagster.assets.definition import TMDB_POOL, table_options
from ayne_dagster.assets.refreshing import Steps, asking, collecting_from, failing_clearly
from ayne_dagster.collecting.feed import FeedItem, read_change_feed
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.streams import Batches, Emit
from ayne_dagster.resources.clients import Clock, DuckDBDatabase, TMDBResource
from ayne_dagster.resources.io_manager import MergeStream
from ayne_dagster.warehouse.care.ahead import told_ahead
from ayne_dagster.warehouse.feeds.change_feed import (
    FeedPlan,
    FeedPosition,
    feed_position,
    merge_feed_days,
    plan_reading,
)
from ayne_dagster.warehouse.merge import MergeReport, QuarantinedBody, quarantine
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
    progress = Progress()
    plans: list[FeedPlan] = []
    watcher().started(TMDB_CHANGES.name, progress)

    def merge(connection: duckdb.DuckDBPyConnection, batch: list[FeedItem]) -> MergeReport:
        run_id = context.run.run_id
        report = quarantine(connection, (i for i in batch if isinstance(i, QuarantinedBody)), run_id)
        days = [day for item in batch if not isinstance(item, QuarantinedBody) for day in item]
        report.add(merge_feed_days(connection, days, clock.now(), run_id))
        return report

    def done(report: MergeReport, seconds: float) -> None:
        with database.file.connect() as connection:
            position = feed_position(connection, clock.now())
        counts = report.total()
        told = {name: counts.get(name, 0) for name in COUNTS}
        context.add_asset_metadata(
            told | {"cursor": str(position.cursor), "requests": progress.requests, "seconds": round(seconds, 3)}
        )
        if told["gaps"]:
            context.log.warning(f"{told['gaps']} days of the change feed were not read as a whole, and will not be.")
        context.log.info(_in_words(told, position, progress))
        watcher().finished(TMDB_CHANGES.name, told | {"requests": progress.requests})

    @contextmanager
    def around() -> Iterator[None]:
        with collecting_from("tmdb", database, context):
            with database.file.connect() as connection:
                plans.append(plan_reading(connection, clock.now()))
                if told := told_ahead(connection, CHANGE_FEED_DAYS, clock.now()):
                    context.log.warning(told)
                    watcher().note(told)
            yield

    async def produce(emit: Emit[FeedItem]) -> None:
        (plan,) = plans
        if plan.days:
            async with asking(tmdb.client(clock), progress, context) as client:
                await read_change_feed(client, plan, emit, now=clock.now, progress=progress)

    # Each day is a commit of its own, with the cursor: a reading that is killed goes on with the next day.
    batches = Batches(failing_clearly(context, produce), max_batch=1)
    yield dg.Output(MergeStream(batches, merge, done, around=around))
    yield from check_results(TMDB_CHANGES, database.file, clock.now())


def _in_words(told: Mapping[str, Any], position: FeedPosition, progress: Progress) -> str:
    stopped = f"; stopped: {progress.stopped_because}" if progress.stopped_because else ""
    return f"{dict(told)}; read up to {position.cursor}{stopped}"
