"""The event log keeps what Dagster's own keeps, in the same files, and says when Dagster changes what it needs."""

import errno
import inspect
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from ayne_dagster.runs import event_log
from ayne_dagster.runs.event_log import BATCH_VARIABLE, MOST_OPEN, SqliteEventLog

YEARS = dg.StaticPartitionsDefinition([str(year) for year in range(1990, 2000)])
OURS = "event_log_storage: {module: ayne_dagster.runs.event_log, class: SqliteEventLog}\n"


@dg.asset(partitions_def=YEARS, backfill_policy=dg.BackfillPolicy.single_run())
def counted(context: dg.AssetExecutionContext) -> None:
    for year in context.partition_keys:
        context.add_asset_metadata({"rows": int(year)}, partition_key=year)


@dg.asset(check_specs=[dg.AssetCheckSpec("plausible", asset="summed")], deps=[counted])
def summed():  # type: ignore[no-untyped-def]
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="plausible")])


@pytest.fixture(autouse=True)
def _no_batches_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BATCH_VARIABLE, "0")  # so that what a storage sets is taken back at the end
    monkeypatch.delenv(BATCH_VARIABLE)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return _home(tmp_path / "home", OURS)


def _home(folder: Path, configuration: str) -> Path:
    folder.mkdir()
    (folder / "dagster.yaml").write_text(configuration + "telemetry: {enabled: false}\n")
    return folder


def _run(instance: dg.DagsterInstance) -> str:
    result = dg.materialize(
        [counted],
        instance=instance,
        tags={"dagster/asset_partition_range_start": "1991", "dagster/asset_partition_range_end": "1998"},
    )
    dg.materialize([summed], instance=instance)
    return result.run_id


def _stored(home: Path, run_id: str) -> Iterator[list[tuple[object, ...]]]:
    """What the files hold, less instants and names of runs."""
    for name in (run_id, "index"):
        with sqlite3.connect(home / "history" / "runs" / f"{name}.db") as connection:
            yield connection.execute(
                "SELECT dagster_event_type, step_key, asset_key, partition FROM event_logs ORDER BY id"
            ).fetchall()
            yield connection.execute(
                "SELECT asset_key, last_run_id IS NULL, last_materialization IS NULL FROM asset_keys ORDER BY asset_key"
            ).fetchall()
            yield connection.execute(
                "SELECT asset_key, check_name, execution_status FROM asset_check_executions"
            ).fetchall()


def test_a_run_leaves_in_the_files_what_dagsters_own_storage_leaves(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert isinstance(instance.event_log_storage, SqliteEventLog)
        ours = list(_stored(home, _run(instance)))
    monkeypatch.delenv(BATCH_VARIABLE)
    plain = _home(tmp_path / "plain", "")
    with dg.DagsterInstance.from_config(str(plain)) as instance:
        theirs = list(_stored(plain, _run(instance)))
    assert ours == theirs
    assert len(ours[0]) > 10


def test_each_partition_has_its_materialization_and_its_metadata(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        _run(instance)
        key = dg.AssetKey("counted")
        assert instance.get_materialized_partitions(key) == {str(year) for year in range(1991, 1999)}
        records = instance.fetch_materializations(key, limit=100).records
        told = {r.partition_key: r.asset_materialization.metadata["rows"].value for r in records}  # type: ignore[union-attr]
        assert told == {str(year): year for year in range(1991, 1999)}
        latest = instance.get_latest_materialization_event(key)
        assert latest is not None
        assert latest.dagster_event is not None
        assert latest.dagster_event.partition == records[0].partition_key


def test_dagsters_own_storage_reads_what_ours_wrote_and_the_other_way_round(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = _run(instance)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert not isinstance(instance.event_log_storage, SqliteEventLog)
        events = len(instance.all_logs(run_id))
        _run(instance)
    (home / "dagster.yaml").write_text(OURS)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert len(instance.all_logs(run_id)) == events
        assert len(instance.fetch_materializations(dg.AssetKey("counted"), limit=100).records) == 16


def test_few_files_are_kept_open_however_many_runs_there_were(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        log = instance.event_log_storage
        assert isinstance(log, SqliteEventLog)
        runs = [dg.materialize([summed], instance=instance).run_id for _ in range(MOST_OPEN + 2)]
        assert len(log.open_files) <= MOST_OPEN + 1
        assert all(instance.all_logs(run_id) for run_id in runs)


def test_a_run_that_was_deleted_is_gone_and_its_file_may_be_removed_while_it_is_open(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = _run(instance)
        instance.delete_run(run_id)
        assert instance.all_logs(run_id) == []
        (home / "history" / "runs" / f"{run_id}.db").unlink()
        assert instance.all_logs(run_id) == []
        assert instance.all_logs(_run(instance))


def test_the_file_of_a_later_run_has_the_tables_of_the_first(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        first, second = (dg.materialize([summed], instance=instance).run_id for _ in range(2))
        tables = []
        for run_id in (first, second):
            with sqlite3.connect(home / "history" / "runs" / f"{run_id}.db") as connection:
                tables.append(connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall())
                tables.append(connection.execute("SELECT * FROM alembic_version").fetchall())
                assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
                assert connection.execute("PRAGMA page_size").fetchall() == [(event_log.RUN_PAGE_BYTES,)]
        assert tables[0] == tables[2]
        assert tables[1] == tables[3]
        assert len(instance.all_logs(second)) == len(instance.all_logs(first)) > 0
    assert {path.suffix for path in (home / "history" / "runs").iterdir()} <= {".db", ".db-wal", ".db-shm"}


def test_a_file_that_another_process_made_meanwhile_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    assert event_log._is_put(file, b"made by one")
    assert event_log._is_put(file, b"made by another")
    assert file.read_bytes() == b"made by one"


def test_the_file_of_a_small_run_takes_less_than_a_hundred_kilobytes(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = dg.materialize([summed], instance=instance).run_id
    assert (home / "history" / "runs" / f"{run_id}.db").stat().st_size < 100_000


def test_where_there_is_no_folder_for_what_passes_dagster_makes_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log.SqliteEventLog, "_empty_run", None)
    monkeypatch.setattr(tempfile, "tempdir", str(home / "nowhere"))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = dg.materialize([summed], instance=instance).run_id
        assert instance.all_logs(run_id)


def test_where_there_is_no_room_for_what_passes_dagster_makes_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(event_log.SqliteEventLog, "_empty_run", None)
    monkeypatch.setattr(event_log, "_have_small_pages", full)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = dg.materialize([summed], instance=instance).run_id
        assert instance.all_logs(run_id)


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSPC])
def test_where_no_copy_can_be_put_dagster_makes_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(error, "refused")

    with dg.DagsterInstance.from_config(str(home)) as instance:
        dg.materialize([summed], instance=instance)
        monkeypatch.setattr(Path, "hardlink_to", refused)
        run_id = dg.materialize([summed], instance=instance).run_id
        assert instance.all_logs(run_id)


def test_of_a_batch_with_events_of_other_kinds_all_are_stored(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = dg.materialize([summed], instance=instance).run_id
        events = [event for event in instance.all_logs(run_id) if "CHECK" not in str(event.dagster_event_type)]
        before = len(instance.all_logs(run_id))
        instance.event_log_storage.store_event_batch(events)
        assert len(instance.all_logs(run_id)) == before + len(events)


def test_what_is_taken_over_from_dagster_is_as_it_was() -> None:
    """A new Dagster that changes one of these may need another event log: look at `runs/event_log.py` then."""
    connect = inspect.getsource(SqliteEventLogStorage._connect)
    assert "self._db_lock" in connect
    assert "self._initdb(engine)" in connect
    assert "self._initialized_dbs" in connect
    store = inspect.getsource(SqliteEventLogStorage.store_event)
    for step in ("run_connection(run_id)", "index_transaction()", "_store_asset_event_tags", "_store_asset_event("):
        assert step in store, step
    assert list(inspect.signature(SqliteEventLogStorage.__init__).parameters) == ["self", "base_dir", "inst_data"]
    base = inspect.getsource(super(SqliteEventLogStorage, SqliteEventLogStorage).store_event_batch)
    assert "self.store_event(event)" in base, "Dagster stores batches by itself now"
