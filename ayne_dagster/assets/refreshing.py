"""Materializing a source's answers: lease, due movies, stream, metadata. Shared by the assets that fetch.

Which source, table and client is theirs to say; which movie is due is decided in `refresh`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar

import dagster as dg
import duckdb
from pydantic import Field

from ayne_dagster.assets.definition import ANSWERS, is_launched, partitioned_options, retry_or_fail
from ayne_dagster.assets.run_config import RunConfig
from ayne_dagster.collecting.asking import Fetch, collect_answers
from ayne_dagster.collecting.numbers import Refreshed
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.stopping import pause
from ayne_dagster.collecting.streams import Emit
from ayne_dagster.config import API_TITLES, MAX_NUMBER, Settings
from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.refresh.explain import counted_in_words, why_none_is_due
from ayne_dagster.refresh.strategy import DUE_REASONS, SOURCES, Reason, Strategy
from ayne_dagster.resources.clients import ApiResource, Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import MergeStream
from ayne_dagster.sources.errors import InvalidCredentials, SourceDown
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import LedgerError
from ayne_dagster.sources.trust import Trust
from ayne_dagster.warehouse.answers import Answer, MergeCounts, MergeReport
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.questions import years_with_nothing_due
from ayne_dagster.warehouse.refresh_metadata import (
    DueMovie,
    answered_before,
    askable_movies,
    due_by_year,
    due_movies,
    reasons_now,
)
from ayne_dagster.warehouse.schema import TABLE_OF
from ayne_dagster.warehouse.spool import Origin, merge_kept

T = TypeVar("T")
C = TypeVar("C", bound="Client")
Steps = Iterator[dg.Output[Any]]

LARGEST_ID = 2**31 - 1
MOST_IDS = 10_000
"""Of a run's configuration; the sensor writes 2,000 at most."""


class RefreshConfig(RunConfig):
    """What a refresh asks for. Without config: the due movies of the run's partitions."""

    tmdb_ids: list[Annotated[int, Field(ge=1, le=LARGEST_ID)]] = Field(
        default=[], max_length=MOST_IDS, description="Only these movies, as far as they are due; empty: any"
    )
    picked: int | None = Field(
        default=None,
        ge=0,
        le=MOST_IDS,
        description="So many of these movies, the first, were picked for this source; the others are asked for where"
        " they became due since, and there is room. Unset: all were",
    )
    limit: int | None = Field(
        default=None,
        ge=0,
        le=int(MAX_NUMBER),
        description="Movies of its source at most. Unset: all that are due of years chosen in the UI, else"
        " AYNE_REFRESH_LIMIT",
    )
    anyway: bool = Field(
        default=False,
        description="Ask also for movies that are not due, those not checked for longest first; a request each. What is"
        " gone or frozen by hand is left out",
    )
    use_reserve: bool = Field(default=False, description="Use up the quota, with the part that is kept for people")


ASK_ANYWAY = (
    "To ask all the same, launch it with this under *Config*, *Add config*, in the dialog of *Materialize*:"
    " `ops: {{{asset}: {{config: {{anyway: true}}}}}}`. Single movies: `ayne force ID` makes them due."
)
"""For whoever chose years in Dagster's UI."""


class Client(Protocol):
    """A source's client, as far as it matters here."""

    account: Account

    async def probe(self, known: Iterable[Any] = ()) -> None:
        """Ask one cheap question that shows whether the source works at all."""

    async def aclose(self) -> None:
        """Close all connections."""


@asynccontextmanager
async def asking(
    client: C, progress: Progress, tell: Callable[[str], object], known: Collection[Any] = (), *, again: bool = False
) -> AsyncIterator[C]:
    """A client for the length of the block; what it spent and how it was slowed goes to the progress.

    Args:
        client: it; its answers are weighed from now on (`sources.trust`).
        progress: of the collection.
        tell: told of waits, in a sentence each.
        known: what the source has answered before, in the words of the client's `probe`.
        again: whether this step has met a source that is down before: it begins with the control question then.
    """
    client.account.trust = trust_in(client, known)
    client.account.on_wait = tell
    if again:
        client.account.trust.suspect()
    try:
        yield client
    finally:
        account = client.account
        progress.requests += account.requests_sent
        progress.refusals += account.refusals
        progress.slowest_share = account.slowest_share
        await client.aclose()


def trust_in(client: Client, known: Collection[Any] = ()) -> Trust:
    """What weighs a client's answers, with its `probe` as the control question."""
    api = client.account.source
    words = f"Check AYNE_{api.upper()}_BASE_URL, the network, and whether {API_TITLES[api]} is up; no movie is blamed."
    trust = Trust(client.probe, words, connections=client.account.settings.max_concurrent)
    trust.remember(known)
    return trust


@dataclass
class RefreshStream(MergeStream[Answer, MergeReport], Generic[C]):
    """The due movies of the run's partitions, fetched from one source.

    Which source that is, and how one movie is fetched, each source's own class says.

    Args:
        context: of the asset.
        config: its config.
        api: access to where the source is asked.
        database: the warehouse.
        clock: the clock.
        settings: which say how many movies a run takes unless its config does.
    """

    source: ClassVar[str]
    context: dg.AssetExecutionContext
    config: RefreshConfig
    api: ApiResource[C]
    database: DuckDBDatabase
    clock: Clock
    settings: Settings

    def __post_init__(self) -> None:
        self.table = TABLE_OF[self.source]
        self.origin = Origin(self.source, self.table.name, self.context.run.run_id)
        self._due: list[DueMovie] = []
        self._idle: dict[str, str] = {}
        self._known: list[Any] = []
        self._progress = Progress(self.source)
        self._tell_people = telling(self.context)

    @abstractmethod
    def fetch(self, client: C) -> Fetch:
        """What asks for one movie."""

    def workers(self, client: C) -> int:
        """How many movies are asked for at a time."""
        return client.account.settings.max_concurrent

    def look_up(self, connection: duckdb.DuckDBPyConnection) -> None:
        """What the warehouse knows that is of use in asking for the movies that are due."""
        self._known = answered_before(connection, self.source)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The source's lease; what is due is picked once it is held."""
        with collecting_from(self.source, self.database, self.context):
            self._pick()
            self._progress.total = len(self._due)
            watcher().started(self.table.name, self._progress)
            yield

    def _limit(self) -> int:
        """How many movies the step may ask for. Years that a person has chosen in the UI are fetched whole, as far as
        the day's budget goes: a part of what was asked for, shown as done, would say something else."""
        if self.config.limit is not None:
            return self.config.limit
        chosen = is_launched(self.context.run) and not self.config.tmdb_ids and partitions_of(self.context) is not None
        return MOST_IDS if chosen else self.settings.refresh_limit

    def _pick(self) -> None:
        limit = self._limit()
        ids, now = self.config.tmdb_ids, self.clock.now()
        with self.database.file.connect() as connection:
            if self.config.anyway:
                years = partitions_of(self.context)
                self._due = askable_movies(connection, self.source, limit, years=years, ids=ids or None)
            else:
                self._due = self._picked(connection, ids, now, limit)
            if self._due:
                why = counted_in_words(movie.reasons[self.source] for movie in self._due)
                self.context.log.info(f"Asks {SOURCES[self.source].title} for {len(self._due):,} movies: {why}.")
                self.look_up(connection)

    def _picked(
        self, connection: duckdb.DuckDBPyConnection, ids: list[int], now: datetime, limit: int
    ) -> list[DueMovie]:
        """The due movies that the run takes; what is left out, or that there are none, is told."""
        strategy = self.database.strategy(connection)
        due = due_movies(
            connection,
            (self.source,),
            now,
            limit if not ids else len(ids),
            years=partitions_of(self.context),
            ids=ids or None,
            strategy=strategy,
        )
        picked = ids if self.config.picked is None else ids[: self.config.picked]
        if dropped := set(picked).difference(movie.tmdb_id for movie in due):
            reasons = reasons_now(connection, dropped, self.source, now, strategy=strategy)
            self.context.log.info(left_out(len(picked), len(dropped), reasons))
        if not ids and limit:
            self._note_idle_years(connection, now, strategy)
        return taken(due, picked, limit)

    def _note_idle_years(self, connection: duckdb.DuckDBPyConnection, now: datetime, strategy: Strategy) -> None:
        """Keep, for the person who chose the years, in which of them nothing is due, why, and until when."""
        years = partitions_of(self.context)
        idle = years_with_nothing_due(connection, self.source, now, years=years, strategy=strategy)
        self._idle = {
            year: why_none_is_due(self.source, found.reasons, found.until, found.looked_ahead)
            for year, found in idle.items()
        }

    async def produce(self, emit: Emit[Answer]) -> None:
        """Ask for each due movie."""
        if not self._due:
            return
        with failing_clearly(self.context):
            opened = self.api.client(self.clock, use_reserve=self.config.use_reserve)
            again = self.context.retry_number > 0
            async with asking(opened, self._progress, self._tell_people, self._known, again=again) as client:
                await collect_answers(
                    self._due,
                    self.fetch(client),
                    emit,
                    workers=self.workers(client),
                    now=self.clock.now,
                    progress=self._progress,
                    trust=client.account.trust or trust_in(client),
                )

    def merge(self, connection: duckdb.DuckDBPyConnection, batch: list[Answer]) -> MergeReport:
        """Rows, history, refresh state and log."""
        run_id = self.context.run.run_id
        return merge_answers(connection, self.table, self.source, batch, run_id, now=self.clock.now())

    def nothing(self) -> MergeReport:
        """No answer."""
        return MergeReport()

    def report(self, merged: MergeReport, seconds: float) -> None:
        """Counts by partition, with what is due still."""
        with self.database.file.connect() as connection:
            strategy = self.database.strategy(connection)
            left = due_by_year(connection, self.source, self.clock.now(), strategy=strategy)
        self._tell(merged, seconds, left)

    def report_stop(self, merged: MergeReport, seconds: float) -> None:
        """Counts by partition."""
        self._tell(merged, seconds, {})

    def _tell(self, merged: MergeReport, seconds: float, left: dict[str, int]) -> None:
        _report(self.context, merged, self._progress, left, seconds)
        _report_idle_years(self.context, self.table.name, self._idle)
        if self._idle and not self._due:
            self.context.log.info(_why_nothing_is_asked(self.source, self.table.name, list(self._idle.values())))
        numbers = Refreshed.of(
            merged.total(),
            deferred=len(self._progress.deferred),
            due_left=sum(left.values()),
            requests=self._progress.requests,
        )
        watcher().finished(self.table.name, numbers)


def taken(due: Sequence[DueMovie], picked: Collection[int], limit: int) -> list[DueMovie]:
    """The movies that a step asks for, in their order: what was picked for it, and others as far as there is room.

    Args:
        due: those that are due now.
        picked: ids of those that were picked for the step.
        limit: how many at most.
    """
    ours = set(picked)
    room = limit - sum(movie.tmdb_id in ours for movie in due)
    others = [movie.tmdb_id for movie in due if movie.tmdb_id not in ours][: max(0, room)]
    ours.update(others)
    return [movie for movie in due if movie.tmdb_id in ours][:limit]


def left_out(picked: int, dropped: int, reasons: Mapping[Reason, int]) -> str:
    """How many of the movies that were picked are not asked for, and why."""
    why = Counter({str(reason): number for reason, number in reasons.items() if reason not in DUE_REASONS})
    why["no_more_known"] = dropped - sum(reasons.values())
    why["moved_to_another_year"] = dropped - why.total()
    by_number = sorted(why.items(), key=lambda counted: (-counted[1], counted[0]))
    told = ", ".join(f"{number:,} {reason.replace('_', ' ')}" for reason, number in by_number if number)
    return f"{dropped:,} of {picked:,} movies that were picked for this run are no more due, and left out: {told}."


def refresh_options(source: str, kinds: set[str]) -> dict[str, Any]:
    """Options of `@dg.asset` for the asset that holds a source's answers: its table, pool and configuration."""
    table = TABLE_OF[source]
    return partitioned_options(table, ANSWERS, kinds) | {
        "pool": source,
        "config_schema": RefreshConfig.schema_for_runs(),
    }


def refreshed(stream: RefreshStream[Any]) -> Steps:
    """What an asset that holds a source's answers yields."""
    yield dg.Output(stream)


@contextmanager
def collecting_from(source: str, database: DuckDBDatabase, context: dg.AssetExecutionContext) -> Iterator[None]:
    """Hold a source's lease, with what an earlier run could not commit merged first.

    Raises:
        WarehouseError: the database cannot be written.
    """
    tell = telling(context)
    with lease(database.file, source, tell, sleep=pause):
        merge_kept(database.file, source, tell)
        yield


def telling(context: dg.AssetExecutionContext) -> Callable[[str], None]:
    """What tells people something while a step runs: its log, and whoever watches the run.

    Made in the step's thread, where it is known who watches; it may be called in any.
    """
    following = watcher()

    def tell(text: str) -> None:
        context.log.info(text)
        following.note(text)

    return tell


def partitions_of(context: dg.AssetExecutionContext) -> Collection[str] | None:
    """The release years of the run; None for all of them."""
    keys = context.partition_keys
    return None if len(keys) == len(PARTITION_KEYS) else keys


@contextmanager
def failing_clearly(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Errors that concern the whole source, as Dagster failures in a person's words.

    A source that is down is tried again by Dagster (`retry_or_fail`); a key that is not accepted never is.
    """
    try:
        yield
    except InvalidCredentials as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except SourceDown as error:
        retry_or_fail(context, dg.Failure(f"{str(error).rstrip('.')}. What was fetched is kept; the rest stays due."))
    except LedgerError as error:
        retry_or_fail(context, dg.Failure(str(error)))


def _report(
    context: dg.AssetExecutionContext, report: MergeReport, progress: Progress, left: dict[str, int], seconds: float
) -> None:
    """Metadata by partition, and one line of log."""
    deferred: dict[str, int] = {}
    for movie in progress.deferred:
        deferred[movie.release_year] = deferred.get(movie.release_year, 0) + 1
    for year in context.partition_keys:
        counts = report.by_year.get(year)
        if counts or deferred.get(year) or left.get(year):
            numbers = Refreshed.of(counts or MergeCounts(), deferred=deferred.get(year, 0), due_left=left.get(year, 0))
            metadata = numbers.as_dict() | {"seconds": round(seconds, 3)} | pace_metadata(progress)
            context.add_asset_metadata(metadata, partition_key=year)
    stopped = f"; stopped: {progress.stopped_because}" if progress.stopped_because else ""
    slowed = f"; {progress.slowed}" if progress.slowed else ""
    context.log.info(f"{report}, {len(progress.deferred)} deferred, {sum(left.values())} due left{slowed}{stopped}")


def _report_idle_years(context: dg.AssetExecutionContext, asset: str, idle: Mapping[str, str]) -> None:
    """Say of each year in which nothing was due why that is so, until when, and how to ask all the same."""
    how = dg.MetadataValue.md(ASK_ANYWAY.format(asset=asset))
    for year, why in idle.items():
        context.add_asset_metadata({"nothing_due": why, "to_ask_anyway": how}, partition_key=year)


def _why_nothing_is_asked(source: str, asset: str, why: Sequence[str]) -> str:
    """The same of a run as a whole, as a line of its log."""
    told = why[0] if len(why) == 1 else f"In none of {len(why):,} years with movies is one due."
    return f"{SOURCES[source].title} is asked for nothing. {told} {ASK_ANYWAY.format(asset=asset).replace('*', '')}"


def pace_metadata(progress: Progress) -> dict[str, Any]:
    """How the source refused requests and slowed the run, where it did."""
    refused = {"refusals": progress.refusals} if progress.refusals else {}
    return refused | ({"slowest_share": progress.slowest_share} if progress.slowest_share is not None else {})
