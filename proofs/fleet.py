"""`make proof-fleet`: two machines, one lake, Dagster's storage in Postgres, and what breaks, as root.

    python -m proofs.fleet

The sensor of both machines is on, one daemon launches their runs. While movies are fetched, one machine is switched off
in the middle of a run, the server is restarted in the middle of another, and the network of a third is cut for a
minute. OMDb's quota is less than they want: it is spent to the last request and held, over both machines and whatever
broke. In the end everything must be there once, and of each movie that was asked for again it must be known why
(`asked_again`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import yaml

from ayne_dagster.config import load_settings
from ayne_dagster.runs.own_runs import UNFINISHED
from ayne_dagster.sources.limits.account import account_of
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS, Table
from ayne_dagster.warehouse.spool import Contents, contents
from ayne_dagster.warehouse.store import Store
from ayne_dagster_tests.support.lake import opened, variables
from ayne_dagster_tests.support.postgres import PASSWORD, USER, restartable_postgres
from ayne_dagster_tests.support.processes import Ayne, asked, pointing_at
from proofs.asked_again import Break, Kind, SpoolWatch, repeats
from proofs.machines import HERE, Machine, can_be_made, machines, wait_until

MOVIES, BATCH = 140, 30
RATE, BURST, AT_ONCE = 4, 4, 2
LATENCY = 0.2
PORT = 4000
CUT_SECONDS = 60.0
SENSOR = "due_movies_sensor"
ALL = ("--start-year", "1874", "--end-year", "2035", "--min-votes", "0")
QUOTA = 100
"""OMDb's requests of the day; the movies want some 130."""
HOUR = timedelta(hours=23, minutes=5)
"""What the machines' clocks show in the beginning (UTC): all of the day's requests are released by then."""
REST = ("collect", "--refresh-only", "--refresh-limit", "1000")
DEPLOY = Path(__file__).parents[1] / "deploy" / "fleet"


@dataclass
class Fleet:
    """What the proof plays with."""

    standin: StandIn
    group: list[Machine]
    instance: dg.DagsterInstance
    lake: LakeStore
    restart_server: Callable[[], None]
    spools: SpoolWatch
    breaks: list[Break] = field(default_factory=list)

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

    def breaks_in(self, run: str, kind: Kind) -> None:
        """Note what is broken now, in the middle of a run."""
        self.breaks.append(Break(kind, run, time.time()))

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
    fleet.breaks_in(run, Kind.POWER)
    machine.switch_off()
    print(f"  {machine.name} switched off at {fleet.fetched()} movies: ", end="", flush=True)
    print(f"the next run asks {fleet.goes_on(run):.0f} s later")
    code_server(machine)

    machine, run = fleet.in_the_middle_of_a_run()
    fleet.breaks_in(run, Kind.SERVER)
    fleet.restart_server()
    print(f"  Postgres restarted at {fleet.fetched()} movies: ", end="", flush=True)
    print(f"the next run asks {fleet.goes_on(run):.0f} s later")

    machine, run = fleet.in_the_middle_of_a_run()
    fleet.breaks_in(run, Kind.NETWORK)
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


def spend_the_quota(fleet: Fleet) -> None:
    """Have both machines ask OMDb at once until the day's quota ends, and once more after it.

    Raises:
        AssertionError: a request too many was sent, or one that nothing explains was lost.
    """
    for _ in range(2):
        both = [machine.start(["ayne_dagster", *REST]) for machine in fleet.group]
        assert [process.wait(300) for process in both] == [0, 0]
    sent = sum(entry["source"] == "omdb" for entry in fleet.standin.log())
    settings = load_settings()
    use = account_of("omdb", settings, open_ledger(settings), settings.now).quota_use
    lost = use.used - sent
    print(f"  omdb: quota {QUOTA}, charged {use.used}, sent {sent}; charged by what broke before it could send: {lost}")
    assert sent <= use.used == QUOTA
    assert lost <= AT_ONCE * len(fleet.breaks)


def judge(fleet: Fleet, alone: Path, ahead: float) -> None:
    """Compare with what a file holds that one process collected, and with what the stand-in saw.

    Raises:
        AssertionError: something is missing, torn, there twice, or was asked too often.
    """
    for machine in fleet.group:
        assert contents(opened(dict(machine.environment)).path) == Contents(), f"{machine.name}'s spool is not merged"
    for source in ("tmdb", "omdb"):
        over = most_over_the_pace(fleet, source)
        print(f"  {source}: {over:+.1f} requests against pace and burst in the fullest stretch")
        assert over <= 1, source
    faults = []
    for repeat in repeats(fleet.standin, fleet.lake, fleet.spools, ahead):
        why = repeat.why(fleet.breaks, LATENCY)
        print(f"  {repeat.source} {repeat.movie} was asked for again: {why or 'A FAULT'}")
        faults += [] if why else [str(repeat)]
    assert not faults, (fleet.breaks, faults)
    for table in (DISCOVERED_MOVIES, TMDB_DETAILS, OMDB_RATINGS):
        ours = told_by_sources(fleet.lake, table)
        assert ours == told_by_sources(Database(alone), table), table.name
        print(f"  {table.name}: {len(ours)} rows, as in the file")
    assert check_database(fleet.lake, load_settings().now()).findings == []
    print("  ayne check: sound")


def main() -> None:
    """The whole story."""
    if not can_be_made():
        sys.exit("Machines are network namespaces here: be root, and have `ip` (iproute2).")
    began = time.monotonic()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="ayne-fleet-")))
        standin = running.enter_context(StandIn(MOVIES, oddities=0, latency_seconds=LATENCY))
        now = datetime.now(UTC)
        standin.set_now(now)  # what it tells changes from day to day
        ahead = ((HOUR - timedelta(hours=now.hour, minutes=now.minute)) % timedelta(days=1)).total_seconds()
        alone = Ayne(folder / "alone").asking(standin, **clock(ahead))
        alone.folder.mkdir()
        print("One process into a file, to compare with …")
        assert alone.run("collect", *ALL, "--refresh-limit", "1000", "--json").code == 0
        standin.clear_log()
        fleet = set_up(running, folder, standin, ahead)
        tell(fleet, alone.database, ahead)
    print(f"All of it held; {time.monotonic() - began:.0f} s.")


def set_up(running: ExitStack, folder: Path, standin: StandIn, ahead: float) -> Fleet:
    """Start servers, machines and daemon; one machine discovers, and the sensors of both are switched on."""
    hba = folder / "pg_hba.conf"
    hba.write_text("host all all all scram-sha-256\n")
    folder.chmod(0o755)
    options = (f"listen_addresses=127.0.0.1,{HERE}", f"hba_file={hba}")
    server, restart = running.enter_context(restartable_postgres(*options))
    ledger, dagster, catalogue = (server.new_database() for _ in range(3))
    settings = {**settings_of(server.port, standin, folder, ledger, dagster, catalogue), **clock(ahead)}
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
    databases = [load_settings(machine.environment).database for machine in group]
    spools = running.enter_context(SpoolWatch(databases, ahead))
    fleet = Fleet(standin, group, instance, opened(dict(os.environ)), restart, spools)
    output = running.enter_context((folder / "output").open("wb"))
    launching = [sys.executable, "-m", "ayne_dagster", "daemon", "--workspace", str(workspace)]
    daemon = subprocess.Popen(launching, stdout=output, stderr=output)
    running.callback(daemon.wait, 60)
    running.callback(daemon.terminate)
    switch_on(fleet, workspace)
    return fleet


def tell(fleet: Fleet, alone: Path, ahead: float) -> None:
    """Break the fleet, see the quota spent to its end and then lifted, judge it."""
    print("… and both refresh, by their sensors:")
    try:
        break_things(fleet)
        finish(fleet)
        spend_the_quota(fleet)
        assert fleet.group[0].start(["ayne_dagster", *REST], AYNE_OMDB_DAILY_QUOTA="0").wait(300) == 0
        judge(fleet, alone, ahead)
    except BaseException:
        for machine in fleet.group:
            print(f"== {machine.name}\n{(machine.folder / 'output').read_text()[-6000:]}")
        for run in fleet.instance.get_runs():
            print(run.run_id, run.job_name, run.status, run.tags)
        raise


def clock(ahead: float) -> dict[str, str]:
    """The setting by which a clock is ahead by so many seconds."""
    return {"AYNE_CLOCK_OFFSET_DAYS": repr(ahead / 86_400)}


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
        "AYNE_OMDB_DAILY_QUOTA": str(QUOTA),
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
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
