"""TMDB's daily ID export: which movies exist, and how popular they are. What follows is in `feeds.id_export`."""

from functools import partial

import dagster as dg

from ayne_dagster.assets.daily_files import DailyFileConfig, DailyFileReading, tell_switched_off
from ayne_dagster.assets.definition import FEEDS, table_options
from ayne_dagster.assets.refreshing import Steps
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.warehouse.feeds.id_export import doubts_of_export, merge_export, unpacked_export
from ayne_dagster.warehouse.schema import TMDB_ID_EXPORT


@dg.asset(
    **table_options(TMDB_ID_EXPORT, FEEDS, {"tmdb"}),
    config_schema=DailyFileConfig.schema_for_runs(),
    output_required=False,
)
def tmdb_id_export(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
) -> Steps:
    """Read the newest export, at no API request: new and vanished movies, and everybody's popularity."""
    if settings.tmdb_export is None:
        tell_switched_off(context, TMDB_ID_EXPORT, "AYNE_TMDB_EXPORT_URL")
        return
    reading = DailyFileReading(
        context,
        DailyFileConfig.of(context),
        table=TMDB_ID_EXPORT,
        place=settings.tmdb_export,
        database=database.file,
        now=clock.now(),
        unpack=unpacked_export,
        doubts_of=doubts_of_export,
        merge=partial(merge_export, min_popularity=settings.tmdb_export_min_popularity),
    )
    yield dg.Output(reading)
