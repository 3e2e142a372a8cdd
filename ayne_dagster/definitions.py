"""Everything Dagster loads, on one screen. What the things do is in the modules that they come from.

https://docs.dagster.io/deployment/code-locations
"""

from typing import Any

import dagster as dg
from dotenv import load_dotenv

from ayne_dagster.alerts import ALERT_SENSORS
from ayne_dagster.assets.changes import tmdb_changes
from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.exports import tmdb_id_export
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.marts import collection_status, movies
from ayne_dagster.assets.ratings import omdb_ratings
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.automation import (
    change_feed_schedule,
    daily_files_schedule,
    discover_movies_job,
    discovery_schedule,
    due_movies_sensor,
    read_change_feed_job,
    read_daily_files_job,
    refresh_movies_job,
)
from ayne_dagster.checks import with_freshness_policies
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.executor import interruptible_executor
from ayne_dagster.io_manager import MergingDuckDBIOManager
from ayne_dagster.notify import build_notifier
from ayne_dagster.resources import build_resources

ASSETS = [
    discovered_movies,
    tmdb_details,
    omdb_ratings,
    tmdb_changes,
    tmdb_id_export,
    imdb_ratings,
    refresh_metadata,
    movies,
    collection_status,
]


def build_defs(settings: Settings, *, resource_overrides: dict[str, Any] | None = None) -> dg.Definitions:
    """Assemble the code location.

    Args:
        settings: where things are, and the limits.
        resource_overrides: resources to use instead, by name.
    """
    resources = build_resources(settings) | {"notifier": build_notifier(settings)} | (resource_overrides or {})
    return dg.Definitions(
        assets=with_freshness_policies(ASSETS),
        jobs=[discover_movies_job, refresh_movies_job, read_change_feed_job, read_daily_files_job],
        sensors=[due_movies_sensor, *ALERT_SENSORS],
        schedules=[discovery_schedule, change_feed_schedule, daily_files_schedule],
        resources=resources | {"io_manager": MergingDuckDBIOManager(database=resources["database"])},
        executor=interruptible_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location `ayne_dagster`, as the environment and `.env` set it up."""
    load_dotenv(".env")
    return build_defs(load_settings())
