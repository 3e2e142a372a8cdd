"""Box office as a source like the others: asked within a run, merged, due again, explained, and off where it is off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from ayne_dagster.collecting.progress import Watcher
from ayne_dagster.collecting.result import CollectionResult
from ayne_dagster.config import FigureChoice, Settings
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.conftest import settings_for
from ayne_dagster_tests.support.processes import Ayne

pytestmark = pytest.mark.whole_runs

PLAN = DiscoveryPlan(2017, 2024, 1, 0)
MOVIES = 90


@pytest.fixture(scope="module")
def source() -> Iterator[StandIn]:
    with StandIn(1500, oddities=0) as standin:
        yield standin


@pytest.fixture
def settings(source: StandIn, tmp_path: Path) -> Settings:
    source.clear_log()
    source.clear_faults()
    return settings_for(source, tmp_path / "ayne.duckdb", source.now(), contact="you@example.org", refresh_limit=MOVIES)


def collect(settings: Settings, **more: object) -> CollectionResult:
    return DataCollectionOrchestrator(settings=settings).collect(PLAN, **more)  # type: ignore[arg-type]


def value(settings: Settings, sql: str) -> object:
    with Database(settings.database).connect(read_only=True) as connection:
        return connection.execute(sql).fetchall()[0][0]


def test_a_collection_asks_for_figures_too_many_movies_at_a_time(settings: Settings, source: StandIn) -> None:
    result = collect(settings)
    assert 0 < result.requests["numbers"] <= 3
    assert source.requests()["wikidata"] == result.requests["numbers"]
    asked = value(settings, "SELECT count(*) FROM refresh_metadata WHERE numbers_checked_at IS NOT NULL")
    found = value(settings, "SELECT count(DISTINCT tmdb_id) FROM box_office")
    assert isinstance(asked, int)
    assert isinstance(found, int)
    assert asked >= result.box_office_updated > 0
    assert 0 < found == result.box_office_changed
    assert value(settings, "SELECT count(*) FROM movies WHERE worldwide_gross_source = 'wikidata'")


def test_what_is_fresh_is_not_asked_for_again_and_what_is_due_later_is(settings: Settings, source: StandIn) -> None:
    collect(settings)
    collect(settings)
    again = (
        "SELECT count(*) FROM (SELECT 1 FROM fetch_log WHERE source = 'numbers' GROUP BY tmdb_id HAVING count(*) > 1)"
    )
    assert value(settings, again) == 0
    later = replace(settings, clock_offset=settings.clock_offset + timedelta(days=181))
    assert collect(later).requests["numbers"] > 0


def test_another_order_holds_though_nothing_is_due(settings: Settings) -> None:
    settings = replace(settings, refresh_limit=10_000)
    collect(settings)
    other = replace(settings, box_office=FigureChoice(("tmdb",), {}))
    DataCollectionOrchestrator(settings=other).collect(None)
    assert value(settings, "SELECT string_agg(DISTINCT source) FROM box_office_precedence") == "tmdb"


def test_without_a_contact_nobody_is_asked_and_nothing_waits_for_it(settings: Settings, source: StandIn) -> None:
    off = replace(settings, contact=None, refresh_limit=10_000)
    watcher = create_autospec(Watcher, instance=True)
    result = DataCollectionOrchestrator(settings=off, watcher=watcher).collect(PLAN)
    told = {call.args[0]: call.args[1] for call in watcher.finished.call_args_list}
    assert told["box_office"].due_left == 0, "what a person reads while it runs"
    assert "wikidata" not in source.requests() or source.requests()["wikidata"] == 0
    assert (set(result.requests), result.box_office_updated, result.due_remaining) == ({"tmdb", "omdb"}, 0, 0)
    assert value(off, "SELECT count(*) FROM movies WHERE worldwide_gross_source = 'tmdb'")
    assert value(off, "SELECT count(*) FROM refresh_metadata WHERE fully_refreshed")


def test_a_source_of_figures_that_is_down_fails_its_step_alone_and_blames_no_movie(
    settings: Settings, source: StandIn
) -> None:
    source.inject(Fault("status", source="wikidata", status=503))
    with pytest.raises(Exception, match=r"(?i)wikidata") as caught:
        collect(settings)
    result = caught.value.result  # type: ignore[attr-defined]
    assert min(result.tmdb_updated, result.omdb_updated) > 0, "the others go on"
    assert value(settings, "SELECT count(*) FROM refresh_metadata WHERE numbers_failures > 0") == 0
    source.clear_faults()
    assert collect(settings).box_office_updated > 0


def test_the_order_of_the_settings_is_the_one_that_is_shown(settings: Settings) -> None:
    collect(settings)
    tmdb_first = replace(settings, box_office=FigureChoice(("tmdb", "wikidata"), {}))
    collect(tmdb_first)
    both = "worldwide_gross IS NOT NULL AND revenue > 10000"
    assert value(settings, f"SELECT count(*) FROM movies WHERE {both} AND worldwide_gross_source <> 'tmdb'") == 0


def test_a_movie_explains_its_figures_source(settings: Settings) -> None:
    collect(settings)
    variables = {
        "TMDB_API_KEY": "demo",
        "OMDB_API_KEY": "demo",
        "AYNE_CLOCK_OFFSET_DAYS": str(settings.clock_offset / timedelta(days=1)),
    }
    tmdb_id = value(settings, "SELECT tmdb_id FROM refresh_metadata WHERE numbers_checked_at IS NOT NULL")
    command = Ayne(settings.database.parent, variables, settings.database.name)
    off = command.call("explain", str(tmdb_id), "--json").json
    assert off["sources"]["numbers"]["held_back"] == "switched_off"
    on = Ayne(command.folder, variables | {"AYNE_CONTACT": "you@example.org"}, command.database_name)
    told = on.call("explain", str(tmdb_id))
    assert "Box office" in told.out
    assert json.loads(on.call("explain", str(tmdb_id), "--json").out)["sources"]["numbers"]["held_back"] is None
    assert set(json.loads(on.call("budget", "--json").out)["sources"]) == {"tmdb", "omdb", "numbers"}
    assert set(json.loads(command.call("budget", "--json").out)["sources"]) == {"tmdb", "omdb"}
