"""A lake holds what a file would, one committer at a time, whatever ends: a process, a session, the server.

What a lake's transactions do not check themselves, two inserts of one key say, its turns must not let happen.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.partitions import UNKNOWN_YEAR
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.settings.lake import LakePlace
from ayne_dagster.sources.limits.ledger_database import LedgerDatabase
from ayne_dagster.sources.limits.server_session import ServerSession
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.apart import merge_apart
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.care.moving import WrongTargetStore, copy_store
from ayne_dagster.warehouse.care.snapshot import publish_snapshot
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.lake_instance import Instance
from ayne_dagster.warehouse.lease import is_leased, lease
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.migrations import VERSION_TABLE, existing_columns, schema_version, steps_taken
from ayne_dagster.warehouse.query import Limits, WrongQuestion, ask
from ayne_dagster.warehouse.schema import OMDB_RATINGS, SCHEMA_VERSION, TMDB_DETAILS
from ayne_dagster.warehouse.store import (
    DatabaseBusy,
    DatabaseNotWritten,
    DatabaseOutOfReach,
    LeaseLost,
    Store,
    WrittenMeanwhile,
    WrongDatabase,
)
from ayne_dagster_tests.support.lake import Lake, forget
from ayne_dagster_tests.support.postgres import PASSWORD, Postgres
from ayne_dagster_tests.support.samples import DETAILS, START, details, everything, line, listed, python, ratings
from ayne_dagster_tests.support.schema_v1 import DDL, ROWS

pytestmark = [pytest.mark.on_lake, pytest.mark.timeout(600)]

MANY = 150
"""Answers of a batch that goes into files, not into the catalogue."""
DAY = timedelta(days=1)


def test_random_merges_leave_the_same_rows_in_a_lake_as_in_a_file(lake: Lake, tmp_path: Path) -> None:
    file = Database(tmp_path / "ayne.duckdb", checkpoints=False)
    chosen = random.Random(20240101)
    for step in range(10):
        source, answers = random_batch(chosen, START + step * DAY, MANY if step in (3, 7) else 6)
        for store in (file, lake.store):
            merge(store, source, answers)
        if step in (5, 8):
            lake.store.maintain(datetime.now(UTC) + 30 * DAY)  # as if all states were old, and all orphans
    assert contents(lake.store) == contents(file)
    assert check_database(lake.store, START + 30 * DAY).findings == []


def test_nothing_stands_in_a_lake_twice_when_two_write_the_same_new_movies_at_once(
    lake: Lake, other: LakeStore
) -> None:
    batches = [[details(i, START) for i in range(n, n + 40)] for n in (1, 21, 41)]

    def write(store: Store) -> None:
        for batch in batches:
            merge(store, "tmdb", batch)

    failures = together(lambda: write(lake.store), lambda: write(other))
    assert failures == []
    with lake.store.connect() as connection:
        ((rows, movies),) = connection.execute("SELECT count(*), count(DISTINCT tmdb_id) FROM tmdb_details").fetchall()
    assert (rows, movies) == (80, 80)


def test_a_turn_that_is_not_to_be_had_is_told_with_its_holder(lake: Lake, other: LakeStore) -> None:
    impatient = replace(other, wait_seconds=0.2)
    with (
        lake.store.transaction(),
        pytest.raises(DatabaseBusy, match=r"written to by process \d+ on .*nobody else's turn within 0 s"),
        impatient.transaction(),
    ):
        pass


def test_nothing_can_be_written_out_of_turn(lake: Lake) -> None:
    with lake.store.connect() as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DELETE FROM movie_history")


def test_what_a_session_held_is_not_committed_once_it_is_lost(lake: Lake, postgres: Postgres) -> None:
    with pytest.raises(LeaseLost, match="nothing of this commit is in it"):
        merge(lake.store, "tmdb", [details()], before_commit=lambda: end_sessions(postgres, lake))
    assert movies_in(lake.store) == 0
    merge(lake.store, "tmdb", [details()])
    assert movies_in(lake.store) == 1


def test_a_lease_that_was_lost_with_its_session_lets_nothing_be_committed_until_it_is_taken_anew(
    lake: Lake, postgres: Postgres
) -> None:
    with lease(lake.store, "tmdb", print):
        end_sessions(postgres, lake)
        with pytest.raises(LeaseLost):
            merge(lake.store, "tmdb", [details()])
    with lease(lake.store, "tmdb", print):
        merge(lake.store, "tmdb", [details()])
    assert movies_in(lake.store) == 1


def test_a_lease_is_one_for_all_machines_and_names_its_holder(lake: Lake, other: LakeStore) -> None:
    told: list[str] = []

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with lease(lake.store, "tmdb", print):
        assert is_leased(other, "tmdb")
        assert not is_leased(other, "omdb")
        with pytest.raises(KeyboardInterrupt), lease(other, "tmdb", told.append, sleep=stop):
            pass
        with lease(other, "omdb", told.append):
            pass
    assert "process" in told[0]
    assert "is collecting from tmdb" in told[0]
    assert len(told) == 1
    assert not is_leased(other, "tmdb")


def test_a_writer_that_is_killed_before_its_commit_leaves_no_row_no_turn_and_an_orphan_that_maintenance_removes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    writer = python(KILLED)
    assert line(writer) == "written"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    merge(lake.store, "tmdb", [details(1), details(2)])
    assert movies_in(lake.store) == 2
    left = set(files_of(lake))
    maintained = lake.store.maintain(datetime.now(UTC) + 2 * DAY)
    assert maintained.steps["orphans"] > 0
    assert left - set(files_of(lake))
    assert movies_in(lake.store) == 2


def test_a_reader_sees_one_moment_and_keeps_nobody_from_writing(lake: Lake, other: LakeStore) -> None:
    with lake.store.connect(read_only=True) as connection:
        query = "SELECT count(*) FROM tmdb_details"
        before = connection.execute(query).fetchall()
        merge(other, "tmdb", [details()])
        assert connection.execute(query).fetchall() == before
    assert movies_in(lake.store) == 1


def test_a_conflict_with_a_program_that_takes_no_turn_is_called_one(lake: Lake) -> None:
    merge(lake.store, "tmdb", [details(i) for i in range(1, MANY)])
    anew = [details(i, START + DAY, title="ours") for i in range(1, MANY)]
    theirs = Instance(lake.store.place, lake.store.path)
    theirs.attach_to_write()
    try:
        with theirs.cursor("lake") as connection, pytest.raises(WrittenMeanwhile, match="without waiting") as told:
            merge(lake.store, "tmdb", anew, before_commit=lambda: connection.execute("DELETE FROM tmdb_details"))
    finally:
        theirs.close()
    assert "disk" not in str(told.value)


def test_no_answer_is_blamed_for_files_that_are_out_of_reach(lake: Lake) -> None:
    merge(lake.store, "tmdb", [details(i) for i in range(1, MANY)])
    forget(lake.store.place)  # a reader keeps files open that it has read
    files = Path(lake.store.place.data)
    files.rename(files.with_name("elsewhere"))
    files.write_text("no folder: nothing can be made in it")
    refused: list[Answer] = []
    with pytest.raises(DatabaseNotWritten, match="could not be read or written"):
        merge_apart(
            [details(1, START + DAY, title="news")],
            lambda part: merge(lake.store, "tmdb", list(part)),
            lambda item, _: refused.append(item),
            lake.store,
        )
    assert refused == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of half a megabyte is mounted, and that takes root")
def test_a_disk_that_is_full_blames_no_answer_and_leaves_nothing_torn(lake: Lake, small_disk: Path) -> None:
    refused: list[Answer] = []
    stored: list[Answer] = []

    def store(part: Sequence[Answer]) -> None:
        merge(lake.store, "tmdb", list(part))
        stored.extend(part)

    def fill(first: int) -> None:
        batch = [details(number, overview=secrets.token_hex(200)) for number in range(first, first + MANY)]
        merge_apart(batch, store, lambda item, _: refused.append(item), lake.store)

    def fill_up() -> None:
        while len(stored) < 5_000:
            fill(len(stored) + 1)

    with pytest.raises(DatabaseNotWritten, match="could not be read or written"):
        fill_up()
    assert refused == []
    assert movies_in(lake.store) == len(stored) > 0
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    fill(len(stored) + 1)
    lake.store.maintain(datetime.now(UTC) + 30 * DAY)
    assert movies_in(lake.store) == len(stored)
    assert check_database(lake.store, START).findings == []
    assert len(list(files_of(lake))) == files_named(lake)


@pytest.fixture
def small_disk(lake: Lake) -> Iterator[Path]:
    """A disk of half a megabyte, on which the files of the lake are."""
    place = Path(lake.store.place.data)
    place.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    forget(lake.store.place)
    subprocess.run(["umount", place], check=True)


def test_a_question_that_is_wrong_is_not_taken_for_a_fault_of_the_lake(lake: Lake) -> None:
    with pytest.raises(duckdb.BinderException), lake.store.connect() as connection:
        connection.execute("SELECT conflict AS DATA_PATH FROM movies")


def test_a_catalogue_that_is_out_of_reach_is_told_without_a_password(lake: Lake, tmp_path: Path) -> None:
    words = tuple((name, "1" if name == "port" else value) for name, value in lake.store.place.words)
    gone = LakeStore(tmp_path / "x.lake", place=replace(lake.store.place, words=words))
    with pytest.raises(DatabaseOutOfReach, match="cannot be had") as told, gone.connect():
        pass
    assert PASSWORD not in str(told.value)
    assert told.value.__cause__ is None


def test_no_question_sees_a_password_or_leaves_the_lake(lake: Lake, tmp_path: Path) -> None:
    merge(lake.store, "tmdb", [details(i) for i in range(1, MANY + 1)])
    secrets = "SELECT * FROM duckdb_secrets()"
    with ask(lake.store, secrets, Limits(), datetime.now(UTC)) as answered:
        assert PASSWORD not in repr([batch.to_pylist() for batch in answered.batches])
    with ask(lake.store, "SELECT count(*) AS n FROM movies", Limits(), datetime.now(UTC)) as answered:
        assert [row for batch in answered.batches for row in batch.to_pylist()] == [{"n": MANY}]
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    with (
        pytest.raises(WrongQuestion),
        ask(lake.store, f"SELECT * FROM read_csv('{outside}')", Limits(), datetime.now(UTC)),
    ):
        pass


def test_a_lake_that_is_not_there_is_made_by_a_writer_and_not_by_a_reader(lake: Lake, postgres: Postgres) -> None:
    database = postgres.new_database().rpartition("/")[2]
    words = tuple((name, database if name == "dbname" else value) for name, value in lake.store.place.words)
    empty = LakeStore(lake.store.path, place=LakePlace(words, lake.store.place.data, PASSWORD))
    assert not empty.exists
    with pytest.raises(WrongDatabase, match="There is no database at"), empty.connect(read_only=True):
        pass
    assert postgres.ask("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'ducklake%'", database) == [(0,)]


def test_what_was_deleted_is_nowhere_once_the_past_is_erased(lake: Lake) -> None:
    merge(lake.store, "tmdb", [details(i) for i in range(1, MANY)])
    with lake.store.transaction() as connection:
        connection.execute("DELETE FROM tmdb_details WHERE tmdb_id <> 1")
    lake.store.erase_past(datetime.now(UTC) + DAY)
    with lake.store.inspect() as connection:
        assert connection.execute("SELECT count(*) FROM ducklake_snapshots('lake_reading')").fetchall() == [(1,)]
    stored = [file for file in files_of(lake) if "tmdb_details" in file.parts]
    held = [duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall()[0][0] for file in stored]
    assert sum(held) == 1


def test_a_whole_store_moves_to_a_lake_and_back_and_goes_on_where_it_was_interrupted(
    lake: Lake, tmp_path: Path
) -> None:
    file, back = Database(tmp_path / "ayne.duckdb"), Database(tmp_path / "back.duckdb")
    merge(file, "tmdb", [details(i) for i in range(1, 9)])
    merge(file, "omdb", [ratings(i) for i in range(1, 5)])
    told: list[str] = []
    assert copy_store(file, lake.store, told.append)["tmdb_details"] == 8
    with lake.store.transaction() as connection:
        connection.execute("DELETE FROM omdb_ratings WHERE tmdb_id = 1; DELETE FROM refresh_metadata")
    told.clear()
    copy_store(file, lake.store, told.append)
    assert [line.partition(":")[0] for line in told] == ["omdb_ratings", "refresh_metadata"]
    assert publish_snapshot(lake.store, back.path) > 0
    assert contents(back) == contents(lake.store) == contents(file)
    merge(lake.store, "tmdb", [details(20)])
    with pytest.raises(WrongTargetStore, match="nothing was changed"):
        copy_store(file, lake.store, told.append)


def test_a_lake_of_the_first_schema_is_brought_up_to_date_with_every_row(lake: Lake, postgres: Postgres) -> None:
    words = {**dict(lake.store.place.words), "dbname": postgres.new_database().rpartition("/")[2]}
    files = lake.store.place.data.replace("/files/", "/old-files/")
    old = replace(lake.store, place=replace(lake.store.place, words=tuple(sorted(words.items())), data=files))
    made = Instance(old.place, old.path)
    made.attach_to_write()
    with made.cursor("lake") as connection:
        connection.execute(re.sub(r",\s*PRIMARY KEY \([^)]*\)", "", DDL))  # a lake knows no keys
        connection.execute(ROWS)
        columns = existing_columns(connection)
        before = rows_in(connection, columns)
    made.close()
    with old.connect() as migrated, lake.store.connect() as fresh:
        assert schema_version(migrated) == SCHEMA_VERSION
        assert [version for version, *_ in steps_taken(migrated)] == list(range(2, SCHEMA_VERSION + 1))
        assert existing_columns(migrated) == existing_columns(fresh)
        assert rows_in(migrated, columns) == before
    assert before["tmdb_details"]
    assert before["refresh_metadata"]
    forget(old.place)


def test_two_machines_that_find_an_older_lake_migrate_it_once(lake: Lake, other: LakeStore) -> None:
    merge(lake.store, "tmdb", [details(i) for i in range(1, MANY)])
    with lake.store.transaction() as connection:
        connection.execute("DROP TABLE freshness")  # which the last step makes
        connection.execute("UPDATE warehouse_schema SET version = ?", [SCHEMA_VERSION - 1])
    forget(lake.store.place)

    def open_it(store: LakeStore) -> None:
        with store.connect():
            pass

    assert together(partial(open_it, lake.store), partial(open_it, other)) == []
    with lake.store.connect() as connection:
        assert [version for version, *_ in steps_taken(connection)] == [SCHEMA_VERSION]
        assert connection.execute("SELECT count(*) FROM freshness").fetchall() == [(0,)]
    assert movies_in(other) == MANY - 1


KILLED = """
import os, sys
from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import load_settings
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster_tests.support.samples import details

with open_store(load_settings()).transaction() as connection:
    merge_answers(connection, TMDB_DETAILS, "tmdb", [details(i) for i in range(1, 200)], "run")
    print("written", flush=True)
    sys.stdin.readline()
"""


def merge(store: Store, source: str, answers: list[Answer], before_commit: Callable[[], object] = lambda: None) -> None:
    with store.transaction() as connection:
        table = {"tmdb": TMDB_DETAILS, "omdb": OMDB_RATINGS}.get(source)
        if table is None:
            movies = [listed(answer.tmdb_id, answer.at, **dict(answer.row or {})) for answer in answers]
            merge_listing(connection, movies, "run")
        else:
            merge_answers(connection, table, source, answers, "run")
        before_commit()


def random_batch(chosen: random.Random, at: datetime, size: int) -> tuple[str, list[Answer]]:
    """Answers of one source about some of the same movies: news, drift, the same again, failures, other years."""
    source = chosen.choice(["listing", "tmdb", "tmdb", "omdb"])
    answers = []
    for tmdb_id in chosen.sample(range(1, size * 2), size):
        if source == "omdb":
            answer = ratings(
                tmdb_id, at, UNKNOWN_YEAR, metascore=chosen.choice([None, 1, 2]), imdb_votes=chosen.randrange(3)
            )
        else:
            released = chosen.choice([DETAILS["release_date"], DETAILS["release_date"] + 400 * DAY])
            changes = {"title": chosen.choice("AB"), "popularity": chosen.random(), "release_date": released}
            answer = details(tmdb_id, at, **changes)
            if source == "listing":
                answer = replace(answer, row={name: (answer.row or {})[name] for name in changes})
        if source != "listing" and chosen.random() < 0.2:
            outcome = chosen.choice([Outcome.FAILED, Outcome.NOT_FOUND, Outcome.QUARANTINED])
            answer = replace(answer, outcome=outcome, row=None, release_year=UNKNOWN_YEAR, reason="at random")
        answers.append(answer)
    return source, answers


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.connect(read_only=True) as connection:
        return everything(connection)


def rows_in(connection: duckdb.DuckDBPyConnection, columns: dict[str, dict[str, str]]) -> dict[str, list[Any]]:
    """All rows of some tables, in these columns; of the version alone it matters that it changes."""
    return {
        table: connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY ALL").fetchall()
        for table, names in columns.items()
        if table != VERSION_TABLE
    }


def movies_in(store: Store) -> int:
    with store.connect(read_only=True) as connection:
        return int(connection.execute("SELECT count(*) FROM tmdb_details").fetchall()[0][0])


@pytest.fixture
def other(lake: Lake) -> Iterator[LakeStore]:
    """The same lake as another machine has it: with a session and a DuckDB of its own."""
    session = ServerSession(LedgerDatabase(lake.environment["AYNE_LEDGER_URL"]), lake.store.place.database)
    words = (*lake.store.place.words, ("application_name", "other"))
    store = replace(lake.store, place=replace(lake.store.place, words=words), locks=session)
    yield store
    session.close()
    forget(store.place)


def end_sessions(postgres: Postgres, lake: Lake) -> None:
    """What a restart of the server does to whoever is connected to the ledger."""
    ledger = lake.environment["AYNE_LEDGER_URL"].rpartition("/")[2]
    postgres.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{ledger}'")


def files_named(lake: Lake) -> int:
    """How many files the catalogue names, of rows and of deletions."""
    query = "SELECT sum(file_count + delete_file_count)::BIGINT FROM ducklake_table_info(current_database())"
    with lake.store.inspect() as connection:
        return int(connection.execute(query).fetchall()[0][0])


def files_of(lake: Lake) -> Iterator[Path]:
    return Path(lake.store.place.data).rglob("*.parquet")


def together(*works: Callable[[], None]) -> list[Exception]:
    """Do several things at once; returns what they raised."""
    failures: list[Exception] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 -- what is asserted is that there is none
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
