"""Snapshots: consistent, whole or absent, complete with keys and views, and a place to go on from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.warehouse.care import snapshot as snapshot_module
from ayne_dagster.warehouse.care.snapshot import SnapshotError, publish_snapshot
from ayne_dagster.warehouse.database import Database, DatabaseBusy, DatabaseUnusable
from ayne_dagster.warehouse.migrations import existing_columns
from ayne_dagster_tests.support.samples import (
    HOLD,
    details,
    everything,
    line,
    listed,
    merge_details,
    merge_listed,
    python,
    ratings,
)
from ayne_dagster_tests.support.samples import merge_ratings as merge_ratings_into


@pytest.fixture
def filled(database: Database) -> Database:
    with database.connect() as connection:
        merge_listed(connection, *(listed(number) for number in range(1, 40)))
        merge_details(connection, *(details(number) for number in range(1, 30)))
        merge_ratings_into(connection, *(ratings(number) for number in range(1, 20)))
    return database


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def constraints(path: Path) -> set[tuple[str, str]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return set(connection.execute("SELECT table_name, constraint_text FROM duckdb_constraints()").fetchall())


def test_a_snapshot_has_every_row_column_key_and_view(filled: Database, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "snapshot.duckdb"
    assert publish_snapshot(filled, target) == target.stat().st_size
    with filled.connect(read_only=True) as live:
        rows, columns = everything(live), existing_columns(live)
        movies = live.execute("FROM movies ORDER BY ALL").fetchall()
    with duckdb.connect(str(target), read_only=True) as copy:
        assert everything(copy) == rows
        assert existing_columns(copy) == columns
        assert copy.execute("FROM movies ORDER BY ALL").fetchall() == movies
    assert constraints(target) == constraints(filled.path)
    assert ("refresh_metadata", "PRIMARY KEY(tmdb_id)") in constraints(target)


def test_a_snapshot_enforces_its_keys(filled: Database, tmp_path: Path) -> None:
    publish_snapshot(filled, tmp_path / "snapshot.duckdb")
    with Database(tmp_path / "snapshot.duckdb").connect() as copy, pytest.raises(duckdb.ConstraintException):
        copy.execute("INSERT INTO refresh_metadata BY NAME SELECT 1 AS tmdb_id")


def test_a_snapshot_can_be_read_by_older_duckdb(filled: Database, tmp_path: Path) -> None:
    publish_snapshot(filled, tmp_path / "snapshot.duckdb")
    with duckdb.connect(str(tmp_path / "snapshot.duckdb"), read_only=True) as copy:
        tags = copy.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert tags[0][0].startswith("v1.5.0")


COMMIT_AND_DIE = """
import os, sys
from pathlib import Path
from ayne_dagster.warehouse.database import Database
with Database(Path(sys.argv[1])).connect() as connection:
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    connection.execute("INSERT INTO refresh_metadata BY NAME SELECT 4711 AS tmdb_id")
    os._exit(0)
"""


def test_what_was_committed_last_is_in_the_snapshot_though_not_in_the_file(filled: Database, tmp_path: Path) -> None:
    assert python(COMMIT_AND_DIE, filled.path).wait(60) == 0
    assert filled.path.with_name("ayne.duckdb.wal").stat().st_size
    publish_snapshot(filled, tmp_path / "snapshot.duckdb")
    with duckdb.connect(str(tmp_path / "snapshot.duckdb"), read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM refresh_metadata WHERE tmdb_id = 4711").fetchall() == [(1,)]
    assert not (tmp_path / "snapshot.duckdb.wal").exists()


def test_a_snapshot_replaces_the_former_one_and_its_readers_go_on(filled: Database, tmp_path: Path) -> None:
    target = tmp_path / "snapshot.duckdb"
    publish_snapshot(filled, target)
    with subprocess.Popen(
        [sys.executable, "-c", READ_ON, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert line(reader) == "39"
        with filled.connect() as connection:
            merge_listed(connection, listed(999))
        publish_snapshot(filled, target)
        assert reader.communicate("go on\n", timeout=60)[0].split() == ["39"]
    with duckdb.connect(str(target), read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM movies").fetchall() == [(40,)]
    assert names(tmp_path) == {"ayne.duckdb", "snapshot.duckdb"}


READ_ON = """
import duckdb, sys
kept = duckdb.connect(sys.argv[1], read_only=True)
print(kept.execute("SELECT count(*) FROM movies").fetchall()[0][0], flush=True)
sys.stdin.readline()
print(kept.execute("SELECT count(*) FROM movies WHERE title IS NOT NULL").fetchall()[0][0], flush=True)
"""


def test_a_copy_that_fails_leaves_the_former_snapshot_and_nothing_half_written(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "snapshot.duckdb"
    publish_snapshot(filled, target)
    before = target.read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot_module, "_sync", full)
    with pytest.raises(SnapshotError, match="No space left"):
        publish_snapshot(filled, target)
    assert target.read_bytes() == before
    assert names(tmp_path) == {"ayne.duckdb", "snapshot.duckdb"}


LIMITED = """
import resource, signal, sys
from pathlib import Path
from ayne_dagster.warehouse.database import Database, WarehouseError
from ayne_dagster.warehouse.care.snapshot import publish_snapshot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    publish_snapshot(Database(Path(sys.argv[1])), Path(sys.argv[2]))
except WarehouseError as error:
    print(error, flush=True)
"""


def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(filled: Database, tmp_path: Path) -> None:
    said = line(python(LIMITED, filled.path, tmp_path / "snapshot.duckdb"))
    assert "could not be written" in said
    assert "the database is untouched" in said
    assert names(tmp_path) == {"ayne.duckdb"}


KILLED = """
import os, signal, sys
from pathlib import Path
from ayne_dagster.warehouse.care import snapshot
from ayne_dagster.warehouse.database import Database
snapshot._sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
snapshot.publish_snapshot(Database(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_what_a_killed_snapshot_left_is_removed_by_the_next(filled: Database, tmp_path: Path) -> None:
    target = tmp_path / "snapshot.duckdb"
    assert python(KILLED, filled.path, target).wait(60) == -signal.SIGKILL
    assert not target.exists()
    publish_snapshot(filled, target)
    assert names(tmp_path) == {"ayne.duckdb", "snapshot.duckdb"}


def test_a_database_in_use_is_waited_for_and_then_named(filled: Database, tmp_path: Path) -> None:
    holder = python(HOLD, filled.path)
    try:
        assert line(holder) == "held"
        with pytest.raises(DatabaseBusy, match=f"process {holder.pid}"):
            publish_snapshot(filled, tmp_path / "snapshot.duckdb")
    finally:
        holder.kill()
        holder.communicate()
    assert names(tmp_path) == {"ayne.duckdb"}


@pytest.mark.parametrize("same", ["ayne.duckdb", "link.duckdb", "hard.duckdb"])
def test_a_snapshot_never_takes_the_place_of_the_database(filled: Database, tmp_path: Path, same: str) -> None:
    (tmp_path / "link.duckdb").symlink_to(filled.path)
    os.link(filled.path, tmp_path / "hard.duckdb")
    before = filled.path.read_bytes()
    with pytest.raises(SnapshotError, match="the database itself"):
        publish_snapshot(filled, tmp_path / same)
    assert filled.path.read_bytes() == before


def test_a_snapshot_takes_no_other_file_s_place(filled: Database, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("two years of work")
    with pytest.raises(SnapshotError, match="left alone"):
        publish_snapshot(filled, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "two years of work"
    with pytest.raises(SnapshotError, match="is a folder"):
        publish_snapshot(filled, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SnapshotError, match="a device, pipe or socket"):
        publish_snapshot(filled, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(SnapshotError, match="cannot be written"):
        publish_snapshot(filled, tmp_path / "thesis.txt" / "snapshot.duckdb")


def test_a_database_that_somebody_writes_to_is_not_replaced(filled: Database, tmp_path: Path) -> None:
    # A log that outlives its file would be replayed into the one that takes its place.
    publish_snapshot(filled, tmp_path / "other.duckdb")
    assert python(COMMIT_AND_DIE, tmp_path / "other.duckdb").wait(60) == 0
    with pytest.raises(SnapshotError, match=r"other\.duckdb\.wal is beside it"):
        publish_snapshot(filled, tmp_path / "other.duckdb")


def test_nothing_to_copy_is_told(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="There is no database"):
        publish_snapshot(database, tmp_path / "snapshot.duckdb")
    assert names(tmp_path) == set()
