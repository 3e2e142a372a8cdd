"""Opening the file: one process at a time, closed in any case, and errors that say what to do."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from ayne_dagster.settings.places import WrongPlace
from ayne_dagster.warehouse import database as database_module
from ayne_dagster.warehouse.database import (
    Database,
    DatabaseBusy,
    DatabaseUnusable,
    WarehouseError,
    WrongDatabase,
    log_of,
)
from ayne_dagster.warehouse.schema import ALL_TABLES, SCHEMA_VERSION
from ayne_dagster.warehouse.views import VIEWS
from ayne_dagster_tests.support.samples import HOLD, end, line, opens_elsewhere, python


@pytest.fixture
def holder(database: Database) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the file."""
    process = python(HOLD, database.path)
    try:
        assert line(process) == "held"
        yield process
    finally:
        process.kill()
        process.communicate()


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
    return {name if schema == "main" else f"{schema}.{name}" for schema, name in found}


@pytest.mark.makes_tables
def test_a_new_file_gets_its_folder_and_all_tables(tmp_path: Path) -> None:
    database = Database(tmp_path / "deep" / "down" / "ayne.duckdb")
    with database.connect() as connection:
        assert {*ALL_TABLES, *(view.name for view in VIEWS)} <= tables(connection)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_neither_file_nor_folder_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    # A device has no bytes either: as root, /dev/null was replaced by a new database.
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(DatabaseUnusable, match="a device, pipe or socket"), Database(path).connect(read_only=read_only):
        pass
    assert path.is_fifo()
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


NEVER_WRITTEN_INTO_THE_FILE = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("INSERT INTO refresh_metadata BY NAME SELECT 1 AS tmdb_id")
os._exit(0)
"""


def with_a_log(path: Path) -> Path:
    """A database whose process was killed after a commit."""
    with Database(path).connect():
        pass
    assert end(python(NEVER_WRITTEN_INTO_THE_FILE, path)) == 0
    assert database_module.log_of(path).exists()
    return path


def test_the_log_of_a_database_that_was_removed_is_not_read_into_a_new_one(tmp_path: Path) -> None:
    path = with_a_log(tmp_path / "ayne.duckdb")
    path.unlink()
    with Database(path).connect() as connection:
        assert connection.execute("SELECT tmdb_id FROM refresh_metadata").fetchall() == []


def test_a_database_is_not_put_in_place_without_a_part_of_it(tmp_path: Path) -> None:
    made, place = with_a_log(tmp_path / "made.duckdb"), tmp_path / "ayne.duckdb"
    with pytest.raises(DatabaseUnusable, match="could not be closed"):
        Database(place).put_in_place(made)
    assert not place.exists()
    with Database(made).connect():
        pass  # reads its log into it
    assert Database(place).put_in_place(made)
    with Database(place).connect() as connection:
        assert connection.execute("SELECT tmdb_id FROM refresh_metadata").fetchall() == [(1,)]


def test_columns_are_as_the_schema_says(database: Database) -> None:
    with database.connect() as connection:
        for table in ALL_TABLES.values():
            found = connection.execute(f"DESCRIBE {table.name}").fetchall()
            assert [(row[0], row[1]) for row in found] == list(table.types.items())


def test_columns_of_views_are_as_the_schema_says(database: Database) -> None:
    with database.connect() as connection:
        for view in VIEWS:
            found = connection.execute(f"DESCRIBE {view.name}").fetchall()
            assert {row[0]: row[1] for row in found} == {column.name: column.type for column in view.columns}
            assert set(view.origins) == {column.name for column in view.columns}


def compares_each_row_with_each(plan: str) -> bool:
    """Whether a plan has a join that is none by hashes; long names are cut where its drawing is narrow."""
    drawn = plan.upper().replace(" ", "_")
    return "BLOCKWIS" in drawn or "NESTED_L" in drawn


def test_a_join_that_compares_each_row_with_each_is_known_by_its_plan() -> None:
    one = "range(9) AS a (i) LEFT JOIN range(9) AS b (i) ON a.i"
    plans = [duckdb.execute(f"EXPLAIN SELECT * FROM {one} {how} b.i").fetchall()[0][1] for how in ("=", "<>")]
    assert [compares_each_row_with_each(plan) for plan in plans] == [False, True]


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_no_view_compares_each_row_with_each(database: Database, view: str) -> None:
    # An outer join with a condition beside its equalities is such a one: a minute at 10,000 movies.
    with database.connect() as connection:
        ((_, plan),) = connection.execute(f"EXPLAIN SELECT * FROM {view}").fetchall()
    assert not compares_each_row_with_each(plan)


def test_the_dataset_as_of_an_instant_compares_no_row_with_each_either(database: Database) -> None:
    with database.connect() as connection:  # of empty tables another plan is made
        for table in ("refresh_metadata", "tmdb_details", "omdb_ratings"):
            connection.execute(f"INSERT INTO {table} (tmdb_id, imdb_id) SELECT i, 'tt' || i FROM range(3000) AS r (i)")
        connection.execute("UPDATE omdb_ratings SET match = 'another' WHERE tmdb_id < 50")
        since = ["first_seen_at", "tmdb_details_since", "omdb_ratings_since"]
        connection.execute(f"UPDATE refresh_metadata SET {', '.join(f'{c} = TIMESTAMP $$2020-01-01$$' for c in since)}")
        ((_, plan),) = connection.execute("EXPLAIN FROM movies_at(TIMESTAMP '2026-01-01')").fetchall()
    assert not compares_each_row_with_each(plan)


def test_opening_again_keeps_the_rows(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO refresh_metadata BY NAME SELECT 1 AS tmdb_id")
    with database.connect() as connection:
        assert connection.execute("SELECT tmdb_id FROM refresh_metadata").fetchall() == [(1,)]


def test_a_file_held_by_another_process_is_busy_and_the_error_names_it(
    database: Database, holder: subprocess.Popen[str]
) -> None:
    with (
        pytest.raises(DatabaseBusy, match=rf"in use by process {holder.pid} \(.*python.*\)") as caught,
        database.transaction(),
    ):
        pass
    assert str(database.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_held_by_another_process_is_busy_for_readers_too(
    database: Database, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(DatabaseBusy, match=str(holder.pid)), database.connect(read_only=True):
        pass


def test_the_wait_ends_when_the_other_process_does(
    database: Database, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def release(seconds: float) -> None:
        pauses.append(seconds)
        end(holder)

    monkeypatch.setattr(database_module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=release))
    with Database(database.path, wait_seconds=60).connect() as connection:
        assert "refresh_metadata" in tables(connection)
    assert len(pauses) == 1


def test_the_wait_is_bounded(
    database: Database, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def pass_time(seconds: float) -> None:
        clock[0] += seconds

    turned = SimpleNamespace(monotonic=lambda: clock[0], sleep=pass_time)
    monkeypatch.setattr(database_module, "time", turned)
    with pytest.raises(DatabaseBusy, match="within 3 s"), Database(database.path, wait_seconds=3).connect():
        pass
    assert 3 <= clock[0] <= 3.25


def test_a_file_open_in_this_process_in_another_mode_is_busy(database: Database) -> None:
    with database.connect():
        pass
    with database.connect(read_only=True), pytest.raises(DatabaseBusy, match="another connection"), database.connect():
        pass


def test_the_file_is_free_at_once_after_use(database: Database) -> None:
    with database.connect() as kept:
        assert not opens_elsewhere(database.path)
    assert opens_elsewhere(database.path)
    with pytest.raises(duckdb.Error, match="closed"):
        kept.execute("SELECT 1")


def test_a_second_connection_of_the_process_does_not_let_other_processes_in(database: Database) -> None:
    # The system drops a process's lock when it closes the file once, however it had opened it: never read it directly.
    with database.connect():
        with database.connect():
            pass
        assert not opens_elsewhere(database.path)


@pytest.mark.parametrize("read_only", [False, True])
def test_the_file_is_free_at_once_after_a_failure(database: Database, read_only: bool) -> None:
    with database.connect():
        pass
    kept: list[duckdb.DuckDBPyConnection] = []

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        kept.append(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.connect(read_only=read_only) as connection:
        fail(connection)
    assert kept
    assert opens_elsewhere(database.path)


OTHER_FILES = {
    "text": b"not a database\n" * 500,
    "short": b"x",
    "sqlite": b"SQLite format 3\x00" * 300,
    "parquet": b"PAR1" * 3000,
}


@pytest.mark.parametrize("kind", sorted(OTHER_FILES))
@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_no_duckdb_file_is_unusable_and_untouched(database: Database, kind: str, read_only: bool) -> None:
    database.path.write_bytes(OTHER_FILES[kind])
    with pytest.raises(DatabaseUnusable, match="is not a DuckDB database"), database.connect(read_only=read_only):
        pass
    assert database.path.read_bytes() == OTHER_FILES[kind]


def test_an_empty_file_is_accepted(database: Database) -> None:
    database.path.touch()
    with database.connect() as connection:
        assert "refresh_metadata" in tables(connection)


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.makes_tables
def test_a_new_database_is_whole_before_it_is_in_its_place(
    database: Database, empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # DuckDB creates a file of no bytes and fills it later: another process would take that for no database.
    connect = duckdb.connect
    opened: list[int] = []

    def watched(target: str, **options: Any) -> duckdb.DuckDBPyConnection:
        if Path(target.removeprefix("duckdb:")) == database.path:
            opened.append(database.path.stat().st_size if database.path.exists() else 0)
        return connect(target, **options)

    if empty:
        database.path.touch()
    monkeypatch.setattr(duckdb, "connect", watched)
    with database.connect():
        pass
    assert opened
    assert all(opened)
    assert [path.name for path in database.path.parent.iterdir()] == [database.path.name]


ADD = """
import sys
from pathlib import Path
from ayne_dagster.warehouse.database import Database
print("ready", flush=True)
sys.stdin.read()
with Database(Path(sys.argv[1])).transaction() as connection:
    connection.execute("INSERT INTO refresh_metadata BY NAME SELECT ? AS tmdb_id", [int(sys.argv[2])])
"""


def test_processes_that_make_the_database_at_once_all_keep_their_rows(database: Database) -> None:
    processes = [python(ADD, database.path, number) for number in range(3)]
    assert [line(process) for process in processes] == ["ready"] * 3
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0] * 3
    with database.connect() as connection:
        assert connection.execute("SELECT tmdb_id FROM refresh_metadata ORDER BY 1").fetchall() == [(0,), (1,), (2,)]


@pytest.mark.parametrize("read_only", [False, True])
def test_work_that_does_not_fit_into_memory_goes_through_the_disk(database: Database, read_only: bool) -> None:
    with database.connect():
        pass
    with database.connect(read_only=read_only) as connection:
        connection.execute("SET memory_limit = '40MB'")
        large = "SELECT count(*) FROM (SELECT i, count(*) FROM range(3_000_000) AS r(i) GROUP BY i ORDER BY hash(i))"
        assert connection.execute(large).fetchall() == [(3_000_000,)]
    assert [path.name for path in database.path.parent.iterdir()] == [database.path.name]


def test_the_log_of_a_row_of_commits_is_written_into_the_file_before_it_is_long(database: Database) -> None:
    lengths = []
    for number in range(5):
        with replace(database, checkpoints=False).connect() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS texts (text VARCHAR)")
            connection.execute("INSERT INTO texts SELECT hash(range + $n)::VARCHAR FROM range(100000)", {"n": number})
        log = log_of(database.path)
        lengths.append(log.stat().st_size if log.exists() else 0)
    assert max(lengths) < 10_000_000
    assert lengths != sorted(lengths), f"written into the file at some time: {lengths}"


def test_a_missing_file_is_no_place_to_read_from(database: Database) -> None:
    with pytest.raises(DatabaseUnusable, match="ayne collect"), database.connect(read_only=True):
        pass
    assert not database.path.exists()


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(WrongPlace, match="is a folder"):
        Database(tmp_path)


@pytest.mark.parametrize("below", ["ayne.duckdb", "deep/ayne.duckdb"])
def test_a_path_below_a_file_is_unusable_and_the_error_names_the_setting(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnusable, match="AYNE_DATABASE"), Database(tmp_path / "file" / below).connect():
        pass


def set_version(database: Database, version: int) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE warehouse_schema SET version = ?", [version])


def test_a_newer_schema_is_refused(database: Database) -> None:
    set_version(database, SCHEMA_VERSION + 1)
    with pytest.raises(DatabaseUnusable, match=f"version {SCHEMA_VERSION + 1}.*install the newer"), database.connect():
        pass
    assert opens_elsewhere(database.path)


def test_an_older_schema_is_brought_up_to_date(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("DROP TABLE freshness")
    set_version(database, SCHEMA_VERSION - 1)
    with database.connect() as connection:
        assert "freshness" in tables(connection)
        assert connection.execute("SELECT version FROM warehouse_schema").fetchall() == [(SCHEMA_VERSION,)]


def test_a_schema_cut_off_halfway_is_completed(database: Database) -> None:
    with duckdb.connect(str(database.path)) as connection:
        connection.execute("CREATE TABLE warehouse_schema (version INTEGER)")
    with database.connect() as connection:
        assert "refresh_metadata" in tables(connection)


def test_all_errors_of_the_warehouse_have_one_base() -> None:
    assert issubclass(DatabaseBusy, WarehouseError)
    assert issubclass(DatabaseUnusable, WarehouseError)


def test_where_there_is_none_the_demonstrations_is_named_if_that_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "my films"
    folder.mkdir()
    database = Database(folder / "ayne.duckdb")
    for has_demonstration in (False, True):
        with pytest.raises(WrongDatabase, match="There is no database at") as told, database.connect(read_only=True):
            pass
        to_be_typed = f"AYNE_DATABASE='{folder / 'demo.duckdb'}'"
        assert (to_be_typed in str(told.value)) == has_demonstration
        (folder / "demo.duckdb").touch()
