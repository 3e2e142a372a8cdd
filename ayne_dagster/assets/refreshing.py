"""Materializing a source's answers: lease, due movies, stream, metadata, checks. Shared by the assets that fetch.

Which source, table and client is theirs to say; which movie is due is decided in `refresh`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

import dagster as dg
import duckdb
from pydantic import Field

from ayne_dagster.assets.definition import retry_or_fail
from ayne_dagster.assets.run_config import RunConfig
from ayne_dagster.collecting.asking import Fetch, collect_answers
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.collecting.stopping import pause
from ayne_dagster.collecting.streams import Emit
from ayne_dagster.config import API_TITLES, MAX_NUMBER, Settings
from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import MergeStream
from ayne_dagster.sources.errors import InvalidCredentials, SourceDown
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import LedgerError
from ayne_dagster.sources.trust import Trust
from ayne_dagster.warehouse.answers import Answer, MergeReport
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.refresh_metadata import DueMovie, answered_before, due_by_year, due_movies
from ayne_dagster.warehouse.schema import Table
from ayne_dagster.warehouse.spool import Origin, merge_kept

T = TypeVar("T")
C = TypeVar("C", bound="Client")
Steps = Iterator[dg.Output[Any] | dg.AssetCheckResult]

LARGEST_ID = 2**31 - 1
MOST_IDS = 10_000
"""Of a run's configuration; the sensor writes 2,000 at most."""


class RefreshConfig(RunConfig):
    """What a refresh asks for. Without config: the due movies of the run's partitions."""

    tmdb_ids: list[Annotated[int, Field(ge=1, le=LARGEST_ID)]] = Field(
        default=[], max_length=MOST_IDS, description="Only these movies, as far as they are due; empty: any"
    )
    limit: int | None = Field(
        default=None,
        ge=0,
        le=int(MAX_NUMBER),
        description="Movies of its source at most; AYNE_REFRESH_LIMIT if unset",
    )
    use_reserve: bool = Field(default=False, description="Use up the quota, with the part that is kept for people")


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
class RefreshStream(MergeStream[Answer], Generic[C]):
    """The due movies of the run's partitions, fetched from one source.

    How one is fetched, each source's own class says.

    Args:
        context: of the asset.
        config: its config.
        source: which source.
        table: where the answers go.
        database: the warehouse.
        clock: the clock.
        settings: which say how many movies a run takes unless its config does.
        open_client: makes the source's client.
    """

    context: dg.AssetExecutionContext
    config: RefreshConfig
    source: str
    table: Table
    database: DuckDBDatabase
    clock: Clock
    settings: Settings
    open_client: Callable[[], C]

    def __post_init__(self) -> None:
        self.origin = Origin(self.source, self.table.name, self.context.run.run_id)
        self._due: list[DueMovie] = []
        self._known: list[Any] = []
        self._progress = Progress()
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

    def _pick(self) -> None:
        limit = self.settings.refresh_limit if self.config.limit is None else self.config.limit
        with self.database.file.connect() as connection:
            self._due = due_movies(
                connection,
                (self.source,),
                self.clock.now(),
                limit,
                years=partitions_of(self.context),
                ids=self.config.tmdb_ids or None,
                strategy=self.database.strategy(connection),
            )
            if self._due:
                self.look_up(connection)

    async def produce(self, emit: Emit[Answer]) -> None:
        """Ask for each due movie."""
        if not self._due:
            return
        with failing_clearly(self.context):
            async with asking(
                self.open_client(), self._progress, self._tell_people, self._known, again=self.context.retry_number > 0
            ) as client:
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
        watcher().finished(self.table.name, _totals(merged, self._progress, left))


@contextmanager
def collecting_from(source: str, database: DuckDBDatabase, context: dg.AssetExecutionContext) -> Iterator[None]:
    """Hold a source's lease, with what an earlier run could not commit merged first.

    Raises:
        WarehouseError: the database cannot be written.
    """
    tell = telling(context)
    with lease(database.file.path, source, tell, sleep=pause):
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
            metadata = partition_metadata(counts or {}) | {
                "deferred": deferred.get(year, 0),
                "due_left": left.get(year, 0),
                "seconds": round(seconds, 3),
                **pace_metadata(progress),
            }
            context.add_asset_metadata(metadata, partition_key=year)
    stopped = f"; stopped: {progress.stopped_because}" if progress.stopped_because else ""
    slowed = f"; {progress.slowed}" if progress.slowed else ""
    context.log.info(
        f"{dict(report.total())}, {len(progress.deferred)} deferred, {sum(left.values())} due left{slowed}{stopped}"
    )


def pace_metadata(progress: Progress) -> dict[str, Any]:
    """How the source refused requests and slowed the run, where it did."""
    refused = {"refusals": progress.refusals} if progress.refusals else {}
    return refused | ({"slowest_share": progress.slowest_share} if progress.slowest_share is not None else {})


def partition_metadata(counts: Mapping[str, int]) -> dict[str, Any]:
    """Counts of a merge in the words of the UI."""
    inserted, updated, unchanged = (counts.get(kind, 0) for kind in ("inserted", "updated", "unchanged"))
    failed = sum(counts.get(kind, 0) for kind in ("failed", "unavailable", "not_found", "quarantined", "incomplete"))
    return {
        "fetched": inserted + updated + unchanged,
        "changed": inserted + updated,
        "unchanged": unchanged,
        "failed": failed,
        "quarantined": counts.get("quarantined", 0),
        "requests": counts.get("requests", 0),
    }


def _totals(report: MergeReport, progress: Progress, left: dict[str, int]) -> dict[str, int]:
    totals = partition_metadata(report.total())
    return totals | {"deferred": len(progress.deferred), "due_left": sum(left.values()), "requests": progress.requests}
