"""Alerts: of failed runs and used-up quotas, over real HTTP, at least once, and without a secret in them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.automation import alerts
from ayne_dagster.automation.alerts import (
    ALERT_SENSORS,
    ALERT_TAG,
    DELIVERED,
    UNDELIVERED,
    failed_run_alert,
    quota_alerts,
    run_failure_alerts,
    stalled_run_alerts,
    undelivered_alerts,
)
from ayne_dagster.automation.notify import (
    Alert,
    LogNotifier,
    NotificationFailed,
    Notifier,
    WebhookNotifier,
    build_notifier,
)
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.resources.clients import build_resources
from ayne_dagster.runs.own_runs import own_run
from ayne_dagster.sources.limits.account import account_of
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.conftest import START, later
from ayne_dagster_tests.support.webhook import SECRET_PATH, Webhook, webhook

MakeSettings = Callable[..., Settings]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
KEYS = {"kind", "what", "means", "do", "at", "run_id", "job", "source", "text"}


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


@dataclass
class Recording:
    """A notifier of somebody else's."""

    told: list[Alert] = field(default_factory=list)
    error: Exception | None = None

    def notify(self, alert: Alert) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(alert)


@dataclass
class Daemon:
    """Evaluates the sensors as Dagster's daemon does: each with the cursor that it left."""

    settings: Settings
    instance: dg.DagsterInstance
    notifier: Notifier
    cursors: dict[str, str | None] = field(default_factory=dict)

    def tick(self, sensor: dg.SensorDefinition) -> str | None:
        """One evaluation; returns why it requested nothing, where it says so."""
        repository = build_defs(self.settings).get_repository_def()
        resources = build_resources(self.settings) | {"notifier": self.notifier}
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor.name),
            repository_def=repository,
            resources=resources,
            sensor_name=sensor.name,
        ) as context:
            evaluated = sensor.evaluate_tick(context)
        self.cursors[sensor.name] = evaluated.cursor
        return evaluated.skip_message


def failed_run(
    settings: Settings, instance: dg.DagsterInstance, standin: StandIn, job: str = "discover_movies"
) -> dg.DagsterRun:
    """A run that really fails: TMDB does not accept the key."""
    standin.inject(Fault("status", "tmdb", status=401))
    definition = build_defs(settings).resolve_job_def(job)
    with own_run(instance) as tags:
        outcome = definition.execute_in_process(
            instance=instance, tags=tags, partition_key="2020", run_config=QUIET, raise_on_error=False
        )
    standin.clear_faults()
    assert not outcome.success
    return outcome.dagster_run


def tag(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    return stored.tags.get(ALERT_TAG)


@pytest.fixture
def daemon(make_settings: MakeSettings, instance: dg.DagsterInstance, hook: Webhook) -> Daemon:
    """With a webhook, and past the first tick, in which the failure sensor only finds out where it starts."""
    daemon = Daemon(make_settings(alert_webhook_url=hook.url), instance, WebhookNotifier(hook.url, 5.0))
    daemon.tick(run_failure_alerts)
    return daemon


def test_a_failed_run_is_told_of_once_with_what_it_means_and_what_to_do(
    daemon: Daemon, hook: Webhook, standin: StandIn
) -> None:
    run = failed_run(daemon.settings, daemon.instance, standin)
    for _ in range(2):
        daemon.tick(run_failure_alerts)
    (body,) = hook.bodies
    assert set(body) == KEYS
    assert (body["kind"], body["job"], body["run_id"]) == ("run_failed", "discover_movies", run.run_id)
    assert body["what"].startswith("discover_movies failed: ")
    assert "TMDB_READ_TOKEN" in body["what"]
    assert "kept" in body["means"]
    assert body["do"]
    assert "\n" not in json.dumps(body, ensure_ascii=False)
    for part in ("what", "means", "do", "run_id"):
        assert body[part] in body["text"]
    assert tag(daemon.instance, run) == DELIVERED


def test_a_run_that_succeeds_is_not_told_of(daemon: Daemon, hook: Webhook) -> None:
    job = build_defs(daemon.settings).resolve_job_def("discover_movies")
    assert job.execute_in_process(instance=daemon.instance, partition_key="2020", run_config=QUIET).success
    daemon.tick(run_failure_alerts)
    assert hook.paths == []


def test_an_alert_that_could_not_be_delivered_is_delivered_later(
    daemon: Daemon, hook: Webhook, standin: StandIn
) -> None:
    hook.status = 500
    run = failed_run(daemon.settings, daemon.instance, standin)
    daemon.tick(run_failure_alerts)
    assert (hook.bodies, tag(daemon.instance, run)) == ([], UNDELIVERED)
    assert daemon.tick(undelivered_alerts) == "0 of 1 undelivered alerts sent."

    hook.status = 200
    assert daemon.tick(undelivered_alerts) == "1 of 1 undelivered alerts sent."
    assert daemon.tick(undelivered_alerts) == "0 of 0 undelivered alerts sent."
    assert [body["run_id"] for body in hook.bodies] == [run.run_id]
    assert "TMDB_READ_TOKEN" in hook.bodies[0]["what"]
    assert tag(daemon.instance, run) == DELIVERED


def test_a_tag_on_a_run_that_did_not_fail_tells_nothing(daemon: Daemon, hook: Webhook) -> None:
    job = build_defs(daemon.settings).resolve_job_def("discover_movies")
    tags = {ALERT_TAG: UNDELIVERED}
    assert job.execute_in_process(instance=daemon.instance, partition_key="2020", run_config=QUIET, tags=tags).success
    assert daemon.tick(undelivered_alerts) == "0 of 0 undelivered alerts sent."
    assert hook.paths == []


def test_alerts_after_one_that_fails_are_delivered_too(daemon: Daemon, hook: Webhook, standin: StandIn) -> None:
    hook.status = 503
    runs = [failed_run(daemon.settings, daemon.instance, standin) for _ in range(2)]
    daemon.tick(run_failure_alerts)
    assert [tag(daemon.instance, run) for run in runs] == [UNDELIVERED] * 2
    hook.status = 200
    third = failed_run(daemon.settings, daemon.instance, standin)
    daemon.tick(run_failure_alerts)
    daemon.tick(undelivered_alerts)
    assert [body["run_id"] for body in hook.bodies] == [third.run_id, *(run.run_id for run in runs)]


def test_a_sensor_that_died_before_its_cursor_moved_does_not_tell_twice(
    daemon: Daemon, hook: Webhook, standin: StandIn
) -> None:
    before = daemon.cursors["run_failure_alerts"]
    failed_run(daemon.settings, daemon.instance, standin)
    daemon.tick(run_failure_alerts)
    daemon.cursors["run_failure_alerts"] = before
    daemon.tick(run_failure_alerts)
    assert len(hook.bodies) == 1


def test_a_notifier_that_breaks_costs_no_alert(daemon: Daemon, standin: StandIn) -> None:
    daemon.notifier = broken = Recording(error=RuntimeError(f"cannot post to {SECRET_PATH}"))
    run = failed_run(daemon.settings, daemon.instance, standin)
    daemon.tick(run_failure_alerts)
    assert tag(daemon.instance, run) == UNDELIVERED
    broken.error = None
    daemon.tick(undelivered_alerts)
    assert [alert.run_id for alert in broken.told] == [run.run_id]


def test_runs_of_another_code_location_are_not_ours_to_tell_of(daemon: Daemon, hook: Webhook) -> None:
    @dg.op
    def fail() -> None:
        raise ValueError("theirs")

    @dg.job
    def theirs() -> None:
        fail()

    assert not theirs.execute_in_process(instance=daemon.instance, raise_on_error=False, run_config=QUIET).success
    daemon.tick(run_failure_alerts)
    assert hook.paths == []


def test_a_killed_command_is_told_of(daemon: Daemon, hook: Webhook) -> None:
    job = build_defs(daemon.settings).resolve_job_def("refresh_movies")
    run = daemon.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    daemon.instance.report_run_failed(run, "The process that executed this run is gone; what had arrived is kept.")
    daemon.tick(run_failure_alerts)
    assert "The process that executed this run is gone" in hook.bodies[0]["what"]
    assert "due_movies_sensor tries again" in hook.bodies[0]["do"]


def use_up(settings: Settings, source: str) -> None:
    account = account_of(source, settings, open_ledger(settings), settings.now)
    account.ledger.exhaust(account.name, account.today)


def test_a_used_up_quota_is_told_of_once_a_day(
    make_settings: MakeSettings, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    daemon = Daemon(make_settings(omdb_quota=5), instance, WebhookNotifier(hook.url))
    assert daemon.tick(quota_alerts) == "Nothing to tell."
    use_up(daemon.settings, "omdb")
    for _ in range(2):
        daemon.tick(quota_alerts)
    (body,) = hook.bodies
    assert (body["kind"], body["source"]) == ("quota_used_up", "omdb")
    assert body["what"] == "The 5 requests to OMDb of 2026-01-01 (UTC) are used up."
    daemon.settings = make_settings(later(1), omdb_quota=5)
    assert daemon.tick(quota_alerts) == "Nothing to tell."
    use_up(daemon.settings, "omdb")
    daemon.tick(quota_alerts)
    assert len(hook.bodies) == 2


def test_each_source_s_quota_is_told_of(
    make_settings: MakeSettings, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    settings = make_settings(omdb_quota=5)
    settings = replace(settings, tmdb=replace(settings.tmdb, daily_quota=7))
    daemon = Daemon(settings, instance, WebhookNotifier(hook.url))
    use_up(settings, "tmdb")
    daemon.tick(quota_alerts)
    use_up(settings, "omdb")
    daemon.tick(quota_alerts)
    assert [body["source"] for body in hook.bodies] == ["tmdb", "omdb"]


def test_a_quota_is_used_up_when_only_the_reserve_is_left(
    make_settings: MakeSettings, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    settings = make_settings(omdb_quota=3)
    settings = replace(settings, omdb=replace(settings.omdb, quota_reserve=2))
    daemon = Daemon(settings, instance, WebhookNotifier(hook.url))
    account = account_of("omdb", settings, open_ledger(settings), settings.now)
    assert daemon.tick(quota_alerts) == "Nothing to tell."
    assert account.ledger.charge(account.name, account.today, 3)
    daemon.tick(quota_alerts)
    assert "but for the 2 kept for people" in hook.bodies[0]["what"]


def test_a_quota_s_alert_that_fails_is_sent_again_at_the_next_tick(
    make_settings: MakeSettings, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    daemon = Daemon(make_settings(omdb_quota=5), instance, WebhookNotifier(hook.url))
    use_up(daemon.settings, "omdb")
    hook.status = 404
    assert "sent again at the next tick: the webhook answered with HTTP 404" in (daemon.tick(quota_alerts) or "")
    hook.status = 200
    daemon.tick(quota_alerts)
    assert len(hook.bodies) == 1


@pytest.mark.parametrize("cursor", ["", "nonsense", "[1]"])
def test_a_cursor_that_cannot_be_read_tells_again(
    make_settings: MakeSettings, instance: dg.DagsterInstance, hook: Webhook, cursor: str
) -> None:
    daemon = Daemon(make_settings(omdb_quota=5), instance, WebhookNotifier(hook.url), {"quota_alerts": cursor})
    use_up(daemon.settings, "omdb")
    daemon.tick(quota_alerts)
    assert len(hook.bodies) == 1


def test_a_ledger_that_cannot_be_read_is_a_reason_and_no_failure(
    make_settings: MakeSettings, instance: dg.DagsterInstance, hook: Webhook, tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("")
    settings = make_settings(omdb_quota=5, ledger_url=f"sqlite:///{tmp_path}/a-file/ledger.sqlite")
    assert "ledger" in (Daemon(settings, instance, WebhookNotifier(hook.url)).tick(quota_alerts) or "")
    assert hook.paths == []


ALERT = Alert("run_failed", "what", "means", "do", "2026-01-01T00:00:00+00:00")


def failure_of(notifier: Notifier) -> str:
    with pytest.raises(NotificationFailed) as caught:
        notifier.notify(ALERT)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 429, 500])
def test_an_answer_other_than_2xx_is_a_failure_that_does_not_name_the_address(hook: Webhook, status: int) -> None:
    hook.status, hook.headers = status, {"Location": hook.url}
    assert failure_of(WebhookNotifier(hook.url)) == f"the webhook answered with HTTP {status}"
    assert len(hook.paths) == 1, "a redirect was followed"


def test_a_webhook_that_never_ends_its_answer_is_given_up(hook: Webhook) -> None:
    hook.silent = True
    started = time.monotonic()
    assert "within 0.5 s" in failure_of(WebhookNotifier(hook.url, deadline_seconds=0.5))
    assert time.monotonic() - started < 30


def test_a_webhook_that_cannot_be_reached_is_a_failure_that_does_not_name_the_address() -> None:
    assert failure_of(WebhookNotifier(f"http://127.0.0.1:9{SECRET_PATH}")) == (
        "the webhook could not be reached (ConnectError)"
    )


def test_the_address_is_in_no_log_line_event_or_configuration(
    daemon: Daemon, hook: Webhook, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    run = failed_run(daemon.settings, daemon.instance, standin)
    daemon.tick(run_failure_alerts)
    hook.status = 500
    failed_run(daemon.settings, daemon.instance, standin)
    daemon.tick(run_failure_alerts)
    assert len(hook.paths) == 2
    stored = repr(list(daemon.instance.all_logs(run.run_id)))
    definitions = build_defs(daemon.settings)
    shown = repr(definitions.resources) + repr(daemon.settings) + repr(daemon.notifier)
    for text in (caplog.text, stored, shown):
        assert "very-secret" not in text


def test_no_key_is_in_an_alert() -> None:
    settings = Settings(omdb_api_key="key/of=omdb1", alert_webhook_url=f"https://hooks.example{SECRET_PATH}")
    run = dg.DagsterRun("refresh_movies")
    reason = f"GET /?apikey=key%2Fof%3Domdb1 key/of=omdb1 https://hooks.example{SECRET_PATH} failed\n  at line 1"
    alert = failed_run_alert(run, reason, START, settings)
    assert alert.what == "refresh_movies failed: GET /?apikey=… … … failed at line 1"


def test_a_long_reason_is_cut_off() -> None:
    alert = failed_run_alert(dg.DagsterRun("refresh_movies"), "x" * 100_000, START, Settings())
    assert len(alert.text) < 1000


def test_a_reason_that_nobody_gives_is_told_so() -> None:
    assert (
        "ended before its first step" in failed_run_alert(dg.DagsterRun("refresh_movies"), None, START, Settings()).what
    )


def test_alerts_are_logged_unless_there_is_an_address(caplog: pytest.LogCaptureFixture) -> None:
    notifier = build_notifier(Settings())
    assert isinstance(notifier, LogNotifier)
    notifier.notify(ALERT)
    assert "what means do" in caplog.text
    assert isinstance(build_notifier(Settings(alert_webhook_url="https://hooks.example")), WebhookNotifier)


def test_the_sensors_run_without_being_switched_on_and_take_any_notifier(make_settings: MakeSettings) -> None:
    mine = Recording()
    definitions = build_defs(make_settings(), resource_overrides={"notifier": mine})
    assert definitions.resources is not None
    assert definitions.resources["notifier"] is mine
    repository = definitions.get_repository_def()
    for sensor in ALERT_SENSORS:
        assert repository.has_sensor_def(sensor.name)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_the_address_is_read_from_the_environment() -> None:
    assert load_settings({"AYNE_ALERT_WEBHOOK_URL": "https://hooks.example/x"}).alert_webhook_url


# Runs that make no progress


@pytest.fixture
def running(daemon: Daemon) -> dg.DagsterRun:
    """A run that has started, said something, and not ended."""
    job = build_defs(daemon.settings).resolve_job_def("refresh_movies")
    run = daemon.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    daemon.instance.report_engine_event("Under way.", run)
    return run


def test_a_run_that_has_told_nothing_for_long_is_told_of_once(
    daemon: Daemon, running: dg.DagsterRun, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert daemon.tick(stalled_run_alerts) == "Nothing to tell."
    monkeypatch.setattr(alerts, "STALLED_AFTER", 0.0)
    for _ in range(2):
        daemon.tick(stalled_run_alerts)
    (body,) = hook.bodies
    assert (body["kind"], body["job"], body["run_id"]) == ("run_stalled", "refresh_movies", running.run_id)
    assert "terminate it" in body["do"]

    daemon.instance.report_run_canceled(running)
    assert daemon.tick(stalled_run_alerts) == "Nothing to tell."
    assert json.loads(daemon.cursors["stalled_run_alerts"] or "") == {}, "what has ended is forgotten"


def test_an_alert_of_a_stalled_run_that_was_not_delivered_is_sent_again(
    daemon: Daemon, running: dg.DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "STALLED_AFTER", 0.0)
    recording = Recording(error=NotificationFailed("nobody there"))
    daemon.notifier = recording
    assert "sent again" in (daemon.tick(stalled_run_alerts) or "")
    recording.error = None
    daemon.tick(stalled_run_alerts)
    assert [alert.kind for alert in recording.told] == ["run_stalled"]
