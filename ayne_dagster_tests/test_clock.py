"""The platform's clock, turned and fast: what it shows, how it is read, and that no real source is asked by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.automation.demonstration import last_time, simulated_schedules
from ayne_dagster.automation.schedules import change_feed_schedule, discovery_schedule
from ayne_dagster.config import Settings, SettingsError, load_settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.runs.batch import RANGE_START_TAG
from ayne_dagster.runs.retention import CLOCK_TAG
from ayne_dagster.settings.clock import FURTHEST, Clock, Fast, read_fast

SHOWN = datetime(2026, 3, 1, tzinfo=UTC)
SINCE = datetime(2026, 11, 28, 7, tzinfo=UTC)
A_DAY_A_MINUTE = Fast(SHOWN, SINCE, 1440)
ON_STANDINS = {
    "AYNE_CLOCK": str(A_DAY_A_MINUTE),
    "AYNE_TMDB_BASE_URL": "http://127.0.0.1:8765/3",
    "AYNE_OMDB_BASE_URL": "http://localhost:8765/omdb/",
}
MakeSettings = Callable[..., Settings]


def test_a_fast_clock_passes_a_day_in_a_minute_and_never_stands_before_its_beginning() -> None:
    assert A_DAY_A_MINUTE.at(SINCE + timedelta(minutes=2, seconds=30)) == SHOWN + timedelta(days=2, hours=12)
    assert A_DAY_A_MINUTE.at(SINCE - timedelta(hours=1)) == SHOWN
    assert A_DAY_A_MINUTE.at(datetime.max.replace(tzinfo=UTC)) == SHOWN + FURTHEST
    assert Clock(timedelta(days=1), A_DAY_A_MINUTE).at(SINCE) == SHOWN + timedelta(days=1)


@given(st.datetimes(), st.datetimes(), st.integers(1, 100_000))
def test_what_a_fast_clock_says_of_itself_is_read_as_the_same_clock(
    shown: datetime, since: datetime, rate: float
) -> None:
    fast = Fast(shown.replace(tzinfo=UTC), since.replace(tzinfo=UTC), rate)
    assert read_fast(str(fast)) == fast


@pytest.mark.parametrize(
    "text",
    [
        "1440",
        "2026-03-01T00:00Z since yesterday x 1440",
        "2026-03-01T00:00 since 2026-11-28T07:00Z x 1440",
        "2026-03-01T00:00Z since 2026-11-28T07:00Z x 0.5",
        "2026-03-01T00:00Z since 2026-11-28T07:00Z x 1e9",
        "2026-03-01T00:00Z since 2026-11-28T07:00Z x 999999",
    ],
)
def test_a_fast_clock_that_makes_no_sense_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(SettingsError, match="AYNE_CLOCK is"):
        load_settings({**ON_STANDINS, "AYNE_CLOCK": text})


@pytest.mark.parametrize(
    ("elsewhere", "named"),
    [
        ({"AYNE_TMDB_BASE_URL": ""}, "TMDB"),
        ({"AYNE_OMDB_BASE_URL": "https://www.omdbapi.com/"}, "OMDb"),
        ({"AYNE_CONTACT": "you@example.org"}, "Wikidata"),
        ({"AYNE_NUMBERS_ACKNOWLEDGE_TERMS": "yes"}, "The Numbers"),
        ({"AYNE_IMDB_RATINGS_URL": "https://datasets.imdbws.com/title.ratings.tsv.gz"}, "IMDb's file"),
        ({"AYNE_TMDB_BASE_URL": "http://127.0.0.1.example.org/3"}, "TMDB"),
    ],
)
def test_a_fast_clock_asks_no_source_that_is_not_on_this_machine(elsewhere: dict[str, str], named: str) -> None:
    assert load_settings(ON_STANDINS).fast_clock == A_DAY_A_MINUTE
    with pytest.raises(SettingsError, match=f"{named} is no stand-in on this machine"):
        load_settings({**ON_STANDINS, **elsewhere})


def test_a_schedule_ticks_at_its_last_time_alone_and_not_twice() -> None:
    assert last_time(discovery_schedule, SHOWN, SHOWN + timedelta(hours=4)) is None
    five = SHOWN + timedelta(hours=5)
    assert last_time(discovery_schedule, SHOWN, five) == five
    assert last_time(discovery_schedule, five, five + timedelta(hours=1)) is None
    assert last_time(discovery_schedule, SHOWN, SHOWN + timedelta(days=3, hours=4)) == five + timedelta(days=2)


def test_the_schedules_of_a_demonstration_tick_by_its_clock(make_settings: MakeSettings) -> None:
    long_ago = Fast(SHOWN, datetime.now(UTC) - timedelta(minutes=10), 1440)  # ten days and a bit have passed
    settings = replace(make_settings(), clock_offset=timedelta(0), fast_clock=long_ago)
    with dg.instance_for_test() as instance:

        def look(cursor: str | None) -> dg.SensorResult:
            context = dg.build_sensor_context(instance, cursor=cursor)
            result = simulated_schedules(context, clock=settings.clock, settings=settings)
            assert isinstance(result, dg.SensorResult)
            return result

        first = look(None)
        assert not first.run_requests, "what came before it was switched on is not made up for"
        later = look(json.dumps({"seen": (SHOWN + timedelta(days=8)).isoformat()}))
    requests = list(later.run_requests or ())
    assert [request.job_name for request in requests] == ["discover_movies", "read_change_feed"]
    assert all(str(request.tags[CLOCK_TAG]).startswith("2026-03-1") for request in requests)
    assert requests[0].tags[RANGE_START_TAG] == "1874"
    assert str(requests[0].run_key).startswith(f"{discovery_schedule.name}:2026-03-1")
    assert change_feed_schedule.name in str(requests[1].run_key)


def test_a_demonstration_has_its_automation_on_from_the_start_and_nobody_else_has(make_settings: MakeSettings) -> None:
    usual = make_settings()
    live = replace(usual, fast_clock=A_DAY_A_MINUTE)
    for settings, status in ((usual, "STOPPED"), (live, "RUNNING")):
        repository = build_defs(settings).get_repository_def()
        sensor = repository.get_sensor_def("due_movies_sensor")
        assert sensor.default_status.value == status
        assert repository.has_sensor_def("simulated_schedules") == (status == "RUNNING")


def test_nothing_real_is_collected_into_a_demonstrations_database(tmp_path: Path) -> None:
    real = Settings(database=tmp_path / "demo.duckdb", tmdb_read_token="token")
    real.require_tmdb_key()
    (tmp_path / "demo.duckdb.world.json").write_text("{}")
    with pytest.raises(SettingsError, match="invented movies"):
        real.require_tmdb_key()
    replace(real, tmdb=replace(real.tmdb, base_url="http://127.0.0.1:8765/3")).require_tmdb_key()
