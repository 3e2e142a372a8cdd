"""Housekeeping as a whole: by Dagster's job, by `ayne tidy`, and once a day by a collection."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from ayne_dagster.cli import ayne
from ayne_dagster.config import Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.runs.home import home_path, is_tidying_due
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.runs.retention import CLOCK_TAG
from ayne_dagster.runs.tidying import describe, removed_anything
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import ListedMovie
from ayne_dagster.warehouse.database import Database, DatabaseBusy
from ayne_dagster.warehouse.merge import merge_listing
from ayne_dagster_tests.conftest import START, later

pytestmark = pytest.mark.whole_runs

MakeSettings = Callable[..., Settings]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """One movie that is due, and what was noted long ago."""
    settings = make_settings()
    with Database(settings.database).transaction() as connection:
        merge_listing(connection, [ListedMovie(1, START, {"tmdb_id": 1, "release_date": date(1999, 5, 1)})], "earlier")
        connection.execute("INSERT INTO quarantine (source, quarantined_at, body) VALUES ('omdb', '2024-01-01', 'x')")
        connection.execute("INSERT INTO tmdb_changes (tmdb_id, day, seen_at) VALUES (1, '2024-01-01', '2024-01-02')")
    open_ledger(settings).count("omdb:x", date(2024, 1, 1), 3)
    return settings


def rows(settings: Settings, table: str) -> int:
    with Database(settings.database).connect(read_only=True) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def collect(settings: Settings, standin: StandIn, days: float) -> None:
    now = later(days)
    standin.set_now(now)
    turned = replace(settings, clock_offset=settings.clock_offset + timedelta(days=days))
    DataCollectionOrchestrator(settings=turned).collect(None)


def runs(settings: Settings) -> int:
    with open_instance(settings) as instance:
        return instance.get_runs_count()


def test_a_collection_tidies_up_once_a_day(settings: Settings, standin: StandIn) -> None:
    home, database = home_path(settings), Database(settings.database).path
    assert is_tidying_due(home, database, START)
    collect(settings, standin, 0)
    assert rows(settings, "quarantine") == rows(settings, "tmdb_changes") == 0
    assert open_ledger(settings).use("omdb:x", date(2024, 1, 1), 0).used == 0
    assert not is_tidying_due(home, database, later(0.9))
    assert is_tidying_due(home, database, later(1.1))
    assert is_tidying_due(home, database, later(-1)), "a clock that was put back"
    assert is_tidying_due(home, database.with_name("other"), START), "another database in the same home"


def test_collections_over_months_leave_as_many_runs_as_those_of_a_month(settings: Settings, standin: StandIn) -> None:
    weekly = replace(settings, run_retention=timedelta(days=7))
    for days in range(0, 40, 8):
        collect(weekly, standin, days)
    assert runs(weekly) <= 3, "the last, and those that hold a latest state"
    with open_instance(weekly) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("tmdb_details")) == set(PARTITION_KEYS), (
            "years without movies too"
        )
        assert all(CLOCK_TAG in record.dagster_run.tags for record in instance.get_run_records())


def test_housekeeping_that_fails_fails_no_collection(
    settings: Settings, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise DatabaseBusy("held by a notebook")

    monkeypatch.setattr("ayne_dagster.runs.tidying.thin", busy)
    collect(settings, standin, 0)
    assert rows(settings, "fetch_log") == 1
    assert runs(settings) == 1


def test_the_job_does_the_same_within_dagster(settings: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(settings).resolve_job_def("tidy_up")
    assert job.execute_in_process(instance=instance, run_config=QUIET).success
    assert rows(settings, "tmdb_changes") == 0
    schedule = build_defs(settings).get_repository_def().get_schedule_def("retention_schedule")
    assert schedule.job_name == "tidy_up"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_the_command_tells_what_went(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AYNE_DATABASE", str(settings.database))
    told = json.loads(CliRunner().invoke(ayne, ["tidy", "--json"]).output)
    assert told["rows"] == {"quarantine": 1, "tmdb_changes": 1}
    assert (told["runs"], told["ledger"]) == (0, 1)
    assert CliRunner().invoke(ayne, ["tidy"]).output == "Nothing is old enough to be removed.\n"


@pytest.mark.parametrize(
    ("went", "said"),
    [
        ({}, "Nothing is old enough to be removed."),
        ({"runs": 1}, "Tidied up: removed 1 old run."),
        ({"runs": 1200, "files": 1, "bytes": 2_300_000},
         "Tidied up: removed 1,200 old runs and 1 stray file; gave 2.3 MB back to the disk."),
        ({"rows": {"fetch_log": 3}, "ledger": 1},
         "Tidied up: summed up or dropped old rows (3 of fetch_log); dropped 1 old entry of the ledger."),
        ({"doubt": "It may be ahead", "runs": 0},
         "Nothing old was removed. It may be ahead. Look at the clock; if it is right, `ayne tidy --sure`."),
    ],
)  # fmt: skip
def test_what_went_is_said_in_a_sentence_and_where_nothing_did_collections_say_nothing(
    went: dict[str, Any], said: str
) -> None:
    told = {"runs": 0, "files": 0, "bytes": 0, "rows": {}, "ledger": 0, "doubt": None} | went
    assert describe(told) == said
    assert removed_anything(told) is bool(went)


def test_where_nothing_is_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AYNE_DATABASE", str(tmp_path / "none.duckdb"))
    assert CliRunner().invoke(ayne, ["tidy"]).exit_code == 0
    assert not (tmp_path / "none.duckdb").exists()
    assert not list(tmp_path.glob("*ledger*"))


def test_runs_are_kept_for_ever_where_that_is_set(settings: Settings, standin: StandIn) -> None:
    for_ever = replace(settings, run_retention=None)
    for days in (0, 400):
        collect(for_ever, standin, days)
    assert runs(for_ever) == 2


def test_a_collection_opens_dagsters_storage_once_for_its_runs_and_to_tidy_up(
    settings: Settings, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def counted(of: Settings) -> dg.DagsterInstance:
        opened.append(of)
        return open_instance(of)

    monkeypatch.setattr("ayne_dagster.runs.instance.open_instance", counted)
    plan = DiscoveryPlan(2020, 2020, max_pages=1, min_votes=0)
    result = DataCollectionOrchestrator(settings=settings).collect(plan, refresh_limit=3)
    assert (result.discovered > 0, result.tmdb_updated) == (True, 3)
    assert len(opened) == 1
