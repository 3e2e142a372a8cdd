"""The sensor that requests a run for due movies. What is due is decided in `refresh`, what may be asked, in `runs`.

It is a small state machine over real run records: it keeps no cursor that could run ahead of what happened.
https://docs.dagster.io/guides/automate/sensors
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import dagster as dg

from ayne_dagster.automation.jobs import refresh_movies_job
from ayne_dagster.config import Settings, StrategyChoice
from ayne_dagster.refresh.gathering import TICK, Gathered, Gathering, Waiting
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.runs.batch import BATCH_TAG, RefreshBatch, pick_batch
from ayne_dagster.runs.budgets import SourceBudget, source_budgets
from ayne_dagster.runs.own_runs import UNFINISHED, close_abandoned_runs
from ayne_dagster.runs.retention import Instants
from ayne_dagster.settings.tags import PARENT_RUN_TAG
from ayne_dagster.sources.limits.account import accounts_of
from ayne_dagster.sources.limits.ledger import LedgerError, RequestLedger
from ayne_dagster.warehouse.spool import kept
from ayne_dagster.warehouse.store import DatabaseBusy, Store, WarehouseError
from ayne_dagster.warehouse.strategies import load_strategy
from ayne_dagster.warehouse.waiting import waiting_at

ATTEMPT_TAG = "ayne/attempt"
REQUESTED_TAG = "ayne/requested_by"
"""On the runs that the sensor itself requested; one that a person executes again has it too, and a parent."""
FAILURE_REASON_TAG = "dagster/failure_reason"
GONE_REASONS = {"UNEXPECTED_TERMINATION", "RUN_WORKER_RESTART"}
"""What Dagster notes of a run whose process was ended from outside."""
SENSOR_WAIT_SECONDS = 5.0
"""A tick has 60 s for everything; it would rather come again than wait for the file."""
RETRY_WAIT = timedelta(minutes=2)
"""How long a failed batch is left alone; each further failure doubles it. Where the first one left answers in the spool
of this machine, its next run does not wait: another machine's would ask for them again."""
LONGEST_RETRY_WAIT = timedelta(hours=6)
RUNS_LOOKED_AT = 50
"""How far back failures in a row are looked for, among the runs of everybody."""
SENSOR = "due_movies_sensor"


def look_for_due_movies(
    context: dg.SensorEvaluationContext,
    database: DuckDBDatabase,
    ledger: dg.ResourceParam[RequestLedger],
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> dg.RunRequest | dg.SkipReason:
    """Pick the due movies and request a run for them, unless one is under way or has just failed."""
    close_abandoned_runs(context.instance, database.file.shared_locks)
    running = context.instance.get_run_records(dg.RunsFilter(job_name="refresh_movies", statuses=UNFINISHED), limit=1)
    if running:
        return dg.SkipReason(f"A refresh is running already: run {running[0].dagster_run.run_id}.")
    file = replace(database.file, wait_seconds=SENSOR_WAIT_SECONDS)
    try:
        if not file.exists:
            return dg.SkipReason(f"There is no database at {file.name} yet: run discover_movies first.")
        now = clock.now()
        budgets = source_budgets(accounts_of(settings, ledger, clock.now), now)
        limits = {source: budget.limit(settings.refresh_limit) for source, budget in budgets.items()}
        gathering = Gathering(min(settings.sensor_min_batch, settings.refresh_limit), settings.sensor_max_wait)
        gathered = gathering.decide(_waiting(file, budgets, limits, database.choice), now)
        if gathered.due and not gathered.ready and not kept(file.path):
            return dg.SkipReason(_what_for(gathered, gathering, now))
        batch = pick_batch(file, now, limits, database.choice)
    except DatabaseBusy as error:
        return dg.SkipReason(f"The database is busy, trying again at the next tick: {error}")
    except (WarehouseError, LedgerError) as error:
        return dg.SkipReason(str(error))
    if not batch.movies:
        return dg.SkipReason(_why_nothing(budgets.values()))
    return _request(context.instance, file, batch, Instants.of(settings).clock_tag())


due_movies_sensor = dg.sensor(
    name=SENSOR,
    job=refresh_movies_job,
    minimum_interval_seconds=TICK // timedelta(seconds=1),
    description="Requests one run for the movies that are due by the refresh strategy, within the day's budgets, when "
    "enough of them are, or one has waited long.",
)(look_for_due_movies)


def _waiting(
    file: Store, budgets: Mapping[str, SourceBudget], limits: Mapping[str, int], strategy: str | StrategyChoice
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
    instance: dg.DagsterInstance, file: Store, batch: RefreshBatch, more_tags: Mapping[str, str]
) -> dg.RunRequest | dg.SkipReason:
    """The run request for a batch. A run key is launched once ever, so each further attempt has a number of its own."""
    fingerprint = batch.fingerprint
    earlier = instance.get_run_records(dg.RunsFilter(job_name="refresh_movies", tags={BATCH_TAG: fingerprint}))
    failures = _failures_in_a_row(instance)
    if len(failures) > 1 or (failures and not kept(file.path)):
        wait = min(RETRY_WAIT * 2 ** (len(failures) - 1), LONGEST_RETRY_WAIT)
        ended = failures[0].end_time or failures[0].update_timestamp.timestamp()
        left = ended + wait.total_seconds() - datetime.now().astimezone().timestamp()
        if 0 < left <= wait.total_seconds() + 60:  # a run that ended in the future did so by a clock that was ahead
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
