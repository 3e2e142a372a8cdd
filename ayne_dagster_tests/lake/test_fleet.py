"""Several machines under one Dagster, whose storage is in Postgres: in small what `make proof-fleet` shows in full."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster_tests.conftest import EPOCH, START
from ayne_dagster_tests.support.command_lines import ROOT
from ayne_dagster_tests.support.lake import Lake
from ayne_dagster_tests.support.postgres import PASSWORD, Postgres, free_port
from ayne_dagster_tests.support.processes import Ayne, asked, family, number_asked, wait_until

pytest.importorskip("dagster_postgres")
pytestmark = [pytest.mark.on_lake, pytest.mark.end_to_end, pytest.mark.timeout(900)]

MOVIES = 24
AT_ONCE = 2
ALL = ("--start-year", "1874", "--end-year", "2035", "--min-votes", "0")
FEW_YEARS = ("--start-year", "2020", "--end-year", "2026", "--min-votes", "0")
"""Each year is an event of its own for each asset, which Dagster stores one by one."""
LONG = 400.0
"""A sensor ticks once a minute, and a busy machine is slow."""


@pytest.fixture
def storage(postgres: Postgres) -> dict[str, str]:
    """The variables that name an empty storage of Dagster's."""
    return postgres.of_dagster()


@pytest.fixture
def machine(lake: Lake, storage: dict[str, str], tmp_path: Path) -> Callable[[str], Ayne]:
    """Makes machines, set up as docs/how-to/fleet.md says."""

    def make(name: str) -> Ayne:
        home = tmp_path / name / "home"
        home.mkdir(parents=True)
        shutil.copyfile(ROOT / "deploy/fleet/dagster.yaml", home / "dagster.yaml")
        settings = lake.on_machine(tmp_path / name / "state") | storage | {"DAGSTER_HOME": str(home)}
        return Ayne(tmp_path / name, settings | {"PYTHONWARNINGS": "ignore"})

    return make


def test_commands_on_two_machines_have_one_history_and_either_tidies_it(machine: Callable[[str], Ayne]) -> None:
    with StandIn(6, oddities=0, epoch=EPOCH) as standin:
        standin.set_now(START)
        a, b = (machine(name).asking(standin) for name in ("a", "b"))
        assert a.run("collect", *FEW_YEARS, "--json").code == 0
        (told,) = [line for line in b.run("doctor", "--json").json["lines"] if line["name"] == "Dagster home"]
        assert told["state"] == "ok"
        assert re.search(r", [1-9]\d* runs$", told["text"]), told
        # What holds the latest state of an asset stays, on whichever machine it was made.
        assert Ayne(b.folder, b.settings | {"AYNE_RUN_RETENTION_DAYS": "1"}).run("tidy", "--json").json["runs"] == 0
        assert not (a.folder / "home/history").exists(), "nothing of it is in a file"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"DAGSTER_POSTGRES_PASSWORD": None}, "wants the variable DAGSTER_POSTGRES_PASSWORD, which is not set"),
        ({"DAGSTER_POSTGRES_PASSWORD": "wrong-one"}, "does not answer or refuses the sign-in"),
    ],
)
def test_a_storage_that_cannot_be_had_is_told_in_a_line_before_anything_is_asked(
    machine: Callable[[str], Ayne], changed: dict[str, str | None], told: str
) -> None:
    with StandIn(6, oddities=0, epoch=EPOCH) as standin:
        ours = machine("a").asking(standin)
        settings = {name: value for name, value in (ours.settings | changed).items() if value is not None}
        result = Ayne(ours.folder, settings).run("collect", *ALL)
        assert result.code != 0
        assert told in result.err
        assert "Traceback" not in result.err
        assert PASSWORD not in result.err
        assert "wrong-one" not in result.err
        assert number_asked(standin, "discover") == 0


def test_a_machine_that_is_switched_off_in_the_middle_of_a_run_leaves_the_rest_to_the_other(
    machine: Callable[[str], Ayne], lake: Lake, tmp_path: Path
) -> None:
    with StandIn(MOVIES, oddities=0, epoch=EPOCH, latency_seconds=0.5) as standin:
        standin.set_now(START)
        pace = {"AYNE_TMDB_MAX_CONCURRENT": str(AT_ONCE), "AYNE_SENSOR_MIN_BATCH": "1"}
        group = {name: machine(name).asking(standin, **pace) for name in ("a", "b")}
        here = machine("here").asking(standin, **pace)
        assert here.run("collect", *ALL, "--refresh-limit", "0").code == 0
        with code_server("a", group["a"]) as (server_a, at_a), code_server("b", group["b"]) as (server_b, at_b):
            workspace = tmp_path / "workspace.yaml"
            workspace.write_text(yaml.safe_dump({"load_from": [at_a, at_b]}))
            servers = {"a": server_a, "b": server_b}
            for name in servers:
                switched_on(here, workspace, name)
            with here.running("daemon", "--workspace", str(workspace), into=(tmp_path / "log").open("wb")) as daemon:
                wait_until(lambda: number_asked(standin, "details") >= 4, daemon, LONG)
                busy = location_at_work(here)
                switch_off(servers[busy])
                wait_until(lambda: location_at_work(here, finished=True) != "", daemon, LONG)
                assert location_at_work(here, finished=True) != busy
        twice = [movie for movie, times in Counter(asked(standin, "details")).items() if times > 1]
        assert len(twice) <= AT_ONCE + 4, "what was on its way, or not committed yet"
    with lake.store.connect(read_only=True) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT tmdb_id) FROM tmdb_details").fetchall()
    assert rows == [(MOVIES, MOVIES)]
    assert check_database(lake.store, datetime.now(UTC)).findings == []


@contextmanager
def code_server(name: str, machine: Ayne) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, object]]]:
    """A machine's code server, and how a workspace names it."""
    port = free_port()
    words = ["dagster", "api", "grpc", "--module-name", "ayne_dagster.definitions", "--location-name", name]
    with (machine.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words, "--host", "127.0.0.1", "--port", str(port)],
            env=machine.environment, cwd=machine.folder, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            check = [sys.executable, "-m", "dagster", "api", "grpc-health-check", "--port", str(port)]
            wait_until(lambda: subprocess.run(check, capture_output=True, check=False).returncode == 0, process)  # type: ignore[arg-type]
            yield process, {"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": name}}
        finally:
            switch_off(process)


def switch_off(server: subprocess.Popen[bytes]) -> None:
    """Kill a code server and the runs that it launched, at once."""
    for pid in family(server.pid) if server.poll() is None else ():
        os.kill(pid, signal.SIGKILL)
    server.wait()


def switched_on(machine: Ayne, workspace: Path, location: str) -> None:
    words = ["sensor", "start", "due_movies_sensor", "-w", str(workspace), "-l", location]
    subprocess.run(
        [sys.executable, "-m", "dagster", *words], env=machine.environment, cwd=machine.folder, check=True,
        capture_output=True,
    )  # fmt: skip


def location_at_work(machine: Ayne, *, finished: bool = False) -> str:
    """The location whose refresh is under way; or that of the one that ended well last."""
    status = dg.DagsterRunStatus.SUCCESS if finished else dg.DagsterRunStatus.STARTED
    with pytest.MonkeyPatch.context() as patch:
        for name, value in machine.settings.items():
            patch.setenv(name, value)
        with dg.DagsterInstance.from_config(machine.settings["DAGSTER_HOME"]) as instance:
            runs = instance.get_runs(dg.RunsFilter(job_name="refresh_movies", statuses=[status]), limit=1)
    origin = runs[0].remote_job_origin if runs else None
    return origin.location_name if origin else ""
