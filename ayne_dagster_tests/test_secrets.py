"""No key in anything that the platform leaves behind or serves, however the sources misbehave; nothing open to others.

Two kinds of run through faults, some of which repeat the key: `ayne collect` with its keys in the environment, and a
run that the sensor requested under `ayne dev`, with its keys in `.env`.
"""

from __future__ import annotations

import base64
import json
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ayne_dagster.config import Settings, load_settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.resources.clients import build_resources, sealed
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import Ayne, Ended, listening_addresses, wait_until
from ayne_dagster_tests.support.secrets_left import spellings, traces, traces_in_folder

# Invented, in the form of real ones.
TMDB_V3_KEY = "9c41f0b7d2e8465a93b1c7f05e6d28a4"
TMDB_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiI5YzQxZjBiN2QyZTg0NjVhIiwidmVyc2lvbiI6MX0.Qm9ndXMtc2lnbmF0dXJl_x-7hT4"
OMDB_KEY = "b81c6a7f"
KEYS = (TMDB_V3_KEY, TMDB_TOKEN, OMDB_KEY)
VARIABLES = {"TMDB_READ_TOKEN": TMDB_TOKEN, "TMDB_API_KEY": TMDB_V3_KEY, "OMDB_API_KEY": OMDB_KEY}


def misbehave(standin: StandIn, tmdb_key: str) -> None:
    """Plan faults of all kinds that reach a log, an error or the quarantine; some repeat the key."""
    standin.clear_faults()
    for source, match, key in (("tmdb", "/3/movie/", tmdb_key), ("omdb", "/omdb/", OMDB_KEY)):
        kinds = ("reset", "html", "truncated", "not_json", "truncated_json", "wrong_movie", "deep_json", "invalid_json")
        faults = [Fault(kind, source, match=match, times=1, status=503) for kind in kinds]  # type: ignore[arg-type]
        faults += [
            Fault("status", source, match=match, times=2, status=400, message=f"Bad request: key={key}"),  # type: ignore[arg-type]
            Fault("body", source, match=match, times=2, status=200, message=f"<a href='/?apikey={key}'>{key}</a>"),  # type: ignore[arg-type]
            Fault("body", source, match=match, times=2, status=200, message=json.dumps({"odd": f"Bearer {key}"})),  # type: ignore[arg-type]
        ]
        standin.inject(*faults)
    standin.inject(Fault("reset", match="/discover/", times=1), Fault("rejected", match="/discover/", times=1))


class Leavings:
    """A folder in which everything has run, with what was printed and what was served."""

    def __init__(self, command: Ayne) -> None:
        self.command = command
        self.printed: list[str] = []
        self.served: dict[str, str] = {}
        self.befallen: dict[str, dict[str, int]] = {}

    def note(self, ended: Ended) -> Ended:
        self.printed.append(ended.out + ended.err)
        return ended

    def ask(self, port: int, name: str, query: str, **variables: Any) -> Any:
        """An answer of the webserver's GraphQL, noted."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=180) as answer:
            text = answer.read().decode()
        self.served[name] = self.served.get(name, "") + text
        told = json.loads(text)
        assert "errors" not in told, (name, told)
        return told["data"]


SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "ayne_dagster"}
CODE_LOCATION = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    __typename
    ... on PythonError { message stack }
    ... on RepositoryLocation { repositories { name
        allTopLevelResourceDetails { name description resourceType
            configFields { name description defaultValueAsJson configTypeKey }
            configuredValues { key value type } }
        jobs { name description tags { key value } metadataEntries { label description } }
        assetNodes { assetKey { path } description
            metadataEntries { label description ... on TextMetadataEntry { text } }
            configField { defaultValueAsJson } }
        sensors { name description } schedules { name description } } } } } } } }"""
INSTANCE = """{ instance { info executablePath
    daemonHealth { allDaemonStatuses { daemonType lastHeartbeatErrors { message stack } } } } }"""
ENVIRONMENT = """query($s: RepositorySelector!) { utilizedEnvVarsOrError(repositorySelector: $s) {
    ... on EnvVarWithConsumersList { results { envVarName } } } }"""
START_SENSOR = """mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename
    ... on PythonError { message } } }"""
TICKS = """query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor { sensorState { ticks {
    status skipReason runIds runKeys cursor error { message stack } logEvents { events { message } } } } } } }"""
RUNS = """{ runsOrError { ... on Runs { results { runId jobName status runConfigYaml tags { key value }
    stepStats { stepKey status } } } } }"""
LOGS = """query($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events { __typename
    ... on MessageEvent { message level stepKey eventType }
    ... on DisplayableEvent { label description metadataEntries { label description
        ... on TextMetadataEntry { text } ... on JsonMetadataEntry { jsonString }
        ... on IntMetadataEntry { intRepr } } }
    ... on ErrorEvent { error { message stack errorChain { error { message stack } } } } } } } }"""
COMPUTE_LOGS = "query($k: [String!]!) { capturedLogs(logKey: $k) { stdout stderr } }"


@contextmanager
def ui(leavings: Leavings) -> Iterator[int]:
    """`ayne dev`, for the length of the block; what it printed is noted."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = (leavings.command.folder / "dev.log").open("wb+")
    with output, leavings.command.running("dev", "--port", str(port), into=output) as process:
        try:
            wait_until(lambda: _answers(port), process)
            yield port
            assert listening_addresses(process.pid) <= {"127.0.0.1", "::1"}
        finally:
            process.send_signal(signal.SIGINT)  # it ends its children; killed, it would leave them behind
            process.wait(60)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def look_at_everything(leavings: Leavings, port: int) -> None:
    """Start the sensor, wait for the run that it requests, and ask for all that the UI shows."""
    sensor = {**SELECTOR, "sensorName": "due_movies_sensor"}

    def run_of_the_sensor() -> str | None:
        runs = leavings.ask(port, "runs", RUNS)["runsOrError"]["results"]
        ended = [r for r in runs if r["status"] in ("SUCCESS", "FAILURE") and "ayne/batch" in str(r["tags"])]
        return next((r["runId"] for r in ended if "dagster/sensor_name" in str(r["tags"])), None)

    def loaded() -> bool:
        return "RepositoryLocation" in str(leavings.ask(port, "code location", CODE_LOCATION))

    _wait(loaded, leavings.command)
    told = leavings.ask(port, "start", START_SENSOR, s=sensor)
    assert told["startSensor"]["__typename"] == "Sensor", told
    _wait(lambda: run_of_the_sensor() is not None, leavings.command)
    leavings.ask(port, "instance", INSTANCE)
    leavings.ask(port, "environment", ENVIRONMENT, s=SELECTOR)
    leavings.ask(port, "ticks", TICKS, s=sensor)
    for run in leavings.ask(port, "runs", RUNS)["runsOrError"]["results"]:
        leavings.ask(port, "logs", LOGS, r=run["runId"])
        for step in run["stepStats"]:
            for key in (step["stepKey"], "compute_logs"):
                leavings.ask(port, "compute logs", COMPUTE_LOGS, k=[run["runId"], "compute_logs", key])


def _wait(condition: Callable[[], bool], command: Ayne) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, (command.folder / "dev.log").read_text()[-3000:]
        time.sleep(0.3)


@pytest.fixture(scope="module")
def leavings(tmp_path_factory: pytest.TempPathFactory) -> Leavings:
    folder = tmp_path_factory.mktemp("leavings")
    quick = {"AYNE_TMDB_RETRY_WAIT": "0.01", "AYNE_OMDB_RETRY_WAIT": "0.01", "AYNE_REFRESH_LIMIT": "60"}
    with StandIn(800) as standin:
        # A v3 key travels in the address, where errors and logs find it more easily than in a header.
        by_environment = {"TMDB_READ_TOKEN": "", "TMDB_API_KEY": TMDB_V3_KEY, "OMDB_API_KEY": OMDB_KEY}
        command = Ayne(folder).asking(standin, **by_environment, **quick)
        found = Leavings(command)
        misbehave(standin, TMDB_V3_KEY)
        years = ("--start-year", "2022", "--end-year", "2026")
        collected = found.note(command.run("collect", "--json", *years, "--refresh-limit", "60", "--min-votes", "0"))
        assert collected.code in (0, 1), collected.err  # with so many faults a source may count as down
        found.befallen["collect"] = standin.befallen()
        for arguments in (("stats", "--json"), ("due",), ("due", "--json"), ("explain", "1")):
            found.note(command.call(*arguments))
        for form in ("csv", "parquet"):
            tables = [f"--table={name}" for name in ("movies", "refresh_metadata", "fetch_log", "quarantine")]
            assert found.note(command.call("export", form, "--format", form, *tables)).code == 0

        in_file = {k: v for k, v in command.settings.items() if k not in by_environment}
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in VARIABLES.items()))
        found.command = replace(command, settings=in_file)
        misbehave(standin, TMDB_TOKEN)
        with ui(found) as port:
            look_at_everything(found, port)
        found.befallen["dev"] = standin.befallen()
        found.printed.append((folder / "dev.log").read_text())
    return found


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_the_faults_befell_both_runs_and_what_they_left_is_there_to_be_searched(leavings: Leavings) -> None:
    expected = {"status", "rejected", "reset", "html", "truncated", "not_json", "truncated_json", "wrong_movie", "body"}
    assert leavings.befallen["collect"].keys() >= expected
    assert leavings.befallen["dev"].keys() >= expected - {"rejected"}
    home = leavings.command.home
    assert list((home / "history").rglob("*.db")), "event log and run storage"
    assert list(home.rglob("*.err")), "compute logs"
    assert list(home.rglob("schedules.db")), "ticks"
    assert leavings.command.column("SELECT count(*) FROM quarantine")[0] >= 8
    assert leavings.command.column("SELECT count(*) FROM fetch_log WHERE outcome = 'failed'")[0] >= 4
    assert "runIds" in leavings.served["ticks"]
    assert "materialization" in leavings.served["logs"].lower()
    assert '"tmdb"' in leavings.served["code location"]


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_no_key_is_in_anything_that_a_full_faulty_run_leaves_behind(leavings: Leavings) -> None:
    env_file = leavings.command.folder / ".env"
    found = [trace for text in leavings.printed for trace in traces("printed", text, KEYS)]
    found += traces_in_folder(leavings.command.folder, KEYS, without=[env_file])
    assert found == []


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_no_key_is_in_anything_that_dagsters_webserver_serves(leavings: Leavings) -> None:
    found = [trace for name, text in leavings.served.items() for trace in traces(name, text, KEYS)]
    assert found == []
    assert "TMDB_READ_TOKEN" in leavings.served["code location"], "the resource says which settings hold its key"


def test_a_key_is_found_in_every_spelling_and_file(tmp_path: Path) -> None:
    for n, spelling in enumerate(sorted(spellings(TMDB_TOKEN))):
        (tmp_path / f"file {n}").write_text(f"before {spelling} after")
    assert len(list(traces_in_folder(tmp_path, [TMDB_TOKEN]))) >= len(spellings(TMDB_TOKEN))
    for before in ("", "a", "ab", "Bearer "):
        packed = base64.b64encode(f"{before}{TMDB_V3_KEY} and more".encode()).decode()
        assert list(traces("packed", packed, [TMDB_V3_KEY])), before


# Resources


def _held_by_hand() -> Settings:
    return Settings(tmdb_api_key=TMDB_V3_KEY, tmdb_read_token=TMDB_TOKEN, omdb_api_key=OMDB_KEY)


def _from_environment(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def _from_file() -> Settings:
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in VARIABLES.items()))
    return load_settings()


@pytest.mark.parametrize("source", ["by hand", "environment", ".env"])
def test_no_resolved_configuration_of_a_resource_holds_a_key(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "by hand": _held_by_hand,
        "environment": lambda: _from_environment(monkeypatch),
        ".env": _from_file,
    }[source]()
    resources = build_resources(settings)
    with dg.build_resources({name: sealed(resource, "") for name, resource in resources.items()}) as resolved:
        told = {name: [repr(r), repr(vars(r))] for name, r in resolved._asdict().items()}  # type: ignore[attr-defined]
        omdb, tmdb = resolved.omdb.client(resolved.clock), resolved.tmdb.client(resolved.clock)
    told["settings"].pop()  # its variables are the settings, keys among them; what is told of it is its repr
    assert list(traces("configuration", repr(told), KEYS)) == []
    assert (omdb.account.key, tmdb.account.key) == (OMDB_KEY, TMDB_TOKEN), "and yet they find their keys"


def test_nothing_that_dagster_keeps_of_the_code_location_holds_a_key_or_an_address() -> None:
    repository = build_defs(_held_by_hand()).get_repository_def()
    told = repr([dg.serialize_value(job.get_job_snapshot()) for job in repository.get_all_jobs()])
    told += repr([vars(resource) for resource in repository.get_top_level_resources().values()])
    assert list(traces("repository", told, KEYS)) == []
    assert "api.themoviedb.org" not in told


# What listens


@pytest.mark.end_to_end
def test_the_standin_listens_on_the_loopback_address_only(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Ayne(tmp_path).running("standin", "--port", str(port), "--movies", "5") as process:
        wait_until(lambda: _answers(port), process)
        assert listening_addresses(process.pid) == {"127.0.0.1"}
