"""The rows of the source: who it is, how often it is asked, what is stored of it. Imported before all else."""

from ayne_dagster.settings.apis import Api, ApiSettings
from ayne_dagster.settings.sources import SOURCES, Source
from ayne_dagster.warehouse.tables import TABLES_OF_SOURCES, Column, Table

API = Api("places", "Places", ApiSettings("http://127.0.0.1:9", 5.0, 5, 2, daily_quota=50), is_keyless=True)
SOURCES["locations"] = Source("locations", "Locations", API, (10, 20, 40, 100), is_supplement=True)
LOCATIONS = TABLES_OF_SOURCES["locations"] = Table(
    "locations",
    "One row a movie: where it was shot.",
    (
        Column("tmdb_id", "BIGINT", "TMDB's number of the movie: the key"),
        Column("release_year", "VARCHAR", "Partition: year of release_date, or 'unknown'"),
        Column("places", "VARCHAR[]", "Where it was shot"),
        Column("visits", "BIGINT", "How many people have looked it up", drifts=True),
        Column("updated_at", "TIMESTAMP", "When this row last changed (UTC)"),
    ),
    history=True,
)
