"""Ending a collection from outside: Ctrl-C and SIGTERM at any moment of a command, and Dagster's own termination."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ayne_dagster import cli
from ayne_dagster.runs.batch import range_tags
from ayne_dagster.runs.own_runs import UNFINISHED
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import LONGEST_RUN, Ayne, asked, ended, number_asked, wait_until
from proofs.killing import delivered, no_orphans, one_truth

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(400)]

LATENCY = 0.08
PAGES = 13
"""Of the listing of these years."""
WHOLE = ("collect", "--json", "--start-year", "2024", "--end-year", "2026", "--min-votes", "0")


@pytest.fixture(scope="module")
def slow() -> Iterator[StandIn]:
    with StandIn(2000, oddities=0, latency_seconds=LATENCY) as standin:
        yield standin


@pytest.fixture(autouse=True)
def _fresh_log(slow: StandIn) -> None:
    slow.clear_log()


Reached = Callable[[Ayne, StandIn], bool]
MOMENTS: dict[str, Reached] = {
    "before anything is asked": lambda command, standin: command.database.exists(),
    "discovering": lambda command, standin: number_asked(standin, "discover") >= 4,
    "between two runs": lambda command, standin: number_asked(standin, "discover") >= PAGES,
    "fetching details": lambda command, standin: number_asked(standin, "details") >= 30,
    "fetching ratings": lambda command, standin: number_asked(standin, "omdb") >= 10,
}
SIGNALS = {"SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT, "SIGHUP": signal.SIGHUP}


@pytest.mark.parametrize(
    ("name", "moment"),
    # The signals share a handler, which knows no moment: one of them comes at each, and each once while it fetches.
    [*(("SIGTERM", moment) for moment in MOMENTS), ("Ctrl-C", "fetching details"), ("SIGHUP", "fetching details")],
)
def test_a_signal_at_any_moment_ends_the_command_well(tmp_path: Path, slow: StandIn, name: str, moment: str) -> None:
    command = Ayne(tmp_path).asking(slow)
    with command.running(*WHOLE, "--refresh-limit", "60") as process:
        wait_until(lambda: MOMENTS[moment](command, slow), process)
        interrupted_at = time.time()
        process.send_signal(SIGNALS[name])
        result = ended(process)

    assert result.code == cli.INTERRUPTED, result.err
    assert "Traceback" not in result.err
    said = [line for line in result.err.splitlines() if line.startswith("ayne:")]
    assert said == ["ayne: Interrupted; everything that had arrived is kept."]
    no_orphans(command)
    arrived = {int(entry["id"]) for entry in delivered(slow, "details", interrupted_at - 0.25, LATENCY)}
    assert arrived <= one_truth(command, "tmdb")
    if command.home.exists():
        assert not {run.status for run in command.runs()} & set(UNFINISHED), "no run is left open"


def test_a_terminal_that_is_closed_cancels_the_run_and_everything_that_arrived_is_kept(
    tmp_path: Path, slow: StandIn
) -> None:
    command = Ayne(tmp_path).asking(slow)
    parent, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ayne_dagster", *WHOLE],
        env=command.environment | {"TERM": "xterm"},
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
    )
    try:
        os.close(terminal)
        deadline = time.monotonic() + LONGEST_RUN
        while number_asked(slow, "details") < 30 and time.monotonic() < deadline:
            if select.select([parent], [], [], 0.1)[0]:
                os.read(parent, 65536)
        hung_up_at = time.time()
        os.close(parent)
        assert process.wait(LONGEST_RUN) == cli.INTERRUPTED
    finally:
        process.kill()
        process.wait()
    assert {run.status for run in command.runs()} == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED}
    arrived = {int(entry["id"]) for entry in delivered(slow, "details", hung_up_at - 0.25, LATENCY)}
    assert arrived <= one_truth(command, "tmdb")


def test_under_nohup_a_terminal_that_is_closed_ends_nothing(tmp_path: Path, slow: StandIn) -> None:
    command = Ayne(tmp_path).asking(slow)
    process = subprocess.Popen(
        ["nohup", sys.executable, "-m", "ayne_dagster", *WHOLE, "--refresh-limit", "30"],
        env=command.environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for kind, number in (("discover", 4), ("details", 5)):
            wait_until(lambda kind=kind, number=number: number_asked(slow, kind) >= number, process)  # type: ignore[misc]
            process.send_signal(signal.SIGHUP)
        assert ended(process).code == 0
    finally:
        process.kill()
        process.communicate()
    assert {run.status for run in command.runs()} == {dg.DagsterRunStatus.SUCCESS}


def test_what_is_on_its_way_when_a_refresh_is_interrupted_is_waited_for(tmp_path: Path, slow: StandIn) -> None:
    command = Ayne(tmp_path).asking(slow)
    assert command.call(*WHOLE, "--refresh-limit", "0").code == 0
    assert number_asked(slow, "discover") == PAGES
    with command.running("collect", "--refresh-only", "--refresh-limit", "500") as process:
        wait_until(lambda: number_asked(slow, "details") >= 60, process)
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == cli.INTERRUPTED
    assert {str(movie) for movie in one_truth(command, "tmdb")} == set(asked(slow, "details"))


# Dagster's own


@pytest.fixture
def webserver(tmp_path: Path, slow: StandIn) -> Iterator[tuple[Ayne, str]]:
    """Dagster's web server and daemon on a database in which movies are discovered; the address to ask."""
    # So slow that it goes on when it is terminated.
    command = Ayne(tmp_path).asking(slow, AYNE_TMDB_MAX_CONCURRENT="3")
    assert command.call(*WHOLE, "--refresh-limit", "0").code == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workspace = str(files("ayne_dagster") / "workspace.yaml")
    environment = command.environment | {"DAGSTER_HOME": str(command.home)}
    server = [sys.executable, "-m", "dagster_webserver", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    daemon = [sys.executable, "-m", "dagster._daemon", "run", "-w", workspace]
    output = (tmp_path / "dagster.log").open("w")
    processes = [
        subprocess.Popen(
            arguments,
            env=environment,
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        for arguments in (server, daemon)
    ]
    try:
        yield command, f"http://127.0.0.1:{port}"
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        output.close()


def ask(address: str, query: str, **variables: Any) -> Any:
    """An answer of Dagster's GraphQL, as the UI asks for it; None while there is nobody to ask."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer = json.load(response)
    except OSError:
        return None
    assert "errors" not in answer, answer
    return answer["data"]


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + 2 * LONGEST_RUN
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: it did not happen"
        time.sleep(0.1)
    return found


LAUNCH = """mutation Launch($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""
TERMINATE = """mutation Terminate($runId: String!) {
  terminateRun(runId: $runId) { __typename ... on TerminateRunFailure { message } }
}"""
LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"


def launch(address: str) -> str:
    """Start a refresh as the UI's Launchpad does; returns its id."""
    selector = {
        "repositoryLocationName": "ayne_dagster",
        "repositoryName": "__repository__",
        "jobName": "refresh_movies",
    }
    config = {"config": {"limit": 500}}
    parameters = {
        "selector": selector,
        "runConfigData": {"ops": {"tmdb_details": config, "omdb_ratings": config}},
        "mode": "default",
        "executionMetadata": {
            "tags": [{"key": key, "value": value} for key, value in range_tags("2019", "2026").items()]
        },
    }
    launched = ask(address, LAUNCH, parameters=parameters)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def test_a_run_that_is_terminated_in_the_ui_commits_what_had_arrived_and_frees_its_pool(
    webserver: tuple[Ayne, str], slow: StandIn
) -> None:
    command, address = webserver
    until(lambda: "LOADED" in str(ask(address, LOCATIONS)), "the web server loads the code")
    run_id = launch(address)
    until(lambda: number_asked(slow, "details") >= 60, "the run fetches")
    terminated_at = time.time()
    assert ask(address, TERMINATE, runId=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"

    with command.instance() as instance:
        until(lambda: instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.CANCELED, "the run is canceled")  # type: ignore[union-attr]
        arrived = {int(entry["id"]) for entry in delivered(slow, "details", terminated_at, LATENCY)}
        assert len(arrived) > 40
        stored = one_truth(command, "tmdb")
        assert arrived <= stored
        assert {str(movie) for movie in stored} == set(asked(slow, "details")), "what was on its way too"
        until(
            lambda: not instance.event_log_storage.get_concurrency_info("tmdb").claimed_slots, "the pool slot is freed"
        )
    rerun = command.call("collect", "--json", "--refresh-only", "--refresh-limit", "500")
    assert rerun.code == 0, rerun.err
    assert len(asked(slow, "details")) == len(set(asked(slow, "details"))), "the next run asks only for the rest"
