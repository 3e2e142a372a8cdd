"""The platform from Python: materializes the same assets in this process and records the runs in the Dagster instance.

No collecting of its own: what a run does is in `assets`, and the command line is a thin face of this. Dagster is loaded
when there is something to run: to find that there is nothing takes a fifth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from ayne_dagster.collecting.progress import Watcher, watched_by
from ayne_dagster.collecting.result import CollectionResult, Tally
from ayne_dagster.collecting.stopping import Interrupted, pause, stopping
from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.errors import INTERRUPTED as INTERRUPTED_CODE
from ayne_dagster.errors import OneLineError
from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.runs.batch import pick_batch, range_tags
from ayne_dagster.runs.foreground import Foreground
from ayne_dagster.runs.home import home_path, is_tidying_due
from ayne_dagster.warehouse.answers import Numbers
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.feeds.change_feed import feed_position, plan_reading
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.refresh_metadata import due_counts
from ayne_dagster.warehouse.spool import kept, merge_kept
from ayne_dagster.warehouse.store import DatabaseBusy, Store, WarehouseError
from ayne_dagster.warehouse.strategies import load_strategy

if TYPE_CHECKING:
    from dagster import DagsterInstance

INTERRUPTED = "Interrupted; everything that had arrived is kept."
T = TypeVar("T")


class CollectionFailed(OneLineError, RuntimeError):
    """A run failed; `str()` is the reason in one line. What had been fetched is kept."""

    def __init__(self, reason: str, result: CollectionResult) -> None:
        super().__init__(reason)
        self.result = result


class CollectionInterrupted(CollectionFailed):
    """Ctrl-C, SIGTERM or SIGHUP ended a run; what had arrived is kept."""

    exit_code = INTERRUPTED_CODE


@dataclass(frozen=True)
class DiscoveryPlan:
    """Which movies to look for."""

    start_year: int = FIRST_YEAR
    end_year: int = LAST_YEAR
    max_pages: int | None = None
    min_votes: int = 200


class _Recorded:
    """Runs of one collection, recorded in one instance. It and Dagster itself are loaded for the first of them.

    Args:
        settings: of the collection.
        until_end: closes the instance.
        counting: follows the steps.
    """

    def __init__(self, settings: Settings, until_end: ExitStack, counting: Tally) -> None:
        self.settings = settings
        self.counting = counting
        self._until_end = until_end

    @cached_property
    def instance(self) -> DagsterInstance:
        """Where the runs are recorded; opening it reads the migrations of three storages."""
        from ayne_dagster.runs.instance import open_instance

        return self._until_end.enter_context(open_instance(self.settings))

    def run(self, job_name: str, tags: Mapping[str, str], run_config: Mapping[str, Any]) -> None:
        """Execute a job in this process.

        Raises:
            CollectionFailed: it failed.
            BaseException: an interruption came outside of its steps; the run is closed all the same.
        """
        from ayne_dagster.definitions import build_defs
        from ayne_dagster.runs.in_process import RunFailed, execute

        stopping().check()
        job = build_defs(self.settings).resolve_job_def(job_name)
        try:
            execute(job, self.instance, self.settings, tags, run_config, watched_by(self.counting))
        except RunFailed as error:
            raise CollectionFailed(str(error), self.counting.result) from None


class DataCollectionOrchestrator:
    """Runs collections.

    Args:
        db: the warehouse to collect into; `AYNE_DATABASE` when left out.
        settings: everything else; the environment when left out.
        watcher: follows the steps, to show progress.

    Example:
        >>> db = DuckDBClient()  # doctest: +SKIP
        >>> await DataCollectionOrchestrator(db).run_full_collection(discover_start_year=2020)  # doctest: +SKIP
    """

    def __init__(
        self,
        db: DuckDBClient | None = None,
        *,
        settings: Settings | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        settings = settings or load_settings()
        self.settings = _settings_into(db.database, settings) if db is not None else settings
        self._watcher = watcher

    async def run_full_collection(
        self,
        *,
        discover_start_year: int | None = None,
        discover_end_year: int | None = None,
        refresh_limit: int | None = None,
        max_pages: int | None = None,
        min_votes: int = 200,
    ) -> dict[str, Any]:
        """Discover, then refresh what is due; the event loop goes on meanwhile.

        Cancelled (as Ctrl-C does in `asyncio.run` and in notebooks), it commits what has arrived, waits for what is on
        its way, and ends within seconds; cancelled again, at once.

        Returns:
            The numbers of `ayne collect --json`.

        Raises:
            CollectionFailed: a run failed.
            CancelledError: it was cancelled; what had arrived is kept.
            SettingsError: a key is missing.
        """
        plan = DiscoveryPlan(discover_start_year or FIRST_YEAR, discover_end_year or LAST_YEAR, max_pages, min_votes)
        work = partial(self._collect_in_this_thread, plan, refresh_limit, None, False)
        return (await Foreground(work).result_async()).as_dict()

    def collect(
        self,
        discovery: DiscoveryPlan | None,
        *,
        refresh_limit: int | None = None,
        change_feed: bool | None = None,
        use_reserve: bool = False,
    ) -> CollectionResult:
        """Discover (unless the plan is None), read the change feed, then refresh what is due; blocking.

        In the main thread, Ctrl-C, SIGTERM and SIGHUP end it: what has arrived is committed, what is on its way
        waited for; a second one ends it at once.

        Args:
            discovery: which movies to look for.
            refresh_limit: movies a source; `AYNE_REFRESH_LIMIT` when left out.
            change_feed: whether to read the feed's days up to yesterday, as far as they were not read; when left out,
                with the strategy `value_of_refresh`, which counts on it. A feed that fails does not stop the refresh.
            use_reserve: use up the quotas, with the part of them that is kept for people.

        Raises:
            CollectionFailed: a run failed.
            CollectionInterrupted: Ctrl-C, SIGTERM or SIGHUP ended it.
            SettingsError: a key is missing.
            WarehouseError: the database cannot be used.
        """
        work = partial(self._collect_in_this_thread, discovery, refresh_limit, change_feed, use_reserve)
        return _waited_for(work)

    def _collect_in_this_thread(
        self,
        discovery: DiscoveryPlan | None,
        refresh_limit: int | None,
        change_feed: bool | None,
        use_reserve: bool,
    ) -> CollectionResult:
        self.settings.require_keys()
        home_path(self.settings)  # one that cannot be used should fail before a database is made
        started = time.monotonic()
        limit = self.settings.refresh_limit if refresh_limit is None else refresh_limit
        result = CollectionResult(requests=dict.fromkeys(self.settings.sources, 0))
        counting = Tally(result, self._watcher)
        database = self._database(counting)
        try:
            with _as_interruption(counting), ExitStack() as until_end:
                runs = _Recorded(self.settings, until_end, counting)
                with database.transaction() as connection:  # an unusable file should fail before anything is asked
                    put_precedence(connection, self.settings.box_office)  # and a setting hold though nothing is due
                self._collect(database, discovery, limit, self._wants_feed(change_feed), use_reserve, runs)
                self._tidy_if_due(database, runs)
        except CollectionFailed:
            # The reason may be that the database cannot be had: not the time to wait for it.
            with suppress(WarehouseError):
                result.due_remaining = None
                result.due_remaining = self._due_remaining(replace(database, wait_seconds=0.0))
            raise
        finally:
            result.seconds = round(time.monotonic() - started, 3)
        result.due_remaining = self._due_remaining(database)
        return result

    def read_change_feed(self) -> dict[str, Any]:
        """Read TMDB's change feed up to yesterday, as far as it was not read; blocking.

        Returns:
            The numbers of `ayne changes --json`.

        Raises:
            CollectionFailed: a day could not be read; those before it are kept.
            SettingsError: there is no key for TMDB.
            WarehouseError: the database cannot be used.
        """
        self.settings.require_tmdb_key()
        numbers = _waited_for(partial(self._run_alone, "read_change_feed"))["tmdb_changes"]
        with open_store(self.settings).connect() as connection:
            cursor = feed_position(connection, self.now()).cursor
        return {"read_up_to": cursor.isoformat() if cursor else None, **numbers.as_dict()}

    def read_daily_files(self) -> dict[str, Any]:
        """Read TMDB's ID export and IMDb's ratings file, as far as they are switched on and were not read; blocking.

        Returns:
            The numbers of `ayne files --json`: by file what it told; empty where there was nothing to read.

        Raises:
            CollectionFailed: a file could not be had, or was refused; what the other one told is kept.
            WarehouseError: the database cannot be used.
        """
        told = _waited_for(partial(self._run_alone, "read_daily_files"))
        return {file: numbers.as_dict() for file, numbers in told.items()}

    def _run_alone(self, job_name: str) -> dict[str, Numbers]:
        """Execute a job of unpartitioned assets; returns what its steps told."""
        counting = Tally(CollectionResult(), self._watcher)
        with _as_interruption(counting), ExitStack() as until_end:
            with self._database(counting).connect():
                pass  # an unusable file should fail before anything is asked
            _Recorded(self.settings, until_end, counting).run(job_name, {}, {})
        return counting.told

    def _database(self, counting: Tally) -> Store:
        """The warehouse; a wish that the work end ends a wait for the file, too."""
        stop = stopping()
        return open_store(self.settings, on_wait=counting.note, give_up=lambda: stop.requested)

    def _collect(
        self,
        database: Store,
        discovery: DiscoveryPlan | None,
        limit: int,
        reads_feed: bool,
        use_reserve: bool,
        runs: _Recorded,
    ) -> None:
        note = runs.counting.note
        for source in SOURCES:
            if kept(database.path, source):
                with lease(database, source, note, sleep=pause):
                    merge_kept(database, source, note)
        if discovery is not None:
            self._discover(discovery, use_reserve, runs)
        failed_feed = self._read_feed_if_due(database, runs) if reads_feed else None
        if request := self._refresh_request(database, limit, use_reserve):
            runs.run("refresh_movies", *request)
        if failed_feed is not None:
            raise failed_feed

    def _tidy_if_due(self, database: Store, runs: _Recorded) -> None:
        """Remove what is old, once a day: where there is no daemon, nobody else would."""
        if not is_tidying_due(home_path(self.settings), database.path, self.now()):
            return
        from ayne_dagster.runs.tidying import describe, removed_anything, tidy_up
        from ayne_dagster.sources.limits.ledger import open_ledger

        try:
            told = tidy_up(runs.instance, database, open_ledger(self.settings), self.settings)
            # Whoever has turned the clock (a demonstration) need not be told that it may be ahead.
            if removed_anything(told) and not (told["doubt"] and self.settings.clock.is_turned):
                runs.counting.note(describe(told))
        except Exception as error:  # noqa: BLE001 -- what was collected is collected; it is tried again tomorrow
            runs.counting.note(f"Old runs and logs could not be tidied up ({error}): `ayne tidy` tries again.")

    def _due_remaining(self, database: Store) -> int:
        with database.connect() as connection:
            strategy = load_strategy(connection, self.settings.strategy)
            return due_counts(connection, self.settings.sources, self.now(), strategy=strategy)["any_source"]

    def now(self) -> datetime:
        """What time the platform's clock shows."""
        return self.settings.now()

    def _discover(self, plan: DiscoveryPlan, use_reserve: bool, runs: _Recorded) -> None:
        config = {"min_votes": plan.min_votes, "max_pages": plan.max_pages, "use_reserve": use_reserve}
        years = range_tags(str(plan.start_year), str(plan.end_year))
        runs.run("discover_movies", years, {"ops": {"discovered_movies": {"config": config}}})

    def _wants_feed(self, change_feed: bool | None) -> bool:
        return self.settings.refresh_strategy == "value_of_refresh" if change_feed is None else change_feed

    def _read_feed_if_due(self, database: Store, runs: _Recorded) -> CollectionFailed | None:
        """Read the change feed, at most once a UTC day; returns why it failed, where it did."""
        with database.connect() as connection:
            if not plan_reading(connection, self.now()).days:
                return None
        try:
            runs.run("read_change_feed", {}, {})
        except CollectionInterrupted:
            raise
        except CollectionFailed as error:
            return error
        return None

    def _refresh_request(
        self, database: Store, limit: int, use_reserve: bool
    ) -> tuple[dict[str, str], dict[str, Any]] | None:
        """Tags and config of the run for what is due; the list of movies itself is not kept while it runs."""
        limits = dict.fromkeys(self.settings.sources, limit)
        batch = pick_batch(database, self.now(), limits, self.settings.strategy)
        return (batch.tags(), batch.run_config(use_reserve=use_reserve)) if batch.movies else None


def _settings_into(store: Store, settings: Settings) -> Settings:
    """The settings of a collection into a store: a file that was named stands in place of theirs."""
    return settings if store.path == settings.database else replace(settings, database=store.path, lake=None)


def _waited_for(work: Callable[[], T]) -> T:
    """Do something in the foreground.

    Raises:
        CollectionInterrupted: it was left alone after an interruption.
        BaseException: what it raised.
    """
    try:
        return Foreground(work).result()
    except Interrupted:
        raise CollectionInterrupted(INTERRUPTED, CollectionResult(due_remaining=None)) from None


@contextmanager
def _as_interruption(counting: Tally) -> Iterator[None]:
    """Turn whatever an interruption ended the block with into one error; what says more of its own is left.

    Raises:
        CollectionInterrupted: the block was interrupted.
    """
    try:
        yield
        stopping().check()
    except CollectionFailed:
        raise
    except (KeyboardInterrupt, DatabaseBusy) as error:
        if isinstance(error, DatabaseBusy) and not stopping().requested:
            raise
        raise CollectionInterrupted(INTERRUPTED, counting.result) from None
