"""What people are told unasked: failed runs, and quotas that are used up. How they are told is in `notify`.

Alerts are delivered at least once. A quota's alert is noted in the sensor's cursor only when it was delivered. Dagster
moves the cursor of a run-failure sensor on whatever the sensor does, so a failed run whose alert was not delivered
carries a tag, and `undelivered_alerts` sends it again until it is. A process that dies between delivery and note
delivers twice.

https://docs.dagster.io/guides/automate/run-status-sensors
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from ayne_dagster.automation.notify import Alert, NotificationFailed, Notifier, shortened
from ayne_dagster.collecting.watch import STALLED_AFTER
from ayne_dagster.config import API_TITLES, Settings
from ayne_dagster.resources.clients import Clock
from ayne_dagster.runs.failures import failure_reason
from ayne_dagster.sources.credentials import spellings
from ayne_dagster.sources.limits.account import Account, accounts_of
from ayne_dagster.sources.limits.ledger import LedgerError, RequestLedger

ALERT_TAG = "ayne/alert"
"""On a failed run: whether people were told."""
DELIVERED, UNDELIVERED = "delivered", "undelivered"
MOST_A_TICK = 5
"""Alerts sent again in one tick, each of which may take its whole deadline."""

_MEANS = {
    "discover_movies": "What was found is kept; movies released or listed since are found by the next discovery.",
    "refresh_movies": "What was fetched is kept; the rest stays due.",
}
_DO = {
    "discover_movies": "Look at the run in Dagster's UI; launch discover_movies again, or wait for the schedule.",
    "refresh_movies": "Look at the run in Dagster's UI; due_movies_sensor tries again by itself, at growing intervals.",
}
_MEANS_OTHERWISE = "What was committed is kept."
_DO_OTHERWISE = "Look at the run in Dagster's UI, and launch it again."


def failed_run_alert(run: dg.DagsterRun, reason: str | None, at: datetime, settings: Settings) -> Alert:
    """The alert for a failed run.

    Args:
        run: the run.
        reason: why it failed, as its step says; None where no step says.
        at: when it failed (aware UTC).
        settings: whose secrets the alert must not tell.
    """
    job = run.job_name
    why = shortened(_without_keys(reason or "it ended before its first step did.", settings))
    return Alert(
        kind="run_failed",
        what=f"{job} failed: {why}",
        means=_MEANS.get(job, _MEANS_OTHERWISE),
        do=_DO.get(job, _DO_OTHERWISE),
        at=at.astimezone(UTC).isoformat(timespec="seconds"),
        run_id=run.run_id,
        job=job,
    )


def quota_alert(account: Account, now: datetime) -> Alert:
    """The alert for a day's quota of which collections may spend no more (`now`: aware UTC)."""
    title, limits = API_TITLES[account.source], account.settings
    kept = f", but for the {limits.quota_reserve:,} kept for people" if limits.quota_reserve else ""
    quota = f"{limits.daily_quota:,} requests" if limits.daily_quota else "requests"
    return Alert(
        kind="quota_used_up",
        what=f"The {quota} to {title} of {account.today} (UTC) are used up{kept}.",
        means="What was fetched is kept; the rest stays due, and collections ask nothing more there today.",
        do="Nothing: it goes on after midnight UTC. If it happens daily, lower AYNE_REFRESH_LIMIT or get more.",
        at=now.astimezone(UTC).isoformat(timespec="seconds"),
        source=account.source,
    )


@dg.run_failure_sensor(
    name="run_failure_alerts",
    monitor_all_code_locations=True,  # else those that `ayne collect` executes are not seen
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Tells people of each run that failed: webhook, or the log.",
)
def run_failure_alerts(
    context: dg.RunFailureSensorContext, notifier: dg.ResourceParam[Notifier], settings: dg.ResourceParam[Settings]
) -> None:
    """Tell people of a failed run; one that could not be told of is tagged, to be told of later."""
    run = context.dagster_run
    if not _is_ours(run, context.repository_def):
        return
    known = context.instance.get_run_by_id(run.run_id)
    if known is not None and known.tags.get(ALERT_TAG) == DELIVERED:
        return
    reason = failure_reason(context.get_step_failure_events()) or context.failure_event.message
    _tell(context, notifier, run, reason, settings)


@dg.sensor(
    name="undelivered_alerts",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=300,
    description="Sends alerts of failed runs again that could not be delivered.",
)
def undelivered_alerts(
    context: dg.SensorEvaluationContext, notifier: dg.ResourceParam[Notifier], settings: dg.ResourceParam[Settings]
) -> dg.SkipReason:
    """Send again what was not delivered, the oldest first, until one fails."""
    waiting = context.instance.get_run_records(
        dg.RunsFilter(tags={ALERT_TAG: UNDELIVERED}, statuses=[dg.DagsterRunStatus.FAILURE]),
        limit=MOST_A_TICK,
        ascending=True,
    )
    sent = 0
    for record in waiting:
        run = record.dagster_run
        reason = failure_reason(_step_events(context.instance, run.run_id))
        if not _tell(context, notifier, run, reason, settings):
            break
        sent += 1
    return dg.SkipReason(f"{sent} of {len(waiting)} undelivered alerts sent.")


@dg.sensor(
    name="quota_alerts",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=300,
    description="Tells people once a UTC day and source that its quota is used up.",
)
def quota_alerts(
    context: dg.SensorEvaluationContext,
    notifier: dg.ResourceParam[Notifier],
    ledger: dg.ResourceParam[RequestLedger],
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> dg.SkipReason:
    """Tell people of quotas that are used up; the cursor holds the last day, by source, of which they know."""
    told = _read_cursor(context.cursor)
    now = clock.now()
    today = now.astimezone(UTC).date().isoformat()
    said = []
    for account in accounts_of(settings, ledger, clock.now).values():
        source = account.source
        if told.get(source) == today:
            continue
        try:
            use = account.quota_use
        except LedgerError as error:
            said.append(str(error))
            continue
        if use.left is None or use.left > account.settings.quota_reserve:
            continue
        if failure := _delivery_failure(notifier, quota_alert(account, now)):
            said.append(f"The alert for {source}'s quota is sent again at the next tick: {failure}.")
            context.log.warning(said[-1])
            continue
        told[source] = today
        context.update_cursor(json.dumps(told))
        said.append(f"Told that {source}'s quota of {today} is used up.")
    return dg.SkipReason(" ".join(said) or "Nothing to tell.")


def stalled_run_alert(run: dg.DagsterRun, silent: timedelta, now: datetime) -> Alert:
    """The alert for a run that has not moved for `silent` (`now`: aware UTC)."""
    job = run.job_name
    return Alert(
        kind="run_stalled",
        what=f"{job} runs, and has told nothing for {silent / timedelta(minutes=1):.0f} minutes.",
        means="What was committed is kept. Other runs that ask the same source wait for this one.",
        do="Look at the run in Dagster's UI: terminate it if it hangs, and launch it again.",
        at=now.astimezone(UTC).isoformat(timespec="seconds"),
        run_id=run.run_id,
        job=job,
    )


@dg.sensor(
    name="stalled_run_alerts",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=120,
    description="Tells people once of each run that makes no progress.",
)
def stalled_run_alerts(context: dg.SensorEvaluationContext, notifier: dg.ResourceParam[Notifier]) -> dg.SkipReason:
    """Tell people of runs that have said nothing for long; the cursor holds those that they know of, while they run.

    A collection that moves on says so now and then (`collecting.watch`), so that silence means that it does not. The
    clock is the machine's, since Dagster's is: ours may be turned.
    """
    now = datetime.now(UTC)
    known = _read_cursor(context.cursor)
    told: dict[str, str] = {}
    said = []
    for run in context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if not _is_ours(run, context.repository_def):
            continue
        if run.run_id in known:
            told[run.run_id] = known[run.run_id]
            continue
        silent = now - _last_heard(context.instance, run.run_id, now)
        if silent < timedelta(seconds=STALLED_AFTER):
            continue
        if failure := _delivery_failure(notifier, stalled_run_alert(run, silent, now)):
            said.append(f"The alert for run {run.run_id} is sent again at the next tick: {failure}.")
            context.log.warning(said[-1])
            continue
        told[run.run_id] = now.isoformat(timespec="seconds")
        said.append(f"Told that run {run.run_id} makes no progress.")
    context.update_cursor(json.dumps(told))
    return dg.SkipReason(" ".join(said) or "Nothing to tell.")


ALERT_SENSORS = [run_failure_alerts, undelivered_alerts, quota_alerts, stalled_run_alerts]


def _last_heard(instance: dg.DagsterInstance, run_id: str, now: datetime) -> datetime:
    """When a run last told anything."""
    records = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return datetime.fromtimestamp(records[0].timestamp, UTC) if records else now


def _tell(
    context: dg.RunFailureSensorContext | dg.SensorEvaluationContext,
    notifier: Notifier,
    run: dg.DagsterRun,
    reason: str | None,
    settings: Settings,
) -> bool:
    """Tell people of a failed run, and note on the run whether they were told."""
    instance = context.instance
    ended = instance.get_run_stats(run.run_id).end_time
    at = datetime.fromtimestamp(ended, UTC) if ended else datetime.now(UTC)
    if failure := _delivery_failure(notifier, failed_run_alert(run, reason, at, settings)):
        instance.add_run_tags(run.run_id, {ALERT_TAG: UNDELIVERED})
        context.log.warning(f"The alert for run {run.run_id} is sent again by undelivered_alerts: {failure}.")
        return False
    instance.add_run_tags(run.run_id, {ALERT_TAG: DELIVERED})
    return True


def _delivery_failure(notifier: Notifier, alert: Alert) -> str | None:
    """Deliver an alert; returns why that failed, None when it did not."""
    try:
        notifier.notify(alert)
    except NotificationFailed as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 -- a notifier of somebody else's must not cost the alert, nor show a secret
        return f"{type(notifier).__name__} failed with {type(error).__name__}"
    return None


def _is_ours(run: dg.DagsterRun, repository: dg.RepositoryDefinition | None) -> bool:
    """Whether a run is of this code location: the sensor sees those of others that share the instance, too."""
    if repository is None:
        return True
    ours = set(repository.assets_defs_by_key)
    return run.job_name in repository.job_names and (run.asset_selection or set()) <= ours


def _step_events(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterEvent]:
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return [entry.dagster_event for entry in entries if entry.dagster_event is not None]


def _without_keys(text: str, settings: Settings) -> str:
    """A text in which no secret of the settings stands, should an exception have carried one."""
    secrets = (
        settings.tmdb_read_token, settings.tmdb_api_key, settings.omdb_api_key, settings.alert_webhook_url,
        settings.ledger_url,
    )  # fmt: skip
    for spelling in spellings(secret for secret in secrets if secret):
        text = text.replace(spelling, "…")
    return text


def _read_cursor(cursor: str | None) -> dict[str, str]:
    """By source, the last day whose end of quota people know of; nothing where the cursor cannot be read."""
    try:
        told = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
