"""Automation under a clock that runs fast, in a demonstration: the same sensor and schedules, told of simulated time.

Dagster's daemon goes by the calendar: a daily schedule would tick once in a demonstration's four years, and a sensor
that looks each minute sees one moment of a day. Here a sensor ticks the schedules when the platform's clock comes to
their times, and `due_movies_sensor` looks every few seconds. Both are on from the start; what they request stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from dagster._utils.schedules import cron_string_iterator

from ayne_dagster.automation.due_movies import SENSOR, look_for_due_movies
from ayne_dagster.automation.jobs import discover_movies_job, read_change_feed_job, refresh_movies_job
from ayne_dagster.automation.schedules import change_feed_schedule, discovery_schedule
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock
from ayne_dagster.runs.retention import Instants

INTERVAL_SECONDS = 5
"""Between two looks, by the calendar: two simulated hours where a day passes in a minute."""
TICKED = (discovery_schedule, change_feed_schedule)
"""What comes once a simulated day; stand-ins publish no daily file, and nothing grows old."""

due_movies_sensor = dg.sensor(
    name=SENSOR,
    job=refresh_movies_job,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests one run for the movies that are due, as it always does, but looks every few seconds.",
)(look_for_due_movies)


@dg.sensor(
    name="simulated_schedules",
    jobs=[discover_movies_job, read_change_feed_job],
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ticks the schedules when the demonstration's clock comes to their times.",
)
def simulated_schedules(
    context: dg.SensorEvaluationContext, clock: dg.ResourceParam[Clock], settings: dg.ResourceParam[Settings]
) -> dg.SensorResult:
    """Request the run of each schedule whose time has come since it was looked at last, which the cursor holds."""
    now = clock.now()
    seen = datetime.fromisoformat(json.loads(context.cursor)["seen"]) if context.cursor else now
    requests = [
        dg.RunRequest(
            run_key=f"{schedule.name}:{at.isoformat()}",
            job_name=schedule.job_name,
            tags={**_tags(context.instance, schedule, at), **Instants.of(settings).clock_tag()},
        )
        for schedule in TICKED
        if (at := last_time(schedule, seen, now)) is not None
    ]
    skipped = None if requests else f"It is {now:%Y-%m-%d %H:%M} UTC in the demonstration."
    return dg.SensorResult(requests, skipped, cursor=json.dumps({"seen": now.isoformat()}))


def last_time(schedule: dg.ScheduleDefinition, after: datetime, until: datetime) -> datetime | None:
    """The last of a schedule's times after one instant and up to another; None where there is none."""
    last = None
    for at in _times(schedule, after):
        if at > until:
            return last
        if at > after:
            last = at
    return last


def _times(schedule: dg.ScheduleDefinition, start: datetime) -> Iterator[datetime]:
    cron = schedule.cron_schedule
    if not isinstance(cron, str):
        raise TypeError(f"{schedule.name} has several times: {cron}")
    for at in cron_string_iterator(start.timestamp(), cron, schedule.execution_timezone):
        yield at.astimezone(UTC)


def _tags(instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition, at: datetime) -> dict[str, str]:
    """The tags that a schedule gives its run."""
    ticked = schedule.evaluate_tick(dg.build_schedule_context(instance, at))
    return {name: value for request in ticked.run_requests or () for name, value in request.tags.items()}


DEMONSTRATION_SENSORS = [due_movies_sensor, simulated_schedules]
