"""A run that Dagster launched is closed when its process is gone, whatever became of the code server it came from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.runs.own_runs import close_abandoned_runs, own_run
from ayne_dagster.settings.tags import LAUNCHED_RUN_TAG


@dg.job
def nothing() -> None:
    """A job."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that two processes can open."""
    with open_instance(Settings(database=tmp_path / "movies.duckdb")) as opened:
        yield opened


_EXECUTE = """
import sys, time
import dagster as dg
from ayne_dagster.runs.own_runs import mark_launched_run
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    mark_launched_run(instance, sys.argv[2])
    print("marked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _launched(instance: dg.DagsterInstance) -> Iterator[tuple[dg.DagsterRun, subprocess.Popen[str]]]:
    """A run, and the process that executes it."""
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _EXECUTE, instance.root_directory, run.run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "marked\n"
        yield run, process
        process.kill()


def _status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_launched_run_is_closed_when_its_process_is_killed_and_not_before(instance: dg.DagsterInstance) -> None:
    with _launched(instance) as (run, process):
        assert close_abandoned_runs(instance) == []
        process.kill()
    assert close_abandoned_runs(instance) == [run.run_id]
    assert _status(instance, run) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_is_executed_again_is_not_taken_for_the_former_one_whose_process_is_gone(
    instance: dg.DagsterInstance,
) -> None:
    with _launched(instance) as (run, process):
        process.kill()
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
