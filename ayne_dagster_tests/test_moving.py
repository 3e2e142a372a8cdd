"""`ayne move`, `ayne maintain`: a store is copied whole, compared, gone on with; what is there is not written over."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from ayne_dagster.warehouse.care import moving
from ayne_dagster.warehouse.care.moving import NotMoved, TableSum, copy_store
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import OMDB_RATINGS, TMDB_DETAILS
from ayne_dagster.warehouse.spool import Origin, keep
from ayne_dagster.warehouse.store import Store
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.samples import details, everything, ratings


@pytest.fixture
def command(tmp_path: Path) -> Ayne:
    """A database with some movies."""
    made = Ayne(tmp_path)
    with Database(made.database).transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", [details(i) for i in range(1, 9)], "run")
        merge_answers(connection, OMDB_RATINGS, "omdb", [ratings(i) for i in range(1, 5)], "run")
    return made


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.connect(read_only=True) as connection:
        return everything(connection)


def test_a_store_is_copied_whole_and_left_as_it_is(command: Ayne, tmp_path: Path) -> None:
    before = contents(Database(command.database))
    told = command.call("move", str(command.database), "other.duckdb", "--json").json
    assert told["rows"]["tmdb_details"] == 8
    assert told["target"] == str(tmp_path / "other.duckdb")
    assert contents(Database(tmp_path / "other.duckdb")) == before == contents(Database(command.database))


def test_a_copy_that_was_interrupted_goes_on_with_what_is_missing(
    command: Ayne, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = Database(command.database), Database(tmp_path / "other.duckdb")

    def stop(text: str) -> None:
        if text.startswith("tmdb_details"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(source, target, stop)
    told: list[str] = []
    copy_store(source, target, told.append)
    assert not any(line.startswith("tmdb_details") for line in told)
    assert contents(target) == contents(source)


def test_a_store_that_holds_other_movies_is_not_written_over(command: Ayne, tmp_path: Path) -> None:
    other = Database(tmp_path / "other.duckdb")
    with other.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", [details(99)], "run")
    before = contents(other)
    refused = command.call("move", str(command.database), str(other.path))
    assert refused.code == 2
    assert "holds 1 movies that are not those of" in refused.complaint
    assert contents(other) == before


def test_a_store_is_not_moved_into_itself_nor_without_what_waits_in_its_spool(command: Ayne, tmp_path: Path) -> None:
    itself = command.call("move", str(command.database), f"./{command.database.name}")
    assert (itself.code, "is both" in itself.complaint) == (2, True)
    keep(command.database, Origin("tmdb", "tmdb_details", "run"), [details(20)])
    waiting = command.call("move", str(command.database), "other.duckdb")
    assert (waiting.code, "1 answers wait in the spool" in waiting.err) == (2, True)
    nothing = command.call("move", "none.duckdb", "other.duckdb")
    assert (nothing.code, "There is no database" in nothing.complaint) == (2, True)
    assert not (tmp_path / "other.duckdb").exists()


def test_a_table_that_arrives_otherwise_is_told_and_not_kept(
    command: Ayne, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, found = Database(tmp_path / "other.duckdb"), moving.table_sum

    def off_by_one(connection: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...]) -> TableSum:
        told = found(connection, table, columns)
        return TableSum(told.rows + 1, told.checksum) if calls.append(table) or calls.count(table) == 3 else told

    calls: list[str] = []
    monkeypatch.setattr(moving, "table_sum", off_by_one)
    with pytest.raises(NotMoved, match="nothing of it was stored"):
        copy_store(Database(command.database), target, lambda _: None)
    with target.connect(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM tmdb_details").fetchall() == [(0,)]


def test_maintaining_a_file_writes_its_log_into_it(command: Ayne) -> None:
    with Database(command.database, checkpoints=False).transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", [details(30)], "run")
    log = command.database.with_name(f"{command.database.name}.wal")
    assert log.exists()
    assert command.call("maintain", "--json").json["steps"] == {"checkpoint": 1}
    assert not log.exists()
