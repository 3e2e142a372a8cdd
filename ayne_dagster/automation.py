"""When things run: jobs, the due-movies sensor, schedules. What is due is decided in `refresh`; what runs, in `assets`.

The sensor is a small state machine over real run records: it keeps no cursor that could run ahead of what happened.
https://docs.dagster.io/guides/automate/sensors
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from ayne_dagster.assets.changes import tmdb_changes
from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.exports import tmdb_id_export
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.marts import collection_status, movies
from ayne_dagster.assets.ratings import omdb_ratings
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.budgets import SourceBudget, source_budgets
from ayne_dagster.config import STRATEGIES, Settings, StrategyChoice
from ayne_dagster.executor import interruptible_executor
from ayne_dagster.own_runs import UNFINISHED, close_abandoned_runs
from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR, YEARS_TAG, describe_years, partition_range
from ayne_dagster.refresh.gathering import Gathered, Gathering, Waiting
from ayne_dagster.refresh.strategy import COLLECTED, DUE_REASONS
from ayne_dagster.resources import Clock, DuckDBDatabase, OMDBResource, TMDBResource
from ayne_dagster.runs.retention import Instants
from ayne_dagster.sources.ledger import LedgerError, open_ledger
from ayne_dagster.tidying import describe, tidy_up
from ayne_dagster.warehouse.database import Database, DatabaseBusy, WarehouseError
from ayne_dagster.warehouse.state import DueMovie, due_movies
from ayne_dagster.warehouse.strategies import load_strategy
from ayne_dagster.warehouse.waiting import waiting_at

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
BATCH_TAG = "ayne/batch"
ATTEMPT_TAG = "ayne/attempt"
REQUESTED_TAG = "ayne/requested_by"
"""On the runs that the sensor itself requested; one that a person executes again has it too, and a parent."""
PARENT_RUN_TAG = "dagster/parent_run_id"
FAILURE_REASON_TAG = "dagster/failure_reason"
GONE_REASONS = {"UNEXPECTED_TERMINATION", "RUN_WORKER_RESTART"}
"""What Dagster notes of a run whose process was ended from outside."""
REASONS_TAG = "ayne/reasons"
MAX_IDS_IN_CONFIG = 2000
"""Above this the run picks its due movies itself: longer lists make run configs that storages choke on."""
SENSOR_WAIT_SECONDS = 5.0
"""A tick has 60 s for everything; it would rather come again than wait for the file."""
RETRY_WAIT = timedelta(minutes=2)
"""How long a failed batch is left alone; each further failure doubles it."""
LONGEST_RETRY_WAIT = timedelta(hours=6)
RUNS_LOOKED_AT = 50
"""How far back failures in a row are looked for, among the runs of everybody."""
SENSOR = "due_movies_sensor"

EXECUTOR = interruptible_executor.configured({}, name="in_process", config_schema={})
"""Steps run in the run's own process, and no run sets anything of that."""

discover_movies_job = dg.define_asset_job(
    "discover_movies",
    selection=[discovered_movies, collection_status],
    executor_def=EXECUTOR,
    description="Find new movies on TMDB's discover pages.",
)
refresh_movies_job = dg.define_asset_job(
    "refresh_movies",
    selection=[tmdb_details, omdb_ratings, refresh_metadata, movies, collection_status],
    executor_def=EXECUTOR,
    description="Fetch what is due from TMDB and OMDb, and bring the analysts' tables up to date.",
)
read_change_feed_job = dg.define_asset_job(
    "read_change_feed",
    selection=[tmdb_changes],
    executor_def=EXECUTOR,
    description="Read which movies changed at TMDB, up to yesterday.",
)
read_daily_files_job = dg.define_asset_job(
    "read_daily_files",
    selection=[tmdb_id_export, imdb_ratings],
    executor_def=EXECUTOR,
    description="Read the files that TMDB and IMDb publish daily. Apart from the refresh: a missing file fails none.",
)


@dg.op(
    description="Removes old runs with their logs, and turns old entries of the warehouse's logs into daily sums.",
    config_schema={},
)
def remove_what_is_old(
    context: dg.OpExecutionContext, database: DuckDBDatabase, settings: dg.ResourceParam[Settings]
) -> None:
    """What `ayne tidy` does."""
    context.log.info(describe(tidy_up(context.instance, database.file, open_ledger(settings), settings)))


@dg.job(
    name="tidy_up",
    executor_def=EXECUTOR,
    description="Keep the Dagster home and the warehouse's logs from growing for ever (AYNE_RUN_RETENTION_DAYS).",
)
def tidy_up_job() -> None:
    """One step."""
    remove_what_is_old()


ASSET_OF = {"tmdb": "tmdb_details", "omdb": "omdb_ratings"}
"""Which asset fetches from which source."""


@dataclass(frozen=True)
class RefreshBatch:
    """The movies that one run is to refresh, and why; and how many of them each source may be asked for."""

    movies: Sequence[DueMovie]
    limits: Mapping[str, int]
    """Movies at most, by source; a source that is left out is not asked."""

    @property
    def ids(self) -> list[int]:
        """Their TMDB ids, in the order of the strategy."""
        return [movie.tmdb_id for movie in self.movies]

    @property
    def fingerprint(self) -> str:
        """The same for the same movies due for the same reasons."""
        text = repr([(movie.tmdb_id, sorted(movie.reasons.items())) for movie in self.movies])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def reasons(self) -> str:
        """How many are due for what reason: `tmdb: 37 never_fetched, 63 age_table; omdb: …`, well below 2 KB."""
        parts = []
        for source in COLLECTED:
            counts = Counter(str(movie.reasons[source]) for movie in self.movies if source in movie.reasons)
            due = ", ".join(f"{number} {reason}" for reason, number in counts.most_common() if reason in DUE_REASONS)
            parts.append(f"{source}: {due or 'none due'}")
        return "; ".join(parts)

    def tags(self) -> dict[str, str]:
        """Tags of the run: one contiguous range of release years, those that it touches, and what was chosen."""
        years = {movie.release_year for movie in self.movies}
        span = partition_range(years)
        if span is None:
            return {}
        chosen = {YEARS_TAG: describe_years(years), BATCH_TAG: self.fingerprint, REASONS_TAG: self.reasons}
        return range_tags(*span) | chosen

    def run_config(self, *, use_reserve: bool = False) -> dict[str, Any]:
        """Run config: each source's limit and the chosen ids, or only the limit where they are too many to list."""
        ids = self.ids if len(self.movies) <= MAX_IDS_IN_CONFIG else []
        return {
            "ops": {
                asset: {"config": {"tmdb_ids": ids, "limit": self.limits.get(source, 0), "use_reserve": use_reserve}}
                for source, asset in ASSET_OF.items()
            }
        }


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags that make a run serve a range of partitions."""
    return {RANGE_START_TAG: first, RANGE_END_TAG: last}


def pick_batch(
    database: Database, now: datetime, limits: Mapping[str, int], strategy: str | StrategyChoice = STRATEGIES[0]
) -> RefreshBatch:
    """The movies for a run: those due for any of the sources, at most its limit for each.

    Args:
        database: the warehouse.
        now: the instant (aware UTC).
        limits: movies at most, by source; one that is left out, or has 0, is not asked.
        strategy: the refresh strategy.
    """
    chosen: dict[int, DueMovie] = {}
    with database.connect() as connection:
        decides = load_strategy(connection, strategy)
        for source, limit in limits.items():
            for movie in due_movies(connection, (source,), now, limit, strategy=decides):
                earlier = chosen.get(movie.tmdb_id)
                reasons: Mapping[str, Any] = {**(earlier.reasons if earlier else {}), **movie.reasons}
                chosen[movie.tmdb_id] = DueMovie(
                    movie.tmdb_id, movie.release_year, movie.release_date, movie.imdb_id, reasons
                )
    return RefreshBatch(list(chosen.values()), limits)


@dg.sensor(
    name=SENSOR,
    job=refresh_movies_job,
    minimum_interval_seconds=60,
    description="Requests one run for the movies that are due by the refresh strategy, within the day's budgets, when "
    "enough of them are, or one has waited long.",
)
def due_movies_sensor(
    context: dg.SensorEvaluationContext,
    database: DuckDBDatabase,
    tmdb: dg.ResourceParam[TMDBResource],
    omdb: dg.ResourceParam[OMDBResource],
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> dg.RunRequest | dg.SkipReason:
    """Pick the due movies and request a run for them, unless one is under way or has just failed."""
    close_abandoned_runs(context.instance)
    running = context.instance.get_run_records(dg.RunsFilter(job_name="refresh_movies", statuses=UNFINISHED), limit=1)
    if running:
        return dg.SkipReason(f"A refresh is running already: run {running[0].dagster_run.run_id}.")
    file = Database(database.file.path, SENSOR_WAIT_SECONDS)
    try:
        if not file.path.exists():
            return dg.SkipReason(f"There is no database at {file.path} yet: run discover_movies first.")
        now = clock.now()
        budgets = source_budgets((tmdb.account(clock), omdb.account(clock)), now)
        limits = {source: budget.limit(settings.refresh_limit) for source, budget in budgets.items()}
        gathering = Gathering(min(settings.sensor_min_batch, settings.refresh_limit), settings.sensor_max_wait)
        gathered = gathering.decide(_waiting(file, budgets, limits, database.choice), now)
        if gathered.due and not gathered.ready:
            return dg.SkipReason(_what_for(gathered, gathering, now))
        batch = pick_batch(file, now, limits, database.choice)
    except DatabaseBusy as error:
        return dg.SkipReason(f"The database is busy, trying again at the next tick: {error}")
    except (WarehouseError, LedgerError) as error:
        return dg.SkipReason(str(error))
    if not batch.movies:
        return dg.SkipReason(_why_nothing(budgets.values()))
    return _request(context.instance, batch, Instants.of(settings).clock_tag())


def _waiting(
    file: Database, budgets: Mapping[str, SourceBudget], limits: Mapping[str, int], strategy: str | StrategyChoice
) -> list[Waiting]:
    """What waits at each source, as far as it may be asked now."""
    with file.connect() as connection:
        decides = load_strategy(connection, strategy)
        return [
            waiting_at(
                connection, source, budget.now, limits[source], unspent_since=budget.unspent_since, strategy=decides
            )
            for source, budget in budgets.items()
        ]


def _what_for(gathered: Gathered, gathering: Gathering, now: datetime) -> str:
    """What the sensor waits for though movies are due."""
    until = gathered.until or now
    at = f"{until:%H:%M} UTC" if until.date() == now.date() else f"{until:%Y-%m-%d %H:%M} UTC"
    return f"{gathered.due:,} due, gathering until {gathering.enough:,} are, or {at}."


def _why_nothing(budgets: Iterable[SourceBudget]) -> str:
    """Why no run is requested though none is under way."""
    hindrances = [budget.hindrance for budget in budgets if budget.hindrance]
    return f"Nothing is due that may be asked for now: {'. '.join(hindrances)}." if hindrances else "Nothing is due."


def _request(
    instance: dg.DagsterInstance, batch: RefreshBatch, more_tags: Mapping[str, str]
) -> dg.RunRequest | dg.SkipReason:
    """The run request for a batch. A run key is launched once ever, so each further attempt has a number of its own."""
    fingerprint = batch.fingerprint
    earlier = instance.get_run_records(dg.RunsFilter(job_name="refresh_movies", tags={BATCH_TAG: fingerprint}))
    failures = _failures_in_a_row(instance)
    if failures:
        wait = min(RETRY_WAIT * 2 ** (len(failures) - 1), LONGEST_RETRY_WAIT)
        ended = failures[0].end_time or failures[0].update_timestamp.timestamp()
        left = ended + wait.total_seconds() - datetime.now().astimezone().timestamp()
        if left > 0:
            return dg.SkipReason(
                f"The last {len(failures)} refresh run(s) failed (run {failures[0].dagster_run.run_id}); "
                f"trying again in {left / 60:.0f} minutes."
            )
    attempt = len(earlier) + 1
    return dg.RunRequest(
        run_key=f"{fingerprint}:{attempt}",
        run_config=batch.run_config(),
        tags=batch.tags() | {ATTEMPT_TAG: str(attempt), REQUESTED_TAG: SENSOR, **more_tags},
    )


def _failures_in_a_row(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """The sensor's own batches that failed since the last refresh that went well, whosever that was; newest first.

    What a person's `ayne collect` met says nothing about them, nor does a run that was interrupted or whose process is
    gone: what it had fetched is kept, and the rest is due as before.
    """
    failures = []
    for record in instance.get_run_records(dg.RunsFilter(job_name="refresh_movies"), limit=RUNS_LOOKED_AT):
        run = record.dagster_run
        if run.status is dg.DagsterRunStatus.SUCCESS:
            break
        if run.status is dg.DagsterRunStatus.FAILURE and _is_own(run) and not _is_gone(instance, run):
            failures.append(record)
    return failures


def _is_own(run: dg.DagsterRun) -> bool:
    """Whether the sensor requested a run, and no person did."""
    return run.tags.get(REQUESTED_TAG) == SENSOR and PARENT_RUN_TAG not in run.tags


def _is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run did not fail but was ended: its process was, or it was reported as failed from outside of it."""
    if reason := run.tags.get(FAILURE_REASON_TAG):
        return reason in GONE_REASONS
    return bool(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE))


@dg.schedule(
    name="discovery_schedule",
    job=discover_movies_job,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    description="Looks for new movies of all release years, daily.",
)
def discovery_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run for all release years."""
    return dg.RunRequest(tags=range_tags(str(FIRST_YEAR), str(LAST_YEAR)))


change_feed_schedule = dg.ScheduleDefinition(
    name="change_feed_schedule",
    job=read_change_feed_job,
    cron_schedule="15 8 * * *",
    execution_timezone="UTC",
    description="Reads yesterday's changes, when TMDB's caches of 8 hours have no answer of yesterday any more.",
)
daily_files_schedule = dg.ScheduleDefinition(
    name="daily_files_schedule",
    job=read_daily_files_job,
    cron_schedule="15 9 * * *",
    execution_timezone="UTC",
    description="Reads TMDB's ID export, which is ready by 08:00 UTC, and IMDb's ratings, where they are switched on.",
)
retention_schedule = dg.ScheduleDefinition(
    name="retention_schedule",
    job=tidy_up_job,
    cron_schedule="30 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Removes old runs and sums old logs up, daily; on without being switched on.",
)
