"""A run that Dagster launched is closed when its process is gone, whatever became of the code server it came from."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.runs.own_runs import close_abandoned_runs, mark_launched_run, own_run
from ayne_dagster.settings.tags import LAUNCHED_RUN_TAG
from ayne_dagster_tests.support.forking import FORKED
from ayne_dagster_tests.support.processes import LONGEST_RUN


@dg.job
def nothing() -> None:
    """A job."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that two processes can open."""
    with open_instance(Settings(database=tmp_path / "movies.duckdb")) as opened:
        yield opened


def _execute(home: str, run_id: str, is_marked: Event) -> None:
    with dg.DagsterInstance.from_config(home) as instance:
        mark_launched_run(instance, run_id)
        is_marked.set()
        signal.pause()


def _launched(instance: dg.DagsterInstance) -> tuple[dg.DagsterRun, BaseProcess]:
    """A run, and the process that executes it."""
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    is_marked = FORKED.Event()
    process = FORKED.Process(target=_execute, args=(instance.root_directory, run.run_id, is_marked), daemon=True)
    process.start()
    assert is_marked.wait(LONGEST_RUN)
    return run, process


def _status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_launched_run_is_closed_when_its_process_is_killed_and_not_before(instance: dg.DagsterInstance) -> None:
    run, process = _launched(instance)
    assert close_abandoned_runs(instance) == []
    process.kill()
    process.join(LONGEST_RUN)
    assert close_abandoned_runs(instance) == [run.run_id]
    assert _status(instance, run) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_is_executed_again_is_not_taken_for_the_former_one_whose_process_is_gone(
    instance: dg.DagsterInstance,
) -> None:
    run, process = _launched(instance)
    process.kill()
    process.join(LONGEST_RUN)
    former = instance.get_run_by_id(run.run_id)
    assert former is not None
    again = instance.create_run_for_job(
        nothing,
        tags={LAUNCHED_RUN_TAG: former.tags[LAUNCHED_RUN_TAG], "dagster/parent_run_id": run.run_id},
        status=dg.DagsterRunStatus.STARTING,
    )
    assert close_abandoned_runs(instance) == [run.run_id]
    assert _status(instance, again) is dg.DagsterRunStatus.STARTING


def test_a_run_of_a_command_keeps_its_own_mark(instance: dg.DagsterInstance) -> None:
    with own_run(instance) as tags:
        instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
        assert close_abandoned_runs(instance) == []


def test_looking_for_such_runs_writes_nothing_into_a_home(instance: dg.DagsterInstance) -> None:
    folder = Path(instance.root_directory) / "own_runs"
    instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    assert close_abandoned_runs(instance) == []
    assert not folder.exists(), "a container's home may be read-only"
