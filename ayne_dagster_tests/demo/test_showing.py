"""What `ayne dev` and `ayne dashboard` show: what is set up, else the demonstration made here, never with real keys."""

from __future__ import annotations

import os
from pathlib import Path
from socket import socket

import pytest

from ayne_dagster.cli import run
from ayne_dagster.commands import dashboard
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.dashboard import serving
from ayne_dagster.demo.showing import with_its_world
from ayne_dagster.demo.world import DEFAULT_DATABASE
from ayne_dagster.serving import listening
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.support.samples import listed, merge_listed

NOTE = '{"movies": 5, "epoch": "2025-11-28"}'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `ayne demo` was run, with nothing set up."""
    for name in [name for name in os.environ if name.startswith(("AYNE_", "TMDB_", "OMDB_", "DAGSTER_HOME"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for end in ("", ".world.json"):
        (tmp_path / f"{DEFAULT_DATABASE}{end}").write_text(NOTE)
    return tmp_path


def test_where_nothing_is_set_up_the_demonstration_is_shown_with_its_world_beside_it(here: Path) -> None:
    with with_its_world(load_settings()) as (shown, said):
        assert shown.database == here / DEFAULT_DATABASE
        assert "a demonstration's" in said
        assert shown.tmdb.base_url in said
        shown.require_keys()
        assert load_settings() == shown, "processes that are started now know the same"
    assert not any(name.startswith(("AYNE_", "TMDB_")) for name in os.environ)


def test_a_database_without_a_movie_is_nothing_that_was_set_up(here: Path) -> None:
    with Database(here / "data/ayne.duckdb").connect():
        pass
    with with_its_world(load_settings()) as (shown, _):
        assert shown.database == here / DEFAULT_DATABASE


def test_a_database_that_cannot_be_read_is_shown_for_what_it_is(here: Path) -> None:
    (here / "data/ayne.duckdb").write_text("of another program")
    with with_its_world(settings := load_settings()) as (shown, said):
        assert (shown, said) == (settings, "")


def test_the_dashboard_shows_the_demonstration_where_nothing_is_set_up_and_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(listening, "listen", lambda _: socket())
    monkeypatch.setattr(serving, "serve", lambda settings, *_: served.append(settings))

    def write(settings: Settings, _: Path) -> int:
        served.append(settings)
        return 5_000

    monkeypatch.setattr(dashboard, "write_page", write)
    assert run(["dashboard"]) == 0
    said = capsys.readouterr().err
    assert "a demonstration's, with the stand-in for its sources on http://127.0.0.1:" in said
    assert run(["dashboard", "--write", "page.html"]) == 0
    assert "demo.duckdb (a demonstration's)" in capsys.readouterr().err
    assert [settings.database for settings in served] == [here / DEFAULT_DATABASE] * 2


@pytest.mark.parametrize("database", ["data/ayne.duckdb", "elsewhere.duckdb"])
def test_what_a_person_has_set_up_is_shown_instead(here: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setenv("AYNE_DATABASE", database)
    with Database(here / "data/ayne.duckdb").connect() as connection:
        merge_listed(connection, listed(1))
    with with_its_world(settings := load_settings()) as (shown, said):
        assert (shown, said) == (settings, "")


def test_with_a_key_the_demonstration_is_not_what_a_person_means(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMDB_READ_TOKEN", "a-real-one")
    with with_its_world(settings := load_settings()) as (shown, said):
        assert (shown, said) == (settings, "")


def test_a_demonstration_that_is_named_asks_its_world_and_never_with_a_real_key(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AYNE_DATABASE", str(DEFAULT_DATABASE))
    monkeypatch.setenv("TMDB_READ_TOKEN", "a-real-one")
    monkeypatch.setenv("DAGSTER_HOME", "another")
    with with_its_world(load_settings()) as (shown, _):
        assert shown.dagster_home == here / f"{DEFAULT_DATABASE}.dagster_home"
        assert shown.tmdb_read_token == "demo"
        assert shown.tmdb.base_url.startswith("http://127.0.0.1:")
    monkeypatch.setenv("AYNE_TMDB_BASE_URL", "http://127.0.0.1:8765/3")
    with with_its_world(load_settings()) as (shown, said):
        assert (shown.tmdb.base_url, said) == ("http://127.0.0.1:8765/3", ""), "a stand-in that is set up is asked"
