"""Everything Dagster loads, on one screen. What the things do is in the modules that they come from.

https://docs.dagster.io/deployment/code-locations
"""

import inspect
from typing import Any

import dagster as dg

from ayne_dagster.assets.answers import ANSWER_ASSETS
from ayne_dagster.assets.changes import tmdb_changes
from ayne_dagster.assets.checks import checks_of_all, with_freshness_policies
from ayne_dagster.assets.code_references import linked_to_code, published_at
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.id_export import tmdb_id_export
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.marts import collection_status, linked_to_dashboard, movies
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.assets.switched_off import described_as_off, switched_off
from ayne_dagster.automation.alerts import ALERT_SENSORS
from ayne_dagster.automation.demonstration import DEMONSTRATION_SENSORS
from ayne_dagster.automation.due_movies import due_movies_sensor
from ayne_dagster.automation.jobs import (
    EXECUTOR,
    check_tables_job,
    discover_movies_job,
    lake_maintenance_job,
    read_change_feed_job,
    read_daily_files_job,
    refresh_movies_job,
    tidy_up_job,
)
from ayne_dagster.automation.notify import build_notifier
from ayne_dagster.automation.schedules import (
    change_feed_schedule,
    daily_files_schedule,
    discovery_schedule,
    lake_maintenance_schedule,
    retention_schedule,
)
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.dashboard.page_file import StatusPage
from ayne_dagster.resources.clients import build_resources, sealed
from ayne_dagster.resources.io_manager import MergingDuckDBIOManager

ASSETS = [
    discovered_movies,
    *ANSWER_ASSETS,
    tmdb_changes,
    tmdb_id_export,
    imdb_ratings,
    refresh_metadata,
    movies,
    collection_status,
]
DESCRIPTIONS = {
    "settings": "What the environment and .env set up.",
    "database": "The warehouse, a DuckDB file or a lake; also for assets that want dagster-duckdb's DuckDBResource.",
    "clock": "What time it is for the platform.",
    "tmdb": "Access to TMDB, with the key TMDB_READ_TOKEN or, where that is not set, TMDB_API_KEY.",
    "omdb": "Access to OMDb, with the key OMDB_API_KEY.",
    "wikidata": "Access to Wikidata, which wants to know AYNE_CONTACT.",
    "ledger": "Where requests are counted, for all processes.",
    "notifier": "How people are told.",
    "page": "The dashboard as a file beside the database.",
}
"""What Dagster's UI says of the resources: names of settings, and no values."""


def build_defs(settings: Settings, *, resource_overrides: dict[str, Any] | None = None) -> dg.Definitions:
    """Assemble the code location.

    Args:
        settings: where things are, and the limits.
        resource_overrides: resources to use instead, by name; as they are, with what configuration they take.
    """
    overrides, off = resource_overrides or {}, switched_off(settings)
    ours = build_resources(settings) | {"notifier": build_notifier(settings), "page": StatusPage(settings)}
    assets = linked_to_dashboard(linked_to_code(ASSETS, published_at()), settings.dashboard_url)
    io_manager = MergingDuckDBIOManager((ours | overrides)["database"]).sealed
    resources = {
        name: sealed(resource, DESCRIPTIONS.get(name) or inspect.getdoc(resource) or name)
        for name, resource in ours.items()
    }
    return dg.Definitions(
        assets=with_freshness_policies(described_as_off(assets, off), off),
        asset_checks=checks_of_all(ASSETS),
        jobs=[
            discover_movies_job,
            refresh_movies_job,
            read_change_feed_job,
            read_daily_files_job,
            check_tables_job,
            tidy_up_job,
            *([lake_maintenance_job] if settings.lake else []),
        ],
        sensors=[*(DEMONSTRATION_SENSORS if settings.fast_clock else [due_movies_sensor]), *ALERT_SENSORS],
        schedules=[
            discovery_schedule,
            change_feed_schedule,
            daily_files_schedule,
            retention_schedule,
            *([lake_maintenance_schedule] if settings.lake else []),
        ],
        resources=resources | overrides | {"io_manager": io_manager},
        executor=EXECUTOR,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location `ayne_dagster`, as the environment and `.env` set it up."""
    return build_defs(load_settings())
