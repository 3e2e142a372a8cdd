"""Steps whose source was down: Dagster tries again what it launched, and asks only for what is missing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from ayne_dagster.assets import definition
from ayne_dagster.config import Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.orchestrator import CollectionFailed, DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.runs.batch import range_tags
from ayne_dagster.runs.home import home_path
from ayne_dagster.sources.trust import CONTROL_REQUESTS, PATIENCE
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.database import Database

pytestmark = pytest.mark.whole_runs

MakeSettings = Callable[..., Settings]
YEARS = range_tags("2019", "2022")
LAUNCHED = RemoteJobOrigin(
    RemoteRepositoryOrigin(
        ManagedGrpcPythonEnvCodeLocationOrigin(
            loadable_target_origin=LoadableTargetOrigin(module_name="ayne_dagster.definitions"),
            location_name="ayne_dagster",
        ),
        "__repository__",
    ),
    "refresh_movies",
)
"""Where a run comes from that a sensor, a schedule or the UI launched."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between the attempts of a step."""
    at_once = dg.RetryPolicy(max_retries=definition.SOURCE_RETRIES.max_retries, delay=0)
    monkeypatch.setattr(definition, "SOURCE_RETRIES", at_once)


def discovered(settings: Settings, instance: dg.DagsterInstance) -> int:
    job = build_defs(settings).resolve_job_def("discover_movies")
    quiet: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    assert job.execute_in_process(instance=instance, tags=YEARS, run_config=quiet).success
    with Database(settings.database).connect() as connection:
        return int(connection.execute("SELECT count(*) FROM refresh_metadata").fetchall()[0][0])


def launch(settings: Settings, instance: dg.DagsterInstance) -> dg.DagsterRun:
    """Execute a refresh as a run worker does."""
    job = build_defs(settings).resolve_job_def("refresh_movies")
    ops = {name: {"config": {"limit": 1000}} for name in ("tmdb_details", "omdb_ratings")}
    config = {"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    run = instance.create_run_for_job(job, run_config=config, tags=YEARS, remote_job_origin=LAUNCHED)
    execute_run(InMemoryJob(job), run, instance)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    return ended


def events(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType) -> list[str | None]:
    return [entry.step_key for entry in instance.all_logs(run.run_id, of_type=kind)]


def details_asked(standin: StandIn) -> Counter[str]:
    return Counter(str(e["id"]) for e in standin.log() if e["endpoint"] == "details" and e["status"] != 503)


def test_a_source_that_is_down_is_tried_again_and_asked_only_for_what_is_missing(
    make_settings: MakeSettings, standin: StandIn, instance: dg.DagsterInstance
) -> None:
    settings = make_settings()
    settings = replace(settings, tmdb=replace(settings.tmdb, max_concurrent=1))
    movies = discovered(settings, instance)
    # Ten answers come; then no request has one, and no control question, until the step ends.
    standin.inject(
        Fault("hang", "tmdb", times=10), Fault("status", "tmdb", times=PATIENCE + CONTROL_REQUESTS, status=503)
    )
    run = launch(settings, instance)

    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert events(instance, run, dg.DagsterEventType.STEP_UP_FOR_RETRY) == ["tmdb_details"]
    asked = details_asked(standin)
    assert len(asked) == movies
    again = sorted(number for number in asked.values() if number > 1)
    assert again in ([], [2]), "an answer that was there was paid for again, other than by one control question"
    with Database(settings.database).connect() as connection:
        log = connection.execute("SELECT count(*), count(DISTINCT tmdb_id) FROM fetch_log WHERE source = 'tmdb'")
        assert log.fetchall() == [(movies, movies)]


def interrupted_when(
    instance: dg.DagsterInstance, kind: dg.DagsterEventType, number: signal.Signals = signal.SIGTERM
) -> None:
    """Have a signal come to this process, as a service manager's stop, once a run has told of something."""

    def send() -> None:
        while True:
            for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                if any(entry.step_key == "tmdb_details" for entry in instance.all_logs(run.run_id, of_type=kind)):
                    os.kill(os.getpid(), number)
                    return
            time.sleep(0.02)

    threading.Thread(target=send, daemon=True).start()


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that several threads can read."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def assert_canceled(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert not list(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)), "nobody is alerted"


@pytest.mark.timeout(60)
def test_a_signal_while_a_step_waits_for_its_next_attempt_cancels_the_run_at_once(
    make_settings: MakeSettings, standin: StandIn, on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definition, "SOURCE_RETRIES", dg.RetryPolicy(max_retries=2, delay=3600))
    discovered(settings := make_settings(), on_disk)
    standin.inject(Fault("status", "tmdb", status=503))
    interrupted_when(on_disk, dg.DagsterEventType.STEP_UP_FOR_RETRY)
    run = launch(settings, on_disk)

    assert_canceled(on_disk, run)
    assert events(on_disk, run, dg.DagsterEventType.STEP_UP_FOR_RETRY) == ["tmdb_details"]


@pytest.mark.timeout(60)
def test_a_signal_while_a_step_waits_for_its_pool_cancels_the_run_at_once(
    make_settings: MakeSettings, on_disk: dg.DagsterInstance
) -> None:
    discovered(settings := make_settings(), on_disk)
    storage = on_disk.event_log_storage
    storage.set_concurrency_slots("tmdb", 1)
    assert storage.claim_concurrency_slot("tmdb", "another run", "its step").is_claimed
    interrupted_when(on_disk, dg.DagsterEventType.ENGINE_EVENT)
    run = launch(settings, on_disk)

    assert_canceled(on_disk, run)
    assert events(on_disk, run, dg.DagsterEventType.STEP_START) == []
    assert storage.get_concurrency_info("tmdb").pending_step_count == 0


@pytest.mark.timeout(60)
def test_a_service_that_stops_cancels_the_run_and_keeps_what_had_arrived(
    make_settings: MakeSettings, standin: StandIn, on_disk: dg.DagsterInstance
) -> None:
    settings = make_settings()
    settings = replace(settings, tmdb=replace(settings.tmdb, max_concurrent=1))
    discovered(settings, on_disk)
    standin.inject(Fault("hang", "tmdb", delay_seconds=0.2))
    interrupted_when(on_disk, dg.DagsterEventType.STEP_START)
    run = launch(settings, on_disk)

    assert_canceled(on_disk, run)
    with Database(settings.database).connect() as connection:
        stored = connection.execute("SELECT count(*) FROM tmdb_details").fetchall()[0][0]
    assert stored == len(details_asked(standin))


def test_a_source_that_stays_down_fails_the_run_in_its_own_words(
    make_settings: MakeSettings, standin: StandIn, instance: dg.DagsterInstance
) -> None:
    discovered(settings := make_settings(), instance)
    standin.inject(Fault("status", "tmdb", status=503))
    run = launch(settings, instance)

    assert run.status is dg.DagsterRunStatus.FAILURE
    retries = definition.SOURCE_RETRIES.max_retries
    assert events(instance, run, dg.DagsterEventType.STEP_UP_FOR_RETRY) == ["tmdb_details"] * retries
    (failed,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert failed.dagster_event is not None
    failure = failed.dagster_event.step_failure_data.user_failure_data
    assert failure is not None
    assert "the rest stays due" in (failure.description or "")


def test_a_key_that_is_not_accepted_is_not_tried_again(
    make_settings: MakeSettings, standin: StandIn, instance: dg.DagsterInstance
) -> None:
    discovered(settings := make_settings(), instance)
    standin.inject(Fault("status", "tmdb", status=401))
    run = launch(settings, instance)

    assert run.status is dg.DagsterRunStatus.FAILURE
    assert events(instance, run, dg.DagsterEventType.STEP_UP_FOR_RETRY) == []


def test_a_collection_in_the_foreground_does_not_wait_for_a_source_that_is_down(
    make_settings: MakeSettings, standin: StandIn
) -> None:
    collector = DataCollectionOrchestrator(settings=make_settings())
    collector.collect(DiscoveryPlan(2019, 2022, None, 0), refresh_limit=0)
    standin.clear_log()
    standin.inject(Fault("status", "tmdb", status=503))
    with pytest.raises(CollectionFailed, match="the rest stays due"):
        collector.collect(None, refresh_limit=1000)
    with collector_instance(collector) as instance:
        (run, *_) = instance.get_runs()
        assert events(instance, run, dg.DagsterEventType.STEP_UP_FOR_RETRY) == []


def collector_instance(collector: DataCollectionOrchestrator) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(home_path(collector.settings)))


def test_only_errors_of_the_source_are_tried_again(make_settings: MakeSettings) -> None:
    # Dagster applies an asset's policy to an interruption too: a terminated run would go on.
    for asset in build_defs(make_settings()).resolve_asset_graph().assets_defs:
        assert asset.op.retry_policy is None
