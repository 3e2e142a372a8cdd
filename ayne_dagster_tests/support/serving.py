"""Running the UI as a process, and asking it byte for byte. No tests."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ayne_dagster_tests.support.processes import Ayne, wait_until

JSON = "Content-Type: application/json"
LONGEST_START = 180.0
"""Seconds until Dagster answers, on a busy machine: it listens before that."""
SELECTOR = '{repositoryName: "__repository__", repositoryLocationName: "ayne_dagster", '
LAUNCH = (
    "mutation { launchRun(executionParams: { selector: " + SELECTOR + 'jobName: "read_change_feed"}, '
    'runConfigData: "CONFIG", executionMetadata: {tags: [{key: "by", value: "NAME"}]} }) { __typename } }'
)
SWITCH = "mutation { startSensor(sensorSelector: " + SELECTOR + 'sensorName: "due_movies_sensor"}) { __typename } }'
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def raw(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and answer of a request, byte for byte; 0 where the connection ends without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=LONGEST_START) as connection:
        connection.sendall(request)
        told = b""
        while not _whole(told) and (part := connection.recv(65536)):
            told += part
    return (int(told.split(b" ", 2)[1]) if told.startswith(b"HTTP/") else 0), told


def _whole(told: bytes) -> bool:
    head, blank, body = told.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101"):
        return bool(blank)
    lengths = [line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    return bool(blank) and bool(lengths) and len(body) >= int(lengths[0])


def http(line: str, *headers: str, body: str = "") -> bytes:
    data = body.encode()
    sized = [f"Content-Length: {len(data)}"] if data else []
    return "\r\n".join([line, *headers, *sized, "", ""]).encode("latin-1") + data


def upgrade(*headers: str) -> bytes:
    key = base64.b64encode(b"0123456789abcdef").decode()
    opening = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    return http("GET /graphql HTTP/1.1", *headers, *opening, "Sec-WebSocket-Protocol: graphql-ws")


@dataclass
class Running:
    command: Ayne
    process: subprocess.Popen[str]
    port: int

    def graphql(self, query: str, *headers: str) -> Any:
        """What a program at this machine is told; the guard has let it through."""
        body = json.dumps({"query": query})
        status, told = raw(
            self.port, http("POST /graphql HTTP/1.1", f"Host: 127.0.0.1:{self.port}", JSON, *headers, body=body)
        )
        assert status == 200, told
        return json.loads(told.partition(b"\r\n\r\n")[2])["data"]

    @property
    def log(self) -> str:
        return (self.command.folder / "dev.log").read_text()


@contextmanager
def serving(command: Ayne, *arguments: str, longest: float = LONGEST_START) -> Iterator[Running]:
    """`ayne dev`, `ayne ui` or `ayne demo --live`, ready; ended by SIGTERM."""
    port = free_port()
    with (
        (command.folder / "dev.log").open("wb+") as output,
        command.running(*arguments, "--port", str(port), into=output) as process,
    ):
        running = Running(command, process, port)
        wait_until(lambda: _loaded(running), process, longest)
        yield running
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(90)


def _loaded(running: Running) -> bool:
    """Whether the server answers, and its code location is there."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", running.port)) != 0:
            return False
    told = running.graphql("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
    return bool(told["repositoriesOrError"].get("nodes"))


def gone(pids: set[int]) -> bool:
    return not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], within: float = 90.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.05)
