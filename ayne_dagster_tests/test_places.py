"""One database is one database by whatever path it is named, and what former versions left beside it is taken over."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from datetime import date
from pathlib import Path

import click
import duckdb
import pytest

from ayne_dagster import DuckDBClient
from ayne_dagster.commands.options import FilePath
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.runs.home import home_path
from ayne_dagster.settings import places
from ayne_dagster.settings.places import FormerInUse, WrongPlace, companion, resolve_database, take_over_former
from ayne_dagster.sources.limits.ledger import (
    LedgerError,
    RequestLedger,
    account_name,
    former_account_names,
    open_ledger,
)
from ayne_dagster.warehouse.database import Database, DatabaseBusy
from ayne_dagster.warehouse.spool import spool_folder

TODAY = date(2026, 3, 1)


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_done", set())


def test_a_link_to_a_database_is_that_database(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "ayne.duckdb"
    with Database(real).connect():
        pass
    (tmp_path / "by-file.duckdb").symlink_to(real)
    (tmp_path / "by-folder").symlink_to(tmp_path / "disk")
    for path in (tmp_path / "by-file.duckdb", tmp_path / "by-folder" / "ayne.duckdb"):
        settings = Settings(database=path)
        assert settings.database == Database(path).path == DuckDBClient(path).database.path == real
        assert (
            settings.ledger.parent
            == spool_folder(settings.database).parent
            == home_path(settings).parent
            == real.parent
        )


def test_a_relative_path_and_one_through_the_home_are_that_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = tmp_path / "data" / "ayne.duckdb"
    for text in ("data/ayne.duckdb", "./x/../data/ayne.duckdb", "~/data/ayne.duckdb", str(expected)):
        assert load_settings({"AYNE_DATABASE": text}).database == expected
    assert not (tmp_path / "~").exists()


def test_a_second_name_of_one_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ayne.duckdb"
    with Database(file).connect():
        pass
    (tmp_path / "other.duckdb").hardlink_to(file)
    for path in (file, tmp_path / "other.duckdb"):
        with pytest.raises(WrongPlace, match="hard links"):
            resolve_database(path)


def test_a_file_that_is_mounted_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a b" / "ayne.duckdb"
    with Database(file).connect():
        pass
    mounts = tmp_path / "mountinfo"
    escaped = str(file.resolve()).replace(" ", "\\040")
    mounts.write_text(f"36 35 98:0 / / rw - ext4 /dev/a rw\n37 36 98:0 /x {escaped} rw - ext4 /dev/b rw\nodd\n")
    monkeypatch.setattr(places, "_MOUNTS", mounts)
    with pytest.raises(WrongPlace, match="mounted as a single file"):
        resolve_database(file)
    monkeypatch.setattr(places, "_MOUNTS", tmp_path / "no such system")
    assert resolve_database(file) == file.resolve()


def test_a_name_that_leaves_no_room_for_those_of_its_companions_is_refused(tmp_path: Path) -> None:
    assert resolve_database(tmp_path / ("é" * 100)).name == "é" * 100
    with pytest.raises(WrongPlace, match="too long"):
        resolve_database(tmp_path / ("é" * 101))


def test_a_folder_that_is_gone_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(WrongPlace, match="was removed"):
        resolve_database("data/ayne.duckdb")


def test_a_link_to_a_file_that_is_yet_to_be_makes_it_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "ayne.duckdb"
    link.symlink_to(tmp_path / "disk" / "movies.duckdb")
    with Database(link).connect():
        pass
    assert link.is_symlink()
    assert (tmp_path / "disk" / "movies.duckdb").stat().st_size > 0


def test_a_link_on_the_way_to_nowhere_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file.duckdb").symlink_to(tmp_path / "unmounted" / "ayne.duckdb")
    (tmp_path / "folder").symlink_to(tmp_path / "unmounted")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in ("file.duckdb", "folder/ayne.duckdb", "folder/deep/ayne.duckdb", "loop", "loop/ayne.duckdb"):
        with pytest.raises(WrongPlace, match="link"):
            resolve_database(tmp_path / path)
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize(
    "text",
    ["", " ", ":memory:", ":memory:x", "md:movies", "s3://bucket/ayne.duckdb", "ducklake:postgres:host=x",
     "file:ayne.db", ".", "data/", "/", "a\nb.duckdb", "a\0b", "what?.duckdb", "~nobody-of-this-name/ayne.duckdb"],
)  # fmt: skip
def test_what_is_no_place_for_a_database_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(WrongPlace) as refused:
        resolve_database(text)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_password_in_what_should_be_a_path_is_not_shown() -> None:
    with pytest.raises(WrongPlace) as refused:
        resolve_database("postgres://ayne:hunter2@host/movies")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["100%20.duckdb", "a#b;c.duckdb", "o'b\"r.duckdb", "[x]*.duckdb", "é ü.duckdb", "-n.duckdb"]
)
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    database = Database(tmp_path / name)
    with database.transaction() as connection:
        connection.execute("INSERT INTO quarantine BY NAME SELECT 'tmdb' AS source")
    assert database.path == tmp_path / name
    assert open_ledger(Settings(database=tmp_path / name)).charge("x", TODAY, 1)
    with database.connect(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM quarantine").fetchall() == [(1,)]
    assert {path.name for path in tmp_path.iterdir()} <= {name, f"{name}.wal"} | {
        f"{name}.ledger.sqlite{end}" for end in ("", "-wal", "-shm")
    }


def test_databases_that_differ_in_the_suffix_alone_share_nothing(tmp_path: Path) -> None:
    one, other = (Settings(database=tmp_path / f"movies.{year}") for year in (2024, 2025))
    assert one.ledger != other.ledger
    assert spool_folder(one.database) != spool_folder(other.database)
    assert home_path(one) != home_path(other)
    assert companion(one.database, "tmdb.lease") != companion(other.database, "tmdb.lease")


def leave_as_0_2_did(folder: Path, stem: str = "movies") -> None:
    """Ledger (3 requests charged), spool and home under the names of version 0.2."""
    ledger = RequestLedger(folder / f"{stem}.ledger.sqlite")
    for _ in range(3):
        assert ledger.charge("omdb:x", TODAY, 10)
    (folder / f"{stem}.spool").mkdir()
    (folder / f"{stem}.spool" / "1-tmdb.jsonl").write_text("{}\n")
    (folder / f"{stem}.dagster_home").mkdir()
    (folder / f"{stem}.dagster_home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (folder / f"{stem}.tmdb.lease").touch()


def test_what_a_former_version_left_is_moved_when_the_database_is_first_used(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "movies.duckdb")
    leave_as_0_2_did(tmp_path)
    with Database(settings.database).connect():
        pass
    assert open_ledger(settings).use("omdb:x", TODAY, 10).used == 3
    assert [path.name for path in spool_folder(settings.database).iterdir()] == ["1-tmdb.jsonl"]
    assert (home_path(settings) / "dagster.yaml").exists()
    left = {path.name for path in tmp_path.iterdir()}
    assert not left & {"movies.ledger.sqlite", "movies.spool", "movies.dagster_home", "movies.tmdb.lease"}


def test_where_it_is_not_clear_whose_they_are_each_gets_the_count_and_nobody_the_answers(tmp_path: Path) -> None:
    for year in (2024, 2025):
        duckdb.connect(str(tmp_path / f"movies.{year}")).close()
    leave_as_0_2_did(tmp_path)
    for year in (2024, 2025):
        settings = Settings(database=tmp_path / f"movies.{year}")
        assert open_ledger(settings).use("omdb:x", TODAY, 10).used == 3
        assert not spool_folder(settings.database).exists()
        assert home_path(settings) == tmp_path / f"movies.{year}.dagster_home"
    assert (tmp_path / "movies.spool" / "1-tmdb.jsonl").exists()
    assert {path.name for path in places.ambiguous_leftovers(settings.database)} == {
        "movies.spool", "movies.dagster_home"
    }  # fmt: skip


def test_a_take_over_that_was_killed_is_completed_by_the_next(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "movies.duckdb")
    leave_as_0_2_did(tmp_path)
    (tmp_path / "movies.duckdb.ledger.sqlite.new").write_text("half a copy")
    (tmp_path / "movies.duckdb.spool").mkdir()
    (tmp_path / "movies.duckdb.spool" / "2-omdb.jsonl").write_text("{}\n")
    assert open_ledger(settings).use("omdb:x", TODAY, 10).used == 3
    assert sorted(path.name for path in spool_folder(settings.database).iterdir()) == ["1-tmdb.jsonl", "2-omdb.jsonl"]


def test_nothing_is_taken_over_while_a_former_version_collects(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "movies.duckdb")
    leave_as_0_2_did(tmp_path)
    held = os.open(tmp_path / "movies.tmdb.lease", os.O_RDWR)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(FormerInUse, match="goes on"):
            take_over_former(settings.database)
        with pytest.raises(DatabaseBusy, match="goes on"), Database(settings.database).connect():
            pass
        with pytest.raises(LedgerError, match="goes on"):
            open_ledger(settings)
        assert (tmp_path / "movies.ledger.sqlite").exists()
    finally:
        os.close(held)
    assert open_ledger(settings).use("omdb:x", TODAY, 10).used == 3


def test_a_home_that_a_running_daemon_writes_to_stays_where_it_is(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "movies.duckdb")
    leave_as_0_2_did(tmp_path)
    runs = tmp_path / "movies.dagster_home" / "history" / "runs.db"
    runs.parent.mkdir()
    with sqlite3.connect(runs) as connection:
        connection.execute("CREATE TABLE daemon_heartbeats (timestamp TIMESTAMP)")
        connection.execute("INSERT INTO daemon_heartbeats VALUES (datetime('now'))")
    assert home_path(settings) == tmp_path / "movies.dagster_home"
    with sqlite3.connect(runs) as connection:
        connection.execute("UPDATE daemon_heartbeats SET timestamp = datetime('now', '-1 hour')")
    assert home_path(settings) == tmp_path / "movies.duckdb.dagster_home"
    assert (tmp_path / "movies.duckdb.dagster_home" / "history" / "runs.db").exists()


def test_the_home_that_env_files_and_environment_name_is_the_one_that_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / ".env").write_text("DAGSTER_HOME=homes/one\n")
    assert home_path(load_settings()) == tmp_path / "homes" / "one"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "homes" / "two"))
    assert home_path(load_settings()) == tmp_path / "homes" / "two"


@pytest.mark.parametrize("spelling", ["$AYNE_TEST_ROOT/x", "${AYNE_TEST_ROOT}/x"])
def test_a_variable_in_a_path_is_what_it_holds_wherever_a_path_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AYNE_TEST_ROOT", str(tmp_path / "root"))
    names = ("AYNE_DATABASE", "DAGSTER_HOME", "AYNE_TMDB_EXPORT_URL", "AYNE_IMDB_RATINGS_URL")
    settings = load_settings(dict.fromkeys(names, spelling) | {"AYNE_LEDGER_URL": f"sqlite:///{spelling}"})
    meant = tmp_path / "root" / "x"
    assert (settings.database, settings.dagster_home) == (meant, meant)
    assert (settings.tmdb_export_url, settings.imdb_ratings_url) == (str(meant), str(meant))
    assert open_ledger(settings).name == str(meant)
    assert FilePath().convert(spelling, None, None) == meant
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spelling", ["$AYNE_TEST_NOT_SET/x", "${AYNE_TEST_NOT_SET}/x", "a/${}/x", "${not a name}"])
@pytest.mark.parametrize("name", ["AYNE_DATABASE", "DAGSTER_HOME", "AYNE_TMDB_EXPORT_URL", "AYNE_LEDGER_URL"])
def test_a_path_with_a_variable_that_is_not_set_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    value = f"sqlite:///{spelling}" if name == "AYNE_LEDGER_URL" else spelling
    with pytest.raises(WrongPlace, match="there is no variable"):
        open_ledger(load_settings({name: value}))
    with pytest.raises(click.UsageError, match="there is no variable"):
        FilePath().convert(spelling, None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_dollar_that_names_no_variable_is_a_part_of_a_path(tmp_path: Path) -> None:
    for name in ("5$.duckdb", "$5.duckdb", "a$-b.duckdb"):
        assert resolve_database(tmp_path / name) == tmp_path / name


SAME = [
    "https://www.omdbapi.com/",
    "https://www.omdbapi.com",
    "HTTPS://WWW.omdbapi.com:443/",
    "https://www.omdbapi.com./",
]


def test_spellings_of_an_address_are_one_account() -> None:
    assert len({account_name("omdb", url, "key") for url in SAME}) == 1
    others = [
        "http://www.omdbapi.com/",
        "https://www.omdbapi.com:444/",
        "https://www.omdbapi.com/x",
        "https://omdbapi.com/",
    ]
    assert len({account_name("omdb", url, "key") for url in (SAME[0], *others)}) == 5


def test_what_was_counted_under_a_former_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    name = account_name("omdb", SAME[0], "key")
    former = former_account_names("omdb", SAME[0], "key")
    assert name not in former
    old = RequestLedger(path)
    for _ in range(4):
        old.charge(former[0], TODAY, 10)
    ledger = RequestLedger(path)
    ledger.know_as(name, former)
    assert ledger.use(name, TODAY, 10).used == 4
    assert ledger.charge(name, TODAY, 5)
    assert not ledger.charge(name, TODAY, 5)
    assert RequestLedger(path).use(former[0], TODAY, 10).used == 0
