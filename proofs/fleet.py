"""`make proof-fleet`: two machines, one lake, Dagster's storage in Postgres, and what breaks, as root.

    python -m proofs.fleet

The sensor of both machines is on, one daemon launches their runs. While movies are fetched, one machine is switched off
in the middle of a run, the server is restarted in the middle of another, and the network of a third is cut for a
minute. In the end everything must be there once, and asked for once but for what was on its way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import yaml

from ayne_dagster.runs.own_runs import UNFINISHED
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS, Table
from ayne_dagster.warehouse.store import Store
from ayne_dagster_tests.support.lake import opened, variables
from ayne_dagster_tests.support.postgres import PASSWORD, USER, restartable_postgres
from ayne_dagster_tests.support.processes import Ayne, asked, pointing_at
from proofs.machines import HERE, Machine, can_be_made, machines, wait_until

MOVIES, BATCH = 140, 30
RATE, BURST, AT_ONCE = 4, 4, 2
LATENCY = 0.2
PORT = 4000
CUT_SECONDS = 60.0
SENSOR = "due_movies_sensor"
ALL = ("--start-year", "1874", "--end-year", "2035", "--min-votes", "0")
ON_THE_WAY = AT_ONCE + 8
"""Answers that a broken run may cost: those on their way, and those of a second that were not committed."""
DEPLOY = Path(__file__).parents[1] / "deploy" / "fleet"


@dataclass
class Fleet:
    """What the proof plays with."""

    standin: StandIn
    group: list[Machine]
    instance: dg.DagsterInstance
    lake: LakeStore
    restart_server: Callable[[], None]

    def fetched(self) -> int:
        """Details that were answered."""
        return len(asked(self.standin, "details"))

    def at_work(self) -> tuple[Machine, str] | None:
        """The machine whose run is under way, and the run."""
        for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            origin = run.remote_job_origin
            for machine in self.group:
                if origin and origin.location_name == machine.name:
                    return machine, run.run_id
        return None

    def in_the_middle_of_a_run(self) -> tuple[Machine, str]:
        """Wait until a run has fetched some movies and has more to fetch."""
        begun: dict[str, int] = {}

        def is_fetching() -> bool:
            found = self.at_work()
            return found is not None and self.fetched() - begun.setdefault(found[1], self.fetched()) >= 6

        wait_until(is_fetching, "a run fetches", 400)
        found = self.at_work()
        assert found is not None
        return found

    def goes_on(self, but: str) -> float:
        """How many seconds it takes until another run asks for movies."""
        known = self.fetched()

        def another() -> bool:
            found = self.at_work()
            return found is not None and found[1] != but and self.fetched() > known

        return wait_until(another, "another run fetches", 500)


def code_server(machine: Machine) -> None:
    """Start the code server of a machine, and the relay by which it reaches the stand-in."""
    port = machine.environment["STANDIN_PORT"]
    machine.start(["proofs.relaying", f"127.0.0.1:{port}", f"{HERE}:{port}"])
    serve = ["dagster", "api", "grpc", "--module-name", "ayne_dagster.definitions", "--location-name", machine.name]
    machine.start([*serve, "--host", machine.address, "--port", str(PORT)])


def home(folder: Path) -> None:
    """Make a Dagster home, as docs/how-to/fleet.md says."""
    folder.mkdir(parents=True)
    shutil.copyfile(DEPLOY / "dagster.yaml", folder / "dagster.yaml")


def is_served(machine: Machine) -> bool:
    """Whether its code server answers."""
    check = [sys.executable, "-m", "dagster", "api", "grpc-health-check", "-p", str(PORT), "--host", machine.address]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def switch_on(fleet: Fleet, workspace: Path) -> None:
    """Switch the sensor on, on each machine."""
    for machine in fleet.group:
        words = ["sensor", "start", SENSOR, "-w", str(workspace), "-l", machine.name]
        subprocess.run([sys.executable, "-W", "ignore", "-m", "dagster", *words], check=True, capture_output=True)


def break_things(fleet: Fleet) -> None:
    """Switch a machine off, restart the server, cut a network; each in the middle of a run."""
    machine, run = fleet.in_the_middle_of_a_run()
    machine.switch_off()
    print(f"  {machine.name} switched off at {fleet.fetched()} movies: ", end="", flush=True)
    print(f"the next run asks {fleet.goes_on(run):.0f} s later")
    code_server(machine)

    machine, run = fleet.in_the_middle_of_a_run()
    fleet.restart_server()
    print(f"  Postgres restarted at {fleet.fetched()} movies: ", end="", flush=True)
    print(f"the next run asks {fleet.goes_on(run):.0f} s later")

    machine, run = fleet.in_the_middle_of_a_run()
    machine.unplug()
    print(f"  network of {machine.name} cut at {fleet.fetched()} movies: ", end="", flush=True)
    started = time.monotonic()
    taken_over = fleet.goes_on(run)
    while (left := started + CUT_SECONDS - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))
    machine.plug_in()
    print(f"the next run asks {taken_over:.0f} s later; back after {time.monotonic() - started:.0f} s")


def finish(fleet: Fleet) -> None:
    """Wait until nothing is due and nothing is under way."""

    def is_done() -> bool:
        if fleet.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
            return False
        with fleet.lake.connect(read_only=True) as connection:
            known, details = connection.execute(
                "SELECT (SELECT count(*) FROM discovered_movies), (SELECT count(*) FROM tmdb_details)"
            ).fetchall()[0]
        return bool(known == details)

    print(f"  everything is fetched {wait_until(is_done, 'all movies', 900):.0f} s later")


def most_over_the_pace(fleet: Fleet, source: str) -> float:
    """By how many requests the fullest stretch of time exceeded pace and burst; 0 or less: the limits held."""
    at = sorted(float(entry["at"]) for entry in fleet.standin.log() if entry["source"] == source)
    worst = float("-inf")
    for first, begin in enumerate(at):
        for span in (1.0, 5.0, 20.0):
            number = bisect_right(at, begin + span) - first
            worst = max(worst, number - (BURST + RATE * span))
    return worst


def told_by_sources(store: Store, table: Table) -> list[tuple[object, ...]]:
    """What is stored of what sources said, without when that was."""
    names = ", ".join((*table.key, *table.content))
    with store.connect(read_only=True) as connection:
        return sorted(connection.execute(f"SELECT {names} FROM {table.name}").fetchall(), key=repr)


def judge(fleet: Fleet, alone: Path) -> None:
    """Compare with what a file holds that one process collected, and with what the stand-in saw.

    Raises:
        AssertionError: something is missing, torn, there twice, or was asked too often.
    """
    for source in ("tmdb", "omdb"):
        over = most_over_the_pace(fleet, source)
        print(f"  {source}: {over:+.1f} requests against pace and burst in the fullest stretch")
        assert over <= 1, source
    for endpoint in ("details", "omdb"):
        twice = {movie: times for movie, times in Counter(asked(fleet.standin, endpoint)).items() if times > 1}
        print(f"  {endpoint}: {len(asked(fleet.standin, endpoint))} asked, {len(twice)} more than once")
        assert len(twice) <= 3 * ON_THE_WAY, twice
    for table in (DISCOVERED_MOVIES, TMDB_DETAILS, OMDB_RATINGS):
        ours = told_by_sources(fleet.lake, table)
        assert ours == told_by_sources(Database(alone), table), table.name
        print(f"  {table.name}: {len(ours)} rows, as in the file")
    assert check_database(fleet.lake, datetime.now(UTC)).findings == []
    print("  ayne check: sound")


def main() -> None:
    """The whole story."""
    if not can_be_made():
        sys.exit("Machines are network namespaces here: be root, and have `ip` (iproute2).")
    began = time.monotonic()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="ayne-fleet-")))
        standin = running.enter_context(StandIn(MOVIES, oddities=0, latency_seconds=LATENCY))
        alone = Ayne(folder / "alone").asking(standin)
        alone.folder.mkdir()
        print("One process into a file, to compare with …")
        assert alone.run("collect", *ALL, "--refresh-limit", "1000", "--json").code == 0
        standin.clear_log()
        tell(running, folder, standin, alone.database)
    print(f"All of it held; {time.monotonic() - began:.0f} s.")


def tell(running: ExitStack, folder: Path, standin: StandIn, alone: Path) -> None:
    """Set the fleet up, break it, judge it."""
    hba = folder / "pg_hba.conf"
    hba.write_text("host all all all scram-sha-256\n")
    folder.chmod(0o755)
    options = (f"listen_addresses=127.0.0.1,{HERE}", f"hba_file={hba}")
    server, restart = running.enter_context(restartable_postgres(*options))
    ledger, dagster, catalogue = (server.new_database() for _ in range(3))
    settings = settings_of(server.port, standin, folder, ledger, dagster, catalogue)
    group = running.enter_context(machines(folder, ["a", "b"], settings))
    restart()  # now that the address is there
    standin_port = settings["STANDIN_PORT"]
    passing_on = ["proofs.relaying", f"{HERE}:{standin_port}", f"127.0.0.1:{standin_port}"]
    relay = subprocess.Popen([sys.executable, "-m", *passing_on])
    running.callback(relay.kill)
    ours = {"DAGSTER_HOME": str(folder / "here"), "AYNE_STATE_FOLDER": str(folder / "state"), "HOME": str(folder)}
    for place in (folder / "here", *(machine.folder / "home" for machine in group)):
        home(place)
    os.environ.update(settings | ours)
    workspace = folder / "workspace.yaml"
    servers = [{"grpc_server": {"host": m.address, "port": PORT, "location_name": m.name}} for m in group]
    workspace.write_text(yaml.safe_dump({"load_from": servers}))

    print("Two machines: a discovers …")
    first = group[0].start(["proofs.relaying", f"127.0.0.1:{standin_port}", f"{HERE}:{standin_port}"])
    assert group[0].start(["ayne_dagster", "collect", *ALL, "--refresh-limit", "0"]).wait(300) == 0
    first.kill()
    for machine in group:
        code_server(machine)
    wait_until(lambda: all(map(is_served, group)), "code servers", 120)
    instance = running.enter_context(dg.DagsterInstance.from_config(str(folder / "here")))
    fleet = Fleet(standin, group, instance, opened(dict(os.environ)), restart)
    output = running.enter_context((folder / "output").open("wb"))
    launching = [sys.executable, "-m", "ayne_dagster", "daemon", "--workspace", str(workspace)]
    daemon = subprocess.Popen(launching, stdout=output, stderr=output)
    running.callback(daemon.wait, 60)
    running.callback(daemon.terminate)
    switch_on(fleet, workspace)
    print("… and both refresh, by their sensors:")
    try:
        break_things(fleet)
        finish(fleet)
        judge(fleet, alone)
    except BaseException:
        for machine in group:
            print(f"== {machine.name}\n{(machine.folder / 'output').read_text()[-6000:]}")
        for run in instance.get_runs():
            print(run.run_id, run.job_name, run.status, run.tags)
        raise


def settings_of(
    port: int, standin: StandIn, folder: Path, ledger: str, dagster: str, catalogue: str
) -> Mapping[str, str]:
    """The environment that all machines share."""
    server = type("Server", (), {"port": port})()
    lake = variables(server, catalogue.rpartition("/")[2], ledger, folder)
    pace = {
        f"AYNE_{api}_{name}": str(value)
        for api in ("TMDB", "OMDB")
        for name, value in {"REQUESTS_PER_SECOND": RATE, "BURST": BURST, "MAX_CONCURRENT": AT_ONCE}.items()
    }
    return {
        "PATH": os.environ["PATH"],
        **{name: value.replace("127.0.0.1", HERE) for name, value in lake.items()},
        **pointing_at(standin),
        **pace,
        "AYNE_REFRESH_LIMIT": str(BATCH),
        "AYNE_SENSOR_MIN_BATCH": "1",
        "AYNE_OMDB_DAILY_QUOTA": "0",
        "DAGSTER_POSTGRES_HOST": HERE,
        "DAGSTER_POSTGRES_PORT": str(port),
        "DAGSTER_POSTGRES_USER": USER,
        "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
        "DAGSTER_POSTGRES_DB": dagster.rpartition("/")[2],
        "STANDIN_PORT": standin.control_url.split(":")[2].split("/")[0],
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }


if __name__ == "__main__":
    main()
