"""A storage of runs that fails, is slow or silent costs a page a sentence, and is not asked at every look."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy.exc
from dagster._core.storage.runs import SqliteRunStorage

from ayne_dagster.config import Settings
from ayne_dagster.dashboard import app as dashboard
from ayne_dagster.runs.in_storage import AGAIN_SECONDS, KEPT_SECONDS, LOST_SECONDS, MOST_LOST, RunsInStorage
from ayne_dagster.runs.instance import ask_each_storage, fault_of
from ayne_dagster.runs.recorded import RunsUnknown
from ayne_dagster_tests.dashboard.collections import ask, collected, served, shared_by

NEVER_LATE, AT_ONCE = 100.0, 0.01


class OfADriver(Exception):
    """What a driver says, with what it signs in by."""


OfADriver.__module__ = "psycopg2"


class UndefinedColumn(Exception):
    """A driver's, for tables that are other ones."""


UndefinedColumn.__module__ = "psycopg2.errors"


def refused() -> Any:
    raise sqlalchemy.exc.OperationalError("SELECT 1", {}, OfADriver("postgresql://me:hunter22@db refuses"))


class Storage:
    """A home whose runs are not in its own files, and what its storage does when it is asked."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.asked = 0
        self.passed = 0.0
        self.does: Callable[[], Any] = lambda: None
        self.goes_on = threading.Event()
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text(f"storage:\n  sqlite:\n    base_dir: {home / 'elsewhere'}\n")
        with dg.DagsterInstance.from_config(str(home)) as instance:
            ask_each_storage(instance)  # its tables are made
        get = SqliteRunStorage.get_run_records

        def odd(storage: SqliteRunStorage, *arguments: Any, **options: Any) -> Any:
            self.asked += 1
            self.does()
            return get(storage, *arguments, **options)

        monkeypatch.setattr(SqliteRunStorage, "get_run_records", odd)

    def is_silent(self) -> None:
        """Says nothing until it goes on."""
        self.does = self.goes_on.wait

    def records(self, longest_seconds: float) -> RunsInStorage:
        """Who asks it, by a clock that stands unless it is turned."""
        return RunsInStorage(self.home, longest_seconds, lambda: self.passed)


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    made = Storage(tmp_path / "home", monkeypatch)
    yield made
    made.goes_on.set()


def under_way(records: RunsInStorage) -> None:
    """Wait for the end of the question that is under way."""
    assert records._asking._question is not None
    with suppress(Exception):
        records._asking._question.outcome.result()


def test_an_answer_is_given_again_for_a_moment(storage: Storage) -> None:
    records = storage.records(NEVER_LATE)
    for _ in range(3):
        assert records.under_way() == []
        assert records.stamp() == ()
    assert storage.asked == 1
    storage.passed += KEPT_SECONDS
    records.under_way()
    assert storage.asked == 2
    records.close()


def test_after_an_error_it_is_asked_again_later_while_nobody_waits_and_shows_no_password(storage: Storage) -> None:
    records = storage.records(NEVER_LATE)
    storage.does = refused
    for _ in range(3):
        with pytest.raises(RunsUnknown, match=r"does not answer or refuses the sign-in\. Start it") as raised:
            records.under_way()
        assert "hunter22" not in str(raised.value)
    assert storage.asked == 1
    storage.is_silent()
    storage.passed += AGAIN_SECONDS
    with pytest.raises(RunsUnknown, match="refuses the sign-in"):
        records.latest(3)
    storage.goes_on.set()
    under_way(records)
    assert records.latest(3) == []
    assert storage.asked == 2
    records.close()


def test_a_silent_one_is_waited_for_once_and_answers_when_it_does(storage: Storage) -> None:
    records = storage.records(AT_ONCE)
    storage.is_silent()
    for _ in range(3):
        with pytest.raises(RunsUnknown, match=r"names, has not answered within 0\.01 seconds"):
            records.under_way()
    storage.passed += AGAIN_SECONDS
    with pytest.raises(RunsUnknown):
        records.latest(3)
    storage.goes_on.set()
    under_way(records)
    assert records.under_way() == []
    assert storage.asked == 1, "the answer that came late is one"
    records.close()


def test_questions_that_are_never_answered_are_given_up_and_not_more_than_a_few(storage: Storage) -> None:
    records = storage.records(AT_ONCE)
    storage.is_silent()
    begun = []
    for _ in range(MOST_LOST + 3):
        with pytest.raises(RunsUnknown):
            records.under_way()
        assert records._asking._question is not None
        begun.append(records._asking._question.outcome)
        storage.passed += LOST_SECONDS
    assert len(set(begun)) == MOST_LOST + 1
    storage.goes_on.set()
    under_way(records)
    assert records.under_way() == []
    records.close()


def test_the_pages_are_served_with_a_sentence_where_the_runs_stand(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = collected(tmp_path)
    records = storage.records(AT_ONCE)
    monkeypatch.setattr(dashboard, "records_of", lambda *_: records)
    storage.is_silent()
    with served(settings) as app:
        for path in ("/", "/part/now", "/health"):
            answer = ask(app, path)
            assert answer.status_code == 200
            assert "has not answered within" in answer.text, path
        assert "Whether anything runs is not known" in ask(app, "/").text
        assert "No run is recorded" not in ask(app, "/health").text
        assert not shared_by(app).is_running()
    assert "has not answered within" in dashboard.written(settings)


def test_the_pages_tell_of_no_run_in_a_storage_that_has_none(storage: Storage, tmp_path: Path) -> None:
    settings: Settings = collected(tmp_path)
    with served(settings) as app:
        shared_by(app)._records = storage.records(NEVER_LATE)
        assert "No run is recorded yet" in ask(app, "/part/now").text


def test_tables_of_another_version_are_not_taken_for_a_server_that_is_down(tmp_path: Path) -> None:
    error = sqlalchemy.exc.ProgrammingError("SELECT 1", {}, UndefinedColumn("column hunter22 does not exist"))
    fault = fault_of(tmp_path, error)
    assert "are of another version of Dagster" in fault.what
    assert "hunter22" not in f"{fault}"


def test_what_is_tried_again_and_again_is_not_said_on_the_terminal(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    records = storage.records(NEVER_LATE)
    storage.does = lambda: logging.warning("Retrying failed database connection")  # as Dagster's storage says it
    records.under_way()
    assert "Retrying" not in caplog.text
    logging.warning("something else")
    assert "something else" in caplog.text
    records.close()
