"""IMDb's daily ratings file: rating and votes of every known title. What follows is in `warehouse.feeds.imdb`."""

import dagster as dg

from ayne_dagster.assets.daily_files import DailyFileConfig, DailyFileReading, tell_switched_off
from ayne_dagster.assets.definition import FEEDS, table_options
from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.refreshing import Steps
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.warehouse.feeds.imdb import TERMS, doubts_of_ratings, merge_imdb_ratings, unpacked_ratings
from ayne_dagster.warehouse.schema import IMDB_RATINGS

_OPTIONS = table_options(IMDB_RATINGS, FEEDS, {"imdb"})


@dg.asset(
    **_OPTIONS | {"description": f"{IMDB_RATINGS.description} Off unless AYNE_IMDB_RATINGS_URL is set. {TERMS}"},
    deps=[tmdb_details],
    config_schema=DailyFileConfig.schema_for_runs(),
    output_required=False,
)
def imdb_ratings(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
) -> Steps:
    """Read the file, when it is switched on, and make movies whose votes or rating jumped due at OMDb."""
    if settings.imdb_ratings_url is None:
        tell_switched_off(context, IMDB_RATINGS, "AYNE_IMDB_RATINGS_URL")
        return
    context.log.info(TERMS)
    reading = DailyFileReading(
        context,
        DailyFileConfig.of(context),
        table=IMDB_RATINGS,
        place=settings.imdb_ratings_url,
        database=database.file,
        now=clock.now(),
        unpack=unpacked_ratings,
        doubts_of=doubts_of_ratings,
        merge=merge_imdb_ratings,
    )
    yield dg.Output(reading)
