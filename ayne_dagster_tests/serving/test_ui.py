"""`ayne dev` and `ayne ui` as processes: what they answer to raw requests, and what is left when they end, however."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import dagster as dg
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from ayne_dagster.config import Settings, SettingsError, load_settings
from ayne_dagster.runs.instance import only_daemon, open_instance
from ayne_dagster.serving.ui import PortTaken, guarded, listen
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import Ayne, family, listening_addresses
from ayne_dagster_tests.support.serving import (
    JSON,
    LAUNCH,
    RUNS,
    SELECTOR,
    SWITCH,
    Running,
    eventually,
    free_port,
    gone,
    http,
    raw,
    serving,
    upgrade,
)

# The server, with an application that does nothing


@pytest.fixture(scope="module")
def small() -> Iterator[tuple[int, list[str]]]:
    """A guarded application as it is served, its port, and the paths that reached it."""
    reached: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with listen(0) as listener:
        config = uvicorn.Config(
            guarded(app, ()), http="h11", lifespan="off", log_config=None, log_level="critical", proxy_headers=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1], reached
        server.should_exit = True
        thread.join(30)


OWN = "Host: 127.0.0.1:PORT"
REFUSED = {
    "no host": http("GET / HTTP/1.1"),
    "no host, as of old": http("GET / HTTP/1.0"),
    "two hosts": http("GET / HTTP/1.1", OWN, OWN),
    "a host beside another": http("GET / HTTP/1.1", OWN, "Host: rebound.example"),
    "a host on two lines": http("GET / HTTP/1.1", "Host: 127.0.0.1:PORT", " rebound.example"),
    "a name that was rebound": http("GET / HTTP/1.1", "Host: rebound.example:PORT"),
    "a host in the first line": http("GET http://rebound.example/graphql HTTP/1.1", OWN),
    "our host in the first line": http("GET http://127.0.0.1:PORT/ HTTP/1.1", OWN),
    "a host in the first line, no other": http("GET http://127.0.0.1:PORT/ HTTP/1.1"),
    "a tunnel": http("CONNECT rebound.example:80 HTTP/1.1", OWN),
    "the whole server": http("OPTIONS * HTTP/1.1", OWN),
    "a mutation by GET": http("GET /graphql?query=mutation%7Bx%7D HTTP/1.1", OWN),
    "a mutation by HEAD": http("HEAD /graphql?query=mutation%7Bx%7D HTTP/1.1", OWN),
    "a mutation by GET to a spelling": http("GET /%67raphql?query=mutation%7Bx%7D HTTP/1.1", OWN),
    "an image": http("GET /server_info HTTP/1.1", OWN, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"),
    "a form": http("POST /graphql?query=x HTTP/1.1", OWN, "Content-Type: text/plain", body="x"),
    "a page of another port": http("POST /graphql HTTP/1.1", OWN, "Origin: http://127.0.0.1:1", JSON, body="{}"),
    "a page of nowhere": http("POST /graphql HTTP/1.1", OWN, "Origin: null", JSON, body="{}"),
    "a preflight": http(
        "OPTIONS /graphql HTTP/1.1", OWN, "Origin: http://127.0.0.1:1", "Access-Control-Request-Method: POST"
    ),
    "a socket of another page": upgrade(OWN, "Origin: http://stranger.example"),
    "a socket of another port": upgrade(OWN, "Origin: http://127.0.0.1:1"),
    "a socket of nowhere": upgrade(OWN, "Origin: null"),
    "a socket to a name that was rebound": upgrade("Host: rebound.example", "Origin: http://rebound.example"),
    "a socket without a host": upgrade(),
    "a socket with two hosts": upgrade(OWN, "Host: rebound.example"),
    "a socket from elsewhere": upgrade(OWN, "Sec-Fetch-Site: cross-site"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_raw_request_that_no_page_of_ours_sends_never_reaches_the_application(
    small: tuple[int, list[str]], name: str
) -> None:
    port, reached = small
    reached.clear()
    status, told = raw(port, REFUSED[name].replace(b"PORT", str(port).encode()))
    assert status == 0 or 400 <= status < 500, told
    assert b"access-control" not in told.lower()
    assert reached == []


@pytest.mark.parametrize(
    "request_", [http("GET / HTTP/1.1", OWN), http("GET / HTTP/1.0", "Host: localhost"), upgrade(OWN, "Origin: http://127.0.0.1:PORT")]
)  # fmt: skip
def test_a_raw_request_of_our_own_reaches_it(small: tuple[int, list[str]], request_: bytes) -> None:
    port, reached = small
    reached.clear()
    status, told = raw(port, request_.replace(b"PORT", str(port).encode()))
    assert status in (200, 101), told
    assert len(reached) == 1


def test_a_second_request_on_a_connection_is_looked_at_like_the_first(small: tuple[int, list[str]]) -> None:
    port, reached = small
    reached.clear()
    first = http("GET / HTTP/1.1", f"Host: 127.0.0.1:{port}")
    second = http("GET /second HTTP/1.1", "Host: rebound.example")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(first + second)
        told = b""
        while part := connection.recv(65536):
            told += part
    assert reached == ["/"]
    assert b" 403 " in told


# Settings


@pytest.mark.parametrize(
    "value", ["*", "*.example.org", "https://ayne.example.org", "a b", "a/b", "a:0", "a:x", "a,,*"]
)
def test_a_host_that_cannot_be_meant_is_told_by_the_name_of_the_setting(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^AYNE_UI_HOSTS is .*wildcards") as told:
        load_settings({"AYNE_UI_HOSTS": value})
    assert "\n" not in str(told.value)


def test_hosts_are_read_from_a_list() -> None:
    read = load_settings({"AYNE_UI_HOSTS": " Ayne.Example.org, films.lan:8443,,[::1]:9 ,"}).ui_hosts
    assert read == ("ayne.example.org", "films.lan:8443", "[::1]:9")
    guarded(lambda *_: None, read)  # type: ignore[arg-type, return-value]


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with listen(0) as taken, pytest.raises(PortTaken, match="is in use: choose another with --port"):
        listen(taken.getsockname()[1])


# The real thing


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_no_foreign_request_reaches_the_real_server_and_our_own_do(dev: Running) -> None:
    def encoded(query: str) -> str:
        return "".join(f"%{byte:02x}" for byte in query.encode())

    def attack(name: str) -> str:
        return LAUNCH.replace("CONFIG", "").replace("NAME", name)

    host = f"Host: 127.0.0.1:{dev.port}"
    foreign = "Origin: http://127.0.0.1:1"
    body = json.dumps({"query": attack("post")})
    attacks = [
        http(f"GET /graphql?query={encoded(attack('get'))} HTTP/1.1", host),
        http(f"HEAD /graphql?query={encoded(attack('head'))} HTTP/1.1", host),
        http(f"GET /graphql?query={encoded(SWITCH)} HTTP/1.1", host),
        http(f"POST /graphql?query={encoded(attack('form'))} HTTP/1.1", host, "Content-Type: text/plain", body="x"),
        http("POST /graphql HTTP/1.1", host, "Content-Type: text/plain; application/json", body=body),
        http("POST /graphql HTTP/1.1", host, "Content-Type: application/graphql", body=attack("graphql")),
        http("POST /graphql HTTP/1.1", host, JSON, foreign, body=body),
        http("POST /graphql HTTP/1.1", host, JSON, "Sec-Fetch-Site: same-site", body=body),
        http("POST /graphql HTTP/1.1", "Host: rebound.example", JSON, body=body),
        http("POST /report_asset_materialization/movies HTTP/1.1", host, "Content-Length: 0"),
        http("POST /report_asset_materialization/movies HTTP/1.1", host, JSON, foreign, body="{}"),
        upgrade(host, foreign),
    ]
    for request in attacks:
        status, told = raw(dev.port, request)
        assert 400 <= status < 500, told
    assert dev.graphql(RUNS)["runsOrError"]["results"] == []
    states = dev.graphql(
        "{ sensorOrError(sensorSelector: " + SELECTOR + 'sensorName: "due_movies_sensor"}) '
        "{ ... on Sensor { sensorState { status } } } }"
    )
    assert states["sensorOrError"]["sensorState"]["status"] == "STOPPED"
    assets = dev.graphql("{ assetNodes { assetKey { path } assetMaterializations { timestamp } } }")["assetNodes"]
    assert assets
    assert not any(asset["assetMaterializations"] for asset in assets)
    status, told = raw(dev.port, upgrade(host, f"Origin: http://127.0.0.1:{dev.port}"))
    assert status == 101, told
    status, told = raw(dev.port, http("GET / HTTP/1.1", host))
    assert status == 200
    assert b"frame-ancestors" in told.lower()


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_a_run_launched_in_the_ui_is_refused_what_is_not_its_to_decide(dev: Running) -> None:
    config = '{resources: {tmdb: {config: {base_url: \\"http://127.0.0.1:1/\\", api_key_name: \\"PATH\\"}}}}'
    told = dev.graphql(LAUNCH.replace("CONFIG", config).replace("NAME", "person"))
    assert told["launchRun"]["__typename"] == "RunConfigValidationInvalid"
    told = dev.graphql(LAUNCH.replace("CONFIG", "{ops: {tmdb_changes: {config: {x: {env: PATH}}}}}"))
    assert told["launchRun"]["__typename"] == "RunConfigValidationInvalid"


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_what_is_served_is_told_at_the_start_and_nothing_frightens(dev: Running) -> None:
    dagster, dashboard = dev.log.splitlines()
    assert dagster == (
        f"Dagster on http://127.0.0.1:{dev.port} shows the database {dev.command.database}; its runs are in "
        f"{dev.command.home}"
    )
    assert "ashboard" in dashboard


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_dagsters_ui_listens_on_the_loopback_address_only(dev: Running) -> None:
    assert listening_addresses(dev.process.pid) == {"127.0.0.1"}


@pytest.mark.end_to_end
def test_a_taken_port_is_one_line_and_nothing_is_left_running(tmp_path: Path) -> None:
    with listen(0) as taken:
        port = taken.getsockname()[1]
        for command in ("dev", "ui"):
            result = Ayne(tmp_path).run(command, "--port", str(port))
            assert (result.code, result.out) == (1, "")
            assert result.complaint == f"ayne: Port {port} is in use: choose another with --port."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("command", "number"),
    # `ayne dev` is ended by the other two while a run is under way, below.
    [("dev", signal.SIGINT), ("ui", signal.SIGTERM), ("ui", signal.SIGHUP)],
    ids=["dev-Ctrl-C", "ui-SIGTERM", "ui-SIGHUP"],
)
def test_a_signal_ends_it_well_with_all_that_it_started(tmp_path: Path, command: str, number: signal.Signals) -> None:
    # As a working folder may look: a dagster.yaml that is not the one in use must bring no warning.
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with serving(Ayne(tmp_path), command) as running:
        started = family(running.process.pid)
        assert len(started) >= 2
        running.process.send_signal(number)
        assert running.process.wait(90) == 0, running.log
        eventually(lambda: gone(started))
    assert len(running.log.splitlines()) == (2 if command == "dev" else 1), "a line for each page, and no warning"


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
@pytest.mark.parametrize("hung_up", [False, True], ids=["SIGTERM", "its terminal is closed"])
def test_a_run_under_way_is_cancelled_and_keeps_what_had_arrived(tmp_path: Path, hung_up: bool) -> None:
    with (
        StandIn(800, oddities=0, latency_seconds=0.5) as standin,
        serving(Ayne(tmp_path).asking(standin), "dev") as running,
    ):
        launch = LAUNCH.replace("read_change_feed", "discover_movies").replace("CONFIG", "")
        years = '{key: "dagster/asset_partition_range_start", value: "1950"}, '
        years += '{key: "dagster/asset_partition_range_end", value: "2020"}'
        told = running.graphql(launch.replace('{key: "by", value: "NAME"}', years).replace("CONFIG", ""))
        assert told["launchRun"]["__typename"] == "LaunchRunSuccess"
        eventually(lambda: len(standin.log()) >= 2)
        started = family(running.process.pid)
        for pid in started if hung_up else ():  # a terminal tells all of them, in any order
            if os.getsid(pid) == os.getsid(running.process.pid) and pid != running.process.pid:
                os.kill(pid, signal.SIGHUP)
        running.process.send_signal(signal.SIGHUP if hung_up else signal.SIGTERM)
        assert running.process.wait(90) == 0, running.log
        eventually(lambda: gone(started))
        asked = len(standin.log())
    (run,) = running.command.runs()
    assert run.is_finished
    assert run.status is not dg.DagsterRunStatus.SUCCESS
    assert asked < 71, "it did not go on to its end"
    assert running.command.column("SELECT count(*) FROM discovered_movies")[0] > 0


def test_a_second_daemon_of_a_home_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    with open_instance(Settings(database=command.database)) as instance:
        home = Path(instance.root_directory)
    with only_daemon(home):
        for words in (("daemon",), ("dev", "--port", str(free_port()))):
            refused = command.call(*words)
            assert refused.code == 1
            assert refused.complaint.startswith("ayne: Another `ayne dev` or `ayne daemon` runs for ")
    with only_daemon(home):
        pass


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_the_end_of_the_daemon_ends_the_rest_and_is_told(tmp_path: Path) -> None:
    with serving(Ayne(tmp_path), "dev") as running:
        started = family(running.process.pid)
        (daemon,) = [
            pid for pid in started if b"ayne_dagster.serving.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(daemon, signal.SIGKILL)
        assert running.process.wait(90) == 1
        eventually(lambda: gone(started))
    assert "ayne: Dagster's daemon ended by itself (code -9)" in running.log
    assert "Traceback" not in running.log


HEARTBEAT_SECONDS = 8
WITH_QUICK_HEARTBEATS = f"""
from dagster._cli import proxy_server_manager
from ayne_dagster.cli import main
assert proxy_server_manager.WEBSERVER_GRPC_SERVER_HEARTBEAT_TTL
proxy_server_manager.WEBSERVER_GRPC_SERVER_HEARTBEAT_TTL = {HEARTBEAT_SECONDS}
main()
"""


class Impatient(Ayne):
    """The command, whose code servers miss a heartbeat after seconds: Dagster's 45 and 30 are long to wait for."""

    def start(self, *arguments: str, into: IO[bytes] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WITH_QUICK_HEARTBEATS, *arguments],
            env=self.environment | {"DAGSTER_GRPC_PROXY_HEARTBEAT_TTL_SECONDS": str(HEARTBEAT_SECONDS)},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=into,
            stderr=into,
            text=True,
        )


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_a_daemon_does_not_outlive_the_command_that_was_killed(tmp_path: Path) -> None:
    with serving(Impatient(tmp_path), "dev") as running:
        started = family(running.process.pid)
        running.process.kill()
        running.process.wait(90)
        eventually(lambda: gone(started), within=150)  # code servers miss their heartbeat first
