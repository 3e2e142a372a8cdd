"""Years without a movie in Dagster's eyes: complete, once told; years with movies stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.assets.empty_years import PARTITIONED, tell_of_empty_years, years_with_movies
from ayne_dagster.commands.serving import show_nothing_as_missing
from ayne_dagster.config import Settings
from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.support.samples import HOLD, line, listed, merge_listed, python

DETAILS = dg.AssetKey("tmdb_details")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(Settings(database=tmp_path / "ayne.duckdb")) as opened:
        yield opened


def test_years_without_a_movie_are_complete_and_the_others_are_not_touched(instance: dg.DagsterInstance) -> None:
    years = {"1999", "unknown"}
    assert tell_of_empty_years(instance, years) == len(PARTITIONED) * (len(PARTITION_KEYS) - 2)
    for asset in PARTITIONED:
        assert instance.get_materialized_partitions(asset) == set(PARTITION_KEYS) - years


def test_it_is_told_once_and_again_only_of_a_year_that_became_empty(instance: dg.DagsterInstance) -> None:
    tell_of_empty_years(instance, {"1999", "2000"})
    assert tell_of_empty_years(instance, {"1999", "2000", "2001"}) == 0
    assert tell_of_empty_years(instance, {"1999"}) == len(PARTITIONED)


def test_of_a_collection_without_movies_nothing_is_said(instance: dg.DagsterInstance) -> None:
    assert tell_of_empty_years(instance, set()) == 0
    assert instance.get_materialized_partitions(DETAILS) == set()


def test_a_year_has_a_movie_once_one_is_known(tmp_path: Path) -> None:
    with Database(tmp_path / "ayne.duckdb").connect() as connection:
        assert years_with_movies(connection) == set()
        merge_listed(connection, listed(550))
        assert years_with_movies(connection) == {"1999"}


def test_the_ui_tells_it_when_it_starts_and_starts_beside_a_database_in_use(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = Settings(database=tmp_path / "ayne.duckdb")
    show_nothing_as_missing(instance, settings)
    assert not settings.database.exists(), "to look makes none"
    with Database(settings.database).connect() as connection:
        merge_listed(connection, listed(550))
    show_nothing_as_missing(instance, settings)
    assert instance.get_materialized_partitions(DETAILS) == set(PARTITION_KEYS) - {"1999"}
    holder = python(HOLD, settings.database)
    try:
        assert line(holder) == "held"
        show_nothing_as_missing(instance, settings)
    finally:
        holder.kill()
        holder.communicate()
