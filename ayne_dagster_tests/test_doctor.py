"""`ayne doctor`: each thing that can be wrong is said, with what to do, and never a secret."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
)
from dagster._daemon.types import DaemonHeartbeat

from ayne_dagster import doctor
from ayne_dagster.config import ApiSettings, Settings, SettingsError
from ayne_dagster.doctor import DUCKDBS, OK, PYTHONS, WARNING, WRONG, Line, disk_line, examine, version_line
from ayne_dagster.refresh.outlook import Outlook
from ayne_dagster.runs.home import home_path
from ayne_dagster.runs.instance import HomeUnusable, fault_of, open_instance
from ayne_dagster.settings.clock import Fast
from ayne_dagster.sources.limits.account import account_of
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database, WrongDatabase
from ayne_dagster.warehouse.lease import lease, lease_path
from ayne_dagster.warehouse.schema import SCHEMA_VERSION
from ayne_dagster.warehouse.spool import Contents, spool_folder
from ayne_dagster_tests.conftest import START
from ayne_dagster_tests.support.processes import Ayne, pointing_at
from ayne_dagster_tests.support.samples import HOLD, end, python
from ayne_dagster_tests.support.samples import line as next_line
from ayne_dagster_tests.support.schema_v1 import make_version_1
from ayne_dagster_tests.test_step_retries import LAUNCHED

MakeSettings = Callable[..., Settings]
NAMES = {
    "Python", "Dagster", "DuckDB", "TMDB key", "OMDb key", "TMDB address", "OMDb address", "database", "disk", "ledger",
    "TMDB today", "OMDb today", "box office", "Dagster home", "clock",
}  # fmt: skip


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """Settings with which everything is usable; the clock is right."""
    return replace(make_settings(), clock_offset=Settings().clock_offset)


def look(settings: Settings, name: str, *, online: bool = False) -> Line:
    (line,) = [line for line in examine(settings, online=online) if line.name == name]
    return line


def test_what_waits_in_the_spool_and_what_cannot_be_merged_are_lines_of_their_own(tmp_path: Path) -> None:
    assert list(doctor.spool_lines(Contents(), tmp_path)) == []
    lines = list(doctor.spool_lines(Contents(waiting=2, newer=1, unusable=1, strange=3), tmp_path))
    assert [line.state for line in lines] == [WARNING] * 3
    assert [line.text.split(" ")[0] for line in lines] == ["2", "1", "4"]


def test_what_a_former_version_left_that_may_be_another_database_s_is_told(settings: Settings) -> None:
    settings.database.parent.mkdir(parents=True, exist_ok=True)
    for name in (settings.database.name, f"{settings.database.stem}.2025"):
        with Database(settings.database.with_name(name)).connect():
            pass
    spool = settings.database.with_suffix(".spool")
    spool.mkdir()
    line = look(settings, "former files")
    assert (line.state, str(spool) in line.text) == (WARNING, True)
    assert f"{settings.database.name}.spool" in line.do


def test_all_is_well_before_the_first_collection_and_nothing_is_made_by_looking(
    settings: Settings, tmp_path: Path
) -> None:
    lines = examine(settings)
    assert {line.name for line in lines} == NAMES
    assert {line.state for line in lines} == {OK}
    assert list(tmp_path.iterdir()) == []


def test_all_is_well_after_a_collection(settings: Settings) -> None:
    with Database(settings.database).connect():
        pass
    with open_instance(settings):
        pass
    lines = {line.name: line for line in examine(settings)}
    assert {line.state for line in lines.values()} == {OK}
    assert f"schema version {SCHEMA_VERSION}" in lines["database"].text
    assert "has never run" in lines["daemon"].text
    assert "0 runs" in lines["Dagster home"].text


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"tmdb_read_token": None}, "TMDB key"), ({"omdb_api_key": None}, "OMDb key")],
)
def test_a_missing_key_is_wrong(settings: Settings, changes: dict[str, None], name: str) -> None:
    line = look(replace(settings, **changes), name)
    assert (line.state, line.text) == (WRONG, "missing")
    assert "Set " in line.do


def test_a_v3_key_alone_will_do(settings: Settings) -> None:
    line = look(replace(settings, tmdb_read_token=None, tmdb_api_key="abcdefgh"), "TMDB key")
    assert line.state == OK
    assert "TMDB_API_KEY" in line.text


def test_an_address_that_is_not_encrypted_is_a_warning_and_its_password_is_not_shown(settings: Settings) -> None:
    line = look(
        replace(settings, tmdb=ApiSettings("http://me:hunter22@proxy.example:8080/3?k=hunter22", 1, 1, 1)),
        "TMDB address",
    )
    assert line.state == WARNING
    assert line.text.startswith("http://proxy.example:8080/3 ")


def test_a_file_that_is_no_database_is_wrong(settings: Settings) -> None:
    settings.database.write_text("a letter")
    assert look(settings, "database").state == WRONG


def test_a_database_of_a_newer_version_is_wrong(settings: Settings) -> None:
    with Database(settings.database).connect() as connection:
        connection.execute("UPDATE warehouse_schema SET version = version + 1")
    line = look(settings, "database")
    assert (line.state, line.do) == (WRONG, "Install the newer ayne_dagster.")


def test_another_program_s_database_is_wrong(settings: Settings) -> None:
    with duckdb.connect(str(settings.database)) as connection:
        connection.execute("CREATE TABLE theirs (i INTEGER)")
    assert look(settings, "database").state == WRONG


def test_an_older_database_is_a_warning_and_stays_as_it_is(settings: Settings) -> None:
    make_version_1(settings.database)
    for _ in range(2):
        line = look(settings, "database")
        assert line.state == WARNING
        assert "schema version 1" in line.text


def test_a_locked_database_is_a_warning_that_names_the_holder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DATABASE_WAIT_SECONDS", 0.05)
    with Database(settings.database).connect():
        pass
    holder = python(HOLD, settings.database)
    assert next_line(holder) == "held"
    found = look(settings, "database")
    assert found.state == WARNING
    assert f"process {holder.pid}" in found.text
    assert end(holder) == 0


def test_a_place_that_cannot_be_written_is_wrong(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = replace(settings, database=tmp_path / "file" / "ayne.duckdb")
    for name in ("database", "ledger", "Dagster home"):
        line = look(nowhere, name)
        assert line.state == WRONG, name
        assert "cannot be written" in line.text
        assert "set AYNE_DATABASE" in line.do or "set DAGSTER_HOME" in line.do


def test_a_database_that_is_read_only_is_wrong(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(settings.database).connect():
        pass
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != settings.database)
    assert "cannot be written" in look(settings, "database").text


def test_the_disk_is_judged_by_what_is_free_and_by_what_a_snapshot_needs() -> None:
    megabyte, gigabyte = 2**20, 2**30
    assert disk_line(50 * megabyte, 0).state == WRONG
    assert disk_line(500 * megabyte, 0).state == WARNING
    assert disk_line(3 * gigabyte, 2 * gigabyte).state == WARNING
    assert disk_line(3 * gigabyte, gigabyte).state == OK


def test_a_ledger_that_cannot_be_used_is_wrong_and_its_password_is_not_shown(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for url in (f"sqlite:///{tmp_path}/file/ledger", "postgresql+psycopg://me:hunter22@127.0.0.1:9/ledger"):
        line = look(replace(settings, ledger_url=url), "ledger")
        assert line.state == WRONG
        assert "hunter22" not in line.text + line.do


def test_a_used_up_quota_is_a_warning(settings: Settings) -> None:
    settings = replace(settings, omdb=replace(settings.omdb, daily_quota=10))
    account = account_of("omdb", settings, open_ledger(settings), settings.now)
    assert account.ledger.charge(account.name, account.today, 10)
    assert look(settings, "OMDb today").text == "1 request of 10, 9 left"
    account.ledger.exhaust(account.name, account.today)
    assert look(settings, "OMDb today").state == WARNING


def test_a_dagster_home_that_cannot_be_opened_is_wrong(settings: Settings) -> None:
    home = home_path(settings)
    home.mkdir()
    for content in ("storage: {", "no_such_setting: 1", "storage:\n  postgres:\n    postgres_url: hunter22\n"):
        (home / "dagster.yaml").write_text(content)
        line = look(settings, "Dagster home")
        assert line.state == WRONG, content
        assert "dagster.yaml" in line.do
        assert "hunter22" not in line.text


def beat(instance: dg.DagsterInstance, seconds_ago: float) -> None:
    for kind in instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, kind, "here", []))


def switch_on(instance: dg.DagsterInstance, name: str, kind: InstigatorType) -> None:
    origin = LAUNCHED.repository_origin.get_instigator_origin(name)
    data = ScheduleInstigatorData("0 5 * * *") if kind is InstigatorType.SCHEDULE else None
    instance.add_instigator_state(InstigatorState(origin, kind, InstigatorStatus.RUNNING, data))


def test_a_daemon_that_runs_wants_something_to_do(settings: Settings) -> None:
    with open_instance(settings) as instance:
        beat(instance, 0)
        assert look(settings, "daemon").text == "running"
        automation = look(settings, "automation")
        assert automation.state == WARNING
        assert "due_movies_sensor, discovery_schedule" in automation.text
        switch_on(instance, "due_movies_sensor", InstigatorType.SENSOR)
        switch_on(instance, "discovery_schedule", InstigatorType.SCHEDULE)
    assert look(settings, "automation") == Line("automation", OK, "on: discovery_schedule, due_movies_sensor")


def test_where_days_pass_in_minutes_the_schedules_are_ticked_by_a_sensor_and_need_not_be_on(
    settings: Settings,
) -> None:
    fast = replace(settings, fast_clock=Fast(START, START, 1440.0))
    with open_instance(fast) as instance:
        beat(instance, 0)
        switch_on(instance, "due_movies_sensor", InstigatorType.SENSOR)
        assert look(fast, "automation").text == "not switched on: simulated_schedules"
        switch_on(instance, "simulated_schedules", InstigatorType.SENSOR)
    assert look(fast, "automation").state == OK


def test_a_daemon_that_does_not_run_any_more_is_a_warning(settings: Settings) -> None:
    with open_instance(settings) as instance:
        beat(instance, 100_000)
    line = look(settings, "daemon")
    assert line.state == WARNING
    assert "SENSOR" in line.text
    assert "ayne dev" in line.do


def test_a_daemon_that_has_ended_is_not_called_running_while_dagster_still_calls_it_well(settings: Settings) -> None:
    with open_instance(settings) as instance:
        beat(instance, 20 * 60)
        assert all(status.healthy for status in instance.get_daemon_statuses().values() if status.required)
    line = look(settings, "daemon")
    assert (line.state, line.text[:11]) == (WARNING, "not running")


def test_a_turned_clock_is_a_warning(make_settings: MakeSettings) -> None:
    line = look(make_settings(START), "clock")
    assert line.state == WARNING
    assert "2026-01-01 12:00 UTC" in line.text
    assert "AYNE_CLOCK_OFFSET_DAYS" in line.do


@pytest.mark.parametrize(
    ("found", "bounds", "state"),
    [
        ("3.11.0", PYTHONS, OK),
        ("3.13.9", PYTHONS, OK),
        ("3.10.14", PYTHONS, WRONG),
        ("3.14.0", PYTHONS, WRONG),
        ("1.5.2", DUCKDBS, OK),
        ("2.0.0", DUCKDBS, OK),
        ("1.5.1", DUCKDBS, WRONG),
        ("3.0.0", DUCKDBS, WRONG),
    ],
)
def test_versions_are_judged_by_what_is_supported(
    found: str, bounds: tuple[tuple[int, ...], tuple[int, ...]], state: str
) -> None:
    assert version_line("it", found, bounds).state == state


def test_what_cannot_be_looked_at_is_a_line_and_hides_nothing_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: object) -> None:
        raise RuntimeError("hunter22")

    monkeypatch.setattr("shutil.disk_usage", broken)
    lines = {line.name: line for line in examine(settings)}
    assert (lines["disk"].state, lines["disk"].text) == (WRONG, "cannot be looked at (RuntimeError)")
    assert set(lines) == NAMES


def test_nothing_is_asked_of_the_apis_unless_it_is_wanted(settings: Settings, standin: StandIn) -> None:
    examine(settings)
    assert standin.log() == []


def test_each_api_is_asked_once_when_it_is_wanted_and_the_request_is_counted(
    settings: Settings, standin: StandIn
) -> None:
    settings = replace(settings, omdb=replace(settings.omdb, daily_quota=10))
    lines = {line.name: line for line in examine(settings, online=True)}
    assert (lines["TMDB online"].state, lines["OMDb online"].state) == (OK, OK)
    assert sorted(entry["source"] for entry in standin.log()) == ["omdb", "tmdb"]
    assert look(settings, "OMDb today").text == "1 request of 10, 9 left"


def test_a_key_that_does_not_work_is_wrong(settings: Settings, standin: StandIn) -> None:
    standin.inject(Fault("status", "any", status=401, message="Invalid API key!"))
    for name in ("TMDB online", "OMDb online"):
        assert look(settings, name, online=True).state == WRONG, name


def test_a_source_that_gives_no_answer_is_given_up(
    settings: Settings, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "ONLINE_SECONDS", 0.3)
    standin.inject(Fault("hang", "any", delay_seconds=20))
    assert look(settings, "TMDB online", online=True).text == "no usable answer within 0.3 s"


def test_a_quota_that_is_used_up_is_a_warning_online(settings: Settings) -> None:
    settings = replace(settings, omdb=replace(settings.omdb, daily_quota=10))
    account = account_of("omdb", settings, open_ledger(settings), settings.now)
    account.ledger.exhaust(account.name, account.today)
    assert look(settings, "OMDb online", online=True).state == WARNING


def test_the_command_says_it_on_one_screen_and_by_its_exit_code(standin: StandIn, tmp_path: Path) -> None:
    usable = Ayne(tmp_path, pointing_at(standin)).call("doctor")
    assert usable.code == 0, usable.err
    assert len(usable.out.splitlines()) < 40
    wrong = Ayne(tmp_path, {"OMDB_API_KEY": "hunter22key"}).call("doctor", "--json")
    assert wrong.code == 1
    assert wrong.complaint == "ayne: 1 thing is wrong: TMDB key."
    assert wrong.json["usable"] is False
    assert {line["name"] for line in wrong.json["lines"]} == NAMES
    assert "hunter22" not in wrong.out + wrong.err


def test_a_setting_that_cannot_be_used_is_what_the_doctor_says(tmp_path: Path) -> None:
    said = Ayne(tmp_path, {"AYNE_OMDB_DAILY_QUOTA": "many"}).call("doctor", "--json")
    assert said.code == 1
    assert "AYNE_OMDB_DAILY_QUOTA" in said.json["lines"][0]["text"]


# What stops a collection though nothing else shows it


@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
@pytest.mark.parametrize("damage", ["garbage", "a table is missing", "a page in its middle"])
def test_damage_in_any_storage_of_dagster_is_wrong_and_told_with_its_reason(
    settings: Settings, name: str, damage: str
) -> None:
    with open_instance(settings):
        pass
    file = home_path(settings) / name
    if damage == "garbage":
        file.write_bytes(b"no database of anybody's. " * 500)
    elif damage == "a table is missing":
        tables = {"history/runs.db": ["runs"], "history/runs/index.db": ["asset_keys"]}
        with closing(sqlite3.connect(file)) as connection:
            for table in tables.get(name, ["instigators", "jobs"]):
                connection.execute(f"DROP TABLE {table}")
            connection.commit()
    else:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = bytearray(file.read_bytes())
        middle = len(whole) // 2 // 4096 * 4096
        whole[middle : middle + 4096] = b"\xa5" * 4096
        file.write_bytes(bytes(whole))
    line = look(settings, "Dagster home")
    assert line.state == WRONG
    assert "damaged" in line.text
    assert "Error" not in line.text
    assert "Move" in line.do
    if damage != "a page in its middle":
        with pytest.raises(HomeUnusable, match="damaged") as told:
            open_instance(settings)
        assert "Error" not in str(told.value)


def test_a_home_that_is_no_folder_is_called_that(settings: Settings, tmp_path: Path) -> None:
    for place in (Path("/dev/null"), tmp_path / "file"):
        if not place.exists():
            place.touch()
        odd = replace(settings, dagster_home=place)
        line = look(odd, "Dagster home")
        assert (line.state, line.text) == (WRONG, f"{place} is no folder")
        with pytest.raises(SettingsError, match="is no folder"):
            open_instance(odd)


def test_what_is_no_file_in_a_lease_s_place_is_wrong_and_refused_with_advice_that_fits(settings: Settings) -> None:
    path = lease_path(settings.database, "tmdb")
    settings.database.parent.mkdir(parents=True, exist_ok=True)
    for make in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/nowhere/at/all")):
        make()
        line = look(settings, "leases")
        assert (line.state, line.do) == (WRONG, "Move it away.")
        with pytest.raises(WrongDatabase, match="is no file") as told, lease(settings.database, "tmdb", print):
            pass
        assert "disk space" not in str(told.value)
        path.rmdir() if path.is_dir() else path.unlink()


def test_what_is_no_folder_in_the_spool_s_place_is_wrong_and_a_note_of_the_check(settings: Settings) -> None:
    with Database(settings.database).connect():
        pass
    assert not [line for line in examine(settings) if line.name == "spool"]
    spool_folder(settings.database).write_text("no folder")
    line = look(settings, "spool")
    assert line.state == WRONG
    assert "is no folder" in line.text
    (note,) = check_database(Database(settings.database), settings.now()).notes
    assert "is no folder" in note


@pytest.mark.parametrize("message", ["database or disk is full", "disk I/O error"])
def test_a_home_on_a_full_disk_is_told_as_that(tmp_path: Path, message: str) -> None:
    error = RuntimeError("postgresql://me:secret@host/")
    error.__cause__ = sqlite3.OperationalError(message)
    fault = fault_of(tmp_path, error)
    assert "the disk is full" in fault.what
    assert "secret" not in f"{fault}"
    assert "Free disk space" in fault.do


@pytest.mark.end_to_end
def test_where_files_may_not_grow_a_collection_says_so_and_names_no_class(tmp_path: Path) -> None:
    with StandIn(5, oddities=0) as standin:
        command = Ayne(tmp_path).asking(standin)
        limited = ["sh", "-c", 'ulimit -f 40; exec "$@"', "sh", sys.executable, "-m", "ayne_dagster", "tidy"]
        # Python would leave its compiled modules cut off at the limit, for every process that comes after.
        environment = command.environment | {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(limited, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "files may not grow so large" in done.stderr
    assert "Error" not in done.stderr


def test_sensors_that_wait_for_the_date_of_a_clock_that_was_ahead_are_wrong(settings: Settings) -> None:
    with open_instance(settings) as instance:
        beat(instance, -86_400)
        origin = LAUNCHED.repository_origin.get_instigator_origin("due_movies_sensor")
        data = SensorInstigatorData(last_tick_start_timestamp=time.time() + 86_400 * 365)
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data))
    line = look(settings, "ticks")
    assert (line.state, "due_movies_sensor (until " in line.text) == (WRONG, True)
    assert "ayne check --mend" in line.do
    assert look(settings, "daemon").state == WARNING, "a beat of the future is no sign of life"


def test_a_burst_that_no_days_quota_holds_is_a_warning(settings: Settings) -> None:
    large = replace(settings, omdb=replace(settings.omdb, daily_quota=5, burst=9))
    found = {line.name: line for line in examine(large)}
    line = found["OMDb burst"]
    assert line.state == WARNING
    assert "9 requests may go out at once, more than the quota of a day (5)" in line.text
    assert "AYNE_OMDB_BURST" in line.do
    assert "TMDB burst" not in found


def test_wikidata_is_asked_online_where_there_is_a_contact_and_nowhere_else(
    settings: Settings, standin: StandIn
) -> None:
    on = replace(settings, contact="me@example.org")
    assert look(on, "Wikidata online", online=True).state == OK
    standin.inject(Fault("robot_policy", status=403))
    refused = look(on, "Wikidata online", online=True)
    assert (refused.state, "AYNE_CONTACT" in refused.text) == (WRONG, True)
    assert not [line for line in examine(settings, online=True) if line.name == "Wikidata online"]


def test_an_age_table_that_leaves_its_requests_unspent_is_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database(settings.database).connect():
        pass
    wrong = Outlook("omdb", 1000, 8.0, 0.34, 0.02, 999)
    monkeypatch.setattr("ayne_dagster.doctor.misfits", lambda *_: [wrong])
    (line,) = [line for line in examine(settings) if line.name == "refresh strategy"]
    assert (line.state, line.text) == (WARNING, str(wrong))
    assert "AYNE_REFRESH_STRATEGY=value_of_refresh" in line.do
    chosen = replace(settings, refresh_strategy="value_of_refresh")
    assert not [line for line in examine(chosen) if line.name == "refresh strategy"]
