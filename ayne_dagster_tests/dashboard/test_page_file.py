"""The dashboard as a file beside the database: written whole, kept up to date by runs, linked from Dagster's UI."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.dashboard import page_file
from ayne_dagster.dashboard.app import written
from ayne_dagster.dashboard.page_file import PageNotWritten, StatusPage, write_page
from ayne_dagster.definitions import build_defs
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.freshness import observe_freshness
from ayne_dagster.warehouse.strategies import value_of_refresh
from ayne_dagster_tests.dashboard.collections import NOW, collected, recorded_run
from ayne_dagster_tests.test_assets import Platform

MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return collected(tmp_path)


def test_the_front_page_draws_how_fresh_the_movies_were_by_source_and_by_age(settings: Settings) -> None:
    assert "Freshness over a year" not in written(settings), "nothing was observed yet"
    with Database(settings.database).transaction() as connection:
        for at in (NOW - timedelta(days=1), NOW - timedelta(hours=1)):
            observe_freshness(connection, ("tmdb", "omdb"), at, AGE_TABLE_STRATEGY, value_of_refresh(connection))
    text = written(settings)
    for title in ("TMDB: share fresh, %", "TMDB: likely unchanged by age, %", "OMDb: share fresh, %"):
        assert f"<figcaption>{title}</figcaption>" in text
    assert re.search(r"On \d{4}-\d\d-\d\d: likely unchanged \d+ %, in time \d+ %, found unchanged \d+ %\.", text)


def test_the_run_that_has_the_page_written_is_not_told_of_as_running(settings: Settings) -> None:
    assert settings.dagster_home is not None
    recorded_run(settings.dagster_home, "before", "SUCCESS")
    recorded_run(settings.dagster_home, "own", "STARTED")
    assert "A run is under way: Refreshing movies." in written(settings)
    told = written(settings, leave_out="own")
    assert "Nothing runs" in told
    assert told.count("Refreshing movies") == 1, "the one before"


def test_of_a_large_collection_the_page_is_renewed_hourly_at_most(settings: Settings) -> None:
    page = StatusPage(settings)
    file = page.renew(page_file.LARGE + 1, "run")
    assert file.name == "films.duckdb.dashboard.html"
    file.write_text("as it was")
    page.renew(page_file.LARGE + 1, "run")
    assert file.read_text() == "as it was"
    hour_ago = file.stat().st_mtime - page_file.RENEWED_SECONDS
    os.utime(file, (hour_ago, hour_ago))
    page.renew(page_file.LARGE + 1, "run")
    assert "</html>" in file.read_text()
    file.write_text("as it was")
    page.renew(page_file.LARGE, "run")
    assert "</html>" in file.read_text(), "of a small one, each time"


def test_a_page_that_cannot_be_written_leaves_the_former_one(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    with pytest.raises(PageNotWritten, match=r"cannot be written .*choose another file"):
        write_page(settings, tmp_path / "page")
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".page")]


def test_a_run_writes_the_page_and_links_it_and_goes_well_where_it_cannot(
    make_settings: MakeSettings, standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:3001"
    with open_instance(Settings(database=tmp_path / "ayne.duckdb")) as home:
        platform = Platform(make_settings, standin, home)
        result = platform.run("discover_movies", years=("2021", "2021"), dashboard_url=url)
        (status,) = (m.metadata for m in result.asset_materializations_for_node("collection_status"))
        assert status["dashboard"] == dg.MetadataValue.url(url)
        file = Path(str(status["page"].value))
        assert file == StatusPage(platform.settings).path
        assert "Nothing runs" in file.read_text()
        file.unlink()
        file.mkdir()
        result = platform.run("discover_movies", years=("2021", "2021"))
        assert result.success
        (status,) = (m.metadata for m in result.asset_materializations_for_node("collection_status"))
        assert "page" not in status
        log = [record.message for record in home.all_logs(result.run_id)]
        assert any("The page of the dashboard is as it was: " in line for line in log)


def test_in_dagster_s_ui_collection_status_links_the_dashboard_where_its_address_is_known(
    make_settings: MakeSettings,
) -> None:
    def described(settings: Settings) -> tuple[str, object]:
        specs = {spec.key.path[-1]: spec for spec in build_defs(settings).resolve_all_asset_specs()}
        return str(specs["collection_status"].description), specs["collection_status"].metadata.get("dashboard")

    url = "http://127.0.0.1:3001"
    text, link = described(make_settings(dashboard_url=url))
    assert text.endswith(f"[Open the dashboard]({url}).")
    assert link == dg.MetadataValue.url(url)
    assert described(make_settings())[1] is None
