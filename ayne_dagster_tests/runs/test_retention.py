"""How long runs are kept: on real instances, with what Dagster's pages show of assets afterwards."""

import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.runs.own_runs import own_run
from ayne_dagster.runs.retention import CLOCK_TAG, Instants, pack, remove_abandoned_files, remove_old_runs

YEARS = dg.StaticPartitionsDefinition(["2001", "2002", "2003"])
MONTH = timedelta(days=30)
DAY = timedelta(days=1)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.asset(
    partitions_def=YEARS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("sound", asset="rows")],
)
def rows(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.info(f"{len(context.partition_keys)} years")
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="sound", passed=True)])


@dg.asset(deps=[rows])
def table() -> None:
    """An asset without partitions."""


REFRESH = dg.Definitions([rows, table], jobs=[dg.define_asset_job("refresh", executor_def=dg.in_process_executor)])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in a home of ours, with its files."""
    with open_instance(Settings(database=tmp_path / "ayne.duckdb")) as instance:
        yield instance


def run(instance: dg.DagsterInstance, first: str, last: str, at: datetime | None = None) -> str:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    tags |= {CLOCK_TAG: at.isoformat()} if at else {}
    job = REFRESH.resolve_job_def("refresh")
    return job.execute_in_process(instance=instance, tags=tags, run_config=QUIET).run_id


def after(days: float) -> Instants:
    """So many days from now, by both clocks."""
    at = datetime.now(UTC) + days * DAY
    return Instants(at, at)


def kept(instance: dg.DagsterInstance) -> set[str]:
    return {record.dagster_run.run_id for record in instance.get_run_records()}


def partitions(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey("rows")))


def count(instance: dg.DagsterInstance, table: str, where: str = "TRUE") -> int:
    with sqlite3.connect(Path(instance.root_directory) / "history" / "runs" / "index.db") as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])


def files_of(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    return [path for path in Path(instance.root_directory).rglob("*") if run_id in path.name]


def test_old_runs_go_with_everything_that_they_left_and_the_latest_state_of_each_year_stays(
    home: dg.DagsterInstance,
) -> None:
    everything, middle, again = run(home, "2001", "2003"), run(home, "2002", "2003"), run(home, "2002", "2003")
    assert remove_old_runs(home, MONTH, after(29)) == 0
    assert remove_old_runs(home, MONTH, after(31)) == 1
    assert kept(home) == {everything, again}, "the latest of 2001 is in the first"
    assert files_of(home, middle) == []
    for table_name in ("event_logs", "asset_check_executions"):
        assert count(home, table_name, f"run_id = '{middle}'") == 0
    assert partitions(home) == {"2001", "2002", "2003"}
    for key in ("rows", "table"):
        assert home.get_latest_materialization_event(dg.AssetKey(key)) is not None
    check = dg.AssetCheckKey(dg.AssetKey("rows"), "sound")
    latest = home.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    assert latest is not None
    assert latest.run_id == again


def test_what_is_kept_for_its_latest_state_is_bounded_whatever_time_passes(home: dg.DagsterInstance) -> None:
    for _ in range(3):
        for year in ("2001", "2002", "2003"):
            run(home, year, year)
    assert remove_old_runs(home, MONTH, after(400)) == 6
    assert len(kept(home)) == 3, "one a year"
    assert remove_old_runs(home, MONTH, after(4000)) == 0


def test_a_run_that_has_not_ended_is_never_removed(home: dg.DagsterInstance) -> None:
    run(home, "2001", "2003")
    job = REFRESH.resolve_job_def("refresh")
    started = home.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id
    run(home, "2001", "2003")
    assert remove_old_runs(home, MONTH, after(400)) == 1
    assert started in kept(home)


def test_under_a_turned_clock_a_run_is_as_old_as_that_clock_says(home: dg.DagsterInstance) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    old, _ = run(home, "2001", "2003", start), run(home, "2001", "2003", start + 40 * DAY)
    calendar = datetime.now(UTC)
    assert remove_old_runs(home, MONTH, Instants(start + 29 * DAY, calendar)) == 0
    assert remove_old_runs(home, MONTH, Instants(start + 41 * DAY, calendar)) == 1
    assert old not in kept(home)


def test_runs_of_the_calendar_do_not_age_with_a_clock_that_is_turned() -> None:
    assert Instants(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)).clock_tag() == {}
    turned = Instants(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    assert turned.clock_tag() == {CLOCK_TAG: "2026-03-01T00:00:00+00:00"}


def test_a_run_whose_removal_was_interrupted_is_removed_by_the_next(
    home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(home, "2001", "2003")
    run(home, "2001", "2003")
    with monkeypatch.context() as patch:
        patch.setattr("ayne_dagster.runs.retention._remove_log", interrupt)
        with pytest.raises(KeyboardInterrupt):
            remove_old_runs(home, MONTH, after(31))
    assert files_of(home, first), "its run is gone, its log is not"
    old = datetime.now(UTC) + 2 * DAY
    assert remove_abandoned_files(home, MONTH, old) == 1
    assert files_of(home, first) == []


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_files_of_no_run_go_and_those_of_runs_and_held_locks_stay(home: dg.DagsterInstance) -> None:
    here = Path(home.root_directory)
    known = run(home, "2001", "2003")
    lost = "0b0e4b16-0000-4000-8000-000000000000"
    for name in (f"history/runs/{lost}.db", f"storage/{lost}/compute_logs/x.out", "own_runs/" + "0" * 32):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("left")
    with own_run(home) as tags:
        held = next(iter(tags.values())).partition("/")[2]
        assert remove_abandoned_files(home, MONTH, datetime.now(UTC)) == 0, "too young to be sure"
        assert remove_abandoned_files(home, MONTH, datetime.now(UTC) + 2 * DAY) == 2
        assert (here / "own_runs" / held).exists()
        assert (here / "own_runs" / "home").exists()
    assert files_of(home, lost) == []
    assert files_of(home, known)


def test_empty_logs_of_ticks_go_after_two_days_and_those_that_say_something_with_the_runs(
    home: dg.DagsterInstance,
) -> None:
    folder = Path(home.root_directory) / "storage" / "ayne_dagster" / "due_movies_sensor"
    folder.mkdir(parents=True)
    for name, text, days in (("1.err", "", 1), ("2.err", "", 3), ("3.err", "said", 3), ("4.err", "said", 31)):
        (folder / name).write_text(text)
        at = (datetime.now(UTC) - days * DAY).timestamp()
        os.utime(folder / name, (at, at))
    assert remove_abandoned_files(home, MONTH, datetime.now(UTC)) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["1.err", "3.err"]


def test_the_space_of_much_that_was_removed_is_given_back(
    home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ayne_dagster.runs.retention.WORTH_PACKING", 4)
    for _ in range(8):
        run(home, "2001", "2003")
    assert remove_old_runs(home, MONTH, after(31)) == 7
    assert pack(home) > 0
    assert partitions(home) == {"2001", "2002", "2003"}


def test_on_an_instance_without_files_runs_are_removed_all_the_same() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, "2001", "2003")
        run(instance, "2001", "2003")
        assert remove_old_runs(instance, MONTH, after(31)) == 1
        assert remove_abandoned_files(instance, MONTH, datetime.now(UTC) + 2 * DAY) == 0
