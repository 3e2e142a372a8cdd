"""Runs are told alike wherever Dagster keeps them: in the files of a home, or in a storage that is asked through it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import StepFailureData, UserFailureData

from ayne_dagster.config import Settings
from ayne_dagster.dashboard import app as dashboard
from ayne_dagster.dashboard.app import written
from ayne_dagster.dashboard.running import RunRecords, RunsInFiles, records_of
from ayne_dagster.runs.in_storage import RunsInStorage
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.runs.own_runs import mark_launched_run, own_run
from ayne_dagster.runs.recorded import Run, RunsUnknown
from ayne_dagster.settings.tags import LAUNCHED_RUN_TAG, OWN_RUN_TAG, PARENT_RUN_TAG, REASONS_TAG
from ayne_dagster_tests.dashboard.collections import ask, collected, served
from ayne_dagster_tests.support.command_lines import ROOT
from ayne_dagster_tests.support.postgres import PASSWORD, Postgres, running_postgres

NEVER_LATE = 100.0
"""Seconds: a busy machine is slow, and what is late is the subject of another module."""
AT = datetime.fromtimestamp(1795830028.5, UTC)
STATUS = dg.DagsterRunStatus


@dataclass(frozen=True)
class Home:
    """A home with the instance that records in it, and whom pages ask."""

    instance: dg.DagsterInstance
    records: RunRecords


@pytest.fixture(params=["files", "storage", pytest.param("postgres", marks=pytest.mark.on_lake)])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that has no runs yet."""
    settings = Settings(database=tmp_path / "films.duckdb", dagster_home=tmp_path / "home")
    if request.param == "postgres":
        keep_in_postgres(tmp_path / "home", request.getfixturevalue("postgres"), monkeypatch)
    with open_instance(settings) as instance, ExitStack() as closing:
        path = Path(instance.root_directory)
        records: RunRecords = RunsInFiles(path) if request.param == "files" else RunsInStorage(path, NEVER_LATE)
        closing.callback(records.close)
        yield Home(instance, records)


def keep_in_postgres(home: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a new home keep its runs as docs/how-to/fleet.md says."""
    pytest.importorskip("dagster_postgres")
    home.mkdir()
    shutil.copyfile(ROOT / "deploy/fleet/dagster.yaml", home / "dagster.yaml")
    for name, value in postgres.of_dagster().items():
        monkeypatch.setenv(name, value)


@dg.op
def breaks() -> None:
    """Fails for a reason below the one that is raised."""
    try:
        raise LookupError("the shelf is empty")
    except LookupError as error:
        raise RuntimeError("nothing was fetched") from error


@dg.op
def explains() -> None:
    """Fails with a description for people."""
    raise dg.Failure("The quota has ended.")


@dg.job
def refresh_movies() -> None:
    breaks()


@dg.job
def discover_movies() -> None:
    explains()


def recorded(home: Home, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None) -> str:
    return home.instance.create_run_for_job(refresh_movies, status=status, tags=tags).run_id


def happened(home: Home, run_id: str, event: dg.DagsterEvent) -> None:
    home.instance.handle_new_event(dg.EventLogEntry(None, "info", "", run_id, AT.timestamp(), dagster_event=event))


def told(runs: list[Run]) -> list[tuple[str, str, bool]]:
    return [(run.run_id, run.status, run.is_gone) for run in runs]


def test_where_no_run_was_none_is_told(home: Home) -> None:
    assert home.records.under_way() == home.records.latest(3) == home.records.failed(10) == []


def test_a_run_is_told_by_its_values_and_by_tags_of_ours_alone(home: Home) -> None:
    run_id = recorded(home, STATUS.NOT_STARTED, {REASONS_TAG: "tmdb: 4 index", "of/others": "theirs"})
    run = home.instance.get_run_by_id(run_id)
    assert run is not None
    for event in (dg.DagsterEventType.PIPELINE_START, dg.DagsterEventType.PIPELINE_SUCCESS):
        happened(home, run_id, dg.DagsterEvent(event.value, run.job_name))
    (record,) = home.instance.get_run_records()
    (latest,) = home.records.latest(3)
    tags = {REASONS_TAG: "tmdb: 4 index"}
    assert latest == Run(run_id, "refresh_movies", "SUCCESS", record.create_timestamp, AT, AT, tags)
    assert latest.planned == {"tmdb": 4}
    assert home.records.under_way() == []
    assert home.records.is_recorded()


def test_what_is_under_way_is_told_the_oldest_first_and_the_latest_the_newest_first(home: Home) -> None:
    first = recorded(home, STATUS.STARTING)
    over = recorded(home, STATUS.CANCELED)
    last = recorded(home, STATUS.CANCELING)
    assert [run.run_id for run in home.records.under_way()] == [first, last]
    assert [run.run_id for run in home.records.latest(2)] == [last, over]


def test_a_run_is_gone_where_its_lock_was_let_go_of_here_and_of_others_nothing_is_known(home: Home) -> None:
    with own_run(home.instance) as lives, own_run(home.instance) as killed:
        alive = recorded(home, STATUS.STARTED, lives)
        gone = recorded(home, STATUS.STARTED, killed)
        again = recorded(home, STATUS.STARTED, killed | {PARENT_RUN_TAG: gone})
        lock = Path(home.instance.root_directory) / "own_runs" / killed[OWN_RUN_TAG].partition("/")[2]
        lock.rename(lock.with_name("elsewhere"))  # as if nobody held it
        launched = recorded(home, STATUS.STARTED, killed)
        mark_launched_run(home.instance, launched)
        elsewhere = recorded(home, STATUS.STARTED, {LAUNCHED_RUN_TAG: f"shared/{'0' * 32}"})
        other = f"{'0' * 32}/{killed[OWN_RUN_TAG].partition('/')[2]}"  # the home of another machine
        theirs = recorded(home, STATUS.STARTED, {OWN_RUN_TAG: other})
        ended = recorded(home, STATUS.SUCCESS, killed)
        assert told(home.records.latest(10)) == [
            (ended, "SUCCESS", False),
            (theirs, "STARTED", False),
            (elsewhere, "STARTED", False),
            (launched, "STARTED", False),
            (again, "STARTED", True),
            (gone, "STARTED", True),
            (alive, "STARTED", False),
        ]
        lock.with_name("elsewhere").rename(lock)


def test_the_latest_that_failed_are_told_with_what_lies_at_the_bottom_of_it(home: Home) -> None:
    for job in (refresh_movies, discover_movies):
        assert not job.execute_in_process(instance=home.instance, raise_on_error=False).success
    silent = recorded(home, STATUS.FAILURE)
    ((run, why), *others) = home.records.failed(10)
    assert (run.run_id, why) == (silent, None)
    assert [(run.title, why) for run, why in others] == [
        ("Discovering movies", "The quota has ended."),
        ("Refreshing movies", "the shelf is empty"),
    ]


def test_of_a_run_that_was_closed_before_its_step_failed_the_step_s_reason_is_told(home: Home) -> None:
    for fails_later in (False, True):
        run = home.instance.get_run_by_id(recorded(home, STATUS.STARTED))
        assert run is not None
        home.instance.report_run_failed(run, "Its process is gone.")
        if fails_later:
            data = StepFailureData(None, UserFailureData("refused", "The key was refused.", {}))
            event = dg.DagsterEvent("STEP_FAILURE", run.job_name, step_key="breaks", event_specific_data=data)
            happened(home, run.run_id, event)
    assert [why for _, why in home.records.failed(10)] == ["The key was refused.", "Its process is gone."]


def test_the_stamp_changes_when_a_run_begins_and_when_it_goes_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ayne_dagster.runs.in_storage.KEPT_SECONDS", 0.0)
    stamps = [home.records.stamp()]
    run_id = recorded(home, STATUS.STARTED)
    stamps.append(home.records.stamp())
    run = home.instance.get_run_by_id(run_id)
    assert run is not None
    home.instance.report_run_canceling(run)
    stamps.append(home.records.stamp())
    assert len(set(stamps)) == 3
    assert home.records.stamp() == stamps[-1]


@pytest.mark.parametrize(
    ("configuration", "are_in_files"),
    [
        (None, True),
        ("telemetry: {enabled: false}\n# storage: of no kind\nconcurrency:\n  storage: 1\n", True),
        ((ROOT / "ayne_dagster/dagster.yaml").read_text(), True),
        ((ROOT / "deploy/fleet/dagster.yaml").read_text(), False),
        ("run_storage:\n  module: dagster_postgres.run_storage\n", False),
    ],
)
def test_a_home_s_configuration_says_whether_its_runs_are_in_files(
    tmp_path: Path, configuration: str | None, are_in_files: bool
) -> None:
    if configuration is not None:
        (tmp_path / "dagster.yaml").write_text(configuration)
    records = records_of(Settings(database=tmp_path / "films.duckdb", dagster_home=tmp_path), NEVER_LATE)
    assert isinstance(records, RunsInFiles) is are_in_files


@pytest.mark.on_lake
def test_tables_of_another_version_are_told_as_that(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_in_postgres(tmp_path / "home", postgres, monkeypatch)
    records = RunsInStorage(tmp_path / "home", NEVER_LATE)
    assert records.latest(3) == []
    postgres.ask("ALTER TABLE runs DROP COLUMN update_timestamp", os.environ["DAGSTER_POSTGRES_DB"])
    with pytest.raises(RunsUnknown, match="are of another version of Dagster"):
        records.latest(4)
    records.close()


@pytest.mark.on_lake
def test_the_pages_show_runs_that_are_kept_in_postgres_and_a_sentence_while_it_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = collected(tmp_path)
    for name in ("LONGEST_SECONDS", "PATIENT_SECONDS"):
        monkeypatch.setattr(dashboard, name, NEVER_LATE)
    with running_postgres("fsync=off") as postgres, ExitStack() as closing:
        keep_in_postgres(tmp_path / "home", postgres, monkeypatch)
        with open_instance(settings) as instance:
            refresh_movies.execute_in_process(instance=instance, raise_on_error=False)
            run = instance.create_run_for_job(
                refresh_movies, status=STATUS.STARTED, tags={REASONS_TAG: "tmdb: 4 age_table"}
            )
        app = closing.enter_context(served(settings))
        assert run.run_id[:8] in ask(app, "/part/now").text
        assert "the shelf is empty" in ask(app, "/health").text
        assert run.run_id[:8] in written(settings)
        assert "Nothing runs" in written(settings, leave_out=run.run_id)
        assert RunsInFiles(tmp_path / "home").latest(3) == [], "nothing of it is in a file"
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0.0)  # between its six attempts
    records = RunsInStorage(tmp_path / "home", NEVER_LATE)
    with pytest.raises(RunsUnknown, match="does not answer or refuses the sign-in") as raised:
        records.under_way()
    assert PASSWORD not in str(raised.value)
