"""Where a demonstration may collect into, what it leaves alone, and whose settings it knows."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from ayne_dagster.config import SettingsError, load_settings
from ayne_dagster.demo.world import (
    InUse,
    World,
    new_database,
    only_these_variables,
    read_world,
    settings_for,
    variables,
)
from ayne_dagster.runs.instance import in_use_path, served
from ayne_dagster.settings.places import companion
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.lease import lease

WORLD = World(40, date(2025, 11, 28))


def left_by_a_demonstration(database: Path) -> list[Path]:
    """What one leaves that was broken off; returns its files and folders."""
    with new_database(database, WORLD, replace=False):
        database.write_text("movies")
        spool, home = companion(database, "spool"), companion(database, "dagster_home")
        for folder in (spool, home):
            folder.mkdir()
        (spool / "000-tmdb").write_text("answers")
        ledger = companion(database, "ledger.sqlite")
        ledger.write_text("requests")
    return [database, spool, home, ledger]


def test_a_demonstration_notes_its_world_beside_its_database(tmp_path: Path) -> None:
    database = tmp_path / "demo.duckdb"
    assert read_world(database) is None
    left_by_a_demonstration(database)
    assert read_world(database) == WORLD


def test_nothing_of_a_demonstration_that_was_broken_off_gets_into_the_next(tmp_path: Path) -> None:
    left = left_by_a_demonstration(tmp_path / "demo.duckdb")
    with new_database(left[0], World(50, WORLD.epoch), replace=True):
        assert not any(path.exists() for path in left)
    left = left_by_a_demonstration(tmp_path / "other.duckdb")
    left[0].unlink()
    with new_database(left[0], WORLD, replace=False):
        assert not any(path.exists() for path in left), "a spool without its database is no better"


def test_a_named_file_that_exists_is_never_replaced(tmp_path: Path) -> None:
    left = left_by_a_demonstration(tmp_path / "demo.duckdb")
    with pytest.raises(SettingsError, match="exists"), new_database(left[0], WORLD, replace=False):
        pass
    assert all(path.exists() for path in left)


@pytest.mark.parametrize("name", ["", ".spool", ".ledger.sqlite", ".dagster_home", ".wal"])
@pytest.mark.parametrize("replace", [True, False])
def test_what_no_demonstration_has_left_is_never_replaced(tmp_path: Path, name: str, replace: bool) -> None:
    precious = tmp_path / f"demo.duckdb{name}"
    precious.write_text("a year of requests")
    with (
        pytest.raises(SettingsError, match="no demonstration"),
        new_database(tmp_path / "demo.duckdb", WORLD, replace=replace),
    ):
        pass
    assert precious.read_text() == "a year of requests"
    assert [path.name for path in tmp_path.iterdir()] == [precious.name]


def test_what_a_former_version_would_have_left_for_it_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "demo.spool").mkdir()
    with (
        pytest.raises(SettingsError, match=r"demo\.spool"),
        new_database(tmp_path / "demo.duckdb", WORLD, replace=True),
    ):
        pass


def test_a_demonstration_that_is_shown_or_collected_into_is_not_replaced(tmp_path: Path) -> None:
    database, _, home, _ = left = left_by_a_demonstration(tmp_path / "demo.duckdb")
    with served(home), pytest.raises(InUse, match="ayne dev"), new_database(database, WORLD, replace=True):
        pass
    with (
        lease(database, "omdb", lambda _: None),
        pytest.raises(InUse, match="a collection"),
        new_database(database, WORLD, replace=True),
    ):
        pass
    assert all(path.exists() for path in left)
    assert in_use_path(home).exists()
    with new_database(database, WORLD, replace=True):
        assert not database.exists(), "a lock that nobody holds is in nobody's way"


def test_two_demonstrations_do_not_meet_in_one_place(tmp_path: Path) -> None:
    database = tmp_path / "demo.duckdb"
    with new_database(database, WORLD, replace=True):
        database.write_text("the first one's")
        with pytest.raises(InUse, match="goes on"), new_database(database, WORLD, replace=True):
            pass
        assert database.read_text() == "the first one's"


def test_a_demonstration_knows_no_setting_of_a_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("AYNE_ALERT_WEBHOOK_URL=https://hooks.example.org/x\nAYNE_REFRESH_LIMIT=1\n")
    monkeypatch.setenv("OMDB_API_KEY", "a-real-one")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "data").mkdir()
    with StandIn(5) as standin:
        database = tmp_path / "data" / "demo.duckdb"
        with only_these_variables(variables(standin, database)):
            settings = load_settings()
            assert "DAGSTER_HOME" not in os.environ
        same = settings_for(standin, database)
    assert (settings.alert_webhook_url, settings.refresh_limit, settings.dagster_home) == (None, 100, None)
    assert (settings.database, settings.apis.keys()) == (same.database, same.apis.keys())
    assert (settings.tmdb.base_url, settings.omdb_api_key) == (same.tmdb.base_url, same.omdb_api_key)
    assert (settings.omdb.daily_quota, settings.sources) == (same.omdb.daily_quota, same.sources)
    assert os.environ["OMDB_API_KEY"] == "a-real-one"
    assert Path.cwd() == tmp_path
