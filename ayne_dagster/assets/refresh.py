"""The refresh state of every movie, which the sensor reads. Rules are in `refresh`, storage in `warehouse`."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import duckdb

from ayne_dagster.assets.answers import ANSWER_ASSETS
from ayne_dagster.assets.changes import tmdb_changes
from ayne_dagster.assets.definition import DATASET, partitioned_options
from ayne_dagster.assets.id_export import tmdb_id_export
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.refreshing import Steps, partitions_of
from ayne_dagster.collecting.numbers import Derived
from ayne_dagster.collecting.progress import Progress, watcher
from ayne_dagster.config import Settings
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.warehouse.doubts import judge_unjudged
from ayne_dagster.warehouse.freshness import observe_freshness
from ayne_dagster.warehouse.refresh_metadata import DerivedYear, derive_columns
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster.warehouse.strategies import value_of_refresh


@dg.asset(
    **partitioned_options(REFRESH_METADATA, DATASET, set()),
    deps=[*ANSWER_ASSETS, tmdb_changes, tmdb_id_export, imdb_ratings],
    config_schema={},
)
def refresh_metadata(
    context: dg.AssetExecutionContext,
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
) -> Steps:
    """Work out age category, frozen state, reasons, rates and weights anew; times are kept with each answer."""
    yield dg.Output(Derivation(context, database, clock.now(), settings.sources))


@dataclass
class Derivation(TableWrite[dict[str, DerivedYear]]):
    """What follows from the answers, for the run's partitions."""

    context: dg.AssetExecutionContext
    database: DuckDBDatabase
    now: datetime
    sources: Collection[str]

    def __post_init__(self) -> None:
        watcher().started(REFRESH_METADATA.name, Progress())

    def write(self, connection: duckdb.DuckDBPyConnection) -> dict[str, DerivedYear]:
        """Work it out; returns counts by partition. Answers of a former version are judged on the way.

        How fresh all movies are is observed when it is worked out, not before the answers of the run.
        """
        strategy, years = self.database.strategy(connection), partitions_of(self.context)
        if judged := judge_unjudged(connection, years):
            self.context.log.info(f"Compared {judged:,} answers of OMDb with TMDB's details: nobody had yet.")
        derived = derive_columns(connection, self.now, years=years, strategy=strategy)
        value = value_of_refresh(connection, self.database.choice)
        observe_freshness(connection, self.sources, self.now, strategy, value)
        return derived

    def report(self, written: dict[str, DerivedYear]) -> None:
        """Counts by partition."""
        numbers = {
            year: Derived(found.movies, found.updated, found.newly_frozen, found.frozen)
            for year, found in written.items()
        }
        for year in self.context.partition_keys:
            if year in written:
                self.context.add_asset_metadata(numbers[year].as_dict() | written[year].reasons, partition_key=year)
        watcher().finished(REFRESH_METADATA.name, sum(numbers.values(), Derived()))
