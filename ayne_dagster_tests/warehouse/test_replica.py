"""The copy that the dashboard reads: it follows, is whole, takes no lock, and goes with its process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ayne_dagster.config import Settings
from ayne_dagster.dashboard import pages as pages_module
from ayne_dagster.dashboard.pages import Asked, Pages
from ayne_dagster.warehouse import replica as replica_module
from ayne_dagster.warehouse.database import Database, WrongDatabase
from ayne_dagster.warehouse.replica import Replica, ReplicaError
from ayne_dagster_tests.dashboard.collections import collected
from ayne_dagster_tests.support.samples import listed, merge_listed, opens_elsewhere


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for: what a test writes has settled, and is looked at whenever it is asked for."""
    monkeypatch.setattr(replica_module, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(replica_module, "REST", 0)
    monkeypatch.setattr(replica_module, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(pages_module, "LEAST_AGE", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return collected(tmp_path).database


@pytest.fixture
def following(path: Path) -> Iterator[Callable[..., Replica]]:
    made: list[Replica] = []

    def make(**how: Callable[[Path, Path], None]) -> Replica:
        made.append(Replica(path, **how))
        return made[-1]

    yield make
    for replica in made:
        replica.close()


def collected_settings(path: Path) -> Settings:
    return Settings(database=path, dagster_home=path.parent / "home")


def movies(replica: Replica) -> int:
    with replica.reading() as copy:
        return int(copy.connection.execute("SELECT count(*) FROM refresh_metadata").fetchall()[0][0])


def discover(path: Path, tmdb_id: int, *, checkpoints: bool = False) -> None:
    with Database(path, checkpoints=checkpoints).connect() as connection:
        merge_listed(connection, listed(tmdb_id))


def test_it_follows_commits_in_the_log_and_in_the_file(path: Path, following: Callable[..., Replica]) -> None:
    copied: list[str] = []

    def noted(source: Path, target: Path) -> None:
        copied.append(source.name)
        shutil.copyfile(source, target)

    replica = following(copy=noted)
    assert movies(replica) == 3
    discover(path, 600)
    assert path.with_name("films.duckdb.wal").exists(), "the commit is in the log"
    assert movies(replica) == 4
    assert copied == ["films.duckdb", "films.duckdb.wal"], "a commit to the log is all that is copied of it"
    discover(path, 601, checkpoints=True)
    assert movies(replica) == 5
    assert movies(replica) == 5
    assert copied[2:] == ["films.duckdb"], "what has not changed is not copied again"


def test_the_database_can_be_written_while_it_is_read(path: Path, following: Callable[..., Replica]) -> None:
    replica = following()
    with replica.reading(), replica.apart():
        assert opens_elsewhere(path)


def test_what_was_written_to_meanwhile_is_not_believed(path: Path, following: Callable[..., Replica]) -> None:
    numbers = iter(range(700, 800))

    def disturbed(source: Path, target: Path) -> None:
        shutil.copyfile(source, target)
        discover(path, next(numbers))

    with pytest.raises(ReplicaError, match="was being written to"):
        movies(following(copy=disturbed))


def test_a_busy_database_shows_the_last_page_with_its_age(path: Path, following: Callable[..., Replica]) -> None:
    busy = False

    def sometimes(source: Path, target: Path) -> None:
        shutil.copyfile(source, target)
        if busy:
            os.utime(path)

    def count(asked: Asked) -> dict[str, int]:
        return asked.row("SELECT count(*) AS movies FROM refresh_metadata")

    settings = collected_settings(path)
    shown = Pages(settings, following(copy=sometimes))
    assert shown.read("count", count).model == {"movies": 3}
    busy = True
    discover(path, 600)
    assert shown.read("count", count).model == {"movies": 3}
    busy = False
    assert shown.read("count", count).model == {"movies": 4}
    shown.close()


def test_a_page_that_is_slow_is_shown_as_it_was_while_a_newer_one_is_put_together(
    path: Path, following: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "SLOW_SECONDS", -1.0)
    shown = Pages(collected_settings(path), following())

    def count(asked: Asked) -> dict[str, int]:
        return asked.row("SELECT count(*) AS movies FROM refresh_metadata")

    assert shown.read("count", count).note == ""
    discover(path, 600)
    old = shown.read("count", count)
    assert old.model == {"movies": 3}
    assert "a newer one is on its way" in old.note
    shown._behind.submit(lambda: None).result()  # it has one thread: the newer page is there
    assert shown.read("count", count).model == {"movies": 4}
    shown.close()


def test_a_page_of_a_copy_that_is_behind_says_by_how_much(
    path: Path, following: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "WORTH_TELLING", -1.0)
    shown = Pages(collected_settings(path), following())
    page = shown.read("nothing", lambda _: {})
    assert page.note == "The database is being written to: this page is 0 s old."
    shown.close()


def test_a_slow_page_that_nobody_has_asked_for_in_a_while_is_waited_for_but_not_for_long(
    path: Path, following: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(pages_module, "MOST_AGE", 0.0)
    shown, goes_on = Pages(collected_settings(path), following()), threading.Event()
    goes_on.set()

    def count(asked: Asked) -> dict[str, int]:
        goes_on.wait()
        return asked.row("SELECT count(*) AS movies FROM refresh_metadata")

    shown.read("count", count)
    discover(path, 600)
    assert shown.read("count", count).model == {"movies": 4}
    discover(path, 601)
    goes_on.clear()
    monkeypatch.setattr(pages_module, "PATIENCE", 0.0)
    old = shown.read("count", count)
    assert old.model == {"movies": 4}
    assert "a newer one is on its way" in old.note
    goes_on.set()
    shown.close()


def test_a_database_that_is_gone_is_told_and_one_in_its_place_is_read(
    path: Path, following: Callable[..., Replica]
) -> None:
    replica = following()
    assert movies(replica) == 3
    kept = path.rename(path.with_name("kept"))
    with pytest.raises(WrongDatabase, match="no database"):
        movies(replica)
    kept.rename(path)
    assert movies(replica) == 3


def test_no_copy_takes_the_room_that_commits_need(
    path: Path, following: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "LEFT_FREE", 2**62)
    with pytest.raises(ReplicaError, match="no room"):
        movies(following())


def test_the_copy_goes_with_its_reader_and_what_a_killed_one_left_is_removed(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from ayne_dagster.warehouse.replica import Replica\n"
        "replica = Replica(Path(sys.argv[1]))\n"
        "with replica.reading(): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)

    def beside() -> list[Path]:
        return [left for left in path.parent.iterdir() if ".copy-" in left.name]

    assert len(beside()) == 1, "it was killed, and left its copy"
    first, second = Replica(path), Replica(path)
    assert movies(first) == movies(second) == 3
    assert len(beside()) == 2, "what was left is gone, and a reader leaves the copy of another alone"
    assert movies(first) == 3
    first.close()
    second.close()
    assert beside() == []
