"""The due-movies sensor and the schedule, on a real ephemeral Dagster instance."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ayne_dagster.assets.switched_off import switched_off
from ayne_dagster.automation.due_movies import ATTEMPT_TAG, REQUESTED_TAG, due_movies_sensor
from ayne_dagster.automation.schedules import discovery_schedule
from ayne_dagster.config import Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.partitions import PARTITION_KEYS, YEARS_TAG
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.states import Override
from ayne_dagster.resources.clients import build_resources
from ayne_dagster.runs.batch import BATCH_TAG, RANGE_END_TAG, RANGE_START_TAG, REASONS_TAG, pick_batch, range_tags
from ayne_dagster.runs.own_runs import close_abandoned_runs, note_interruption, own_run
from ayne_dagster.settings.tags import OWN_RUN_TAG, PARENT_RUN_TAG
from ayne_dagster.sources.limits.account import account_of
from ayne_dagster.sources.limits.ledger import RequestLedger, account_name, open_ledger
from ayne_dagster.warehouse.answers import Answer, ListedMovie
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.refresh_metadata import set_override
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster.warehouse.spool import Origin, keep
from ayne_dagster_tests.conftest import START, later
from ayne_dagster_tests.support.samples import details

MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """Three discovered movies, none of them fetched."""
    settings = make_settings()
    listed = [
        ListedMovie(number, START, {"tmdb_id": number, "release_date": date(year, 5, 1), "title": f"{year}"})
        for number, year in ((1, 1999), (2, 2021), (3, 2010))
    ]
    with Database(settings.database).transaction() as connection:
        merge_listing(connection, listed, "earlier")
    return settings


def evaluate(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance, resources=build_resources(settings)) as context:
        result = due_movies_sensor(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def request(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest:
    result = evaluate(settings, instance)
    assert isinstance(result, dg.RunRequest), result
    return result


def skipped(settings: Settings, instance: dg.DagsterInstance) -> str:
    result = evaluate(settings, instance)
    assert isinstance(result, dg.SkipReason), result
    return str(result.skip_message)


def launched(
    settings: Settings, instance: dg.DagsterInstance, run: dg.RunRequest, status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    return instance.create_run_for_job(job, run_config=run.run_config, tags=run.tags, status=status)


def test_one_run_is_requested_for_the_range_of_years_the_due_movies_lie_in(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    run = request(settings, instance)
    assert (run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]) == ("1999", "2021")
    assert run.tags[YEARS_TAG] == "3: 1999, 2010, 2021"


def test_an_undated_movie_stretches_no_run_over_years_before_the_others(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    with Database(settings.database).transaction() as connection:
        merge_listing(connection, [ListedMovie(4, START, {"tmdb_id": 4, "title": "Undated"})], "earlier")
    tags = request(settings, instance).tags
    assert (tags[RANGE_START_TAG], tags[RANGE_END_TAG]) == ("1999", "unknown")
    assert tags[YEARS_TAG] == "4: 1999, 2010, 2021, unknown"
    assert PARTITION_KEYS[-1] == "unknown"


def test_the_chosen_ids_are_in_the_run_config_newest_first_and_the_reason_in_the_tags(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    run = request(settings, instance)
    for asset in ("tmdb_details", "omdb_ratings"):
        assert run.run_config["ops"][asset]["config"]["tmdb_ids"] == [2, 3, 1]
    assert run.tags[REASONS_TAG] == "tmdb: 3 never_fetched; omdb: none due"


def test_the_run_request_is_valid_for_the_job(settings: Settings, instance: dg.DagsterInstance) -> None:
    run = request(settings, instance)
    job = build_defs(settings).resolve_job_def("refresh_movies")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = job.execute_in_process(
        instance=instance, tags=run.tags, run_config={**run.run_config, **quiet}, raise_on_error=False
    )
    assert result.success
    for asset in ("tmdb_details", "omdb_ratings", "refresh_metadata"):
        materialized = [event.partition for event in result.asset_materializations_for_node(asset)]
        assert sorted(materialized) == ["1999", "2010", "2021"], "the years that it touches, each once"


def test_a_range_that_a_person_asks_for_is_materialized_as_a_whole(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = job.execute_in_process(instance=instance, tags=range_tags("1999", "2021"), run_config=quiet)
    materialized = {event.partition for event in result.asset_materializations_for_node("tmdb_details")}
    assert materialized == {str(year) for year in range(1999, 2022)}


def test_few_due_movies_are_gathered_and_the_reason_says_until_when(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    gathering = replace(settings, sensor_min_batch=100)
    assert skipped(gathering, instance) == "3 due, gathering until 100 are, or 18:00 UTC."
    longer = replace(gathering, sensor_max_wait=timedelta(hours=36))
    assert skipped(longer, instance) == "3 due, gathering until 100 are, or 2026-01-03 00:00 UTC."


def test_tick_by_tick_a_run_is_requested_once_the_first_movie_has_waited(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    gathering = replace(settings, sensor_min_batch=100)
    requested = [
        minutes
        for minutes in range(0, 400, 40)
        if isinstance(evaluate(turned(gathering, minutes), instance), dg.RunRequest)
    ]
    assert requested == [360]
    assert request(turned(gathering, 361), instance).run_config["ops"]["tmdb_details"]["config"]["tmdb_ids"] == [
        2,
        3,
        1,
    ]


@pytest.mark.parametrize(
    "enough", [{"sensor_min_batch": 3}, {"refresh_limit": 3}], ids=["set", "more than a run takes"]
)
def test_enough_due_movies_are_worth_a_run_at_once(
    settings: Settings, instance: dg.DagsterInstance, enough: dict[str, Any]
) -> None:
    run = request(replace(settings, **({"sensor_min_batch": 100} | enough)), instance)
    assert len(run.run_config["ops"]["tmdb_details"]["config"]["tmdb_ids"]) == 3


def test_a_movie_that_a_person_forces_waits_for_no_others(settings: Settings, instance: dg.DagsterInstance) -> None:
    gathering = replace(settings, sensor_min_batch=100)
    with Database(settings.database).transaction() as connection:
        set_override(connection, [2], Override.FORCE, START)
    assert request(gathering, instance).run_config["ops"]["tmdb_details"]["config"]["tmdb_ids"][0] == 2


def turned(settings: Settings, minutes: float) -> Settings:
    """The settings with the clock turned further."""
    return replace(settings, clock_offset=settings.clock_offset + timedelta(minutes=minutes))


def test_what_is_in_flight_is_not_requested_again(settings: Settings, instance: dg.DagsterInstance) -> None:
    run = launched(settings, instance, request(settings, instance), dg.DagsterRunStatus.STARTED)
    assert run.run_id in skipped(settings, instance)


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
)
def test_a_refresh_under_way_in_any_status_is_waited_for(
    settings: Settings, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    launched(settings, instance, request(settings, instance), status)
    assert "running already" in skipped(settings, instance)


def test_a_failed_run_is_retried_with_a_fresh_run_key(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = request(settings, instance)
    launched(settings, instance, first, dg.DagsterRunStatus.FAILURE)
    assert "trying again in" in skipped(settings, instance)
    monkeypatch.setattr("ayne_dagster.automation.due_movies.RETRY_WAIT", later(0) - later(0))
    second = request(settings, instance)
    assert second.run_key != first.run_key
    assert second.tags[BATCH_TAG] == first.tags[BATCH_TAG]
    assert (first.tags[ATTEMPT_TAG], second.tags[ATTEMPT_TAG]) == ("1", "2")


def test_the_machine_whose_spool_holds_what_a_failed_run_left_goes_on_at_once_and_once(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    run = request(settings, instance)
    failed(settings, instance, run)
    assert "trying again in 2 minutes" in skipped(settings, instance), "another machine's spool is none of ours"
    keep(settings.database, Origin("tmdb", "tmdb_details", run.tags[BATCH_TAG]), [details(1)])
    assert request(settings, instance).tags[ATTEMPT_TAG] == "2"
    failed(settings, instance, run)
    assert "trying again in 4 minutes" in skipped(settings, instance)


def test_what_lies_in_the_spool_waits_for_no_company(settings: Settings, instance: dg.DagsterInstance) -> None:
    gathering = replace(settings, sensor_min_batch=100)
    assert "gathering until" in skipped(gathering, instance)
    keep(settings.database, Origin("tmdb", "tmdb_details", "run"), [details(1)])
    request(gathering, instance)


def failed(settings: Settings, instance: dg.DagsterInstance, run: dg.RunRequest, *more: tuple[str, str]) -> None:
    launched(settings, instance, run._replace(tags=run.tags | dict(more)), dg.DagsterRunStatus.FAILURE)


def test_the_wait_doubles_with_each_failed_batch_of_its_own(settings: Settings, instance: dg.DagsterInstance) -> None:
    run = request(settings, instance)
    for minutes in (2, 4, 8):
        failed(settings, instance, run)
        assert f"trying again in {minutes} minutes" in skipped(settings, instance)


def test_a_failure_in_the_future_of_a_clock_that_was_ahead_is_not_waited_for(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(settings, instance, request(settings, instance))
    skipped(settings, instance)

    class Right(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Right:
            return super().now(tz) - timedelta(days=365)

    monkeypatch.setattr("ayne_dagster.automation.due_movies.datetime", Right)
    assert request(settings, instance).tags[ATTEMPT_TAG] == "2"


@pytest.mark.parametrize(
    ("status", "more", "less"),
    [
        (dg.DagsterRunStatus.FAILURE, {}, {REQUESTED_TAG}),
        (dg.DagsterRunStatus.FAILURE, {"dagster/parent_run_id": "a run that a person executes again"}, set()),
        (dg.DagsterRunStatus.FAILURE, {"dagster/failure_reason": "UNEXPECTED_TERMINATION"}, set()),
        (dg.DagsterRunStatus.CANCELED, {}, set()),
    ],
    ids=["of somebody else", "executed again", "interrupted from outside", "canceled"],
)
def test_the_sensor_does_not_back_off_for_what_is_no_failed_batch_of_its_own(
    settings: Settings, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, more: dict[str, str], less: set[str]
) -> None:
    first = request(settings, instance)
    tags = {key: value for key, value in (first.tags | more).items() if key not in less}
    job = build_defs(settings).resolve_job_def("refresh_movies")
    instance.create_run_for_job(job, run_config=first.run_config, tags=tags, status=status)
    assert request(settings, instance).run_key != first.run_key


def test_the_sensor_does_not_back_off_for_a_run_whose_process_is_gone(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    run = launched(settings, instance, request(settings, instance), dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "Run worker process unexpectedly exited.")  # as Dagster's monitoring does
    request(settings, instance)


def test_what_others_do_in_between_hides_no_failure_and_a_success_of_anybody_ends_the_wait(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    run = request(settings, instance)
    failed(settings, instance, run)
    job = build_defs(settings).resolve_job_def("refresh_movies")
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        instance.create_run_for_job(job, status=status)
    assert "The last 1 refresh run(s) failed" in skipped(settings, instance)
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
    request(settings, instance)


def test_the_same_situation_gives_the_same_run_key(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert request(settings, instance).run_key == request(settings, instance).run_key


def test_nothing_due_is_a_reason_to_skip(settings: Settings, instance: dg.DagsterInstance) -> None:
    answers = [Answer(number, Outcome.FETCHED, START, {"tmdb_id": number}) for number in (1, 2, 3)]
    with Database(settings.database).transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "earlier")
    assert skipped(settings, instance) == "Nothing is due."


def test_no_database_yet_is_a_reason_to_skip(make_settings: MakeSettings, instance: dg.DagsterInstance) -> None:
    assert "discover_movies" in skipped(make_settings(), instance)


def test_a_busy_file_is_a_reason_to_skip(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ayne_dagster.automation.due_movies.SENSOR_WAIT_SECONDS", 0.1)
    opened = f"import duckdb, sys; c = duckdb.connect({str(settings.database)!r})"
    script = f"{opened}; print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        assert f"process {holder.pid}" in skipped(settings, instance)
        holder.communicate(b"")
    assert isinstance(evaluate(settings, instance), dg.RunRequest)


def test_a_source_without_quota_is_not_waited_for(make_settings: MakeSettings, instance: dg.DagsterInstance) -> None:
    settings = make_settings(omdb_quota=5)
    row = {"tmdb_id": 1, "imdb_id": "tt0000001", "release_date": START.date()}
    with Database(settings.database).transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", [Answer(1, Outcome.FETCHED, START, row)], "earlier")
    assert "omdb: 1 never_fetched" in request(settings, instance).tags[REASONS_TAG]
    account = account_name("omdb", settings.omdb.base_url, settings.omdb_api_key)
    RequestLedger(settings.ledger).exhaust(account, START.date())
    assert "used up" in skipped(settings, instance)


def test_the_limit_of_the_settings_holds_for_each_source_whatever_the_environment_says(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AYNE_REFRESH_LIMIT", "1")
    assert request(replace(settings, refresh_limit=2), instance).run_config["ops"]["tmdb_details"]["config"][
        "tmdb_ids"
    ] == [2, 3]


def test_each_source_is_asked_for_no_more_movies_than_its_own_limit(settings: Settings) -> None:
    batch = pick_batch(Database(settings.database), START, {"tmdb": 2})
    assert batch.ids == [2, 3]
    ops = batch.run_config()["ops"]
    assert {asset: ops[asset]["config"]["picked"] for asset in ops} == {
        "tmdb_details": 2,
        "omdb_ratings": 0,
        "box_office": 0,
    }
    assert {asset: ops[asset]["config"]["limit"] for asset in ops} == {
        "tmdb_details": 2,
        "omdb_ratings": 0,
        "box_office": 0,
    }


def with_quota(make_settings: MakeSettings, *, spent: int, **limits: int) -> Settings:
    """One movie that is due for OMDb alone, at noon, with some of OMDb's 48 requests of the day spent."""
    settings = make_settings(omdb_quota=48)
    settings = replace(settings, omdb=replace(settings.omdb, **limits))
    row = {"tmdb_id": 1, "imdb_id": "tt0000001", "release_date": START.date()}
    with Database(settings.database).transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", [Answer(1, Outcome.FETCHED, START, row)], "earlier")
    account = account_of("omdb", settings, open_ledger(settings), settings.now)
    for _ in range(spent):
        account.charge()
    return settings


@pytest.mark.parametrize(
    ("spent", "limits", "expected"),
    [(20, {}, 6), (0, {}, 26), (10, {"quota_reserve": 24}, 3), (0, {"daily_quota": 100_000}, 100)],
    ids=["what is left of 13 hours", "all of 13 hours", "less the reserve", "never above the refresh limit"],
)
def test_a_source_is_asked_for_no_more_than_the_day_has_released(
    make_settings: MakeSettings, instance: dg.DagsterInstance, spent: int, limits: dict[str, int], expected: int
) -> None:
    ops = request(with_quota(make_settings, spent=spent, **limits), instance).run_config["ops"]
    assert ops["omdb_ratings"]["config"]["limit"] == expected
    assert ops["tmdb_details"]["config"]["limit"] == 100, "a source without a quota has no budget"
    assert not ops["omdb_ratings"]["config"]["use_reserve"]


def test_no_run_is_requested_when_what_is_released_is_spent_and_the_reason_says_when_there_is_more(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    reason = skipped(with_quota(make_settings, spent=26), instance)
    assert "26 spent of 26 released by now" in reason
    assert "the next are released at 13:00 UTC" in reason


def test_when_the_day_is_spent_the_reason_says_so_and_tells_of_the_reserve(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    reason = skipped(with_quota(make_settings, spent=40, quota_reserve=8), instance)
    assert "OMDb's 48 requests of today are used up (40 spent, 8 kept for people)" in reason
    assert "the next are released at 00:00 UTC" in reason


def test_a_spent_budget_of_one_source_does_not_hold_up_another(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = with_quota(make_settings, spent=26)
    listed = ListedMovie(2, START, {"tmdb_id": 2, "release_date": START.date(), "title": "New"})
    with Database(settings.database).transaction() as connection:
        merge_listing(connection, [listed], "earlier")
    run = request(settings, instance)
    assert run.run_config["ops"]["omdb_ratings"]["config"]["limit"] == 0
    assert run.run_config["ops"]["tmdb_details"]["config"]["tmdb_ids"] == [2]


def test_a_source_that_asked_for_a_long_pause_is_not_asked_and_the_reason_says_until_when(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = with_quota(make_settings, spent=0)
    account = account_of("omdb", settings, open_ledger(settings), settings.now)
    account.refused(1800)
    assert "OMDb asked to wait until 12:" in skipped(settings, instance)


def test_a_ledger_that_cannot_be_used_is_a_reason_to_skip_without_its_password(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    reason = skipped(replace(settings, ledger_url="postgresql://me:s3cret-word@127.0.0.1:1/ayne"), instance)
    assert "127.0.0.1:1/ayne cannot be used" in reason
    assert "s3cret-word" not in reason


def test_no_configuration_holds_the_address_of_the_ledger(make_settings: MakeSettings) -> None:
    settings = make_settings(ledger_url="postgresql://me:s3cret-word@127.0.0.1:1/ayne")
    job = build_defs(settings).resolve_job_def("refresh_movies")
    assert "s3cret-word" not in dg.serialize_value(job.get_job_snapshot())
    assert "s3cret-word" not in repr(build_resources(settings))


def test_a_run_whose_command_was_killed_is_closed(settings: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    with own_run(instance) as tags:
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        assert close_abandoned_runs(instance) == []
    assert close_abandoned_runs(instance) == [run.run_id]
    closed = instance.get_run_by_id(run.run_id)
    assert closed is not None
    assert closed.status is dg.DagsterRunStatus.FAILURE


def test_a_run_of_a_command_that_a_person_executes_again_is_not_taken_for_that_commands(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    with own_run(instance) as tags:
        pass
    again = {**tags, PARENT_RUN_TAG: "one that the UI copied the tags of"}
    instance.create_run_for_job(job, tags=again, status=dg.DagsterRunStatus.STARTED)
    assert close_abandoned_runs(instance) == []


def test_a_run_that_was_interrupted_before_its_command_was_killed_is_canceled(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    with own_run(instance) as tags:
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        note_interruption(instance, run.run_id)
    assert close_abandoned_runs(instance) == [run.run_id]
    closed = instance.get_run_by_id(run.run_id)
    assert closed is not None
    assert closed.status is dg.DagsterRunStatus.CANCELED


def test_a_run_that_has_ended_is_not_interrupted_any_more(settings: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
    note_interruption(instance, run.run_id)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.SUCCESS


def test_a_run_that_ends_while_others_look_for_abandoned_ones_keeps_its_end(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    with own_run(instance) as tags:
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        seen = list(instance.get_run_records())
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name), run.run_id
        )
    monkeypatch.setattr(instance, "get_run_records", lambda *_, **__: seen)  # read before it ended
    assert close_abandoned_runs(instance) == []
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.SUCCESS


def test_a_home_whose_making_was_killed_is_no_home_of_everybody(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def killed(self: Path, text: str) -> int:
        written.append(self.name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            close_abandoned_runs_with_a_run_of_ours(settings, instance)
    assert written != ["home"], "an empty home would make all foreign runs look like ours"
    with own_run(instance) as tags:
        assert len(tags[OWN_RUN_TAG].partition("/")[0]) == 32


def close_abandoned_runs_with_a_run_of_ours(settings: Settings, instance: dg.DagsterInstance) -> None:
    with own_run(instance) as tags:
        instance.create_run_for_job(
            build_defs(settings).resolve_job_def("refresh_movies"), tags=tags, status=dg.DagsterRunStatus.STARTED
        )
    close_abandoned_runs(instance)


def test_a_run_of_another_dagster_home_is_left_alone(settings: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(settings).resolve_job_def("refresh_movies")
    instance.create_run_for_job(job, tags={OWN_RUN_TAG: "elsewhere/1"}, status=dg.DagsterRunStatus.STARTED)
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert close_abandoned_runs(instance) == []


def test_discovery_is_scheduled_daily_for_all_release_years() -> None:
    run = discovery_schedule(dg.build_schedule_context(scheduled_execution_time=START))
    assert isinstance(run, dg.RunRequest)
    assert run.tags[RANGE_START_TAG] == PARTITION_KEYS[0]
    assert run.tags[RANGE_END_TAG] == PARTITION_KEYS[-2], "the year after the last has no movies that can be listed"
    assert discovery_schedule.cron_schedule == "0 5 * * *"


def test_the_code_location_holds_what_other_programs_rely_on(make_settings: MakeSettings) -> None:
    repository = build_defs(make_settings()).get_repository_def()
    assert {key.path[-1] for key in repository.assets_defs_by_key} == {
        "discovered_movies", "tmdb_details", "omdb_ratings", "refresh_metadata", "movies", "collection_status",
        "tmdb_changes", "tmdb_id_export", "imdb_ratings", "box_office",
    }  # fmt: skip
    assert {"discover_movies", "refresh_movies"} <= set(repository.job_names)
    assert repository.has_sensor_def("due_movies_sensor")
    assert repository.has_schedule_def("discovery_schedule")
    assert repository.has_schedule_def("change_feed_schedule")


def test_every_asset_is_described_owned_and_has_a_freshness_policy_and_columns(make_settings: MakeSettings) -> None:
    off = switched_off(make_settings())
    for spec in build_defs(make_settings()).resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert "dagster/kind/duckdb" in spec.tags, spec.key
        assert (spec.freshness_policy is None) == (spec.key.path[-1] in off), spec.key
        schema = spec.metadata["dagster/column_schema"]
        assert all(column.description for column in schema.columns), spec.key


def test_no_configuration_holds_a_key(make_settings: MakeSettings) -> None:
    settings = make_settings(tmdb_read_token="secret-token-1", omdb_api_key="secret-key-2")
    for job in build_defs(settings).get_repository_def().get_all_jobs():
        assert "secret" not in dg.serialize_value(job.get_job_snapshot())
    assert "secret" not in repr(build_resources(settings))
