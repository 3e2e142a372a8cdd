"""What runs at a time of day. What runs when something is due is in `due_movies`."""

import dagster as dg

from ayne_dagster.automation.jobs import (
    discover_movies_job,
    lake_maintenance_job,
    read_change_feed_job,
    read_daily_files_job,
    tidy_up_job,
)
from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.runs.batch import range_tags


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
lake_maintenance_schedule = dg.ScheduleDefinition(
    name="lake_maintenance_schedule",
    job=lake_maintenance_job,
    cron_schedule="50 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks after a lake's files, hourly; on without being switched on, where the warehouse is a lake.",
)
retention_schedule = dg.ScheduleDefinition(
    name="retention_schedule",
    job=tidy_up_job,
    cron_schedule="30 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Removes old runs and sums old logs up, daily; on without being switched on.",
)
