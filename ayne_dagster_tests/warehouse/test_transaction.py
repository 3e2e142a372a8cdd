"""A batch is on disk whole or not at all: rows, refresh state, history and log go together."""

from __future__ import annotations

import os
import signal

import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse import merge
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster_tests.support.samples import (
    DAY,
    RUN,
    START,
    details,
    end,
    everything,
    line,
    listed,
    opens_elsewhere,
    python,
    without_row,
)


class Interrupted(BaseException):
    """What Dagster raises in a step's thread is no Exception either."""


def merged(database: Database, *answers: merge.Answer, then: type[BaseException] | None = None) -> None:
    """Merge a listing and answers in one transaction, at the end of which something may go wrong."""
    with database.transaction() as connection:
        merge.merge_listing(connection, [listed(answer.tmdb_id) for answer in answers], RUN)
        merge.merge_answers(connection, TMDB_DETAILS, "tmdb", answers, RUN)
        if then is not None:
            raise then


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.connect() as connection:
        return everything(connection)


def test_a_transaction_is_committed_at_its_end(database: Database) -> None:
    merged(database, details())
    filled = {table for table, rows in contents(database).items() if rows}
    assert filled == {"discovered_movies", "tmdb_details", "refresh_metadata", "fetch_log"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, Interrupted])
def test_an_exception_leaves_nothing(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error):
        merged(database, details(), then=error)
    assert not any(contents(database).values())


def test_an_exception_leaves_what_was_there_before(database: Database) -> None:
    merged(database, details())
    before = contents(database)
    again = details(at=START + DAY, budget=1), without_row(Outcome.QUARANTINED, 1, body=b"{")
    with pytest.raises(RuntimeError):
        merged(database, *again, then=RuntimeError)
    assert contents(database) == before


@pytest.mark.parametrize("step", ["_drift", "_state_after", "_move_years", "_log"])
def test_a_merge_that_fails_at_any_step_leaves_nothing(
    database: Database, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(step)

    monkeypatch.setattr(merge, step, fail)
    with pytest.raises(RuntimeError, match=step):
        merged(database, details())
    monkeypatch.undo()
    assert not any(contents(database).values())


def test_a_row_that_does_not_fit_leaves_nothing_of_its_batch(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)convert|int"):
        merged(database, details(1), details(2, runtime="long"))
    assert not any(contents(database).values())


def test_the_file_is_free_after_a_failure(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction():
        raise RuntimeError
    assert opens_elsewhere(database.path)


COMMITTED = """
import sys
from pathlib import Path
from ayne_dagster.warehouse.database import Database
with Database(Path(sys.argv[1])).transaction() as connection:
    connection.execute("INSERT INTO refresh_metadata BY NAME SELECT 1 AS tmdb_id")
with Database(Path(sys.argv[1])).connect() as connection:
    connection.execute("INSERT INTO refresh_metadata BY NAME SELECT 2 AS tmdb_id")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO refresh_metadata BY NAME SELECT 3 AS tmdb_id")
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_loses_only_what_it_had_not_committed(database: Database) -> None:
    process = python(COMMITTED, database.path)
    assert line(process) == "written"
    os.kill(process.pid, signal.SIGKILL)
    end(process)
    found = DuckDBClient(database.path).query("SELECT tmdb_id FROM refresh_metadata ORDER BY 1")
    assert found == [{"tmdb_id": 1}, {"tmdb_id": 2}]
