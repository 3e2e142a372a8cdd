"""From the days of a change feed to the movies that changed. Which days are read is in `warehouse.feeds`."""

from __future__ import annotations

from collections.abc import Sequence

from ayne_dagster.collecting.listing import with_advice
from ayne_dagster.collecting.progress import Progress
from ayne_dagster.collecting.streams import Emit, Now
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    QuotaExhausted,
    SourceDown,
    SourceError,
)
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.warehouse.answers import KEPT_BYTES, QuarantinedBody
from ayne_dagster.warehouse.code_names import CodeNames
from ayne_dagster.warehouse.feeds.change_feed import FeedDay, FeedPlan

FeedItem = Sequence[FeedDay] | QuarantinedBody | CodeNames


async def read_change_feed(
    client: AsyncTMDBClient, plan: FeedPlan, emit: Emit[FeedItem], *, now: Now, progress: Progress
) -> None:
    """Read the days of a plan, oldest first, and emit each when it is whole; its gaps first, all together.

    A day whose list is not complete is emitted as not covered: its ids are signals all the same. The end of the quota
    ends the reading; a later one goes on with the day.

    Raises:
        InvalidCredentials: the key is not accepted.
        SourceDown: a day could not be read; those before it were emitted.
    """
    progress.total = len(plan.days)
    if plan.gaps:
        await emit([FeedDay(day, frozenset(), covered=False, at=now()) for day in plan.gaps])
    for day in plan.days:
        try:
            changes = await client.list_changes_of(day)
        except InvalidCredentials:
            raise
        except QuotaExhausted as error:
            progress.stopped_because = str(error)
            return
        except SourceError as error:
            if isinstance(error, MalformedAnswer):
                await emit(QuarantinedBody("tmdb", f"change feed of {day}", now(), str(error), error.body[:KEPT_BYTES]))
            raise SourceDown(f"The change feed of {day} cannot be read: {with_advice(error)}") from None
        progress.done += 1
        await emit([FeedDay(day, changes.ids, changes.complete, now())])
