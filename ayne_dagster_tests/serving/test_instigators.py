"""A clock that was ahead under Dagster's daemon: sensors and schedules go on when it is right; nothing runs twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.sensor import get_elapsed

from ayne_dagster.serving.daemon import PUT_BACK_SECONDS, PutBack
from ayne_dagster.serving.instigators import bring_back, waiting_for_the_future
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.support.processes import Ayne, wait_until
from ayne_dagster_tests.support.serving import LONGEST_START
from ayne_dagster_tests.test_step_retries import LAUNCHED

NOW = datetime.now(UTC)
AHEAD = NOW + timedelta(days=400)
SENSOR, SCHEDULE = InstigatorType.SENSOR, InstigatorType.SCHEDULE


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """With a storage of ticks, which the ephemeral one has not."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def ticked(
    instance: dg.DagsterInstance, name: str, kind: InstigatorType, *at: datetime, keys: Sequence[str] = ()
) -> InstigatorState:
    """A sensor or schedule that ticked at these instants, as Dagster's daemon notes it."""
    last = at[-1].timestamp()
    if kind is SENSOR:
        data = SensorInstigatorData(last, keys[-1] if keys else None, 60, "cursor", last, NOW.timestamp(), None, last)
    else:
        data = ScheduleInstigatorData("0 5 * * *", NOW.timestamp() - 1000, last)
    origin = LAUNCHED.repository_origin.get_instigator_origin(name)
    state = instance.add_instigator_state(InstigatorState(origin, kind, InstigatorStatus.RUNNING, data))
    for instant in at:
        done = TickData(
            state.instigator_origin_id, name, kind, TickStatus.SUCCESS, instant.timestamp(), list(keys), list(keys),
            selector_id=state.selector_id, end_timestamp=instant.timestamp() + 1,
        )  # fmt: skip
        instance.create_tick(done)
    return state


def again(instance: dg.DagsterInstance, state: InstigatorState) -> InstigatorState:
    found = instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
    assert found is not None
    return found


def test_a_sensor_that_ticked_in_the_future_ticks_within_its_interval_again(instance: dg.DagsterInstance) -> None:
    sensor = ticked(instance, "due_movies_sensor", SENSOR, NOW, AHEAD)
    assert (get_elapsed(sensor) or 0) < -1e6
    (ahead,) = bring_back(instance, NOW)
    assert (ahead.name, ahead.until) == ("due_movies_sensor", AHEAD)
    assert (get_elapsed(again(instance, sensor)) or -1) >= 0
    assert waiting_for_the_future(instance, NOW) == bring_back(instance, NOW) == []


def test_a_schedule_goes_on_at_its_next_time_after_now(instance: dg.DagsterInstance) -> None:
    schedule = ticked(instance, "discovery_schedule", SCHEDULE, *(AHEAD + timedelta(days=n) for n in range(3)))
    bring_back(instance, NOW)
    data = again(instance, schedule).instigator_data
    assert isinstance(data, ScheduleInstigatorData)
    assert (data.start_timestamp, data.last_iteration_timestamp) == (NOW.timestamp() - 1000, NOW.timestamp())
    (last,) = instance.get_ticks(schedule.instigator_origin_id, schedule.selector_id, limit=1)
    assert last.timestamp <= NOW.timestamp()


def test_a_tick_alone_is_enough_to_wait_and_so_is_a_state_alone(instance: dg.DagsterInstance) -> None:
    schedule = ticked(instance, "discovery_schedule", SCHEDULE, AHEAD)
    on_time = ScheduleInstigatorData("0 5 * * *", NOW.timestamp(), NOW.timestamp())
    instance.update_instigator_state(schedule.with_data(on_time))
    ticked(instance, "due_movies_sensor", SENSOR, AHEAD)
    assert [ahead.name for ahead in bring_back(instance, NOW)] == ["discovery_schedule", "due_movies_sensor"]


def test_what_was_launched_stays_launched_and_ticks_stay_in_their_order(instance: dg.DagsterInstance) -> None:
    sensor = ticked(instance, "due_movies_sensor", SENSOR, NOW - timedelta(hours=1), AHEAD, keys=["a:1", "b:1"])
    ticks = instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id)
    bring_back(instance, NOW)
    kept = instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id)
    assert [(t.tick_id, t.status, t.run_ids, t.run_keys) for t in kept] == [
        (t.tick_id, t.status, t.run_ids, t.run_keys) for t in ticks
    ]
    data = again(instance, sensor).instigator_data
    assert isinstance(data, SensorInstigatorData)
    assert (data.last_run_key, data.cursor, data.min_interval) == ("b:1", "cursor", 60)


def test_more_ticks_than_are_read_at_once_are_all_brought_back_in_their_order(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ayne_dagster.serving.instigators._TICKS_AT_ONCE", 2)
    sensor = ticked(instance, "due_movies_sensor", SENSOR, *(AHEAD + timedelta(minutes=n) for n in range(5)))
    before = [t.tick_id for t in instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id)]
    bring_back(instance, NOW)
    after = instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id)
    assert [t.tick_id for t in after] == before
    assert max(t.timestamp for t in after) <= NOW.timestamp()


def test_what_ticked_within_the_minute_is_left_alone(instance: dg.DagsterInstance) -> None:
    ticked(instance, "due_movies_sensor", SENSOR, NOW + timedelta(seconds=50))
    ticked(instance, "discovery_schedule", SCHEDULE, NOW - timedelta(days=1))
    assert bring_back(instance, NOW) == []


def test_a_clock_that_is_put_back_is_noticed_and_one_that_goes_or_is_put_on_is_not() -> None:
    wall, steady = [1000.0], [0.0]
    clock = PutBack(lambda: wall[0], lambda: steady[0])
    for jump, passed, noticed in ((0, 5, False), (400, 5, False), (-PUT_BACK_SECONDS, 5, False), (-1, 5, True)):
        wall[0] += passed + jump
        steady[0] += passed
        assert clock.noticed() is noticed, jump


STARTED_AGAIN = """
import os, runpy, signal, sys
from pathlib import Path
from ayne_dagster.serving import daemon

before = Path(sys.argv[1])
if before.exists():
    sys.exit(7)
before.touch()
daemon._bring_ticks_back = lambda: None
daemon.PutBack.noticed = lambda _: runs.is_file()
runs = before.with_name("runs")
runpy.run_module = lambda *_, **__: (runs.touch(), signal.pause())
daemon.main([])
"""


def test_a_daemon_starts_itself_again_when_the_clock_is_put_back(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTED_AGAIN, str(tmp_path / "before")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            assert process.wait(60) == 7
        finally:
            process.kill()


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_a_daemon_that_starts_has_sensors_and_schedules_go_on(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    assert command.call("tidy").code == 0  # makes the home
    with dg.DagsterInstance.from_config(str(command.home)) as instance:
        sensor = ticked(instance, "due_movies_sensor", SENSOR, AHEAD)
        with (tmp_path / "log").open("wb+") as output, command.running("daemon", into=output) as process:
            wait_until(lambda: waiting_for_the_future(instance, datetime.now(UTC)) == [], process, LONGEST_START)
            process.send_signal(signal.SIGTERM)
            assert process.wait(90) == 0, (tmp_path / "log").read_text()
        data = again(instance, sensor).instigator_data
        assert isinstance(data, SensorInstigatorData)
        assert (data.last_tick_timestamp or 0) < datetime.now(UTC).timestamp()
    assert "due_movies_sensor ticked at" in (tmp_path / "log").read_text()


def test_a_check_that_mends_has_them_go_on_too(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    with Database(command.database).connect():
        pass
    assert command.call("tidy").code == 0  # makes the home
    with dg.DagsterInstance.from_config(str(command.home)) as instance:
        ticked(instance, "due_movies_sensor", SENSOR, AHEAD)
        assert command.call("check", "--json").json["resumed"] == []
        assert len(waiting_for_the_future(instance, NOW)) == 1
        assert command.call("check", "--mend", "--json").json["resumed"] == ["due_movies_sensor"]
        assert waiting_for_the_future(instance, datetime.now(UTC)) == []
