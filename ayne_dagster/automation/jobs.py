"""The jobs: which assets run together. When they run is in `schedules` and `due_movies`; what runs, in `assets`."""

from datetime import UTC, datetime

import dagster as dg

from ayne_dagster.assets.answers import ANSWER_ASSETS
from ayne_dagster.assets.changes import tmdb_changes
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.id_export import tmdb_id_export
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.marts import collection_status, movies
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import DuckDBDatabase
from ayne_dagster.runs.executor import interruptible_executor
from ayne_dagster.runs.tidying import describe, tidy_up
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.warehouse.store import describe_maintained

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
    selection=[*ANSWER_ASSETS, refresh_metadata, movies, collection_status],
    executor_def=EXECUTOR,
    description="Fetch what is due from TMDB, OMDb and Wikidata, and bring the analysts' tables up to date.",
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
check_tables_job = dg.define_asset_job(
    "check_tables",
    selection=dg.AssetSelection.all_asset_checks(),
    executor_def=EXECUTOR,
    description="Count anew what the checks of all assets look at; fetches nothing.",
)


@dg.op(description="Looks after the files of a lake: `ayne maintain`.", config_schema={})
def look_after_the_lake(context: dg.OpExecutionContext, database: DuckDBDatabase) -> None:
    """What `ayne maintain` does; files are as old as the calendar says, whatever the platform's clock shows."""
    context.log.info(describe_maintained(database.file.maintain(datetime.now(UTC))))


@dg.job(
    name="lake_maintenance",
    executor_def=EXECUTOR,
    description="Keep a lake's files few and its past short; in turn with commits, a short process each time.",
)
def lake_maintenance_job() -> None:
    """One step."""
    look_after_the_lake()


@dg.op(
    description="Removes old runs with their logs, and turns old entries of the warehouse's logs into daily sums.",
    config_schema={},
)
def remove_what_is_old(
    context: dg.OpExecutionContext, database: DuckDBDatabase, settings: dg.ResourceParam[Settings]
) -> None:
    """What `ayne tidy` does."""
    told = tidy_up(context.instance, database.file, open_ledger(settings), settings)
    (context.log.warning if told["doubt"] else context.log.info)(describe(told))


@dg.job(
    name="tidy_up",
    executor_def=EXECUTOR,
    description="Keep the Dagster home and the warehouse's logs from growing for ever (AYNE_RUN_RETENTION_DAYS).",
)
def tidy_up_job() -> None:
    """One step."""
    remove_what_is_old()
